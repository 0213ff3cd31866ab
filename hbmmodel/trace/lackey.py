"""Valgrind lackey output: `` L 1fff000758,8`` - what a CPU program loads and stores.

Owns this grammar (``docs/formats/lackey.md``).
"""

from __future__ import annotations

import re

import numpy as np

from hbmmodel.trace.text import Columns, LineError, Record, Table, decimal, hexadecimal

__all__ = ["Lackey"]

U32_MAX = 2**32 - 1


class Lackey:
    """``I`` instruction, ``L`` load, ``S`` store, ``M`` modify (a read, then a write); no times.

    Parameters
    ----------
    instructions : bool
        Take instruction fetches as reads; else they are left out.

    Source
    ------
    ``valgrind --tool=lackey --trace-mem=yes``: Valgrind 3.19, ``lackey/lk_main.c``.
    """

    name = "lackey"
    timed = False
    relative = False
    separators = b","
    skeleton = re.compile(rb"(I  | [LSM] )\S")

    def __init__(self, instructions: bool = False) -> None:
        self.instructions = instructions

    def is_comment(self, line: bytes) -> bool:
        """Whether a line holds no record, besides those that begin with ``#``."""
        return line.startswith((b"==", b"--"))

    def fast(self, table: Table) -> Columns | None:
        """Columns of a regular block."""
        if table.width != 3:
            return None
        kinds = {letter: table.matches(0, letter) for letter in (b"I", b"L", b"S", b"M")}
        comma = table.end[:, 1]
        if not (kinds[b"I"] | kinds[b"L"] | kinds[b"S"] | kinds[b"M"]).all():
            return None
        if not table.character(comma, b",") or not (table.start[:, 2] == comma + 1).all():
            return None
        if not table.character(table.end[:, 0], b" ") or not table.character(table.start[:, 1] - 1, b" "):
            return None
        if (table.text[table.end[:, 2]] == ord(",")).any():
            return None
        start = table.start[:, 1]
        if ((table.text[start + 1] | 0x20) == ord("x")).any():
            return None
        address, size = table.number(start, comma, 16), table.number(table.start[:, 2], table.end[:, 2], 10)
        if address is None or size is None or (size < 1).any() or (size > U32_MAX).any():
            return None
        if (address + size - np.uint64(1) < address).any():
            return None
        times = 1 + kinds[b"M"].astype(np.int64)
        if not self.instructions:
            times[kinds[b"I"]] = 0
        line = np.repeat(np.arange(table.n_lines), times)
        is_write = kinds[b"S"][line].astype(np.uint8)
        # The second of the two requests of a modify is its write.
        is_write[1:] |= (kinds[b"M"][line[1:]] & (line[1:] == line[:-1])).astype(np.uint8)
        return Columns(address[line], is_write, size_bytes=size[line].astype(np.uint32), line=line)

    def line(self, line: bytes) -> list[Record]:
        """Requests of one line."""
        tokens = line.split()
        if len(tokens) != 2:
            raise LineError(None, f"{len(tokens)} fields", line, "write L|S|M|I ADDRESS,SIZE")
        if tokens[0] not in (b"I", b"L", b"S", b"M"):
            raise LineError("operation", "unknown operation", tokens[0], "write L, S, M or I")
        where, comma, length = tokens[1].partition(b",")
        if not comma:
            raise LineError("size", "no comma behind the address", tokens[1], "write ADDRESS,SIZE")
        if where[:2] in (b"0x", b"0X"):
            raise LineError("address", "not a hexadecimal number", where, "write digits without 0x")
        address = hexadecimal("address", where)
        size = decimal("size", length, 1, U32_MAX)
        if address + size > 2**64:
            raise LineError("size", "the access ends beyond 2^64", tokens[1], "write a smaller address")
        if tokens[0] == b"I" and not self.instructions:
            return []
        read, write = Record(address, False, size_bytes=size), Record(address, True, size_bytes=size)
        return {b"S": [write], b"M": [read, write]}.get(tokens[0], [read])
