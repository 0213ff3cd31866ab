"""The op capture format ``.hbmop.jsonl``: reader of records, replay into operations.

Owns the grammar (``docs/formats/hbmop.md``) and its faults, and the replay that gives storages their
addresses; must not know which operand moves what (`expand`) or where blocks lie (`allocator`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.access import BYTES_MAX, extent_bytes
from hbmmodel.trace.allocator import CachingAllocator
from hbmmodel.trace.expand import ITEM_BYTES, Operand, expand
from hbmmodel.trace.index import IndexArrays, sidecar_path
from hbmmodel.trace.model import Operation, Operations, OpTrace, Progress, phase_set
from hbmmodel.trace.problem import EXCERPT_MAX, trace_error
from hbmmodel.trace.source import JSON_LINE_MAX, file_digest, lines

__all__ = ["VERSION", "HbmopTrace"]

VERSION = 1
INT_MAX = (1 << 63) - 1
RANK_MAX = 64
TEXT_MAX = 4096


class HbmopTrace(OpTrace):
    """A capture on disk; see `read_trace`.

    Parameters
    ----------
    path : path
        The capture.
    phases : frozenset of str, optional
        Phases to yield; None: all.
    index : path, optional
        File of the index arrays; None: beside the capture, ``NAME.idx.npz``.
    base : int
        Address of the first storage [bytes].
    seed : int
        Seed of the rows of gathers whose indices the capture does not hold.
    """

    format = "hbmop"

    def __init__(
        self,
        path: str | os.PathLike[str],
        phases: frozenset[str] | None = None,
        index: str | os.PathLike[str] | None = None,
        base: int = 0,
        seed: int = 0,
    ) -> None:
        self.name = os.fspath(path)
        self.base = base
        self.seed = seed
        self._phases = phases
        self._index = os.fspath(index) if index is not None else sidecar_path(self.name)

    @property
    def metadata(self) -> dict[str, Any]:
        """First line of the capture: what was run, with which versions."""
        for number, line in lines(self.name, JSON_LINE_MAX):
            return _header(self.name, number, line)
        raise trace_error(self.name, "the file is empty", remedy="capture again")

    def content_hash(self) -> str:
        """SHA-256 (hex) of the capture's bytes and, where there is one, of its index file's."""
        hasher = hashlib.sha256()
        file_digest(hasher, self.name)
        if os.path.exists(self._index):
            file_digest(hasher, self._index)
        return hasher.hexdigest()

    def operations(self, all: bool = False) -> Operations:
        """Stream the operations from the start; see `OpTrace.operations`."""
        replay = _Replay(self.name, self._phases, all, IndexArrays(self._index, self.seed), self.base)
        return self._follow(replay.run(), replay.progress)

    def select(self, phase: str | Sequence[str]) -> OpTrace:
        """The operations of some phases only."""
        wanted = phase_set(phase)
        if self._phases is not None and (missing := sorted(wanted - self._phases)):
            known = ", ".join(sorted(self._phases))
            raise HbmTraceError(f"{self.name}: phase {missing[0]!r} is not selected; selected are: {known}")
        return HbmopTrace(self.name, wanted, self._index, self.base, self.seed)


class _Replay:
    """One pass: allocations and frees give storages their place, operations become accesses."""

    def __init__(self, name: str, wanted: frozenset[str] | None, all: bool, index: IndexArrays, base: int) -> None:
        self._allocator = CachingAllocator(base)
        self.progress = Progress(allocator=self._allocator)
        self._name = name
        self._wanted = wanted
        self._all = all
        self._index = index
        self._address: dict[int, int] = {}
        self._n_bytes: dict[int, int] = {}
        self._freed: set[int] = set()
        self._phase = ""
        self._n_yielded = 0
        self._line = 0

    def run(self) -> Iterator[Operation]:
        """The pass; what it opens is closed at its end, or when it is dropped."""
        try:
            yield from self._records()
        finally:
            self._index.close()

    def _records(self) -> Iterator[Operation]:
        handlers = {"A": self._allocate, "F": self._free, "P": self._enter_phase}
        decode = _decoder()
        for number, line in lines(self._name, JSON_LINE_MAX):
            self._line = number
            if number == 1:
                _header(self._name, 1, line)
                continue
            if not line.strip():
                continue
            record = self._record(decode, line)
            tag = record[0]
            if tag == "O":
                operation = self._operation(record)
                if operation is not None:
                    yield operation
            elif isinstance(tag, str) and tag in handlers:
                handlers[tag](record)
            else:
                raise self._error("unknown record", "tag", tag, "A, F, P and O are known")
        if self._line == 0:
            raise trace_error(self._name, "the file is empty", remedy="capture again")
        if self.progress.n_operations == 0:
            raise trace_error(self._name, "trace holds no operations", remedy="capture again")
        if self._wanted is not None and (missing := sorted(self._wanted - set(self.progress.phases))):
            known = ", ".join(self.progress.phases) or "none"
            raise trace_error(self._name, f"no operation of phase {missing[0]!r}", remedy=f"its phases are: {known}")

    def _record(self, decode: Callable[[bytes], Any], line: bytes) -> list[Any]:
        try:
            record = decode(line)
        except (ValueError, RecursionError, UnicodeDecodeError) as error:
            raise self._error(f"not JSON ({error})", None, line.strip(), "write one JSON array per line") from None
        if not isinstance(record, list) or not record:
            raise self._error("not an array", None, record, "write [tag, ...]")
        return record

    def _error(self, what: str, field: str | None, got: object, remedy: str) -> HbmTraceError:
        return trace_error(self._name, what, line=self._line, field=field, got=got, remedy=remedy)

    def _fields(self, record: list[Any], form: str) -> list[Any]:
        names = form.split()
        if len(record) - 1 != len(names):
            raise self._error(
                f"{len(record)} fields",
                None,
                record,
                f'write ["{record[0]}", {", ".join(names)}]',
            )
        return record[1:]

    def _whole(self, field: str, value: object, low: int = 0, high: int = INT_MAX) -> int:
        if type(value) is not int or not low <= value <= high:
            raise self._error("bad number", field, value, f"give a whole number in {low}..{high}")
        return value

    def _allocate(self, record: list[Any]) -> None:
        storage, n_bytes, _, _ = self._fields(record, "storage nbytes pointer seq")
        storage = self._whole("storage", storage)
        n_bytes = self._whole("nbytes", n_bytes, 0, BYTES_MAX)
        if storage in self._n_bytes or storage in self._freed:
            state = "is live" if storage in self._n_bytes else "was freed"
            what = f"storage {storage} is allocated twice (it {state})"
            raise self._error(what, "storage", storage, "never use a number again")
        self._place(storage, n_bytes)

    def _place(self, storage: int, n_bytes: int) -> None:
        self._n_bytes[storage] = n_bytes
        self._address[storage] = self._allocator.allocate(n_bytes) if n_bytes else 0
        if self._allocator.reserved_bytes >= BYTES_MAX:
            what = f"storage {storage} brings the memory to 2^62 bytes"
            raise self._error(what, "nbytes", n_bytes, "capture again")

    def _free(self, record: list[Any]) -> None:
        storage, _ = self._fields(record, "storage seq")
        storage = self._whole("storage", storage)
        self._need_live(storage, "freed")
        self._unplace(storage)
        self._freed.add(storage)

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

    def _enter_phase(self, record: list[Any]) -> None:
        label, _ = self._fields(record, "label seq")
        if not isinstance(label, str) or len(label) > TEXT_MAX:
            raise self._error("bad label", "label", label, f"give a text of at most {TEXT_MAX} characters")
        self._phase = label

    def _operation(self, record: list[Any]) -> Operation | None:
        seq, time_ns, duration_ns, name, listed = self._fields(record, "seq t_ns dur_ns op tensors")
        seq = self._whole("seq", seq)
        time_ns = self._whole("t_ns", time_ns)
        duration_ns = self._whole("dur_ns", duration_ns)
        if not isinstance(name, str) or not 0 < len(name) <= TEXT_MAX:
            raise self._error("bad name", "op", name, "give the operator's name, such as aten.mm.default")
        if not isinstance(listed, list):
            raise self._error("not an array", "tensors", listed, "give the operands as an array")
        operands = [self._operand(i, item) for i, item in enumerate(listed)]
        self.progress.n_operations += 1
        if self._phase not in self.progress.phases:
            self.progress.phases.append(self._phase)
        self._check_operands(name, operands)
        if self._wanted is not None and self._phase not in self._wanted:
            return None
        self._index.seq = seq
        try:
            accesses = expand(name, operands, self._index, self._address.__getitem__)
        except HbmTraceError as error:
            what = f"{name[:EXCERPT_MAX]}: {error}"
            remedy = "capture again, or cut the line out"
            raise trace_error(self._name, what, line=self._line, remedy=remedy) from None
        self.progress.n_random_gathers = self._index.n_drawn
        if not accesses and not self._all:
            return None
        self._n_yielded += 1
        return Operation(self._n_yielded - 1, seq, name, self._phase, time_ns, duration_ns, accesses)

    def _operand(self, position: int, item: object) -> Operand:
        field = f"tensors[{position}]"
        if not isinstance(item, list) or not 6 <= len(item) <= 7:
            remedy = "give [role, storage, offset, dtype, shape, stride] and perhaps a key"
            raise self._error("bad operand", field, item, remedy)
        role, storage, offset, dtype, shape, stride = item[:6]
        key = item[6] if len(item) == 7 else None
        if role not in ("r", "w", "m", "v"):
            raise self._error("unknown role", f"{field}.role", role, "r, w, m and v are known")
        if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
            remedy = f"known are {', '.join(name for name in ITEM_BYTES if '.' not in name)} and torch.*"
            raise self._error("unknown dtype", f"{field}.dtype", dtype, remedy)
        if key is not None and not isinstance(key, str):
            remedy = "give the name of an array in the .idx.npz file"
            raise self._error("bad key", f"{field}.key", key, remedy)
        for what, numbers in (("shape", shape), ("stride", stride)):
            where = f"{field}.{what}"
            if not isinstance(numbers, list) or len(numbers) > RANK_MAX:
                raise self._error(f"bad {what}", where, numbers, f"give at most {RANK_MAX} numbers")
            for number in numbers:
                if type(number) is not int or not 0 <= number <= INT_MAX:
                    raise self._error(f"bad {what}", where, numbers, "give numbers in 0..2^63-1")
        if len(shape) != len(stride):
            what = f"{len(stride)} strides for {len(shape)} dimensions"
            raise self._error(what, f"{field}.stride", stride, "give one for each")
        storage = self._whole(f"{field}.storage", storage)
        offset = self._whole(f"{field}.offset", offset)
        return Operand(role, storage, offset, dtype, shape, stride, key)

    def _check_operands(self, name: str, operands: list[Operand]) -> None:
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


def _decoder() -> Callable[[bytes], Any]:
    import msgspec

    return msgspec.json.Decoder().decode


def _header(name: str, number: int, line: bytes) -> dict[str, Any]:
    """Metadata of the first line, of a version that is understood."""
    remedy = 'the first line of a capture is {"hbmop": 1, ...}'
    try:
        header = _decoder()(line)
    except (ValueError, RecursionError, UnicodeDecodeError):
        header = None
    if not isinstance(header, dict) or "hbmop" not in header:
        raise trace_error(name, "not an op capture", line=number, got=line.strip(), remedy=remedy)
    if type(header["hbmop"]) is not int or header["hbmop"] != VERSION:
        raise trace_error(
            name,
            "unknown version",
            line=number,
            field="hbmop",
            got=header["hbmop"],
            remedy=f"this release reads version {VERSION}",
        )
    return header
