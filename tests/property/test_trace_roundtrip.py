"""What is written is read back the same, in every format; and the fast readers agree with the exact ones."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbmmodel.trace import Access, Operation, RequestTrace, Trace, convert, read_trace
from hbmmodel.trace.bursts import access_bursts
from hbmmodel.trace.dramsim3 import Dramsim3
from hbmmodel.trace.dramsys import Rstl, Stl
from hbmmodel.trace.lackey import Lackey
from hbmmodel.trace.ramulator import LoadStore, ReadWrite
from hbmmodel.trace.text import Columns, LineFormat, Table, exact

Rows = list[tuple[int, int, int | None, int | None]]
SUFFIXES = st.sampled_from(["", ".gz", ".xz", ".zst"])


def rows_of(trace: Trace) -> Rows:
    assert isinstance(trace, RequestTrace)
    found: Rows = []
    for chunk in trace.chunks():
        n = len(chunk)
        time = [None] * n if chunk.time_ps is None else chunk.time_ps.tolist()
        size = [None] * n if chunk.size_bytes is None else chunk.size_bytes.tolist()
        found += zip(chunk.address.tolist(), chunk.is_write.tolist(), time, size, strict=True)
    return found


@st.composite
def traces(draw: st.DrawFn, address_max: int = 2**64 - 1, timed: bool | None = None, sized: bool = False) -> Trace:
    n = draw(st.integers(1, 30))
    address = draw(st.lists(st.integers(0, address_max), min_size=n, max_size=n))
    is_write = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    time = size = None
    if timed or (timed is None and draw(st.booleans())):
        time = sorted(draw(st.lists(st.integers(0, 2**53), min_size=n, max_size=n)))
    if sized and draw(st.booleans()):
        size = [
            min(s, 2**64 - a)
            for s, a in zip(draw(st.lists(st.integers(1, 2**32 - 1), min_size=n, max_size=n)), address, strict=True)
        ]
    return Trace.from_requests(address, is_write, time, size)


def written(trace: Trace, name: str, **options: Any) -> Rows:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        convert(trace, path, **options)
        read = {key: value for key, value in options.items() if key == "clock_ns"}
        fmt = options["format"]
        return rows_of(read_trace(path, format=fmt, **read))


@settings(deadline=None)
@given(traces(sized=True), st.just(""))
def test_parquet_keeps_everything(trace: Trace, suffix: str) -> None:
    assert written(trace, "x", format="parquet") == rows_of(trace)


@settings(deadline=None)
@given(traces(timed=True, sized=True), SUFFIXES)
def test_dramsys_keeps_everything_at_a_clock_of_1_ps(trace: Trace, suffix: str) -> None:
    assert written(trace, "x" + suffix, format="dramsys-stl", clock_ns=1e-3) == rows_of(trace)


@settings(deadline=None)
@given(traces(timed=True), SUFFIXES, st.sampled_from([1e-3, 1.0, 0.625, 0.7]))
def test_dramsim3_keeps_times_to_its_clock(trace: Trace, suffix: str, clock_ns: float) -> None:
    found = written(trace, "x" + suffix, format="dramsim3", clock_ns=clock_ns)
    wanted = rows_of(trace)
    assert [row[:2] for row in found] == [row[:2] for row in wanted]
    for (_, _, time, _), (_, _, exact_time, _) in zip(found, wanted, strict=True):
        assert time is not None and exact_time is not None
        assert exact_time - 1000 * clock_ns - 1 < time <= exact_time


@settings(deadline=None)
@given(traces(address_max=2**63 - 1), SUFFIXES)
def test_ramulator_keeps_addresses_and_directions(trace: Trace, suffix: str) -> None:
    found = written(trace, "x" + suffix, format="ramulator-loadstore")
    assert found == [(address, is_write, None, None) for address, is_write, _, _ in rows_of(trace)]


@settings(deadline=None)
@given(traces(timed=True), st.sampled_from([0.3, 1.0, 2.5]))
def test_writing_what_was_read_changes_nothing(trace: Trace, clock_ns: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        a, b = Path(folder) / "a.stl", Path(folder) / "b.stl"
        convert(trace, a, clock_ns=0.1)
        text = a.read_text()
        convert(read_trace(a, format="dramsys-stl", clock_ns=clock_ns), b, clock_ns=clock_ns)
        assert b.read_text() == text


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Access,
            st.booleans(),
            st.just(0),
            st.integers(0, 10**6),
            st.integers(1, 500),
            st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2000)), max_size=2).map(tuple),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_operations_are_written_as_their_bursts(accesses: list[Access]) -> None:
    trace = Trace.from_operations([Operation(0, 0, "x", "", 0, 0, tuple(accesses))])
    expected = [
        (address, int(access.is_write))
        for access in accesses
        for part in access_bursts(access, 32)
        for address in part.tolist()
    ]
    for fmt in ("dramsim3", "ramulator-loadstore", "dramsys-stl", "parquet"):
        found = (
            written(trace, "x", format=fmt, gb_per_s=1000.0) if fmt != "parquet" else written(trace, "x", format=fmt)
        )
        assert [row[:2] for row in found] == expected


# ---- the fast path is the exact path ----

NUMBER = st.one_of(st.integers(0, 9), st.integers(0, 2**64 - 1), st.integers(2**63 - 2, 2**64 + 1)).map(str)
HEX = st.one_of(st.integers(0, 15), st.integers(0, 2**64 - 1), st.integers(2**64 - 2, 2**64 + 1))
ADDRESS = st.one_of(HEX.map(hex), HEX.map("0x{:X}".format), HEX.map("{:x}".format), st.just("0x"), st.just("-1"))
GAP = st.sampled_from([" ", "\t", "  ", " \t"])
END = st.sampled_from(["\n", "\r\n", " \n", "\n\n", "\n# c\n"])
WORD = st.sampled_from(["READ", "WRITE", "read", "write", "LD", "ST", "R", "W", "RD", "READX", "", "I", "L", "S", "M"])
JUNK = st.text(alphabet="0123456789abcxX:,()#-_ \t", max_size=12)


def lines(*parts: Any) -> st.SearchStrategy[str]:
    """Mostly lines of one shape, now and then something else."""
    regular = st.tuples(*(part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts)).map(
        "".join
    )
    return st.one_of(
        st.lists(regular, min_size=1, max_size=6).map("".join),
        st.lists(st.one_of(regular, JUNK.map(lambda text: text + "\n")), min_size=1, max_size=6).map("".join),
    )


VECTOR = st.lists(st.integers(0, 2**31).map(str), min_size=1, max_size=4).map(",".join)
KIND = st.sampled_from(["I  ", " L ", " M ", "L\t"])
SIZE = st.one_of(st.just(""), NUMBER.map("({})\t".format))
CASES: dict[str, tuple[LineFormat, st.SearchStrategy[str]]] = {
    "dramsim3": (Dramsim3(), lines(ADDRESS, GAP, st.sampled_from(["READ", "WRITE"]), GAP, NUMBER, END)),
    "dramsim3-words": (Dramsim3(), lines(ADDRESS, " ", WORD, " ", NUMBER, "\n")),
    "loadstore": (LoadStore(), lines(st.sampled_from(["LD", "ST"]), GAP, st.one_of(ADDRESS, NUMBER), END)),
    "readwrite": (ReadWrite(), lines(st.sampled_from(["R", "W"]), GAP, VECTOR, END)),
    "stl": (Stl(), lines(NUMBER, ":", GAP, SIZE, st.sampled_from(["read", "write"]), GAP, ADDRESS, END)),
    "rstl": (Rstl(), lines(NUMBER, ":", GAP, "read", GAP, ADDRESS, "\n")),
    "lackey": (Lackey(), lines(st.sampled_from(["I  ", " L ", " S ", " M "]), ADDRESS, ",", NUMBER, "\n")),
    "lackey-i": (Lackey(True), lines(KIND, HEX.map("{:x}".format), ",", NUMBER, "\n")),
}  # fmt: skip


def comparable(columns: Columns) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("address", "is_write", "cycle", "vector"):
        values = getattr(columns, name)
        found[name] = None if values is None else (values.tolist(), values.dtype)
    size = columns.size_bytes
    found["size"] = None if size is None or not size.any() else size.tolist()
    line = np.arange(len(columns.is_write)) if columns.line is None else columns.line
    found["line"] = line.tolist()
    return found


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_fast_path_agrees_with_the_exact_one(case: str, data: st.DataObject) -> None:
    fmt, strategy = CASES[case]
    block = data.draw(strategy).encode()
    fast = fmt.fast(Table(block, fmt.separators))
    if fast is None:
        return
    # Whatever the fast path takes, the exact one must take too, to the same result.
    assert comparable(fast) == comparable(exact(fmt, "x", 1, block))


@pytest.mark.parametrize(
    ("fmt", "text"),
    [
        (Dramsim3(), "0x40 READ 1\n0x80 WRITE 22\n"),
        (Dramsim3(), "40 READ 1\nFFFF WRITE 22\r\n"),
        (LoadStore(), "LD 0x40\nST 0xffff\n"),
        (ReadWrite(), "R 0,1,2\nW 10,20,30\n"),
        (Stl(), "1:\tread\t0x40\n22:\twrite\t0xffff\n"),
        (Stl(), "1: (64) read 0x40\n22: (7) write 0xffff\n"),
        (Lackey(), "I  0401ab70,3\n S 1fff000758,8\n L 10,4\n M 20,2\n"),
    ],
)
def test_regular_lines_do_take_the_fast_path(fmt: LineFormat, text: str) -> None:
    fast = fmt.fast(Table(text.encode(), fmt.separators))
    assert fast is not None
    assert comparable(fast) == comparable(exact(fmt, "x", 1, text.encode()))
