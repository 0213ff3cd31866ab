"""Traces from arrays and lists: what is accepted, and how bad input is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace import Access, Operation, Trace


def test_arrays_become_chunks_of_fixed_types() -> None:
    trace = Trace.from_requests([0, 2**64 - 1, 64], [True, False, True], [0, 0, 5], [1, 32, 2**32 - 1])
    first, second = trace.chunks(max_records=2)
    assert first.address.tolist() == [0, 2**64 - 1] and first.address.dtype == np.uint64
    assert first.is_write.tolist() == [1, 0] and first.is_write.dtype == np.uint8
    assert first.time_ps is not None and first.time_ps.dtype == np.int64
    assert first.size_bytes is not None and first.size_bytes.dtype == np.uint32
    assert (first.first_record, second.first_record, len(first), len(second)) == (0, 2, 2, 1)
    assert trace.timed and trace.known_records == 3
    assert len(list(trace.chunks())) == 1  # again, from the start


def test_later_changes_of_the_callers_arrays_do_not_matter() -> None:
    address = np.array([1, 2, 3], np.uint64)
    trace = Trace.from_requests(address, [0, 0, 0])
    address[:] = 9
    (chunk,) = trace.chunks()
    assert chunk.address.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        chunk.address[0] = 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "<requests>: trace holds no requests; give at least one"),
        (([[1]], [0]), "field address: 2 dimensions; give an array of one"),
        ((1, 0), "field address: 0 dimensions"),
        (([1.5], [0]), "record 0: field address: not a whole number: got 1.5; give integers"),
        (([0.0], [0]), "record 0: field address: not a whole number: got 0.0"),
        (([1, -5], [0, 0]), "record 1: field address: outside 0..18446744073709551615: got -5"),
        (([1, 2**64], [0, 0]), "field address: outside 0..18446744073709551615: got 18446744073709551616"),
        ((["a"], [0]), "record 0: field address: not a whole number: got 'a'"),
        (([None], [0]), "field address: not a whole number"),
        (([True, False], [0, 0]), "record 0: field address: not a whole number: got True; give integers"),
        ((np.array([True]), [0]), "record 0: field address: not a whole number"),
        (([1], [0], [False]), "record 0: field time_ps: not a whole number: got False"),
        (([[1], [2, 3]], [0, 0]), "field address: not an array"),
        (([1, 2], [0]), "field is_write: 1 values for 2 addresses; give one for each"),
        (([1], [2]), "record 0: field is_write: outside 0..1: got 2"),
        (([1], [-1]), "record 0: field is_write: outside 0..1: got -1"),
        (([1], [0.5]), "record 0: field is_write: not a whole number"),
        (([1, 2], [0, 0], [5, 4]), "record 1: field time_ps: earlier than the 5 before it: got 4; sort the"),
        (([1], [0], [-1]), "record 0: field time_ps: outside 0..9223372036854775807: got -1"),
        (([1], [0], [2**63]), "record 0: field time_ps: outside"),
        (([1], [0], [float("nan")]), "record 0: field time_ps: not a whole number: got nan"),
        (([1], [0], [float("inf")]), "record 0: field time_ps: not a whole number: got inf"),
        (([1], [0], None, [0]), "record 0: field size: outside 1..4294967295: got 0"),
        (([1], [0], None, [2**32]), "record 0: field size: outside 1..4294967295"),
    ],
)  # fmt: skip
def test_bad_arrays_are_named(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(HbmTraceError) as caught:
        Trace.from_requests(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("max_records", [0, -1, 1.5, None])
def test_chunks_need_a_positive_size(max_records: Any) -> None:
    with pytest.raises(HbmArgumentError, match="max_records is"):
        next(Trace.from_requests([0], [0]).chunks(max_records))


def test_the_hash_tells_contents_apart() -> None:
    hashes = {
        Trace.from_requests([1, 2], [0, 0]).content_hash(),
        Trace.from_requests([1, 2], [0, 1]).content_hash(),
        Trace.from_requests([1, 2], [0, 0], [0, 0]).content_hash(),
        Trace.from_requests([1, 2], [0, 0], None, [32, 32]).content_hash(),
    }
    assert len(hashes) == 4
    assert Trace.from_requests([1, 2], [0, 0]).content_hash() in hashes


def test_requests_have_no_phases() -> None:
    with pytest.raises(HbmArgumentError, match="phase 'decode' selects operations of a capture; this has none"):
        Trace.from_requests([1], [0]).select("decode")


def op(phase: str, *accesses: Access) -> Operation:
    return Operation(99, 7, "x", phase, 0, 0, accesses)


def test_operations_from_a_list() -> None:
    access = Access(False, 0, 0, 64)
    trace = Trace.from_operations([op("a", access), op("a"), op("b", access, access)])
    assert [(o.index, o.seq, o.phase) for o in trace.operations()] == [(0, 7, "a"), (1, 7, "b")]
    assert len(list(trace.operations(all=True))) == 3
    assert [o.bytes_read for o in trace.select("b").operations()] == [128]
    assert trace.random_gathers == 0
    with pytest.raises(HbmTraceError, match="no operation of phase 'c'; phases are a, b"):
        trace.select(["c"])
    with pytest.raises(HbmTraceError, match="trace holds no operations"):
        Trace.from_operations([])
    assert trace.content_hash() != Trace.from_operations([op("a", access)]).content_hash()
