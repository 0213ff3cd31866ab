"""The loop of timing, energy and temperature: fixed points, steps in time, and what they leave in the result."""

from __future__ import annotations

import dataclasses
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hbmmodel as hbm
from hbmmodel import Cooling, Trips
from hbmmodel.result.temperature import THERMAL_KEYS
from hbmmodel.sim.heat import Heat, Hottest, Levels
from hbmmodel.sim.run import THERMAL

DEVICE = hbm.device("HBM3E_8000", variant="24Gb_12H")
N = 60_000
STREAM = hbm.Trace.from_requests(np.arange(N, dtype=np.uint64) * 32, np.zeros(N, dtype=bool))


def system(coolant_c: float = 40.0, stacks: int = 1, **cooling: Any) -> hbm.System:
    return hbm.System(DEVICE, stacks=stacks, cooling=Cooling(coolant_c=coolant_c, **cooling))


def run(mode: str, coolant_c: float = 40.0, trace: Any = STREAM, cells: int = 22, **options: Any) -> hbm.Result:
    return hbm.simulate(system(coolant_c, cells=cells), trace, thermal=mode, **options)


def power_of(result: hbm.Result) -> float:
    table = result.temperature
    return float(table["power_w"][table["time_s"] == table["time_s"].max()].sum())


# ---- steady ----


@pytest.mark.parametrize("coolant_c", [20.0, 60.0, 72.0])
def test_a_steady_state_is_a_fixed_point_of_power_and_temperature(coolant_c: float) -> None:
    result = run("steady", coolant_c)
    assert result.thermal_model["outcome"] == "converged"
    assert result.thermal_model["contraction"] < 1
    # The energy of the run, with the leakage of its own temperatures, is what warms the stack to them.
    assert power_of(result) == pytest.approx(result.summary["power_w_mean"], rel=1e-9)
    heat = Heat(result.system)
    again = heat.model.steady(
        np.stack([np.full((22, 22), w / 484) for w in result.temperature["power_w"]])  # evenly spread: same means
    )
    means = [again.mean_c(die) for die in heat.dies]
    assert means == pytest.approx(result.temperature["mean_c"].tolist(), abs=1e-6)


def test_the_run_of_a_steady_state_is_that_of_its_refresh_rate() -> None:
    warm = run("steady", 64.0)
    assert warm.summary["refresh_2x_fraction"] == 1.0
    asked = hbm.simulate(hbm.System(DEVICE, refresh_multiplier=0.5), STREAM)
    for key in ("time_ticks", "n_ref_pb", "n_act", "row_hits", "read_latency_ns_p99"):
        assert warm.summary[key] == asked.summary[key], key
    assert warm.summary["n_ref_pb"] > 1.9 * run("steady", 40.0).summary["n_ref_pb"]


def test_a_warmer_coolant_never_gives_more_bandwidth_or_less_power_per_bit() -> None:
    n = 200_000
    trace = hbm.Trace.from_requests(np.arange(n, dtype=np.uint64) * 32, np.zeros(n, dtype=bool))
    results = [run("steady", c, trace) for c in (30.0, 50.0, 64.0, 76.0)]
    sustained = [r.summary["sustained_gb_per_s"] for r in results]
    hottest = [r.summary["temperature_c_max"] for r in results]
    assert sustained == sorted(sustained, reverse=True) and sustained[0] > sustained[-1]
    assert hottest == sorted(hottest)


def test_a_state_that_throttles_and_cools_and_throttles_again_is_called_an_oscillation() -> None:
    result = run("steady", 85.0)
    model, s = result.thermal_model, result.summary
    assert model["outcome"] == "oscillates"
    assert "throttled to 50%" in model["text"] and model["period_s"] > 0
    assert 0 < s["throttled_fraction"] < 1
    free = hbm.simulate(hbm.System(DEVICE, refresh_multiplier=0.25), STREAM).summary["bandwidth_gb_per_s"]
    assert 0.5 * DEVICE.peak_gb_per_s * 0.9 < s["bandwidth_gb_per_s"] < s["sustained_gb_per_s"] < free
    trips = result.system.cooling.trips
    assert trips.throttle[0][0] <= s["temperature_c_max"] < trips.throttle[0][0] + 1.0


def test_without_a_throttle_the_same_stack_gets_hotter_and_trips() -> None:
    cooling = Cooling(coolant_c=100.0, trips=Trips(throttle=()))
    result = hbm.simulate(hbm.System(DEVICE, cooling=cooling), STREAM, thermal="steady")
    assert result.thermal_model["outcome"] == "cattrip"
    assert result.summary["cattrip"] == 1 and result.thermal_model["cattrip"]["temperature_c"] >= 120


def leaky_set(tmp_path: Path, typical_w: float) -> str:
    """The device's energy set with another leakage per die."""
    name = hbm.System(DEVICE).energies()[0].name
    text = resources.files("hbmmodel.energy").joinpath("sets", f"{name}.toml").read_text(encoding="utf-8")
    head, tail = text.split("[values.leakage]")
    for level, factor in (("low", 0.5), ("typical", 1.0), ("high", 1.5)):
        tail = re.sub(rf"^{level} = .*$", f"{level} = {typical_w * factor}", tail, count=1, flags=re.M)
    path = tmp_path / "leaky.toml"
    path.write_text(f"{head}[values.leakage]{tail}", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("typical_w", [0.05, 0.3])
def test_an_oscillation_is_what_a_long_transient_comes_to(tmp_path: Path, typical_w: float) -> None:
    # Half of these leave 4x while they cool, so that the cycle does not come back to the levels it began with; and
    # unthrottled they run away, so that no cycle may begin there.
    trips = Trips(throttle=((100.0, 0.1),), cattrip_c=200.0)
    cooling = Cooling(coolant_c=80.0, cells=6, trips=trips)
    leaky = hbm.System(DEVICE, energy=leaky_set(tmp_path, typical_w), cooling=cooling)
    steady = hbm.simulate(leaky, STREAM, thermal="steady")
    long = hbm.simulate(leaky, STREAM, thermal="transient", thermal_seconds=30.0)
    assert steady.thermal_model["outcome"] == "oscillates"
    assert steady.summary["temperature_c_max"] == pytest.approx(long.summary["temperature_c_max"], abs=0.3)
    assert steady.summary["throttled_fraction"] == pytest.approx(long.summary["throttled_fraction"], abs=0.05)
    assert 0 < steady.thermal_model["period_s"] < 5.0
    assert steady.summary["cattrip"] == 0


def test_heat_from_outside_beyond_all_cooling_is_not_blamed_on_leakage_alone() -> None:
    outside = hbm.System(DEVICE, cooling=Cooling(host_w=1e4))
    result = hbm.simulate(outside, STREAM, thermal="steady")
    assert result.thermal_model["outcome"] == "runaway"
    assert "no steady state below 300 degC: leakage or heat from outside" in result.thermal_model["text"]


def test_leakage_that_outgrows_cooling_is_called_a_runaway(tmp_path: Path) -> None:
    cooling = Cooling(coolant_c=80.0, trips=Trips(throttle=()))
    leaky = hbm.System(DEVICE, energy=leaky_set(tmp_path, 2.0), cooling=cooling)
    assert leaky.energies()[0].get("leakage") == 2.0
    result = hbm.simulate(leaky, STREAM, thermal="steady")
    assert result.thermal_model["outcome"] == "runaway"


# ---- transient ----


def test_a_long_transient_comes_to_the_steady_state() -> None:
    steady, transient = run("steady", 40.0), run("transient", 40.0, thermal_seconds=12.0)
    assert transient.summary["temperature_c_max"] == pytest.approx(steady.summary["temperature_c_max"], abs=1e-3)
    times = np.unique(transient.temperature["time_s"])
    assert times[0] <= 0.02 and times[-1] >= 11.9 and len(times) <= 600
    base = transient.temperature["max_c"][transient.temperature["die"] == "BASE"]
    assert (np.diff(base) > -1e-9).all()


def test_a_transient_stops_at_the_catastrophic_trip() -> None:
    cooling = Cooling(coolant_c=100.0, trips=Trips(throttle=()))
    result = hbm.simulate(hbm.System(DEVICE, cooling=cooling), STREAM, thermal="transient", thermal_seconds=30.0)
    trip = result.thermal_model["cattrip"]
    assert result.thermal_model["outcome"] == "cattrip"
    assert 0 < trip["time_s"] < 30.0 and result.thermal_model["seconds"] == pytest.approx(trip["time_s"])


def test_times_at_refresh_rates_and_of_the_host_cover_the_transient() -> None:
    result = run("transient", 85.0, thermal_seconds=2.0)
    table = result.power_states
    for kind in ("refresh", "host"):
        mine = table["kind"] == kind
        assert table["time_ns"][mine].sum() == pytest.approx(2e9)
        assert table["share"][mine].sum() == pytest.approx(1.0)
        assert (table["energy_pj"][mine] >= 0).all() and table["energy_pj"][mine].sum() > 0


def test_the_table_of_temperatures_ends_with_the_run() -> None:
    for mode, options in (("transient", {"thermal_seconds": 7.0}), ("coupled", {"thermal_epoch_ns": 3.0})):
        result = run(mode, 40.0, cells=2, **options)
        table = result.temperature
        end_s = result.thermal_model["seconds"] if mode == "transient" else result.summary["time_ns"] * 1e-9
        assert table["time_s"].max() == pytest.approx(end_s, rel=1e-9)
        last = table["time_s"] == table["time_s"].max()
        shown = [result.temperature_map_c(0, die).max() for die in table["die"][last]]
        assert table["max_c"][last].tolist() == pytest.approx(shown, abs=1e-9)


# ---- coupled ----


def test_the_energy_of_a_coupled_run_is_the_heat_that_warmed_the_stack() -> None:
    result = run("coupled", 40.0, thermal_start_c=84.9995, thermal_epoch_ns=100.0)
    host = result.power_states["kind"] == "host"
    assert result.power_states["energy_pj"][host].sum() == pytest.approx(result.energy["pj"].sum(), rel=1e-12)


def test_a_coupled_run_that_meets_no_trip_point_is_the_plain_run() -> None:
    plain = hbm.simulate(system(40.0), STREAM)
    coupled = run("coupled", 40.0, thermal_epoch_ns=200.0)
    same = [key for key in plain.summary if key not in THERMAL_KEYS and not key.startswith(("energy", "power"))]
    assert {key: plain.summary[key] for key in same} == {key: coupled.summary[key] for key in same}
    assert coupled.channels == plain.channels
    assert coupled.thermal_model["outcome"] == "completed"


def test_a_coupled_run_that_starts_hot_refreshes_more_and_is_throttled() -> None:
    hot = run("coupled", 40.0, thermal_start_c=110.0, thermal_epoch_ns=500.0)
    share = hot.system.cooling.trips.throttle[0][1]
    assert hot.summary["throttled_fraction"] == 1.0 and hot.summary["refresh_4x_fraction"] == pytest.approx(1.0)
    assert 0.85 * share < hot.summary["fraction_of_peak"] <= share


def test_a_coupled_run_crosses_a_trip_point_on_its_way() -> None:
    trips = Trips(refresh=((85.0, 2), (95.0, 4)), hysteresis_c=0.0)
    cooling = Cooling(coolant_c=40.0, trips=trips)
    result = hbm.simulate(
        hbm.System(DEVICE, cooling=cooling), STREAM, thermal="coupled", thermal_start_c=84.9995, thermal_epoch_ns=50.0
    )
    s = result.summary
    assert 0 < s["refresh_2x_fraction"] < 1
    plain = hbm.simulate(hbm.System(DEVICE), STREAM).summary["n_ref_pb"]
    twice = hbm.simulate(hbm.System(DEVICE, refresh_multiplier=0.5), STREAM).summary["n_ref_pb"]
    assert plain < s["n_ref_pb"] < twice


# ---- all modes ----


@pytest.mark.parametrize("mode", ["steady", "coupled"])
def test_sustained_bandwidth_is_that_of_the_data_buses(mode: str) -> None:
    n = 10_000  # every read is answered from the write queue
    address = np.repeat(np.arange(n, dtype=np.uint64) * 32, 2)
    result = run(mode, 40.0, hbm.Trace.from_requests(address, np.tile([True, False], n)))
    assert result.summary["reads_forwarded"] == n
    assert result.summary["sustained_gb_per_s"] == pytest.approx(result.summary["bandwidth_gb_per_s"], rel=1e-12)


@pytest.mark.parametrize(
    ("mode", "options"), [("steady", {}), ("coupled", {"thermal_start_c": 110.0, "thermal_epoch_ns": 500.0})]
)
def test_the_log_of_a_hot_run_is_legal_at_its_own_refresh_rate(mode: str, options: dict[str, Any]) -> None:
    result = hbm.simulate(system(76.0), STREAM, thermal=mode, command_log=True, **options)
    assert result.summary["refresh_4x_fraction"] == 1.0
    for multiplier in (1.0, 0.25):
        judge = dataclasses.replace(result.system, refresh_multiplier=multiplier)
        assert hbm.check(judge, result.command_log, end_tick=result.summary["time_ticks"]) == []


def test_shares_of_time_never_pass_one() -> None:
    cold_refresh = hbm.System(
        DEVICE, controller=hbm.Controller(refresh="none"), cooling=Cooling(coolant_c=80.0, trips=Trips())
    )
    for mode in THERMAL:
        s = hbm.simulate(cold_refresh, STREAM, thermal=mode, thermal_seconds=3.0).summary
        for key in ("throttled_fraction", "refresh_2x_fraction", "refresh_4x_fraction"):
            assert 0.0 <= s[key] <= 1.0


@pytest.mark.parametrize("mode", THERMAL)
def test_the_number_of_threads_changes_nothing(mode: str) -> None:
    options: dict[str, Any] = {"thermal_seconds": 0.2} if mode == "transient" else {}
    one, two = (
        hbm.simulate(system(75.0, stacks=2), STREAM, thermal=mode, threads=threads, **options) for threads in (1, 2)
    )
    assert one.summary == two.summary
    assert one.temperature == two.temperature and one.temperature_cells == two.temperature_cells


@pytest.mark.parametrize("mode", THERMAL)
def test_a_result_with_temperatures_survives_the_disk_and_is_reported(mode: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"thermal_seconds": 0.05} if mode == "transient" else {}
    result = run(mode, 64.0, **options)
    again = hbm.Result.load(result.save(tmp_path / "run"))
    for name in ("summary", "temperature", "temperature_cells", "thermal_model", "power_states", "energy_model"):
        assert getattr(again, name) == getattr(result, name), name
    assert again.temperature_map_c(0, "DRAM3").shape == (22, 22)
    assert again.temperature_map_c(0, "BASE").max() <= again.summary["temperature_c_max"] + 1e-9
    report = result.report(tmp_path / "report.txt").read_text(encoding="utf-8")
    assert "Temperature" in report and "DRAM11" in report
    plain = hbm.simulate(system(), STREAM)
    plain.save(tmp_path / "run")
    assert not (tmp_path / "run" / "temperature.parquet").exists()
    assert {key: plain.summary[key] for key in THERMAL_KEYS} == dict.fromkeys(THERMAL_KEYS)


def test_heat_of_the_processor_warms_the_stack_from_its_lid() -> None:
    cold, warm = (
        hbm.simulate(hbm.System(DEVICE, cooling=Cooling(host_w=w)), STREAM, thermal="steady") for w in (0.0, 20.0)
    )
    rise = warm.temperature["mean_c"] - cold.temperature["mean_c"]
    assert (rise > 5).all() and rise.max() - rise.min() < 1.0
    assert warm.summary["power_w_mean"] == pytest.approx(cold.summary["power_w_mean"], rel=0.01)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"thermal": "hot"}, "thermal is 'hot'; choose one of steady, transient, coupled"),
        ({"thermal": "transient", "thermal_seconds": 0.0}, "thermal_seconds is 0.0"),
        ({"thermal": "transient", "thermal_seconds": float("nan")}, "thermal_seconds is nan"),
        ({"thermal": "transient", "thermal_seconds": "long"}, "thermal_seconds is 'long'"),
        ({"thermal": "coupled", "thermal_start_c": 1e9}, "thermal_start_c is 1000000000.0"),
        ({"thermal": "coupled", "thermal_epoch_ns": -1}, "thermal_epoch_ns is -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(hbm.errors.HbmArgumentError, match=told):
        hbm.simulate(system(), STREAM, **options)


def test_a_refresh_rate_that_a_device_cannot_keep_is_refused() -> None:
    tight = hbm.device("HBM4_8000", variant="24Gb_12H", tRFCab_ns=1500)
    controller = hbm.Controller(refresh="all_bank")
    hot = hbm.System(tight, controller=controller, cooling=Cooling(coolant_c=90.0))
    with pytest.raises(hbm.errors.HbmPolicyError, match="the device would only refresh"):
        hbm.simulate(hot, STREAM, thermal="steady")


# ---- levels ----


def test_levels_are_taken_in_the_order_of_their_trip_points() -> None:
    trips = Trips(refresh=((85.0, 2), (95.0, 4)), throttle=((90.0, 0.5),))
    cold = Levels.cold(1)
    hot = [Hottest(100.0, 101.0)]
    path = [cold]
    while (after := path[-1].approach(trips, hot)) != path[-1]:
        path.append(after)
    assert [(levels.refresh[0], levels.throttle) for levels in path] == [(0, 0), (1, 0), (1, 1), (2, 1)]


def test_a_level_is_left_only_below_its_hysteresis() -> None:
    trips = Trips()
    hot = Levels((1,), 0)
    assert hot.stepped(trips, [Hottest(81.0, 82.0)]) == hot
    assert hot.stepped(trips, [Hottest(79.9, 82.0)]) == Levels.cold(1)
    assert Levels((0, 2), 1).stepped(trips, [Hottest(70.0, 70.0), Hottest(96.0, 103.0)]) == Levels((0, 2), 1)
