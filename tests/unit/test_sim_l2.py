"""The on-chip filter against a dozen lines of Python: hits, misses, write-backs, and what reaches the memory."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.sim import L2, simulate
from hbmmodel.trace import Trace


class PlainCache:
    """Set-associative, least recently used out first, one valid and one dirty bit per burst."""

    def __init__(self, l2: L2) -> None:
        self.line_bursts = l2.line_bytes // 32
        self.ways = l2.ways
        self.sets: list[OrderedDict[int, tuple[set[int], set[int]]]] = [
            OrderedDict() for _ in range(l2.size_bytes // 32 // self.line_bursts // l2.ways)
        ]
        self.counts = Counter[str]()
        self.read = Counter[int]()
        self.written = Counter[int]()

    def access(self, burst: int, is_write: bool) -> None:
        line = burst // self.line_bursts
        ways = self.sets[line % len(self.sets)]
        if line not in ways:
            if len(ways) == self.ways:
                _, (_, dirty) = ways.popitem(last=False)
                self.counts["writebacks"] += len(dirty)
                self.written.update(dirty)
            ways[line] = (set(), set())
        ways.move_to_end(line)
        valid, dirty = ways[line]
        self.counts["hits" if burst in valid else "misses"] += 1
        if burst not in valid and not is_write:
            self.read[burst] += 1
        valid.add(burst)
        if is_write:
            dirty.add(burst)


def random_program(seed: int, n: int = 60, reach: int = 1 << 16) -> list[Any]:
    rng = np.random.default_rng(seed)
    operations = []
    for i in range(n):
        accesses = []
        for _ in range(int(rng.integers(1, 4))):
            make = cases.writes if rng.random() < 0.4 else cases.reads
            base = int(rng.integers(0, reach))
            kind = rng.integers(3)
            if kind == 0:
                accesses.append(make(base, int(rng.integers(1, 3000))))
            elif kind == 1:
                accesses.append(make(base, 40, [(int(rng.integers(1, 30)), 400)]))
            else:
                accesses.append(make(0, 48, rows=rng.integers(0, reach, 20)))
        operations.append(cases.operation(i, *accesses))
    return operations


@pytest.mark.parametrize(
    "l2",
    [
        L2(8192),
        L2(2048, line_bytes=32, ways=1),
        L2(4096, line_bytes=32, ways=64),
        L2(16384, line_bytes=1024, ways=2),
        L2(10_000, line_bytes=128, ways=3),  # 26 sets: any number will do
        L2(128 * 16),  # one set
        L2(1 << 24),
    ],
    ids=str,
)
@pytest.mark.parametrize("order", ["tile", "stream"])
def test_filter_does_what_a_plain_lru_cache_does(l2: L2, order: str) -> None:
    system = cases.small(channels=2)
    operations = random_program(seed=l2.ways)
    plain = PlainCache(l2)
    result = simulate(system, cases.trace_of(*operations), l2=l2, order=order, command_log=True)
    for i in np.argsort(result.operations["start_ns"], kind="stable"):  # that is the order in which they reach it
        for access in operations[i].accesses:
            for burst in cases.bursts_of(access):
                plain.access(burst, access.is_write)
    summary = result.summary
    assert {key: summary[f"l2_{key}"] for key in ("hits", "misses", "writebacks")} == {
        key: plain.counts[key] for key in ("hits", "misses", "writebacks")
    }
    hits, misses = plain.counts["hits"], plain.counts["misses"]
    assert summary["l2_hit_rate"] == pytest.approx(hits / (hits + misses))

    def moved(commands: Any) -> Counter[int]:
        addresses = cases.addresses_moved(system, result.command_log, commands)
        return Counter(int(a) // 32 for a in addresses)

    assert moved(cases.WRITES) == plain.written
    read = moved(cases.READS)
    assert not read - plain.read
    assert (plain.read - read).total() == summary["reads_forwarded"]
    assert result.operations["bytes_read"].sum() == 32 * plain.read.total()
    assert result.operations["bytes_written"].sum() == 32 * plain.written.total()


def test_second_pass_over_what_fits_reaches_no_memory() -> None:
    once = [cases.operation(0, cases.reads(0, 1 << 18))]
    twice = [*once, cases.operation(1, cases.reads(0, 1 << 18))]
    system = cases.small()
    fits = simulate(system, cases.trace_of(*twice), l2=1 << 18)
    assert fits.summary["bytes_read"] == 1 << 18
    assert fits.summary["l2_hit_rate"] == 0.5
    assert fits.operations["bytes_read"].tolist() == [1 << 18, 0]
    assert fits.operations["duration_ns"][1] == 0
    # One line more than fits, in a circle: the least recently used is always the next one needed.
    thrashes = simulate(system, cases.trace_of(*twice), l2=L2((1 << 18) - 128, ways=64))
    assert thrashes.summary["l2_hits"] < 0.05 * thrashes.summary["l2_misses"]


def test_writes_stay_on_chip_until_their_line_is_needed() -> None:
    system = cases.small()
    kept = simulate(system, cases.trace_of([cases.writes(0, 4096)], [cases.reads(0, 4096)]), l2=1 << 16).summary
    assert (kept["bytes_read"], kept["bytes_written"], kept["l2_writebacks"]) == (0, 0, 0)
    evicted = simulate(
        system, cases.trace_of([cases.writes(0, 4096)], [cases.reads(1 << 20, 1 << 16)]), l2=1 << 16
    )
    assert evicted.summary["bytes_written"] == 4096 == 32 * evicted.summary["l2_writebacks"]
    assert evicted.operations["bytes_written"].tolist() == [0, 4096]  # charged to whoever needed the room


def test_partly_written_lines_write_back_only_what_was_written() -> None:
    trace = cases.trace_of([cases.writes(0, 32, [(64, 128)])], [cases.reads(1 << 20, 1 << 14)])
    summary = simulate(cases.small(), trace, l2=1 << 13).summary
    assert summary["l2_writebacks"] == 64 == summary["n_wr"]


def test_without_a_filter_its_keys_are_empty() -> None:
    summary = simulate(cases.small(), cases.trace_of([cases.reads(0, 64)])).summary
    assert [summary[f"l2_{k}"] for k in ("hits", "misses", "writebacks", "hit_rate")] == [None] * 4


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"size_bytes": 0}, "L2 size_bytes is 0"),
        ({"size_bytes": 100}, "one set of 16 lines of 128 bytes needs 2048"),
        ({"size_bytes": 1 << 20, "line_bytes": 96}, "must be a power of two"),
        ({"size_bytes": 1 << 20, "ways": 65}, "in 1..64"),
        ({"size_bytes": 1e6}, "whole number"),
        ({"size_bytes": True}, "whole number"),
    ],
)
def test_impossible_filter_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(HbmArgumentError, match=told) as caught:
        L2(**arguments)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("line_bytes", [16, 2048])
def test_lines_are_one_to_32_bursts(line_bytes: int) -> None:
    with pytest.raises(HbmArgumentError, match=f"lines of {line_bytes} bytes"):
        simulate(cases.small(), cases.trace_of([cases.reads(0, 64)]), l2=L2(1 << 20, line_bytes=line_bytes))


@pytest.mark.parametrize("l2", [1e6, "1MB", True, -5])
def test_what_is_no_filter_is_refused(l2: Any) -> None:
    with pytest.raises(HbmArgumentError):
        simulate(cases.small(), cases.trace_of([cases.reads(0, 64)]), l2=l2)


def test_filter_for_requests_is_refused() -> None:
    with pytest.raises(HbmArgumentError, match="taken as what the memory sees"):
        simulate(cases.small(), Trace.from_requests([0], [0]), l2=1 << 20)


def test_filtered_run_is_legal_and_conserves() -> None:
    system = cases.small(channels=2, stacks=2)
    trace = cases.trace_of(*random_program(seed=2, reach=1 << 22))
    result = simulate(system, trace, l2=1 << 15, command_log=True)
    assert result.summary["requests_in"] == result.summary["requests_out"]
    assert hbm.check(system, result.command_log) == []
