"""Training moves at least what arithmetic demands, and exactly that when reuse is perfect."""

from __future__ import annotations

import pytest
from workload_cases import TINY, TINY_EXPERTS, TINY_LATENT, TINY_WINDOWED, by_class, spans_of

from hbmmodel.errors import HbmArgumentError
from hbmmodel.workload import model, train_bytes, train_step

ALL = (TINY, TINY_EXPERTS, TINY_LATENT, TINY_WINDOWED)

# TB: weights, gradients, optimizer, activations, logits, total; arithmetic done once outside this code.
TERABYTES = {
    ("llama-3.1-8b", 1, 4096): (0.032, 0.064, 0.241, 0.037, 0.006, 0.38),
    ("llama-3.1-8b", 16, 8192): (0.514, 1.03, 0.241, 1.17, 0.20, 3.15),
    ("llama-3.1-70b", 1, 4096): (0.28, 0.56, 2.12, 0.18, 0.006, 3.15),
    ("llama-3.1-70b", 16, 8192): (4.5, 9.0, 2.1, 5.8, 0.20, 21.6),
    ("llama-3.1-405b", 16, 8192): (26, 52, 12.2, 17, 0.20, 107),
}


@pytest.mark.parametrize("case", TERABYTES, ids=str)
def test_the_closed_form_gives_the_published_table(case: tuple[str, int, int]) -> None:
    name, micro_batches, tokens = case
    found = train_bytes(name, tokens=tokens, micro_batches=micro_batches)
    for ours, theirs in zip((*found, found.total), TERABYTES[case], strict=True):
        # half a unit of the last digit that the table prints
        text = f"{theirs:g}"
        digit = 10.0 ** -(len(text.partition(".")[2]))
        assert abs(ours / 1e12 - theirs) <= 0.51 * digit, (ours, theirs)


@pytest.mark.parametrize("case", TERABYTES, ids=str)
def test_the_generator_moves_what_the_closed_form_says(case: tuple[str, int, int]) -> None:
    name, micro_batches, tokens = case
    m, want = model(name), train_bytes(name, tokens=tokens, micro_batches=micro_batches)
    trace = train_step(name, tokens=tokens, micro_batches=micro_batches, reuse="perfect")
    passes: dict[tuple[str, str], int] = {}
    for phase in ("forward", "backward"):
        for key, n in by_class(trace, phase).items():
            passes[key] = passes.get(key, 0) + n
    table = m.vocab * m.hidden
    # the closed form counts the embedding table as read whole; its rows are
    assert passes["weights", "read"] == want.weights - micro_batches * 4 * table
    rows = micro_batches * tokens * m.hidden * 2
    assert passes["embedding", "read"] == rows
    assert passes["gradients", "read"] + passes["gradients", "written"] == want.gradients
    assert sum(by_class(trace, "optimizer").values()) == want.optimizer
    # besides: tokens, the embedding's and the last norm's output
    assert passes["activations", "read"] + passes["activations", "written"] == pytest.approx(
        want.activations + want.logits, rel=0.01
    )


@pytest.mark.parametrize("m", ALL, ids=lambda m: m.name)
def test_recomputing_reads_weights_again_and_keeps_less(m) -> None:  # type: ignore[no-untyped-def]
    kept, again = (train_step(m, tokens=64, recompute=r, reuse="perfect") for r in ("none", "full"))
    dense = 2 * (m.parameters - 2 * m.vocab * m.hidden - m.hidden)
    ours = by_class(again)["weights", "read"] - by_class(kept)["weights", "read"]
    assert ours == dense
    peaks = []
    for trace in (kept, again):
        stream = trace.operations()
        for _ in stream:
            pass
        assert stream.progress.allocator is not None
        peaks.append(stream.progress.allocator.peak_bytes)
    assert peaks[1] <= peaks[0]


@pytest.mark.parametrize("m", ALL, ids=lambda m: m.name)
@pytest.mark.parametrize("recompute", ["none", "full"])
def test_perfect_reuse_is_a_lower_bound_and_reads_kept_activations_once(m, recompute: str) -> None:  # type: ignore[no-untyped-def]
    bound, all_moves = (train_step(m, tokens=64, recompute=recompute, reuse=r) for r in ("perfect", "none"))
    low, high = by_class(bound), by_class(all_moves)
    for key, n in low.items():
        assert n <= high[key]
        if key[0] != "activations":
            assert n == high[key]


@pytest.mark.parametrize("m", ALL, ids=lambda m: m.name)
@pytest.mark.parametrize("optimizer", ["adamw_fused", "adamw_eager", "sgd"])
def test_every_parameter_gets_a_gradient_and_an_update(m, optimizer: str) -> None:  # type: ignore[no-untyped-def]
    trace = train_step(m, tokens=32, optimizer=optimizer)
    gradients: dict[str, set[int]] = {"forward": set(), "backward": set(), "optimizer": set()}
    updated: set[int] = set()
    for op in trace.operations():
        for a in op.accesses:
            if a.tensor_class == "gradients":
                gradients[op.phase].add(a.storage)
            if a.is_write and a.tensor_class in ("weights", "embedding"):
                assert op.phase == "optimizer"
                updated.add(a.storage)
    count = len({(p.layer, p.name) for p in _parameters(m)})
    assert not gradients["forward"]
    assert gradients["backward"] == gradients["optimizer"] and len(gradients["backward"]) == len(updated) == count
    assert by_class(trace, "backward")["gradients", "written"] == 4 * m.parameters


def _parameters(m) -> list:  # type: ignore[no-untyped-def, type-arg]
    from hbmmodel.workload.parameters import all_parameters

    return list(all_parameters(m))


@pytest.mark.parametrize("m", ALL, ids=lambda m: m.name)
def test_all_that_is_placed_during_a_step_is_freed(m) -> None:  # type: ignore[no-untyped-def]
    """Two micro-batches need no more room than one, but for what lies elsewhere in the segments."""
    one, two = (train_step(m, tokens=64, micro_batches=n).operations() for n in (1, 2))
    live = []
    for stream in (one, two):
        for _ in stream:
            pass
        assert stream.progress.allocator is not None
        live.append((stream.progress.allocator.allocated_bytes, stream.progress.allocator.peak_bytes))
    assert live[0] == live[1]


def test_accesses_stay_inside_the_memory_and_passes_are_alike() -> None:
    trace = train_step(TINY, tokens=64, recompute="full")
    stream = trace.operations()
    for _ in stream:
        pass
    assert stream.progress.allocator is not None
    assert max(high for _, _, high in spans_of(trace)) <= stream.progress.allocator.reserved_bytes
    assert spans_of(trace) == spans_of(train_step(TINY, tokens=64, recompute="full"))


def test_resident_states_are_sixteen_bytes_per_parameter_with_fp32_gradients() -> None:
    facts = train_step("llama-3.1-8b").workload
    assert facts is not None
    assert facts["weight_bytes"] + facts["state_bytes"] == 18 * facts["parameters"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tokens": 0}, "tokens is 0"),
        ({"optimizer": "adam"}, "optimizer is 'adam'"),
        ({"precision": "bf16", "micro_batches": 2}, "does not accumulate"),
        ({"first_step": 1}, "first_step is"),
        ({"batch": 1 << 20, "tokens": 1 << 20}, "come at once"),
        ({"tensor_parallel": 3}, "tensor_parallel is 3"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(HbmArgumentError) as error:
        train_step(TINY, **options)  # type: ignore[arg-type]
    assert told in str(error.value)
