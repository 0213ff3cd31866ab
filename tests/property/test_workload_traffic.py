"""Any model and any split: bytes as the closed forms say, accesses inside their tensors; any text: one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbmmodel
from hbmmodel.errors import HbmArgumentError
from hbmmodel.workload import (
    Attention,
    Experts,
    LatentAttention,
    ModelConfig,
    decode,
    decode_bytes,
    from_spec,
    model,
    prefill,
    train_step,
)
from hbmmodel.workload.kvcache import LAYOUTS
from hbmmodel.workload.parameters import Parallel, all_parameters
from hbmmodel.workload.program import GeneratedTrace
from hbmmodel.workload.spec import GENERATORS

SMALL = st.integers(1, 4)


@st.composite
def attentions(draw: Any) -> Attention | LatentAttention:
    if draw(st.booleans()):
        sizes = [draw(st.integers(1, 40)) for _ in range(5)]
        return LatentAttention(draw(SMALL), *sizes)
    flags = {name: draw(st.booleans()) for name in ("qkv_bias", "output_bias", "qk_norm", "sinks")}
    kv_heads = draw(SMALL)
    return Attention(
        kv_heads * draw(SMALL), kv_heads, draw(st.integers(1, 40)),
        window_tokens=draw(st.sampled_from([0, 1, 7, 40])), window_every=draw(st.integers(1, 3)), **flags,
    )  # fmt: skip


@st.composite
def model_configs(draw: Any) -> ModelConfig:
    experts = None
    if draw(st.booleans()):
        count = draw(st.integers(1, 9))
        experts = Experts(
            count, draw(st.integers(1, count)), draw(st.integers(1, 50)), shared=draw(st.integers(0, 2)),
            dense_layers=draw(st.integers(0, 2)), bias=draw(st.booleans()), router_bias=draw(st.booleans()),
            dtype=draw(st.sampled_from([None, "mxfp4", "fp8"])),
        )  # fmt: skip
    return ModelConfig(
        "any", draw(SMALL), draw(st.integers(1, 60)), draw(st.integers(1, 99)), draw(attentions()),
        intermediate=draw(st.integers(1, 70)), experts=experts, tied_embedding=draw(st.booleans()),
        dtype=draw(st.sampled_from(["bf16", "fp8", "fp32"])), kv_dtype=draw(st.sampled_from(["bf16", "fp8"])),
    )  # fmt: skip


def check_inside(trace: GeneratedTrace) -> None:
    """Every access lies in memory that the allocator has handed out, and no storage is seen at two places."""
    base: dict[int, tuple[int, int]] = {}
    stream = trace.operations()
    top = 0
    for operation in stream:
        for a in operation.accesses:
            low, high = a.span
            assert a.run_bytes > 0 and a.n_runs > 0 and 0 <= low < high
            seen = base.get(a.storage, (low, high))
            base[a.storage] = min(seen[0], low), max(seen[1], high)
            top = max(top, high)
    assert stream.progress.allocator is not None
    assert top <= stream.progress.allocator.reserved_bytes


def total(trace: GeneratedTrace, label: str, is_write: bool) -> int:
    return sum(
        a.n_bytes
        for operation in trace.operations()
        for a in operation.accesses
        if a.tensor_class == label and a.is_write == is_write
    )


@settings(max_examples=80, deadline=None)
@given(model_configs(), SMALL, st.integers(1, 70), st.sampled_from(LAYOUTS), st.integers(1, 20))
def test_a_decode_step_of_any_model(m: ModelConfig, batch: int, context: int, kv: str, page_tokens: int) -> None:
    trace = decode(m, batch=batch, context=context, kv=kv, page_tokens=page_tokens)
    check_inside(trace)
    want = decode_bytes(m, batch, context)
    copied = batch * context * m.kv_bytes_per_token if kv == "cat" else 0
    assert total(trace, "kv", False) == want.kv_read + copied
    assert total(trace, "kv", True) == want.kv_written + copied
    if m.experts is None or m.experts.count == m.experts.top_k:
        read = total(trace, "weights", False) + total(trace, "embedding", False)
        assert read == want.weights + want.embedding


@settings(max_examples=40, deadline=None)
@given(model_configs(), SMALL, st.integers(1, 70), st.sampled_from([0, 33]), st.sampled_from(LAYOUTS))
def test_a_prefill_of_any_model(m: ModelConfig, batch: int, tokens: int, context: int, kv: str) -> None:
    trace = prefill(m, batch=batch, tokens=tokens, context=context, kv=kv)
    check_inside(trace)
    if kv == "static":
        assert total(trace, "kv", True) == batch * tokens * m.kv_bytes_per_token


@settings(max_examples=40, deadline=None)
@given(
    model_configs(), st.integers(1, 40), st.sampled_from(["none", "full"]), st.sampled_from(["none", "perfect"]),
    st.sampled_from(["adamw_fused", "adamw_eager", "sgd"]), st.integers(1, 2),
)  # fmt: skip
def test_a_training_step_of_any_model(
    m: ModelConfig, tokens: int, recompute: str, reuse: str, optimizer: str, micro_batches: int
) -> None:
    options = {"recompute": recompute, "reuse": reuse, "optimizer": optimizer, "micro_batches": micro_batches}
    trace = train_step(m, tokens=tokens, **options)  # type: ignore[arg-type]
    check_inside(trace)
    twice = 2 if m.tied_embedding else 1  # the table gets a gradient as head and as table
    head = m.vocab * m.hidden * (twice - 1)
    assert total(trace.select("backward"), "gradients", True) == micro_batches * 4 * (m.parameters + head)
    written = total(trace.select("optimizer"), "weights", True) + total(trace.select("optimizer"), "embedding", True)
    assert written == 2 * m.parameters


@settings(max_examples=60, deadline=None)
@given(
    model_configs(), st.integers(1, 30), st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(0, 3),
    st.integers(1, 3), st.sampled_from(["none", "full"]), st.sampled_from(["none", "perfect"]),
)  # fmt: skip
def test_a_shared_training_step_of_any_model(
    m: ModelConfig, tokens: int, tensor: int, stages: int, replicas: int, zero: int, micro_batches: int, recompute: str,
    reuse: str,
) -> None:  # fmt: skip
    """Whatever is divided: every stage's gradients cover its parameters in every pass, and all temporaries go."""
    options = {"tokens": tokens, "micro_batches": micro_batches, "recompute": recompute, "reuse": reuse}
    options |= {"tensor_parallel": tensor, "pipeline_parallel": stages, "data_parallel": replicas, "zero": zero}
    for stage in range(stages):
        try:
            trace = train_step(m, pipeline_stage=stage, **options)  # type: ignore[arg-type]
        except HbmArgumentError as error:
            assert "\n" not in str(error)
            return
        check_inside(trace)
        held = list(all_parameters(m, Parallel(tensor, 1, stages, stage)))
        elements = sum(p.elements for p in held)
        twice = sum(p.elements for p in held if p.name == "embedding" and m.tied_embedding and stages == 1)
        made = sum(
            a.n_bytes
            for op in trace.operations()
            for a in op.accesses
            if a.is_write and a.tensor_class == "gradients" and op.name.endswith((".wgrad", ".backward"))
        )
        assert made == micro_batches * (2 if zero >= 2 else 4) * (elements + twice)
        stream = trace.operations()
        for _ in stream:
            pass
        assert stream.progress.allocator is not None and trace.workload is not None
        resident = trace.workload["weight_bytes"] + trace.workload["state_bytes"]
        assert resident <= stream.progress.allocator.allocated_bytes <= resident + 512 * 5 * len(held)


@settings(max_examples=60, deadline=None)
@given(model_configs(), st.integers(1, 3), st.integers(1, 3))
def test_a_split_that_is_accepted_holds_the_model(m: ModelConfig, tensor: int, stages: int) -> None:
    try:
        for stage in range(stages):
            Parallel(tensor, 1, stages, stage).check(m)
    except HbmArgumentError as error:
        assert "\n" not in str(error)
        return
    held = sum(p.n_bytes for stage in range(stages) for p in all_parameters(m, Parallel(tensor, 1, stages, stage)))
    assert tensor * held >= m.weight_bytes
    check_inside(decode(m, tensor_parallel=tensor, context=5))


TOKENS = ["model", "batch", "context", "tokens", "=", ",", "llama-3.1-8b", "1", "-1", "1e3", "nan", "0x", "+", ""]
WORDS = st.sampled_from([*GENERATORS, *TOKENS])


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=12).map("".join)))
def test_any_line_is_a_workload_or_one_clear_error(text: str) -> None:
    try:
        assert isinstance(from_spec(text), GeneratedTrace)
    except HbmArgumentError as error:
        assert str(error) and len(str(error)) < 1500


FILE = (Path(hbmmodel.__file__).parent / "workload" / "models" / "gpt-oss-20b.toml").read_text(encoding="utf-8")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_damage_to_a_model_file_is_one_clear_error(tmp_path_factory: Any, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(FILE)))
    gone = data.draw(st.integers(0, 30))
    put = data.draw(st.one_of(st.text(max_size=8), st.sampled_from(["9" * 400, "nan", "inf", "-1", "[[", "'''"])))
    path = tmp_path_factory.getbasetemp() / "damaged.toml"
    path.write_bytes((FILE[:at] + put + FILE[at + gone :]).encode("utf-8", "surrogatepass"))
    try:
        model(str(path))
    except HbmArgumentError as error:
        assert str(error).startswith(str(path)) and len(str(error).splitlines()) == 1
    else:
        assert model(str(path)).parameters == pytest.approx(20.9e9, rel=0.003)
