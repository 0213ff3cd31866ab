"""Training on several devices: what each holds and moves, what they send each other, and that nothing is lost."""

from __future__ import annotations

from collections import Counter

import pytest
from workload_cases import TINY, TINY_EXPERTS, TINY_LATENT, TINY_WINDOWED, by_class

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.allocator import CachingAllocator
from hbmmodel.workload import ModelConfig, metrics, model, train_step
from hbmmodel.workload.program import GeneratedTrace

ALL = (TINY, TINY_EXPERTS, TINY_LATENT, TINY_WINDOWED)
TIED = TINY.replace(name="tiny-tied", tied_embedding=True)
T = 64
COLLECTIVES = ("all_gather", "all_reduce", "all_to_all", "recv", "reduce_scatter", "send")


def sent(trace: GeneratedTrace, phase: str = "") -> dict[tuple[str, str], tuple[int, int, int]]:
    """(collective, tensor class) -> operations, bytes read, bytes written."""
    found: dict[tuple[str, str], tuple[int, int, int]] = {}
    for op in trace.operations():
        if op.name in COLLECTIVES and (not phase or op.phase == phase):
            label = op.accesses[0].tensor_class
            label = "weights" if label == "embedding" else label
            n, read, written = found.get((op.name, label), (0, 0, 0))
            found[op.name, label] = (n + 1, read + op.bytes_read, written + op.bytes_written)
    return found


def allocator(trace: GeneratedTrace) -> CachingAllocator:
    stream = trace.operations()
    for _ in stream:
        pass
    assert stream.progress.allocator is not None
    return stream.progress.allocator


# ---- ZeRO ----


@pytest.mark.parametrize(("stage", "gigabytes"), [(0, 120.0), (1, 31.4), (2, 16.6), (3, 1.9)])
def test_resident_states_are_those_of_the_zero_paper(stage: int, gigabytes: float) -> None:
    """Its figure 1: 7.5 x 10^9 parameters, 64 devices, bf16 gradients where ours are fp32."""
    m = model("llama-3.1-8b")
    facts = train_step(m, data_parallel=64, zero=stage).workload
    assert facts is not None
    share = 64 if stage >= 2 else 1
    ours = (facts["weight_bytes"] + facts["state_bytes"]) / m.parameters - 2 / share
    assert ours * 7.5 == pytest.approx(gigabytes, abs=0.05)


@pytest.mark.parametrize("stage", range(4))
def test_a_stage_moves_what_its_closed_form_says(stage: int) -> None:
    devices, passes = 4, 3
    options = {"tokens": T, "micro_batches": passes, "reuse": "perfect"}
    one = train_step(TINY, **options)  # type: ignore[arg-type]
    many = train_step(TINY, data_parallel=devices, zero=stage, **options)  # type: ignore[arg-type]
    p, part = TINY.parameters, TINY.parameters // devices
    found = sent(many)
    gathered = (2 * part, 2 * p)
    if stage == 0:
        assert found["all_reduce", "gradients"][1:] == (4 * p, 4 * p)
    elif stage == 1:
        assert found["reduce_scatter", "gradients"][1:] == (4 * p, 4 * part)
    else:  # bf16 in every pass, added to the own fp32 part
        assert found["reduce_scatter", "gradients"][1:] == (passes * (2 * p + 4 * part), passes * 4 * part)
    if stage in (1, 2):
        assert found["all_gather", "weights"][1:] == gathered
    elif stage == 3:
        table = TINY.vocab * TINY.hidden  # the backward pass writes its gradient and does not need it
        once = 4 * p - 2 * table
        assert found["all_gather", "weights"][1:] == (passes * once // devices, passes * once)
    # the update is that of the own part
    apart, whole = by_class(many, "optimizer"), by_class(one, "optimizer")
    for key in (("gradients", "read"), ("optimizer", "read"), ("optimizer", "written")):
        assert apart[key] * (devices if stage else 1) == whole[key]
    # kernels read the same weights, and the same activations pass
    for phase in ("forward", "backward"):
        for key in (("weights", "read"), ("embedding", "read"), ("activations", "read"), ("activations", "written")):
            assert kernels(many, phase)[key] == kernels(one, phase)[key]


def kernels(trace: GeneratedTrace, phase: str) -> Counter[tuple[str, str]]:
    """Bytes by (tensor class, "read" or "written") of what is not a collective."""
    found: Counter[tuple[str, str]] = Counter()
    for op in trace.operations():
        if op.phase == phase and op.name not in COLLECTIVES:
            for a in op.accesses:
                found[a.tensor_class, "written" if a.is_write else "read"] += a.n_bytes
    return found


@pytest.mark.parametrize("m", [*ALL, TIED], ids=lambda m: m.name)
def test_what_a_stage_holds_is_what_it_is_said_to_hold(m: ModelConfig) -> None:
    """After a step, memory holds weights and states; what was gathered or not yet shared is gone."""
    held = []
    for stage in range(4):
        trace = train_step(m, tokens=T, micro_batches=2, data_parallel=8, zero=stage)
        assert trace.workload is not None
        resident = trace.workload["weight_bytes"] + trace.workload["state_bytes"]
        found = allocator(trace)
        tensors = 5 * len({(p.layer, p.name) for p in _parameters(m)})
        assert resident <= found.allocated_bytes <= resident + 512 * tensors
        held.append(resident)
    assert held == sorted(held, reverse=True) and len(set(held)) == 4


def _parameters(m: ModelConfig) -> list:  # type: ignore[type-arg]
    from hbmmodel.workload.parameters import all_parameters

    return list(all_parameters(m))


@pytest.mark.parametrize("m", [*ALL, TIED], ids=lambda m: m.name)
@pytest.mark.parametrize("stage", range(4))
def test_every_gradient_is_shared_before_the_update(m: ModelConfig, stage: int) -> None:
    trace = train_step(m, tokens=T, data_parallel=2, zero=stage)
    shared: Counter[int] = Counter()
    for op in trace.operations():
        if op.name in ("all_reduce", "reduce_scatter"):
            shared.update({a.storage for a in op.accesses if a.is_write})
        elif op.phase == "optimizer":
            assert all(a.storage in shared for a in op.accesses if a.tensor_class == "gradients")
    assert len(shared) == len(_parameters(m)) and set(shared.values()) == {1}


# ---- pipeline ----


@pytest.mark.parametrize("m", [*ALL, TIED], ids=lambda m: m.name)
@pytest.mark.parametrize("stages", [1, 2])
def test_stages_do_everything_once(m: ModelConfig, stages: int) -> None:
    whole = Counter(op.name for op in train_step(m, tokens=T, micro_batches=3).operations())
    apart: Counter[str] = Counter()
    for stage in range(stages):
        trace = train_step(m, tokens=T, micro_batches=3, pipeline_parallel=stages, pipeline_stage=stage)
        apart.update(op.name for op in trace.operations())
    handed = {name: apart.pop(name) for name in list(apart) if name in COLLECTIVES}
    if m is TIED and stages == 2:  # both ends hold and update the table
        assert handed.pop("all_reduce") == 2
        apart["adamw_fused"] -= 1
    assert handed == ({"send": 3 * 2, "recv": 3 * 2} if stages == 2 else {})
    assert apart == whole


@pytest.mark.parametrize("reuse", ["none", "perfect"])
@pytest.mark.parametrize("recompute", ["none", "full"])
def test_what_a_stage_sends_the_next_one_receives(reuse: str, recompute: str) -> None:
    n = T * TINY.hidden * 2
    options = {"tokens": T, "micro_batches": 4, "pipeline_parallel": 2, "reuse": reuse, "recompute": recompute}
    first, last = (train_step(TINY, pipeline_stage=s, **options) for s in (0, 1))  # type: ignore[arg-type]
    assert sent(first)["send", "activations"] == sent(last)["send", "activations"] == (4, 4 * n, 0)
    assert sent(first)["recv", "activations"] == sent(last)["recv", "activations"] == (4, 0, 4 * n)
    # what is sent was written by a kernel, what arrives is read by one
    for trace in (first, last):
        touched: dict[bool, set[int]] = {False: set(), True: set()}
        for op in trace.operations():
            for a in op.accesses:
                if op.name not in ("send", "recv"):
                    touched[a.is_write].add(a.storage)
        for op in trace.operations():
            if op.name in ("send", "recv"):
                assert op.accesses[0].storage in touched[op.name == "send"]


@pytest.mark.parametrize(("schedule", "in_flight"), [("1f1b", (4, 3, 2, 1)), ("gpipe", (6, 6, 6, 6))])
def test_a_schedule_decides_how_many_micro_batches_are_in_flight(schedule: str, in_flight: tuple[int, ...]) -> None:
    m = TINY.replace(layers=8)
    for stage, most in enumerate(in_flight):
        trace = train_step(
            m, tokens=T, micro_batches=6, pipeline_parallel=4, pipeline_stage=stage, pipeline_schedule=schedule
        )
        begun, seen, order = 0, 0, []
        for op in trace.operations():
            order.append(op.phase)
            begun += op.name == ("embedding" if stage == 0 else "recv") and op.phase == "forward"
            begun -= op.name == ("embedding.wgrad" if stage == 0 else "send") and op.phase == "backward"
            seen = max(seen, begun)
        assert (seen, begun) == (most, 0)
        assert order[-1] == "optimizer"


def test_a_pipeline_keeps_activations_of_all_micro_batches_in_flight() -> None:
    m, peaks = TINY.replace(layers=8), {}
    for schedule in ("1f1b", "gpipe"):
        found = allocator(train_step(m, tokens=1024, micro_batches=8, pipeline_parallel=4, pipeline_schedule=schedule))
        peaks[schedule] = found.peak_bytes - found.allocated_bytes
    kept = 2 * 1024 * 2 * (6 * 256 + 2 * 64 + 3 * 512)  # two layers' activations of a micro-batch
    assert 4 * kept <= peaks["1f1b"] <= 5.5 * kept
    assert peaks["gpipe"] - peaks["1f1b"] == pytest.approx(4 * kept, rel=0.25)


# ---- tensors and experts ----


@pytest.mark.parametrize("m", [*ALL, TIED], ids=lambda m: m.name)
def test_devices_sum_activations_twice_per_layer_and_direction(m: ModelConfig) -> None:
    trace = train_step(m, tokens=T, tensor_parallel=2)
    n = T * m.hidden * 2
    forward, backward = (sent(trace, phase)["all_reduce", "activations"] for phase in ("forward", "backward"))
    assert forward[0] == 2 * m.layers + 1 and forward[2] == forward[0] * n
    assert backward[0] == 2 * m.layers + 1 and backward[2] >= (m.layers + 1) * n


def test_experts_exchange_rows_forward_and_backward() -> None:
    m, e = TINY_EXPERTS, TINY_EXPERTS.experts
    assert e is not None
    trace = train_step(m, tokens=T, expert_parallel=4, data_parallel=4)
    rows = T * e.top_k * m.hidden * 2
    layers = m.layers - e.dense_layers
    forward, backward = (sent(trace, phase)["all_to_all", "activations"] for phase in ("forward", "backward"))
    assert forward[0] == backward[0] == 2 * layers
    assert forward[2] == layers * 2 * rows  # they arrive, and their results come back
    assert backward[1] == layers * (2 * rows + T * m.hidden * 2)  # added to the shared expert's gradient
    # a device holds and updates a quarter of the experts, and all of the rest
    whole = train_step(m, tokens=T)
    counts = m.parameter_counts()
    experts = sum(n for name, n in counts.items() if name.startswith("expert_"))
    assert trace.workload is not None and whole.workload is not None
    assert whole.workload["weight_bytes"] - trace.workload["weight_bytes"] == 2 * (experts - experts // 4)
    # gradients of experts are complete on their device, those of the rest are summed over all
    assert sent(trace)["all_reduce", "gradients"][1] == 4 * (m.parameters - experts)


def test_experts_are_divided_by_zero_over_the_devices_that_hold_the_same() -> None:
    m = TINY_EXPERTS
    experts = sum(n for name, n in m.parameter_counts().items() if name.startswith("expert_"))
    trace = train_step(m, tokens=T, expert_parallel=4, data_parallel=8, zero=1)
    want = 4 * (experts // 4 / 2 + (m.parameters - experts) / 8)
    states = by_class(trace, "optimizer")["gradients", "read"]
    assert states == pytest.approx(want, rel=0.01)


@pytest.mark.parametrize("m", ALL, ids=lambda m: m.name)
@pytest.mark.parametrize("reuse", ["none", "perfect"])
def test_all_splits_together_make_sense(m: ModelConfig, reuse: str) -> None:
    options: dict[str, object] = {"tokens": T, "micro_batches": 2, "tensor_parallel": 2, "pipeline_parallel": 2}
    options |= {"data_parallel": 4, "zero": 3, "recompute": "full", "reuse": reuse}
    if m.experts is not None:
        options["expert_parallel"] = 4
    for stage in (0, 1):
        trace = train_step(m, pipeline_stage=stage, **options)  # type: ignore[arg-type]
        found = allocator(trace)
        high = max(a.span[1] for op in trace.operations() for a in op.accesses)
        assert high <= found.reserved_bytes
        assert trace.workload is not None
        resident = trace.workload["weight_bytes"] + trace.workload["state_bytes"]
        assert resident <= found.allocated_bytes <= resident + 512 * 5 * len(_parameters(m))


def test_energy_and_tokens_are_those_of_all_replicas() -> None:
    system = hbm.System(hbm.device("HBM4_8000"))
    trace = train_step(TINY, tokens=32, data_parallel=4, tensor_parallel=2, zero=2)
    run = hbm.simulate(system, trace)
    m = metrics(run)
    assert (m.devices, m.tokens) == (8, 32 * 4)
    assert m.energy_j == pytest.approx(8e-12 * run.summary["energy_pj"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"zero": 1}, "data_parallel is 1, so nobody shares"),
        ({"zero": 4, "data_parallel": 2}, "zero is 4"),
        ({"zero": -1}, "zero is -1"),
        ({"zero": True}, "zero is True"),
        ({"data_parallel": 0}, "data_parallel is 0"),
        ({"pipeline_stage": 1}, "pipeline_stage is 1"),
        ({"pipeline_parallel": 3}, "pipeline_parallel is 3; tiny has 2 layers"),
        ({"pipeline_schedule": "dualpipe"}, "pipeline_schedule is 'dualpipe'"),
        ({"expert_parallel": 2}, "has no experts"),
        ({"fusion": "eager"}, "fusion is 'eager', which is a plain bf16 step"),
        ({"fusion": "eager", "precision": "bf16", "reuse": "perfect"}, "fusion is 'eager'"),
        ({"fusion": "eager", "precision": "bf16", "tensor_parallel": 2}, "no plain Llama on one device"),
        ({"fusion": "lazy"}, "fusion is 'lazy'"),
    ],
)
def test_splits_that_make_no_sense_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(HbmArgumentError) as error:
        train_step(TINY, **options)  # type: ignore[arg-type]
    assert told in str(error.value) and "\n" not in str(error.value)


def test_experts_beyond_a_replica_need_replicas() -> None:
    with pytest.raises(HbmArgumentError, match="data_parallel is 1; 4 devices share experts, 2 share a replica"):
        train_step(TINY_EXPERTS, tensor_parallel=2, expert_parallel=4)
