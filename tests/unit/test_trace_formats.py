"""Every text format: what it means, and one clear line for every malformed record."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace import RequestChunk, RequestTrace, read_trace

Write = Callable[[str], Path]


@pytest.fixture
def file(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "x.trace"
        path.write_text(text)
        return path

    return write


def opened(path: Path, **options: Any) -> RequestTrace:
    trace = read_trace(path, **options)
    assert isinstance(trace, RequestTrace)
    return trace


def only(path: Path, **options: Any) -> RequestChunk:
    (chunk,) = opened(path, **options).chunks()
    return chunk


def failure(path: Path, **options: Any) -> str:
    with pytest.raises(HbmTraceError) as caught:
        list(opened(path, **options).chunks())
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(path), "FILE")


def times(chunk: RequestChunk) -> list[int]:
    assert chunk.time_ps is not None
    return chunk.time_ps.tolist()


def sizes(chunk: RequestChunk) -> list[int] | None:
    return None if chunk.size_bytes is None else chunk.size_bytes.tolist()


def test_dramsim3(file: Write) -> None:
    path = file("0x2000D5C0 READ 30\n0xffffffffffffffff WRITE 30\n0x40 READ 31\n")
    chunk = only(path)
    assert opened(path).format == "dramsim3" and opened(path).timed
    assert chunk.address.tolist() == [0x2000D5C0, 2**64 - 1, 0x40]
    assert chunk.is_write.tolist() == [0, 1, 0]
    assert times(chunk) == [30_000, 30_000, 31_000]
    assert sizes(chunk) is None


def test_dramsim3_words_of_its_parser(file: Write) -> None:
    words = ["READ", "read", "P_MEM_RD", "P_FETCH", "WRITE", "write", "P_MEM_WR", "BOFF"]
    chunk = only(file("".join(f"{16 * i:x}  {word}\t{i}\r\n\n" for i, word in enumerate(words)) + "# end\n"))
    assert chunk.is_write.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert chunk.address.tolist() == [16 * i for i in range(8)]


@pytest.mark.parametrize(
    ("clock_ns", "expected"),
    [(1.0, [3000, 7000]), (0.625, [1875, 4375]), (1 / 3, [999, 2333]), (1e-3, [3, 7])],
)
def test_the_clock_turns_cycles_into_time(file: Write, clock_ns: float, expected: list[int]) -> None:
    path = file("0x0 READ 3\n0x0 READ 7\n")
    assert times(only(path, clock_ns=clock_ns)) == expected


@pytest.mark.parametrize("clock_ns", [0, -1.0, float("nan"), float("inf"), "x", 1e10])
def test_clocks_that_are_none(file: Write, clock_ns: Any) -> None:
    with pytest.raises(HbmArgumentError, match="clock_ns is"):
        read_trace(file("0x0 READ 3\n"), clock_ns=clock_ns)


GOOD = "0x40 READ 1\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0x40 READ", "2 fields: got '0x40 READ'; write ADDRESS READ|WRITE CYCLE"),
        ("0x40 READ 1 2", "4 fields"),
        ("0x40 REED 1", "field operation: unknown operation: got 'REED'; write READ or WRITE"),
        ("zz READ 1", "field address: not a hexadecimal number: got 'zz'"),
        ("-0x40 READ 1", "field address: negative: got '-0x40'"),
        ("0x READ 1", "field address: not a hexadecimal number: got '0x'"),
        ("0x4_0 READ 1", "field address: not a hexadecimal number"),
        ("0x10000000000000000 READ 1", "field address: beyond 0xffffffffffffffff: got '0x10000000000000000'"),
        ("0x40 READ -1", "field cycle: negative: got '-1'; write digits, 0..9223372036854775807"),
        ("0x40 READ 1.5", "field cycle: not a decimal number: got '1.5'"),
        ("0x40 READ 1_0", "field cycle: not a decimal number: got '1_0'"),
        ("0x40 READ 0x1", "field cycle: not a decimal number"),
        ("0x40 READ 9223372036854775808", "field cycle: outside 0..9223372036854775807"),
        ("0x40 READ 18446744073709551616", "field cycle: outside"),
        ("0x40 READ 0", "field cycle: earlier than the request before it: got 0; sort by time"),
        ("0x40 READ 9223372036854776", "field cycle: beyond 2^63 ps: got 9223372036854776; check clock_ns"),
        ("0x40 RE\0AD 1", "field operation: unknown operation: got 'RE\\x00AD'"),
        ("\u00e9 READ 1", "field address: not a hexadecimal number: got '\\\\xc3\\\\xa9'"),
    ],
)
def test_malformed_dramsim3_lines(file: Write, line: str, message: str) -> None:
    found = failure(file(GOOD + line + "\n" + GOOD.replace("1\n", "2\n")))
    assert found.startswith(f"FILE: line 2: {message}")


def test_a_time_that_descends_over_blocks_is_named(file: Write) -> None:
    n = 100_000
    path = file("".join(f"0x{64 * i:x} READ {i}\n" for i in range(n)) + "0x0 READ 5\n")
    assert f"line {n + 1}: field cycle: earlier" in failure(path)


def test_the_first_bad_line_of_many_blocks_is_named(file: Write) -> None:
    good = [f"0x{64 * i:x} READ {i}\n" for i in range(150_000)]
    good[120_000] = "0x0 READ\n"
    assert failure(file("".join(good))).startswith("FILE: line 120001: 2 fields")


def test_misaligned_fields_over_lines_are_not_taken_for_regular_ones(file: Write) -> None:
    assert "line 1: 2 fields" in failure(file("0x1 READ\n5 0x2 READ 3\n"))


def test_ramulator_loadstore(file: Write) -> None:
    path = file("LD 0x12340\nST 4096\nLD 0X40\nST 0x7fffffffffffffff\n")
    chunk = only(path)
    assert opened(path).format == "ramulator-loadstore" and not opened(path).timed
    assert chunk.address.tolist() == [0x12340, 4096, 0x40, 2**63 - 1]
    assert chunk.is_write.tolist() == [0, 1, 0, 1]
    assert chunk.time_ps is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("LD", "1 fields: got 'LD'; write LD|ST ADDRESS"),
        ("LD 0x1 2", "3 fields"),
        ("XX 0x1", "field operation: unknown operation: got 'XX'; write LD or ST"),
        ("LD 0x8000000000000000", "field address: beyond 0x7fffffffffffffff"),
        ("LD 9223372036854775808", "field address: outside 0..9223372036854775807"),
        ("LD -1", "field address: negative"),
        ("LD ff", "field address: not a decimal number: got 'ff'"),
        ("LD 0xgg", "field address: not a hexadecimal number"),
    ],
)
def test_malformed_loadstore_lines(file: Write, line: str, message: str) -> None:
    assert failure(file("LD 0x40\n" + line + "\n")).startswith(f"FILE: line 2: {message}")


def test_ramulator_readwrite_keeps_coordinates(file: Write) -> None:
    path = file("R 0,1,2,100,32\nW 15,0,3,70000,0\n")
    trace = opened(path)
    chunk = only(path)
    assert trace.format == "ramulator-readwrite" and not trace.addressed
    assert chunk.vector is not None and chunk.vector.dtype == np.int32
    assert chunk.vector.tolist() == [[0, 1, 2, 100, 32], [15, 0, 3, 70000, 0]]
    assert chunk.is_write.tolist() == [0, 1]
    assert len(chunk.address) == 0 and len(chunk) == 2


def test_an_address_map_gives_coordinates_their_addresses(file: Write) -> None:
    path = file("R 1,2\nW 3,4\n")

    def to_address(vector: Any) -> Any:
        return vector[:, 0] * 1024 + vector[:, 1]

    for trace in (opened(path, to_address=to_address), opened(path).with_addresses(to_address)):
        (chunk,) = trace.chunks()
        assert trace.addressed and chunk.address.dtype == np.uint64
        assert chunk.address.tolist() == [1026, 3076]
    with pytest.raises(HbmTraceError, match="to_address gave"):
        list(opened(path, to_address=lambda vector: vector[:1, 0]).chunks())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("R 1,2", "field vector: 2 coordinates, 3 before: got '1,2'; give every request the same levels"),
        ("R 1,,2", "field vector: not a decimal number: got ''"),
        ("R ,1,2", "field vector: not a decimal number: got ''"),
        ("R 1,2,", "field vector: not a decimal number: got ''"),
        ("R 1,2,-3", "field vector: negative: got '-3'"),
        ("R 1,2,2147483648", "field vector: outside 0..2147483647"),
        ("R 1, 2,3", "3 fields"),
        ("R,1,2,3", "1 fields"),
        ("X 1,2,3", "field operation: unknown operation: got 'X'"),
        ("R 5", "field vector: 1 coordinates"),
        ("R " + ",".join("1" * 17), "field vector: 17 coordinates"),
    ],
)
def test_malformed_readwrite_lines(file: Write, line: str, message: str) -> None:
    assert failure(file("R 1,2,3\n" + line + "\n")).startswith(f"FILE: line 2: {message}")


def test_levels_must_not_change_between_blocks(file: Write) -> None:
    n = 120_000
    path = file("R 1,2,3\n" * n + "R 1,2\n" * n)
    assert re.match(r"FILE: line \d+: field vector: 2 coordinates, 3 before", failure(path))


def test_dramsys_stl(file: Write) -> None:
    path = file("# comment\n31:\tread\t0x400140\n33:\twrite\t0x80\n")
    chunk = only(path)
    assert opened(path).format == "dramsys-stl" and opened(path).timed
    assert (chunk.address.tolist(), chunk.is_write.tolist(), times(chunk)) == (
        *([0x400140, 0x80], [0, 1], [31_000, 33_000]),
    )
    assert sizes(chunk) is None


def test_dramsys_sizes_and_data(file: Write) -> None:
    chunk = only(file("1: (64) read 0x40\n2: (32) write 0x80 0xdeadbeef\n"))
    assert (chunk.address.tolist(), sizes(chunk)) == ([0x40, 0x80], [64, 32])


def test_requests_with_and_without_size_come_in_chunks_of_their_own(file: Write) -> None:
    path = file("1: (64) read 0x40\n2: (64) read 0x80\n3: write 0xc0\n4: (32) read 0x0\n")
    found = [(c.first_record, c.address.tolist(), sizes(c), times(c)) for c in opened(path).chunks()]
    assert found == [
        (0, [0x40, 0x80], [64, 64], [1000, 2000]),
        (2, [0xC0], None, [3000]),
        (3, [0], [32], [4000]),
    ]


def test_dramsys_rstl_counts_from_the_request_before(file: Write) -> None:
    path = file("5: read 0x0\n5: read 0x40\n0: write 0x80\n")
    chunk = only(path, format="dramsys-rstl", clock_ns=0.5)
    assert times(chunk) == [2500, 5000, 5000]


def test_relative_times_add_up_over_blocks(file: Write) -> None:
    n = 150_000
    trace = opened(file("2:\tread\t0x40\n" * n), format="dramsys-rstl")
    found = np.concatenate([np.array(times(chunk)) for chunk in trace.chunks()])
    assert (found == 2000 * np.arange(1, n + 1)).all()


def test_relative_times_that_overflow_are_named(file: Write) -> None:
    text = "5000000000000000000: read 0x0\n" * 3
    found = failure(file(text), format="dramsys-rstl", clock_ns=1e-3)
    assert found.startswith("FILE: line 2: field cycle: the sum is beyond 2^63 cycles: got 5000000000000000000")
    assert "line 1: field cycle: beyond 2^63 ps" in failure(file(text), format="dramsys-rstl")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 read 0x0", "field cycle: no colon behind the cycle: got '2'"),
        (": read 0x0", "field cycle: not a decimal number: got ''"),
        ("-2: read 0x0", "field cycle: negative"),
        ("2::: read 0x0", "field cycle: not a decimal number: got '2::'"),
        ("2: READ 0x0", "field operation: unknown operation: got 'READ'; write read or write"),
        ("2:", "field operation: unknown operation: got ''"),
        ("2: read", "0 fields behind the operation"),
        ("2: read 40", "field address: not a hexadecimal number: got '40'; write 0x and digits"),
        ("2: read 0x0 1", "field data: not a hexadecimal number"),
        ("2: read 0x0 0x1 0x2", "3 fields behind the operation"),
        ("2: (0) read 0x0", "field size: outside 1..4294967295: got '0'"),
        ("2: (-8) read 0x0", "field size: negative"),
        ("2: (64 read 0x0", "field size: no closing parenthesis"),
        ("2: (64) read 0xffffffffffffffff", "field size: the request ends beyond 2^64"),
        ("0: read 0x0", "field cycle: earlier than the request before it: got 0; sort by time; times"),
    ],
)  # fmt: skip
def test_malformed_dramsys_lines(file: Write, line: str, message: str) -> None:
    assert failure(file("1: read 0x0\n" + line + "\n")).startswith(f"FILE: line 2: {message}")


LACKEY = "==12== Lackey\n==12== \nI  0401ab70,3\n S 1fff000758,8\n L 10,4\n M 20,2\nI  0401ab73,5\n==12== end\n"


def test_lackey_loads_stores_and_modifies(file: Write) -> None:
    chunk = only(file(LACKEY))
    assert chunk.address.tolist() == [0x1FFF000758, 0x10, 0x20, 0x20]
    assert chunk.is_write.tolist() == [1, 0, 0, 1]
    assert sizes(chunk) == [8, 4, 2, 2]
    assert chunk.time_ps is None
    everything = only(file(LACKEY), instructions=True)
    assert everything.address.tolist() == [0x401AB70, 0x1FFF000758, 0x10, 0x20, 0x20, 0x401AB73]
    assert everything.is_write.tolist() == [0, 1, 0, 0, 1, 0]


def test_lackey_output_of_instructions_only_holds_no_requests(file: Write) -> None:
    assert failure(file("I  0401ab70,3\n" * 3)).startswith("FILE: trace holds no requests")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (" X 10,4", "field operation: unknown operation: got 'X'; write L, S, M or I"),
        (" L 10", "field size: no comma behind the address: got '10'"),
        (" L 10,0", "field size: outside 1..4294967295: got '0'"),
        (" L 10,-4", "field size: negative"),
        (" L 10,", "field size: not a decimal number: got ''"),
        (" L 10,4,4", "field size: not a decimal number: got '4,4'"),
        (" L 0x10,4", "field address: not a hexadecimal number: got '0x10'; write digits without 0x"),
        (" L ,4", "field address: not a hexadecimal number: got ''"),
        (" L 10 4", "3 fields"),
        (" L ffffffffffffffff,2", "field size: the access ends beyond 2^64"),
        (" L 10000000000000000,2", "field address: beyond 0xffffffffffffffff"),
    ],
)
def test_malformed_lackey_lines(file: Write, line: str, message: str) -> None:
    assert failure(file(" L 10,4\n" + line + "\n")).startswith(f"FILE: line 2: {message}")


@pytest.mark.parametrize("fmt", ["dramsim3", "ramulator-loadstore", "ramulator-readwrite", "dramsys-stl", "lackey"])
@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_traces_without_requests_are_refused(file: Write, fmt: str, text: str) -> None:
    assert failure(file(text), format=fmt).startswith("FILE: trace holds no requests; check the file")


def test_chunks_respect_their_maximum_and_count_records(file: Write) -> None:
    path = file("".join(f"0x{64 * i:x} READ {i}\n" for i in range(1000)))
    chunks = list(opened(path).chunks(max_records=300))
    assert [(c.first_record, len(c)) for c in chunks] == [(0, 300), (300, 300), (600, 300), (900, 100)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phase": "decode"}, "option phase has no meaning in dramsim3; it belongs to hbmop"),
        ({"instructions": True}, "option instructions has no meaning in dramsim3; it belongs to lackey"),
        ({"format": "csv"}, "format is 'csv'; choose one of hbmop, dramsim3,"),
    ],
)
def test_options_of_other_formats_are_refused(file: Write, options: dict[str, Any], message: str) -> None:
    with pytest.raises(HbmArgumentError, match=re.escape(message)):
        read_trace(file(GOOD), **options)


def test_a_path_must_be_a_path() -> None:
    with pytest.raises(HbmArgumentError, match="path is 5; give a file's path"):
        read_trace(5)  # type: ignore[arg-type]
