"""Bytes and lines of a trace file, decompressed on the fly in bounded memory.

Owns compression (none, gzip, xz, zstd; told apart by their first bytes, never by the name), the cutting into
lines, and the faults of both. It must not know what the lines mean. However small a hostile file is, what it
inflates to is handed on piece by piece, and a line beyond the limit ends the reading.
"""

from __future__ import annotations

import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.problem import trace_error

__all__ = ["JSON_LINE_MAX", "TEXT_LINE_MAX", "CutOffError", "line_blocks", "lines", "open_source", "pieces"]

TEXT_LINE_MAX = 64 << 10
JSON_LINE_MAX = 16 << 20

PIECE_BYTES = 256 << 10
BLOCK_BYTES = 1 << 20
XZ_MEMORY_MAX = 256 << 20
ZSTD_WINDOW_MAX = 128 << 20

GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\x00"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class CutOffError(HbmTraceError):
    """Compressed data end in the middle; what came before is whole."""


class _Decoder(Protocol):
    """One compressed member: `step` takes input and gives a bounded amount of output."""

    def step(self, data: bytes) -> bytes: ...
    @property
    def hungry(self) -> bool: ...
    @property
    def eof(self) -> bool: ...
    @property
    def rest(self) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._z = zlib.decompressobj(31)

    def step(self, data: bytes) -> bytes:
        return self._z.decompress(self._z.unconsumed_tail + data, PIECE_BYTES)

    @property
    def hungry(self) -> bool:
        return not self._z.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._z.eof

    @property
    def rest(self) -> bytes:
        return self._z.unused_data


class _Xz:
    def __init__(self) -> None:
        self._x = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_MAX)

    def step(self, data: bytes) -> bytes:
        return self._x.decompress(data, PIECE_BYTES)

    @property
    def hungry(self) -> bool:
        return self._x.needs_input

    @property
    def eof(self) -> bool:
        return self._x.eof

    @property
    def rest(self) -> bytes:
        return self._x.unused_data


class _Zstd:
    """Bounded by its input: 1 kB inflates to 32 MB at most (128 kB per block of 4 bytes)."""

    def __init__(self) -> None:
        import zstandard

        context = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX)
        self._d = context.decompressobj()

    def step(self, data: bytes) -> bytes:
        return self._d.decompress(data)

    @property
    def hungry(self) -> bool:
        return True

    @property
    def eof(self) -> bool:
        return self._d.eof

    @property
    def rest(self) -> bytes:
        return self._d.unused_data


def _codecs() -> tuple[tuple[bytes, str, Callable[[], _Decoder], int], ...]:
    """(magic, name, decoder, bytes to read at once)."""
    return (
        (GZIP_MAGIC, "gzip", _Gzip, 64 << 10),
        (XZ_MAGIC, "xz", _Xz, 64 << 10),
        (ZSTD_MAGIC, "zstd", _Zstd, 1 << 10),
    )


def _faults() -> tuple[type[BaseException], ...]:
    faults: list[type[BaseException]] = [zlib.error, lzma.LZMAError, EOFError, MemoryError]
    try:
        import zstandard
    except ImportError:  # pragma: no cover - a required package
        pass
    else:
        faults.append(zstandard.ZstdError)
    return tuple(faults)


def open_source(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading bytes; HbmTraceError when that is not possible."""
    name = os.fspath(path)
    try:
        return open(name, "rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise trace_error(name, f"cannot be opened: {reason}", remedy="check the path") from None


def pieces(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Decompressed content of a file, piece by piece (at most 32 MB each, mostly far less).

    Raises
    ------
    HbmTraceError
        The file cannot be read, or its compressed data are cut off or damaged.
    """
    name = os.fspath(path)
    with open_source(path) as file:
        try:
            yield from _pieces(name, file)
        except OSError as error:
            raise trace_error(name, f"cannot be read: {error.strerror or error}", remedy="check the file") from None


def _pieces(name: str, file: BinaryIO) -> Iterator[bytes]:
    head = file.read(len(XZ_MAGIC))
    for magic, codec, new, chunk in _codecs():
        if head.startswith(magic):
            yield from _inflate(name, file, head, (magic, codec, new, chunk))
            return
    while head:
        yield head
        head = file.read(PIECE_BYTES)


def _inflate(
    name: str, file: BinaryIO, head: bytes, how: tuple[bytes, str, Callable[[], _Decoder], int]
) -> Iterator[bytes]:
    magic, codec, new, chunk = how
    faults = _faults()
    data = head
    while True:
        try:
            decoder = new()
            while not decoder.eof:
                ended = False
                if decoder.hungry and not data:
                    data = file.read(chunk)
                    ended = not data
                out = decoder.step(data)
                data = b""
                if out:
                    yield out
                elif ended and not decoder.eof:
                    error = trace_error(name, f"the {codec} data end in the middle", remedy="copy the whole file again")
                    raise CutOffError(*error.args)
        except faults as error:
            reason = str(error) or type(error).__name__
            raise trace_error(name, f"the {codec} data are damaged: {reason}", remedy="copy the file again") from None
        # A further member may follow, behind padding of zeros (gzip and xz allow both).
        data = decoder.rest.lstrip(b"\0")
        while len(data) < len(magic):
            more = file.read(chunk)
            if not more:
                break
            data = (data + more).lstrip(b"\0")
        if not data:
            return
        if not data.startswith(magic):
            raise trace_error(name, f"something else follows the {codec} data", got=data[:16], remedy="remove it")


def line_blocks(path: str | os.PathLike[str], line_max: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines in blocks of about 1 MB: (number of the first line, bytes that end with a newline).

    Parameters
    ----------
    path : path
        File.
    line_max : int
        Longest line [bytes]; a longer one is an error, found after reading a bounded amount.

    Raises
    ------
    HbmTraceError
        A line is too long, or as in `pieces`; `CutOffError` comes behind the last whole line.
    """
    name = os.fspath(path)
    number = 1
    held: list[bytes] = []
    n_held = 0  # bytes held
    n_open = 0  # of these, bytes of the line that is not complete yet
    cut_off: CutOffError | None = None
    source = pieces(path)
    while True:
        try:
            piece = next(source)
        except StopIteration:
            break
        except CutOffError as error:
            cut_off = error  # raised once the whole lines before it are handed on
            break
        cut = piece.rfind(b"\n") + 1
        if cut == 0:
            n_open += len(piece)
        else:
            n_open = len(piece) - cut
        held.append(piece)
        n_held += len(piece)
        if n_open > line_max:
            whole = b"".join(held)
            raise _too_long(name, number + whole.count(b"\n"), whole[-n_open:], line_max)
        if n_held - n_open >= BLOCK_BYTES:
            whole = b"".join(held)
            block, tail = whole[: n_held - n_open], whole[n_held - n_open :]
            yield number, block
            number += block.count(b"\n")
            held, n_held = [tail], n_open
    last = b"".join(held)
    if cut_off is not None:
        whole_lines = last[: last.rfind(b"\n") + 1]
        if whole_lines:
            yield number, whole_lines
        raise cut_off
    if last:
        yield number, last if last.endswith(b"\n") else last + b"\n"


def lines(path: str | os.PathLike[str], line_max: int) -> Iterator[tuple[int, bytes]]:
    """Lines one by one: (number from 1, bytes without the newline)."""
    name = os.fspath(path)
    for first, block in line_blocks(path, line_max):
        for number, line in enumerate(block.split(b"\n")[:-1], first):
            if len(line) > line_max:
                raise _too_long(name, number, line, line_max)
            yield number, line


def _too_long(name: str, number: int, line: bytes, line_max: int) -> HbmTraceError:
    return trace_error(
        name,
        f"longer than {line_max} bytes",
        line=number,
        got=line[:16],
        remedy="this is no trace of a known format",
    )


def file_digest(hasher: Any, path: str | os.PathLike[str]) -> None:
    """Feed a file's bytes, as they are on disk, to a hash object."""
    with open_source(path) as file:
        while data := file.read(1 << 20):
            hasher.update(data)
