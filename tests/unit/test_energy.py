"""Energy sets and the equations on them: published anchors, laws, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.commands import Command
from hbmmodel.energy import COMPONENTS, Geometry, energy_set, energy_sets, leakage_w, parse, per_event_pj, transitions
from hbmmodel.energy.presets import _SHELF
from hbmmodel.errors import HbmArgumentError
from hbmmodel.sim import simulate
from hbmmodel.trace import Trace

HBM2 = Geometry(1, 8, 2, 16, 1, 8, 16384, 1024, 32)


def events(name: str, geometry: Geometry = HBM2, **options: Any) -> dict[str, float]:
    return per_event_pj(energy_set(name), geometry, **options)


def test_dreamrams_baseline_costs_what_it_costs_there() -> None:
    """One burst of 32 bytes: 2.62 pJ/bit; with a 2 KiB row of its own 4.34."""
    hbm3 = Geometry(1, 16, 2, 16, 1, 8, 16384, 2048, 32)
    event = events("HBM3_DREAMRAM", hbm3)
    read = sum(event[name] for name in ("column", "die_bus", "tsv", "base_die", "phy"))
    assert read / 256 == pytest.approx(2.62, abs=0.01)
    assert (read + event["activate"]) / 256 == pytest.approx(4.34, abs=0.02)


def test_oconnors_row_and_data_cost_what_the_paper_says() -> None:
    event = events("HBM2_OCONNOR")
    assert event["activate"] == pytest.approx(909)
    data = sum(event[name] for name in ("column", "die_bus", "tsv", "base_die", "phy"))
    assert data / 256 == pytest.approx(1.51 + 1.17 + 0.80, abs=1e-9)


@pytest.mark.parametrize("name", energy_sets())
def test_no_event_of_any_set_is_negative_and_spans_are_ordered(name: str) -> None:
    low, typical, high = (events(name, level=level) for level in ("low", "typical", "high"))
    assert all(0 <= low[k] <= typical[k] <= high[k] for k in typical)


@pytest.mark.parametrize("name", [name for name in energy_sets() if energy_set(name).kind == "layered"])
@pytest.mark.parametrize(
    ("line", "becomes", "said"),
    [
        ('unit = "pJ/bit"', 'unit = "pJ"', "unit"),
        ("typical = ", "typical = -", "negative|order"),
        ("typical = ", "typical = nan #", "finite"),
        ("typical = ", "typical = 1e9 #", "order"),
    ],
)
def test_a_set_that_cannot_be_is_refused(name: str, line: str, becomes: str, said: str) -> None:
    text = _SHELF.shipped(f"{name}.toml")
    assert line in text
    with pytest.raises(HbmArgumentError, match=said):
        parse(text.replace(line, becomes, 1), name)


def test_a_refresh_current_below_standby_is_refused() -> None:
    """The peer's defect: an IDD5 left at its default gives refreshes of negative energy."""
    text = _SHELF.shipped("HBM2_DRAMSIM3_IDD.toml")
    with pytest.raises(HbmArgumentError):
        parse(text.replace("i5b = 0.250", "i5b = 0.005"), "broken")


def test_currents_give_the_energies_that_are_known_of_them() -> None:
    """A row 828 pJ, a read of 512 bits 804 pJ, a write 1068 pJ, a REFab 60,840 pJ and the standby of its banks."""
    channel = Geometry(1, 8, 1, 16, 1, 8, 32768, 1024, 64)
    event = events("HBM2_DRAMSIM3_IDD", channel)
    assert event["activate"] == pytest.approx(828)
    assert event["column"] == pytest.approx(804)
    assert event["column"] * energy_set("HBM2_DRAMSIM3_IDD").get("write_factor") == pytest.approx(1068)
    assert 16 * event["refresh"] == pytest.approx(60_840 + 1e12 * 1.2 * (0.055 - 0.040) * 260e-9)


def test_the_recommended_sets_follow_from_the_others_as_they_say() -> None:
    def of(name: str, value: str) -> tuple[float, float, float]:
        e = energy_set(name)
        return e.get(value, "low"), e.get(value), e.get(value, "high")

    ours, dreamram, oconnor = "HBM3E_RECOMMENDED", energy_set("HBM3_DREAMRAM"), energy_set("HBM2_OCONNOR")
    wires = ("die_bus", "tsv", "base_die")
    together = sum(of(ours, name)[1] for name in wires)
    uncoded = transitions(0.5) / transitions(0.5, dbi=True)
    for name in wires:
        low, typical, high = of(ours, name)
        assert typical == pytest.approx(dreamram.get(name), rel=0.1)
        assert low == pytest.approx(typical / together * oconnor.get("die_bus"), abs=0.006)
        assert high == pytest.approx(typical * uncoded, abs=0.006)
    row = dreamram.get("row_array") + dreamram.get("row_command") / 2
    assert of(ours, "row_array") == pytest.approx((row, (row * 454.5) ** 0.5, 454.5), rel=0.011)
    for name in (*wires, "row_array", "column", "phy"):
        assert of("HBM4_RECOMMENDED", name) == pytest.approx(np.multiply(of(ours, name), (0.6, 0.7, 0.8)), rel=1e-9)


@pytest.mark.parametrize(
    ("line", "becomes"),
    [("typical = 0.3\nhigh = 0.408", "typical = 1e300\nhigh = 1e308"), ("toggle_rate = 0.5", "toggle_rate = 1e-320"),
     ("low = 10.0", "low = 1e-300"), ("high = 85.0", "high = 1e9")],
)  # fmt: skip
def test_a_value_that_would_end_in_an_infinite_energy_is_refused(line: str, becomes: str) -> None:
    text = _SHELF.shipped("HBM3E_RECOMMENDED.toml")
    assert line in text
    with pytest.raises(HbmArgumentError, match=r"mine\.toml"):
        parse(text.replace(line, becomes, 1), "mine.toml")


def test_an_unknown_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(HbmArgumentError, match="HBM4_RECOMMENDED"):
        energy_set("HBM9")


def test_leakage_doubles_by_its_interval_and_refuses_what_is_no_temperature() -> None:
    assert leakage_w(1.0, [70.0, 85.0, 100.0], reference_c=85.0, doubling_k=15.0).tolist() == [0.5, 1.0, 2.0]
    for bad in (np.nan, np.inf, 1e6):
        with pytest.raises(HbmArgumentError, match="temperature_c"):
            leakage_w(1.0, bad, reference_c=85.0, doubling_k=15.0)


# ---- of a run ----


def run(**options: Any) -> hbm.Result:
    rng = np.random.default_rng(2)
    system = cases.small(channels=2, stacks=2, **options)
    address = rng.integers(0, system.capacity_bytes // 32, 4000) * 32
    return simulate(system, Trace.from_requests(address, rng.random(4000) < 0.3), threads=2)


def test_components_of_all_stacks_add_up_to_the_total() -> None:
    result = run()
    table = result.energy
    assert list(dict.fromkeys(table["component"])) == list(COMPONENTS)
    assert sorted(set(table["stack"].tolist())) == [0, 1]
    total = result.summary["energy_pj"]
    assert table["pj"].sum() == pytest.approx(total, rel=1e-12)
    assert (table["pj_low"] <= table["pj"]).all() and (table["pj"] <= table["pj_high"]).all()
    assert (table["pj_low"] >= 0).all()
    moved = result.summary["bytes_read"] + result.summary["bytes_written"]
    assert result.summary["energy_pj_per_bit"] == pytest.approx(total / (8 * moved), rel=0.02)
    assert result.summary["power_w_mean"] == pytest.approx(total / result.summary["time_ns"] * 1e-3)


def test_the_energy_of_a_run_is_that_of_its_commands_counted_by_hand() -> None:
    for refresh in ("per_bank", "all_bank"):
        rng = np.random.default_rng(3)
        system = cases.small(channels=2, stacks=2, controller=hbm.Controller(refresh=refresh))
        address = rng.integers(0, system.capacity_bytes // 32, 8000) * 32
        result = simulate(system, Trace.from_requests(address, rng.random(8000) < 0.3), command_log=True)
        energies, org = system.energies()[0], system.device.organisation
        names, times = np.unique(np.asarray(result.command_log["command"]), return_counts=True)
        n = {Command(int(name)).name: int(count) for name, count in zip(names, times, strict=True)}
        row = energies.get("row_array") * org.page_bytes / 1024
        bursts = sum(n.get(name, 0) for name in ("RD", "RDA", "WR", "WRA"))
        refreshed = n.get("REFpb", 0) + n.get("REFab", 0) * org.banks
        seconds = result.summary["time_ns"] * 1e-9
        table = result.energy
        got = {name: float(table["pj"][table["component"] == name].sum()) for name in COMPONENTS}
        assert bursts == 8000 and refreshed > 0
        assert got["activate"] == pytest.approx(n["ACT"] * row)
        assert got["refresh"] == pytest.approx(refreshed * org.rows / 8192 * row)
        for name in ("column", "die_bus", "tsv", "base_die", "phy"):
            assert got[name] == pytest.approx(bursts * 256 * energies.get(name))
        assert got["leakage"] == pytest.approx(2e12 * seconds * org.stack_height * energies.get("leakage"))
        dies_s = 2e12 * seconds * org.stack_height
        least, most = (dies_s * energies.get(f"standby_{state}") for state in ("precharged", "active"))
        assert least <= got["background"] <= most * (1 + 1e-12)
        assert result.summary["energy_pj"] == pytest.approx(sum(got.values()))


def test_toggling_moves_the_wires_alone_and_heat_the_leakage_alone() -> None:
    def of(result: hbm.Result) -> dict[str, float]:
        names = result.energy["component"]
        return {c: float(result.energy["pj"][names == c].sum()) for c in COMPONENTS}

    base, quiet, hot = of(run()), of(run(toggle_rate=0.1)), of(run(temperature_c=100.0))
    assert {c for c in COMPONENTS if quiet[c] != base[c]} == {"die_bus", "tsv", "base_die", "phy"}
    assert all(quiet[c] < base[c] for c in ("die_bus", "tsv", "base_die", "phy"))
    assert {c for c in COMPONENTS if hot[c] != base[c]} == {"leakage"}
    assert hot["leakage"] == pytest.approx(2 * base["leakage"])


def test_an_idle_channel_that_sleeps_costs_less() -> None:
    times = np.array([0, 2_000_000_000])  # 2 ms apart
    trace = Trace.from_requests([0, 64], [False, False], time_ps=times)
    awake, asleep = (
        simulate(cases.small(controller=hbm.Controller(power=power, page_policy="timeout")), trace)
        for power in ("never", "power_down_idle")
    )
    assert asleep.summary["energy_pj"] < 0.8 * awake.summary["energy_pj"]


def test_energy_survives_saving(tmp_path: Any) -> None:
    result = run()
    result.save(tmp_path / "run")
    loaded = hbm.Result.load(tmp_path / "run")
    assert loaded.energy["pj"].tolist() == result.energy["pj"].tolist()
    assert loaded.summary["energy_pj"] == result.summary["energy_pj"]
