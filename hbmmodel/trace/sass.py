"""What a GPU instruction of a warp does to memory: which way, how wide, which sectors.

Owns the opcodes that reach global memory and the coalescing of lanes into sectors; must not know any file.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

__all__ = ["LANES", "SECTOR_BYTES", "Moves", "moves_of", "sectors"]

LANES = 32
SECTOR_BYTES = 32
"""Granule in which an NVIDIA L2 is filled."""

U64_MAX = (1 << 64) - 1
_OPCODE = re.compile(r"(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]*)((?:\.[A-Za-z0-9_]+)*)")
_WIDTH = re.compile(r"[US]?(8|16|32|64|96|128|256)")

READS = frozenset(("LD", "LDG", "LDGSTS"))
WRITES = frozenset(("ST", "STG"))
BOTH = frozenset(("ATOM", "ATOMG", "RED", "REDG"))


class Moves(NamedTuple):
    """Whether an instruction reads and writes global memory, and how many bytes each lane moves."""

    reads: bool
    writes: bool
    lane_bytes: int
    generic: bool


@functools.lru_cache(maxsize=4096)
def moves_of(sass: str) -> Moves | None:
    """What an instruction does to global memory; None: nothing (shared, local and constant memory, TMA).

    The width is that of the opcode (4 bytes where it names none): NVBit reports others.

    Source
    ------
    Opcodes: NVIDIA, *CUDA Binary Utilities*, instruction set reference. Width: Accel-Sim,
    ``gpu-simulator/trace-parser/trace_parser.cc``, ``get_datawidth_from_opcode``.

    Examples
    --------
    >>> moves_of("LDG.E.128.SYS R4, [R2.64]")
    Moves(reads=True, writes=False, lane_bytes=16, generic=False)
    >>> moves_of("@!P0 ST.E.U8 [R2], R0").lane_bytes, moves_of("LDS.64 R0, [R1]"), moves_of("RED.E.ADD").reads
    (1, None, True)
    """
    found = _OPCODE.match(sass[:256].strip())
    if found is None or found[1] not in READS | WRITES | BOTH:
        return None
    width = next((m[1] for token in found[2].split(".") if (m := _WIDTH.fullmatch(token))), "32")
    opcode = found[1]
    both = opcode in BOTH
    return Moves(both or opcode in READS, both or opcode in WRITES, int(width) // 8, opcode in ("LD", "ST", "ATOM"))


def sectors(addresses: Collection[int], lane_bytes: int) -> Iterator[tuple[int, int]]:
    """Sectors that the lanes of a warp touch, each once, neighbours as one: (address, bytes), ascending.

    Examples
    --------
    >>> list(sectors([0x1000 + 4 * lane for lane in range(32)], 4))
    [(4096, 128)]
    >>> list(sectors([0, 64, 65, 30], 4))
    [(0, 96)]
    """
    touched = {address // SECTOR_BYTES for address in addresses}
    for last_byte in {*range(SECTOR_BYTES - 1, lane_bytes - 1, SECTOR_BYTES), lane_bytes - 1}:
        touched |= {(address + last_byte) // SECTOR_BYTES for address in addresses}
    first = last = -2
    for sector in sorted(touched):
        if sector != last + 1:
            if last >= 0:
                yield first * SECTOR_BYTES, (last - first + 1) * SECTOR_BYTES
            first = sector
        last = sector
    if last >= 0:
        yield first * SECTOR_BYTES, (last - first + 1) * SECTOR_BYTES
