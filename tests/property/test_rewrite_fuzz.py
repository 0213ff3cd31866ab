"""Passes over broken and over odd captures: one clear error or a trace that can be replayed, never anything else."""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace import HbmTraceWarning, RecordedTrace, read_trace
from hbmmodel.trace.rewrite import Pass, parse

PASSES = [
    "fuse_elementwise",
    "fuse_elementwise=true",
    "optimizer",
    "kv=paged,block=2",
    "kv=static",
    "dtype=fp8,source=f32,tensors=all",
    "dtype=mxfp4,source=f32",
    "tensor_parallel=2",
    "expert_parallel=2,rank=1",
    "pipeline=2,stage=1",
    "repeat_layer=5",
    "micro_batches=3",
    "gemm_tiles=2,n=3",
]
NAMES = [
    *("mm.default", "addmm.default", "bmm.default", "add.Tensor", "mul_.Tensor", "silu.default", "cat.default"),
    *("_scaled_dot_product_flash_attention.default", "view.default", "t.default", "_grouped_mm.default"),
    *("embedding.default", "lerp_.Scalar", "addcmul_.default", "addcdiv_.default", "_fused_adamw_.default"),
    *("mean.dim", "clone.default", "index_put_.default", "_foreach_lerp_.Scalar", "resize_.default"),
]


def operand(draw: st.DrawFn, n_storages: int) -> list[Any]:
    shape = draw(st.lists(st.sampled_from([0, 1, 2, 3, 4, 8]), max_size=4))
    stride = [draw(st.sampled_from([0, 1, 2, 8, 32])) for _ in shape]
    item = [
        draw(st.sampled_from("rrrwwmv")),
        draw(st.integers(0, n_storages - (draw(st.integers(0, 30)) > 0))),  # rarely one that was never allocated
        draw(st.sampled_from([0, 0, 4, 64])),
        draw(st.sampled_from(["f32", "f32", "f32", "i64", "bf16"])),
        shape,
        stride,
    ]
    if draw(st.integers(0, 9)) == 0:
        item += [draw(st.sampled_from(["i0", "i1"])), draw(st.sampled_from([0, 1, 9]))]
    return item


@st.composite
def captures(draw: st.DrawFn) -> list[Any]:
    """Records that need not fit each other; some are repeated, as layers are."""
    n = draw(st.integers(2, 8))
    records: list[Any] = [["A", i, 65536, 0, 0] for i in range(n)]
    for _ in range(draw(st.integers(1, 4))):
        block: list[Any] = []
        for _ in range(draw(st.integers(1, 4))):
            kind = draw(st.integers(0, 9))
            if kind == 0:
                block.append(["P", draw(st.sampled_from(["forward", "backward", "optimizer", ""])), 0])
            elif kind == 1:
                block.append(["I", "i0", draw(st.lists(st.integers(-3, 9), max_size=4))])
            elif kind == 2 and draw(st.booleans()):
                block.append(["F", draw(st.integers(0, n - 1)), 0])
            else:
                operands = [operand(draw, n) for _ in range(draw(st.integers(0, 4)))]
                block.append(["O", 0, 0, 0, "aten." + draw(st.sampled_from(NAMES)), operands])
        records += block * draw(st.integers(1, 3))
    return records


def replay(trace: RecordedTrace) -> list[tuple[str, int, int]] | None:
    """What moves; None if an error says that something is wrong."""
    try:
        return [(op.name, op.bytes_read, op.bytes_written) for op in trace.operations()]
    except HbmTraceError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        return None


@pytest.mark.parametrize("text", PASSES)
@settings(max_examples=60)
@given(records=captures(), second=st.sampled_from(PASSES))
def test_passes_over_odd_captures(text: str, records: list[Any], second: str) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", HbmTraceWarning)
        path = Path(folder) / "x.hbmop"
        path.write_text("\n".join(json.dumps(record) for record in ({"hbmop": 2}, *records)) + "\n")
        trace = read_trace(path)
        assert isinstance(trace, RecordedTrace)
        passes: list[Pass] = [parse(text), parse(second)]
        for chosen in (passes[:1], passes):
            rewritten = trace.rewritten(*chosen)
            assert replay(rewritten) == replay(rewritten)


@st.composite
def steps(draw: st.DrawFn) -> list[Any]:
    """Captures with a forward pass of equal layers, a backward pass and an update, of operations that fit nothing."""
    n = draw(st.integers(4, 8))
    product = ["O", 0, 0, 0, "aten.mm.default", [["r", 0, 0, "f32", [4, 4], [4, 1]], ["r", 1, 0, "f32", [4, 4], [4, 1]],
                                                 ["w", 2, 0, "f32", [4, 4], [4, 1]]]]  # fmt: skip
    records: list[Any] = [["A", i, 65536, 0, 0] for i in range(n)]

    def block() -> list[Any]:
        some: list[Any] = []
        for _ in range(draw(st.integers(1, 4))):
            operands = [operand(draw, n) for _ in range(draw(st.integers(0, 4)))]
            some.append(["O", 0, 0, 0, "aten." + draw(st.sampled_from(NAMES)), operands])
        if draw(st.integers(0, 3)) == 0:
            some.append(["F", draw(st.integers(0, n - 1)), 0])
        return some

    records += [["P", "forward", 0], *block(), *[product, *block()] * draw(st.integers(2, 3)), *block()]
    records += [["P", "backward", 0], *block(), *block() * draw(st.integers(2, 3)), *block()]
    return [*records, ["P", "optimizer", 0], *block(), *block()]


@pytest.mark.parametrize("text", ["pipeline=2,stage=1", "repeat_layer=5"])
@settings(max_examples=100)
@given(records=steps())
def test_layers_of_odd_training_steps(text: str, records: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", HbmTraceWarning)
        path = Path(folder) / "x.hbmop"
        path.write_text("\n".join(json.dumps(record) for record in ({"hbmop": 2}, *records)) + "\n")
        trace = read_trace(path)
        assert isinstance(trace, RecordedTrace)
        rewritten = trace.rewritten(parse(text))
        assert replay(rewritten) == replay(rewritten)


@settings(max_examples=60)
@given(records=captures())
def test_fusion_never_moves_more(records: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", HbmTraceWarning)
        path = Path(folder) / "x.hbmop"
        path.write_text("\n".join(json.dumps(record) for record in ({"hbmop": 2}, *records)) + "\n")
        trace = read_trace(path)
        assert isinstance(trace, RecordedTrace)
        before, after = replay(trace), replay(trace.rewritten(parse("fuse_elementwise")))
        if before is not None:
            assert after is not None
            for side in (1, 2):
                assert sum(row[side] for row in after) <= sum(row[side] for row in before)


def test_an_update_without_operands_does_not_hinder_more_layers(tmp_path: Path) -> None:
    operand = ["r", 0, 0, "f32", [4, 4], [4, 1]]
    product = ["O", 0, 0, 0, "aten.mm.default", [operand, ["r", 1, 0, "f32", [4, 4], [4, 1]],
                                                 ["w", 2, 0, "f32", [4, 4], [4, 1]]]]  # fmt: skip
    few, many = (["O", 0, 0, 0, "aten.mm.default", [operand] * n] for n in (1, 4))
    update = ["O", 0, 0, 0, "aten._fused_adamw_.default", []]
    records = [*(["A", i, 65536, 0, 0] for i in range(4)), ["P", "forward", 0], few, *[product, many, few] * 2]
    records += [["P", "backward", 0], few, *[many, few] * 2, ["P", "optimizer", 0], update]
    path = tmp_path / "x.hbmop"
    path.write_text("\n".join(json.dumps(record) for record in ({"hbmop": 2}, *records)) + "\n")
    trace = read_trace(path)
    assert isinstance(trace, RecordedTrace)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbmTraceWarning)
        before, after = replay(trace), replay(trace.rewritten(parse("repeat_layer=5")))
    assert before is not None and after is not None and len(after) > len(before)
