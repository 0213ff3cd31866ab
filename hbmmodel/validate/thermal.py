"""Recorded temperatures, computed again from their inputs: layers, materials, boundary, power.

Owns the walk over one file and the form of the results; the inputs are `thermal_inputs`, the heat equation is
`hbmmodel.thermal`.  No recorded temperature is looked at before ours is complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hbmmodel.errors import HbmArgumentError
from hbmmodel.thermal import Boundary, Model, Power, State
from hbmmodel.thermal.layers import KELVIN
from hbmmodel.validate.recorded import differences, read_json, real, refuse
from hbmmodel.validate.thermal_inputs import Times, boundary, check_scheme, grid, layer_stack, power_maps, sample_times

__all__ = ["compute", "validate"]


def validate(paths: Sequence[str | Path]) -> dict[str, dict[str, Any]]:
    """Every file of the recorded form, in kelvin.

    Parameters
    ----------
    paths : sequence of str or Path
        Steady states, step responses (they have ``dt_s``) and matrices of resistance (they have ``h_top``).

    Returns
    -------
    dict
        ``{path: {"layers": {element: mean_K, max_K, min_K, grid_K}}}``, ``{path: {"samples": {t_s, mean_K, max_K}}}``
        or ``{path: {"R_K_per_W": rows}}``, with ``max_abs_difference`` where the file holds the recorded values, and
        ``assumed``, a list of sentences, where it leaves something open.

    Raises
    ------
    HbmTraceError
        A file cannot be read or is malformed, or what it recorded has another shape than its inputs give; the message
        names file and field.
    """
    return {str(path): compute(read_json(Path(path)), str(path)) for path in paths}


def compute(content: Any, where: str) -> dict[str, Any]:
    """The temperatures of one file's content; `where` begins every message."""
    if not isinstance(content, Mapping):
        refuse(where, "is no object")
    assumed: list[str] = []
    try:
        if "h_top" in content:
            found = _resistance(content, where)
        else:
            model = Model(layer_stack(content, where, boundary(content, where, assumed)), *grid(content, where))
            power = model.power(power_maps(content, model, where))
            if "dt_s" in content:
                check_scheme(content, where)
                times = sample_times(content, len(model.sources), where, assumed)
                initial_c = real(content, "initial_K", where, 0, 2000) - KELVIN
                found = _samples(model.state(initial_c), power, times)
            else:
                found = _layers(model.steady(power))
    except HbmArgumentError as error:
        refuse(where, str(error))
    return {**found, **_compared(found, content, where), **({"assumed": assumed} if assumed else {})}


def _compared(found: Mapping[str, Any], content: Mapping[str, Any], where: str) -> dict[str, Any]:
    result = differences(found, {name: content.get(name) for name in found})
    for path, off in result["values"].items():
        if off is None:
            refuse(where, f"{path}: recorded is what the inputs do not give: another name, another shape, or no number")
    return {"max_abs_difference": result["largest_absolute"]} if result["values"] else {}


def _layers(state: State) -> dict[str, Any]:
    found = {}
    for element in dict.fromkeys(layer.element for layer in state.model.layers.layers):
        cells = state.temperature_c(element) + KELVIN
        found[element] = {
            "mean_K": float(cells.mean()),
            "max_K": float(cells.max()),
            "min_K": float(cells.min()),
            "grid_K": cells.tolist(),
        }
    return {"layers": found}


def _samples(state: State, power: Power, times: Times) -> dict[str, Any]:
    names = state.model.sources
    mean: dict[str, list[float]] = {name: [] for name in names}
    hottest: dict[str, list[float]] = {name: [] for name in names}
    done = 0
    for step in times.steps:
        state.step(power, times.dt_s, step - done)
        done = step
        for name, one, most in zip(names, state.mean_c(), state.max_c(), strict=True):
            mean[name].append(float(one) + KELVIN)
            hottest[name].append(float(most) + KELVIN)
    return {"samples": {"t_s": times.t_s, "mean_K": mean, "max_K": hottest}}


def _resistance(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    face = Boundary(real(content, "h_top", where, 0, 1e9), 0.0)
    model = Model(layer_stack(content, where, face), 1, 1)
    matrix = model.resistance_k_per_w()
    dies = content.get("dies", list(model.sources))
    if not isinstance(dies, list) or sorted(map(str, dies)) != sorted(model.sources):
        refuse(where, f"dies must list {', '.join(model.sources)}")
    order = [model.sources.index(str(name)) for name in dies]
    return {"R_K_per_W": matrix[np.ix_(order, order)].tolist()}
