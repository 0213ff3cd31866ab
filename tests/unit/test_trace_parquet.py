"""Parquet traces: schema, versions, foreign files, and faults named by record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace import HbmTraceWarning, RequestTrace, Trace, convert, read_trace


def opened(path: Path) -> RequestTrace:
    trace = read_trace(path)
    assert isinstance(trace, RequestTrace)
    return trace


def stored(path: Path, metadata: dict[bytes, bytes] | None = None, **columns: Any) -> Path:
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path)
    return path


def test_the_file_has_the_documented_schema(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    convert(Trace.from_requests([2**64 - 64, 0], [1, 0], [0, 5], [64, 32]), path)
    schema = pq.read_schema(path)
    assert [(field.name, str(field.type)) for field in schema] == [
        *(("address", "uint64"), ("is_write", "bool"), ("time_ps", "int64"), ("size", "uint32")),
    ]
    assert schema.metadata == {b"hbmmodel.requests": b"1"}
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    assert (column.compression, "DELTA_BINARY_PACKED" in column.encodings) == ("ZSTD", True)


def test_columns_that_are_unknown_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    convert(Trace.from_requests([0, 64], [1, 0]), path)
    assert pq.read_schema(path).names == ["address", "is_write"]
    trace = opened(path)
    assert (trace.timed, trace.known_records, trace.format) == (False, 2, "parquet")


def test_other_integer_types_and_columns_are_understood(tmp_path: Path) -> None:
    path = stored(
        tmp_path / "a.parquet",
        address=pa.array([1, 2], pa.int32()),
        is_write=pa.array([0, 1], pa.uint8()),
        note=pa.array(["x", "y"]),
    )
    with pytest.warns(HbmTraceWarning, match="columns left out: .'note'"):
        (chunk,) = opened(path).chunks()
    assert (chunk.address.tolist(), chunk.is_write.tolist()) == ([1, 2], [0, 1])
    assert chunk.address.dtype == np.uint64


def test_chunks_respect_their_maximum(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    convert(Trace.from_requests(range(1000), [0] * 1000, range(1000)), path)
    assert [(c.first_record, len(c)) for c in opened(path).chunks(max_records=400)] == [
        *((0, 400), (400, 400), (800, 200)),
    ]


@pytest.mark.parametrize(
    ("columns", "metadata", "message"),
    [
        ({"is_write": [True]}, None, "field address: 0 such columns; the columns are address, is_write and"),
        ({"address": [1]}, None, "field is_write: 0 such columns"),
        ({"address": [1.5], "is_write": [True]}, None, "field address: wrong type: got 'double'"),
        ({"address": [1], "is_write": ["r"]}, None, "field is_write: wrong type: got 'string'"),
        ({"address": [5, -1], "is_write": [True, True]}, None, "record 1: field address: outside 0..184"),
        ({"address": [5, None], "is_write": [True, True]}, None, "record 1: field address: no value"),
        ({"address": [5, 6], "is_write": [1, 2]}, None, "record 1: field is_write: outside 0..1: got 2"),
        ({"address": [5], "is_write": [1], "size": [-1]}, None, "record 0: field size: outside"),
        ({"address": [5], "is_write": [1], "time_ps": [-1]}, None, "record 0: field time_ps: outside"),
        (
            {"address": [5, 6], "is_write": [1, 1], "time_ps": [9, 8]},
            None,
            "record 1: field time_ps: earlier than the request before it: got 8; sort by time",
        ),
        (
            {"address": [5], "is_write": [1]},
            {b"hbmmodel.requests": b"9"},
            "field hbmmodel.requests: unknown version: got '9'; this release reads version 1",
        ),
        ({"address": pa.array([], "u8"), "is_write": pa.array([], "u1")}, None, "trace holds no requests"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path: Path, columns: Any, metadata: Any, message: str) -> None:
    path = stored(tmp_path / "a.parquet", metadata, **columns)
    with pytest.raises(HbmTraceError) as caught:
        list(opened(path).chunks())
    assert str(caught.value).replace(str(path), "FILE").startswith(f"FILE: {message}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    convert(Trace.from_requests(range(1000), [0] * 1000), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(HbmTraceError, match="not a readable parquet file"):
        read_trace(path)


def test_sizes_of_zero_mean_none(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.parquet", address=[0, 64, 128], is_write=[0, 0, 0], size=[0, 0, 32])
    found = [(c.first_record, None if c.size_bytes is None else c.size_bytes.tolist()) for c in opened(path).chunks()]
    assert found == [(0, None), (2, [32])]


def test_columns_that_are_not_read_are_told(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.parquet", address=[0, 64], is_write=[False, True], time_ns=[1, 2])
    with pytest.warns(HbmTraceWarning, match=r"a.parquet: columns left out: .*time_ns.*; those read are address,"):
        trace = opened(path)
    assert not trace.timed and len(next(iter(trace.chunks()))) == 2
