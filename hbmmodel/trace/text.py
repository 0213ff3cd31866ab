"""Text traces of one request per line: blocks to columns, and the trace over them.

Owns what all line formats share: the vectorised cutting of a block into tokens and numbers, the exact line by
line path behind it, times from cycles, and the stream. A format (one file each) supplies two functions:
`fast` for a block of regular lines, which may decline, and `line`, which defines the grammar and names the
fault. A property test demands that both agree.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace.model import CHUNK_RECORDS, RequestChunk, RequestTrace, check_max_records, uniform_sizes
from hbmmodel.trace.problem import trace_error
from hbmmodel.trace.source import TEXT_LINE_MAX, file_digest, line_blocks

__all__ = [
    "Columns",
    "LineError",
    "LineFormat",
    "Record",
    "Table",
    "TextRequests",
    "clock_ps",
    "decimal",
    "hexadecimal",
]

U64_MAX = 2**64 - 1
I64_MAX = 2**63 - 1
_HEX = re.compile(rb"(?:0[xX])?([0-9a-fA-F]+)")


class LineError(Exception):
    """What is wrong with one line, before its place in the file is known."""

    def __init__(self, field: str | None, what: str, got: object, remedy: str) -> None:
        super().__init__(what)
        self.field, self.what, self.got, self.remedy = field, what, got, remedy


class Record(NamedTuple):
    """One request of a line; a line may hold none or several."""

    address: int
    is_write: bool
    cycle: int | None = None
    size_bytes: int | None = None
    vector: tuple[int, ...] | None = None


class Columns(NamedTuple):
    """Requests of a block."""

    address: NDArray[np.uint64]
    is_write: NDArray[np.uint8]
    cycle: NDArray[np.int64] | None = None
    size_bytes: NDArray[np.uint32] | None = None
    vector: NDArray[np.int32] | None = None
    line: NDArray[np.int64] | None = None
    """Line of every request within the block, from 0; None: one request per line."""


class LineFormat(Protocol):
    """A text format.

    Attributes
    ----------
    name : str
        Name of the format.
    timed, relative : bool
        Whether records carry cycles, and whether these count from the record before.
    separators : bytes
        What separates tokens in `fast`, besides blanks.
    """

    name: str
    timed: bool
    relative: bool
    separators: bytes

    def fast(self, table: Table) -> Columns | None:
        """Columns of a block, if every line of it is regular; None leaves the block to `line`."""

    def line(self, line: bytes) -> list[Record]:
        """Requests of one line (stripped, not empty, no comment); raises `LineError`."""

    def is_comment(self, line: bytes) -> bool:
        """Whether a line holds no record."""


# ---- numbers ----


def decimal(field: str, token: bytes, low: int, high: int) -> int:
    """A token of decimal digits as a number in [low, high]; `LineError` otherwise.

    Examples
    --------
    >>> decimal("cycle", b"30", 0, 100)
    30
    """
    if not token.isdigit():
        what = "negative" if token[:1] == b"-" and token[1:].isdigit() else "not a decimal number"
        raise LineError(field, what, token, f"write digits, {low}..{high}")
    if len(token) > 40 or not low <= (value := int(token)) <= high:
        raise LineError(field, f"outside {low}..{high}", token, "write a number in that range")
    return value


def hexadecimal(field: str, token: bytes, high: int = U64_MAX) -> int:
    """A token of hexadecimal digits, with or without ``0x``, as a number in [0, high]; `LineError` otherwise.

    Examples
    --------
    >>> hexadecimal("address", b"0x2000D5C0")
    536925632
    """
    match = _HEX.fullmatch(token)
    if match is None:
        what = "negative" if token[:1] == b"-" else "not a hexadecimal number"
        raise LineError(field, what, token, f"write 0x and digits, up to {high:#x}")
    if len(token) > 80 or (value := int(match[1], 16)) > high:
        raise LineError(field, f"beyond {high:#x}", token, "write a smaller address")
    return value


# ---- blocks ----

_NOT_A_DIGIT = 255
_DIGIT = np.full(256, _NOT_A_DIGIT, np.uint8)
for _i, _c in enumerate(b"0123456789abcdef"):
    _DIGIT[_c] = _i
for _i, _c in enumerate(b"ABCDEF"):
    _DIGIT[_c] = 10 + _i
_PAD = bytes(32)


class Table:
    """The tokens of a block whose lines all have equally many.

    Parameters
    ----------
    block : bytes
        Lines, the last one ended too.
    separators : bytes
        What separates tokens, besides blanks and newlines.

    Attributes
    ----------
    text : ndarray of uint8
        The block, padded.
    start, end : ndarray of int64, shape (lines, tokens)
        Where tokens begin and end; shape (lines, 0) when the lines differ in their number.
    """

    def __init__(self, block: bytes, separators: bytes = b"") -> None:
        self.text = np.frombuffer(block + _PAD, np.uint8)
        text = self.text[: len(block)]
        is_separator = np.zeros(256, bool)
        is_separator[list(b" \t\r\n" + separators)] = True
        blank = np.empty(len(block) + 1, bool)
        blank[0] = True
        np.take(is_separator, text, out=blank[1:])
        edge = np.flatnonzero(blank[1:] != blank[:-1])
        newline = np.flatnonzero(text == ord("\n"))
        self.n_lines = len(newline)
        start, end = edge[::2], edge[1::2]
        width, uneven = divmod(len(start), max(self.n_lines, 1))
        # The last token of every line must end in front of its newline, the next one begin behind it.
        if (
            uneven
            or width == 0
            or (end[width - 1 :: width] > newline).any()
            or (start[width::width] < newline[:-1]).any()
        ):
            width, start, end = 0, start[:0], end[:0]
        self.width = width
        self.start = start.reshape(-1, width) if width else np.zeros((self.n_lines, 0), np.int64)
        self.end = end.reshape(-1, width) if width else self.start

    def matches(self, column: int, word: bytes) -> NDArray[np.bool_]:
        """Where a column is exactly `word`."""
        start = self.start[:, column]
        found: NDArray[np.bool_] = self.end[:, column] - start == len(word)
        for i, letter in enumerate(word):
            found &= self.text[start + i] == letter
        return found

    def character(self, position: NDArray[np.int64], letter: bytes) -> bool:
        """Whether `letter` stands at every position."""
        return bool((self.text[position] == ord(letter)).all())

    def number(self, start: NDArray[np.int64], end: NDArray[np.int64], base: int) -> NDArray[np.uint64] | None:
        """Digits from `start` to `end` as numbers below 2^64; None if that is not all they are."""
        length = end - start
        if len(length) == 0:
            return np.zeros(0, np.uint64)
        shortest, longest = int(length.min()), int(length.max())
        if shortest < 1 or longest > (16 if base == 16 else 19):
            return None
        value = np.zeros(len(start), np.uint64)
        for i in range(longest):
            digit = _DIGIT[self.text[end - 1 - i]]
            if i >= shortest:
                digit[length <= i] = 0
            if (digit >= base).any():
                return None
            value += digit * np.uint64(base**i)
        return value

    def cycles(self, column: int, end: NDArray[np.int64] | None = None) -> NDArray[np.int64] | None:
        """A column of decimal numbers below 2^63; `end` cuts the tokens short."""
        value = self.number(self.start[:, column], self.end[:, column] if end is None else end, 10)
        if value is None or (value > I64_MAX).any():
            return None
        return value.astype(np.int64)

    def addresses(self, column: int) -> NDArray[np.uint64] | None:
        """A column of hexadecimal numbers, all with ``0x`` or all without."""
        start, end = self.start[:, column], self.end[:, column]
        marked = (self.text[start] == ord("0")) & ((self.text[start + 1] | 0x20) == ord("x"))
        if marked.all():
            start = start + 2
        elif marked.any():
            return None
        return self.number(start, end, 16)


def exact(fmt: LineFormat, name: str, first: int, block: bytes) -> Columns:
    """Columns of a block, line by line; the error of the first bad line."""
    found: list[Record] = []
    line_of: list[int] = []
    for i, raw in enumerate(block.split(b"\n")[:-1]):
        if len(raw) > TEXT_LINE_MAX:
            raise trace_error(
                name,
                f"longer than {TEXT_LINE_MAX} bytes",
                line=first + i,
                got=raw[:16],
                remedy=f"this is no {fmt.name} trace",
            )
        line = raw.rstrip()
        if not line or line.lstrip().startswith(b"#") or fmt.is_comment(line):
            continue
        try:
            records = fmt.line(line)
        except LineError as error:
            raise trace_error(
                name, error.what, line=first + i, field=error.field, got=error.got, remedy=error.remedy
            ) from None
        found += records
        line_of += [i] * len(records)
    vectors = [record.vector for record in found if record.vector is not None]
    width = len(vectors[0]) if vectors else 0
    for i, vector in enumerate(vectors):
        if len(vector) != width:
            raise trace_error(
                name,
                f"{len(vector)} coordinates, {width} before",
                line=first + line_of[i],
                field="vector",
                got=",".join(map(str, vector)),
                remedy="give every request the same levels",
            )
    sizes = [record.size_bytes for record in found]
    return Columns(
        np.array([record.address for record in found], np.uint64) if not vectors else np.zeros(0, np.uint64),
        np.array([record.is_write for record in found], np.uint8),
        np.array([record.cycle for record in found], np.int64) if fmt.timed else None,
        _sizes(sizes),
        np.array(vectors, np.int32).reshape(-1, width) if vectors else None,
        np.array(line_of, np.int64),
    )


def _sizes(sizes: list[int | None]) -> NDArray[np.uint32] | None:
    """Sizes where given, 0 (one burst) where not; None when none is given."""
    if all(size is None for size in sizes):
        return None
    return np.array([size or 0 for size in sizes], np.uint32)


# ---- the trace ----


def clock_ps(clock_ns: float) -> Fraction:
    """Clock period in ps of one in ns; a float is read as the decimal number that it prints as.

    Raises
    ------
    HbmArgumentError
        Not a positive finite number below one second.

    Examples
    --------
    >>> clock_ps(1.25)
    Fraction(1250, 1)
    """
    try:
        period = Fraction(repr(float(clock_ns))) * 1000
    except (TypeError, ValueError, OverflowError):
        period = Fraction(0)
    if not 0 < period <= 10**12:
        raise HbmArgumentError(f"clock_ns is {clock_ns!r}; give the period of the trace's clock in ns (> 0)")
    return period


class TextRequests(RequestTrace):
    """Requests of a text file.

    Parameters
    ----------
    path : path
        File.
    fmt : LineFormat
        Its format.
    clock_ns : float
        Period of the clock that times are counted in [ns].
    """

    def __init__(self, path: str | os.PathLike[str], fmt: LineFormat, clock_ns: float = 1.0) -> None:
        self.name = os.fspath(path)
        self.format = fmt.name
        self.timed = fmt.timed
        self.addressed = fmt.name != "ramulator-readwrite"
        self._format = fmt
        self._period = clock_ps(clock_ns)

    def content_hash(self) -> str:
        """SHA-256 (hex) of the file."""
        hasher = hashlib.sha256()
        file_digest(hasher, self.name)
        return hasher.hexdigest()

    def chunks(self, max_records: int = CHUNK_RECORDS) -> Iterator[RequestChunk]:
        """Stream the requests, block by block."""
        check_max_records(max_records)
        n_records = 0
        clock = _Clock(self.name, self._format, self._period)
        n_levels: int | None = None
        for first, block in line_blocks(self.name, TEXT_LINE_MAX):
            columns = self._format.fast(Table(block, self._format.separators))
            if columns is None:
                columns = exact(self._format, self.name, first, block)
            if len(columns.is_write) == 0:
                continue
            if columns.vector is not None:
                n_levels = self._same_levels(n_levels, columns, first)
            time_ps = clock.times(columns, first) if columns.cycle is not None else None
            for low in range(0, len(columns.is_write), max_records):
                part = slice(low, low + max_records)
                chunk = RequestChunk(
                    columns.address[part],
                    columns.is_write[part],
                    None if columns.size_bytes is None else columns.size_bytes[part],
                    None if time_ps is None else time_ps[part],
                    n_records + low,
                    None if columns.vector is None else columns.vector[part],
                )
                yield from uniform_sizes(chunk)
            n_records += len(columns.is_write)
        if n_records == 0:
            raise HbmTraceError(f"{self.name}: trace holds no requests; check the file and its format")

    def _same_levels(self, before: int | None, columns: Columns, first: int) -> int:
        assert columns.vector is not None
        width = int(columns.vector.shape[1])
        if before is not None and width != before:
            raise trace_error(
                self.name,
                f"{width} coordinates, {before} before",
                line=first + (0 if columns.line is None else int(columns.line[0])),
                field="vector",
                got=",".join(map(str, columns.vector[0].tolist())),
                remedy="give every request the same levels",
            )
        return width


class _Clock:
    """Cycles to picoseconds over a whole file: ascending, within 63 bits."""

    def __init__(self, name: str, fmt: LineFormat, period: Fraction) -> None:
        self._name = name
        self._relative = fmt.relative
        self._period = period
        self._last = 0
        # Last cycle whose time still fits.
        self._limit = min(I64_MAX, I64_MAX * period.denominator // period.numerator)

    def times(self, columns: Columns, first: int) -> NDArray[np.int64]:
        assert columns.cycle is not None
        cycle = columns.cycle
        checks = []
        if self._relative:
            # Steps are not negative, so a sum that decreases has overflowed.
            cycle = np.cumsum(cycle, dtype=np.int64) + np.int64(self._last)
            checks.append(("the sum is beyond 2^63 cycles", "check the file"))
        else:
            remedy = "sort by time; times that count from the request before are dramsys-rstl"
            checks.append(("earlier than the request before it", remedy))
        checks.append(("beyond 2^63 ps", "check clock_ns"))
        before = np.concatenate((np.array([self._last]), cycle[:-1]))
        self._refuse((cycle < before, cycle > self._limit), checks, columns, first)
        self._last = int(cycle[-1])
        num, den = self._period.numerator, self._period.denominator
        if num * den > I64_MAX:  # a period with many decimals: Python's integers do not overflow
            return np.array([int(c) * num // den for c in cycle.tolist()], np.int64)
        whole, rest = np.divmod(cycle, den)
        time_ps: NDArray[np.int64] = whole * num + rest * num // den
        return time_ps

    def _refuse(
        self,
        masks: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        checks: list[tuple[str, str]],
        columns: Columns,
        first: int,
    ) -> None:
        """Raise the error of the first record that fails a check."""
        found = [(int(np.argmax(mask)), check) for mask, check in zip(masks, checks, strict=True) if mask.any()]
        if not found:
            return
        i, (what, remedy) = min(found)
        assert columns.cycle is not None
        line = first + (i if columns.line is None else int(columns.line[i]))
        raise trace_error(self._name, what, line=line, field="cycle", got=int(columns.cycle[i]), remedy=remedy)
