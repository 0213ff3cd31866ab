"""Compression is told by content; cut-off, damaged and hostile files end in one line."""

from __future__ import annotations

import gzip
import lzma
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace import read_trace
from hbmmodel.trace.source import TEXT_LINE_MAX, line_blocks, lines, pieces

CODECS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
TEXT = b"".join(b"0x%x READ %d\n" % (64 * i, i) for i in range(20_000))


def content(path: Path) -> bytes:
    return b"".join(pieces(path))


@pytest.mark.parametrize("codec", CODECS)
def test_compressed_files_are_recognised_whatever_their_name(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "trace.txt"
    path.write_bytes(CODECS[codec](TEXT))
    assert content(path) == TEXT
    assert sum(len(chunk) for chunk in read_trace(path).chunks()) == 20_000  # type: ignore[union-attr]


@pytest.mark.parametrize("codec", CODECS)
def test_several_members_are_one_file(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(CODECS[codec](b"one\n") + CODECS[codec](b"") + CODECS[codec](b"two\n"))
    assert content(path) == b"one\ntwo\n"


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("keep", [0.3, 0.9, -1])
def test_a_file_that_is_cut_off_is_an_error(tmp_path: Path, codec: str, keep: float) -> None:
    data = CODECS[codec](TEXT)
    path = tmp_path / "x"
    path.write_bytes(data[: int(len(data) * keep) if keep > 0 else -1])
    with pytest.raises(HbmTraceError) as caught:
        content(path)
    assert str(caught.value) == f"{path}: the {codec} data end in the middle; copy the whole file again"


@pytest.mark.parametrize("codec", CODECS)
def test_damaged_data_are_an_error(tmp_path: Path, codec: str) -> None:
    data = bytearray(CODECS[codec](TEXT))
    data[len(data) // 2] ^= 0xFF
    data[len(data) // 2 + 1] ^= 0xFF
    path = tmp_path / "x"
    path.write_bytes(data)
    if codec == "zstd":  # no checksum by default: cut where the format itself notices
        path.write_bytes(bytes(data[:4]) + b"\xff" * 64)
    with pytest.raises(HbmTraceError, match=f"the {codec} data are damaged"):
        content(path)


@pytest.mark.parametrize("codec", CODECS)
def test_something_behind_the_compressed_data_is_an_error(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(CODECS[codec](b"one\n") + b"rubbish")
    with pytest.raises(HbmTraceError, match=f"something else follows the {codec} data: got 'rubbish'; remove it"):
        content(path)


def test_padding_of_zeros_behind_the_data_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(CODECS["gzip"](b"one\n") + bytes(1000))
    assert content(path) == b"one\n"


@pytest.mark.parametrize("codec", CODECS)
def test_gigabytes_of_zeros_fail_at_once(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "bomb"
    with path.open("wb") as file:
        if codec == "gzip":
            with gzip.GzipFile("", "wb", 1, file) as out:
                for _ in range(64):
                    out.write(bytes(1 << 20))
        elif codec == "xz":
            file.write(lzma.compress(bytes(64 << 20), preset=0))
        else:
            # A hand-made frame: 8192 blocks that each repeat one byte 128 kB times make 1 GB of 33 kB.
            file.write(b"\x28\xb5\x2f\xfd\x00\x58")
            file.write(
                b"".join(((i == 8191) | 1 << 1 | (128 << 10) << 3).to_bytes(3, "little") + b"\0" for i in range(8192))
            )
    begin = time.perf_counter()
    with pytest.raises(HbmTraceError, match="binary data of no known format"):
        read_trace(path)
    for fmt in ("dramsim3", "ramulator-loadstore", "dramsys-stl", "lackey"):
        with pytest.raises(HbmTraceError, match=f"line 1: longer than {TEXT_LINE_MAX} bytes"):
            next(read_trace(path, format=fmt).chunks())  # type: ignore[union-attr]
    assert time.perf_counter() - begin < 5


def test_lines_are_numbered_over_blocks_and_the_last_needs_no_newline(tmp_path: Path) -> None:
    path = tmp_path / "x"
    text = b"\n".join(b"%d" % i for i in range(1, 400_001))
    path.write_bytes(text)
    found = list(lines(path, 100))
    assert [number for number, _ in found] == list(range(1, 400_001))
    assert all(int(line) == number for number, line in found)
    assert b"".join(block for _, block in line_blocks(path, 100)) == text + b"\n"
    assert len(list(line_blocks(path, 100))) > 1


def test_a_line_over_the_limit_is_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\nb\n" + b"c" * 101 + b"\nd\n")
    with pytest.raises(HbmTraceError, match="line 3: longer than 100 bytes: got 'ccc"):
        list(lines(path, 100))


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(HbmTraceError, match="nowhere: cannot be opened: No such file or directory; check the path"):
        read_trace(tmp_path / "nowhere")
    with pytest.raises(HbmTraceError, match="cannot be opened: Is a directory"):
        read_trace(tmp_path)
    with pytest.raises(HbmTraceError, match="cannot be opened"):
        read_trace("a\0b")
