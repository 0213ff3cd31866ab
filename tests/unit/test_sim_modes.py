"""The three issue modes and the host's window: when a request may begin, and what that costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.sim import simulate
from hbmmodel.trace import Trace

READS = cases.READS


# ---- requests ----


def test_requests_without_times_are_offered_at_once_and_those_with_times_are_paced() -> None:
    system = cases.small()
    assert simulate(system, Trace.from_requests([0], [0])).trace["mode"] == "asap"
    assert simulate(system, Trace.from_requests([0], [0], time_ps=[5])).trace["mode"] == "paced"


def test_asap_ignores_times() -> None:
    system = cases.small()
    addresses, is_write = np.arange(200) * 96, np.arange(200) % 3 == 0
    plain = simulate(system, Trace.from_requests(addresses, is_write), command_log=True)
    timed = Trace.from_requests(addresses, is_write, time_ps=np.arange(200) * 10_000)
    hurried = simulate(system, timed, mode="asap", command_log=True)
    assert np.array_equal(plain.command_log, hurried.command_log)
    assert plain.summary == hurried.summary
    assert simulate(system, timed).summary["time_ns"] > 1990.0 > 2 * plain.summary["time_ns"]


def test_paced_requests_are_never_served_before_their_time() -> None:
    system = cases.small(channels=2, controller=hbm.Controller(page_policy="closed"))
    rng = np.random.default_rng(11)
    n = 3000
    bursts = np.unique(rng.integers(0, system.capacity_bytes // 32, 2 * n))  # each once: commands name requests
    bursts = rng.permutation(bursts)[:n]
    times = np.sort(rng.integers(0, 20_000_000, n))
    trace = Trace.from_requests(bursts * 32, rng.random(n) < 0.4, time_ps=times)
    log = simulate(system, trace, command_log=True).command_log
    columns = log[np.isin(log["command"], [*map(int, (*READS, *cases.WRITES))])]
    served = dict(
        zip(system.map.encode(cases.coordinates_of(columns)).tolist(), columns["tick"].tolist(), strict=True)
    )
    arrival = {b * 32: math.ceil(t / system.tick_ps) for b, t in zip(bursts.tolist(), times.tolist(), strict=True)}
    assert served.keys() == arrival.keys()
    waits = [served[a] - arrival[a] for a in arrival]
    assert min(waits) >= 0
    assert np.median(waits) < 400  # and not long after it, at this load


def test_paced_run_at_a_low_rate_lasts_as_long_as_its_trace() -> None:
    system = cases.small()
    trace = Trace.from_requests(np.arange(1000) * 32, [0] * 1000, time_ps=np.arange(1000) * 20_000)
    summary = simulate(system, trace).summary
    assert 999 * 20 < summary["time_ns"] < 999 * 20 + 400
    assert summary["bandwidth_gb_per_s"] == pytest.approx(32 / 20, rel=0.02)


def test_times_beyond_the_cores_range_are_refused() -> None:
    trace = Trace.from_requests([0, 32], [0, 0], time_ps=[0, 2**62])
    with pytest.raises(hbm.errors.HbmArgumentError, match="record 1: its time is 4611686018427387904 ps; at most"):
        simulate(cases.small(), trace)


# ---- the window ----


@pytest.mark.parametrize("window", [1, 2, 3, 8, 20, 64])
@pytest.mark.parametrize("host_ns", [0.0, 37.0, 200.0])
def test_bandwidth_of_a_closed_loop_obeys_littles_law(window: int, host_ns: float) -> None:
    system = cases.small(controller=cases.NO_REFRESH, window_bytes=window * 2 * 32, host_latency_ns=host_ns)
    assert system.window_bursts == window
    result = simulate(system, Trace.from_requests(np.arange(4096) * 32, [0] * 4096))
    latency = result.summary["read_latency_ns_mean"] + host_ns
    law_gb_per_s = 2 * window * 32 / latency
    peak = system.peak_gb_per_s
    got = result.summary["bandwidth_gb_per_s"]
    # The first requests and the last ones only fill and empty the loop.
    assert got <= min(law_gb_per_s * (1 + 2 * window / 4096), peak)
    assert got >= 0.9 * min(law_gb_per_s, peak) - 0.02 * peak


@pytest.mark.parametrize("host_ns", [0.0, 37.3, 60.0, 200.0])
def test_window_of_one_burst_serves_one_read_per_round_trip(host_ns: float) -> None:
    system = cases.small(controller=cases.NO_REFRESH, window_bytes=1, host_latency_ns=host_ns)
    assert system.window_bursts == 1
    t = system.device.ticks()
    places = [[0, 0, 0, 0, 0, 0, 3, column] for column in range(32)]
    trace = Trace.from_requests(system.map.encode(places), [0] * 32)
    ticks = cases.column_ticks(simulate(system, trace, command_log=True).command_log)
    round_trip = t["RL"] + t["BL"] + system.host_ticks
    assert set(np.diff(ticks)) == {round_trip + round_trip % 2}


def test_window_does_not_hold_writes() -> None:
    system = cases.small(window_bytes=1, host_latency_ns=1000.0)
    written = simulate(system, Trace.from_requests(np.arange(512) * 32, [1] * 512)).summary
    read = simulate(system, Trace.from_requests(np.arange(512) * 32, [0] * 512)).summary
    assert read["time_ns"] > 256 * 1000 > 100 * written["time_ns"]


def test_window_of_zero_bytes_is_no_window() -> None:
    free = cases.small(window_bytes=0, host_latency_ns=10_000.0)
    wide = cases.small(window_bytes=1 << 30, host_latency_ns=10_000.0)
    trace = Trace.from_requests(np.arange(2048) * 32, [0] * 2048)
    assert simulate(free, trace).summary == simulate(wide, trace).summary
    assert simulate(free, trace).summary["fraction_of_peak"] > 0.8


# ---- operations ----


def chain(n: int = 6, n_bytes: int = 4096) -> Any:
    """Every operation reads what the one before it wrote."""
    return cases.trace_of(
        *([cases.reads(i * n_bytes, n_bytes), cases.writes((i + 1) * n_bytes, n_bytes)] for i in range(n))
    )


def test_operations_are_closed_by_default() -> None:
    assert simulate(cases.small(), chain()).trace["mode"] == "closed"


@pytest.mark.parametrize("host_ns", [0.0, 60.0, 61.7])
def test_closed_operation_begins_one_round_trip_after_the_end_of_what_it_depends_on(host_ns: float) -> None:
    system = cases.small(host_latency_ns=host_ns)
    table = simulate(system, chain()).operations
    gap = table["start_ns"][1:] - table["end_ns"][:-1]
    tick_ns = float(system.tick_ps) / 1000
    assert table["start_ns"][0] == 0
    assert (gap >= host_ns).all()
    assert (gap <= host_ns + 3 * tick_ns).all()  # on a rising edge, at least one CK later


def test_closed_operations_that_do_not_depend_on_each_other_begin_together() -> None:
    system = cases.small()
    table = simulate(
        system,
        cases.trace_of(
            [cases.reads(0, 4096)],
            [cases.reads(0, 8192), cases.writes(16384, 4096)],
            [cases.reads(8192, 4096)],
            [cases.reads(16384, 32)],  # reads what was written
            [cases.writes(65536, 32)],
        ),
    ).operations
    start, end = table["start_ns"], table["end_ns"]
    assert start[:3].tolist() == [0, 0, 0]
    assert start[3] >= end[1] + 60
    assert start[4] == 0  # nothing to wait for


def test_closed_operation_waits_for_nothing_but_what_it_depends_on() -> None:
    system = cases.small()
    table = simulate(
        system,
        cases.trace_of(
            [cases.writes(0, 1024)],  # short
            [cases.reads(1 << 20, 1 << 20)],  # long
            [cases.reads(0, 1024), cases.writes(8192, 1024)],  # needs the short one only
            [cases.reads(8192, 1024)],
        ),
        command_log=True,
    ).operations
    start, end = table["start_ns"], table["end_ns"]
    assert end[3] < end[1]
    tick_ns = float(system.tick_ps) / 1000
    for later, earlier in ((2, 0), (3, 2)):
        assert 60 <= start[later] - end[earlier] <= 60 + 2 * tick_ns


@pytest.mark.parametrize("threads", [1, 2])
def test_no_dependent_operation_overtakes_in_a_random_program(threads: int) -> None:
    system = cases.small(channels=2)
    rng = np.random.default_rng(5)
    operations = []
    for _ in range(60):
        accesses = []
        for _ in range(int(rng.integers(1, 4))):
            make = cases.writes if rng.random() < 0.4 else cases.reads
            accesses.append(make(int(rng.integers(0, 64)) * 512, int(rng.integers(1, 2048))))
        operations.append(accesses)
    table = simulate(system, cases.trace_of(*operations), threads=threads).operations
    start, end = table["start_ns"], table["end_ns"]
    assert (end >= start).all()

    def meets(a: Any, b: Any) -> bool:
        return (a.is_write or b.is_write) and a.span[0] < b.span[1] and b.span[0] < a.span[1]

    n_dependent = 0
    for j, later in enumerate(operations):
        for i in range(j):
            if any(meets(a, b) for a in operations[i] for b in later):
                n_dependent += 1
                assert start[j] >= end[i] + 60
    assert n_dependent > 100


def test_closed_operation_waits_also_when_a_gather_is_too_long_to_be_held_at_once() -> None:
    # More runs than the core keeps: it runs those of channel 0 while the rest, all in channel 1, is expanded.
    system = cases.small(channels=2, controller=cases.NO_REFRESH, mapping="channel-row-bank-column")
    first, last = np.arange((1 << 21) + 1) * 64 % (1 << 20), system.capacity_bytes - 6400 + np.arange(100) * 64
    gather = cases.reads(0, 32, rows=np.concatenate([first, last]))
    table = simulate(system, cases.trace_of([gather], [cases.writes(0, 32)])).operations
    assert table["bytes_read"][0] == gather.n_bytes
    assert table["start_ns"][1] >= table["end_ns"][0] + 60


def test_asap_offers_all_operations_at_once() -> None:
    system = cases.small()
    asap = simulate(system, chain(), mode="asap")
    closed = simulate(system, chain(), mode="closed")
    assert asap.operations["start_ns"].tolist() == [0.0] * 6
    assert asap.summary["time_ns"] < closed.summary["time_ns"] - 5 * 60
    assert asap.summary["bytes_written"] == closed.summary["bytes_written"]


def test_paced_operations_begin_at_their_time_stamps() -> None:
    system = cases.small("HBM3_6400")
    times = [1000, 1000, 3001, 9000]
    operations = [cases.operation(i, cases.reads(i * 4096, 4096), time_ns=t) for i, t in enumerate(times)]
    result = simulate(system, cases.trace_of(*operations), mode="paced", command_log=True)
    tick_ns = float(system.tick_ps) / 1000
    want = [math.ceil((t - 1000) / tick_ns) * tick_ns for t in times]
    assert result.operations["start_ns"].tolist() == pytest.approx(want)
    ticks = cases.column_ticks(result.command_log)
    for i, start_ns in ((1, 0.0), (2, 2001.0), (3, 8000.0)):  # 128 bursts each; the first two share their time
        assert np.sort(ticks)[i * 128 if i > 1 else 0] * tick_ns >= start_ns
    assert result.operations["end_ns"][2] < 8000


def test_paced_operations_that_go_back_in_time_are_refused() -> None:
    operations = [cases.operation(i, cases.reads(0, 64), time_ns=t) for i, t in enumerate([500, 0])]
    with pytest.raises(hbm.errors.HbmArgumentError, match="times must ascend"):
        simulate(cases.small(), cases.trace_of(*operations), mode="paced")
