"""Traces from memory: arrays of requests, lists of operations.

Owns the validation of what a caller hands over; must not know files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.model import (
    CHUNK_RECORDS,
    Operation,
    Operations,
    OpTrace,
    Progress,
    RequestChunk,
    RequestTrace,
    check_max_records,
    phase_set,
)
from hbmmodel.trace.problem import trace_error

__all__ = ["ArrayRequests", "from_operations", "from_requests"]


class ArrayRequests(RequestTrace):
    """Requests held in arrays of equal length (validated by `from_requests`)."""

    format = "memory"

    def __init__(
        self,
        name: str,
        address: NDArray[np.uint64],
        is_write: NDArray[np.uint8],
        time_ps: NDArray[np.int64] | None,
        size_bytes: NDArray[np.uint32] | None,
    ) -> None:
        self.name = name
        self.timed = time_ps is not None
        self.known_records = len(address)
        self._arrays = (address, is_write, size_bytes, time_ps)
        self._hash: str | None = None
        for array in self._arrays:
            if array is not None:
                array.flags.writeable = False  # chunks are views of them

    def content_hash(self) -> str:
        """SHA-256 (hex) of the arrays."""
        if self._hash is None:
            hasher = hashlib.sha256()
            for array in self._arrays:
                hasher.update(b"-" if array is None else str(array.dtype).encode())
                if array is not None:
                    hasher.update(array.data)
            self._hash = hasher.hexdigest()
        return self._hash

    def chunks(self, max_records: int = CHUNK_RECORDS) -> Iterator[RequestChunk]:
        """Views of the arrays, in chunks."""
        check_max_records(max_records)
        address, is_write, size_bytes, time_ps = self._arrays
        for first in range(0, len(address), max_records):
            part = slice(first, first + max_records)
            yield RequestChunk(
                address[part],
                is_write[part],
                None if size_bytes is None else size_bytes[part],
                None if time_ps is None else time_ps[part],
                first,
            )


def from_requests(
    address: ArrayLike,
    is_write: ArrayLike,
    time_ps: ArrayLike | None = None,
    size: ArrayLike | None = None,
    name: str = "<requests>",
) -> RequestTrace:
    """Trace of requests from arrays; the arrays are copied.

    Parameters
    ----------
    address : array_like of int, shape (n,)
        Byte addresses, 0 to 2^64 - 1.
    is_write : array_like of bool or 0/1, shape (n,)
        Direction.
    time_ps : array_like of int, shape (n,), optional
        When each request is offered [ps], not negative, ascending. None: as fast as they are accepted.
    size : array_like of int, shape (n,), optional
        Bytes of each request, 1 to 2^32 - 1. None: one burst each.
    name : str
        Name in messages and results.

    Raises
    ------
    HbmTraceError
        An array has the wrong shape, kind or values, or holds no requests.

    Examples
    --------
    >>> trace = from_requests([0, 64], [0, 1], time_ps=[0, 1000])
    >>> chunk, = trace.chunks()
    >>> chunk.address.tolist(), chunk.is_write.tolist(), chunk.time_ps.tolist()
    ([0, 64], [0, 1], [0, 1000])
    """
    where = _integers(name, "address", address, 0, 2**64 - 1)
    if len(where) == 0:
        raise HbmTraceError(f"{name}: trace holds no requests; give at least one")
    given = [("is_write", is_write, 0, 1), ("time_ps", time_ps, 0, 2**63 - 1), ("size", size, 1, 2**32 - 1)]
    found: list[NDArray[np.generic] | None] = []
    for field, values, low, high in given:
        if values is None:
            found.append(None)
            continue
        array = _integers(name, field, values, low, high)
        if len(array) != len(where):
            raise HbmTraceError(
                f"{name}: field {field}: {len(array)} values for {len(where)} addresses; give one for each"
            )
        found.append(array)
    write, time, sizes = found
    assert write is not None
    if time is not None:
        later = time.astype(np.int64)
        bad = np.flatnonzero(later[1:] < later[:-1])
        if len(bad):
            i = int(bad[0]) + 1
            raise trace_error(
                name,
                f"earlier than the {later[i - 1]} before it",
                record=i,
                field="time_ps",
                got=int(later[i]),
                remedy="sort the requests by time",
            )
    return ArrayRequests(
        name,
        where.astype(np.uint64),
        write.astype(np.uint8),
        None if time is None else time.astype(np.int64),
        None if sizes is None else sizes.astype(np.uint32),
    )


def _integers(name: str, field: str, values: ArrayLike, low: int, high: int) -> NDArray[np.generic]:
    """Check one argument: whole numbers in [low, high] in one dimension; named by record otherwise."""
    try:
        array = np.array(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise HbmTraceError(f"{name}: field {field}: not an array: {error}; give whole numbers") from None
    if array.ndim != 1:
        raise HbmTraceError(f"{name}: field {field}: {array.ndim} dimensions; give an array of one")
    if array.size == 0:
        return np.zeros(0, np.uint64)
    if array.dtype.kind not in ("biu" if high == 1 else "iu"):
        # Python integers beyond 64 bits, or a mixture of signs, arrive as objects or floats.
        listed = values if isinstance(values, list | tuple) else array.tolist()
        for i, value in enumerate(listed):
            if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
                raise trace_error(name, "not a whole number", record=i, field=field, got=value, remedy="give integers")
            if not low <= value <= high:
                raise _outside(name, field, i, int(value), low, high)
        return np.array(listed, dtype=np.uint64)
    bad = (array < low) | (array > high)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise _outside(name, field, i, int(array[i]), low, high)
    return array


def _outside(name: str, field: str, record: int, value: int, low: int, high: int) -> HbmTraceError:
    return trace_error(
        name,
        f"outside {low}..{high}",
        record=record,
        field=field,
        got=value,
        remedy="give a number in that range",
    )


def _listed(
    operations: Sequence[Operation], phases: frozenset[str] | None, all: bool, progress: Progress
) -> Iterator[Operation]:
    index = 0
    for operation in operations:
        progress.n_operations += 1
        if operation.phase not in progress.phases:
            progress.phases.append(operation.phase)
        if phases is not None and operation.phase not in phases:
            continue
        if operation.accesses or all:
            yield replace(operation, index=index)
            index += 1


class _ListedOperations(OpTrace):
    format = "memory"

    def __init__(self, operations: Sequence[Operation], name: str, phases: frozenset[str] | None = None) -> None:
        self.name = name
        self._operations = operations
        self._phases = phases

    def content_hash(self) -> str:
        hasher = hashlib.sha256()
        for operation in self._operations:
            hasher.update(repr((operation.seq, operation.name, operation.phase)).encode())
            if operation.after_all:
                hasher.update(b"after all")
            for access in operation.accesses:
                rows = access.row_offsets
                fields = (access.is_write, access.base_address, access.run_bytes, access.dims)
                hasher.update(repr((fields, None if rows is None else rows.tobytes())).encode())
        return hasher.hexdigest()

    def operations(self, all: bool = False) -> Operations:
        progress = Progress()
        return self._follow(_listed(self._operations, self._phases, all, progress), progress)

    def select(self, phase: str | Sequence[str]) -> OpTrace:
        wanted = phase_set(phase)
        known = self._phases or {operation.phase for operation in self._operations}
        if missing := sorted(wanted - known):
            raise HbmTraceError(
                f"{self.name}: no operation of phase {missing[0]!r}; phases are {', '.join(sorted(known))}"
            )
        return _ListedOperations(self._operations, self.name, wanted)


def from_operations(operations: Iterable[Operation], name: str = "<operations>") -> OpTrace:
    """Trace of operations from a list.

    Raises
    ------
    HbmTraceError
        The list is empty.

    Examples
    --------
    >>> from hbmmodel.trace import Access
    >>> read = Access(False, 0, 0, 4096)
    >>> trace = from_operations([Operation(0, 0, "read", "step", 0, 0, (read,))])
    >>> [op.bytes_read for op in trace.operations()]
    [4096]
    """
    listed = tuple(operations)
    if not listed:
        raise HbmTraceError(f"{name}: trace holds no operations; give at least one")
    return _ListedOperations(listed, name)
