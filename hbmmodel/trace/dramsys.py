"""DRAMSys player traces: ``31: (64) read 0x400140`` - cycle, size, direction, address, data.

Owns the grammar of ``.stl`` (absolute cycles) and ``.rstl`` (cycles since the request before), and writing of
the first (``docs/formats/dramsys.md``).
"""

from __future__ import annotations

import re

import numpy as np

from hbmmodel.trace.model import RequestChunk
from hbmmodel.trace.text import I64_MAX, Columns, LineError, Record, Table, decimal, hexadecimal

__all__ = ["Rstl", "Stl"]

U32_MAX = 2**32 - 1
FORM = "write CYCLE: (BYTES) read|write 0xADDRESS, the size optional"


class Stl:
    """Absolute cycles.

    Source
    ------
    DRAMSys, ``StlPlayer.cpp``: cycle and colon, optional size in parentheses, ``read`` or ``write``,
    address in hexadecimal, optional data; lines that begin with ``#`` are comments.
    """

    name = "dramsys-stl"
    timed = True
    relative = False
    separators = b""
    suffixes = (".stl",)
    skeleton = re.compile(rb"[^\s:\"{\[]*:(\s|$)")

    def is_comment(self, line: bytes) -> bool:
        """Whether a line holds no record, besides those that begin with ``#``."""
        return False

    def fast(self, table: Table) -> Columns | None:
        """Columns of a regular block."""
        if table.width not in (3, 4):
            return None
        sized = table.width == 4
        is_write = table.matches(1 + sized, b"write")
        if not (is_write | table.matches(1 + sized, b"read")).all():
            return None
        colon = table.end[:, 0] - 1
        if not table.character(colon, b":"):
            return None
        start = table.start[:, 2 + sized]
        if not (table.character(start, b"0") and table.character(start + 1, b"x")):
            return None
        cycle, address = table.cycles(0, colon), table.addresses(2 + sized)
        if cycle is None or address is None:
            return None
        size = None
        if sized:
            left, right = table.start[:, 1], table.end[:, 1] - 1
            if not (table.character(left, b"(") and table.character(right, b")")):
                return None
            value = table.number(left + 1, right, 10)
            if value is None or (value < 1).any() or (value > U32_MAX).any():
                return None
            if (address + value - np.uint64(1) < address).any():
                return None
            size = value.astype(np.uint32)
        return Columns(address, is_write.view(np.uint8), cycle, size)

    def line(self, line: bytes) -> list[Record]:
        """Requests of one line."""
        tokens = line.split()
        if not tokens[0].endswith(b":"):
            raise LineError("cycle", "no colon behind the cycle", tokens[0], FORM)
        cycle = decimal("cycle", tokens[0][:-1], 0, I64_MAX)
        del tokens[0]
        size = None
        if tokens and tokens[0].startswith(b"("):
            if not tokens[0].endswith(b")"):
                raise LineError("size", "no closing parenthesis", tokens[0], FORM)
            size = decimal("size", tokens[0][1:-1], 1, U32_MAX)
            del tokens[0]
        if not tokens or tokens[0] not in (b"read", b"write"):
            raise LineError("operation", "unknown operation", tokens[0] if tokens else b"", "write read or write")
        is_write = tokens[0] == b"write"
        if len(tokens) not in (2, 3):
            raise LineError(None, f"{len(tokens) - 1} fields behind the operation", line, FORM)
        if tokens[1][:2] not in (b"0x", b"0X"):
            raise LineError("address", "not a hexadecimal number", tokens[1], "write 0x and digits")
        address = hexadecimal("address", tokens[1])
        if size is not None and address + size > 2**64:
            raise LineError("size", "the request ends beyond 2^64", tokens[1], "write a smaller address")
        if len(tokens) == 3 and tokens[2][:2] not in (b"0x", b"0X"):
            raise LineError("data", "not a hexadecimal number", tokens[2], "write 0x and digits, or nothing")
        return [Record(address, is_write, cycle, size)]

    def format(self, chunk: RequestChunk, cycle: list[int]) -> str:
        """Lines of a chunk."""
        rows = zip(chunk.address.tolist(), chunk.is_write.tolist(), cycle, strict=True)
        if chunk.size_bytes is None:
            return "".join([f"{c}:\t{'write' if w else 'read'}\t0x{a:x}\n" for a, w, c in rows])
        sizes = [f"({size})\t" if size else "" for size in chunk.size_bytes.tolist()]
        sized = zip(rows, sizes, strict=True)
        return "".join([f"{c}:\t{s}{'write' if w else 'read'}\t0x{a:x}\n" for (a, w, c), s in sized])


class Rstl(Stl):
    """Cycles since the request before; otherwise as `Stl`."""

    name = "dramsys-rstl"
    relative = True
