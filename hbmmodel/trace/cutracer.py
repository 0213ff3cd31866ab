"""CUTracer traces: one JSON object per memory instruction of a warp, 32 addresses each.

Owns the records (``docs/formats/cutracer.md``); must not know what an opcode does (`sass`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.problem import HbmTraceWarning, trace_error
from hbmmodel.trace.requests import FileRequests, Request
from hbmmodel.trace.sass import LANES, Moves, moves_of, sectors
from hbmmodel.trace.source import JSON_LINE_MAX, lines

__all__ = ["MEMORY_RECORDS", "CutracerRequests"]

MEMORY_RECORDS = ("mem_trace", "mem_addr_trace", "mem_value_trace")
OTHER_RECORDS = frozenset(
    "kernel_metadata capture_completion callstack_def delay_config opcode_only reg_trace tma_trace".split()
)
# NVBit, InstrType::MemorySpace: NONE, LOCAL, GENERIC, GLOBAL, SHARED, CONSTANT, GLOBAL_TO_SHARED, ...
OUTSIDE = frozenset((1, 4, 5))
ADDRESS_MAX = (1 << 64) - 256
ACCESS_BYTES_MAX = 64
KINDS_MAX = 64


class CutracerRequests(FileRequests):
    """Sectors of the memory instructions of a CUTracer file; see `read_trace`.

    Source
    ------
    CUTracer 0.4.0 (PyPI, MIT), ``cutracer/validation/schemas/*.schema.json`` and ``cutracer/query/reader.py``.
    """

    format = "cutracer"

    def requests(self) -> Iterator[Request]:
        """Stream the sectors from the start: of an atomic, reads before writes."""
        return _Pass(self.name).requests()


class _Pass:
    def __init__(self, name: str) -> None:
        self._name = name
        self._line = 0
        self._sass: dict[str, str] = {}
        self._kind = ""
        self._odd: set[str] = set()

    def requests(self) -> Iterator[Request]:
        decode = _decoder()
        for number, line in lines(self._name, JSON_LINE_MAX):
            self._line = number
            if not line.strip():
                continue
            try:
                record = decode(line)
            except (ValueError, RecursionError, UnicodeDecodeError) as error:
                raise self._error(f"not JSON ({error})", None, line.strip(), "write one object per line") from None
            if not isinstance(record, dict) or not isinstance(record.get("type"), str):
                raise self._error("no object with a type", "type", record, 'write {"type": "mem_trace", ...}')
            kind = record["type"]
            if kind == "kernel_metadata":
                self._learn(record.get("instructions", {}))
            elif kind in MEMORY_RECORDS and self._kind in ("", kind):
                self._kind = kind
                yield from self._access(record)
            elif kind in MEMORY_RECORDS or kind not in OTHER_RECORDS:
                self._odd.add(kind[:40] if len(self._odd) < KINDS_MAX else "...")
        if self._odd:
            text = f"{self._name}: records of type {', '.join(sorted(self._odd))} are left out"
            warnings.warn(text, HbmTraceWarning, stacklevel=2)

    def _error(self, what: str, field: str | None, got: object, remedy: str) -> HbmTraceError:
        return trace_error(self._name, what, line=self._line, field=field, got=got, remedy=remedy)

    def _learn(self, table: object) -> None:
        """The instructions of a kernel: number of an opcode -> text."""
        if not isinstance(table, dict):
            raise self._error("not an object", "instructions", table, "record again")
        self._sass = {
            number: info["sass"]
            for number, info in table.items()
            if isinstance(info, dict) and isinstance(info.get("sass"), str)
        }

    def _access(self, record: dict[str, Any]) -> Iterator[Request]:
        space = record.get("mem_space", record.get("static_memory_space"))
        if isinstance(space, int) and space in OUTSIDE:
            return
        moves = self._moves(record)
        if moves is None:
            return
        touched = list(sectors(self._addresses(record), moves.lane_bytes))
        for is_write, does in ((0, moves.reads), (1, moves.writes)):
            if does:
                for address, size in touched:
                    yield address, is_write, size, 0

    def _moves(self, record: dict[str, Any]) -> Moves | None:
        sass = record.get("sass", self._sass.get(str(record.get("opcode_id"))[:32]))
        found = moves_of(sass) if isinstance(sass, str) else None
        is_load, size = record.get("is_load"), record.get("access_size")
        if isinstance(is_load, bool):
            if type(size) is not int or not 1 <= size <= ACCESS_BYTES_MAX:
                raise self._error("bad size", "access_size", size, f"give 1..{ACCESS_BYTES_MAX} bytes")
            both = found is not None and found.reads and found.writes
            return Moves(is_load or both, both or not is_load, size, False)
        if not isinstance(sass, str):
            remedy = "keep the kernel_metadata record, or the sass of each record"
            raise self._error("the instruction is not known", "sass", sass, remedy)
        return found

    def _addresses(self, record: dict[str, Any]) -> list[int]:
        listed = record.get("addrs")
        if not isinstance(listed, list) or len(listed) != LANES:
            raise self._error("not one address for each lane", "addrs", listed, f"give {LANES} numbers")
        for address in listed:
            if type(address) is not int or not 0 <= address <= ADDRESS_MAX:
                raise self._error("bad address", "addrs", address, f"give whole numbers in 0..{ADDRESS_MAX}")
        mask = record.get("active_mask")
        if mask is None:
            return [address for address in listed if address]
        try:
            active = int(mask, 16)
        except (TypeError, ValueError):
            raise self._error("bad mask", "active_mask", mask, "give 0x and hexadecimal digits") from None
        return [address for lane, address in enumerate(listed) if active >> lane & 1]


def _decoder() -> Callable[[bytes], Any]:
    import msgspec

    return msgspec.json.Decoder().decode
