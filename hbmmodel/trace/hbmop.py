"""The op capture format ``.hbmop``: reader of its records.

Owns the grammar (``docs/formats/hbmop.md``) and its faults; must not know what holds between records (`replay`) or who
writes them (`capture`).
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.access import BYTES_MAX
from hbmmodel.trace.expand import ITEM_BYTES, Operand
from hbmmodel.trace.index import ARRAY_BYTES_MAX, IndexArrays, sidecar_path
from hbmmodel.trace.pages import SEQUENTIAL, Pages
from hbmmodel.trace.problem import HbmTraceWarning, trace_error
from hbmmodel.trace.records import Alloc, Free, OpRecord, PhaseMark, Record, RecordedTrace
from hbmmodel.trace.source import JSON_LINE_MAX, CutOffError, file_digest, lines

__all__ = ["VERSIONS", "HbmopTrace"]

VERSIONS = (1, 2)
INT_MAX = (1 << 63) - 1
RANK_MAX = 64
TEXT_MAX = 4096


class HbmopTrace(RecordedTrace):
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
    pages : Pages
        Where the pages of the memory lie.
    """

    format = "hbmop"

    def __init__(
        self,
        path: str | os.PathLike[str],
        phases: frozenset[str] | None = None,
        index: str | os.PathLike[str] | None = None,
        base: int = 0,
        seed: int = 0,
        pages: Pages = SEQUENTIAL,
    ) -> None:
        super().__init__(os.fspath(path), phases, base, seed, pages)
        self._index = os.fspath(index) if index is not None else sidecar_path(self.name)

    @property
    def metadata(self) -> dict[str, Any]:
        """First line of the capture: what was run, with which versions."""
        for number, line in lines(self.name, JSON_LINE_MAX):
            return _header(self.name, number, line)
        raise trace_error(self.name, "the file is empty", remedy="capture again")

    @property
    def rewrites(self) -> tuple[str, ...]:
        """Passes that had changed the trace when it was written, as its first line says."""
        said = self.metadata.get("rewrites")
        return tuple(text for text in said if isinstance(text, str)) if isinstance(said, list) else ()

    def content_hash(self) -> str:
        """SHA-256 (hex) of the capture's bytes and, where there is one, of its index file's."""
        hasher = hashlib.sha256()
        file_digest(hasher, self.name)
        if os.path.exists(self._index):
            file_digest(hasher, self._index)
        return hasher.hexdigest()

    def index_arrays(self) -> IndexArrays:
        """The arrays of ``NAME.idx.npz``."""
        return IndexArrays(self._index, self.seed)

    def records(self) -> Iterator[Record]:
        """Stream the records from the start; see `RecordedTrace.records`."""
        return _Parser(self.name).records()

    def _narrowed(self, phases: frozenset[str]) -> RecordedTrace:
        return HbmopTrace(self.name, phases, self._index, self.base, self.seed, self.pages)


class _Parser:
    """One pass over the lines of a capture."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._line = 0
        self._version = 1
        self._n_operations = 0
        self._arrays: dict[str, list[NDArray[np.int64]]] = {}
        self._array_bytes = 0

    def records(self) -> Iterator[Record]:
        parsers: dict[str, Callable[[list[Any]], Record]] = {
            "O": self._operation,
            "A": self._allocate,
            "F": self._free,
            "P": self._phase,
        }
        decode = _decoder()
        source = lines(self._name, JSON_LINE_MAX)
        ended = False
        try:
            for number, line in source:
                self._line = number
                if number == 1:
                    self._version = _header(self._name, 1, line)["hbmop"]
                    continue
                if not line.strip():
                    continue
                if ended:
                    raise self._error("more records behind the end", None, line.strip(), "capture again")
                try:
                    record = self._record(decode, line)
                except HbmTraceError:
                    if self._version == 1 or next(source, None) is not None:
                        raise
                    break  # the last line of a capture that was cut off
                tag = record[0]
                if isinstance(tag, str) and tag in parsers:
                    yield parsers[tag](record)
                elif tag == "I" and self._version > 1:
                    self._contents(record)
                elif tag == "E" and self._version > 1:
                    ended = self._end(record)
                else:
                    known = "A, F, P and O" if self._version == 1 else "A, F, P, I, O and E"
                    raise self._error("unknown record", "tag", tag, f"{known} are known")
        except CutOffError:
            if self._version == 1:
                raise
        if self._line == 0:
            raise trace_error(self._name, "the file is empty", remedy="capture again")
        if self._version > 1 and not ended:
            warnings.warn(
                f"{self._name}: the capture was cut off behind line {self._line}; its {self._n_operations} operations "
                "up to there are read",
                HbmTraceWarning,
                stacklevel=2,
            )

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

    def _allocate(self, record: list[Any]) -> Alloc:
        storage, n_bytes, pointer, _ = self._fields(record, "storage nbytes pointer seq")
        storage = self._whole("storage", storage)
        n_bytes = self._whole("nbytes", n_bytes, 0, BYTES_MAX)
        return Alloc(storage, n_bytes, pointer if type(pointer) is int else 0, self._line)

    def _free(self, record: list[Any]) -> Free:
        storage, _ = self._fields(record, "storage seq")
        return Free(self._whole("storage", storage), self._line)

    def _phase(self, record: list[Any]) -> PhaseMark:
        label, _ = self._fields(record, "label seq")
        if not isinstance(label, str) or len(label) > TEXT_MAX:
            raise self._error("bad label", "label", label, f"give a text of at most {TEXT_MAX} characters")
        return PhaseMark(label, self._line)

    def _contents(self, record: list[Any]) -> None:
        """Contents of an index tensor of the next operation; a long one comes in several records."""
        key, values = self._fields(record, "key values")
        if not isinstance(key, str) or len(key) > TEXT_MAX:
            raise self._error("bad key", "key", key, f"give a text of at most {TEXT_MAX} characters")
        if not isinstance(values, list) or any(type(value) is not int for value in values):
            raise self._error("bad index values", "values", values, "give an array of whole numbers")
        self._array_bytes += 8 * len(values)
        if self._array_bytes > ARRAY_BYTES_MAX:
            what = f"index arrays of one operation have {self._array_bytes} bytes"
            raise self._error(what, "values", None, f"at most {ARRAY_BYTES_MAX} are read")
        try:
            part = np.array(values, dtype=np.int64)
        except OverflowError:
            raise self._error("bad index values", "values", values, "give numbers in -2^63..2^63-1") from None
        self._arrays.setdefault(key, []).append(part)

    def _end(self, record: list[Any]) -> bool:
        (count,) = self._fields(record, "operations")
        if self._whole("operations", count) != self._n_operations:
            what = f"{self._n_operations} operations are here"
            raise self._error(what, "operations", count, "records are missing; capture again")
        return True

    def _operation(self, record: list[Any]) -> OpRecord:
        seq, time_ns, duration_ns, name, listed = self._fields(record, "seq t_ns dur_ns op tensors")
        seq = self._whole("seq", seq)
        time_ns = self._whole("t_ns", time_ns)
        duration_ns = self._whole("dur_ns", duration_ns)
        if not isinstance(name, str) or not 0 < len(name) <= TEXT_MAX:
            raise self._error("bad name", "op", name, "give the operator's name, such as aten.mm.default")
        if not isinstance(listed, list):
            raise self._error("not an array", "tensors", listed, "give the operands as an array")
        operands = tuple(self._operand(i, item) for i, item in enumerate(listed))
        self._n_operations += 1
        self._arrays = {}
        self._array_bytes = 0
        return OpRecord(name, operands, seq, time_ns, duration_ns, self._line)

    def _operand(self, position: int, item: object) -> Operand:
        field = f"tensors[{position}]"
        longest = 7 if self._version == 1 else 8
        if not isinstance(item, list) or not 6 <= len(item) <= longest:
            remedy = "give [role, storage, offset, dtype, shape, stride] and perhaps a key"
            raise self._error("bad operand", field, item, remedy)
        role, storage, offset, dtype, shape, stride = item[:6]
        key = item[6] if len(item) >= 7 else None
        dim = item[7] if len(item) == 8 else None
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
        if dim is not None:
            dim = self._whole(f"{field}.dim", dim, 0, RANK_MAX - 1)
        indices = None
        if key is not None and key in self._arrays:
            parts = self._arrays[key]
            indices = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return Operand(role, storage, offset, dtype, shape, stride, key, dim, indices)


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
    if type(header["hbmop"]) is not int or header["hbmop"] not in VERSIONS:
        raise trace_error(
            name,
            "unknown version",
            line=number,
            field="hbmop",
            got=header["hbmop"],
            remedy=f"this release reads versions {', '.join(map(str, VERSIONS))}",
        )
    return header
