"""Access arrays: a table of accesses and one of arrays become operations of queries."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace import OpTrace, read_trace

RECORD = [("query", "u4"), ("step", "u1"), ("obj", "u4"), ("off", "u8"), ("size", "u4"), ("rw", "u1")]
OBJECT = [("name", "U24"), ("base", "u8"), ("bytes", "u8")]
ROWS = [(0, 0, 0, 0, 256, 0), (0, 2, 1, 512, 128, 0), (0, 2, 1, 0, 64, 1), (1, 0, 0, 0, 256, 0)]
ARRAYS = [("centroids", 9, 256), ("codes", 1 << 40, 4096)]


def write(path: Path, rows: Any = ROWS, arrays: Any = ARRAYS, **more: Any) -> Path:
    content = {"records": np.array(rows, RECORD), "objects": np.array(arrays, OBJECT), **more}
    with open(path, "wb") as file:
        np.savez_compressed(file, **content)
    return path


def read(path: Path, **options: Any) -> OpTrace:
    trace = read_trace(path, **options)
    assert isinstance(trace, OpTrace)
    return trace


def test_queries_and_steps_are_operations(tmp_path: Path) -> None:
    trace = read(write(tmp_path / "a", meta=json.dumps({"index": "IVF"})), base=1 << 20)
    assert trace.format == "hbmarr" and trace.metadata == {"index": "IVF"}  # type: ignore[attr-defined]
    found = [
        (op.seq, op.phase, [(a.is_write, a.base_address - (1 << 20), a.n_bytes) for a in op.accesses])
        for op in trace.operations()
    ]
    assert found == [
        (0, "step 0", [(False, 0, 256)]),
        (0, "step 2", [(False, 512 + 512, 128), (True, 512, 64)]),
        (1, "step 0", [(False, 0, 256)]),
    ]
    assert [op.seq for op in trace.select("step 2").operations()] == [0]
    with pytest.raises(HbmTraceError, match="no operation of phase 'step 9'; its phases are: step 0, step 2"):
        list(trace.select("step 9").operations())


@pytest.mark.parametrize(
    ("rows", "arrays", "more", "message"),
    [
        ([(0, 0, 2, 0, 1, 0)], ARRAYS, {}, "record 0: field off: the access ends outside its array: got [2, 0, 1]"),
        ([ROWS[0], (0, 0, 0, 255, 2, 0)], ARRAYS, {}, "record 1: field off: the access ends outside"),
        ([(0, 0, 0, 0, 1, 7)], ARRAYS, {}, "record 0: field rw: not 0 or 1: got 7"),
        ([], ARRAYS, {}, "field records: no rows"),
        (ROWS, [("x", 0, 2**63)], {}, "field objects.bytes: outside 0..2^62"),
        (ROWS, [("x", 0, 2**61), ("y", 0, 2**61)], {}, "record 1: field objects.bytes: the arrays have 2^62 bytes"),
        (ROWS, ARRAYS, {"records": np.zeros(3)}, "field records: not a table"),
        (ROWS, ARRAYS, {"records": np.zeros(3, [(n, "f8") for n, _ in RECORD])}, "records.query: not whole numbers"),
        (ROWS, ARRAYS, {"meta": "{"}, "cannot be read as an access array"),
        (ROWS, ARRAYS, {"objects": np.array([{"a": 1}], dtype=object)}, "allow_pickle=False"),
    ],
)
def test_malformed_arrays_are_named(tmp_path: Path, rows: Any, arrays: Any, more: Any, message: str) -> None:
    content = {"records": np.array(rows, RECORD), "objects": np.array(arrays, OBJECT), **more}
    with open(tmp_path / "a", "wb") as file:
        np.savez_compressed(file, **content)
    with pytest.raises(HbmTraceError) as caught:
        list(read(tmp_path / "a").operations())
    assert message in str(caught.value)


def test_archives_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(HbmTraceError, match="cannot be read as an access array"):
        list(read(path).operations())
    path.write_bytes(write(tmp_path / "b").read_bytes()[:-30])
    with pytest.raises(HbmTraceError, match="cannot be read as an access array"):
        list(read(path).operations())


def test_a_header_that_never_ends_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("records.npy", b"\x93NUMPY\x01\x00\x10\x00{'shape': ((2,), ")
    with pytest.raises(HbmTraceError, match="a: cannot be read as an access array"):
        list(read(path).operations())


def test_a_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("records.npy", "w") as member:
        for _ in range(1025):
            member.write(bytes(1 << 20))
    with pytest.raises(HbmTraceError, match=r"records.npy has 1074790400 bytes; at most 1073741824 are read"):
        list(read(path).operations())
