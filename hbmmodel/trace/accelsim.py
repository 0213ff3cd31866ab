"""Accel-Sim traces: ``.traceg`` files of one kernel, and ``kernelslist.g`` that puts kernels and copies in order.

Owns both grammars (``docs/formats/accelsim.md``); must not know what an opcode does (`sass`).
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from itertools import zip_longest

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.problem import HbmTraceWarning, trace_error
from hbmmodel.trace.requests import FileRequests, Request
from hbmmodel.trace.sass import LANES, moves_of, sectors
from hbmmodel.trace.source import TEXT_LINE_MAX, lines

__all__ = ["AccelSimRequests"]

COPY_BYTES_MAX = 1 << 40
COPY_PIECE_BYTES = 1 << 30
BLOCK_INSTRUCTIONS_MAX = 4_000_000
SHARED_WINDOW_BYTES = 16 << 20  # of generic addresses, as CUDA reserves it
ADDRESS_MAX = (1 << 64) - 256
TMA = ("UTMA", "UBLK")
NEWEST = 5

_KERNEL = re.compile(rb"kernel[\w.-]*\Z")
_COPY = re.compile(rb"MemcpyHtoD,(?:0[xX])?([0-9a-fA-F]{1,16}),([0-9]{1,13})\Z")
_HEADER = re.compile(rb"-([\w ]+?)\s*=\s*(.*)")


class AccelSimRequests(FileRequests):
    """Sectors of the memory instructions of one kernel, or of all of a list; see `read_trace`.

    Source
    ------
    Accel-Sim, ``gpu-simulator/trace-parser/trace_parser.cc``.

    Notes
    -----
    The warps of a thread block take turns, instruction by instruction; thread blocks follow each other as in the file.
    The trace has no clock that would say more.
    """

    format = "accelsim"

    def files(self) -> Iterator[str]:
        """The file, and the kernels that it lists."""
        yield self.name
        for _, _, kernel in self._listed():
            if kernel is not None:
                yield kernel

    def requests(self) -> Iterator[Request]:
        """Stream the sectors from the start; copies to the device are writes."""
        listed = False
        for address, n_bytes, kernel in self._listed():
            listed = True
            if kernel is not None:
                yield from _Kernel(kernel).requests()
            for low in range(0, n_bytes, COPY_PIECE_BYTES):
                yield address + low, 1, min(COPY_PIECE_BYTES, n_bytes - low), 0
        if not listed:
            yield from _Kernel(self.name).requests()

    def _listed(self) -> Iterator[tuple[int, int, str | None]]:
        """Entries of a list: (address, bytes, None) of a copy, (0, 0, file) of a kernel; none where it is a kernel."""
        folder = os.path.dirname(self.name)
        for number, line in lines(self.name, TEXT_LINE_MAX):
            line = line.strip()
            if line.startswith((b"-", b"#")):
                return
            if copy := _COPY.match(line):
                address, n_bytes = int(copy[1], 16), int(copy[2])
                if n_bytes > COPY_BYTES_MAX or address + n_bytes > ADDRESS_MAX:
                    remedy = f"at most {COPY_BYTES_MAX} bytes"
                    raise trace_error(self.name, "the copy is too large", line=number, got=line, remedy=remedy)
                yield address, n_bytes, None
            elif _KERNEL.match(line):
                yield 0, 0, self._kernel_file(folder, number, line.decode())
            elif line and not line.startswith((b"Memcpy", b"Memset", b"nccl", b"ncclGroup")):
                raise trace_error(
                    self.name,
                    "neither a kernel nor a copy",
                    line=number,
                    got=line,
                    remedy="write kernel-N.traceg or MemcpyHtoD,0xADDRESS,BYTES",
                )

    def _kernel_file(self, folder: str, number: int, base: str) -> str:
        for suffix in ("", ".xz", ".gz", ".zst"):
            path = os.path.join(folder, base + suffix)
            if os.path.isfile(path):
                return path
        raise trace_error(
            self.name, "the kernel's file does not exist", line=number, got=base, remedy="put it beside the list"
        )


class _Kernel:
    """One pass over a ``.traceg`` file."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._line = 0
        self._skip_ids = 0
        self._skip_info = 0
        self._shared: tuple[int, int] = (0, 0)
        self._n_tma = 0

    def requests(self) -> Iterator[Request]:
        warps: list[list[list[Request]]] = []
        inside = header = False
        n_held = 0
        version = NEWEST
        for number, text in lines(self._name, TEXT_LINE_MAX):
            self._line, line = number, text.strip()
            if not line:
                continue
            if line.startswith(b"-") and not inside:
                header = True
                version = self._header(line, version)
            elif line.startswith(b"#BEGIN_TB"):
                if inside or not header:
                    raise self._error("a thread block inside another, or before the header", None, line)
                inside, warps, n_held = True, [], 0
            elif line.startswith(b"#END_TB"):
                if not inside:
                    raise self._error("the end of a thread block that did not begin", None, line)
                inside = False
                for turn in zip_longest(*warps, fillvalue=()):
                    for instruction in turn:
                        yield from instruction
            elif line.startswith(b"#"):
                continue
            elif not inside:
                remedy = "give a .traceg file; a .trace file must go through post-traces-processing first"
                raise trace_error(self._name, "no thread block has begun", line=self._line, got=line, remedy=remedy)
            elif line.startswith(b"warp"):
                warps.append([])
            elif not line.startswith((b"thread block", b"insts", b"cluster")):
                if not warps:
                    raise self._error("an instruction before the first warp", None, line)
                n_held += 1
                if n_held > BLOCK_INSTRUCTIONS_MAX:
                    raise self._error(f"more than {BLOCK_INSTRUCTIONS_MAX} instructions in a thread block", None, None)
                found = self._instruction(line)
                if found:
                    warps[-1].append(found)
        if inside:
            raise self._error("the file ends inside a thread block", None, None)
        if self._n_tma:
            note = f"{self._name}: {self._n_tma} bulk copies (TMA) are left out"
            warnings.warn(note, HbmTraceWarning, stacklevel=2)

    def _error(self, what: str, field: str | None, got: object) -> HbmTraceError:
        remedy = "copy the file again, or trace again"
        return trace_error(self._name, what, line=self._line, field=field, got=got, remedy=remedy)

    def _header(self, line: bytes, version: int) -> int:
        """Take what matters of the header; columns to skip depend on the version and on line information."""
        found = _HEADER.match(line)
        if found is None:
            return version
        key, value = found[1].decode(), found[2].strip()
        if key == "accelsim tracer version":
            version = self._whole(key, value, 10, 1 << 31)
            self._skip_ids = 4 if version < 3 else 0
            if version > NEWEST:
                note = f"{self._name}: tracer version {version} is not known; it is read as version {NEWEST}"
                warnings.warn(note, HbmTraceWarning, stacklevel=2)
        elif key == "enable lineinfo":
            self._skip_info = self._whole(key, value, 10, 1)
        elif key == "shmem base_addr":
            low = self._whole(key, value, 16, ADDRESS_MAX)
            self._shared = (low, low + SHARED_WINDOW_BYTES) if low else (0, 0)
        return version

    def _whole(self, field: str, token: bytes, base: int, high: int, low: int = 0) -> int:
        try:
            value = int(token[:40], base)
        except ValueError:
            value = low - 1
        if not low <= value <= high or len(token) > 40:
            raise self._error(f"not a number in {low}..{high}", field, token)
        return value

    def _instruction(self, line: bytes) -> list[Request]:
        """Requests of one instruction; none where it does not reach global memory."""
        tokens = line.split()
        at = self._skip_ids + self._skip_info
        try:
            mask = self._whole("mask", tokens[at + 1], 16, (1 << LANES) - 1)
            at += 3 + self._whole("dest_num", tokens[at + 2], 10, 64)
            opcode = tokens[at].decode("ascii", "replace")
            at += 2 + self._whole("src_num", tokens[at + 1], 10, 64)
            if self._whole("mem_width", tokens[at], 10, 1 << 31) == 0:
                return []
            if opcode.startswith(TMA):
                self._n_tma += 1
                return []
            moves = moves_of(opcode)
            if moves is None:
                return []
            addresses = self._addresses(mask, tokens[at + 1 :])
        except IndexError:
            raise self._error("the line is too short", None, line) from None
        if moves.generic:
            low, high = self._shared
            addresses = [address for address in addresses if not low <= address < high]
        touched = list(sectors(addresses, moves.lane_bytes))
        reads = [(address, 0, size, 0) for address, size in touched] if moves.reads else []
        return reads + [(address, 1, size, 0) for address, size in touched] if moves.writes else reads

    def _addresses(self, mask: int, tokens: list[bytes]) -> list[int]:
        """Addresses of the active lanes: listed, a base and a stride, or a base and steps from lane to lane."""
        n_active = mask.bit_count()
        form = self._whole("addr_format", tokens[0], 10, 2)
        if n_active == 0:
            return []
        found = [self._whole("address", tokens[1], 16, ADDRESS_MAX)]
        signed = -ADDRESS_MAX
        if form == 0:
            found += [self._whole("address", tokens[1 + i], 16, ADDRESS_MAX) for i in range(1, n_active)]
        elif form == 1:
            stride = self._whole("stride", tokens[2], 10, ADDRESS_MAX, signed)
            found += [found[0] + i * stride for i in range(1, n_active)]
        else:
            for i in range(1, n_active):
                found.append(found[-1] + self._whole("delta", tokens[1 + i], 10, ADDRESS_MAX, signed))
        for address in found:
            if not 0 <= address <= ADDRESS_MAX:
                raise self._error(f"an address outside 0..{ADDRESS_MAX}", "address", address)
        return found
