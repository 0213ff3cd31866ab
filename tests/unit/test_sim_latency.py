"""Latency of single requests: every term of it is known, so every tick of it is checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.commands import Command
from hbmmodel.sim import simulate
from hbmmodel.trace import Trace

SLOT_PS = 4_000_000  # requests so far apart that each meets a quiet memory

DEVICE_NS = {
    # preset: (row hit, closed row, row conflict) [ns], the device alone: RL + burst, + tRCDRD, + tRP
    "HBM3_5200": (17.69, 33.85, 50.0),
    "HBM3_6400": (17.5, 33.75, 50.0),
    "HBM3E_6400": (17.5, 33.75, 50.0),
    "HBM3E_8000": (17.0, 33.0, 49.0),
    "HBM3E_9200": (16.96, 33.04, 49.13),
    "HBM3E_9600": (17.08, 33.33, 49.58),
    "HBM4_6400": (17.5, 33.75, 50.0),
    "HBM4_8000": (17.0, 33.0, 49.0),
    "HBM4_10000": (16.8, 32.8, 48.8),
    "HBM4_10700": (16.82, 32.9, 48.97),
    "HBM4_11000": (16.73, 32.73, 48.73),
    "HBM4E_14000_projection": (16.57, 32.57, 48.57),
}


def place(row: int, column: int = 0, bank: int = 0) -> list[int]:
    return [0, 0, 0, 0, 0, bank, row, column]


def latencies_ns(system: hbm.System, places: Sequence[list[int]], writes: Sequence[int] = ()) -> list[float]:
    """Latency of each read of a sequence in which every request meets a quiet memory."""
    found: list[float] = []
    total = Fraction(0)
    for n in range(1, len(places) + 1):
        is_write = [int(i in writes) for i in range(n)]
        trace = Trace.from_requests(
            system.map.encode(places[:n]), is_write, time_ps=[i * SLOT_PS for i in range(n)]
        )
        channels = simulate(system, trace).channels
        now = int(channels["read_latency_ticks_sum"].sum()) * system.tick_ps / 1000
        if not is_write[-1]:
            found.append(float(now - total))
        total = now
    return found


@pytest.mark.parametrize("name", DEVICE_NS)
def test_unloaded_read_takes_the_devices_time_and_one_ck_more_to_activate(name: str) -> None:
    system = cases.small(name, controller=cases.NO_REFRESH)
    hit_ns, closed_ns, conflict_ns = DEVICE_NS[name]
    tck_ns = float(system.device.tck_ps) / 1000
    closed, hit, conflict = latencies_ns(system, [place(5), place(5, 1), place(6)])
    assert hit == pytest.approx(hit_ns, abs=0.006)
    # The timings of ACT count from its second rising edge, 1 CK after the command began.
    assert closed == pytest.approx(closed_ns + tck_ns, abs=0.006)
    # tRP already counts to that edge; half a CK is lost where the ACT would begin on a falling edge.
    assert conflict - conflict_ns == pytest.approx(0, abs=0.006) or conflict - conflict_ns == pytest.approx(
        tck_ns / 2, abs=0.006
    )


@pytest.mark.parametrize("name, variant", cases.PRESETS)
def test_unloaded_read_is_the_sum_of_its_parts_in_every_preset(name: str, variant: str) -> None:
    system = cases.small(name, variant, controller=cases.NO_REFRESH)
    t = system.device.ticks()
    tick_ns = float(system.tick_ps) / 1000
    data = t["RL"] + t["BL"]

    def rising(tick: int) -> int:
        return tick + tick % 2

    activate = rising(t["act_reference"] + t["RCDRD"])
    precharge = rising(t["RP"] - t["act_reference"])
    assert [round(x / tick_ns) for x in latencies_ns(system, [place(5), place(5, 1), place(6)])] == [
        activate + data,
        data,
        precharge + activate + data,
    ]


def test_read_behind_a_distant_write_finds_its_row_open() -> None:
    system = cases.small(controller=cases.NO_REFRESH)
    (hit,) = latencies_ns(system, [place(5), place(5)], writes=[0])
    assert hit == pytest.approx(17.0)


def test_single_write_ends_when_its_data_are_in_the_array() -> None:
    system = cases.small(controller=cases.NO_REFRESH)
    t = system.device.ticks()
    result = simulate(system, Trace.from_requests([0], [1]), command_log=True)
    act, write = result.command_log
    assert (act["command"], write["command"]) == (Command.ACT, Command.WR)
    assert act["tick"] == 0
    assert write["tick"] == t["act_reference"] + t["RCDWR"]
    assert result.summary["time_ticks"] == write["tick"] + t["WL"] + t["BL"]
    assert result.summary["read_latency_ns_mean"] is None


def test_read_of_a_waiting_write_is_forwarded_and_takes_no_time() -> None:
    system = cases.small(controller=cases.NO_REFRESH)
    result = simulate(system, Trace.from_requests([64, 64], [1, 0]), command_log=True)
    assert [Command(c) for c in result.command_log["command"]] == [Command.ACT, Command.WR]
    summary = result.summary
    assert (summary["reads_forwarded"], summary["requests_out"]) == (1, 2)
    assert (summary["read_latency_ns_max"], summary["read_latency_ns_mean"]) == (0.0, 0.0)


def test_read_of_the_same_burst_before_the_write_or_of_its_neighbour_is_not_forwarded() -> None:
    system = cases.small(controller=cases.NO_REFRESH)
    before = simulate(system, Trace.from_requests([64, 64], [0, 1])).summary
    neighbour = simulate(system, Trace.from_requests(system.map.encode([place(5), place(5, 1)]), [1, 0])).summary
    for summary in (before, neighbour):
        assert (summary["reads_forwarded"], summary["n_rd"], summary["n_wr"]) == (0, 1, 1)


@pytest.mark.parametrize("time_ps", [1, 249, 250, 251, 499, 500, 501, 12_345, 999_999_999])
def test_latency_counts_from_the_first_tick_at_or_after_the_arrival(time_ps: int) -> None:
    system = cases.small(controller=cases.NO_REFRESH)
    result = simulate(system, Trace.from_requests([0], [0], time_ps=[time_ps]), command_log=True)
    arrival = math.ceil(time_ps / system.tick_ps)
    act, read = result.command_log
    assert act["tick"] == arrival + arrival % 2  # commands that read begin on rising edges
    done = int(read["tick"]) + 64 + 4
    assert result.summary["time_ticks"] == done
    assert result.summary["read_latency_ns_max"] == pytest.approx((done - arrival) * 0.25)


def test_host_latency_is_added_to_load_to_use_and_to_nothing_else() -> None:
    trace = Trace.from_requests([0], [0])
    near = simulate(cases.small(host_latency_ns=0.0), trace).summary
    far = simulate(cases.small(host_latency_ns=100.0), trace).summary
    assert near["time_ns"] == far["time_ns"]
    assert near["read_latency_ns_mean"] == far["read_latency_ns_mean"] == near["load_to_use_ns_mean"]
    assert far["load_to_use_ns_mean"] == far["read_latency_ns_mean"] + 100.0


def test_mean_of_the_histogram_is_that_of_the_counters() -> None:
    system = cases.small(channels=2)
    rng = np.random.default_rng(3)
    n = 20_000
    trace = Trace.from_requests(
        rng.integers(0, system.capacity_bytes // 32, n) * 32, rng.random(n) < 0.3, np.arange(n) * 1_500
    )
    result = simulate(system, trace)
    histogram = result.histogram
    lower, upper = histogram.edges[:-1].astype(float), histogram.edges[1:].astype(float)
    used = histogram.counts > 0
    # Below 128 ticks buckets hold one tick; above, the width is at most 1/64 of the value.
    assert ((upper - lower)[used] <= np.maximum(1, lower[used] / 64)).all()
    assert 0 < histogram.relative_error <= 1 / 64
    tick_ns = float(system.tick_ps) / 1000
    middle = (lower + upper - 1) / 2
    mean_ns = float((middle * histogram.counts).sum() / histogram.counts.sum()) * tick_ns
    summary = result.summary
    assert mean_ns == pytest.approx(summary["read_latency_ns_mean"], rel=1 / 128)
    order = [summary[f"read_latency_ns_{key}"] for key in ("p50", "p99", "p999", "max")]
    assert order == sorted(order)
    assert order[0] < order[1] < order[3]
    n_timed = summary["n_rd"] + summary["reads_forwarded"]
    assert int(histogram.counts.sum()) == result.channels["reads_timed"].sum() == n_timed
    assert lower[used].max() <= summary["read_latency_ns_max"] / tick_ns < upper[used].max()


def test_percentiles_of_a_known_mixture_are_its_members() -> None:
    # 98 reads that hit at 17 ns, one that activates at 33.5 ns, one that conflicts at 49 ns.
    system = cases.small(controller=cases.NO_REFRESH)
    places = [place(5), *(place(5, i % 32) for i in range(98)), place(6)]
    trace = Trace.from_requests(system.map.encode(places), [0] * 100, time_ps=np.arange(100) * SLOT_PS)
    summary = simulate(system, trace).summary
    assert summary["read_latency_ns_p50"] == pytest.approx(17.0)
    assert summary["read_latency_ns_p99"] == pytest.approx(33.5, rel=1 / 128)
    assert summary["read_latency_ns_p999"] == summary["read_latency_ns_max"] == pytest.approx(49.0)
    assert summary["read_latency_ns_mean"] == pytest.approx((98 * 17.0 + 33.5 + 49.0) / 100)
