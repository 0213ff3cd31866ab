"""The performance gates judge what they should: counts against the baseline, ratios, and what excuses a miss."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hbmmodel as hbm
from hbmmodel.validate import speed
from hbmmodel.validate.traffic import stream

BASE = {"compiler": "cc 1", "instructions_per_burst": {"stream": 100.0, "random": 1000.0}}


@pytest.fixture(scope="module")
def gate(checkout: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_gate", checkout / "bench" / "gate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "stream_count, holds", [(50.0, True), (100.0, True), (104.9, True), (105.1, False), (200.0, False)]
)
def test_more_instructions_than_the_tolerance_fail(gate: ModuleType, stream_count: float, holds: bool) -> None:
    measured = {"stream": stream_count, "random": 1000.0}
    verdicts = gate.compare(BASE, measured, "cc 1")
    assert [verdict.holds for verdict in verdicts] == [holds, True]


def test_another_compiler_has_a_wider_tolerance_and_is_told(gate: ModuleType) -> None:
    verdicts = {n: gate.compare(BASE, {"stream": n}, "cc 2")[0] for n in (110.0, 130.0)}
    assert verdicts[110.0].holds and not verdicts[130.0].holds
    assert "other compiler" in str(verdicts[110.0])


def test_a_workload_without_baseline_fails_and_names_the_remedy(gate: ModuleType) -> None:
    (verdict,) = gate.compare(BASE, {"new": 1.0}, "cc 1")
    assert verdict.holds is False and "--update" in verdict.told


@pytest.mark.parametrize(
    "one_s, two_s, others, holds",
    [
        (2.0, 1.0, 0.0, True),
        (2.0, 1.0, 0.9, True),
        (1.5, 1.0, 0.0, False),
        (1.5, 1.0, 0.9, None),
        (1.5, 1.0, None, False),
    ],
)
def test_only_a_busy_machine_excuses_missing_scaling(
    gate: ModuleType, one_s: float, two_s: float, others: float | None, holds: bool | None
) -> None:
    assert gate.judge_scaling(one_s, two_s, others).holds is holds


def test_idle_time_may_not_cost_twice_as_much(gate: ModuleType) -> None:
    assert gate.judge_sparse(1.0, 1.9).holds is True
    assert gate.judge_sparse(1.0, 2.1).holds is False


def test_the_load_of_others_is_a_share_and_own_work_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0.0 <= (speed.others_share(lambda: sum(range(1_000_000))) or 0.0) <= 1.0
    own, machine = iter([10.0, 13.0]), iter([(1000, 4000), (1500, 5000)])
    monkeypatch.setattr(speed, "_own_seconds", lambda: next(own))
    monkeypatch.setattr(speed, "_busy_ticks", lambda: next(machine))
    monkeypatch.setattr(speed.os, "sysconf", lambda name: 100)
    assert speed.others_share(lambda: None) == pytest.approx(0.2)  # 500 ticks of work, 300 of them ours, of 1000


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_an_unusable_baseline_is_one_line(gate: ModuleType, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "instructions.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        gate.read_baseline(path)
    assert "--update" in str(caught.value) and "\n" not in str(caught.value)


def test_the_committed_baseline_covers_every_workload(gate: ModuleType) -> None:
    baseline: dict[str, Any] = gate.read_baseline()
    counts = baseline["instructions_per_burst"]
    assert set(counts) == set(gate.WORKLOADS)
    assert all(10 < count < 100_000 for count in counts.values())
    assert baseline["compiler"] and baseline["device"] == " ".join(gate.DEVICE)


def test_without_valgrind_the_counts_are_skipped_with_the_reason(
    gate: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gate.shutil, "which", lambda name: None)
    with pytest.raises(gate.UnableError, match="valgrind is not installed"):
        gate.count(tmp_path / "none", "stream", 1)


def test_the_driver_counts_what_the_product_runs(
    gate: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same end tick as `simulate` for the same stream: no other map, policy or tile."""
    try:
        gate.compiler()
    except gate.UnableError as why:
        pytest.skip(str(why))
    monkeypatch.setattr(gate, "CFLAGS", ("-std=c11", "-O0", "-pthread"))
    program = gate.build(tmp_path)
    done = subprocess.run(
        [program, "stream", "100000", *gate.device_values()], capture_output=True, text=True, check=True
    )
    system = hbm.System(hbm.device(*gate.DEVICE))
    ours = hbm.simulate(system, stream("r", 100_000 * 32)).summary
    assert int(done.stdout.split()[-1]) == ours["time_ticks"]


def test_the_program_says_not_judged_and_passes(
    gate: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unable(*_: object) -> None:
        raise gate.UnableError("nothing here")

    monkeypatch.setattr(gate, "build", unable)
    assert gate.main(["--counts-only"]) == 0
    assert "not judged" in capsys.readouterr().out


def test_the_program_fails_with_a_failed_gate(
    gate: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gate, "build", lambda folder: folder)
    monkeypatch.setattr(gate, "instructions", lambda program: {"stream": 1e9})
    monkeypatch.setattr(gate, "compiler", lambda: "cc 1")
    assert gate.main(["--counts-only"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_an_update_writes_what_the_next_run_compares_with(
    gate: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "new.json"
    gate.write_baseline({"stream": 12.5}, path)
    assert json.loads(path.read_text(encoding="utf-8"))["instructions_per_burst"] == {"stream": 12.5}
    assert gate.read_baseline(path)["compiler"] == gate.compiler()


@pytest.mark.parametrize("workload", speed.WORKLOADS, ids=lambda w: w.name)
def test_workloads_move_the_bursts_they_promise(workload: speed.Workload) -> None:
    system, trace = workload.make(30_000)
    timing = speed.measure(system, trace, threads=1)
    assert 30_000 <= timing.bursts <= 1.1 * 30_000
    assert timing.seconds > 0 and timing.cpu_ns_per_burst > 0


def test_the_sparse_workload_asks_for_a_tenth_of_the_pins() -> None:
    system, trace = next(w for w in speed.WORKLOADS if w.name == "sparse").make(200_000)
    timing = speed.measure(system, trace, threads=1)
    share = timing.bursts * 32 / timing.simulated_ns / system.peak_gb_per_s
    assert share == pytest.approx(0.1, rel=0.05)
