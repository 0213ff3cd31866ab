"""Access arrays ``.hbmarr.npz``: which bytes of which arrays a vector search touches, query by query.

Owns the file (``docs/formats/hbmarr.md``); must not know how a search works.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.access import BYTES_MAX, Access
from hbmmodel.trace.allocator import CachingAllocator
from hbmmodel.trace.index import NPZ_FAULTS
from hbmmodel.trace.model import Operation, Operations, OpTrace, Progress, phase_set
from hbmmodel.trace.problem import trace_error
from hbmmodel.trace.source import file_digest, open_source

__all__ = ["ArrayTrace"]

MEMBER_BYTES_MAX = 1 << 30
META_BYTES_MAX = 1 << 20
RECORD_FIELDS = ("query", "step", "obj", "off", "size", "rw")
OBJECT_FIELDS = ("name", "base", "bytes")


class ArrayTrace(OpTrace):
    """An access array on disk; see `read_trace`.

    One operation per query and step of it, named ``step N``; the arrays are placed by the allocator model, in order.
    """

    format = "hbmarr"

    def __init__(self, path: str, phases: frozenset[str] | None = None, base: int = 0) -> None:
        self.name = path
        self.base = base
        self._phases = phases

    @property
    def metadata(self) -> dict[str, Any]:
        """What the file says of the search."""
        return _load(self.name)[2]

    def content_hash(self) -> str:
        """SHA-256 (hex) of the file."""
        hasher = hashlib.sha256()
        file_digest(hasher, self.name)
        return hasher.hexdigest()

    def operations(self, all: bool = False) -> Operations:
        """Stream the operations from the start; see `OpTrace.operations`."""
        progress = Progress(allocator=CachingAllocator(self.base))
        return self._follow(self._stream(progress, all), progress)

    def select(self, phase: str | Sequence[str]) -> OpTrace:
        """Steps are the phases of a search: ``step 2`` selects the third step of every query."""
        return ArrayTrace(self.name, phase_set(phase), self.base)

    def _stream(self, progress: Progress, all: bool) -> Iterator[Operation]:
        records, objects, _ = _load(self.name)
        places = self._place(progress, objects)
        edges = np.flatnonzero((np.diff(records["query"]) != 0) | (np.diff(records["step"]) != 0)) + 1
        bounds = [0, *edges.tolist(), len(records)]
        index = 0
        for low, high in zip(bounds[:-1], bounds[1:], strict=True):
            part = records[low:high]
            phase = f"step {int(part['step'][0])}"
            progress.n_operations += 1
            if phase not in progress.phases:
                progress.phases.append(phase)
            if self._phases is not None and phase not in self._phases:
                continue
            accesses = self._accesses(part, low, objects, places)
            if accesses or all:
                yield Operation(index, int(part["query"][0]), "search", phase, 0, 0, accesses)
                index += 1
        if self._phases is not None and (missing := sorted(self._phases - set(progress.phases))):
            known = ", ".join(progress.phases)
            raise trace_error(self.name, f"no operation of phase {missing[0]!r}", remedy=f"its phases are: {known}")

    def _place(self, progress: Progress, objects: NDArray[np.void]) -> list[int]:
        allocator = progress.allocator
        assert allocator is not None
        places = []
        for i, n_bytes in enumerate(objects["bytes"].tolist()):
            places.append(allocator.allocate(n_bytes) if n_bytes else 0)
            if allocator.reserved_bytes >= BYTES_MAX:
                raise trace_error(
                    self.name, "the arrays have 2^62 bytes", record=i, field="objects.bytes", remedy="record again"
                )
        return places

    def _accesses(
        self, part: NDArray[np.void], first: int, objects: NDArray[np.void], places: list[int]
    ) -> tuple[Access, ...]:
        found: tuple[list[Access], list[Access]] = ([], [])
        for i, (_, _, obj, offset, size, is_write) in enumerate(part.tolist(), first):
            if obj >= len(places) or offset + size > int(objects["bytes"][obj]):
                raise trace_error(
                    self.name,
                    "the access ends outside its array",
                    record=i,
                    field="off",
                    got=[obj, offset, size],
                    remedy="record again",
                )
            if is_write > 1:
                raise trace_error(self.name, "not 0 or 1", record=i, field="rw", got=is_write, remedy="record again")
            if size:
                found[is_write].append(Access(bool(is_write), obj, places[obj] + offset, size))
        return (*found[0], *found[1])


def _load(name: str) -> tuple[NDArray[np.void], NDArray[np.void], dict[str, Any]]:
    """(records, objects, metadata), all checked; nothing is unpickled, and sizes are looked at before inflating."""
    with open_source(name) as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                _check_sizes(name, archive.zip)
                records, objects = archive["records"], archive["objects"]
                meta = json.loads(str(archive["meta"])) if "meta" in archive else {}
        except HbmTraceError:
            raise
        except (*NPZ_FAULTS, AttributeError) as error:
            what = f"cannot be read as an access array: {' '.join(str(error).split())[:100]}"
            raise trace_error(name, what, remedy="it is an .npz file with records and objects") from None
    return (
        _table(name, "records", records, RECORD_FIELDS),
        _table(name, "objects", objects, OBJECT_FIELDS),
        meta if isinstance(meta, dict) else {},
    )


def _check_sizes(name: str, archive: Any) -> None:
    for member in archive.infolist():
        limit = META_BYTES_MAX if member.filename == "meta.npy" else MEMBER_BYTES_MAX
        if member.file_size > limit:
            what = f"{member.filename[:40]} has {member.file_size} bytes"
            raise trace_error(name, what, remedy=f"at most {limit} are read")


def _table(name: str, what: str, table: Any, fields: tuple[str, ...]) -> NDArray[np.void]:
    """The fields of a structured array, in order, as whole numbers (a name aside)."""
    if table.dtype.names is None or table.ndim != 1 or not set(fields) <= set(table.dtype.names):
        raise trace_error(
            name, "not a table", field=what, got=str(table.dtype), remedy=f"it has the columns {', '.join(fields)}"
        )
    for field in fields:
        column = table[field]
        if field != "name" and (column.dtype.kind not in "iu" or column.ndim != 1):
            where = f"{what}.{field}"
            raise trace_error(name, "not whole numbers", field=where, got=str(column.dtype), remedy="use u8")
        if field != "name" and len(column) and (int(column.min()) < 0 or int(column.max()) >= BYTES_MAX):
            raise trace_error(name, "outside 0..2^62", field=f"{what}.{field}", remedy="record again")
    if len(table) == 0:
        raise trace_error(name, "no rows", field=what, remedy="record again")
    chosen: NDArray[np.void] = table[list(fields)]
    return chosen
