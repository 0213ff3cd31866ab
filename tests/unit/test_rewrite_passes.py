"""Rewrite passes one by one, on traces small enough to see what happens, and their texts on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace import RecordedTrace, read_trace
from hbmmodel.trace.hbmop_out import write_hbmop
from hbmmodel.trace.rewrite import (
    PASSES,
    dtype,
    expert_parallel,
    fuse_elementwise,
    gemm_tiles,
    kv,
    micro_batches,
    optimizer,
    parse,
    tensor_parallel,
)

Make = Callable[..., RecordedTrace]


@pytest.fixture
def trace(tmp_path: Path) -> Make:
    def make(*records: object) -> RecordedTrace:
        path = tmp_path / "x.hbmop"
        end = ["E", sum(isinstance(r, list) and r[0] == "O" for r in records)]
        path.write_text("\n".join(json.dumps(r) for r in ({"hbmop": 2}, *records, end)))
        found = read_trace(path)
        assert isinstance(found, RecordedTrace)
        return found

    return make


def alloc(*storages: int, n_bytes: int = 4096) -> list[list[Any]]:
    return [["A", storage, n_bytes, 0, 0] for storage in storages]


def vector(role: str, storage: int, n: int = 256) -> list[Any]:
    return [role, storage, 0, "f32", [n], [1]]


def op(name: str, *operands: list[Any]) -> list[Any]:
    return ["O", 0, 0, 0, name, list(operands)]


def moved(trace: RecordedTrace) -> list[tuple[str, list[tuple[str, int, int]]]]:
    return [
        (o.name, [("w" if a.is_write else "r", a.storage, a.n_bytes) for a in o.accesses]) for o in trace.operations()
    ]


# ---- fusion ----


def test_a_chain_reads_inputs_once_and_writes_what_is_used_behind(trace: Make) -> None:
    t = trace(
        *alloc(0, 1, 2, 3, 4),
        op("aten.mul.Tensor", vector("r", 0), vector("r", 1), vector("w", 2)),
        op("aten.add.Tensor", vector("r", 2), vector("r", 0), vector("w", 3)),
        op("aten.silu.default", vector("r", 3), vector("w", 4)),
        ["F", 2, 0],
        ["F", 3, 0],
        op("aten.sum.default", vector("r", 4)),
    ).rewritten(fuse_elementwise())
    assert moved(t) == [
        ("fused.pointwise", [("r", 0, 1024), ("r", 1, 1024), ("w", 4, 1024)]),
        ("aten.sum.default", [("r", 4, 1024)]),
    ]


def test_what_is_used_behind_the_chain_or_never_freed_is_written(trace: Make) -> None:
    t = trace(
        *alloc(0, 1, 2, 3),
        op("aten.mul.Tensor", vector("r", 0), vector("w", 1)),
        op("aten.neg.default", vector("r", 1), vector("w", 2)),
        op("aten.exp.default", vector("r", 2), vector("w", 3)),
        op("aten.sum.default", vector("r", 1)),
        ["F", 1, 0],
        ["F", 3, 0],
    ).rewritten(fuse_elementwise())
    assert moved(t)[0] == ("fused.pointwise", [("r", 0, 1024), ("w", 1, 1024), ("w", 2, 1024)])


def test_an_operation_in_place_reads_and_writes_once(trace: Make) -> None:
    t = trace(
        *alloc(0, 1),
        op("aten.mul_.Tensor", vector("m", 0)),
        op("aten.add_.Tensor", vector("m", 0), vector("r", 1)),
    ).rewritten(fuse_elementwise())
    assert moved(t) == [("fused.pointwise", [("r", 0, 1024), ("r", 1, 1024), ("w", 0, 1024)])]


def test_phases_and_other_operations_end_a_chain(trace: Make) -> None:
    relu = op("aten.relu.default", vector("r", 0), vector("w", 1))
    t = trace(*alloc(0, 1), ["P", "a", 0], relu, ["P", "b", 0], relu, op("aten.sum.default", vector("r", 1)), relu)
    assert [name for name, _ in moved(t.rewritten(fuse_elementwise()))] == [name for name, _ in moved(t)]


def test_reductions_join_a_chain_if_asked(trace: Make) -> None:
    t = trace(
        *alloc(0, 1, 2),
        op("aten.pow.Tensor_Scalar", vector("r", 0), vector("w", 1)),
        op("aten.mean.dim", vector("r", 1), vector("w", 2, 1)),
        ["F", 1, 0],
    )
    assert len(moved(t.rewritten(fuse_elementwise()))) == 2
    assert moved(t.rewritten(fuse_elementwise(True))) == [("fused.pointwise", [("r", 0, 1024), ("w", 2, 4)])]


def test_memory_of_what_is_fused_away_is_not_taken(trace: Make) -> None:
    t = trace(
        *alloc(0, n_bytes=512),
        *alloc(1, n_bytes=64 << 20),
        op("aten.exp.default", vector("r", 0, 8), vector("w", 1, 8)),
        op("aten.exp.default", vector("r", 1, 8), vector("w", 0, 8)),
        ["F", 1, 0],
    )
    stream = t.rewritten(fuse_elementwise()).operations()
    assert sum(1 for _ in stream) == 1
    assert stream.progress.allocator is not None and stream.progress.allocator.peak_bytes == 512


# ---- optimizer ----


def test_a_foreach_step_becomes_one_kernel(trace: Make) -> None:
    p, g, m, v, s = ([vector(role, storage), vector(role, storage + 1)] for role, storage in (
        ("m", 0), ("r", 2), ("m", 4), ("m", 6), ("w", 8)
    ))  # fmt: skip
    reads = [[["r", *o[1:]] for o in pair] for pair in (m, v, s)]
    t = trace(
        *alloc(*range(8)),
        op("aten._foreach_lerp_.Scalar", *m, *g),
        op("aten._foreach_mul_.Scalar", *v),
        op("aten._foreach_addcmul_.Scalar", *v, *g, *g),
        *alloc(8, 9),
        op("aten._foreach_sqrt.default", *reads[1], *s),
        op("aten._foreach_addcdiv_.ScalarList", *p, *reads[0], *reads[2]),
        ["F", 8, 0],
        ["F", 9, 0],
    ).rewritten(optimizer("fused"))
    assert moved(t) == [
        (
            "aten._fused_adamw_.default",
            [("r", i, 1024) for i in range(8)] + [("w", i, 1024) for i in (0, 1, 4, 5, 6, 7)],
        )
    ]


def test_what_a_chain_makes_of_a_part_does_not_stand_for_the_whole(trace: Make) -> None:
    t = trace(
        *alloc(0, 1, 2),
        op("aten.copy_.default", vector("m", 0, 16), vector("r", 1, 16)),
        op("aten.silu.default", vector("r", 0, 256), vector("w", 2)),
    ).rewritten(fuse_elementwise())
    assert moved(t) == [("fused.pointwise", [("r", 1, 64), ("r", 0, 1024), ("w", 0, 64), ("w", 2, 1024)])]


# ---- experts ----


def experts(ends: list[int]) -> list[list[Any]]:
    tokens = ["r", 0, 0, "f32", [6, 8], [8, 1]]
    weights = ["r", 1, 0, "f32", [4, 8, 8], [64, 8, 1]]
    offsets = ["r", 2, 0, "i32", [4], [1], "i0", 0]
    out = ["w", 3, 0, "f32", [6, 8], [8, 1]]
    return [*alloc(0, 1, 2, 3), ["I", "i0", ends], op("aten._grouped_mm.default", tokens, weights, offsets, out)]


@pytest.mark.parametrize(("rank", "busy"), [(0, 1), (1, 2)])
def test_a_device_reads_its_own_experts_that_got_tokens(trace: Make, rank: int, busy: int) -> None:
    t = trace(*experts([3, 3, 4, 6]))  # experts 0, 2 and 3 have tokens
    assert dict(moved(t))["aten._grouped_mm.default"][1] == ("r", 1, 3 * 256)
    shared = t.rewritten(expert_parallel(2, rank))
    assert dict(moved(shared))["aten._grouped_mm.default"] == [
        ("r", 0, 192),
        ("r", 1, busy * 256),
        ("r", 2, 16),
        ("w", 3, 192),
    ]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_capture_of_one_device_remembers_which_of_its_experts_got_tokens(
    trace: Make, tmp_path: Path, rank: int
) -> None:
    shared = trace(*experts([3, 3, 4, 6])).rewritten(expert_parallel(2, rank))
    write_hbmop(shared, tmp_path / "one.hbmop")
    written = read_trace(tmp_path / "one.hbmop")
    assert isinstance(written, RecordedTrace) and moved(written) == moved(shared)


def test_experts_that_cannot_be_shared_are_refused(trace: Make) -> None:
    with pytest.raises(HbmTraceError, match="a dimension of 4 cannot be divided by 3"):
        moved(trace(*experts([3, 3, 4, 6])).rewritten(expert_parallel(3)))
    relu = op("aten.relu.default", vector("r", 0), vector("w", 1))
    with pytest.raises(HbmTraceError, match="nothing that can be divided is in it"):
        moved(trace(*alloc(0, 1), relu).rewritten(expert_parallel(2)))


# ---- tensors on several devices ----


def matrix(role: str, storage: int, rows: int, columns: int, transposed: bool = False) -> list[Any]:
    return [role, storage, 0, "f32", [rows, columns], [1, rows] if transposed else [columns, 1]]


def test_columns_then_rows_then_one_sum(trace: Make) -> None:
    up = matrix("r", 1, 64, 128, True)
    t = trace(
        *alloc(0, 1, 2, 3, 4, 5, 6, n_bytes=1 << 20),
        op("aten.mul.Tensor", matrix("r", 6, 4, 64), matrix("w", 0, 4, 64)),
        op("aten.addmm.default", vector("r", 5, 128), matrix("r", 0, 4, 64), up, matrix("w", 2, 4, 128)),
        op("aten.mm.default", matrix("r", 2, 4, 128), matrix("r", 3, 128, 64, True), matrix("w", 4, 4, 64)),
        op("aten.add.Tensor", matrix("r", 4, 4, 64), matrix("r", 6, 4, 64), matrix("w", 0, 4, 64)),
    ).rewritten(tensor_parallel(4))  # fmt: skip
    assert moved(t)[1:4] == [
        ("aten.addmm.default", [("r", 5, 128), ("r", 0, 1024), ("r", 1, 8192), ("w", 2, 512)]),
        ("aten.mm.default", [("r", 2, 512), ("r", 3, 8192), ("w", 4, 1024)]),
        ("_c10d_functional.all_reduce.default", [("r", 4, 1024), ("w", 4, 1024)]),
    ]


def test_a_router_stays_whole(trace: Make) -> None:
    t = trace(
        *alloc(0, 1, 2, 3, 4, n_bytes=1 << 20),
        op("aten.relu.default", matrix("r", 4, 4, 1024), matrix("w", 0, 4, 1024)),
        op("aten.mm.default", matrix("r", 0, 4, 1024), matrix("r", 1, 1024, 8), matrix("w", 2, 4, 8)),
        op("aten.mm.default", matrix("r", 0, 4, 1024), matrix("r", 3, 1024, 128), matrix("w", 4, 4, 128)),
    ).rewritten(tensor_parallel(2))
    assert moved(t)[1][1][1] == ("r", 1, 4 * 1024 * 8)
    assert moved(t)[2][1][1] == ("r", 3, 4 * 1024 * 128 // 2)


def test_matrices_whose_rereads_are_counted_are_not_cut(trace: Make) -> None:
    t = trace(
        *alloc(0, 1, 2, 4, n_bytes=1 << 20),
        op("aten.relu.default", matrix("r", 4, 256, 64), matrix("w", 0, 256, 64)),
        op("aten.mm.default", matrix("r", 0, 256, 64), matrix("r", 1, 64, 512), matrix("w", 2, 256, 512)),
    )
    tiled = moved(t.rewritten(tensor_parallel(4), gemm_tiles(128, 128)))[1][1]
    assert tiled == [("r", 0, 65536), ("r", 1, 2 * 32768), ("w", 2, 131072)]  # one column of tiles, two rows
    with pytest.raises(HbmTraceError, match="rewrite this before gemm_tiles"):
        moved(t.rewritten(gemm_tiles(128, 128), tensor_parallel(4)))


# ---- caches, formats, batches ----


def test_a_cache_that_is_used_in_part_is_refused(trace: Make) -> None:
    def tensor(role: str, storage: int, tokens: int) -> list[Any]:
        return [role, storage, 0, "f32", [1, 2, tokens, 4], [8 * tokens, 4 * tokens, 4, 1]]

    grow = op("aten.cat.default", tensor("r", 0, 7), tensor("r", 1, 1), tensor("w", 2, 8))
    query, keys, out = tensor("r", 3, 1), tensor("r", 2, 8), tensor("w", 4, 1)
    attend = op("aten._scaled_dot_product_efficient_attention.default", query, keys, keys, out)
    storages = alloc(0, 1, 2, 3, 4)
    whole = trace(*storages, grow, attend).rewritten(kv("static"))
    assert [name for name, _ in moved(whole)] == ["kv.append", attend[4]]
    part = op("aten.sum.default", ["r", 2, 0, "f32", [1, 2, 4, 4], [64, 32, 4, 1]])
    with pytest.raises(HbmTraceError, match="aten.sum.default uses a part of the cache"):
        moved(trace(*storages, grow, attend, part).rewritten(kv("static")))
    with pytest.raises(HbmTraceError, match="no cache of keys and values grows by aten.cat"):
        moved(trace(*storages, attend).rewritten(kv("static")))


def test_blocks_that_do_not_divide_are_refused(trace: Make) -> None:
    t = trace(*alloc(0, 1, 2, n_bytes=1 << 20), op("aten.mm.default", *(
        [role, s, 0, "bf16", [24, 24], [24, 1]] for role, s in (("r", 0), ("r", 1), ("w", 2))
    )))  # fmt: skip
    assert moved(t.rewritten(dtype("fp8")))[0][1][1] == ("r", 1, 24 * 24)
    with pytest.raises(HbmTraceError, match="no whole number of blocks; choose a format of whole bytes"):
        moved(t.rewritten(dtype("mxfp4")))


def test_micro_batches_need_an_optimizer(trace: Make) -> None:
    relu = op("aten.relu.default", vector("r", 0), vector("w", 1))
    with pytest.raises(HbmTraceError, match="no phase 'optimizer' follows"):
        moved(trace(*alloc(0, 1), relu).rewritten(micro_batches(2)))


# ---- texts ----


def test_every_pass_has_a_text_and_says_what_it_is() -> None:
    needed = {"dtype": "=fp8", "tensor_parallel": "=2", "expert_parallel": "=2", "pipeline": "=2"}
    needed |= {"repeat_layer": "=2", "micro_batches": "=2"}
    for name in PASSES:
        item = parse(name + needed.get(name, ""))
        assert str(item).startswith(f"{name}(") and item.pass_name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kvv", "no pass is called 'kvv'; there are fuse_elementwise, optimizer, kv"),
        ("", "no pass is called ''"),
        ("kv=hashed", "kv is 'hashed'; choose one of paged, static"),
        ("kv=paged,block=0", "block is 0; give a whole number in 1..65536"),
        ("kv=paged,block=big", "block is 'big'; give a whole number"),
        ("kv=paged,paged", "'paged' is no parameter; kv has layout, block, seed"),
        ("kv=paged,layout=static", "'layout=static' is no parameter"),
        ("dtype", "to is missing; write dtype=TO"),
        ("dtype=fp3", "dtype is 'fp3'; choose one of f32"),
        ("tensor_parallel=1", "parts is 1; give a whole number in 2..65536"),
        ("pipeline=4,stage=4", "stage is 4; give a whole number in 0..3"),
        ("optimizer=sgd", "optimizer is 'sgd'; choose one of fused"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(HbmArgumentError, match=message):
        parse(text)


def test_something_that_is_no_pass_is_refused(trace: Make) -> None:
    t = trace(*alloc(0), op("aten.sum.default", vector("r", 0)))
    with pytest.raises(HbmArgumentError, match="'kv' is no rewrite pass"):
        t.rewritten("kv")  # type: ignore[arg-type]


def test_an_error_behind_a_pass_names_the_line_of_the_capture(trace: Make) -> None:
    bad = op("aten.relu.default", vector("r", 9), vector("w", 1))
    relu = op("aten.relu.default", vector("r", 0), vector("w", 1))
    t = trace(*alloc(0, 1), relu, op("aten.sum.default", vector("r", 0)), bad)
    with pytest.raises(HbmTraceError, match="line 6: field storage: storage 9 is used but was never allocated"):
        list(t.rewritten(fuse_elementwise()).operations())


def test_rows_are_part_of_what_makes_operands_equal(trace: Make) -> None:
    from hbmmodel.trace.expand import Operand, expand

    rows = [np.array(values, np.int64) for values in ([0, 1], [2, 3])]
    operands = [Operand("r", 0, 0, "f32", [8, 4], [4, 1], rows=chosen) for chosen in rows]
    accesses = expand("aten.sum.default", operands, None, {0: 0}.__getitem__)  # type: ignore[arg-type]
    assert [access.row_offsets.tolist() for access in accesses if access.row_offsets is not None] == [[0, 16], [32, 48]]


# ---- chains of passes ----


@pytest.mark.parametrize("held", [0, 3, 1 << 16])
def test_every_pass_of_a_chain_works_once_however_long_the_trace(
    trace: Make, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    from hbmmodel.trace.rewrite import spool

    monkeypatch.setattr(spool, "HELD_MAX", held)
    monkeypatch.setattr(spool, "BATCH", 2)
    columns = op("aten.mm.default", matrix("r", 0, 4, 64), matrix("r", 1, 64, 128, True), matrix("w", 2, 4, 128))
    t = trace(*alloc(0, 1, 2, 3, n_bytes=1 << 20), columns, op("aten.silu.default", matrix("r", 2, 4, 128),
              matrix("w", 3, 4, 128)))  # fmt: skip
    applied = []

    class Counted(type(fuse_elementwise())):  # type: ignore[misc]
        def apply(self, trace: RecordedTrace) -> Any:
            applied.append(1)
            return super().apply(trace)

    chain = t.rewritten(Counted(), tensor_parallel(2), dtype("bf16", source="f32"), fuse_elementwise())
    want = t.rewritten(fuse_elementwise()).rewritten(tensor_parallel(2))
    assert [(name, [s for _, s, _ in accesses]) for name, accesses in moved(chain)] == [
        (name, [s for _, s, _ in accesses]) for name, accesses in moved(want)
    ]
    assert len(applied) == 1


def test_an_optimizer_behind_fused_chains_is_told_to_come_first(trace: Make) -> None:
    t = trace(
        *alloc(0, 1, 2),
        op("aten.lerp_.Scalar", vector("m", 1), vector("r", 0)),
        op("aten.addcmul_.default", vector("m", 2), vector("r", 0), vector("r", 0)),
    )
    with pytest.raises(HbmTraceError, match="fused already.*put optimizer before fuse_elementwise"):
        moved(t.rewritten(fuse_elementwise(), optimizer("fused")))


def test_tensors_that_are_cut_where_they_are_joined_stay_cut(trace: Make) -> None:
    """The gradients of q, k and v become that of a joint matrix."""
    up = matrix("r", 1, 64, 384, True)

    def part(role: str, storage: int) -> list[Any]:
        return matrix(role, storage, 4, 128)

    t = trace(
        *alloc(*range(8), n_bytes=1 << 20),
        op("aten.mul.Tensor", matrix("r", 6, 4, 64), matrix("w", 0, 4, 64)),
        op("aten.mm.default", matrix("r", 0, 4, 64), up, matrix("w", 2, 4, 384)),
        op("aten.neg.default", ["r", 2, 0, "f32", [4, 128], [384, 1]], part("w", 3)),
        op("aten.neg.default", ["r", 2, 512, "f32", [4, 128], [384, 1]], part("w", 4)),
        op("aten.neg.default", ["r", 2, 1024, "f32", [4, 128], [384, 1]], part("w", 5)),
        op("aten.cat.default", part("r", 3), part("r", 4), part("r", 5), matrix("w", 7, 4, 384)),
    )
    assert moved(t.rewritten(tensor_parallel(4)))[-1][1][-1] == ("w", 7, 4 * 384 * 4 // 4)
