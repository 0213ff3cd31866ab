"""The summary of a trace counts what is in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace import Access, Operation, Trace, info, read_trace


def test_requests_with_times_and_sizes(tmp_path: Path) -> None:
    trace = Trace.from_requests([1024, 1100, 4096], [0, 1, 0], [1000, 1500, 3500], [64, 32, 4])
    found = info(trace)
    assert found == trace.info()
    json.dumps(found)
    expected = {
        "kind": "requests",
        "format": "memory",
        "requests": 3,
        "reads": 2,
        "writes": 1,
        "bytes_read": 68,
        "bytes_written": 32,
        "read_fraction": 0.68,
        "lowest_address": 1024,
        "highest_address": 4099,
        "span_bytes": 4100 - 1024,
        "timed": True,
        "duration_ns": 2.5,
        "same_page_fraction": 0.5,
        "sha256": trace.content_hash(),
        "file_bytes": None,
    }
    assert {key: found[key] for key in expected} == expected


def test_requests_without_sizes_have_no_byte_counts(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("LD 0x0\nLD 0x40\nST 0x1000\n")
    found = read_trace(tmp_path / "x").info()
    assert (found["bytes_read"], found["bytes_written"], found["read_fraction"]) == (None, None, 2 / 3)
    assert (found["span_bytes"], found["duration_ns"], found["same_page_fraction"]) == (4096, None, 0.5)
    assert found["file_bytes"] == 25


def test_coordinates_have_no_span(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("R 0,1,2\nW 0,1,3\n")
    found = read_trace(tmp_path / "x").info()
    assert (found["reads"], found["writes"], found["span_bytes"], found["same_page_fraction"]) == (
        1,
        1,
        None,
        None,
    )
    json.dumps(found)


def test_operations() -> None:
    trace = Trace.from_operations(
        [
            Operation(0, 0, "mm", "fw", 0, 0, (Access(False, 0, 512, 256, ((4, 1024),)), Access(True, 1, 9000, 100))),
            Operation(1, 1, "view", "fw", 0, 0, ()),
            Operation(2, 2, "relu", "bw", 0, 0, (Access(False, 1, 9000, 100),)),
        ]
    )
    found = info(trace)
    json.dumps(found)
    expected = {
        "operations": 3,
        "moving_operations": 2,
        "bytes_read": 1124,
        "bytes_written": 100,
        "read_fraction": 1124 / 1224,
        "lowest_address": 512,
        "highest_address": 9099,
        "span_bytes": 9100 - 512,
        "mean_run_bytes": 1224 / 6,
        "top_operations": {"mm": 1124, "relu": 100},
        "random_gathers": 0,
        "allocator_peak_bytes": None,
    }
    assert {key: found[key] for key in expected} == expected
    assert found["phases"] == {
        "fw": {"operations": 2, "moving_operations": 1, "bytes_read": 1024, "bytes_written": 100},
        "bw": {"operations": 1, "moving_operations": 1, "bytes_read": 100, "bytes_written": 0},
    }


def test_what_is_no_trace_is_refused() -> None:
    with pytest.raises(HbmArgumentError, match="a trace is needed, not int"):
        info(3)  # type: ignore[arg-type]
