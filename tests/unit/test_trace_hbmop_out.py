"""Captures that are written say what was read: operands, lives, phases, contents of index tensors, rewrites."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zstandard
from foreign_samples import chakra

from hbmmodel import demo_capture
from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace import OpTrace, RecordedTrace, convert, info, read_trace
from hbmmodel.trace.rewrite import dtype, fuse_elementwise, gemm_tiles

SAME = ("operations", "moving_operations", "bytes_read", "bytes_written", "phases", "allocator_peak_bytes")


def opened(path: str | Path) -> RecordedTrace:
    trace = read_trace(path)
    assert isinstance(trace, RecordedTrace)
    return trace


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "xz", "zst"])
def test_a_capture_of_version_1_with_its_index_file_becomes_one_file(tmp_path: Path, suffix: str) -> None:
    source = opened(demo_capture("llama_tiny_b1_p128_d8"))
    target = tmp_path / f"a.hbmop.{suffix}"
    written = convert(source, target)
    assert written["operations"] == 3012 and written["bytes"] == target.stat().st_size
    assert [one.name for one in tmp_path.iterdir()] == [target.name]
    before, after = info(source), info(opened(target))
    assert {key: before[key] for key in SAME} == {key: after[key] for key in SAME}


def test_contents_of_index_tensors_are_in_the_file(tmp_path: Path) -> None:
    lines = [
        {"hbmop": 1, "torch": "2.13"},
        ["A", 0, 8192, 7, 0], ["A", 1, 64, 0, 0], ["A", 2, 4096, 0, 0],
        ["O", 5, 1, 2, "aten.embedding.default", [
            ["r", 0, 0, "f32", [32, 64], [64, 1]], ["r", 1, 0, "i64", [3], [1], "i0"],
            ["r", 1, 0, "i64", [3], [1], "i0"], ["w", 2, 0, "f32", [3, 64], [64, 1]],
        ]],
    ]  # fmt: skip
    (tmp_path / "a.hbmop.jsonl").write_text("\n".join(map(json.dumps, lines)))
    np.savez(tmp_path / "a.idx.npz", i0=np.array([3, 1, 3]))
    convert(opened(tmp_path / "a.hbmop.jsonl"), tmp_path / "b.hbmop.zst")
    text = zstandard.ZstdDecompressor().decompress((tmp_path / "b.hbmop.zst").read_bytes(), 1 << 20)
    assert [json.loads(line) for line in text.splitlines()] == [
        {"hbmop": 2, "torch": "2.13"}, *([*one[:4], 0] for one in lines[1:4]),
        ["I", "i0", [3, 1, 3]], lines[4], ["E", 1],
    ]  # fmt: skip
    (operation,) = opened(tmp_path / "b.hbmop.zst").operations()
    assert operation.bytes_read == 3 * 256 + 24


def test_a_chakra_trace_becomes_a_capture(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(chakra())
    convert(opened(tmp_path / "a"), tmp_path / "b.hbmop")
    found = [(op.name, op.bytes_read, op.bytes_written) for op in opened(tmp_path / "b.hbmop").operations()]
    assert found == [("chakra.mem_load.default", 4096, 0), ("chakra.mem_store.default", 0, 4096)]


def test_rewrites_are_named_and_what_cannot_be_said_is_refused(tmp_path: Path) -> None:
    source = opened(demo_capture("llama_tiny_b1_p128_d8"))
    convert(source.rewritten(fuse_elementwise()), tmp_path / "a.hbmop")
    fused = opened(tmp_path / "a.hbmop")
    assert info(fused)["bytes_read"] < info(source)["bytes_read"]
    assert fused.metadata["rewrites"] == list(source.rewritten(fuse_elementwise()).rewrites)  # type: ignore[attr-defined]
    with pytest.raises(HbmArgumentError, match="write the trace as it was recorded, and rewrite it when it runs"):
        convert(source.rewritten(gemm_tiles(m=16, n=16)), tmp_path / "b.hbmop")
    assert not (tmp_path / "b.hbmop").exists()


def test_rewrites_and_what_was_run_outlast_every_copy(tmp_path: Path) -> None:
    source = opened(demo_capture("llama_tiny_b1_p128_d8"))
    one, two = fuse_elementwise(), dtype("fp8")
    convert(source.rewritten(one), tmp_path / "a.hbmop")
    again = opened(tmp_path / "a.hbmop").rewritten(two)
    assert again.rewrites == (str(one), str(two)) == tuple(info(again)["rewrites"])
    convert(again, tmp_path / "b.hbmop")
    last = opened(tmp_path / "b.hbmop")
    assert last.rewrites == again.rewrites
    said = {key: value for key, value in last.metadata.items() if key not in ("hbmop", "rewrites")}  # type: ignore[attr-defined]
    assert said == {key: value for key, value in source.metadata.items() if key != "hbmop"}  # type: ignore[attr-defined]


def test_a_malformed_source_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"hbmop": 1}\n["A", -1, 0, 0, 0]\n')
    with pytest.raises(HbmTraceError, match="line 2: field storage"):
        convert(opened(tmp_path / "a"), tmp_path / "b.hbmop")
    with pytest.raises(HbmArgumentError, match="gb_per_s paces bursts"):
        convert(opened(tmp_path / "a"), tmp_path / "b.hbmop", gb_per_s=100)
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
    assert isinstance(opened(tmp_path / "a"), OpTrace)
