"""The wire format of protocol buffers: numbers and messages out of a stream of bytes.

Owns varints, length-delimited messages and fields; must not know any schema. Written by hand because traces are
streams of millions of small messages with five fields, and a schema compiler would be the larger part.

Source
------
*Protocol Buffers, Encoding*: base-128 varints, tag = field number * 8 + wire type.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.problem import trace_error
from hbmmodel.trace.source import pieces

__all__ = ["MESSAGE_MAX", "REMEDY", "Delimited", "fields", "signed"]

MESSAGE_MAX = 16 << 20
VARINT_BYTES_MAX = 10
MASK64 = (1 << 64) - 1
REMEDY = "copy the whole file again"


class Delimited:
    """Messages of a file, each behind its length.

    Parameters
    ----------
    name : str
        The file; plain, gzip, xz or zstd.
    skip : int
        Bytes before the first message.

    Attributes
    ----------
    record : int
        Number of the latest message, from 0; -1 before the first.
    """

    def __init__(self, name: str, skip: int = 0) -> None:
        self.record = -1
        self._name = name
        self._pieces = pieces(name)
        self._held = b""
        self._at = 0
        if skip and not self._have(skip):
            raise trace_error(name, "the file ends in its first bytes", remedy=REMEDY)
        self._at += skip

    def messages(self) -> Iterator[bytes]:
        """The messages, one by one."""
        while self._have(1):
            self.record += 1
            length = self._varint()
            if length > MESSAGE_MAX:
                raise self.error(f"a message of {length} bytes", None, None, f"at most {MESSAGE_MAX} are read")
            if not self._have(length):
                raise self.error("the file ends in the middle of a message", None, None, REMEDY)
            yield self._held[self._at : self._at + length]
            self._at += length

    def error(self, what: str, field: str | None, got: object, remedy: str) -> HbmTraceError:
        """The error of the latest message."""
        return trace_error(self._name, what, record=max(self.record, 0), field=field, got=got, remedy=remedy)

    def fields(self, message: bytes) -> Iterator[tuple[int, int | bytes]]:
        """Fields of the latest message, or of a message in it; see `fields`."""
        try:
            yield from fields(message)
        except ValueError as error:
            raise self.error(f"no protocol buffer ({error})", None, message[:16], REMEDY) from None

    def _have(self, n: int) -> bool:
        if len(self._held) - self._at >= n:
            return True
        parts = [self._held[self._at :]]
        have = len(parts[0])
        self._at = 0
        for piece in self._pieces:
            parts.append(piece)
            have += len(piece)
            if have >= n:
                break
        self._held = b"".join(parts)
        return have >= n

    def _varint(self) -> int:
        self._have(VARINT_BYTES_MAX)
        try:
            value, self._at = _varint(self._held, self._at)
        except ValueError as error:
            raise self.error(f"bad length of a message ({error})", None, None, REMEDY) from None
        return value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for i in range(at, min(at + VARINT_BYTES_MAX, len(data))):
        byte = data[i]
        value |= (byte & 127) << shift
        if byte < 128:
            if value > MASK64:
                raise ValueError("a number of more than 64 bits")
            return value, i + 1
        shift += 7
    raise ValueError("a number without an end")


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields of a message in their order: (number, value); varints and fixed numbers as int, the rest as bytes.

    Raises
    ------
    ValueError
        The bytes are no message.

    Examples
    --------
    >>> list(fields(bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x68, 0x69])))
    [(1, 150), (2, b'hi')]
    """
    at = 0
    end = len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("field 0")
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        size = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            size, at = _varint(message, at)
        if size is None:
            raise ValueError(f"wire type {wire}")
        if size > end - at:
            raise ValueError("a field without an end")
        part = message[at : at + size]
        at += size
        yield number, part if wire == 2 else struct.unpack("<Q" if wire == 1 else "<I", part)[0]


def signed(value: int) -> int:
    """A varint as the signed number that ``int32`` and ``int64`` fields mean by it.

    Examples
    --------
    >>> signed(2**64 - 1), signed(5)
    (-1, 5)
    """
    return value - (1 << 64) if value >> 63 else value
