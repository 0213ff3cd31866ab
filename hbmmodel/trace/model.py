"""What a trace is: requests with addresses, or operations with byte ranges.

Owns the public classes that readers produce and the simulator consumes; must not know any file format.
Both kinds are streams: iterating never holds more than one chunk or one operation, and iterating again starts
again.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace.access import Access

if TYPE_CHECKING:
    from hbmmodel.trace.allocator import CachingAllocator

__all__ = [
    "CHUNK_RECORDS",
    "OpTrace",
    "Operation",
    "Operations",
    "Progress",
    "RequestChunk",
    "RequestTrace",
    "Trace",
    "check_max_records",
    "phase_set",
    "uniform_sizes",
]

CHUNK_RECORDS = 1 << 18


class Trace(abc.ABC):
    """Any trace: `from_requests` and `from_operations` make one from memory, `read_trace` from a file.

    Attributes
    ----------
    kind : {"requests", "operations"}
        What the trace holds.
    name : str
        Where it is from: a path, or a name in angle brackets.
    format : str
        Name of the format, e.g. ``"dramsim3"``; ``"memory"`` for arrays and lists.
    timed : bool
        Whether it holds requests with times.

    Examples
    --------
    >>> trace = Trace.from_requests([0, 64, 128], [False, False, True])
    >>> trace
    <ArrayRequests '<requests>': 3 requests, memory>
    >>> trace.kind, trace.timed, trace.known_records
    ('requests', False, 3)
    """

    kind: str
    name: str
    format: str
    timed: bool = False

    def __repr__(self) -> str:
        n: int | None = getattr(self, "known_records", None)
        return f"<{type(self).__name__} {self.name!r}: {'' if n is None else f'{n} '}{self.kind}, {self.format}>"

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed or left out when it was read; asking may read the whole file."""
        return ()

    @abc.abstractmethod
    def content_hash(self) -> str:
        """SHA-256 (hex) of the source: the bytes of the files, or of the arrays."""

    def info(self) -> dict[str, Any]:
        """What the trace holds, in one pass over it; see `hbmmodel.trace.info.info`."""
        from hbmmodel.trace.info import info

        return info(self)

    def select(self, phase: str | Sequence[str]) -> Trace:
        """Operations of some phases only; a trace of requests has none."""
        raise HbmArgumentError(f"{self.name}: phase {phase!r} selects operations of a capture; this has none")

    @staticmethod
    def from_requests(
        address: ArrayLike,
        is_write: ArrayLike,
        time_ps: ArrayLike | None = None,
        size: ArrayLike | None = None,
        name: str = "<requests>",
    ) -> RequestTrace:
        """Trace of single requests held in arrays; see `hbmmodel.trace.arrays.from_requests`."""
        from hbmmodel.trace.arrays import from_requests

        return from_requests(address, is_write, time_ps, size, name)

    @staticmethod
    def from_operations(operations: Iterable[Operation], name: str = "<operations>") -> OpTrace:
        """Trace of operations held in a list; see `hbmmodel.trace.arrays.from_operations`."""
        from hbmmodel.trace.arrays import from_operations

        return from_operations(operations, name)


@dataclass(frozen=True, slots=True, eq=False)
class RequestChunk:
    """Consecutive requests of a trace.

    Parameters
    ----------
    address : ndarray of uint64, shape (n,)
        Byte addresses. Of length 0 in a trace of coordinates that no address map was given for.
    is_write : ndarray of uint8, shape (n,)
        0 read, 1 write.
    size_bytes : ndarray of uint32, shape (n,), optional
        Bytes of each request (> 0); None: one burst each.
    time_ps : ndarray of int64, shape (n,), optional
        When each request is offered [ps], ascending; None: as fast as they are accepted.
    first_record : int
        Number of the first request in the trace, from 0.
    vector : ndarray of int32, shape (n, k), optional
        Coordinates, highest level first, in a trace of coordinates.
    """

    address: NDArray[np.uint64]
    is_write: NDArray[np.uint8]
    size_bytes: NDArray[np.uint32] | None = None
    time_ps: NDArray[np.int64] | None = None
    first_record: int = 0
    vector: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.is_write)


class RequestTrace(Trace):
    """Requests in the order in which they are offered.

    Attributes
    ----------
    addressed : bool
        False for a trace of coordinates (``.vector``) that still needs `with_addresses`.
    known_records : int or None
        Number of requests, where it is known without reading everything.
    """

    kind = "requests"
    addressed: bool = True
    known_records: int | None = None

    @abc.abstractmethod
    def chunks(self, max_records: int = CHUNK_RECORDS) -> Iterator[RequestChunk]:
        """Stream the requests from the start in chunks of 1 to `max_records`.

        Raises
        ------
        HbmTraceError
            A record is malformed, or the trace holds none.
        """

    def with_addresses(self, to_address: Callable[[NDArray[np.int32]], NDArray[np.uint64]]) -> RequestTrace:
        """The same trace with the addresses of its coordinates.

        Parameters
        ----------
        to_address : callable
            Coordinates (n, k) int32 -> byte addresses (n,) uint64, from the system's address map.
        """
        return _Addressed(self, to_address)


class _Addressed(RequestTrace):
    def __init__(self, trace: RequestTrace, to_address: Callable[[NDArray[np.int32]], NDArray[np.uint64]]) -> None:
        self._trace = trace
        self._to_address = to_address
        self.name, self.format, self.timed = trace.name, trace.format, trace.timed
        self.known_records = trace.known_records

    def content_hash(self) -> str:
        return self._trace.content_hash()

    def chunks(self, max_records: int = CHUNK_RECORDS) -> Iterator[RequestChunk]:
        for chunk in self._trace.chunks(max_records):
            if chunk.vector is not None:
                address = np.ascontiguousarray(self._to_address(chunk.vector), dtype=np.uint64)
                if address.shape != chunk.is_write.shape:
                    shape, n = address.shape, len(chunk)
                    raise HbmTraceError(f"{self.name}: to_address gave {shape} addresses for {n} requests")
                chunk = replace(chunk, address=address)
            yield chunk


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of a run and the bytes that it moves.

    Parameters
    ----------
    index : int
        Number among the operations that this pass over the trace yields, from 0.
    seq : int
        The capture's own number.
    name : str
        Such as ``"aten.mm.default"``.
    phase : str
        Label of the part of the run; ``""`` before the first.
    time_ns, duration_ns : int
        Start and duration on the machine that made the capture [ns]. Of a CPU: noise, not to be simulated.
    accesses : tuple of Access
        Reads first, then writes, each in order of the operands; empty when nothing is moved.
    after_all : bool
        Whether it must wait for every operation before it, because its addresses follow from what they read.
    """

    index: int
    seq: int
    name: str
    phase: str
    time_ns: int
    duration_ns: int
    accesses: tuple[Access, ...]
    after_all: bool = False

    @property
    def bytes_read(self) -> int:
        """Bytes read."""
        return sum(access.n_bytes for access in self.accesses if not access.is_write)

    @property
    def bytes_written(self) -> int:
        """Bytes written."""
        return sum(access.n_bytes for access in self.accesses if access.is_write)


@dataclass(slots=True)
class Progress:
    """What a pass over operations has met so far.

    Attributes
    ----------
    n_operations : int
        Operations, those that move nothing included.
    n_random_gathers : int
        Gathers whose rows the capture does not record and that were drawn at random.
    phases : list of str
        Phases, in order of their first appearance.
    allocator : CachingAllocator or None
        Where the storages lie, for traces that are placed by the allocator model.
    """

    n_operations: int = 0
    n_random_gathers: int = 0
    phases: list[str] = field(default_factory=list)
    allocator: CachingAllocator | None = None


class Operations(Iterator[Operation]):
    """One pass over the operations of a trace.

    Attributes
    ----------
    progress : Progress
        What is known of the part already passed.
    """

    def __init__(self, operations: Iterator[Operation], progress: Progress) -> None:
        self._operations = operations
        self.progress = progress

    def __next__(self) -> Operation:
        return next(self._operations)


class OpTrace(Trace):
    """Operations with byte ranges, in order.

    Attributes
    ----------
    random_gathers : int
        Gathers of the latest pass whose rows the capture does not record and that were drawn at random.
    workload : mapping or None
        What the operations do for whom, in JSON types, where it is known: tokens, steps, parameters, ...; see
        `hbmmodel.workload`.
    """

    kind = "operations"
    workload: Mapping[str, Any] | None = None
    _progress: Progress | None = None

    @property
    def rewrites(self) -> tuple[str, ...]:
        """Passes that changed the trace before it was placed, in order."""
        return ()

    @property
    def random_gathers(self) -> int:
        """Gathers of the latest pass whose rows were drawn at random."""
        return 0 if self._progress is None else self._progress.n_random_gathers

    def _follow(self, operations: Iterator[Operation], progress: Progress) -> Operations:
        """Start a pass and remember how it goes."""
        self._progress = progress
        return Operations(operations, progress)

    @abc.abstractmethod
    def operations(self, all: bool = False) -> Operations:
        """Stream the operations from the start.

        Parameters
        ----------
        all : bool
            Yield operations that move no bytes too.

        Raises
        ------
        HbmTraceError
            A record is malformed, or no operation belongs to the selected phases.
        """

    @abc.abstractmethod
    def select(self, phase: str | Sequence[str]) -> OpTrace:
        """The operations of one phase, or of several; storages of the rest still take their place.

        Raises
        ------
        HbmTraceError
            No operation belongs to one of them; perhaps only when the trace has been passed over.
        """


def phase_set(phase: str | Sequence[str]) -> frozenset[str]:
    """Labels of a selection of phases; HbmArgumentError if they are none.

    Examples
    --------
    >>> sorted(phase_set(("forward", "backward")))
    ['backward', 'forward']
    """
    found = (phase,) if isinstance(phase, str) else phase
    try:
        labels = frozenset(found)
    except TypeError:
        labels = frozenset()
    if not labels or not all(isinstance(label, str) for label in labels):
        raise HbmArgumentError(f"phase is {phase!r}; give a phase's label, or several")
    return labels


def check_max_records(max_records: int) -> None:
    """Refuse a chunk size that is no whole number from 1 on."""
    if type(max_records) is not int or max_records < 1:
        raise HbmArgumentError(f"max_records is {max_records!r}; give a whole number from 1 on")


def uniform_sizes(chunk: RequestChunk) -> Iterator[RequestChunk]:
    """Split a chunk where size 0 means "one burst" into chunks where all requests, or none, have a size."""
    size = chunk.size_bytes
    if size is None or size.all():
        yield chunk
        return
    if not size.any():
        yield replace(chunk, size_bytes=None)
        return
    edges = np.flatnonzero(np.diff(size == 0)) + 1
    bounds = [0, *edges.tolist(), len(size)]
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        part = slice(low, high)
        yield RequestChunk(
            chunk.address[part],
            chunk.is_write[part],
            size[part] if size[low] else None,
            None if chunk.time_ps is None else chunk.time_ps[part],
            chunk.first_record + low,
            None if chunk.vector is None else chunk.vector[part],
        )
