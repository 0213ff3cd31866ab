"""No file, however broken, gets anything but `HbmTraceError` out of a reader, and none takes long."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard
from fuzzing import exhaust, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hbmmodel.trace import OpTrace, Trace, convert, read_trace
from hbmmodel.trace.detect import FORMATS

CAPTURE = "\n".join(
    json.dumps(record)
    for record in (
        {"hbmop": 1, "torch": "2.13.0"},
        ["P", "step", 0],
        ["A", 0, 8192, 0, 0],
        ["A", 1, 64, 0, 0],
        ["A", 2, 4096, 0, 0],
        ["O", 0, 1, 2, "aten.embedding.default", [
            ["r", 0, 0, "f32", [32, 64], [64, 1]], ["r", 1, 0, "i64", [8], [1], "i0"],
            ["w", 2, 0, "f32", [8, 64], [64, 1]]
        ]],
        ["F", 1, 1],
        ["O", 1, 3, 4, "aten.add_.Tensor", [
            ["m", 2, 256, "bf16", [4, 8], [16, 1]], ["r", 0, 0, "bf16", [1, 8], [0, 1]]
        ]],
        ["P", "end", 2],
        ["O", 2, 5, 6, "aten.t.default", [["r", 0, 0, "f32", [4, 4], [4, 1]], ["v", 0, 0, "f32", [4, 4], [1, 4]]]],
    )
).encode()  # fmt: skip

SAMPLES = {
    "hbmop": CAPTURE,
    "dramsim3": b"0x2000D5C0 READ 30\n0x40 WRITE 31\n0x80 P_MEM_WR 40\n# c\n0x0 READ 99\n",
    "ramulator-loadstore": b"LD 0x12340\nST 4096\nLD 0x7fffffffffffffff\n",
    "ramulator-readwrite": b"R 0,1,2,100,32\nW 1,0,3,7,0\n",
    "dramsys-stl": b"# c\n31:\t(64)\tread\t0x400140\n32: write 0x80 0xff\n33:\tread\t0x0\n",
    "dramsys-rstl": b"1: read 0x0\n1: read 0x40\n",
    "lackey": b"==1== Lackey\nI  0401ab70,3\n S 1fff000758,8\n L 10,4\n M 20,2\n",
}

def write_and_exhaust(data: bytes, fmt: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.hbmop.jsonl"
        path.write_bytes(data)
        np.savez(Path(folder) / "sample.idx.npz", i0=np.arange(8))
        exhaust(path, fmt)


@pytest.mark.parametrize("fmt", SAMPLES)
def test_the_samples_themselves_are_read(fmt: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.hbmop.jsonl"
        path.write_bytes(SAMPLES[fmt])
        np.savez(Path(folder) / "sample.idx.npz", i0=np.arange(8))
        trace = read_trace(path, format=fmt)
        records = trace.operations() if isinstance(trace, OpTrace) else trace.chunks()
        assert len(list(records)) > 0


@pytest.mark.parametrize("forced", [True, False])
@pytest.mark.parametrize("fmt", SAMPLES)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_samples(fmt: str, forced: bool, data: st.DataObject) -> None:
    write_and_exhaust(data.draw(mutated(SAMPLES[fmt])), fmt if forced else None)


@pytest.mark.parametrize("fmt", [None, *FORMATS])
@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400))
def test_byte_soup(fmt: str | None, data: bytes) -> None:
    write_and_exhaust(data, fmt)


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.sampled_from(["r", "w", "m", "v", "f32", "i64", "A", "F", "P", "O", "i0", "aten.embedding.default", ""]),
    ),
    lambda inner: st.lists(inner, max_size=7),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(JSON, max_size=6), st.integers(0, 9))
def test_captures_with_any_json_between_their_records(records: list[object], where: int) -> None:
    lines = CAPTURE.split(b"\n")
    lines[where + 1 : where + 1] = [json.dumps(record).encode() for record in records]
    write_and_exhaust(b"\n".join(lines), "hbmop")


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["aten.embedding.default", "aten.index_put_.default", "aten._grouped_mm.default", "x",
                     "aten._fused_adam_.default", "aten.add_.Tensor", "aten.resize_.default"]),
    st.lists(
        st.tuples(
            st.sampled_from("rwmv"),
            st.integers(0, 1),
            st.integers(0, 64),
            st.sampled_from(["f32", "i64", "u8", "torch.float8_e4m3fn"]),
            st.lists(st.tuples(st.one_of(st.integers(0, 5), st.just(2**40)), st.integers(0, 9)), max_size=10),
            st.sampled_from([None, "i0"]),
        ),
        max_size=5,
    ),
)  # fmt: skip
def test_well_formed_operands_of_any_shape(name: str, operands: list[tuple[object, ...]]) -> None:
    listed = [
        [role, storage, offset, dtype, [n for n, _ in dims], [s for _, s in dims], *([key] if key else [])]  # type: ignore[attr-defined]
        for role, storage, offset, dtype, dims, key in operands
    ]
    lines = [{"hbmop": 1}, ["A", 0, 400, 0, 0], ["A", 1, 2**50, 0, 0], ["O", 0, 0, 0, name, listed]]
    write_and_exhaust("\n".join(map(json.dumps, lines)).encode(), "hbmop")


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("codec", COMPRESS)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mutated_compressed_files(codec: str, data: st.DataObject) -> None:
    write_and_exhaust(data.draw(mutated(COMPRESS[codec](SAMPLES["dramsim3"]))), None)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mutated_index_files(data: st.DataObject) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, i0=np.arange(8))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.hbmop.jsonl"
        path.write_bytes(CAPTURE)
        (Path(folder) / "sample.idx.npz").write_bytes(data.draw(mutated(buffer.getvalue())))
        exhaust(path, "hbmop")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mutated_parquet_files(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.parquet"
        convert(Trace.from_requests(range(0, 6400, 64), [0, 1] * 50, range(100), [64] * 100), path)
        path.write_bytes(data.draw(mutated(path.read_bytes())))
        exhaust(path, data.draw(st.sampled_from([None, "parquet"])))
