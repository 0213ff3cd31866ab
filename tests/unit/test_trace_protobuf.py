"""gem5 packets and Chakra nodes: what moves, when, and what is wrong with a file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from foreign_samples import chakra, delimited, gem5, message

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace import HbmTraceWarning, OpTrace, RequestTrace, read_trace

TENSOR = message(f1=b"tensor_size", f13=64)


def packets(path: Path) -> list[tuple[int, ...]]:
    trace = read_trace(path, format="gem5")
    assert isinstance(trace, RequestTrace) and trace.timed
    found: list[tuple[int, ...]] = []
    for chunk in trace.chunks():
        assert chunk.size_bytes is not None and chunk.time_ps is not None
        columns = (chunk.address, chunk.is_write, chunk.size_bytes, chunk.time_ps)
        found += list(zip(*(column.tolist() for column in columns), strict=True))
    return found


def test_packets_with_their_times(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(gem5()))
    assert read_trace(path).format == "gem5"
    assert packets(path) == [(0x40, 0, 64, 10), (0x80, 1, 8, 20)]


def test_ticks_follow_the_frequency(tmp_path: Path) -> None:
    path = tmp_path / "a"
    header = message(f1=b"m", f3=3 * 10**9)
    path.write_bytes(b"gem5" + delimited(header, message(f1=10, f2=1, f3=0, f4=4), message(f1=11, f2=24, f3=0, f4=4)))
    assert packets(path) == [(0, 0, 4, 3333), (0, 0, 4, 3666)]


def test_responses_are_left_out_once_said(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(gem5(*(message(f1=i, f2=command, f3=0, f4=4) for i, command in enumerate([1, 2, 5, 2, 34]))))
    with pytest.warns(HbmTraceWarning, match=r"left out \(cmd 2, 5\)"):
        assert packets(path) == [(0, 0, 4, 0), (0, 0, 4, 4), (0, 1, 4, 4)]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"gem5", "no header"),
        (b"ge", "the file ends in its first bytes"),
        (b"gem5" + delimited(message(f1=b"m")), "record 0: field tick_freq: bad frequency: got 0"),
        (gem5(message(f1=1, f2=1, f3=0)), "record 1: field size: missing, or not a number"),
        (gem5(message(f1=b"x", f2=1, f3=0, f4=4)), "record 1: field tick: missing, or not a number"),
        (gem5(message(f1=1, f2=1, f3=0, f4=0)), "record 1: field size: bad size: got 0"),
        (gem5(message(f1=1, f2=1, f3=2**64 - 2, f4=8)), "record 1: field size: bad size"),
        (gem5(message(f1=9, f2=1, f3=0, f4=4), message(f1=8, f2=1, f3=0, f4=4)), "record 2: field tick: earlier than"),
        (gem5(message(f1=2**64 - 1, f2=1, f3=0, f4=4)), "record 1: field tick: beyond 2^63 ps"),
        (gem5()[:-3], "record 2: the file ends in the middle of a message"),
        (gem5() + b"\xff" * 11, "record 3: bad length of a message"),
        (gem5() + b"\xff\xff\xff\xff\x0f", "record 3: a message of 4294967295 bytes"),
        (gem5(b"\x0b"), "record 1: no protocol buffer (wire type 3)"),
        (gem5(b"\x0a\x7f"), "record 1: no protocol buffer (a field without an end)"),
        (gem5(b"\x00\x01"), "no protocol buffer (field 0)"),
        (gem5(b"\x08" + b"\xff" * 9 + b"\x7f"), "a number of more than 64 bits"),
    ],
)
def test_malformed_packets_are_named(tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    with pytest.raises(HbmTraceError) as caught:
        packets(path)
    assert text in str(caught.value)


def operations(path: Path) -> list[tuple[str, str, int, int, int]]:
    trace = read_trace(path, format="chakra")
    assert isinstance(trace, OpTrace)
    return [
        (op.name, op.phase, op.bytes_read, op.bytes_written, op.accesses[0].base_address) for op in trace.operations()
    ]


def test_memory_nodes_and_their_tensors(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(chakra())
    assert read_trace(path).format == "chakra"
    assert operations(path) == [
        ("chakra.mem_load.default", "", 4096, 0, 0),
        ("chakra.mem_store.default", "", 0, 4096, 4096),
    ]
    assert read_trace(path).metadata["schema"] == "0.0.4"  # type: ignore[union-attr]


def test_nodes_without_memory_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a"
    others = [message(f1=3, f3=7), message(f1=4, f3=7), message(f1=5, f3=4), message(f1=6, f3=77), message(f1=7, f3=1)]
    path.write_bytes(chakra(message(f1=1, f2=b"w", f3=2, f10=TENSOR), *others))
    with pytest.warns(HbmTraceWarning, match="left out: 1 77, 2 COMM_COLL, 1 COMP without tensor_size"):
        assert len(operations(path)) == 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "record 0"),
        (chakra(message(f1=2**63, f3=2)), "record 1: field id: not a number below 2^63"),
        (chakra(message(f1=1, f2=b"x" * 90, f3=b"y")), "record 1: field type"),
        (chakra(message(f1=1, f3=2, f10=message(f1=b"tensor_size", f29=b"4"))), "field attr.tensor_size: not a number"),
        (chakra(message(f1=1, f3=2, f10=message(f1=b"tensor_size", f9=2**64 - 4))), "not a size in bytes: got -4"),
        (chakra(message(f1=1, f3=2, f10=b"\xff")), "record 1: no protocol buffer"),
        (chakra(message(f1=1, f3=1)), "trace holds no operations"),
        (bytes(1000), "record 1: an empty message is no node"),
    ],
)
def test_malformed_nodes_are_named(tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    with pytest.raises(HbmTraceError) as caught:
        operations(path)
    assert text in str(caught.value) or data == b""
