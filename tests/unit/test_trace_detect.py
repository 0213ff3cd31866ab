"""The format is told by the first record, never by the name; in doubt the candidates are named."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pytest
from foreign_samples import TRACEG, chakra, cutracer, et, gem5, kineto, snapshot_bytes

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace import Trace, convert, read_trace
from hbmmodel.trace.detect import FORMATS, SNAPSHOT, detect

SAMPLES = {
    "hbmop": '{"torch": "2.13", "hbmop": 1}\n["P", "x", 0]\n',
    "dramsim3": "\n# c\n0x2000D5C0 READ 30\n",
    "ramulator-loadstore": "LD 0x12340\nST 4096\n",
    "ramulator-readwrite": "R 0,1,2,100,32\n",
    "dramsys-stl": "# c\n31:\t(64)\tread\t0x400140\n",
    "lackey": "==1== Lackey\n==1==\nI  0401ab70,3\n S 1fff000758,8\n",
}


@pytest.mark.parametrize("fmt", SAMPLES)
def test_each_format_is_recognised_under_a_misleading_name(tmp_path: Path, fmt: str) -> None:
    path = tmp_path / "x.parquet.stl"
    path.write_text(SAMPLES[fmt])
    assert detect(path) == fmt
    path.write_bytes(gzip.compress(SAMPLES[fmt].encode()))
    assert detect(path) == fmt


def test_parquet_is_recognised_by_its_magic(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    convert(Trace.from_requests([0], [0]), path, format="parquet")
    assert detect(path) == "parquet"
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(HbmTraceError, match="a parquet file inside a compressed file; decompress it first"):
        detect(path)


@pytest.mark.parametrize("fmt", SAMPLES)
def test_a_malformed_first_record_still_tells_its_format_and_fault(tmp_path: Path, fmt: str) -> None:
    broken = {
        "hbmop": '{"hbmop": 7}\n',
        "dramsim3": "0x40 READ -3\n",
        "ramulator-loadstore": "LD -4\n",
        "ramulator-readwrite": "R 0,x\n",
        "dramsys-stl": "x:\tread\t0x0\n",
        "lackey": " L zz,8\n",
    }
    path = tmp_path / "x"
    path.write_text(broken[fmt])
    assert detect(path) == fmt
    with pytest.raises(HbmTraceError, match="line 1: field "):
        next(read_trace(path).chunks())  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file is empty; this is no trace"),
        (b"  \n\n", "the file is empty"),
        (b"# only\n# comments\n", "only comments, no record; this is no trace"),
        (b"# c\n" * 20_000, "only comments in the first 80000 bytes; pass format= one of hbmop, dramsim3"),
        (b"hello world\n", "line 1: fits no known format: got 'hello world'; pass format= one of"),
        (b"\n\n3 20734016\n", "line 3: fits no known format: got '3 20734016'"),
        (b'{"events": []}\n', "line 1: fits no known format"),
        (b"\x7fELF\0\0\0", "binary data of no known format"),
        (b"LD READ 5\n", "line 1: may be dramsim3 or ramulator-loadstore: got 'LD READ 5'; pass"),
        (b"5: read 0x0\n5: read 0x40\n", "line 2: may be dramsys-stl or dramsys-rstl: got '5: read 0x40'"),
    ],
)  # fmt: skip
def test_what_cannot_be_recognised(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(text)
    with pytest.raises(HbmTraceError) as caught:
        read_trace(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_program_is_told_to_be_captured(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("import torch\n", encoding="utf-8")
    with pytest.raises(HbmTraceError, match=r"train\.py: a program is no trace; run it with hbm\.capture"):
        read_trace(path)


def test_a_header_longer_than_the_window_is_still_a_capture(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text('{"hbmop": 1, "note": "' + "x" * 200_000 + '"}\n["P", "x", 0]\n')
    assert detect(path) == "hbmop"


def test_equal_times_of_zero_mean_the_same_in_both_dramsys_formats(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("0: read 0x0\n0: read 0x40\n")
    assert detect(path) == "dramsys-stl"


FOREIGN = {
    "pytorch-et": json.dumps(et()).encode(),
    "kineto": json.dumps(kineto()).encode(),
    "chakra": chakra(),
    "cutracer": cutracer(),
    "accelsim": TRACEG,
    "gem5": gem5(),
    SNAPSHOT: snapshot_bytes(),
}


@pytest.mark.parametrize("fmt", FOREIGN)
def test_files_of_other_programs_are_recognised(tmp_path: Path, fmt: str) -> None:
    path = tmp_path / "x.stl"
    path.write_bytes(FOREIGN[fmt])
    assert detect(path) == fmt
    path.write_bytes(lzma.compress(FOREIGN[fmt]))
    assert detect(path) == fmt


@pytest.mark.parametrize("first", [b"MemcpyHtoD,0x7f,4\n", b"kernel-1.traceg\n", b"kernel-1.traceg.xz\n"])
def test_a_list_of_kernels_is_recognised(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(first)
    assert detect(path) == "accelsim"


def test_an_archive_is_an_access_array(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"PK\x03\x04")
    assert detect(path) == "hbmarr"


def test_every_format_can_be_forced() -> None:
    known = {*SAMPLES, *FOREIGN, "dramsys-rstl", "parquet", "hbmarr"}
    assert known == {*FORMATS, SNAPSHOT}
