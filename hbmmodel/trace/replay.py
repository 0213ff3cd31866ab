"""Replay of records: storages get their addresses, operands become accesses.

Owns one pass over the records and the checks that hold between them (a storage is live when it is used, operands lie
inside); must not know the grammar of a file, which operand moves what (`expand`), where blocks lie (`allocator`) or
where pages lie (`pages`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.access import BYTES_MAX, extent_bytes
from hbmmodel.trace.allocator import CachingAllocator
from hbmmodel.trace.expand import ITEM_BYTES, Operand, expand
from hbmmodel.trace.index import IndexArrays
from hbmmodel.trace.model import Operation, Progress
from hbmmodel.trace.pages import PageMap
from hbmmodel.trace.problem import EXCERPT_MAX, trace_error
from hbmmodel.trace.records import Alloc, Free, OpRecord, PhaseMark, Record, RecordedTrace

__all__ = ["Replay", "reserved_bytes"]


class Replay:
    """One pass: allocations and frees give storages their place, operations become accesses.

    Parameters
    ----------
    name : str
        Trace, for messages.
    wanted : frozenset of str, optional
        Phases to yield; None: all.
    all : bool
        Yield operations that move no bytes too.
    index : IndexArrays
        Contents of index tensors; closed at the end of the pass.
    base : int
        Address of the first storage [bytes].
    pages : PageMap, optional
        Where pages lie; None: where the allocator puts them.
    unit : {"line", "record"}
        What the records' numbers count, for messages.
    """

    def __init__(
        self,
        name: str,
        wanted: frozenset[str] | None,
        all: bool,
        index: IndexArrays,
        base: int,
        pages: PageMap | None = None,
        unit: Literal["line", "record"] = "line",
    ) -> None:
        self._allocator = CachingAllocator(base)
        self.progress = Progress(allocator=self._allocator)
        self._name = name
        self._wanted = wanted
        self._all = all
        self._index = index
        self._pages = pages
        self._unit = unit
        self._address: dict[int, int] = {}
        self._n_bytes: dict[int, int] = {}
        self._freed: set[int] = set()
        self._phase = ""
        self._n_yielded = 0
        self._line = 0

    def run(self, records: Iterator[Record]) -> Iterator[Operation]:
        """The pass; what it opens is closed at its end, or when it is dropped."""
        try:
            yield from self._operations(records)
        finally:
            self._index.close()

    def _operations(self, records: Iterator[Record]) -> Iterator[Operation]:
        for record in records:
            self._line = record.line
            if isinstance(record, OpRecord):
                operation = self._operation(record)
                if operation is not None:
                    yield operation
            elif isinstance(record, Alloc):
                self._allocate(record)
            elif isinstance(record, Free):
                self._free(record)
            else:
                self._enter_phase(record)
        if self.progress.n_operations == 0:
            raise trace_error(self._name, "trace holds no operations", remedy="capture again")
        if self._wanted is not None and (missing := sorted(self._wanted - set(self.progress.phases))):
            known = ", ".join(self.progress.phases) or "none"
            raise trace_error(self._name, f"no operation of phase {missing[0]!r}", remedy=f"its phases are: {known}")

    def place_all(self, records: Iterator[Record]) -> None:
        """Follow storages only: what is reserved in the end is in `progress.allocator`."""
        for record in records:
            self._line = record.line
            if isinstance(record, OpRecord):
                self._check_operands(record.name, record.operands)
            elif isinstance(record, Alloc):
                self._allocate(record)
            elif isinstance(record, Free):
                self._free(record)

    def _error(self, what: str, field: str | None, got: object, remedy: str) -> HbmTraceError:
        line, number = (self._line or None, None) if self._unit == "line" else (None, self._line)
        return trace_error(self._name, what, line=line, record=number, field=field, got=got, remedy=remedy)

    def _enter_phase(self, record: PhaseMark) -> None:
        self._phase = record.label

    def _allocate(self, record: Alloc) -> None:
        storage = record.storage
        if storage in self._n_bytes or storage in self._freed:
            state = "is live" if storage in self._n_bytes else "was freed"
            what = f"storage {storage} is allocated twice (it {state})"
            raise self._error(what, "storage", storage, "never use a number again")
        self._place(storage, record.n_bytes)

    def _place(self, storage: int, n_bytes: int) -> None:
        self._n_bytes[storage] = n_bytes
        self._address[storage] = self._allocator.allocate(n_bytes) if n_bytes else 0
        if self._allocator.reserved_bytes >= BYTES_MAX:
            what = f"storage {storage} brings the memory to 2^62 bytes"
            raise self._error(what, "nbytes", n_bytes, "capture again")

    def _free(self, record: Free) -> None:
        self._need_live(record.storage, "freed")
        self._unplace(record.storage)
        self._freed.add(record.storage)

    def _unplace(self, storage: int) -> None:
        address = self._address.pop(storage)
        if self._n_bytes.pop(storage):
            self._allocator.release(address)

    def _need_live(self, storage: int, verb: str) -> int:
        n_bytes = self._n_bytes.get(storage)
        if n_bytes is not None:
            return n_bytes
        if storage in self._freed:
            what = f"storage {storage} is {verb} {'twice' if verb == 'freed' else 'after it was freed'}"
        else:
            what = f"storage {storage} is {verb} but was never allocated"
        remedy = f'write ["A", {storage}, nbytes, pointer, seq] before, and ["F", {storage}, seq] once, behind'
        raise self._error(what, "storage", storage, remedy)

    def _operation(self, record: OpRecord) -> Operation | None:
        name = record.name
        self.progress.n_operations += 1
        if self._phase not in self.progress.phases:
            self.progress.phases.append(self._phase)
        self._check_operands(name, record.operands)
        if self._wanted is not None and self._phase not in self._wanted:
            return None
        self._index.seq = record.seq
        try:
            accesses = expand(name, record.operands, self._index, self._address.__getitem__)
            if self._pages is not None:
                accesses = self._pages.moved(accesses)
        except HbmTraceError as error:
            what = f"{name[:EXCERPT_MAX]}: {error}"
            remedy = "capture again, or cut the line out"
            raise self._error(what, None, None, remedy) from None
        self.progress.n_random_gathers = self._index.n_drawn
        if not accesses and not self._all:
            return None
        self._n_yielded += 1
        return Operation(
            self._n_yielded - 1, record.seq, name, self._phase, record.time_ns, record.duration_ns, accesses
        )

    def _check_operands(self, name: str, operands: tuple[Operand, ...]) -> None:
        """All storages live, all operands inside theirs; ``resize_`` gives its storage a new block first."""
        resizes = name.startswith("aten.resize_")
        for i, operand in enumerate(operands):
            n_bytes = self._need_live(operand.storage, "used")
            end = operand.offset + extent_bytes(operand.shape, operand.stride, ITEM_BYTES[operand.dtype])
            if end <= n_bytes or 0 in operand.shape:
                continue
            if resizes and operand.role == "v" and end < BYTES_MAX:
                self._unplace(operand.storage)
                self._place(operand.storage, end)
                continue
            raise self._error(
                f"the operand ends at byte {end} of storage {operand.storage}, which has {n_bytes}",
                f"tensors[{i}]",
                [operand.offset, list(operand.shape), list(operand.stride)],
                "capture again",
            )


def reserved_bytes(trace: RecordedTrace, base: int) -> int:
    """Memory that the allocator holds at the end of a trace [bytes]: a pass over its storages."""
    index = trace.index_arrays()
    replay = Replay(trace.name, None, False, index, base)
    replay.place_all(trace.records())
    assert replay.progress.allocator is not None
    return replay.progress.allocator.reserved_bytes
