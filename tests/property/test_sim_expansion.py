"""Byte ranges become exactly the bursts that plain Python makes of them, wherever the map puts them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import sim_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st

import hbmmodel as hbm
from hbmmodel.sim import simulate
from hbmmodel.trace import Access

MAPS = (
    "row-bank-column-channel",
    "row-column-bank-channel",
    "row-bank-column-channel-hashed",
    "channel-row-bank-column",
    # pseudo-channels in the middle, in two parts, and channels that columns or rows flip
    "row channel sid bank column[4:2] pseudo_channel column[1:0] bank_group stack",
    "row sid column bank stack bank_group channel pseudo_channel",
    "row sid bank column[4:1] stack channel pseudo_channel column[0:0] bank_group; channel ^= row[1:1]",
    "row sid bank column[4:1] stack channel pseudo_channel column[0:0] bank_group; channel ^= column[0:0]",
    "row sid bank column[4:1] stack channel pseudo_channel column[0:0] bank_group; pseudo_channel ^= bank_group[0:0]",
    "column row sid bank_group bank pseudo_channel stack channel; bank ^= column[4:2]; bank ^= row[2:0]",
    "channel pseudo_channel stack column row bank_group sid bank",
)


def system_of(mapping: str, stacks: int, sids: int) -> hbm.System:
    """About 1.5 MB per stack: random operands meet, wrap and fill whole superblocks."""
    device = hbm.device("HBM4_8000", channels=2, sids=sids, rows=6)
    return hbm.System(device, stacks=stacks, mapping=mapping, controller=hbm.Controller(refresh="none"))


SYSTEMS = st.builds(system_of, st.sampled_from(MAPS), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 3]))


@st.composite
def operands(draw: Any, capacity: int) -> Access:
    """An operand of at most a few thousand bursts inside the capacity."""
    is_write = draw(st.booleans())
    if draw(st.booleans()):
        run = draw(st.integers(1, 400))
        rows = draw(st.lists(st.integers(0, capacity - run), min_size=1, max_size=30))
        base = draw(st.integers(0, min(rows)))
        return Access(is_write, 0, base, run, (), np.array(rows, dtype=np.int64) - base)
    run = draw(st.one_of(st.integers(1, 100), st.integers(1, 20_000)))
    dims: list[tuple[int, int]] = []
    reach = run
    for _ in range(draw(st.integers(0, 3))):
        count = draw(st.integers(1, 6))
        stride = draw(st.integers(0, min(9000, max(0, (capacity - reach) // 8))))
        reach += (count - 1) * stride
        dims.append((count, stride))
    return Access(is_write, 0, draw(st.integers(0, capacity - reach)), run, tuple(dims))


def moved(system: hbm.System, log: Any, commands: Any) -> Counter[int]:
    return Counter(int(a) for a in cases.addresses_moved(system, log, commands) // np.uint64(32))


@given(st.data(), SYSTEMS, st.sampled_from(["tile", "stream"]), st.integers(1, 3))
@settings(max_examples=150)
def test_operands_move_exactly_their_bursts(data: Any, system: hbm.System, order: str, n: int) -> None:
    accesses = [data.draw(operands(system.capacity_bytes)) for _ in range(n)]
    trace = cases.trace_of(accesses)
    tile_bytes = data.draw(st.sampled_from([32, 96, 1024]))
    result = simulate(system, trace, order=order, tile_bytes=tile_bytes, command_log=True, threads=1)
    want = [Counter(b for a in accesses if a.is_write == w for b in cases.bursts_of(a)) for w in (False, True)]
    read, written = (moved(system, result.command_log, c) for c in (cases.READS, cases.WRITES))
    assert written == want[1]
    # A read that finds its burst waiting to be written takes it from there.
    assert not read - want[0]
    assert (want[0] - read).total() == result.summary["reads_forwarded"]
    table = result.operations
    assert table["bytes_read"].tolist() == [32 * want[0].total()]
    assert table["bytes_written"].tolist() == [32 * want[1].total()]


@given(st.data(), SYSTEMS)
@settings(max_examples=60)
def test_runs_beyond_the_end_wrap_to_the_start(data: Any, system: hbm.System) -> None:
    capacity = system.capacity_bytes
    inner = data.draw(operands(capacity))
    far = data.draw(st.integers(0, 3 * capacity))
    access = Access(False, 0, inner.base_address + far, inner.run_bytes, inner.dims, inner.row_offsets)
    result = simulate(system, cases.trace_of([access]), wrap=True, command_log=True, threads=1)
    n = capacity // 32
    assert moved(system, result.command_log, cases.READS) == Counter(b % n for b in cases.bursts_of(access))


@given(st.data(), SYSTEMS, st.booleans())
@settings(max_examples=100)
def test_requests_of_any_size_touch_every_burst_they_overlap(data: Any, system: hbm.System, wrap: bool) -> None:
    capacity = system.capacity_bytes
    n = data.draw(st.integers(1, 20))
    sizes = data.draw(st.lists(st.integers(1, 300), min_size=n, max_size=n))
    top = 2**64 - 1 if wrap else capacity
    addresses = [data.draw(st.integers(0, top if wrap else top - size)) for size in sizes]
    trace = hbm.Trace.from_requests(addresses, [0] * n, size=sizes)
    result = simulate(system, trace, wrap=wrap, command_log=True, threads=1)
    want = Counter(
        b % (capacity // 32)
        for a, size in zip(addresses, sizes, strict=True)
        for b in range(a % capacity // 32, (a % capacity + size - 1) // 32 + 1)
    )
    assert moved(system, result.command_log, cases.READS) == want
    assert result.trace["bytes_asked"] == sum(sizes)
    assert result.summary["padding_bytes"] == 32 * want.total() - sum(sizes)


@given(st.data(), st.sampled_from([1, 2, 3]))
@settings(max_examples=40)
def test_maps_move_the_same_bytes_whatever_they_are(data: Any, stacks: int) -> None:
    first = system_of(MAPS[0], stacks, 3)
    access = data.draw(operands(first.capacity_bytes))
    summaries = [
        simulate(system_of(mapping, stacks, 3), cases.trace_of([access]), threads=1).summary for mapping in MAPS
    ]
    for key in ("bytes_read", "bytes_written", "requests_in", "requests_out", "padding_bytes"):
        assert len({summary[key] for summary in summaries}) == 1
