"""`sweep`: every combination once, failures told and not fatal, finished points kept and found again."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import fails, told

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError, HbmError
from hbmmodel.study import Study, vary
from hbmmodel.study.digest import trace_digest

SYSTEM = hbm.System(hbm.device("HBM4_8000", channels=1))
AXES: dict[str, Any] = {"read_queue": [4, 64, 5000], "device.tFAW_ns": [12, 20.5]}


def requests(n: int = 500, seed: int = 0) -> hbm.Trace:
    rng = np.random.default_rng(seed)
    return hbm.Trace.from_requests(32 * rng.integers(1 << 20, size=n), np.zeros(n, bool), name=f"<{seed}>")


TRACE = requests()


@pytest.mark.parametrize("workers", [0, 2])
def test_every_combination_is_simulated_as_if_by_itself(workers: int) -> None:
    if workers:
        with ThreadPoolExecutor(workers) as executor:
            found = hbm.sweep(SYSTEM, TRACE, AXES, executor=executor)
    else:
        found = hbm.sweep(SYSTEM, TRACE, AXES)
    assert [tuple(p.values.values()) for p in found.points] == [(q, t) for q in (4, 64, 5000) for t in (12, 20.5)]
    for point in found.points[:4]:
        q, faw = point.values.values()
        by_hand = hbm.System(
            hbm.device("HBM4_8000", channels=1, tFAW_ns=faw), controller=hbm.Controller(read_queue=q)
        )
        assert point.summary == hbm.simulate(by_hand, TRACE).summary
    assert [p.error for p in found.failures] == ["read_queue is 5000; it must be in 1..1024"] * 2
    assert "6 points, 2 failed" in repr(found) and "2 failed" in found._repr_html_()


def test_a_study_is_a_table_a_frame_and_a_cube() -> None:
    found = hbm.sweep(SYSTEM, TRACE, {**AXES, "run.thermal": [None, "steady"]})
    cube = found.to_xarray()
    assert dict(cube.sizes) == {"read_queue": 3, "device.tFAW_ns": 2, "run.thermal": 2}
    frame = found.to_pandas()
    for i, point in enumerate(found.points):
        place = {name: "none" if value is None else value for name, value in point.values.items()}
        for key in ("time_ns", "n_act", "temperature_c_max"):
            want = np.nan if point.summary is None or point.summary[key] is None else float(point.summary[key])
            np.testing.assert_equal(float(cube[key].sel(place)), want)
            np.testing.assert_equal(float(frame[key].astype(float).fillna(np.nan)[i]), want)
    assert cube["time_ns"].attrs["units"] == "ns" and (cube["error"] != "").sum() == 4
    assert frame["run.thermal"].tolist() == ["none", "steady"] * 6
    assert frame["n_act"].dtype == "Int64"


def test_an_interrupted_sweep_keeps_what_is_finished_and_goes_on_from_there(tmp_path: Path) -> None:
    home = tmp_path / "study"

    def stop(done: int, total: int) -> None:
        assert total == 6
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hbm.sweep(SYSTEM, TRACE, AXES, directory=home, progress=stop)
    half = Study.load(home)
    assert len(half.points) == 2 and (half.to_xarray()["error"] == "not run").sum() == 4
    seen: list[int] = []
    whole = hbm.sweep(SYSTEM, TRACE, AXES, directory=home, progress=lambda done, total: seen.append(done))
    assert [p.kept for p in whole.points] == [True, True, False, False, False, False] and seen[-1] == 6
    again = Study.load(home)
    assert again.points == whole.points and again.table == whole.table
    assert [p.summary for p in whole.points] == [p.summary for p in hbm.sweep(SYSTEM, TRACE, AXES).points]
    assert len(list((home / "points").iterdir())) == 4  # what failed is tried again
    assert again.result(read_queue=64, device_tFAW_ns=12).summary == whole.points[2].summary
    assert {p.name for p in home.iterdir()} == {"points", "study.json", "table.csv", "table.parquet"}


def test_only_what_is_the_same_in_everything_is_found_again(tmp_path: Path) -> None:
    def kept(system: hbm.System = SYSTEM, trace: Any = TRACE, **options: Any) -> bool:
        (point,) = hbm.sweep(system, trace, {"stacks": [1]}, directory=tmp_path / "s", **options).points
        assert point.error is None
        return point.kept

    assert [kept(), kept(), kept(trace=lambda: requests())] == [False, True, True]
    assert not kept(trace=requests(seed=1))
    assert not kept(vary(SYSTEM, {"host_latency_ns": 61}))
    assert not kept(request_bytes=64)
    for path in (tmp_path / "s" / "points").iterdir():
        (path / "channels.parquet").write_bytes(b"x")
    assert [kept(), kept()] == [False, True]


def test_what_a_reader_is_told_is_part_of_the_identity_of_a_trace() -> None:
    capture = hbm.demo_capture("llama_tiny_b1_p128_d8")
    traces = [hbm.read_trace(capture, phase=phase) for phase in ("decode0", "decode1", ("decode0", "decode1"))]
    assert len({trace_digest(trace) for trace in traces}) == 3
    assert trace_digest(traces[0]) == trace_digest(hbm.read_trace(capture).select("decode0"))


def test_several_traces_by_name_are_an_axis() -> None:
    found = hbm.sweep(SYSTEM, {"one": TRACE, "two": requests(seed=2)}, {"page_policy": ["open", "closed"]})
    assert list(found.axes) == ["trace", "page_policy"] and not found.failures
    assert found.points[0].summary != found.points[2].summary


def test_another_process_gives_the_same(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "t.trace"
    path.write_text("".join(f"0x{64 * i:x} READ {i}\n" for i in range(200)))
    with ProcessPoolExecutor(1, context) as executor:
        found = hbm.sweep(SYSTEM, str(path), {"stacks": [1, 99]}, executor=executor)
        with pytest.raises(HbmArgumentError, match="cannot be sent to another process"):
            hbm.sweep(SYSTEM, hbm.workload.decode("llama-3.1-8b"), {"stacks": [1]}, executor=executor)
    assert found.points[0].summary == hbm.simulate(SYSTEM, hbm.read_trace(path)).summary
    assert "1..64" in str(found.points[1].error)


class Broken(Executor):
    """Loses every second job."""

    def __init__(self) -> None:
        self.n = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.n += 1
        if self.n % 2:
            future.set_result(fn(*args, **kwargs))
        else:
            future.set_exception(RuntimeError("the worker\nis gone"))
        return future


def test_a_worker_that_dies_is_a_failure_of_its_point_only() -> None:
    found = hbm.sweep(SYSTEM, requests(10), {"cap": [1, 2, 3, 4]}, executor=Broken())
    assert [p.error for p in found.points] == [None, "RuntimeError: the worker is gone"] * 2


def test_a_trace_that_cannot_be_read_is_told_in_every_row(tmp_path: Path) -> None:
    found = hbm.sweep(SYSTEM, str(tmp_path / "no.trace"), {"stacks": [1, 2]}, directory=tmp_path / "s")
    assert all("no.trace" in str(p.error) for p in found.points)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"red_queue": [1]}, "did you mean 'read_queue'"),
        ({"tFAV_ns": [1]}, "did you mean 'tFAW_ns'"),
        ({"controller.stacks": [1]}, "has no 'stacks'"),
        ({"engine.x": [1]}, "begins with system."),
        ({"run.modus": ["asap"]}, "no option 'modus'; did you mean 'mode'"),
        ({"trace": ["x"]}, "mapping of names"),
        ({"stacks": []}, "one value or more"),
        ({"stacks": "12"}, "one value or more"),
        ({"stacks": 3}, "one value or more"),
        ({"stacks": [1, 1]}, "twice"),
        ({"stacks": [[1]]}, "no number, word or device"),
        ({"timeout_ns": [float("nan")]}, "not finite"),
        ({"stacks": range(1, 1000), "cap": range(1, 1000)}, "too many"),
    ],
)
def test_axes_that_make_no_sense_are_refused_before_anything_runs(
    axes: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(HbmArgumentError, match=message):
        hbm.sweep(SYSTEM, TRACE, axes, directory=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "notes.txt", tmp_path / "notes.txt" / "x"):
        with pytest.raises(HbmArgumentError, match="is no study|cannot be written"):
            hbm.sweep(SYSTEM, TRACE, {"stacks": [1]}, directory=place)
    with pytest.raises(HbmArgumentError, match="is no study"):
        Study.load(tmp_path)
    (tmp_path / "study.json").write_text('{"format": "hbmmodel-study", "format_version": 1, "axes": 3}')
    with pytest.raises(HbmArgumentError, match="damaged"):
        Study.load(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "study.json"]


def test_one_result_of_a_study_is_named_by_its_values(tmp_path: Path) -> None:
    found = hbm.sweep(SYSTEM, requests(10), {"stacks": [1, 2], "cap": [1, 0]}, directory=tmp_path / "s")
    assert found.result(stacks=2, cap=1).system.stacks == 2
    wrong = (({"stacks": 1}, "2 points"), ({"x": 1}, "no axis 'x'"), ({"stacks": 1, "cap": 0}, "failed"))
    for values, message in wrong:
        with pytest.raises(HbmArgumentError, match=message):
            found.result(**values)


def test_devices_vary_by_name_by_time_and_as_themselves() -> None:
    base = hbm.System(hbm.device("HBM4_8000", tFAW_ns=14, rfm=True), stacks=2)
    assert vary(base, {}) == base
    both = vary(base, {"tRP_ns": 15.5}).device
    assert (float(both.timing["tFAW"].ns), float(both.timing["tRP"].ns), both.rfm.raaimt > 0) == (14, 15.5, True)
    assert vary(base, {"device": "HBM3E_8000"}).device == hbm.device("HBM3E_8000")
    assert vary(base, {"variant": "24Gb_16H"}).device.variant == "24Gb_16H"
    own = hbm.device("HBM3_6400", tRP_ns=14)
    assert vary(base, {"device": own}).device is own
    assert vary(base, {"trips.poll_s": 0.5, "coolant_c": 30.0}).cooling.trips.poll_s == 0.5
    foreign = replace(base, device=replace(base.device, name="MINE"))
    assert vary(foreign, {"stacks": 3}).stacks == 3
    with pytest.raises(HbmArgumentError, match="not of a shipped preset"):
        vary(foreign, {"device.tRP_ns": 15})
    with pytest.raises(HbmError, match="'tRP_ns'|tRP"):
        vary(base, {"tRP_ns": -1})


@pytest.fixture
def trace_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("t.trace").write_text("".join(f"0x{64 * 37 * i:x} READ {i}\n" for i in range(300)))
    return "t.trace"


def test_the_command_prints_a_row_per_point_and_goes_on_where_it_was(
    trace_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["sweep", trace_file, "--axis", "read-queue=8,5000", "--axis", "device=HBM3_6400,HBM4_8000", "-o", "s"]
    printed = told(capsys, *argv).splitlines()
    assert printed[0].split()[:3] == ["read_queue", "device", "time"] and len(printed) == 7
    assert printed[-1] == "Saved in s" and sum("read_queue is 5000" in row for row in printed) == 2
    content = json.loads(told(capsys, *argv, "--json"))
    assert [p["kept"] for p in content["points"]] == [True, True, False, False]
    assert content["points"][1]["summary"]["peak_gb_per_s"] == hbm.device("HBM4_8000").peak_gb_per_s
    assert told(capsys, *argv, "-q") == ""
    assert Study.load("s").table.n_rows == 4


def test_the_command_takes_several_traces_and_options_of_runs(
    trace_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("u.trace").write_bytes(Path(trace_file).read_bytes())
    axes = ("--axis", "run.mode=asap,paced", "--set", "tFAW_ns=12", "--axis", "stacks=1,2")
    argv = ["sweep", trace_file, "u.trace", *axes]
    content = json.loads(told(capsys, *argv, "--json"))
    assert list(content["axes"]) == ["trace", "run.mode", "stacks"] and len(content["points"]) == 8
    times = {tuple(p["values"].values()): p["summary"]["time_ns"] for p in content["points"]}
    assert times["t.trace", "asap", 1] == times["u.trace", "asap", 1] != times["t.trace", "paced", 1]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--axis", "stacks=1"], "name a TRACE"),
        (["t.trace"], "give an axis"),
        (["t.trace", "--axis", "stacks"], "is not KEY=V1"),
        (["t.trace", "--axis", "stacks=1,,2"], "is not KEY=V1"),
        (["t.trace", "--axis", "stacks=1,1"], "twice"),
        (["t.trace", "--axis", "stacks=1", "--axis", "stacks=2"], "twice"),
        (["t.trace", "--axis", "stacks=1", "--stacks", "2"], "also given as an option"),
        (["t.trace", "--axis", "cap=1", "--set", "cap=2"], "also given as an option"),
        (["t.trace", "--axis", "red_queue=1"], "did you mean 'read_queue'"),
        (["t.trace", "--axis", "run.modus=asap"], "no such option"),
        (["no.trace", "--axis", "stacks=1"], "no.trace"),
        (["t.trace", "--axis", "stacks=0,99"], "every point failed"),
    ],
)
def test_the_command_refuses_in_one_line(
    argv: list[str], message: str, trace_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in fails(capsys, "sweep", *argv)


def test_the_command_tells_what_an_interrupt_left(
    trace_file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hbmmodel.cli import run_cli
    from hbmmodel.study import point, sweeping

    def stop(job: point.Job, real: Any) -> Any:
        if job.values["stacks"] == 2:
            raise KeyboardInterrupt
        return real(job)

    monkeypatch.setattr(sweeping, "run", partial(stop, real=point.run))
    assert run_cli(["sweep", trace_file, "--axis", "stacks=1,2,3", "-o", "s"]) == 130
    assert "finished points are kept in s" in capsys.readouterr().err
    assert len(Study.load("s").points) == 1


class Killed(ThreadPoolExecutor):
    """Workers that die with their first point."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        future.set_exception(BrokenExecutor("A process in the process pool was terminated abruptly"))
        return future


def test_a_worker_that_was_killed_is_told_with_what_to_do() -> None:
    trace = hbm.Trace.from_requests([0], [False])
    with Killed(1) as executor:
        found = hbm.sweep(hbm.System(hbm.device("HBM4_8000")), trace, {"read_queue": [8, 16]}, executor=executor)
    assert [point.summary for point in found.points] == [None, None]
    assert all("was killed" in str(point.error) and "fewer" in str(point.error) for point in found.points)
