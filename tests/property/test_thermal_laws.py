"""Laws of heat on stacks of any layers, mild and extreme, and bits that nothing outside may change."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hbmmodel.thermal import Boundary, Layer, LayerStack, Material, Model
from hbmmodel.thermal.longstep import AT_INFINITY, POLES, RESIDUES

ABOVE, BELOW = 40.0, -20.0


def decades(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high).map(lambda exponent: 10.0**exponent)


@st.composite
def models(draw: Any, *, square: bool = False, ways_out: str = "any", sources: int = 3) -> Model:
    """Any stack: nine decades of conductivity, heat that leaves by a trickle, layers of 10 nm beside 10 mm."""
    layers = []
    for i in range(draw(st.integers(max(sources, 2), 9))):
        material = Material(f"M{i}", draw(decades(-4, 5)), draw(decades(3, 8)), draw(st.none() | decades(-4, 5)))
        layers.append(Layer(f"L{i}", f"L{i}", material, draw(decades(-2, 4)), f"L{i}" if i % 2 or i == 0 else None))
    top = draw(decades(-3, 7)) if ways_out in ("top", "both") else draw(st.just(0.0) | decades(-3, 7))
    bottom = 0.0 if ways_out == "top" else draw(decades(-3, 7)) if ways_out == "both" or top == 0.0 else draw(
        st.just(0.0) | decades(-3, 7)
    )
    side = draw(decades(-4, -1))
    boundary = Boundary(top, ABOVE, bottom, BELOW)
    nx = draw(st.integers(1, 7))
    ny, depth = (nx, side) if square else (draw(st.integers(1, 7)), draw(decades(-4, -1)))
    return Model(LayerStack(tuple(layers), side, depth, boundary), nx, ny)


@st.composite
def powers(draw: Any, model: Model) -> Any:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    maps = rng.random((len(model.sources), model.ny, model.nx)) * 10.0 ** rng.uniform(-4, 2, (len(model.sources), 1, 1))
    return np.where(rng.random(maps.shape) < 0.3, 0.0, maps)


@given(st.data(), models())
@settings(max_examples=300, deadline=None)
def test_in_the_steady_state_all_heat_leaves(data: Any, model: Model) -> None:
    maps = data.draw(powers(model))
    out = model.steady(maps).heat_out_w()
    flows = maps.sum() + max(abs(out[0]), abs(out[1]))
    # What passes the bottom is told from a difference of temperatures, of which a float has sixteen digits.
    digits = 1e-15 * (ABOVE - BELOW) * model.network.conductance[-1] * model.n_cells
    assert abs(sum(out) - maps.sum()) <= 2e-13 * flows + digits


@given(st.data(), models(), decades(-8, 3))
@settings(max_examples=200, deadline=None)
def test_what_does_not_leave_is_stored(data: Any, model: Model, dt_s: float) -> None:
    maps, state = data.draw(powers(model)), model.state(initial_c=70.0)
    flows = state.stored_j() + dt_s * (ABOVE - BELOW) * model.network.conductance[-1] * model.n_cells
    begin, out = state.stored_j(), 0.0
    for _ in range(8):
        state.step(maps, dt_s)
        out += dt_s * sum(state.heat_out_w())
        flows += dt_s * (maps.sum() + sum(map(abs, state.heat_out_w())))
    assert abs(state.stored_j() + out - begin - 8 * dt_s * maps.sum()) <= 1e-11 * flows


@given(st.data(), models(), decades(-8, 3))
@settings(max_examples=200, deadline=None)
def test_without_power_nothing_is_warmer_or_colder_than_what_was_there(data: Any, model: Model, dt_s: float) -> None:
    start = data.draw(st.floats(-50, 200))
    around = [start, ABOVE] + [BELOW] * model.network.has_bottom_path
    stepped, advanced = model.state(start), model.state(start)
    for _ in range(5):
        stepped.step({}, dt_s)
        advanced.advance({}, dt_s)
        for state, slack in ((stepped, 1e-9), (advanced, 1e-6)):
            found = state.temperature_c([layer.name for layer in model.layers.layers])
            assert min(around) - slack <= found.min() and found.max() <= max(around) + slack


@given(st.data(), models(square=True))
@settings(max_examples=100, deadline=None)
def test_transposed_mirrored_and_symmetric_power_gives_such_temperatures(data: Any, model: Model) -> None:
    maps = data.draw(powers(model))
    t = model.steady(maps).temperature_c()
    near = 1e-11 * np.abs(t).max()
    assert np.abs(model.steady(maps.transpose(0, 2, 1)).temperature_c() - t.transpose(0, 2, 1)).max() <= near
    assert np.abs(model.steady(maps[:, ::-1]).temperature_c() - t[:, ::-1]).max() <= near
    both = model.steady(maps + maps.transpose(0, 2, 1)).temperature_c()
    assert np.abs(both - both.transpose(0, 2, 1)).max() <= 1e-11 * np.abs(both).max()


@given(st.data(), models(ways_out="top"))
@settings(max_examples=100, deadline=None)
def test_temperatures_add_up_as_powers_do(data: Any, model: Model) -> None:
    first, second = data.draw(powers(model)), data.draw(powers(model))
    t1, t2, both = (model.steady(p).temperature_c() - ABOVE for p in (first, second, first + second))
    assert np.abs(t1 + t2 - both).max() <= 1e-11 * np.abs(both).max() + 1e-12  # of 40 degC, sixteen digits


@given(st.data(), models(ways_out="top"))
@settings(max_examples=100, deadline=None)
def test_power_of_the_lowest_layer_heats_that_layer_most(data: Any, model: Model) -> None:
    lowest = model.sources[0]
    means = model.steady({lowest: data.draw(decades(-2, 3))}).mean_c()
    assert means[0] >= means.max() - 1e-9 * abs(means.max())


@given(models(ways_out="both"), st.integers(0, 8), decades(-3, 2))
@settings(max_examples=200, deadline=None)
def test_even_power_divides_between_top_and_bottom_as_resistances_say(model: Model, which: int, watts: float) -> None:
    source = model.sources[which % len(model.sources)]
    at = model.layers.find(source)
    area = Fraction(model.layers.width_m) * Fraction(model.layers.depth_m)
    half = [
        Fraction(layer.thickness_um) / 1_000_000 / (2 * Fraction(layer.material.k_w_mk) * area)
        for layer in model.layers.layers
    ]
    boundary = model.layers.boundary
    up = 1 / (Fraction(boundary.h_top_w_m2k) * area) + 2 * sum(half[:at]) + half[at]
    down = 1 / (Fraction(boundary.h_bottom_w_m2k) * area) + 2 * sum(half[at + 1 :]) + half[at]
    rise = (Fraction(watts) + (Fraction(BELOW) - Fraction(ABOVE)) / down) / (1 / up + 1 / down)
    size = abs(float(rise)) + float(Fraction(watts) / (1 / up + 1 / down)) + ABOVE
    state = model.steady({source: watts})
    assert abs(state.mean_c(source) - ABOVE - float(rise)) <= 1e-11 * size
    assert abs(state.max_c(source) - state.min_c(source)) <= 1e-11 * size


@given(st.data(), models())
@settings(max_examples=60, deadline=None)
def test_a_long_step_in_two_parts_is_the_same_and_ends_in_the_steady_state(data: Any, model: Model) -> None:
    maps, seconds = data.draw(powers(model)), data.draw(decades(-6, 4))
    whole = model.state(60.0).advance(maps, seconds)
    parts = model.state(60.0).advance(maps, seconds * 0.3).advance(maps, seconds * 0.7)
    scale = max(np.abs(whole.temperature_c()).max(), 60.0)
    assert np.abs(parts.temperature_c() - whole.temperature_c()).max() <= 1e-8 * scale
    slowest = float((model.network.capacity.sum()) / max(model.network.conductance[[0, -1]]))
    assume(slowest < 1e9)
    steady = model.steady(maps).temperature_c()
    reached = model.state(60.0).advance(maps, 1e12).temperature_c()
    assert np.abs(reached - steady).max() <= 1e-8 * max(np.abs(steady).max(), 60.0)


def test_the_rational_approximation_is_the_exponential_on_the_negative_axis() -> None:
    z = -np.concatenate([[0.0], np.logspace(-12, 9, 5000)])
    found = AT_INFINITY + 2 * (RESIDUES / (z[:, None] - POLES)).sum(axis=1).real
    assert np.abs(found - np.exp(z)).max() < 5e-14


PROGRAM = """
import hashlib, numpy as np
from hbmmodel.thermal import Model, stack
model = Model(stack("HBM3E_8H"), nx=129, ny=129)
maps = np.random.default_rng(1).random((len(model.sources), 129, 129))
state = model.steady(maps).step(maps[::-1], 1e-3, 3).advance(maps, 0.02)
told = (state.temperature_c(), state.mean_c(), state.stored_j(), model.resistance_k_per_w())
print(hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in told)).hexdigest())
"""


def test_the_bits_do_not_depend_on_threads() -> None:
    def bits(threads: str) -> str:
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, threads)
        run = [sys.executable, "-c", PROGRAM]
        return subprocess.run(run, env=environment, check=True, capture_output=True, text=True).stdout

    assert bits("1") == bits("2") == bits("3")


INTERRUPTED = """
import signal
from hbmmodel.thermal import Model, stack
model = Model(stack("HBM3E_8H"), nx=64, ny=64)
state = model.state()
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    state.step({"BASE": 5.0}, 1e-3, 1 << 40)
except KeyboardInterrupt:
    done = round(state.time_s / 1e-3)
    again = model.state().step({"BASE": 5.0}, 1e-3, done)
    print("interrupted", done > 0 and (state.theta == again.theta).all())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a timer that signals")
def test_many_steps_can_be_interrupted_and_the_state_knows_how_far_it_came() -> None:
    run = [sys.executable, "-c", INTERRUPTED]
    assert subprocess.run(run, check=True, capture_output=True, text=True, timeout=60).stdout == "interrupted True\n"
