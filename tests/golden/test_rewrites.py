"""Rewrite passes on real captures: the sizes that arithmetic gives, to the byte where it gives them exactly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import hbmmodel
from hbmmodel.errors import HbmTraceError
from hbmmodel.trace import Operation, RecordedTrace, read_trace
from hbmmodel.trace.rewrite import (
    Pass,
    dtype,
    fuse_elementwise,
    gemm_tiles,
    kv,
    micro_batches,
    optimizer,
    parse,
    pipeline,
    repeat_layer,
    tensor_parallel,
)

DATA = Path(__file__).parent / "data"
DECODE = hbmmodel.demo_capture()
LLAMA = hbmmodel.demo_capture("llama_tiny_b1_p128_d8")
GPT2 = DATA / "gpt2_tiny_train_b4_s128.hbmop.jsonl.gz"
TRAIN = DATA / "llama31_8b_train_b1_s4096.hbmop.jsonl.gz"

LAYERS, HIDDEN, FFN, VOCAB, KV_HEADS, HEAD = 32, 4096, 14336, 128256, 8, 128
PARAMETERS = 8_030_261_248
KV_TOKEN = 2 * LAYERS * KV_HEADS * HEAD * 2
GPT2_PARAMETERS = 5_322_240


def opened(path: Path, *passes: Pass) -> RecordedTrace:
    trace = read_trace(path)
    assert isinstance(trace, RecordedTrace)
    return trace.rewritten(*passes) if passes else trace


def phases(trace: RecordedTrace) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for operation in trace.operations():
        read, written = found.get(operation.phase, (0, 0))
        found[operation.phase] = (read + operation.bytes_read, written + operation.bytes_written)
    return found


def by_name(trace: RecordedTrace) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for operation in trace.operations():
        read, written = found.get(operation.name, (0, 0))
        found[operation.name] = (read + operation.bytes_read, written + operation.bytes_written)
    return found


# ---- optimizer ----


def test_a_fused_optimizer_reads_four_arrays_and_writes_three() -> None:
    before, after = phases(opened(GPT2)), phases(opened(GPT2, optimizer("fused")))
    steps = 4 * 52  # step counts, one per tensor, are kept
    assert after["optimizer"] == (4 * 4 * GPT2_PARAMETERS + steps, 3 * 4 * GPT2_PARAMETERS + steps)
    assert sum(before["optimizer"]) / sum(after["optimizer"]) == pytest.approx(20 / 7, rel=1e-3)
    assert {k: v for k, v in after.items() if k != "optimizer"} == {
        k: v for k, v in before.items() if k != "optimizer"
    }


def test_a_step_that_is_fused_already_is_refused() -> None:
    with pytest.raises(HbmTraceError, match="no step of eager Adam or AdamW"):
        phases(opened(TRAIN, optimizer("fused")))


# ---- caches ----


@pytest.mark.parametrize("layout", ["paged", "static"])
def test_a_cache_in_place_is_read_once_and_written_for_one_token(layout: str) -> None:
    before, after = by_name(opened(DECODE)), by_name(opened(DECODE, kv(layout)))
    attention = "aten._scaled_dot_product_flash_attention_for_cpu.default"
    assert after["kv.append"] == (KV_TOKEN, KV_TOKEN)
    assert after[attention] == before[attention]
    # The copies were two of three thirds of the cache's traffic.
    copied = sum(before["aten.cat.default"]) - sum(after["aten.cat.default"])
    assert copied == 2 * KV_TOKEN * 8193
    cache = KV_TOKEN * 8193
    assert (copied + cache) / (sum(after["kv.append"]) + cache) == pytest.approx(3.0, rel=1e-3)


def test_blocks_of_a_paged_cache_are_scattered_and_read_once_each() -> None:
    trace = opened(DECODE, kv("paged", block=16))
    block_bytes = 16 * KV_HEADS * HEAD * 2
    attention = [op for op in trace.operations() if "scaled_dot" in op.name]
    reads = [a for op in attention for a in op.accesses if a.row_offsets is not None]
    assert len(reads) == 2 * 2 * LAYERS  # full blocks, and the begun one, of keys and of values
    full = reads[0]
    assert full.row_offsets is not None and full.run_bytes == block_bytes and full.n_runs == 8192 // 16
    offsets = full.row_offsets.tolist()
    assert len(set(offsets)) == len(offsets) and offsets != sorted(offsets)
    assert all(offset % block_bytes == 0 for offset in offsets)
    assert reads[1].n_bytes == KV_HEADS * HEAD * 2


def test_caches_that_grow_over_several_steps_are_each_one_storage() -> None:
    before, after = phases(opened(LLAMA)), phases(opened(LLAMA, kv("static")))
    token = 2 * 4 * 2 * 32 * 2
    assert after["prefill"] == before["prefill"]
    for i in range(8):
        copied = token * (128 + i + 1)
        read, written = before[f"decode{i}"]
        assert after[f"decode{i}"] == (read - copied + token, written - copied + token)
    stream = opened(LLAMA, kv("static")).operations()
    assert len({a.storage for op in stream if op.name == "kv.append" for a in op.accesses if a.is_write}) == 8


# ---- formats ----


@pytest.mark.parametrize(("to", "bits"), [("fp8", 8), ("mxfp8", 8.25), ("nvfp4", 4.5), ("mxfp4", 4.25), ("f32", 32)])
def test_weights_in_another_format_move_its_bits(to: str, bits: float) -> None:
    before, after = by_name(opened(DECODE)), by_name(opened(DECODE, dtype(to)))
    matrices = PARAMETERS - VOCAB * HIDDEN - (2 * LAYERS + 1) * HIDDEN
    assert before["aten.mm.default"][0] - after["aten.mm.default"][0] == matrices * (16 - bits) / 8
    unchanged = set(before) - {"aten.mm.default", "aten.embedding.default"}
    assert {name: before[name] for name in unchanged} == {name: after[name] for name in unchanged}


def test_a_cache_in_another_format_moves_half() -> None:
    plain, small = opened(DECODE, kv("paged")), opened(DECODE, kv("paged"), dtype("fp8", tensors="kv"))
    difference = phases(plain)["decode"][0] - phases(small)["decode"][0]
    assert difference == KV_TOKEN * 8193 // 2
    with pytest.raises(HbmTraceError, match="no kv in bf16 are in it; rewrite kv before"):
        phases(opened(DECODE, dtype("fp8", tensors="kv")))


# ---- several devices ----


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_devices_share_weights_and_caches_evenly(parts: int) -> None:
    before, after = by_name(opened(DECODE)), by_name(opened(DECODE, tensor_parallel(parts)))
    matrices = 2 * (PARAMETERS - VOCAB * HIDDEN - (2 * LAYERS + 1) * HIDDEN)
    # Products also read the whole input where matrices are cut by columns, and its part where by rows.
    whole = 2 * HIDDEN * (5 * LAYERS + 1)
    part = 2 * (HIDDEN + FFN) * LAYERS
    assert before["aten.mm.default"][0] == matrices + whole + part
    assert after["aten.mm.default"][0] == matrices // parts + whole + part // parts
    attention = "aten._scaled_dot_product_flash_attention_for_cpu.default"
    assert after[attention][0] * parts == before[attention][0]
    reduced = after["_c10d_functional.all_reduce.default"]
    assert reduced == (2 * LAYERS * HIDDEN * 2, 2 * LAYERS * HIDDEN * 2)


def test_a_shared_training_step_reduces_twice_per_layer_and_direction() -> None:
    trace = opened(TRAIN, tensor_parallel(8))
    reductions = Counter(op.phase for op in trace.operations() if "all_reduce" in op.name)
    assert reductions["forward"] == 2 * LAYERS
    assert 2 * LAYERS <= reductions["backward"] <= 2 * LAYERS + 4  # and the loss's few numbers
    whole = VOCAB * HIDDEN + (2 * LAYERS + 1) * HIDDEN
    read = sum(op.bytes_read for op in trace.operations() if "_fused_adamw_" in op.name)
    assert read == 4 * 2 * ((PARAMETERS - whole) // 8 + whole) + 4 * 291


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(HbmTraceError, match=r"a dimension of 4096 cannot be divided by 7"):
        phases(opened(DECODE, tensor_parallel(7)))
    with pytest.raises(HbmTraceError, match="cannot be divided by 16"):  # 8 heads of keys and values
        phases(opened(DECODE, tensor_parallel(16)))
    with pytest.raises(HbmTraceError, match="rewrite this before kv"):
        phases(opened(DECODE, kv("paged"), tensor_parallel(8)))


def test_stages_of_a_pipeline_do_everything_once() -> None:
    whole = Counter(op.name for op in opened(DECODE).operations())
    shared: Counter[str] = Counter()
    weights = 0
    for stage in range(4):
        for op in opened(DECODE, pipeline(4, stage)).operations():
            shared[op.name] += 1
            weights += op.bytes_read if op.name == "aten.mm.default" else 0
    handed_on = {name: shared.pop(name) for name in list(shared) if name.startswith("c10d.")}
    assert shared == whole
    assert handed_on["c10d.send.default"] >= 3 and handed_on["c10d.recv_.default"] >= 3
    assert weights == by_name(opened(DECODE))["aten.mm.default"][0]


def test_layers_are_repeated_with_weights_and_caches_of_their_own() -> None:
    before, after = by_name(opened(DECODE)), by_name(opened(DECODE, repeat_layer(48)))
    per_layer = 2 * (HIDDEN * (32 + 2 * KV_HEADS) * HEAD + HIDDEN * HIDDEN + 3 * HIDDEN * FFN)
    inputs = 2 * (5 * HIDDEN + HIDDEN + FFN)
    assert after["aten.mm.default"][0] - before["aten.mm.default"][0] == 16 * (per_layer + inputs)
    stream = opened(DECODE, repeat_layer(48)).operations()
    storages = {a.storage for op in stream if op.name == "aten.mm.default" for a in op.accesses if not a.is_write}
    assert len({s for s in storages}) >= 7 * 48 + 1
    assert stream.progress.allocator is not None
    assert stream.progress.allocator.peak_bytes > 17_134_661_632 + 16 * per_layer


def held(trace: RecordedTrace) -> list[Operation]:
    return [op for op in trace.operations() if op.accesses]


@pytest.mark.parametrize(("path", "stages"), [(TRAIN, 2), (GPT2, 2), (GPT2, 4)])
def test_stages_of_a_training_step_keep_a_layers_passes_and_its_update_together(path: Path, stages: int) -> None:
    whole = held(opened(path))
    shared: Counter[tuple[str, str]] = Counter()
    updated: list[set[int]] = []
    handed: list[list[tuple[str, str, int]]] = []
    moved = [0, 0]
    for stage in range(stages):
        operations = held(opened(path, pipeline(stages, stage)))
        shared.update((op.phase, op.name) for op in operations)
        used = {a.storage for op in operations for a in op.accesses if op.phase == "forward" and not a.is_write}
        update = [op for op in operations if op.phase == "optimizer"]
        updated.append({a.storage for op in update for a in op.accesses if a.is_write} & used)
        moved = [moved[0] + sum(op.bytes_read for op in update), moved[1] + sum(op.bytes_written for op in update)]
        moves = [op for op in operations if "c10d" in op.name]
        handed.append([(op.phase, op.name[5:9], op.bytes_read + op.bytes_written) for op in moves])
    # everything is done once; a kernel that updates all tensors at once is done by every stage for its own
    want = Counter((op.phase, op.name) for op in whole)
    lists = {key for key in want if "_fused_" in key[1] or "_foreach_" in key[1]}
    assert all(shared.pop(key) == stages and want.pop(key) == 1 for key in lists)
    assert {k: n for k, n in shared.items() if "c10d" not in k[1]} == want
    assert sum(map(len, updated)) == len(set.union(*updated))  # no tensor is updated twice
    update = [op for op in whole if op.phase == "optimizer"]
    assert moved == [sum(op.bytes_read for op in update), sum(op.bytes_written for op in update)]
    # between neighbours one activation forward and one gradient back
    width = max(n for phase, way, n in handed[1] if (phase, way) == ("forward", "recv"))
    for stage in range(1, stages):
        assert ("forward", "recv", width) in handed[stage] and ("backward", "send", width) in handed[stage]
        assert ("forward", "send", width) in handed[stage - 1] and ("backward", "recv", width) in handed[stage - 1]
        back = [n for phase, way, n in handed[stage] if (phase, way) == ("backward", "send")]
        tied = path == GPT2 and stage == stages - 1
        assert sorted(back) == ([width, 4 * 8192 * 256] if tied else [width])


@pytest.mark.parametrize("item", [pipeline(2), repeat_layer(64)])
def test_layers_of_several_steps_are_not_guessed(item: Pass) -> None:
    with pytest.raises(HbmTraceError, match="a training step, or several steps"):
        phases(opened(LLAMA, item))
    with pytest.raises(HbmTraceError, match="it has several backward passes"):
        phases(opened(GPT2, micro_batches(2), item))


def test_micro_batches_of_a_stage_hand_on_as_often() -> None:
    trace = opened(GPT2, pipeline(2, 0), micro_batches(3))
    handed = Counter((op.phase, op.name[5:9]) for op in trace.operations() if "c10d" in op.name)
    # the tied table's gradient is one more of those that arrive
    assert handed == {("forward", "send"): 3, ("backward", "recv"): 6}


def test_a_repeated_layer_of_a_training_step_runs_forward_and_backward_and_is_updated() -> None:
    """GPT-2 has a layer norm that keeps its input, a tied head, and an update of single tensors."""
    three = [held(opened(GPT2, *passes)) for passes in ((), (repeat_layer(8),), (repeat_layer(12),))]
    counted = [Counter((op.phase, op.name) for op in operations) for operations in three]
    for phase in ("forward", "backward", "optimizer"):
        read, written = (
            [sum(getattr(op, side) for op in operations if op.phase == phase) for operations in three]
            for side in ("bytes_read", "bytes_written")
        )
        assert read[1] - read[0] == read[2] - read[1] > 0 and written[1] - written[0] == written[2] - written[1] > 0
    for key, n in counted[0].items():
        assert counted[1][key] - n == counted[2][key] - counted[1][key]


def test_a_kernel_that_updates_all_tensors_updates_those_of_repeated_layers() -> None:
    trace, layers = opened(TRAIN, repeat_layer(64)), 32
    per_layer = 2 * (HIDDEN * (32 + 2 * KV_HEADS) * HEAD + HIDDEN * HIDDEN + 3 * HIDDEN * FFN + 2 * HIDDEN)
    stream = trace.operations()
    read = sum(op.bytes_read for op in stream if op.phase == "optimizer")
    counts = 2 * 4 * 9 * layers  # step counts, raised and read
    assert read - 64_242_092_312 == 4 * layers * per_layer + counts
    assert stream.progress.allocator is not None
    # weights, gradients and moments at the peak; gradients are freed in the end
    assert stream.progress.allocator.peak_bytes - 64_242_272_768 == pytest.approx(4 * layers * per_layer, rel=1e-4)
    left = 3 * (2 * PARAMETERS + layers * per_layer)
    assert stream.progress.allocator.allocated_bytes == pytest.approx(left, rel=1e-4)


def test_more_layers_than_asked_for_are_refused() -> None:
    with pytest.raises(HbmTraceError, match="it has 32 layers"):
        phases(opened(DECODE, repeat_layer(4)))


# ---- batches, tiles, fusion ----


@pytest.mark.parametrize("n", [1, 2, 5])
def test_micro_batches_repeat_forward_and_backward_and_add_gradients_up(n: int) -> None:
    before, after = phases(opened(GPT2)), phases(opened(GPT2, micro_batches(n)))
    assert after["optimizer"] == before["optimizer"]
    assert after["forward"] == tuple(n * value for value in before["forward"])
    read, written = before["backward"]
    added = (n - 1) * 4 * GPT2_PARAMETERS
    assert after["backward"] == (n * read + 2 * added, n * written + added)


def test_micro_batches_need_no_more_memory_than_one_and_its_gradients() -> None:
    def peak(*passes: Pass) -> int:
        stream = opened(GPT2, *passes).operations()
        for _ in stream:
            pass
        assert stream.progress.allocator is not None
        return stream.progress.allocator.peak_bytes

    one, two = peak(), peak(micro_batches(2))
    assert two <= one + 4 * GPT2_PARAMETERS + (4 << 20)
    assert peak(micro_batches(5)) == two


def test_tiles_read_operands_again() -> None:
    before, after = by_name(opened(TRAIN)), by_name(opened(TRAIN, gemm_tiles(128, 256)))
    assert {k: v for k, v in before.items() if ".mm." not in k} == {k: v for k, v in after.items() if ".mm." not in k}
    expected = 0
    for record in opened(TRAIN).records():
        if getattr(record, "name", "") == "aten.mm.default":
            a, b = record.operands[:2]  # type: ignore[union-attr]
            (m, k), (_, n) = a.shape, b.shape
            expected += 2 * (m * k * -(-n // 256) + k * n * -(-m // 128))
    assert after["aten.mm.default"][0] == expected
    assert expected > 20 * before["aten.mm.default"][0]


def test_fusion_removes_traffic_and_nothing_that_is_needed() -> None:
    before, pointwise, wide = (
        phases(opened(TRAIN, *passes)) for passes in ((), (fuse_elementwise(),), (fuse_elementwise(True),))
    )

    def total(found: dict[str, tuple[int, int]]) -> int:
        return sum(sum(v) for k, v in found.items() if k != "optimizer")

    assert (total(before), total(pointwise), total(wide)) == (409_631_490_670, 311_590_437_478, 263_493_223_014)
    assert before["optimizer"] == pointwise["optimizer"] == wide["optimizer"]
    products = {name: moved for name, moved in by_name(opened(TRAIN)).items() if ".mm." in name}
    fused = by_name(opened(TRAIN, fuse_elementwise(True)))
    assert {name: fused[name] for name in products} == products


def test_an_eager_optimizer_that_is_fused_as_a_chain_comes_close_to_the_fused_kernel() -> None:
    chain = sum(phases(opened(GPT2, fuse_elementwise()))["optimizer"])
    kernel = sum(phases(opened(GPT2, optimizer("fused")))["optimizer"])
    assert kernel <= chain <= 1.05 * kernel


# ---- all of them ----


@pytest.mark.parametrize(
    "texts",
    [
        ["tensor_parallel=8", "kv=paged", "dtype=fp8", "fuse_elementwise", "gemm_tiles"],
        ["pipeline=4,stage=1", "tensor_parallel=2", "kv=static", "dtype=fp8,tensors=kv"],
        ["repeat_layer=40", "kv=paged,block=32,seed=7"],
    ],
)
def test_passes_are_composed_in_order_and_named_in_the_trace(texts: list[str]) -> None:
    passes = [parse(text) for text in texts]
    trace = opened(DECODE, *passes)
    assert trace.rewrites == tuple(map(str, passes))
    stream = trace.operations()
    moved = [(op.name, op.bytes_read, op.bytes_written) for op in stream]
    assert stream.progress.allocator is not None
    assert moved == [(op.name, op.bytes_read, op.bytes_written) for op in trace.operations()]
    assert trace.content_hash() == opened(DECODE).content_hash()


def test_the_result_of_a_run_names_the_passes() -> None:
    system = hbmmodel.System(hbmmodel.device("HBM4_8000"))
    trace = opened(LLAMA, kv("paged"), fuse_elementwise()).select("decode3")
    result = hbmmodel.simulate(system, trace)
    assert result.trace["rewrites"] == [
        "kv(layout='paged', block=16, seed=0)",
        "fuse_elementwise(reductions=False)",
    ]
    asked = sum(op.bytes_read + op.bytes_written for op in trace.operations())
    assert result.trace["bytes_asked"] == asked
    assert hbmmodel.simulate(system, opened(LLAMA).select("decode3")).trace["rewrites"] == []


def test_a_table_that_is_the_head_too_is_cut_with_it() -> None:
    whole = opened(GPT2)
    half = whole.rewritten(tensor_parallel(2))

    def looked_up(trace: RecordedTrace) -> list[int]:
        return [op.bytes_read for op in trace.operations() if op.name.startswith("aten.embedding.default")]

    def states(trace: RecordedTrace) -> int:
        return sum(op.bytes_written for op in trace.operations() if "addcdiv" in op.name)

    assert looked_up(half) == looked_up(whole)  # every token has its row
    assert states(half) < 0.55 * states(whole)
