"""Ctrl-C keeps what has ended: valid, marked, the same as a run of that part alone; a second one leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import told
from sim_cases import operation, reads, small, trace_of, writes

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import Result
from hbmmodel.trace import OpTrace, RequestTrace

STEPS = [operation(i, reads(i << 14, 6000), writes((i + 1) << 22, 3000), time_ns=40 * i) for i in range(200)]


class _Interrupting(OpTrace):
    """Steps of which reading those `at` brings an interrupt."""

    name, format = "steps", "test"

    def __init__(self, *at: int) -> None:
        self._at = at

    def operations(self, all: bool = False) -> Any:
        for i, step in enumerate(STEPS):
            for _ in range(self._at.count(i)):
                os.kill(os.getpid(), signal.SIGINT)
            yield step

    def select(self, phases: tuple[str, ...]) -> OpTrace:
        raise NotImplementedError

    def content_hash(self) -> str:
        return "0"

    def info(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("mode", ["closed", "asap", "paced"])
def test_what_has_ended_is_a_result_as_if_no_more_had_been_asked(mode: str, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    result = hbm.simulate(small(), _Interrupting(100), mode=mode, on_interrupt="keep")
    assert signal.getsignal(signal.SIGINT) is before
    done = len(result.operations)
    assert 0 < done < 200 and result.operations["index"].tolist() == list(range(done))
    alone = hbm.simulate(small(), trace_of(*STEPS[:done]), mode=mode)
    assert result.summary == alone.summary and result.channels == alone.channels
    assert result.operations == alone.operations and alone.interrupted == ""
    assert result.provenance["interrupted"] == {
        "operations": done,
        "last": {"index": done - 1, "name": f"op{done - 1}", "phase": ""},
        "bytes": 9000 * done,
        "share_of_bytes": done / 200,
    }
    loaded = Result.load(result.save(tmp_path / "run"))
    words = f"interrupted after operation {done - 1} (op{done - 1}): {done / 2:.3g} % of the bytes of the trace"
    assert loaded.interrupted == words
    assert repr(loaded).endswith(f", {words}>") and "interrupted" not in repr(alone)
    compared = hbm.compare({"whole": alone, "part": loaded})
    assert compared.text().startswith(f"NOT like for like: part was {words}"[:90]) and not compared.like_for_like
    loaded.report(tmp_path / "r.md")
    assert words in (tmp_path / "r.md").read_text(encoding="utf-8").splitlines()[0]


def test_a_run_with_temperature_is_kept_with_its_temperatures(tmp_path: Path) -> None:
    result = hbm.simulate(small(), _Interrupting(100), thermal="coupled", thermal_epoch_ns=500.0, on_interrupt="keep")
    assert 0 < len(result.operations) < 200 and result.interrupted
    assert result.temperature["time_s"].max() == pytest.approx(1e-9 * float(result.summary["time_ns"] or 0))
    assert Result.load(result.save(tmp_path / "run")).temperature == result.temperature


def test_operations_that_waited_for_others_are_left_out() -> None:
    """One that is issued may have a higher number than one that waits."""

    class Chained(_Interrupting):
        def operations(self, all: bool = False) -> Any:
            yield operation(0, reads(0, 1 << 20))
            yield operation(1, reads(1 << 21, 64), writes(1 << 22, 64))
            yield operation(2, reads(1 << 22, 64))  # waits for 1
            yield operation(3, reads(1 << 23, 64))
            os.kill(os.getpid(), signal.SIGINT)
            yield operation(4, reads(1 << 22, 64))

    result = hbm.simulate(small(), Chained(), mode="closed", on_interrupt="keep")
    assert "" not in result.operations["name"].tolist()
    assert (result.operations["start_ns"] >= 0).all()
    moved = result.operations["bytes_read"].sum() + result.operations["bytes_written"].sum()
    assert moved == result.summary["bytes_read"] + result.summary["bytes_written"]  # type: ignore[operator]


def test_an_interrupt_behind_the_last_operation_changes_nothing() -> None:
    class Late(_Interrupting):
        def operations(self, all: bool = False) -> Any:
            yield from STEPS[:3]
            os.kill(os.getpid(), signal.SIGINT)

    result = hbm.simulate(small(), Late(), mode="closed", on_interrupt="keep")
    assert len(result.operations) == 3 and result.interrupted == "" and "interrupted" not in result.provenance


@pytest.mark.parametrize(
    ("trace", "options"),
    [
        (_Interrupting(3), {}),
        (_Interrupting(3), {"on_interrupt": "raise"}),
        (_Interrupting(100, 101), {"on_interrupt": "keep", "mode": "asap"}),
        (_Interrupting(0), {"on_interrupt": "keep", "mode": "asap"}),
    ],
)
def test_it_raises_by_default_and_at_the_second_one_and_where_there_is_nothing_to_keep(
    trace: OpTrace, options: dict[str, Any]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        hbm.simulate(small(), trace, **options)
    assert signal.getsignal(signal.SIGINT) is before


def test_requests_that_were_read_are_kept() -> None:
    n = 5000
    whole = hbm.Trace.from_requests(np.arange(n, dtype=np.uint64) * 32, np.zeros(n, dtype=np.uint8))

    class Requests(RequestTrace):
        name, format, timed, known_records = "requests", "test", False, n

        def chunks(self, max_records: int = 0) -> Iterator[Any]:
            for i, chunk in enumerate(whole.chunks(1000)):
                if i == 2:
                    os.kill(os.getpid(), signal.SIGINT)
                yield chunk

        def content_hash(self) -> str:
            return "0"

        def info(self) -> dict[str, Any]:
            return {}

    result = hbm.simulate(small(), Requests(), on_interrupt="keep")
    assert result.summary["requests_out"] == 3000
    assert result.provenance["interrupted"] == {
        "records": 3000,
        "last": {"record": 2999},
        "bytes": 96_000,
        "share_of_bytes": 0.6,
    }
    assert result.interrupted == "interrupted after record 2999: 60 % of the bytes of the trace"


def test_a_repeated_trace_keeps_no_part_and_words_are_checked() -> None:
    with pytest.raises(HbmArgumentError, match="thermal='steady' repeats the trace: no part of it is a result"):
        hbm.simulate(small(), trace_of(*STEPS[:2]), thermal="steady", on_interrupt="keep")
    with pytest.raises(HbmArgumentError, match="on_interrupt is 'stop'; choose one of raise, keep"):
        hbm.simulate(small(), trace_of(*STEPS[:2]), on_interrupt="stop")


def test_other_threads_and_ignored_signals_are_left_alone() -> None:
    found: list[Result] = []
    thread = threading.Thread(
        target=lambda: found.append(hbm.simulate(small(), trace_of(*STEPS[:3]), on_interrupt="keep"))
    )
    thread.start()
    thread.join()
    assert len(found[0].operations) == 3
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = hbm.simulate(small(), _Interrupting(100), mode="asap", on_interrupt="keep")
        assert len(result.operations) == 200 and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


# ---- real processes ----


# The program as a shell starts it: a process whose parent ignores SIGINT would ignore it too.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from hbmmodel.cli import main; main()"
)


def _interrupted(target: Path, send: Callable[[subprocess.Popen[str]], None]) -> tuple[int, str, str]:
    """A run of the shipped capture on one channel, which takes minutes, interrupted while it runs."""
    argv = ["run", "--demo", "--stacks", "1", "--set", "channels=1", "--wrap", "-o", str(target)]
    for wait_s in (1.5, 4.0, 10.0):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(wait_s)
        send(process)
        out, err = process.communicate(timeout=120)
        if "stopping" in err or wait_s == 10.0:
            return process.returncode, out, err
    raise AssertionError


def test_a_process_that_is_interrupted_saves_what_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _interrupted(tmp_path / "run", lambda process: process.send_signal(signal.SIGINT))
    assert code == 130 and "Traceback" not in err and err.count("\n") == 2
    result = Result.load(tmp_path / "run")
    assert 0 < len(result.operations) < 1299
    heading = out.split("====")[0]
    assert " ".join(result.interrupted.split()) in " ".join(heading.split())
    assert result.interrupted in told(capsys, "info", str(tmp_path / "run")).splitlines()[0]
    assert out.endswith(f"Saved in {tmp_path / 'run'}\n")


def test_a_process_that_is_interrupted_twice_leaves_nothing(tmp_path: Path) -> None:
    def twice(process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)  # the first one has been taken by then: handlers run every 50 ms
        process.send_signal(signal.SIGINT)

    code, out, err = _interrupted(tmp_path / "run", twice)
    assert "Traceback" not in err
    if list(tmp_path.iterdir()) == []:
        assert code == 130 and out == "" and "nothing written" in err
    else:  # all that was in flight had ended and was saved: the second one came to a program that was leaving
        assert code in (130, -signal.SIGINT) and Result.load(tmp_path / "run").interrupted
