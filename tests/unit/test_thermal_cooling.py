"""Floorplans, trip tables, cooling and products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbmmodel as hbm
from hbmmodel import Cooling, Trips
from hbmmodel.energy import Geometry
from hbmmodel.thermal import Floorplan, Level

GEOMETRIES = [
    Geometry.of(hbm.device(name, variant))
    for name, variant in (("HBM4_8000", "24Gb_16H"), ("HBM3E_8000", "24Gb_12H"), ("HBM3_5200", "16Gb_8H"))
]


def plan_of(g: Geometry, nx: int = 22, ny: int = 22) -> Floorplan:
    return Floorplan(g.die_of, g.pseudo_channels, nx, ny, g.dies)


@given(st.sampled_from(GEOMETRIES), st.integers(2, 30), st.integers(2, 30), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_maps_hold_the_power_of_every_die(g: Geometry, nx: int, ny: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bank_w = rng.random(g.shape[1:])
    die_w = rng.random(g.dies)
    maps = plan_of(g, nx, ny).maps(bank_w, die_w)
    assert maps.shape == (g.dies, ny, nx) and (maps >= 0).all()
    for die in range(g.dies):
        own = bank_w.transpose(1, 0, 2)[:, g.die_of == die].sum() + die_w[die]
        assert maps[die].sum() == pytest.approx(own, rel=1e-12)


@given(st.sampled_from(GEOMETRIES), st.floats(-50, 300), st.integers(2, 30))
@settings(max_examples=20, deadline=None)
def test_a_die_of_one_temperature_gives_it_to_all_its_banks(g: Geometry, temperature_c: float, n: int) -> None:
    banks = plan_of(g, n, n).of_banks(np.full((g.dies, n, n), temperature_c))
    assert banks.shape == g.shape[1:]
    assert np.allclose(banks, temperature_c, rtol=1e-12, atol=1e-9)


@given(st.sampled_from(GEOMETRIES), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_banks_read_the_cells_that_they_heat(g: Geometry, seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan, bank_w, cells = plan_of(g, 9, 7), rng.random(g.shape[1:]), rng.random((g.dies, 7, 9))
    heated = plan.maps(bank_w, np.zeros(g.dies))
    assert (heated * cells).sum() == pytest.approx((bank_w * plan.of_banks(cells)).sum(), rel=1e-12)


def test_power_and_temperature_of_a_bank_lie_in_the_same_cells() -> None:
    g = GEOMETRIES[1]
    plan = plan_of(g)
    for place in [(0, 0, 0), (5, 1, 40), (15, 1, 47)]:
        bank_w = np.zeros(g.shape[1:])
        bank_w[place] = 1.0
        seen = plan.of_banks(plan.maps(bank_w, np.zeros(g.dies)))
        assert np.unravel_index(int(seen.argmax()), seen.shape) == place


@pytest.mark.parametrize(
    ("trips", "told"),
    [
        ({"refresh": ((95.0, 2), (85.0, 4))}, "temperatures must ascend"),
        ({"refresh": ((85.0, 4), (95.0, 2))}, "values must ascend"),
        ({"refresh": ((85.0, 3),)}, "choose 2 or 4"),
        ({"refresh": ((85.0,),)}, "is not a pair"),
        ({"refresh": "hot"}, "must be a tuple"),
        ({"throttle": ((90.0, 0.5), (95.0, 0.7))}, "values must descend"),
        ({"throttle": ((90.0, 0.0),)}, "out of range"),
        ({"throttle": ((90.0, 1.0),)}, "a share of 1 throttles nothing"),
        ({"throttle": ((float("nan"), 0.5),)}, "not finite"),
        ({"hysteresis_c": -1.0}, "out of range"),
        ({"cattrip_c": "hot"}, "not a number"),
        ({"poll_s": 0.0}, "out of range"),
    ],
)
def test_trip_tables_out_of_order_are_refused(trips: dict[str, Any], told: str) -> None:
    with pytest.raises(hbm.errors.HbmArgumentError, match=told):
        Trips(**trips)


@given(st.floats(-20, 150), st.floats(-20, 150), st.integers(0, 2), st.integers(0, 1))
def test_a_level_that_was_taken_is_taken_again_at_the_same_temperature(
    dram_c: float, any_c: float, refresh: int, throttle: int
) -> None:
    trips = Trips()
    once = trips.step(Level(refresh, throttle), dram_c, any_c)
    assert trips.step(once, dram_c, any_c) == once
    assert trips.rise(once, dram_c, any_c) == once


def test_temperature_codes_are_those_of_hbm2() -> None:
    assert [Trips().temp_code(Level(refresh)) for refresh in (0, 1, 2)] == [0b011, 0b010, 0b110]


@pytest.mark.parametrize(
    ("cooling", "told"),
    [
        ({"stack": 3}, "cooling.stack must be"),
        ({"cells": 1}, "cooling.cells is 1"),
        ({"cells": True}, "cooling.cells is True"),
        ({"host_w": -1.0}, "cooling.host_w"),
        ({"coolant_c": float("inf")}, "cooling.coolant_c"),
        ({"h_top_w_m2k": "much"}, "cooling.h_top_w_m2k"),
        ({"trips": None}, "cooling.trips must be"),
    ],
)
def test_malformed_cooling_is_refused(cooling: dict[str, Any], told: str) -> None:
    with pytest.raises(hbm.errors.HbmArgumentError, match=told):
        Cooling(**cooling)


def test_a_stack_of_another_height_is_refused() -> None:
    wrong = hbm.System(hbm.device("HBM4_8000", variant="24Gb_12H"), cooling=Cooling(stack="HBM4_16H"))
    with pytest.raises(hbm.errors.HbmArgumentError, match="has 16 dies and the device 12"):
        wrong.thermal_stack()


def test_a_stack_made_for_another_height_says_so() -> None:
    made = Cooling().stack_of("HBM2E", 4)
    assert (made.dies, made.name) == (4, "HBM3E_8H, 4 dies")


def test_every_preset_and_variant_has_a_thermal_stack() -> None:
    from sim_cases import PRESETS

    for name, variant in PRESETS:
        device = hbm.device(name, variant)
        assert hbm.System(device).thermal_stack().dies == device.organisation.stack_height


def test_cooling_travels_with_the_system() -> None:
    system = hbm.System(hbm.device("HBM4_8000"), cooling=Cooling(coolant_c=33.0, trips=Trips(throttle=((99.0, 0.25),))))
    again = hbm.System.from_dict(system.to_dict())
    assert again == system and again.content_hash() == system.content_hash()
    assert system.content_hash() != hbm.System(hbm.device("HBM4_8000")).content_hash()


# ---- products ----


@pytest.mark.parametrize("name", hbm.products())
def test_a_product_has_the_bandwidth_that_its_vendor_states(name: str) -> None:
    info, system = hbm.product_info(name), hbm.product(name)
    assert system.peak_gb_per_s / 1000 == pytest.approx(info.peak_tb_per_s, rel=0.03)
    assert str(round(system.capacity_bytes / 2**30)) in info.title.replace("141 GB usable", "")
    assert info.source and info.confidence == "vendor"


def test_a_product_takes_changes_and_refuses_what_a_system_lacks() -> None:
    assert hbm.product("h100-sxm", stacks=1).n_channels == 16
    with pytest.raises(hbm.errors.HbmArgumentError, match="a system has no field 'stack'; did you mean 'stacks'"):
        hbm.product("H200", stack=1)
    with pytest.raises(hbm.errors.HbmArgumentError, match="unknown product 'H20'; did you mean 'H200'"):
        hbm.product("H20")


def test_products_are_listed_and_shown_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from cli_cases import fails, told

    listed = json.loads(told(capsys, "systems", "--json"))
    assert set(listed) == set(hbm.products())
    assert json.loads(told(capsys, "systems", "show", "b300", "--json")) == listed["B300"]
    assert "NVIDIA data sheet" in told(capsys, "systems", "show", "B300")
    assert "did you mean 'B300'" in fails(capsys, "systems", "show", "b30")
