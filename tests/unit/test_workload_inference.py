"""Inference moves the bytes that arithmetic demands."""

from __future__ import annotations

import time

import numpy as np
import pytest
from workload_cases import TINY, TINY_EXPERTS, TINY_LATENT, TINY_WINDOWED, by_class, spans_of

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.workload import (
    Experts,
    ModelConfig,
    decode,
    decode_bytes,
    expected_distinct,
    model,
    models,
    prefill,
    speculative,
)
from hbmmodel.workload.inference import accepted_tokens
from hbmmodel.workload.routing import SAMPLE_TOKENS, route

ALL = (TINY, TINY_EXPERTS, TINY_LATENT, TINY_WINDOWED)

# GB per token at 8,192 tokens of context, and the caches' share at batch 32: weights and reads of caches, the new
# token left out; arithmetic done once outside this code. V3 in fp8, gpt-oss with experts in MXFP4.
GB_PER_TOKEN = {
    "llama-3.1-8b": (16.084, 1.543, 0.70),
    "llama-3.1-70b": (141.690, 7.028, 0.38),
    "llama-3.1-405b": (811.732, 29.462, 0.14),
    "qwen2.5-72b": (145.605, 7.151, 0.38),
    "qwen3-8b": (16.345, 1.681, 0.72),
    "qwen3-32b": (66.116, 4.146, 0.52),
    "qwen3-30b-a3b": (6.889, 2.464, 0.33),
    "qwen3-235b-a22b": (44.714, 14.432, 0.11),
    "mixtral-8x7b": (26.571, 3.984, 0.27),
    "mixtral-8x22b": (79.799, 10.655, 0.18),
    "deepseek-v3": (37.201, 14.118, 0.04),
    "gpt-oss-20b": (3.911, 0.594, 0.34),
    "gpt-oss-120b": (5.308, 1.618, 0.19),
}


@pytest.mark.parametrize("name", GB_PER_TOKEN)
def test_the_closed_form_gives_the_published_table(name: str) -> None:
    one, thirty_two, share = GB_PER_TOKEN[name]
    assert decode_bytes(name).read / 1e9 == pytest.approx(one, rel=5e-4)
    many = decode_bytes(name, batch=32)
    # gpt-oss: biases of experts are bf16 here
    assert many.read / 32e9 == pytest.approx(thirty_two, rel=1e-3 if name.startswith("gpt") else 5e-4)
    assert many.kv_read / many.read == pytest.approx(share, abs=0.006)


@pytest.mark.parametrize("name", models())
@pytest.mark.parametrize("batch", [1, 32])
def test_the_generator_moves_what_the_closed_form_says(name: str, batch: int) -> None:
    found, want = by_class(decode(name, batch=batch)), decode_bytes(name, batch=batch)
    assert found["kv", "read"] == want.kv_read
    assert found["kv", "written"] == want.kv_written
    assert found["embedding", "read"] == want.embedding
    m = model(name)
    if m.experts is None or batch == 1:
        assert found["weights", "read"] == want.weights
        return
    # Experts are drawn: within five standard deviations of the mean over the layers. The variance of the number of
    # distinct experts of a layer is at most that of independent ones, E p (1 - p).
    layers = m.layers - m.experts.dense_layers
    each = sum(p.n_bytes for p in _expert_tensors(m)) / m.experts.count
    p = expected_distinct(m.experts.count, m.experts.top_k, batch) / m.experts.count
    deviation = (layers * m.experts.count * p * (1 - p)) ** 0.5 * each
    assert abs(found["weights", "read"] - want.weights) <= 5 * deviation


def _expert_tensors(m: ModelConfig) -> list:  # type: ignore[type-arg]
    from hbmmodel.workload.parameters import layer_parameters

    return [p for p in layer_parameters(m, m.layers - 1) if p.name.startswith("expert_")]


@pytest.mark.parametrize("skew", [0.0, 1.0])
@pytest.mark.parametrize("tokens", [1, 8, 64])
def test_distinct_experts_agree_with_their_expectation(skew: float, tokens: int) -> None:
    experts, rng = Experts(128, 8, 64), np.random.default_rng(5)
    distinct = np.array([np.count_nonzero(route(experts, tokens, skew, rng)) for _ in range(400)])
    want = expected_distinct(128, 8, tokens)
    if skew and tokens > 1:
        assert distinct.mean() < 0.95 * want  # uneven routing meets fewer
    else:
        assert abs(distinct.mean() - want) <= 5 * max(distinct.std(), 1e-9) / 20
        assert tokens > 1 or (distinct == 8).all()


def test_every_token_gets_its_experts_whatever_the_batch() -> None:
    experts, rng = Experts(16, 4, 64), np.random.default_rng(1)
    for tokens in (1, 100, SAMPLE_TOKENS, 10 * SAMPLE_TOKENS):
        counts = route(experts, tokens, 0.7, rng)
        assert counts.sum() == pytest.approx(4 * tokens)
        assert counts.max() <= tokens
    assert (route(Experts(4, 4, 64), 9, 0.0, rng) == 9).all()


@pytest.mark.parametrize("kv", ["paged", "static", "cat"])
@pytest.mark.parametrize("m", ALL, ids=lambda m: m.name)
def test_layouts_differ_in_places_and_copies_only(m: ModelConfig, kv: str) -> None:
    want = decode_bytes(m, batch=3, context=100)
    found = by_class(decode(m, batch=3, context=100, kv=kv))
    copied = 3 * 100 * m.kv_bytes_per_token if kv == "cat" else 0
    assert found["kv", "read"] == want.kv_read + copied
    assert found["kv", "written"] == want.kv_written + copied


def test_a_cache_that_is_copied_triples_its_traffic() -> None:
    paged, copied = (by_class(decode("llama-3.1-8b", kv=kv)) for kv in ("paged", "cat"))
    total = [found["kv", "read"] + found["kv", "written"] for found in (paged, copied)]
    assert total[1] / total[0] == pytest.approx(3.0, rel=1e-3)
    assert paged["kv", "written"] == 131_072


@pytest.mark.parametrize("m", ALL, ids=lambda m: m.name)
@pytest.mark.parametrize("kv", ["paged", "static", "cat"])
@pytest.mark.parametrize("context", [0, 1, 15, 16, 17, 47, 48, 49, 200])
def test_every_step_attends_to_all_tokens_or_to_the_window(m: ModelConfig, kv: str, context: int) -> None:
    trace = decode(m, batch=2, context=context, steps=3, kv=kv, page_tokens=16)
    per_layer = m.kv_bytes_per_token // m.layers
    for step in range(3):
        seen = [min(context + step + 1, m.window(i) or 1 << 30) for i in range(m.layers)]
        operations = [op for op in trace.select(f"decode{step}").operations() if op.name == "attention"]
        read = [sum(a.n_bytes for a in op.accesses if a.tensor_class == "kv") for op in operations]
        if context + step == 0:
            assert read == [0] * m.layers  # the first token's keys and values have just been made
        else:
            assert read == [2 * per_layer * n for n in seen]


@pytest.mark.parametrize("m", ALL, ids=lambda m: m.name)
@pytest.mark.parametrize("kv", ["paged", "static"])
def test_a_step_reads_what_earlier_ones_stored(m: ModelConfig, kv: str) -> None:
    """Bytes that prefill and three steps store are all read by the next step, unless a window has passed them."""
    trace = decode(m, batch=2, context=20, steps=4, kv=kv, page_tokens=8)

    def places(phase: str, is_write: bool) -> set[int]:
        found: set[int] = set()
        for operation in trace.select(phase).operations():
            for a in operation.accesses:
                if a.tensor_class == "kv" and a.is_write == is_write:
                    starts = [0] if a.row_offsets is None else a.row_offsets.tolist()
                    for count, stride in a.dims:
                        starts = [s + k * stride for s in starts for k in range(count)]
                    for start in starts:
                        found.update(range(a.base_address + start, a.base_address + start + a.run_bytes))
        return found

    written = [places(f"decode{i}", True) for i in range(4)]
    assert all(not a & b for i, a in enumerate(written) for b in written[:i])
    assert set().union(*written[:3]) <= places("decode3", False)


@pytest.mark.parametrize("m", ALL, ids=lambda m: m.name)
@pytest.mark.parametrize(
    "make",
    [
        lambda m: decode(m, batch=3, context=30, steps=2),
        lambda m: prefill(m, batch=3, tokens=70),
        lambda m: prefill(m, batch=3, tokens=70, context=64, kv="static"),
        lambda m: speculative(TINY, m, context=30),
    ],
    ids=["decode", "prefill", "chunk", "speculative"],
)
def test_accesses_stay_inside_their_storages_and_passes_are_alike(m: ModelConfig, make) -> None:  # type: ignore[no-untyped-def]
    trace = make(m)
    lowest: dict[int, int] = {}
    first = spans_of(trace)
    stream = trace.operations()
    for _ in stream:
        pass
    assert stream.progress.allocator is not None
    end = stream.progress.allocator.reserved_bytes
    for storage, low, high in first:
        lowest[storage] = min(low, lowest.get(storage, low))
        assert 0 <= low < high <= end
    assert spans_of(make(m)) == first == spans_of(trace)
    assert make(m).content_hash() == trace.content_hash()
    assert trace.content_hash() != decode(m, batch=2, context=30).content_hash()


def test_prefill_reads_weights_once_and_stores_every_token() -> None:
    for m in ALL:
        found = by_class(prefill(m, batch=2, tokens=100))
        kept = [min(100, (m.window(i) or 1 << 30) + 100 + 16) for i in range(m.layers)]
        assert found["kv", "written"] == sum(2 * n * m.kv_bytes_per_token // m.layers for n in kept)
        assert found["kv", "read"] == 0
        dense = sum(
            n for name, n in m.parameter_counts().items() if name != "embedding" and not name.startswith("expert")
        )
        assert found["weights", "read"] >= 2 * dense
    chunk = by_class(prefill(TINY, batch=2, tokens=50, context=50))
    assert chunk["kv", "read"] == 2 * 100 * TINY.kv_bytes_per_token


def test_tensor_parallel_devices_share_weights_and_caches() -> None:
    whole, part = (by_class(decode("llama-3.1-70b", batch=16, tensor_parallel=t)) for t in (1, 8))
    assert part["weights", "read"] == pytest.approx(whole["weights", "read"] / 8, rel=1e-3)  # norms are repeated
    assert part["kv", "read"] == whole["kv", "read"] // 8
    sixteen = by_class(decode("llama-3.1-70b", batch=16, tensor_parallel=16))
    assert sixteen["kv", "read"] == part["kv", "read"]  # eight KV heads on sixteen devices: each has one
    latent = [by_class(decode("deepseek-v3", tensor_parallel=t))["kv", "read"] for t in (1, 8)]
    assert latent[0] == latent[1]  # the latent serves all heads


def test_popular_experts_stay_popular_from_step_to_step() -> None:
    def busy(skew: float) -> list[set[int]]:
        small = model("mixtral-8x7b").replace(layers=2)
        found: list[set[int]] = []
        for op in decode(small, context=16, steps=8, skew=skew).operations():
            if op.name == "expert_down":
                chosen = [a for a in op.accesses if a.row_offsets is not None]
                found += [set((a.row_offsets // a.run_bytes).tolist()) for a in chosen]  # type: ignore[operator]
        return found[::2]  # the first layer's

    assert len(set(map(frozenset, busy(16.0)))) == 1
    assert len(set(map(frozenset, busy(0.0)))) > 2


def test_expert_parallel_devices_hold_whole_experts() -> None:
    trace = decode("deepseek-v3", batch=16, expert_parallel=8)
    assert trace.workload is not None
    assert (trace.workload["devices_alike"], trace.workload["tokens"]) == (8, 128)
    assert trace.workload["weight_bytes"] < model("deepseek-v3").weight_bytes / 8 * 1.25
    names = [op.name for op in trace.operations()]
    assert names.count("all_to_all") == 2 * 58
    together = decode("deepseek-v3", batch=16, tensor_parallel=8, expert_parallel=8)
    assert together.workload is not None and together.workload["tokens"] == 16


def test_stages_of_a_pipeline_divide_the_layers() -> None:
    whole = by_class(decode("llama-3.1-8b"))
    parts = [by_class(decode("llama-3.1-8b", pipeline_parallel=4, pipeline_stage=i)) for i in range(4)]
    for key in (("weights", "read"), ("kv", "read"), ("kv", "written"), ("embedding", "read")):
        assert sum(part.get(key, 0) for part in parts) == whole[key]


def test_number_formats_change_bytes_in_proportion() -> None:
    bf16, fp8 = by_class(decode(TINY)), by_class(decode(TINY, dtype="fp8", kv_dtype="fp8"))
    assert bf16["weights", "read"] == 2 * fp8["weights", "read"]
    assert bf16["kv", "read"] == 2 * fp8["kv", "read"]
    m = model("gpt-oss-20b")
    assert by_class(decode(m, dtype="bf16"))["weights", "read"] > by_class(decode(m))["weights", "read"]


def test_speculation_reads_the_target_once_for_several_tokens() -> None:
    trace = speculative("llama-3.1-8b", "llama-3.1-70b", guesses=4, acceptance=0.7)
    draft, verify = (by_class(trace, phase) for phase in ("draft", "verify"))
    assert draft["weights", "read"] == 4 * by_class(decode("llama-3.1-8b"))["weights", "read"]
    assert verify["weights", "read"] == by_class(decode("llama-3.1-70b"))["weights", "read"]
    assert verify["kv", "written"] == 5 * 327_680
    assert trace.workload is not None and trace.workload["tokens"] == pytest.approx((1 - 0.7**5) / 0.3)
    assert accepted_tokens(3, 0.0) == 1.0


def test_the_largest_model_is_generated_in_half_a_second() -> None:
    start = time.perf_counter()
    assert sum(1 for _ in decode("llama-3.1-405b", batch=32, tensor_parallel=8).operations()) == 1390
    assert time.perf_counter() - start < 0.5


def test_phases_are_selected_and_unknown_ones_named() -> None:
    trace = decode(TINY, steps=2)
    assert {op.phase for op in trace.select("decode1").operations()} == {"decode1"}
    with pytest.raises(HbmTraceError, match="its phases are: decode0, decode1"):
        list(trace.select("prefill").operations())
    with pytest.raises(HbmTraceError, match="not selected"):
        trace.select("decode0").select("decode1")



@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch": 0}, "batch is 0"),
        ({"batch": True}, "batch is True"),
        ({"batch": 1.0}, "batch is 1.0"),
        ({"batch": 10**400}, "batch is beyond 64 bits"),
        ({"context": -1}, "context is -1"),
        ({"context": float("nan")}, "context is nan"),
        ({"kv": "pages"}, "kv is 'pages'; choose one of paged, static, cat"),
        ({"kv": ["paged"]}, "kv is"),
        ({"dtype": "fp7"}, "dtype is 'fp7'"),
        ({"skew": float("inf")}, "skew is inf"),
        ({"seed": -1}, "seed is -1"),
        ({"steps": 0}, "steps is 0"),
        ({"fusion": "eager", "tensor_parallel": 2}, "no plain Llama on one device"),
        ({"context": 1 << 40, "page_tokens": 1}, "pages can be listed"),
        ({"batch": 1 << 20, "context": 1 << 20}, "pages can be listed"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(HbmArgumentError) as error:
        decode(TINY, **options)  # type: ignore[arg-type]
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_long_context_needs_no_list_of_pages_when_it_is_static() -> None:
    found = by_class(decode(TINY, context=1 << 36, kv="static"))
    assert found["kv", "read"] == ((1 << 36) + 1) * TINY.kv_bytes_per_token
