"""The numbers behind the pictures: what is drawn is what was counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sim_cases as cases
from hypothesis import given
from hypothesis import strategies as st

import hbmmodel as hbm
from hbmmodel.report import series
from hbmmodel.report.figures import latency_figure
from hbmmodel.report.series import OTHERS, spread
from hbmmodel.report.series.layers import LAYERS_MAX
from hbmmodel.report.series.maps import CELLS_MAX
from hbmmodel.result import LOST, POWER_STATES, Result
from hbmmodel.system import System
from hbmmodel.workload import dlrm

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def traffic() -> Result:
    """Requests of both directions that a sleepy system serves, with temperatures."""
    rng = np.random.default_rng(5)
    controller = hbm.Controller(power="aggressive", page_policy="timeout")
    system = cases.small(channels=4, stacks=2, controller=controller)
    n = 3000
    trace = hbm.Trace.from_requests(
        rng.integers(0, system.capacity_bytes // 32, n) * 32, rng.random(n) < 0.3, time_ps=np.arange(n) * 20_000
    )
    return hbm.simulate(system, trace, thermal="coupled")


@pytest.fixture(scope="module")
def workload() -> Result:
    """Steps of a recommender, whose bytes have classes."""
    trace = dlrm(batch=16, tables=4, rows=10_000, training=True, seed=1)
    return hbm.simulate(System(hbm.device("HBM4_8000", channels=4)), trace)


@given(st.data())
def test_amounts_are_dealt_to_the_bins_they_lie_in_and_none_is_lost(data: st.DataObject) -> None:
    edges = np.cumsum(np.array(data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=12)), dtype=np.float64))
    edges = np.concatenate([[0.0], edges])
    n = data.draw(st.integers(0, 20))
    times = st.floats(0, float(edges[-1]), width=32)
    start, end = np.sort(np.array([[data.draw(times), data.draw(times)] for _ in range(n)]).reshape(n, 2), axis=1).T
    amount = np.array([data.draw(st.integers(0, 1 << 40)) for _ in range(n)], dtype=np.float64)
    found = spread(edges, start, end, amount)
    assert found.sum() == pytest.approx(amount.sum(), rel=1e-9)
    for i, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        inside = np.minimum(end, high) - np.maximum(start, low)
        length = end - start
        share = np.divide(np.maximum(inside, 0), length, out=np.zeros(n), where=length > 0)
        at_once = (length == 0) & (low <= start) & ((start < high) | (high == edges[-1]))
        assert found[i] == pytest.approx((amount * (share + at_once)).sum(), rel=1e-6, abs=1e-6 * amount.sum() + 1e-9)


def test_areas_under_reads_and_writes_are_the_bytes_of_the_buses(traffic: Result) -> None:
    layers = series.bandwidth_by_direction(traffic)
    assert layers is not None
    areas = dict(zip(layers.names, layers.amounts.tolist(), strict=True))
    s = traffic.summary
    assert areas["writes"] == pytest.approx(s["n_wr"] * 32, rel=1e-12)
    assert areas["reads"] == pytest.approx(s["n_rd"] * 32, rel=1e-12)
    assert layers.edges_ns[-1] == pytest.approx(s["time_ns"])


@pytest.mark.parametrize(
    "make",
    [series.bandwidth_by_phase, series.bandwidth_by_name, series.bandwidth_by_class],
    ids=["phase", "name", "class"],
)
def test_areas_by_any_layer_are_the_bytes_of_the_operations(workload: Result, make: Make) -> None:
    layers = make(workload)
    assert layers is not None
    operations = workload.operations
    moved = operations["bytes_read"].sum() + operations["bytes_written"].sum()
    assert layers.amounts.sum() == pytest.approx(moved, rel=1e-9)
    assert 1 < len(layers.names) <= LAYERS_MAX
    if make is series.bandwidth_by_class:
        weights = sum(operations[name].sum() for name in operations.names if name.startswith("weights_bytes_"))
        assert dict(zip(layers.names, layers.amounts.tolist(), strict=True))["weights"] == pytest.approx(weights)


def test_more_names_than_colours_are_put_together_without_losing_bytes(one_channel: System, make_raw: Make) -> None:
    raw = make_raw(one_channel)
    n = 40
    start = np.arange(n) * 2000
    raw["operations"] = {
        "index": np.arange(n), "name": [f"op{i}" for i in range(n)], "phase": [""] * n, "start_tick": start,
        "end_tick": start + 3000, "bytes_read": 32 * (np.arange(n) + 1), "bytes_written": np.zeros(n, dtype=int),
        **{k: np.zeros(n, dtype=int) for k in ("row_hits", "row_misses", "row_conflicts")},
    }  # fmt: skip
    layers = series.bandwidth_by_name(Result.from_raw(one_channel, {}, raw, {}))
    assert layers is not None and len(layers.names) == LAYERS_MAX
    assert layers.names[0] == "op39" and layers.names[-1] == OTHERS.format(n - LAYERS_MAX + 1)
    assert layers.amounts.sum() == pytest.approx(32 * n * (n + 1) / 2, rel=1e-9)


def test_the_account_sums_to_all_time_and_is_the_summary(traffic: Result) -> None:
    found = series.account(traffic)
    assert found is not None and found.rows == ("all stacks", "stack 0", "stack 1")
    assert found.shares.sum(axis=1) == pytest.approx(1.0, rel=1e-12)
    assert found.causes[0] == "data" and set(found.causes) <= set(LOST)
    for cause, share in zip(found.causes, found.shares[0].tolist(), strict=True):
        assert share == pytest.approx(traffic.summary[f"lost_share_{cause}"], abs=1e-12)
    assert found.shares[1:].mean(axis=0) == pytest.approx(found.shares[0])


def test_the_tail_falls_from_all_reads_and_agrees_with_the_histogram(traffic: Result) -> None:
    tail = series.latency_tail(traffic)
    assert tail is not None
    assert tail.share_above[0] == 1.0 and (np.diff(tail.share_above) < 0).all() and (tail.share_above > 0).all()
    assert (np.diff(tail.latency_ns) > 0).all()
    tick_ns = float(traffic.system.tick_ps) / 1000
    lows = traffic.histogram.edges[:-1] * tick_ns
    points = list(zip(tail.latency_ns, tail.share_above, strict=True))
    for latency, share in points[:: max(1, len(points) // 20)]:
        above = traffic.histogram.counts[lows > latency].sum()
        assert share == pytest.approx(above / traffic.histogram.n)
    assert tail.marks["median"] <= tail.marks["99 %"] <= tail.marks["99.9 %"] <= tail.marks["max"]


@pytest.mark.parametrize("n_far", [0, 1, 5000])
def test_reads_that_a_write_queue_answers_at_once_have_no_place_on_a_logarithmic_axis(n_far: int) -> None:
    near = np.tile(np.arange(8) * 32, 64)
    address = np.concatenate([near, near, (1 << 20) + np.arange(n_far) * 4096])
    is_write = np.concatenate([np.ones(512, bool), np.zeros(512 + n_far, bool)])
    result = hbm.simulate(cases.small(), hbm.Trace.from_requests(address, is_write), request_bytes=32)
    at_once = int(result.histogram.counts[0])
    assert at_once > 0
    tail = series.latency_tail(result)
    if n_far == 0 and at_once == result.histogram.n:
        assert tail is None
        return
    assert tail is not None
    assert tail.share_above[0] == pytest.approx(1 - at_once / result.histogram.n)
    assert (np.diff(tail.latency_ns) > 0).all() and tail.latency_ns[0] > 0
    assert np.isfinite(latency_figure(tail)["layout"]["xaxis"]["range"]).all()


def test_maps_hold_what_the_tables_hold(traffic: Result) -> None:
    channels = series.channel_map(traffic)
    assert channels is not None and channels.values.shape == (2 * 2, 4)
    row = traffic.channels.take((traffic.channels["stack"] == 1) & (traffic.channels["channel"] == 3))
    assert channels.values[2:, 3].tolist() == row["fraction_of_peak"].tolist()
    assert channels.details["GB/s"].sum() == pytest.approx(traffic.summary["bandwidth_gb_per_s"])
    bursts, acts, energy = series.bank_maps(traffic)
    s = traffic.summary
    assert bursts.values.sum() == s["n_rd"] + s["n_wr"] and acts.values.sum() == s["n_act"]
    assert energy.values.sum() * 1e3 == pytest.approx(s["energy_pj"], rel=1e-9)
    bank = traffic.banks.take([70])
    n = traffic.system.device.organisation.banks
    assert acts.values[70 // n, 70 % n] == bank["n_act"][0] and str(bank["stack"][0]) in acts.rows[70 // n]


def test_a_map_of_very_many_banks_joins_rows_and_keeps_the_sum(eight_stacks: System, make_result: Make) -> None:
    from hbmmodel.result.table import Table

    result = make_result(eight_stacks)
    n, org = 4 * eight_stacks.n_pseudo_channels, eight_stacks.device.organisation
    ones = np.ones(n * org.banks, dtype=np.int64)
    columns = {name: ones for name in ("stack", "channel", "pseudo_channel", "bank", "n_act", "n_rd", "n_wr")}
    object.__setattr__(result, "banks", Table({**columns, "energy_pj": ones.astype(float)}))
    for found in series.bank_maps(result):
        assert found.values.size <= CELLS_MAX and len(found.rows) == len(found.values)
        each = {"bursts": 2, "activations": 1, "energy": 1e-3}[found.what]
        assert found.values.sum() == pytest.approx(each * len(ones))


def test_energy_flows_without_loss(traffic: Result) -> None:
    flow = series.energy_flow(traffic)
    assert flow is not None
    into: dict[int, float] = {}
    out: dict[int, float] = {}
    for a, b, pj in flow.links:
        out[a] = out.get(a, 0.0) + pj
        into[b] = into.get(b, 0.0) + pj
    last = len(flow.nodes) - 1
    assert into[last] == pytest.approx(traffic.summary["energy_pj"]) == flow.total_pj
    for node in set(into) & set(out):
        assert into[node] == pytest.approx(out[node])
    named = {name for members in series.GROUPS.values() for name in members}
    from hbmmodel.energy import COMPONENTS

    assert named == set(COMPONENTS)


def test_temperatures_are_those_of_the_hottest_stack(traffic: Result) -> None:
    dies, cut = series.die_temperatures(traffic), series.cross_section(traffic)
    assert dies is not None and cut is not None
    hottest = max(traffic.temperature.rows(), key=lambda row: row["max_c"])
    assert dies.stack == hottest["stack"] and dies.dies[0] == "BASE"
    assert np.nanmax(dies.max_c) == hottest["max_c"]
    assert (dies.mean_c <= dies.max_c + 1e-9).all() and (np.diff(dies.time_s) > 0).all()
    assert cut.temperature_c.max() == traffic.temperature_cells["temperature_c"].max()
    die = int(np.argmax(cut.temperature_c.max(axis=1)))
    assert cut.temperature_c[die].tolist() == traffic.temperature_map_c(cut.stack, cut.dies[die])[cut.y].tolist()


def test_power_states_over_time_are_those_of_the_stacks(traffic: Result) -> None:
    shares, layers = series.state_shares(traffic), series.state_layers(traffic)
    assert shares is not None and layers is not None
    assert shares.shares.sum(axis=1) == pytest.approx(1.0)
    assert layers.values.sum(axis=0) == pytest.approx(1.0)
    mean = dict(zip(POWER_STATES, shares.shares.mean(axis=0).tolist(), strict=True))
    for name, area in zip(layers.names, layers.amounts.tolist(), strict=True):
        assert area / traffic.summary["time_ns"] == pytest.approx(mean[name], rel=1e-6)
    assert any(name.endswith("power_down") for name in layers.names)


def test_operations_are_ranked_by_their_time(workload: Result) -> None:
    top = series.top_operations(workload, names_max=3)
    assert top is not None and len(top.names) == 3 <= top.n_names
    assert (np.diff(top.time_ns) <= 0).all()
    operations = workload.operations
    mine = operations["name"] == top.names[0]
    assert top.time_ns[0] == pytest.approx(operations["duration_ns"][mine].sum()) and top.count[0] == mine.sum()


def test_a_result_without_anything_has_no_series(one_channel: System, make_raw: Make) -> None:
    from hbmmodel.result import COUNTERS

    raw = make_raw(one_channel, reads=False)
    raw.update(end_tick=0, operations=None, epochs=None, counters={name: np.zeros(2, np.int64) for name in COUNTERS})
    result = Result.from_raw(one_channel, {}, raw, {})
    for make in (
        series.account, series.bandwidth_by_class, series.bandwidth_by_direction, series.bandwidth_by_name,
        series.bandwidth_by_phase, series.cross_section, series.die_temperatures, series.energy_flow,
        series.latency_tail, series.state_layers, series.state_shares, series.top_operations,
    ):  # fmt: skip
        assert make(result) is None, make.__name__
    assert series.bank_maps(result) == ()
