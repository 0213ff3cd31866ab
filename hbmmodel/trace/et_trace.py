"""A PyTorch execution trace, alone or joined with the Kineto file of the same run, as a trace of operations.

Owns the join by record ids and the lives of storages; must not know the grammar of either file.

An ET numbers storages by the address of a C++ object that a later storage may have again, and does not say when one
dies. A result that is no view begins a new storage. Alone, a storage that was there before the first operator lives to
the end, one that an operator made until its last use. With Kineto, the memory that was taken while the operator ran
and not given back before it ended is the storage of its result, and lives until it is given back.
"""

from __future__ import annotations

import bisect
import hashlib
import math
import os
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hbmmodel.trace.access import BYTES_MAX, extent_bytes
from hbmmodel.trace.expand import ITEM_BYTES, ROWS_MAX, Operand
from hbmmodel.trace.index import IndexArrays, random_rows
from hbmmodel.trace.kineto import Event, KinetoFile, Moment, read_kineto
from hbmmodel.trace.pages import SEQUENTIAL, Pages
from hbmmodel.trace.problem import HbmTraceWarning, trace_error
from hbmmodel.trace.pytorch_et import Call, EtFile, Tensor, read_et
from hbmmodel.trace.records import Alloc, Free, OpRecord, PhaseMark, Record, RecordedTrace
from hbmmodel.trace.source import file_digest

__all__ = ["EtTrace"]

JOINED_MIN = 0.9
"""Least share of the operators that must be found in the Kineto file under the same name."""

SAMPLE = 64


@dataclass(slots=True)
class _Storage:
    """One storage: its size, the calls of its first and last use, and before which call it is gone."""

    n_bytes: int
    birth: int
    last: int
    made: bool
    dies: int | None = None
    pointer: int = 0


class EtTrace(RecordedTrace):
    """An execution trace on disk; see `read_trace`.

    Parameters
    ----------
    path : str
        The ET file.
    kineto : str, optional
        The Kineto file of the same run, or of the same step run again.
    phases, base, seed, pages
        As of `RecordedTrace`.
    """

    format = "pytorch-et"
    unit = "record"

    def __init__(
        self,
        path: str,
        kineto: str | None = None,
        phases: frozenset[str] | None = None,
        base: int = 0,
        seed: int = 0,
        pages: Pages = SEQUENTIAL,
    ) -> None:
        super().__init__(path, phases, base, seed, pages)
        self._kineto = kineto
        self._plan: _Plan | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed or left out; reading this reads the files."""
        return tuple(self._planned().notes)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the files say of the run."""
        return {"source": "pytorch-et", "schema": self._planned().schema, "kineto": self._kineto is not None}

    def content_hash(self) -> str:
        """SHA-256 (hex) of the bytes of the ET file and, where one was given, of the Kineto file."""
        hasher = hashlib.sha256()
        for path in (self.name, self._kineto):
            if path is not None:
                file_digest(hasher, path)
        return hasher.hexdigest()

    def records(self) -> Iterator[Record]:
        """Stream the records from the start; they are numbered by the nodes of the ET."""
        return self._planned().records(self.seed)

    def index_arrays(self) -> IndexArrays:
        """None: an ET does not record the contents of index tensors."""
        return IndexArrays(os.devnull, self.seed)

    def _narrowed(self, phases: frozenset[str]) -> RecordedTrace:
        found = EtTrace(self.name, self._kineto, phases, self.base, self.seed, self.pages)
        found._plan = self._plan
        return found

    def _planned(self) -> _Plan:
        if self._plan is None:
            self._plan = _Plan(self.name, read_et(self.name), self._kineto)
            for note in self._plan.notes:
                warnings.warn(f"{self.name}: {note}", HbmTraceWarning, stacklevel=3)
        return self._plan


class _Plan:
    """The calls of an ET with the lives of their storages."""

    def __init__(self, name: str, file: EtFile, kineto: str | None) -> None:
        self.notes = list(file.notes)
        self.schema = file.schema
        self._calls = file.calls
        self._times: list[tuple[int, int]] = [(0, 0)] * len(file.calls)
        self._storages = _number(file.calls)
        sparse = sum(tensor.selects and call.inputs[0].role == "m" for call in file.calls for tensor in call.inputs)
        if sparse:
            self.notes.append(f"{sparse} updates by sparse tensors, whose rows are drawn at random")
        if kineto is None:
            return
        times = _join(name, file, kineto, read_kineto(kineto))
        self.notes += times.notes
        self._times = times.in_ns()
        device = next((t.device for call in file.calls for t in (*call.inputs, *call.outputs)), "cpu")
        taken = _match(self._calls, self._storages, times.host, _of_device(times.file.memory, device))
        made = sum(storage.made and storage.n_bytes > 0 for storage in self._storages)
        if taken < made:
            self.notes.append(f"{made - taken} of {made} storages have no memory event; they live until their last use")

    def records(self, seed: int) -> Iterator[Record]:
        born: dict[int, list[int]] = defaultdict(list)
        dead: dict[int, list[int]] = defaultdict(list)
        for number, storage in enumerate(self._storages):
            born[storage.birth].append(number)
            if storage.dies is not None:
                dead[storage.dies].append(number)
        phase = ""
        for i, call in enumerate(self._calls):
            for number in dead.get(i, ()):
                yield Free(number, call.node)
            for number in born.get(i, ()):
                storage = self._storages[number]
                yield Alloc(number, storage.n_bytes, storage.pointer, call.node)
            if call.phase != phase:
                phase = call.phase
                yield PhaseMark(phase, call.node)
            operands = tuple(self._operand(call, t, i, seed) for t in (*call.inputs, *call.outputs))
            yield OpRecord(call.name, operands, i, *self._times[i], call.node)

    def _operand(self, call: Call, tensor: Tensor, i: int, seed: int) -> Operand:
        """An operand; the indices of a sparse one, which the ET does not hold, select rows drawn at random."""
        fields = (tensor.role, tensor.storage, tensor.offset, tensor.dtype, tensor.shape, tensor.stride)
        if tensor.selects and tensor.dtype == "i64":
            table, count = call.inputs[0], math.prod(tensor.shape)
            if table.role == "m" and table.shape and table.shape[0] and count <= ROWS_MAX:
                drawn = random_rows(seed, tensor.storage, i, table.shape[0], count)
                return Operand(*fields, key=f"drawn{tensor.storage}", indices=drawn)
        return Operand(*fields)


def _number(calls: list[Call]) -> list[_Storage]:
    """Give every storage a number that is never used again; the operands get it in place of the ET's."""
    storages: list[_Storage] = []
    current: dict[int, int] = {}
    for i, call in enumerate(calls):
        arguments = {tensor.storage for tensor in call.inputs}
        fresh: dict[int, int] = {}
        for tensor in (*call.inputs, *call.outputs):
            old = tensor.storage
            number = fresh.get(old) if old in fresh else current.get(old)
            made = tensor.role == "w" and old not in arguments
            if number is None or (made and old not in fresh):
                if number is not None:
                    storages[number].dies = i
                number = len(storages)
                storages.append(_Storage(0, i, i, made))
                if made:
                    fresh[old] = number
                current[old] = number
            tensor.storage = number
            storage = storages[number]
            storage.last = i
            storage.n_bytes = max(storage.n_bytes, min(_end(tensor), BYTES_MAX))
    for storage in storages:
        if storage.made:
            storage.dies = storage.last + 1
    return storages


def _end(tensor: Tensor) -> int:
    return tensor.offset + extent_bytes(tensor.shape, tensor.stride, ITEM_BYTES[tensor.dtype])


@dataclass(slots=True)
class _Times:
    """Of every call: the time on the host, and of its kernels where it has some [microseconds]."""

    file: KinetoFile
    host: list[tuple[float, float]]
    device: list[tuple[float, float] | None]
    notes: list[str]

    def in_ns(self) -> list[tuple[int, int]]:
        """Start, from the first one on, and duration [ns]."""
        shown = [device or host for host, device in zip(self.host, self.device, strict=True)]
        origin = min(start for start, _ in shown)
        return [(round((start - origin) * 1000), round((end - start) * 1000)) for start, end in shown]


def _join(name: str, file: EtFile, kineto: str, found: KinetoFile) -> _Times:
    events, shift, note = _pair(file, found)
    named = [rf_id for rf_id, node in file.names.items() if rf_id in file.owner]
    same = sum((event := events.get(rf_id + shift)) is not None and event.name == file.names[rf_id] for rf_id in named)
    if same < JOINED_MIN * len(named):
        raise trace_error(
            kineto,
            f"only {same} of the {len(named)} operators of {name} are in it under the same number and name",
            remedy="give two files of one run, or of the same step run twice",
        )
    notes = [note] if note else []
    if same < len(named):
        notes.append(f"{len(named) - same} of {len(named)} operators are not in the Kineto file")
    host: list[tuple[float, float]] = []
    last = min(event.start_us for event in events.values())
    for call in file.calls:
        event = events.get(call.rf_id + shift)
        if event is None or event.name != file.names[call.rf_id]:
            host.append((last, last))
        else:
            host.append((event.start_us, event.end_us))
            last = event.end_us
    device: list[tuple[float, float] | None] = [None] * len(file.calls)
    external = {id(event): number for number, event in found.by_external.items()}
    for rf_id, i in file.owner.items():
        event = events.get(rf_id + shift)
        span = None if event is None else found.kernels.get(external[id(event)])
        if span is not None:
            before = device[i] or span
            device[i] = (min(before[0], span[0]), max(before[1], span[1]))
    return _Times(found, host, device, notes)


def _pair(file: EtFile, found: KinetoFile) -> tuple[dict[int, Event], int, str]:
    """Kineto's operators by a number that, but for a constant, is the ET's ``rf_id``."""
    if found.by_record:
        return found.by_record, 0, ""
    own = sorted(rf_id for rf_id in file.names if rf_id in file.owner)[:SAMPLE]
    shifts = {0} | {number - own[0] for number in sorted(found.by_external)[:SAMPLE]}

    def agreeing(shift: int) -> tuple[int, int]:
        pairs = ((file.names[rf_id], found.by_external.get(rf_id + shift)) for rf_id in own)
        return sum(event is not None and event.name == name for name, event in pairs), -abs(shift)

    best = max(shifts, key=agreeing)
    note = f"joined by numbers {best} apart: the files are of two runs of one step" if best else ""
    return found.by_external, best, note


def _of_device(memory: list[Moment], device: str) -> list[Moment]:
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return [moment for moment in memory if moment.device_type == 0]
    index = int(number) if number.isdecimal() and len(number) < 9 else 0
    return [moment for moment in memory if moment.device_type != 0 and moment.device == index]


def _match(calls: list[Call], storages: list[_Storage], host: list[tuple[float, float]], memory: list[Moment]) -> int:
    """Find the memory of the storages that calls made, and its end; how many were found."""
    ends: dict[int, float] = {}  # number of the event that took memory -> time at which it was given back
    open_at: dict[int, int] = {}
    for k, moment in enumerate(memory):
        if moment.n_bytes > 0:
            open_at[moment.address] = k
        elif moment.address in open_at:
            ends[open_at.pop(moment.address)] = moment.time_us
    taken_at = [moment.time_us for moment in memory]
    starts: list[float] = []
    for start, _ in host:  # calls are in order of their numbers; threads may overlap by a little
        starts.append(max(start, starts[-1]) if starts else start)
    born: dict[int, list[_Storage]] = defaultdict(list)
    for storage in storages:
        if storage.made and storage.n_bytes:
            born[storage.birth].append(storage)
    n_found = 0
    claimed: set[int] = set()
    for i, made in born.items():
        start, end = host[i]
        low, high = bisect.bisect_left(taken_at, start), bisect.bisect_right(taken_at, end)
        left = [
            k for k in range(low, high) if memory[k].n_bytes > 0 and ends.get(k, end) >= end and k not in claimed
        ]
        for storage in made:
            fit = [k for k in left if memory[k].n_bytes >= storage.n_bytes]
            if not fit:
                continue
            chosen = min(fit, key=lambda k: (memory[k].n_bytes, k))
            left.remove(chosen)
            claimed.add(chosen)
            n_found += 1
            storage.n_bytes, storage.pointer = memory[chosen].n_bytes, memory[chosen].address
            gone = bisect.bisect_right(starts, ends[chosen]) if chosen in ends else len(calls)
            storage.dies = max(gone, storage.last + 1)
    return n_found
