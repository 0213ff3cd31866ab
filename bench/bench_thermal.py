"""The heat equation of the 12-high stack on 22 x 22 cells, 25,652 unknowns: backward-Euler steps, and a steady state
from new power maps without the first factorisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from hbmmodel.thermal import Model, stack


def case() -> tuple[Model, Any]:
    model = Model(stack("HBM4_12H"), nx=22, ny=22)
    return model, np.random.default_rng(0).random((len(model.sources), 22, 22)) * 26 / 484 / 6.5


def test_thousand_steps(benchmark: Any) -> None:
    model, maps = case()
    power, state = model.power(maps), model.state()
    benchmark(state.step, power, 1e-3, 1000)


def test_steady_state(benchmark: Any) -> None:
    model, maps = case()
    benchmark(model.steady, maps)
