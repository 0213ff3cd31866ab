"""Metrics add up to the run they are about, and follow their definitions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workload_cases import TINY, TINY_EXPERTS, by_class

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.workload import capacity, decode, dlrm, metrics, synthetic, train_step
from hbmmodel.workload.attribution import time_shares

SYSTEM = hbm.System(hbm.device("HBM4_8000"))


@pytest.fixture(scope="module")
def run() -> hbm.Result:
    return hbm.simulate(SYSTEM, decode(TINY_EXPERTS, batch=4, context=300, steps=2, tensor_parallel=2))


def test_bytes_by_class_are_those_of_the_trace(run: hbm.Result) -> None:
    m = metrics(run)
    want = by_class(decode(TINY_EXPERTS, batch=4, context=300, steps=2, tensor_parallel=2))
    for label, share in m.classes.items():
        assert (share.bytes_read, share.bytes_written) == (want[label, "read"], want[label, "written"])
    assert {label for label, _ in want} == set(m.classes)
    per_token = sum(m.bytes_per_token.values())
    assert per_token == pytest.approx(sum(want.values()) * 2 / 8)  # two devices alike, four sequences, two steps


def test_times_add_up_to_the_run(run: hbm.Result) -> None:
    m = metrics(run)
    end = float(run.operations["end_ns"].max())
    assert sum(share.time_ns for share in m.classes.values()) == pytest.approx(end)
    assert sum(share.time_ns for share in m.phases.values()) == pytest.approx(end)
    assert list(m.phases) == ["decode0", "decode1"]
    moved = run.summary["bytes_read"] + run.summary["bytes_written"]
    assert sum(share.n_bytes for share in m.phases.values()) == moved
    for share in m.phases.values():
        assert share.fraction_of_peak == pytest.approx(share.n_bytes / share.time_ns / SYSTEM.peak_gb_per_s)


def test_tokens_and_energy_follow_their_definitions(run: hbm.Result) -> None:
    m, s = metrics(run), run.summary
    assert (m.tokens, m.steps, m.devices, m.unit) == (8, 2, 2, "token")
    assert m.time_per_token_ns == s["time_ns"] / 8 and m.time_per_step_ns == s["time_ns"] / 2
    assert m.tokens_per_s == pytest.approx(8e9 / s["time_ns"])
    assert m.energy_j == pytest.approx(2e-12 * s["energy_pj"])
    assert m.energy_j_per_token == pytest.approx(m.energy_j / 8)
    assert m.energy_j_per_step_per_100b_parameters is None


def test_a_training_step_has_an_energy_per_100_billion_parameters() -> None:
    run = hbm.simulate(SYSTEM, train_step(TINY, tokens=32))
    m = metrics(run)
    want = run.summary["energy_pj"] * 1e-12 / TINY.parameters * 1e11
    assert m.energy_j_per_step_per_100b_parameters == pytest.approx(want)
    assert set(m.classes) == {"weights", "activations", "gradients", "optimizer", "embedding"}
    assert list(m.phases) == ["forward", "backward", "optimizer"]


def test_a_saved_result_has_the_same_metrics(run: hbm.Result, tmp_path: Path) -> None:
    assert metrics(hbm.Result.load(run.save(tmp_path / "run"))) == metrics(run)


def test_capacity_is_what_weights_and_states_leave() -> None:
    facts = decode("llama-3.1-70b", tensor_parallel=8, context=8192).workload
    found = capacity(facts, 8 * SYSTEM.capacity_bytes)
    assert found.kv_bytes_per_token == 327_680 // 8
    assert found.kv_budget_bytes == 8 * SYSTEM.capacity_bytes - found.weight_bytes
    assert found.kv_budget_tokens == found.kv_budget_bytes // 40_960
    assert found.kv_budget_sequences == found.kv_budget_tokens // 8193
    too_large = capacity(decode("llama-3.1-405b").workload, SYSTEM.capacity_bytes)
    assert too_large.kv_budget_bytes < 0 and too_large.kv_budget_sequences == 0
    assert capacity(train_step("llama-3.1-8b").workload, SYSTEM.capacity_bytes).kv_budget_tokens is None


def test_samples_are_counted_and_patterns_are_not() -> None:
    m = metrics(hbm.simulate(SYSTEM, dlrm(batch=16, tables=2, rows=100, bottom=(8,), top=(8,))))
    assert (m.unit, m.tokens) == ("sample", 16.0)
    m = metrics(hbm.simulate(SYSTEM, synthetic("copy", total_bytes=4096)))
    assert m.tokens_per_s is None and m.time_per_token_ns is None and m.bytes_per_token == {}
    assert list(m.classes) == ["other"] and m.classes["other"].n_bytes == 4096


@pytest.mark.parametrize("damage", [{"steps": 0}, {"tokens": "x"}, {"tokens": float("nan")}, {"devices_alike": None}])
def test_a_description_that_makes_no_sense_is_refused(run: hbm.Result, damage: dict[str, object]) -> None:
    workload = {**run.trace["workload"], **damage}
    damaged = dataclasses.replace(run, trace={**run.trace, "workload": workload})
    with pytest.raises(HbmArgumentError, match=f"trace.workload.{next(iter(damage))} is"):
        metrics(damaged)


def test_a_trace_that_says_nothing_has_no_metrics() -> None:
    run = hbm.simulate(SYSTEM, hbm.Trace.from_requests([0], [False]))
    with pytest.raises(HbmArgumentError, match="does not say what it was for"):
        metrics(run)


OPERATIONS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 30), st.integers(0, 1000)), min_size=1, max_size=20
)


@given(OPERATIONS)
def test_time_is_dealt_out_once(operations: list[tuple[int, int, int]]) -> None:
    start = np.array([s for s, _, _ in operations], dtype=np.float64)
    end = start + np.array([d for _, d, _ in operations], dtype=np.float64)
    n_bytes = np.array([b for _, _, b in operations], dtype=np.float64)
    shares = time_shares(start, end, n_bytes)
    assert (shares >= 0).all() and (shares[end == start] == 0).all()
    # all of the time in which something runs, and the gaps before it
    last = end[end > start].max(initial=0.0)
    assert shares.sum() == pytest.approx(last)
    for peak in (5.0, 100.0, 1e6):
        bound = time_shares(start, end, n_bytes, peak)
        assert (bound >= n_bytes / peak * (1 - 1e-9)).all()
        # not later than the moment at which all that was started by any time has moved at that rate
        drained = max((t + n_bytes[start >= t].sum() / peak for t in (0.0, *start)), default=0.0)
        assert last * (1 - 1e-9) <= bound.sum() <= max(last, drained) * (1 + 1e-9)
        assert np.allclose(bound, shares) or (shares < n_bytes / peak).any()


@pytest.mark.parametrize("mode", ["closed", "asap"])
@pytest.mark.parametrize("l2", [None, 1 << 20])
def test_no_class_and_no_phase_has_more_than_the_peak(mode: str, l2: int | None) -> None:
    trace = decode(TINY.replace(hidden=1024, intermediate=4096), batch=8, context=64, steps=2)
    result = hbm.simulate(SYSTEM, trace, mode=mode, l2=l2)
    m = metrics(result)
    parts = [*m.classes.values(), *m.phases.values()]
    assert all(0 <= part.fraction_of_peak <= 1 + 1e-9 for part in parts)
    moved = result.summary["bytes_read"] + result.summary["bytes_written"]
    for some in (m.classes, m.phases):
        carried = sum(part.fraction_of_peak * part.time_ns for part in some.values()) * SYSTEM.peak_gb_per_s
        assert carried == pytest.approx(moved)
