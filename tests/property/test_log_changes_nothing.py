"""A run with a command log visits every step in full; without one the core takes short cuts: streams go on in a loop of
their own, the bank that comes next is known, looks are had ahead. What is counted is the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sim_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st

import hbmmodel as hbm
from hbmmodel.sim import simulate
from hbmmodel.trace import Access

DEVICES = [("HBM4_8000", "24Gb_12H"), ("HBM3E_9600", None), ("HBM2E_3200", None), ("X_RAMULATOR21_HBM4_8000", None)]
SEEDS = [158, 332, 476, 792]
"""With these a REF once came too late."""


@st.composite
def systems(draw: st.DrawFn) -> hbm.System:
    """Systems whose runs are lean without a log: FR-FCFS, open pages, always up."""
    write_queue = draw(st.sampled_from([2, 9, 64]))
    low = draw(st.integers(0, write_queue - 2))
    controller = hbm.Controller(
        refresh=draw(st.sampled_from(["per_bank", "per_bank", "all_bank", "none"])),
        refresh_postpone=draw(st.sampled_from([None, 0, 3])),
        read_queue=draw(st.sampled_from([1, 7, 64])),
        write_queue=write_queue,
        write_low=low,
        write_high=draw(st.integers(low + 1, write_queue)),
    )
    name, variant = draw(st.sampled_from(DEVICES))
    window = draw(st.sampled_from([1 << 11, 1 << 14, 1 << 20]))
    return cases.small(name, variant, controller=controller, window_bytes=window)


@st.composite
def accesses(draw: st.DrawFn, capacity: int) -> Access:
    """Long and short runs, near each other and far apart."""
    place = draw(st.sampled_from([1 << 12, 1 << 20, capacity // 2])) * draw(st.integers(0, 3)) % (capacity // 2)
    size = 32 * draw(st.sampled_from([1, 40, 600, 2500]))
    if draw(st.booleans()):
        return (cases.writes if draw(st.booleans()) else cases.reads)(place, size)
    runs = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 1 << 15, 300) * 32
    return (cases.writes if draw(st.booleans()) else cases.reads)(place, 32, rows=runs)


def told(result: hbm.Result) -> dict[str, Any]:
    """All that a run tells, as plain values."""
    tables = {name: getattr(result, name) for name in ("operations", "channels", "banks", "timeline", "power_states")}
    rows = {name: {k: np.asarray(table[k]).tolist() for k in table} for name, table in tables.items()}
    return {"summary": dict(result.summary), "histogram": result.histogram.counts.tolist(), **rows}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_operations_take_and_count_the_same(data: st.DataObject) -> None:
    system = data.draw(systems())
    operand = accesses(system.capacity_bytes)
    trace = cases.trace_of(*data.draw(st.lists(st.lists(operand, min_size=1, max_size=3), min_size=1, max_size=4)))
    lean, logged = (told(simulate(system, trace, command_log=log)) for log in (False, True))
    assert lean == logged


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_requests_take_and_count_the_same(data: st.DataObject) -> None:
    system = data.draw(systems())
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 16)))
    n = data.draw(st.sampled_from([5, 60, 1500]))
    near = data.draw(st.sampled_from([1 << 6, 1 << 12, system.capacity_bytes // 32]))
    address = 32 * rng.integers(0, near, n)
    is_write = rng.random(n) < data.draw(st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0]))
    gap_ps = data.draw(st.sampled_from([None, 300, 2_000, 50_000]))
    time_ps = None if gap_ps is None else np.cumsum(rng.exponential(gap_ps, n)).astype(np.int64)
    trace = hbm.Trace.from_requests(address, is_write, time_ps=time_ps)
    lean, logged = (told(simulate(system, trace, command_log=log)) for log in (False, True))
    assert lean == logged


@pytest.mark.parametrize("seed", SEEDS)
def test_refreshes_after_a_read_in_idle_time_come_when_they_would(seed: int) -> None:
    """Of reads far apart, some come between two refreshes of a round that is then repeated without visiting it."""
    rng = np.random.default_rng(seed)
    controller = hbm.Controller(page_policy="closed", refresh="per_bank" if seed % 2 == 0 else "all_bank")
    system = cases.small("HBM2E_3200", controller=controller)
    n = int(rng.integers(20, 120))
    address = 32 * rng.integers(0, 1 << int(rng.integers(4, 14)), n)
    gap_ps = rng.choice([0, 0, 100_000, 1_000_000, 3_900_000, 30_000_000], size=n)
    time_ps = np.cumsum(gap_ps * rng.random(n)).astype(np.int64)
    trace = hbm.Trace.from_requests(address, np.zeros(n, bool), time_ps=time_ps)
    lean, logged = (told(simulate(system, trace, command_log=log)) for log in (False, True))
    assert lean == logged
