"""Devices of any timing: a run that takes the short cuts counts what one counts that visits every tick."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strategies_channel as strategies
from hypothesis import given, settings
from hypothesis import strategies as st

from hbmmodel import _core

SID, BANK_GROUP, BANK, ROW, COLUMN, PSEUDO_CHANNEL = 3, 4, 5, 6, 7, 2
BURST_BYTES = 32


def map_of(ticks: dict[str, int], bank_group_low: bool) -> Any:
    """One channel; columns below or above the bank group."""
    group, column = (BANK_GROUP, ticks["bank_groups"], 1), (COLUMN, ticks["columns"], 1)
    pieces = [
        (PSEUDO_CHANNEL, ticks["pseudo_channels"], 1),
        *([group, column] if bank_group_low else [column, group]),
        (BANK, ticks["banks_per_group"], 1),
        (SID, ticks["sids"], 1),
        (ROW, ticks["rows"], 1),
    ]
    return _core.CoreMap(_core.CoreDevice(ticks), 1, [p for p in pieces if p[1] > 1])


@st.composite
def devices(draw: st.DrawFn) -> dict[str, int]:
    """Those of the comparison with the twin, and buses that are taken for longer."""
    ticks = draw(strategies.devices())
    ticks["column_ticks"] = draw(st.sampled_from([2, 2, 3, 4]))
    ticks["row_ticks"] = draw(st.sampled_from([1, 2, 3]))
    return ticks


def policy_of(draw: Any, ticks: dict[str, int]) -> dict[str, Any]:
    """As the core takes it; FR-FCFS, open pages, always up."""
    drawn = draw(strategies.policies(ticks))
    names = ("cap", "refresh", "postpone", "pull_in", "read_queue", "write_queue", "write_high", "write_low")
    return {
        **{name: getattr(drawn, name) for name in names},
        "scheduler": "frfcfs",
        "page_policy": "open",
        "timeout_ticks": 0,
        "refresh_scale": drawn.refresh_scale_den,
    }


def accesses(rng: np.random.Generator, capacity: int) -> list[tuple[Any, ...]]:
    """Of one operation: runs, and single bursts all over."""
    made: list[tuple[Any, ...]] = []
    for _ in range(int(rng.integers(1, 4))):
        base = BURST_BYTES * int(rng.integers(0, capacity // BURST_BYTES))
        is_write = bool(rng.random() < 0.4)
        size = min(capacity - base, BURST_BYTES * int(rng.choice([1, 40, 300, 900])))
        rows = None
        if rng.random() < 0.3:
            base, size = 0, BURST_BYTES
            rows = BURST_BYTES * rng.integers(0, capacity // BURST_BYTES, 60)
        made.append((base, size, (), rows, is_write))
    return made


def run(core: Any, seed: int, capacity: int, tile: int) -> dict[str, Any]:
    """Operations, then requests; all that can be asked for."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 5))
    told: dict[str, Any] = {"ends": []}
    for number in range(n):
        assert core.submit(accesses(rng, capacity), number, core.next_start(), tile, True)
        if rng.random() < 0.5:
            core.accept()
        else:
            told["ends"].append(core.next_end())
    for _ in range(int(rng.integers(0, 3))):
        size = int(rng.choice([3, 60, 400]))
        address = BURST_BYTES * rng.integers(0, min(capacity // BURST_BYTES, int(rng.choice([16, 4096]))), size)
        is_write = rng.random(size) < rng.choice([0.0, 0.2, 1.0])
        tick = None if rng.random() < 0.5 else np.cumsum(rng.integers(0, int(rng.choice([3, 90])), size))
        core.requests(address.astype(np.uint64), is_write.astype(np.uint8), tick, True, 0, bool(rng.random() < 0.7))
    told["end"] = core.finish()
    tables = (core.counters(), core.bank_counters(), core.operations(n), core.epochs())
    told["tables"] = [{key: np.asarray(table[key]).tolist() for key in table} for table in tables]
    told["histogram"] = core.histogram().tolist()
    return told


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_short_cuts_count_what_every_tick_counts(data: st.DataObject) -> None:
    ticks = data.draw(devices())
    policy = policy_of(data.draw, ticks)
    the_map = map_of(ticks, data.draw(st.booleans()))
    host_ticks, window = data.draw(st.sampled_from([0, 60])), data.draw(st.sampled_from([0, 0, 0, 5]))
    seed, tile = data.draw(st.integers(0, 1 << 16)), data.draw(st.sampled_from([0, 0, 1, 8]))

    def told(skip: bool) -> dict[str, Any]:
        core = _core.CoreSystem(
            the_map,
            policy,
            host_ticks=host_ticks,
            window=window,
            threads=1,
            command_log=False,
            epoch_ticks=200,
            skip=skip,
        )
        return run(core, seed, the_map.capacity_bytes, tile)

    assert told(True) == told(False)


@pytest.mark.parametrize("column_ticks", [3, 4])
def test_streams_start_on_rising_edges_on_a_bus_that_is_taken_for_longer(column_ticks: int) -> None:
    ticks = {
        **strategies.HBM3_LIKE, "column_ticks": column_ticks, "channels": 1, "pseudo_channels": 2, "sids": 1,
        "bank_groups": 4, "banks_per_group": 4, "rows": 96, "columns": 32, "burst_bytes": BURST_BYTES, "XP": 12,
        "CPDED": 12, "PDmin": 12, "XS": 200, "postpone_max": 8, "REFI": 7800, "REFIpb": 480, "RAAIMT": 0, "RAAMMT": 0,
        "RAADEC": 0,
    }  # fmt: skip
    policy = {
        "scheduler": "frfcfs", "cap": 4, "page_policy": "open", "timeout_ticks": 0, "refresh": "per_bank",
        "postpone": 4, "pull_in": 0, "refresh_scale": 1, "read_queue": 64, "write_queue": 64, "write_high": 48,
        "write_low": 16,
    }  # fmt: skip
    the_map = map_of(ticks, True)

    def told(skip: bool) -> dict[str, Any]:
        core = _core.CoreSystem(
            the_map, policy, host_ticks=0, window=0, threads=1, command_log=False, epoch_ticks=200, skip=skip
        )
        core.submit([(0, 4000 * BURST_BYTES, (), None, False)], 0, 0, 0, False)
        core.accept()
        return {"end": core.finish(), **{key: column.tolist() for key, column in core.counters().items()}}

    assert told(True) == told(False)
