"""DRAMsim3 trace: ``0x2000D5C0 READ 30`` - address, operation, cycle.

Owns this grammar, reading and writing (``docs/formats/dramsim3.md``).
"""

from __future__ import annotations

import re

import numpy as np

from hbmmodel.trace.model import RequestChunk
from hbmmodel.trace.text import I64_MAX, Columns, LineError, Record, Table, decimal, hexadecimal

__all__ = ["Dramsim3"]


class Dramsim3:
    """Absolute cycles; the operation decides the direction as DRAMsim3 does.

    Source
    ------
    DRAMsim3, ``src/common.cc`` (``operator>>`` of a transaction: hexadecimal address, word, decimal cycle;
    ``WRITE``, ``write``, ``P_MEM_WR`` and ``BOFF`` write). Words that it would silently take for reads are
    refused, except the known ones.
    """

    name = "dramsim3"
    timed = True
    relative = False
    separators = b""
    suffixes = (".dramsim3",)
    skeleton = re.compile(rb"[^\s:]+\s+(READ|WRITE|read|write|P_MEM_RD|P_MEM_WR|P_FETCH|BOFF)(\s|$)")
    reads = (b"READ", b"read", b"P_MEM_RD", b"P_FETCH")
    writes = (b"WRITE", b"write", b"P_MEM_WR", b"BOFF")

    def is_comment(self, line: bytes) -> bool:
        """Whether a line holds no record, besides those that begin with ``#``."""
        return False

    def fast(self, table: Table) -> Columns | None:
        """Columns of a regular block."""
        if table.width != 3:
            return None
        is_write = table.matches(1, b"WRITE")
        if not (is_write | table.matches(1, b"READ")).all():
            return None
        address, cycle = table.addresses(0), table.cycles(2)
        if address is None or cycle is None:
            return None
        return Columns(address, is_write.view(np.uint8), cycle)

    def line(self, line: bytes) -> list[Record]:
        """Requests of one line."""
        tokens = line.split()
        if len(tokens) != 3:
            raise LineError(None, f"{len(tokens)} fields", line, "write ADDRESS READ|WRITE CYCLE")
        address = hexadecimal("address", tokens[0])
        if tokens[1] not in self.reads + self.writes:
            raise LineError("operation", "unknown operation", tokens[1], "write READ or WRITE")
        return [Record(address, tokens[1] in self.writes, decimal("cycle", tokens[2], 0, I64_MAX))]

    def format(self, chunk: RequestChunk, cycle: list[int]) -> str:
        """Lines of a chunk."""
        rows = zip(chunk.address.tolist(), chunk.is_write.tolist(), cycle, strict=True)
        return "".join([f"0x{a:X} {'WRITE' if w else 'READ'} {c}\n" for a, w, c in rows])
