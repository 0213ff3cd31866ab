"""Generators agree with captures of the real programs in bytes per tensor class.

The captures were recorded with PyTorch from the makers' modelling code at full size (see `test_trace_captures`).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import hbmmodel
from hbmmodel.trace import OpTrace, read_trace
from hbmmodel.workload import decode, dlrm, train_step

DATA = Path(__file__).parent / "data"
DECODE = Path(hbmmodel.__file__).parent / "data" / "captures" / "llama31_8b_decode_b1_ctx8192.hbmop.jsonl.gz"
TRAIN = DATA / "llama31_8b_train_b1_s4096.hbmop.jsonl.gz"
DLRM = DATA / "dlrm_tiny_train_b256.hbmop.jsonl.gz"


def opened(path: Path, phase: str | None = None) -> OpTrace:
    trace = read_trace(path, phase=phase)
    assert isinstance(trace, OpTrace)
    return trace


def moved(trace: OpTrace) -> tuple[int, int]:
    read = written = 0
    for operation in trace.operations():
        read, written = read + operation.bytes_read, written + operation.bytes_written
    return read, written


def by_class(trace: OpTrace) -> Counter[tuple[str, bool]]:
    found: Counter[tuple[str, bool]] = Counter()
    for operation in trace.operations():
        for a in operation.accesses:
            found[a.tensor_class, a.is_write] += a.n_bytes
    return found


def test_the_eager_decode_step_is_the_captured_one_to_the_byte() -> None:
    captured, generated = opened(DECODE), decode("llama-3.1-8b", fusion="eager", kv="cat")
    assert moved(generated) == moved(captured) == (17_171_329_312, 1_085_254_160)
    names = Counter(op.name.split(".")[1] for op in captured.operations())
    ours = Counter(op.name.split(".")[-1] for op in generated.operations())
    ours["_scaled_dot_product_flash_attention_for_cpu"] = ours.pop("_scaled_dot_product_flash_attention")
    assert ours == names


def test_weights_and_attention_of_a_decode_step_agree_within_a_thousandth() -> None:
    for options in ({}, {"fusion": "eager", "kv": "cat"}, {"kv": "static"}):
        trace = decode("llama-3.1-8b", **options)  # type: ignore[arg-type]
        found = by_class(trace)
        # captured: weights with the token's embedding row, position and rotary frequencies; attention with its query
        assert found["weights", False] + found["embedding", False] == pytest.approx(15_009_857_808, rel=1e-3)
        attention = sum(
            op.bytes_read
            for op in trace.operations()
            if op.name == "attention" or op.name.startswith("aten._scaled_dot_product")
        )
        assert attention == pytest.approx(1_074_135_040, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "batch", "weights", "kv"),
    [
        ("llama-3.1-8b", 32, 15_010_112_256, 34_372_000_000),
        ("llama-3.1-70b", 16, 139_006_329_344, 42_976_000_000),
    ],
)
def test_other_decode_steps_agree_with_their_captures(name: str, batch: int, weights: int, kv: int) -> None:
    """Totals of captures that are not kept here; attention with its query, to four digits."""
    trace = decode(name, batch=batch)
    found = by_class(trace)
    assert found["weights", False] + found["embedding", False] == pytest.approx(weights, rel=1e-3)
    attention = sum(op.bytes_read for op in trace.operations() if op.name == "attention")
    assert attention == pytest.approx(kv, rel=1e-3)


def training_storages() -> tuple[set[int], set[int], set[int]]:
    """Parameters, gradients, moments: the lists that the fused optimizer takes, 291 tensors each, the moments last."""
    (fused,) = [op for op in opened(TRAIN, "optimizer").operations() if op.name.startswith("aten._fused_adamw_")]
    reads = [a.storage for a in fused.accesses if not a.is_write]
    written = {a.storage for a in fused.accesses if a.is_write}
    gradients = [s for s in reads if s not in written][:291]
    updated = [s for s in reads if s in written]
    return set(updated[:291]), set(gradients), set(updated[291:])


def test_the_training_step_agrees_with_its_capture_within_a_thousandth() -> None:
    parameters, gradients, moments = training_storages()
    assert (len(parameters), len(gradients), len(moments)) == (291, 291, 582)
    trace = train_step("llama-3.1-8b", tokens=4096, precision="bf16", first_step=True)
    for phase in ("forward", "backward", "optimizer"):
        captured: Counter[tuple[str, bool]] = Counter()
        for op in opened(TRAIN, phase).operations():
            for a in op.accesses:
                for label, storages in (("weights", parameters), ("gradients", gradients), ("optimizer", moments)):
                    if a.storage in storages:
                        captured[label, a.is_write] += a.n_bytes
        found = by_class(trace.select(phase))
        weights = Counter({("weights", w): found["weights", w] + found["embedding", w] for w in (False, True)})
        for w in (False, True):
            assert weights["weights", w] == pytest.approx(captured["weights", w], rel=1e-3), phase
            assert found["optimizer", w] == pytest.approx(captured["optimizer", w], rel=1e-3), phase
        assert found["gradients", True] == pytest.approx(captured["gradients", True], rel=1e-3), phase
    # the step counts, 4 B per tensor and pass, are left out
    read, written = moved(trace.select("optimizer"))
    assert (read, written) == (64_242_092_312 - 2 * 4 * 291, 80_302_614_808 - 2 * 4 * 291)


def test_an_unfused_optimizer_moves_what_was_captured_of_gpt2() -> None:
    """12 reads and 8 writes of every parameter array; fused 4 and 3: 2.9 times less."""
    eager, fused = (
        moved(train_step("llama-3.1-8b", tokens=16, optimizer=o, precision="bf16").select("optimizer"))
        for o in ("adamw_eager", "adamw_fused")
    )
    arrays = 2 * 8_030_261_248
    assert eager == (12 * arrays, 8 * arrays)
    assert fused == (4 * arrays, 3 * arrays)
    assert sum(eager) / sum(fused) == pytest.approx(2.86, abs=0.01)


def test_embedding_bags_read_and_update_what_was_captured() -> None:
    captured = [op for op in opened(DLRM).operations() if op.name.startswith("aten._embedding_bag.")]
    if not captured:
        captured = [op for op in opened(DLRM, "forward").operations() if op.name.startswith("aten._embedding_bag")]
    trace = dlrm(batch=256, tables=8, rows=20_000, dim=64, pooling=10, zipf=1.2, training=True)
    bags = [op for op in trace.operations() if op.name == "embedding_bag"]
    assert len(bags) == len(captured) == 8
    assert sum(op.bytes_read for op in bags) == sum(op.bytes_read for op in captured) == 5_423_104
    updates = [op for op in trace.select("optimizer").operations() if op.name == "sparse_sgd"]
    for op in updates:
        rows = [a for a in op.accesses if a.tensor_class == "embedding"]
        assert [(a.n_runs, a.run_bytes, a.is_write) for a in rows] == [(2560, 256, False), (2560, 256, True)]
