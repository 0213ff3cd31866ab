"""Energy sets and the equations on them: published anchors, laws, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.energy import COMPONENTS, Geometry, energy_set, energy_sets, leakage_w, parse, per_event_pj
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
