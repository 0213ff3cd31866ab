"""The number of threads changes nothing, an interrupt leaves nothing behind, and a busy system says so."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel import _core
from hbmmodel.errors import HbmBusyError
from hbmmodel.sim import simulate
from hbmmodel.trace import Trace


def same(a: hbm.Result, b: hbm.Result) -> bool:
    """Everything that a run returns, but for when and where it was made."""
    assert a.summary == b.summary
    for table in ("channels", "operations", "timeline", "power_states"):
        first, second = getattr(a, table), getattr(b, table)
        assert first.names == second.names
        for name in first.names:
            assert np.array_equal(first[name], second[name]), (table, name)
    assert np.array_equal(a.histogram.counts, b.histogram.counts)
    assert (a.command_log is None) == (b.command_log is None)
    return a.command_log is None or np.array_equal(a.command_log, b.command_log)


def random_requests(system: hbm.System, n: int, gap_ps: int | None = None) -> Trace:
    rng = np.random.default_rng(23)
    times = None if gap_ps is None else np.cumsum(rng.integers(0, 2 * gap_ps, n))
    bursts = rng.integers(0, system.capacity_bytes // 32, n)
    return Trace.from_requests(bursts * 32, rng.random(n) < 0.3, time_ps=times)


def program(seed: int = 29) -> Any:
    rng = np.random.default_rng(seed)
    made = []
    for i in range(50):
        rows = rng.integers(0, 1 << 22, 40)
        accesses = [cases.reads(int(rng.integers(0, 1 << 22)), 20_000), cases.reads(0, 200, rows=rows)]
        accesses.append(cases.writes(int(rng.integers(0, 1 << 22)), 5_000, [(3, 1 << 20)]))
        made.append(cases.operation(i, *accesses, time_ns=300 * i))
    return cases.trace_of(*made)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("gap_ps", [None, 500])
def test_requests_give_the_same_result_on_any_number_of_threads(gap_ps: int | None, log: bool) -> None:
    system = cases.small(channels=5, stacks=2)
    trace = random_requests(system, 20_000, gap_ps)
    first, *others = (
        simulate(system, trace, threads=n, command_log=log, epoch_ns=0.5) for n in (1, 2, 3, 7, 64)
    )
    assert len(first.timeline) > 200
    assert all(same(first, other) for other in others)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("power", ["power_down_idle", "self_refresh_idle", "aggressive"])
def test_power_states_give_the_same_result_on_any_number_of_threads(power: str, log: bool) -> None:
    controller = hbm.Controller(power=power, self_refresh_after_ns=1000)
    system = cases.small(channels=5, stacks=2, controller=controller)
    trace = random_requests(system, 4_000, 50_000)
    first, *others = (simulate(system, trace, threads=n, command_log=log) for n in (1, 2, 3))
    assert first.summary["n_pde"] > 100
    assert all(same(first, other) for other in others)
    programs = [simulate(system, program(), threads=n, command_log=log) for n in (1, 2)]
    assert programs[0].summary["n_pde"] > 0
    assert same(*programs)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("options", [{"mode": "asap"}, {"mode": "paced"}, {}, {"order": "stream"}, {"l2": 1 << 16}])
def test_operations_give_the_same_result_on_any_number_of_threads(options: dict[str, Any], log: bool) -> None:
    system = cases.small("HBM3_6400", channels=5, stacks=2)
    first, *others = (
        simulate(system, program(), threads=n, command_log=log, epoch_ns=1.0, **options) for n in (1, 2, 3)
    )
    assert first.summary["requests_out"] > 20_000
    assert all(same(first, other) for other in others)


def test_epochs_are_the_same_on_any_number_of_threads_when_channels_end_at_different_times() -> None:
    system = cases.small(channels=3, mapping="channel-row-bank-column")
    third = system.capacity_bytes // 3
    trace = cases.trace_of([cases.reads(0, 1 << 20), cases.reads(third, 1 << 10), cases.writes(2 * third, 1 << 15)])
    runs = [simulate(system, trace, threads=n, epoch_ns=0.5, mode="asap") for n in (1, 2, 3)]
    assert same(runs[0], runs[1]) and same(runs[0], runs[2])
    assert runs[0].timeline["bytes_read"].sum() == runs[0].summary["bytes_read"] == (1 << 20) + (1 << 10)


def test_systems_run_side_by_side_in_threads_of_the_caller() -> None:
    system = cases.small(channels=4)
    want = simulate(system, program(), threads=2)
    got: list[Any] = [None] * 4

    def run(i: int) -> None:
        got[i] = simulate(system, program(), threads=2)

    workers = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(same(want, result) for result in got)


# ---- one object, two threads ----


SECOND = "requests submit next_end accept finish counters commands operations epochs".split()


@pytest.mark.parametrize("second", SECOND)
def test_busy_system_refuses_a_second_thread(second: str) -> None:
    system = cases.small(channels=2)
    core = cases.core_of(system)
    rng = np.random.default_rng(1)
    address = rng.integers(0, system.capacity_bytes, 400_000).astype(np.uint64)
    is_write = np.zeros(len(address), dtype=np.uint8)
    few = address[:4], is_write[:4], None, False
    calls = {
        "requests": lambda: core.requests(*few),
        "submit": lambda: core.submit([(0, 64, (), None, False)], 0, 0, 8, False),
        "next_end": core.next_end,
        "accept": core.accept,
        "finish": core.finish,
        "counters": core.counters,
        "commands": core.commands,
        "operations": lambda: core.operations(0),
        "epochs": core.epochs,
    }
    begun = threading.Event()

    def run() -> None:
        begun.set()
        core.requests(address, is_write, None, False)

    # No switch before the long call has let go of the interpreter.
    worker = threading.Thread(target=run)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(10)
    try:
        worker.start()
        begun.wait()
        with pytest.raises(HbmBusyError, match="running in another thread"):
            calls[second]()
    finally:
        sys.setswitchinterval(interval)
        worker.join()
    core.finish()  # the refused call changed nothing
    assert int(core.counters()["requests_out"].sum()) == len(address)


def test_core_takes_no_input_after_its_end() -> None:
    core = cases.core_of(cases.small())
    address, is_write = np.zeros(1, dtype=np.uint64), np.zeros(1, dtype=np.uint8)
    core.requests(address, is_write, None, False)
    core.finish()
    with pytest.raises(hbm.errors.HbmArgumentError):
        core.requests(address, is_write, None, False)
    with pytest.raises(hbm.errors.HbmArgumentError):
        core.submit([(0, 64, (), None, False)], 0, 0, 8, False)
    with pytest.raises(hbm.errors.HbmArgumentError):
        core.finish()


# ---- interrupts ----


def n_native_threads() -> int:
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else threading.active_count()


@pytest.mark.parametrize("progress", [False, True])
def test_interrupt_between_operations_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, progress: bool) -> None:
    system = cases.small(channels=4)
    want = simulate(system, program(), threads=3, progress=progress)  # tqdm keeps a thread of its own
    gc.collect()
    before = n_native_threads()
    made = []

    class Interrupted(_core.CoreSystem):
        def next_end(self) -> tuple[int, int]:
            made.append(None)
            if len(made) == 10:
                raise KeyboardInterrupt
            return super().next_end()

    monkeypatch.setattr(_core, "CoreSystem", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(system, program(), threads=3, progress=progress)
    monkeypatch.undo()
    assert len(made) == 10
    gc.collect()
    assert n_native_threads() == before
    if progress:
        from tqdm import tqdm

        assert not getattr(tqdm, "_instances", ())
    assert same(want, simulate(system, program(), threads=3))


@pytest.mark.parametrize("threads", [1, 2])
def test_signal_handler_that_raises_stops_one_long_operation(threads: int) -> None:
    system = hbm.System(hbm.device("HBM4_8000"))
    long = cases.trace_of(cases.operation(0, cases.reads(0, 12 * 10**9)))  # some ten seconds of work
    begun = time.monotonic()

    def ring(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            simulate(system, long, threads=threads)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - begun < 4


def test_error_in_the_middle_leaves_nothing_behind() -> None:
    system = cases.small(channels=4)
    good = program()
    bad = cases.trace_of(*good.operations(), cases.operation(99, cases.reads(system.capacity_bytes, 32)))
    want = simulate(system, good, threads=2)
    gc.collect()
    before = n_native_threads()
    with pytest.raises(hbm.errors.HbmAddressError):
        simulate(system, bad, threads=2)
    gc.collect()
    assert n_native_threads() == before
    assert same(want, simulate(system, good, threads=2))
