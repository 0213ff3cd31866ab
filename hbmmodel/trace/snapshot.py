"""torch.cuda memory snapshots: where PyTorch's allocator on a GPU really put its blocks.

Owns the snapshot's schema (``docs/formats/snapshot.md``) and the comparison of our allocator model with it, address by
address; must not know how a pickle is read.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace.allocator import CachingAllocator
from hbmmodel.trace.problem import trace_error
from hbmmodel.trace.safe_pickle import load_plain

__all__ = [
    "AllocatorComparison",
    "Snapshot",
    "SnapshotBlock",
    "SnapshotEvent",
    "SnapshotSegment",
    "compare_allocator",
    "read_snapshot",
]

BYTES_MAX = 1 << 62
TEXT_MAX = 64
ELSEWHERE = 1 << 62  # where a segment is put that the GPU did not ask for


@dataclass(frozen=True, slots=True)
class SnapshotBlock:
    """A piece of a segment [bytes]; `state` as PyTorch names it, ``active_allocated``, ``inactive``, ..."""

    address: int
    size_bytes: int
    requested_bytes: int
    state: str


@dataclass(frozen=True, slots=True)
class SnapshotSegment:
    """Memory that the allocator got from the driver [bytes], and its blocks in order of addresses."""

    address: int
    size_bytes: int
    device: int
    stream: int
    pool: str
    blocks: tuple[SnapshotBlock, ...]


@dataclass(frozen=True, slots=True)
class SnapshotEvent:
    """One event of the allocator's history: ``alloc``, ``free_completed``, ``segment_alloc``, ... [bytes, us]."""

    action: str
    address: int
    size_bytes: int
    device: int
    stream: int
    time_us: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Contents of a snapshot file.

    Attributes
    ----------
    name : str
        The file.
    segments : tuple of SnapshotSegment
        When the snapshot was taken.
    events : tuple of SnapshotEvent
        The recorded history, per device in order; empty unless it was recorded.
    """

    name: str
    segments: tuple[SnapshotSegment, ...]
    events: tuple[SnapshotEvent, ...]

    @property
    def reserved_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size_bytes for segment in self.segments)

    @property
    def allocated_bytes(self) -> int:
        """Bytes of all blocks in use."""
        blocks = (block for segment in self.segments for block in segment.blocks)
        return sum(block.size_bytes for block in blocks if block.state.startswith("active"))

    def info(self) -> dict[str, Any]:
        """What the snapshot holds, and how our allocator compares with its history."""
        found: dict[str, Any] = {
            "name": self.name,
            "format": "torch-snapshot",
            "kind": "memory",
            "segments": len(self.segments),
            "blocks": sum(len(segment.blocks) for segment in self.segments),
            "reserved_bytes": self.reserved_bytes,
            "allocated_bytes": self.allocated_bytes,
            "events": len(self.events),
        }
        if self.events:
            compared = compare_allocator(self)
            found |= {
                "allocations": compared.n_compared,
                "same_address": compared.n_same,
                "allocator_agrees": compared.agrees,
            }
        return found


def read_snapshot(path: str | os.PathLike[str]) -> Snapshot:
    """Read what ``torch.cuda.memory._dump_snapshot`` wrote; plain, gzip, xz or zstd.

    The file is a pickle. It is read by a machine that knows plain data only: nothing in it is ever executed.

    Raises
    ------
    HbmTraceError
        The file is no pickle of plain data, or no snapshot; the message names the entry and the field.

    Examples
    --------
    >>> import pathlib, pickle, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.pickle"
    >>> block = {"size": 512, "requested_size": 40, "state": "active_allocated"}
    >>> segment = {"address": 4096, "total_size": 512, "segment_type": "small", "blocks": [block]}
    >>> _ = path.write_bytes(pickle.dumps({"segments": [segment], "device_traces": []}))
    >>> read_snapshot(path).segments[0].blocks[0].address
    4096
    """
    name = os.fsdecode(path)
    content = load_plain(name)
    if not isinstance(content, dict) or "segments" not in content:
        raise trace_error(name, "no memory snapshot", remedy="it is a dict with segments and device_traces")
    segments = tuple(_segment(name, i, item) for i, item in enumerate(_listed(name, "segments", content["segments"])))
    events: list[SnapshotEvent] = []
    for device, traced in enumerate(_listed(name, "device_traces", content.get("device_traces", []))):
        for item in _listed(name, f"device_traces[{device}]", traced):
            events.append(_event(name, len(events), device, item))
    return Snapshot(name, segments, tuple(events))


def _listed(name: str, what: str, value: object) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise trace_error(name, "not a list", field=what, got=type(value).__name__, remedy="take the snapshot again")
    return value


class _Entry:
    """A dict of the snapshot and the faults of its fields."""

    def __init__(self, name: str, what: str, number: int, entry: object) -> None:
        self._name = name
        self._what = what
        self._number = number
        if not isinstance(entry, dict):
            raise self._error("", "not a dict", type(entry).__name__)
        self._of = entry

    def _error(self, field: str, what: str, got: object) -> HbmTraceError:
        where = f"{self._what}.{field}" if field else self._what
        return trace_error(
            self._name, what, record=self._number, field=where, got=got, remedy="take the snapshot again"
        )

    def whole(self, field: str, default: int | None = None, high: int = BYTES_MAX) -> int:
        value = self._of.get(field, default)
        if type(value) is not int or not 0 <= value <= high:
            raise self._error(field, f"not a whole number in 0..{high}", value)
        return value

    def text(self, field: str, default: str | None = None) -> str:
        value = self._of.get(field, default)
        if not isinstance(value, str) or len(value) > TEXT_MAX:
            raise self._error(field, "not a short text", value)
        return value

    def get(self, field: str) -> Any:
        return self._of.get(field)


def _segment(name: str, number: int, item: object) -> SnapshotSegment:
    entry = _Entry(name, "segments", number, item)
    address, size = entry.whole("address"), entry.whole("total_size")
    at = address
    blocks = []
    for i, part in enumerate(_listed(name, f"segments[{number}].blocks", entry.get("blocks"))):
        block = _Entry(name, f"segments[{number}].blocks", i, part)
        n_bytes = block.whole("size")
        # Older snapshots do not give the address: blocks tile their segment.
        at = block.whole("address", at)
        blocks.append(SnapshotBlock(at, n_bytes, block.whole("requested_size", n_bytes), block.text("state")))
        at += n_bytes
    if at > address + size:
        raise trace_error(
            name, "the blocks are longer than the segment", record=number, field="segments", remedy="take it again"
        )
    return SnapshotSegment(
        address,
        size,
        entry.whole("device", 0, 1 << 16),
        entry.whole("stream", 0, 1 << 64),
        entry.text("segment_type", "unknown"),
        tuple(blocks),
    )


def _event(name: str, number: int, device: int, item: object) -> SnapshotEvent:
    entry = _Entry(name, "device_traces", number, item)
    action = entry.text("action")
    # An out-of-memory event gives the memory that was left in place of an address.
    address = entry.whole("addr", 0) if action != "oom" else 0
    return SnapshotEvent(
        action, address, entry.whole("size", 0), device, entry.whole("stream", 0, 1 << 64), entry.whole("time_us", 0)
    )


@dataclass(frozen=True, slots=True)
class AllocatorComparison:
    """How `CachingAllocator` compares with the history of a snapshot.

    Attributes
    ----------
    n_compared, n_same : int
        Allocations of the history, and those that our model puts at the same address.
    first_difference : tuple of (int, int, int), optional
        Number of the event, the GPU's address, ours.
    n_unknown_frees : int
        Frees of blocks that are older than the history.
    n_segments_returned : int
        Segments given back to the driver, which our model does not do.
    n_segments_differ : int
        Segments that our model asked for in another size or at another time.
    """

    n_compared: int
    n_same: int
    first_difference: tuple[int, int, int] | None
    n_unknown_frees: int
    n_segments_returned: int
    n_segments_differ: int

    @property
    def agrees(self) -> bool:
        """Whether every allocation is at the GPU's address."""
        return self.n_compared == self.n_same and self.n_segments_differ == 0


@dataclass(slots=True)
class _Pool:
    """The allocator of one stream of one device; its segments lie where the GPU's do."""

    pending: deque[tuple[int, int]] = field(default_factory=deque)
    differ: int = 0
    elsewhere: int = ELSEWHERE
    allocator: CachingAllocator = field(init=False)

    def __post_init__(self) -> None:
        self.allocator = CachingAllocator(placement=self._placed)

    def _placed(self, size_bytes: int) -> int:
        if self.pending and self.pending[0][1] == size_bytes:
            return self.pending.popleft()[0]
        self.differ += 1
        self.elsewhere += size_bytes
        return self.elsewhere - size_bytes


def compare_allocator(snapshot: Snapshot) -> AllocatorComparison:
    """Replay the history of a snapshot through our allocator model.

    Segments are placed where the GPU's were; everything inside them is the model's choice. Each stream of each device
    has pools of its own, as in PyTorch.

    Raises
    ------
    HbmArgumentError
        The snapshot holds no history.

    Examples
    --------
    >>> events = (
    ...     SnapshotEvent("segment_alloc", 1 << 30, 2 << 20, 0, 0, 0),
    ...     SnapshotEvent("alloc", 1 << 30, 1000, 0, 0, 0),
    ...     SnapshotEvent("alloc", (1 << 30) + 1024, 8, 0, 0, 0),
    ... )
    >>> compare_allocator(Snapshot("a.pickle", (), events)).agrees
    True
    """
    if not snapshot.events:
        raise HbmArgumentError(
            f"{snapshot.name}: no history; call torch.cuda.memory._record_memory_history() before the run"
        )
    pools: dict[tuple[int, int], _Pool] = {}
    live: dict[tuple[int, int], tuple[_Pool, int]] = {}
    compared = same = unknown = returned = 0
    first: tuple[int, int, int] | None = None
    for number, event in enumerate(snapshot.events):
        pool = pools.setdefault((event.device, event.stream), _Pool())
        if event.action == "segment_alloc":
            pool.pending.append((event.address, event.size_bytes))
        elif event.action == "segment_free":
            returned += 1
        elif event.action == "alloc" and event.size_bytes:
            ours = pool.allocator.allocate(event.size_bytes)
            compared += 1
            same += ours == event.address
            if ours != event.address and first is None:
                first = (number, event.address, ours)
            live[(event.device, event.address)] = (pool, ours)
        elif event.action == "free_completed":
            owner = live.pop((event.device, event.address), None)
            if owner is None:
                unknown += 1
            else:
                owner[0].allocator.release(owner[1])
    differ = sum(pool.differ + len(pool.pending) for pool in pools.values())
    return AllocatorComparison(compared, same, first, unknown, returned, differ)
