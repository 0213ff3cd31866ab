"""gem5 packet traces (``MemTraceProbe``, ``CommMonitor``): one message per packet.

Owns the schema (``docs/formats/gem5.md``) and the commands that move data; must not know the wire format.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from fractions import Fraction

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.problem import HbmTraceWarning, trace_error
from hbmmodel.trace.protowire import Delimited
from hbmmodel.trace.requests import FileRequests, Request
from hbmmodel.trace.text import I64_MAX

__all__ = ["MAGIC", "Gem5Requests"]

MAGIC = b"gem5"
U32_MAX = (1 << 32) - 1
U64_MAX = (1 << 64) - 1

# gem5 v20 and later, src/mem/packet.hh, MemCmd::Command. Requests that carry data or ask for it; responses,
# upgrades, evictions of clean lines and fences move nothing to or from the memory.
READS = frozenset((1, 11, 12, 13, 22, 24, 25, 26, 30))
WRITES = frozenset((4, 7, 8, 9, 16, 27, 32))
SWAP = 34


class Gem5Requests(FileRequests):
    """Packets of a gem5 trace; see `read_trace`.

    Source
    ------
    gem5, ``src/proto/packet.proto`` (fields), ``src/proto/protoio.cc`` (magic number, lengths),
    ``src/mem/packet.hh`` (commands).
    """

    format = "gem5"
    timed = True

    def requests(self) -> Iterator[Request]:
        """Stream the packets from the start."""
        stream = Delimited(self.name, len(MAGIC))
        messages = stream.messages()
        header = next(messages, None)
        if header is None:
            raise trace_error(self.name, "no header", remedy="copy the whole file again")
        tick_ps = _period(stream, header)
        skipped: set[int] = set()
        last = 0
        for message in messages:
            packet = _Packet(stream, message)
            ticks = packet.number("tick", 1)
            time_ps = ticks * tick_ps.numerator // tick_ps.denominator
            if time_ps > I64_MAX:
                raise stream.error("beyond 2^63 ps", "tick", ticks, "cut the trace")
            if time_ps < last:
                raise stream.error("earlier than the packet before it", "tick", ticks, "sort the packets by tick")
            last = time_ps
            command = packet.number("cmd", 2)
            if command not in READS and command not in WRITES and command != SWAP:
                skipped.add(min(command, 1 << 16))
                continue
            address = packet.number("addr", 3)
            size = packet.number("size", 4)
            if not 1 <= size <= U32_MAX or address + size - 1 > U64_MAX:
                raise stream.error("bad size", "size", size, f"give 1..{U32_MAX}, below 2^64 with the address")
            if command in READS or command == SWAP:
                yield address, 0, size, time_ps
            if command in WRITES or command == SWAP:
                yield address, 1, size, time_ps
        if skipped:
            listed = ", ".join(map(str, sorted(skipped)[:8]))
            text = f"{self.name}: packets with commands that move no data are left out (cmd {listed})"
            warnings.warn(text, HbmTraceWarning, stacklevel=2)


def _period(stream: Delimited, header: bytes) -> Fraction:
    """Picoseconds per tick."""
    frequency = 0
    for number, value in stream.fields(header):
        if number == 3 and isinstance(value, int):
            frequency = value
    if not 1 <= frequency <= 10**18:
        raise stream.error("bad frequency", "tick_freq", frequency, "the header gives ticks per second, 1..1e18")
    return Fraction(10**12, frequency)


class _Packet:
    def __init__(self, stream: Delimited, message: bytes) -> None:
        self._stream = stream
        self._of = dict(stream.fields(message))

    def number(self, name: str, field: int) -> int:
        value = self._of.get(field)
        if not isinstance(value, int):
            raise self._missing(name, value)
        return value

    def _missing(self, name: str, value: object) -> HbmTraceError:
        return self._stream.error("missing, or not a number", name, value, "a packet has tick, cmd, addr and size")
