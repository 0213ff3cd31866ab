"""Ramulator 2 traces: ``LD 0x12340`` (addresses) and ``R 0,1,2,100,32`` (coordinates).

Owns these two grammars (``docs/formats/ramulator.md``), and writing of the first.
"""

from __future__ import annotations

import re

import numpy as np

from hbmmodel.trace.model import RequestChunk
from hbmmodel.trace.text import I64_MAX, Columns, LineError, Record, Table, decimal, hexadecimal

__all__ = ["LoadStore", "ReadWrite"]

LEVELS_MAX = 16
I32_MAX = 2**31 - 1


class LoadStore:
    """``LD`` or ``ST`` and an address below 2^63, decimal or with ``0x``; no times.

    Source
    ------
    Ramulator 2.1, ``loadstore_trace.cpp``: exactly two tokens; ``std::stoll``, which throws from 2^63 on.
    """

    name = "ramulator-loadstore"
    timed = False
    relative = False
    separators = b""
    suffixes = (".ramulator", ".ldst", ".loadstore")
    skeleton = re.compile(rb"(LD|ST)(\s|$)")

    def is_comment(self, line: bytes) -> bool:
        """Whether a line holds no record, besides those that begin with ``#``."""
        return False

    def fast(self, table: Table) -> Columns | None:
        """Columns of a regular block."""
        if table.width != 2:
            return None
        is_write = table.matches(0, b"ST")
        if not (is_write | table.matches(0, b"LD")).all():
            return None
        start = table.start[:, 1]
        if not (table.character(start, b"0") and table.character(start + 1, b"x")):
            return None
        address = table.addresses(1)
        if address is None or (address > I64_MAX).any():
            return None
        return Columns(address, is_write.view(np.uint8))

    def line(self, line: bytes) -> list[Record]:
        """Requests of one line."""
        tokens = line.split()
        if len(tokens) != 2:
            raise LineError(None, f"{len(tokens)} fields", line, "write LD|ST ADDRESS")
        if tokens[0] not in (b"LD", b"ST"):
            raise LineError("operation", "unknown operation", tokens[0], "write LD or ST")
        if tokens[1][:2] in (b"0x", b"0X"):
            address = hexadecimal("address", tokens[1], I64_MAX)
        else:
            address = decimal("address", tokens[1], 0, I64_MAX)
        return [Record(address, tokens[0] == b"ST")]

    def format(self, chunk: RequestChunk, cycle: list[int]) -> str:
        """Lines of a chunk; the cycles have no place."""
        rows = zip(chunk.address.tolist(), chunk.is_write.tolist(), strict=True)
        return "".join([f"{'ST' if w else 'LD'} 0x{a:x}\n" for a, w in rows])


class ReadWrite:
    """``R`` or ``W`` and the coordinates of a burst, highest level first; no addresses, no times.

    Source
    ------
    Ramulator 2.1, ``readwrite_trace.cpp``: two tokens, the second a list of decimal numbers with commas.
    """

    name = "ramulator-readwrite"
    timed = False
    relative = False
    separators = b","
    skeleton = re.compile(rb"[RW]\s+[^\s,]*,")

    def is_comment(self, line: bytes) -> bool:
        """Whether a line holds no record, besides those that begin with ``#``."""
        return False

    def fast(self, table: Table) -> Columns | None:
        """Columns of a regular block."""
        levels = table.width - 1
        if not 2 <= levels <= LEVELS_MAX:
            return None
        is_write = table.matches(0, b"W")
        if not (is_write | table.matches(0, b"R")).all():
            return None
        if (table.text[table.end[:, 0]] == ord(",")).any():
            return None
        vector = np.empty((table.n_lines, levels), np.int32)
        for level in range(levels):
            end = table.end[:, 1 + level]
            value = table.cycles(1 + level)
            if value is None or (value > I32_MAX).any():
                return None
            last = level == levels - 1
            if last and (table.text[end] == ord(",")).any():
                return None
            if not last and not (table.character(end, b",") and (table.start[:, 2 + level] == end + 1).all()):
                return None
            vector[:, level] = value
        # A comma right before the first coordinate, or behind the last, is left to `line`.
        if (table.text[table.start[:, 1] - 1] == ord(",")).any():
            return None
        return Columns(np.zeros(0, np.uint64), is_write.view(np.uint8), vector=vector)

    def line(self, line: bytes) -> list[Record]:
        """Requests of one line."""
        tokens = line.split()
        if len(tokens) != 2:
            raise LineError(None, f"{len(tokens)} fields", line, "write R|W and coordinates such as 0,1,2,100,32")
        if tokens[0] not in (b"R", b"W"):
            raise LineError("operation", "unknown operation", tokens[0], "write R or W")
        parts = tokens[1].split(b",")
        if not 2 <= len(parts) <= LEVELS_MAX:
            raise LineError("vector", f"{len(parts)} coordinates", tokens[1], f"give 2 to {LEVELS_MAX}")
        vector = tuple(decimal("vector", part, 0, I32_MAX) for part in parts)
        return [Record(0, tokens[0] == b"W", vector=vector)]
