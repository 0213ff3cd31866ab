"""Waves: operations in order, members that may run together, and no wave that ends for nothing."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hbmmodel.sim import WAVE_MAX, waves
from hbmmodel.trace import Access, Operation


def access(is_write: bool, base: int, run: int, dims: list[tuple[int, int]], rows: list[int] | None) -> Access:
    if rows is not None:
        return Access(is_write, 0, base, run, (), np.array(rows, dtype=np.int64))
    return Access(is_write, 0, base, run, tuple(dims))


ACCESSES = st.builds(
    access,
    st.booleans(),
    st.integers(0, 600),
    st.integers(1, 80),
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 100)), max_size=2),
    st.none() | st.lists(st.integers(0, 200), min_size=1, max_size=3),
)
OPERATIONS = st.lists(st.lists(ACCESSES, max_size=3), max_size=25).map(
    lambda listed: [Operation(i, i, f"op{i}", "", 0, 0, tuple(a)) for i, a in enumerate(listed)]
)


def touched(operation: Operation, is_write: bool) -> set[int]:
    """Every byte from the lowest to the highest of every operand of one direction."""
    spans = [a.span for a in operation.accesses if a.is_write == is_write]
    return {byte for low, high in spans for byte in range(low, high)}


def depend(first: Operation, second: Operation) -> bool:
    written, read = touched(first, True), touched(first, False)
    return bool(written & (touched(second, True) | touched(second, False)) or read & touched(second, True))


@given(OPERATIONS)
@settings(max_examples=150)
def test_members_of_a_wave_do_not_depend_on_each_other(operations: list[Operation]) -> None:
    for wave in waves(operations):
        assert not any(depend(a, b) for a, b in combinations(wave, 2))


@given(OPERATIONS, st.sampled_from([1, 2, 3, WAVE_MAX]))
@settings(max_examples=150)
def test_waves_keep_every_operation_and_the_order_and_end_only_when_they_must(
    operations: list[Operation], limit: int
) -> None:
    grouped = list(waves(operations, limit))
    assert [o for wave in grouped for o in wave] == operations
    assert all(1 <= len(wave) <= limit for wave in grouped)
    for before, after in zip(grouped[:-1], grouped[1:], strict=True):
        assert len(before) == limit or any(depend(member, after[0]) for member in before)


@given(OPERATIONS)
@settings(max_examples=50)
def test_waves_are_made_while_the_trace_is_read(operations: list[Operation]) -> None:
    taken = 0

    def stream() -> Any:
        nonlocal taken
        for operation in operations:
            taken += 1
            yield operation

    seen = 0
    for wave in waves(stream()):
        seen += len(wave)
        assert taken <= seen + 1  # only the operation that ended the wave was looked at


def test_operations_that_move_nothing_join_any_wave() -> None:
    write = Access(True, 0, 0, 64)
    operations = [Operation(0, 0, "w", "", 0, 0, (write,)), Operation(1, 1, "view", "", 0, 0, ())]
    assert [len(wave) for wave in waves(operations)] == [2]
