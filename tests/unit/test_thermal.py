"""The heat equation on a stack: laws that any solution obeys, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.thermal import Model, stack, stacks

RNG = np.random.default_rng(4)


def model(name: str = "HBM3E_8H", n: int = 8, **changes: Any) -> Model:
    made = stack(name)
    return Model(made.replace(**changes) if changes else made, nx=n, ny=n)


def power(m: Model, watts: float = 2.0) -> np.ndarray[Any, Any]:
    maps = RNG.random((len(m.sources), m.ny, m.nx))
    return np.asarray(maps * watts * len(m.sources) / maps.sum())


@pytest.mark.parametrize("name", stacks())
def test_in_the_steady_state_all_heat_leaves(name: str) -> None:
    m = model(name, h_bottom_w_m2k=500.0, bottom_c=60.0)
    maps = power(m)
    assert sum(m.steady(maps).heat_out_w()) == pytest.approx(maps.sum(), rel=1e-9)


def test_what_does_not_leave_is_stored() -> None:
    m = model()
    maps, state = power(m), m.state()
    out = 0.0
    for _ in range(50):
        state.step(maps, 1e-3)
        out += 1e-3 * sum(state.heat_out_w())
    assert state.stored_j() + out == pytest.approx(maps.sum() * 0.05, rel=1e-9)


def test_transposed_and_mirrored_power_gives_transposed_and_mirrored_temperature() -> None:
    m = model()
    maps = power(m)
    t = m.steady(maps).temperature_c()
    assert np.allclose(m.steady(maps.transpose(0, 2, 1)).temperature_c(), t.transpose(0, 2, 1), atol=1e-9)
    assert np.allclose(m.steady(maps[:, ::-1]).temperature_c(), t[:, ::-1], atol=1e-9)


def test_temperatures_lie_between_the_coolant_and_what_heats_and_superpose() -> None:
    m = model()
    first, second = power(m), power(m)
    t1, t2, both = (m.steady(p).temperature_c() - m.reference_c for p in (first, second, first + second))
    assert (t1 > 0).all()
    assert np.allclose(t1 + t2, both, rtol=1e-9)
    state = m.state(initial_c=90.0)
    for _ in range(20):
        state.step({}, 1e-2)
        assert m.reference_c - 1e-9 <= state.temperature_c().min() <= state.temperature_c().max() <= 90 + 1e-9


def test_power_of_the_base_die_heats_the_base_die_most() -> None:
    m = model()
    means = m.steady({"BASE": 8.0}).mean_c()
    assert np.argmax(means) == m.sources.index("BASE")
    assert (np.diff(means) < 0).all()  # cooler from die to die upwards


def test_even_power_is_one_dimensional_and_the_resistances_say_so() -> None:
    m = model()
    watts = np.arange(1.0, len(m.sources) + 1)
    state = m.steady(watts)
    assert np.allclose(state.max_c(), state.min_c(), atol=1e-9)
    assert np.allclose(state.mean_c() - m.reference_c, m.resistance_k_per_w() @ watts, rtol=1e-9)


def test_exact_advance_is_what_small_steps_approach() -> None:
    m = model(n=4)
    maps = power(m)
    exact = m.state().advance(maps, 0.05).temperature_c()
    errors = []
    for steps in (50, 100):
        stepped = m.state().step(maps, 0.05 / steps, steps).temperature_c()
        errors.append(float(np.abs(stepped - exact).max()))
    assert errors[1] < 0.05 and errors[0] / errors[1] == pytest.approx(2, rel=0.1)  # first order
    split = m.state().advance(maps, 0.02).advance(maps, 0.03).temperature_c()
    assert np.allclose(split, exact, atol=1e-9)
    assert np.allclose(m.state().advance(maps, 1e4).temperature_c(), m.steady(maps).temperature_c(), atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [np.ones((2, 3)), {"DRAM77": 1.0}, {"BASE": -1.0}, {"BASE": np.nan}, {"BASE": np.ones((3, 3))}, "hot",
     [[1], [2, 3]]],  # fmt: skip
)
def test_power_that_cannot_be_is_refused(wrong: Any) -> None:
    with pytest.raises(HbmArgumentError):
        model().steady(wrong)


@pytest.mark.parametrize(
    "change",
    [{"dies": 0}, {"height_um": 100.0}, {"bond_um": -1.0}, {"tim_um": float("nan")}, {"h_top_w_m2k": -1.0}, {"lid": 3},
     {"x": 1}, {"tim_um": 5e-324}, {"width_mm": 1e-300}, {"coolant_c": 10**400}],  # fmt: skip
)
def test_geometry_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(HbmArgumentError):
        stack("HBM4_12H").replace(**change)


def test_no_way_out_for_heat_is_refused() -> None:
    with pytest.raises(HbmArgumentError, match="adiabatic"):
        model(h_top_w_m2k=0.0).steady({"BASE": 1.0})


def test_an_unknown_stack_is_refused_with_the_known_ones() -> None:
    with pytest.raises(HbmArgumentError, match="HBM4_12H"):
        hbm.thermal.stack("HBM9")
