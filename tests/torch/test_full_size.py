"""Full-size models on fake tensors: bytes as closed formulas of their dimensions give them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hbmmodel as hbm
from hbmmodel.cli import run_cli
from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace import RecordedTrace
from hbmmodel.trace.capture.fake import capture_model
from hbmmodel.trace.capture.models import captured_model, captured_models
from hbmmodel.trace.rewrite import expert_parallel, kv, optimizer, repeat_layer

pytest.importorskip("torch")
pytest.importorskip("transformers")


def opened(path: Path) -> RecordedTrace:
    trace = hbm.read_trace(path)
    assert isinstance(trace, RecordedTrace)
    return trace


def read_by(trace: RecordedTrace, part: str, phase: str | None = None) -> int:
    found = trace if phase is None else trace.select(phase)
    return sum(op.bytes_read for op in found.operations() if part in op.name)


def moves(trace: RecordedTrace) -> list[tuple[str, int, int]]:
    return [(op.name, op.bytes_read, op.bytes_written) for op in trace.operations()]


def test_a_decode_step_of_llama_8b_is_the_capture_that_ships(tmp_path: Path) -> None:
    path = tmp_path / "step.hbmop.zst"
    made = capture_model(path, "llama-3.1-8b", "decode", batch=1, context=8192)
    assert made["parameters"] == 8_030_261_248
    shipped = hbm.read_trace(hbm.demo_capture())
    assert isinstance(shipped, RecordedTrace)
    assert moves(opened(path)) == moves(shipped)
    assert made["file_bytes"] < 100_000


def test_a_decode_step_of_llama_70b_reads_weights_and_caches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "step.hbmop.zst"
    command = ["capture", "--model", "llama-3.1-70b", "--batch", "16", "--context", "8192", "-o", str(path), "--json"]
    assert run_cli(command) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 70_553_706_496
    trace = opened(path)
    layers, hidden, ffn, heads, kv_heads, head, vocab = 80, 8192, 28672, 64, 8, 128, 128256
    matrices = layers * (hidden * head * (heads + 2 * kv_heads) + heads * head * hidden + 3 * hidden * ffn)
    matrices += vocab * hidden
    inputs = 16 * (layers * (5 * hidden + heads * head + ffn) + hidden)
    assert read_by(trace, "aten.mm") == 2 * (matrices + inputs)
    cache = 2 * layers * kv_heads * head * 2 * 8193 * 16
    query = 2 * layers * heads * head * 16
    assert read_by(trace, "scaled_dot") == cache + query == 42_975_887_360
    paged = trace.rewritten(kv("paged"))
    assert sum(op.bytes_written for op in paged.operations() if op.name == "kv.append") == 16 * 327_680


def test_two_layers_repeated_are_the_whole_model(tmp_path: Path) -> None:
    capture_model(tmp_path / "two.hbmop", "llama-3.1-8b", "decode", batch=4, context=100, layers=2)
    capture_model(tmp_path / "all.hbmop", "llama-3.1-8b", "decode", batch=4, context=100)
    repeated, whole = opened(tmp_path / "two.hbmop").rewritten(repeat_layer(32)), opened(tmp_path / "all.hbmop")
    assert moves(repeated) == moves(whole)
    peaks = []
    for trace in (repeated, whole):
        stream = trace.operations()
        for _ in stream:
            pass
        assert stream.progress.allocator is not None
        peaks.append((stream.progress.allocator.peak_bytes, stream.progress.allocator.allocated_bytes))
    assert peaks[0] == peaks[1]


@pytest.mark.parametrize("captured", [2, 3])
def test_layers_of_a_training_step_repeated_are_the_whole_step(tmp_path: Path, captured: int) -> None:
    capture_model(tmp_path / "few.hbmop", "llama-3.1-8b", "train", batch=1, context=64, layers=captured)
    capture_model(tmp_path / "all.hbmop", "llama-3.1-8b", "train", batch=1, context=64, layers=5)
    repeated, whole = opened(tmp_path / "few.hbmop").rewritten(repeat_layer(5)), opened(tmp_path / "all.hbmop")
    assert moves(repeated) == moves(whole)
    ends = []
    for trace in (repeated, whole):
        stream = trace.operations()
        for _ in stream:
            pass
        assert stream.progress.allocator is not None
        ends.append((stream.progress.allocator.peak_bytes, stream.progress.allocator.allocated_bytes))
    assert ends[0] == pytest.approx(ends[1], rel=1e-4)  # blocks are reused in another order


def test_the_eager_training_step_of_two_sequences_is_the_captured_one(tmp_path: Path) -> None:
    capture_model(tmp_path / "two.hbmop", "llama-3.1-8b", "train", batch=2, context=96, layers=2)
    small = hbm.workload.model("llama-3.1-8b").replace(layers=2)
    made = hbm.workload.train_step(small, batch=2, tokens=96, precision="bf16", fusion="eager")

    def sorted_moves(trace: hbm.trace.OpTrace) -> list[tuple[str, int, int]]:
        """Without the optimizer, and in any order: newer versions compare positions before they compare sequences."""
        found = [op for op in trace.operations() if op.phase != "optimizer" and op.bytes_read + op.bytes_written]
        return sorted(
            (op.name.removeprefix("aten.").partition(".")[0].replace("_for_cpu", ""), op.bytes_read, op.bytes_written)
            for op in found
        )

    assert sorted_moves(opened(tmp_path / "two.hbmop")) == sorted_moves(made)



def test_a_training_step_ends_with_a_fused_optimizer(tmp_path: Path) -> None:
    path = tmp_path / "step.hbmop.zst"
    capture_model(path, "gpt2", "train", batch=2, context=128, dtype="f32")
    trace = opened(path)
    assert list(trace.info()["phases"]) == ["forward", "backward", "optimizer"]
    fused = [op for op in trace.operations() if "_fused_adamw_" in op.name]
    parameters = captured_model("gpt2").parameters
    n_tensors = 148
    assert sum(op.bytes_read for op in fused) == 4 * 4 * parameters + 4 * n_tensors
    assert sum(op.bytes_written for op in fused) == 3 * 4 * parameters
    with pytest.raises(hbm.errors.HbmTraceError, match="no step of eager Adam"):
        list(trace.rewritten(optimizer("fused")).operations())


def test_a_mixture_of_experts_reads_every_expert_and_a_device_its_share(tmp_path: Path) -> None:
    path = tmp_path / "step.hbmop.zst"
    capture_model(path, "mixtral-8x7b", "decode", batch=8, context=64, layers=2)
    trace = opened(path)
    experts = 2 * 8 * 3 * 4096 * 14336 * 2
    assert read_by(trace, "_grouped_mm") == pytest.approx(experts, rel=1e-3)
    assert read_by(trace.rewritten(expert_parallel(4)), "_grouped_mm") == pytest.approx(experts / 4, rel=5e-3)


@pytest.mark.parametrize("name", captured_models())
def test_parameters_are_the_published_ones(name: str, tmp_path: Path) -> None:
    """Of one layer and the rest by capturing, of the others by the difference of a second layer."""
    counts = []
    for layers in (1, 2):
        made = capture_model(tmp_path / "x.hbmop", name, "prefill", context=8, layers=layers)
        counts.append(made["parameters"])
    model = captured_model(name)
    assert counts[0] + (model.arguments[model.layers] - 1) * (counts[1] - counts[0]) == model.parameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "llama-9"}, "no model 'llama-9'; those that can be captured: llama-3.1-8b"),
        ({"mode": "encode"}, "mode is 'encode'"),
        ({"dtype": "fp8"}, "dtype is 'fp8'"),
        ({"batch": 0}, "batch is 0; give a whole number in 1..65536"),
        ({"context": 1024}, "context is 1024; give a whole number in 1..1023"),
        ({"layers": True}, "layers is True"),
    ],
)
def test_other_requests_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(HbmArgumentError, match=message):
        capture_model(tmp_path / "x.hbmop", **({"name": "gpt2", "context": 8} | options))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
