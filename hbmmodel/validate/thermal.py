"""Recorded temperatures, computed again from their inputs: layers, materials, boundary, power.

Owns the recorded form and its refusal when malformed; the heat equation is `hbmmodel.thermal`.  No recorded temperature
is looked at before ours is complete.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.thermal import Boundary, Layer, LayerStack, Material, Model, State
from hbmmodel.thermal.layers import KELVIN

__all__ = ["compute", "validate"]

FILE_MAX_BYTES = 256 << 20
STEPS_MAX = 10_000_000


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
        or ``{path: {"R_K_per_W": rows}}``, with ``max_abs_difference`` where the file holds the recorded values.

    Raises
    ------
    HbmTraceError
        A file is malformed; the message names file and field.
    OSError
        A file cannot be read.
    """
    return {str(path): compute(_read(Path(path)), str(path)) for path in paths}


def compute(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The temperatures of one file's content; `where` begins every message."""
    try:
        if "h_top" in content:
            return _resistance(content, where)
        model = Model(_layer_stack(content, where, _boundary(content, where)), *_grid(content, where))
        power = _power(content, model, where)
        if "dt_s" in content:
            return _samples(content, model, power, where)
        return _layers(content, model.steady(power))
    except HbmArgumentError as error:
        raise HbmTraceError(f"{where}: {error}") from None


def _layers(content: Mapping[str, Any], state: State) -> dict[str, Any]:
    found = {}
    for element in dict.fromkeys(layer.element for layer in state.model.layers.layers):
        grid = state.temperature_c(element) + KELVIN
        found[element] = {
            "mean_K": float(grid.mean()),
            "max_K": float(grid.max()),
            "min_K": float(grid.min()),
            "grid_K": grid.tolist(),
        }
    return {"layers": found, **_differing({"layers": found}, {"layers": content.get("layers")})}


def _samples(content: Mapping[str, Any], model: Model, power: NDArray[np.float64], where: str) -> dict[str, Any]:
    dt_s = _real(content, "dt_s", where, 1e-12, 1e6)
    every = _steps(_real(content, "sample_every_s", where, dt_s, 1e9), dt_s, where)
    recorded = content.get("samples")
    times = recorded.get("t_s") if isinstance(recorded, Mapping) else None
    cost = content.get("cost")
    if isinstance(times, list) and times:
        n = len(times)
    elif isinstance(cost, Mapping) and isinstance(cost.get("steps"), int):
        n = cost["steps"] // every
    else:
        n = _steps(float(content.get("t_end_s", 1.5)), dt_s, where) // every
    if not 0 < n * every <= STEPS_MAX:
        _refuse(where, f"{n * every} steps; give 1 to {STEPS_MAX}")
    state = model.state(_real(content, "initial_K", where, 0, 2000) - KELVIN)
    made = model.power(power)
    names = model.sources
    mean: dict[str, list[float]] = {name: [] for name in names}
    hottest: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(n):
        state.step(made, dt_s, every)
        for name, one, most in zip(names, state.mean_c(), state.max_c(), strict=True):
            mean[name].append(float(one) + KELVIN)
            hottest[name].append(float(most) + KELVIN)
    t_s = [float((i + 1) * every * dt_s) for i in range(n)]
    found = {"samples": {"t_s": t_s, "mean_K": mean, "max_K": hottest}}
    return {**found, **_differing(found, {"samples": recorded})}


def _resistance(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    boundary = Boundary(_real(content, "h_top", where, 0, 1e9), 0.0)
    model = Model(_layer_stack(content, where, boundary), 1, 1)
    matrix = model.resistance_k_per_w()
    dies = content.get("dies", list(model.sources))
    if not isinstance(dies, list) or set(dies) != set(model.sources) or len(dies) != len(model.sources):
        _refuse(where, f"dies must list {', '.join(model.sources)}")
    order = [model.sources.index(name) for name in dies]
    found = {"R_K_per_W": matrix[np.ix_(order, order)].tolist()}
    return {**found, **_differing(found, content)}


def _boundary(content: Mapping[str, Any], where: str) -> Boundary:
    b = content.get("boundary")
    if not isinstance(b, Mapping):
        _refuse(where, "boundary is missing or no object")
    at = f"{where}: boundary"
    bottom = b.get("bottom_h_W_m2K") or 0.0
    top_c = _real(b, "top_ambient_K", at, 0, 2273) - KELVIN
    bottom_k = b.get("bottom_ambient_K")
    bottom_c = top_c if bottom_k is None else _real(b, "bottom_ambient_K", at, 0, 2273) - KELVIN
    h_bottom = _real({"bottom_h_W_m2K": bottom}, "bottom_h_W_m2K", at, 0, 1e9)
    return Boundary(_real(b, "top_h_W_m2K", at, 0, 1e9), top_c, h_bottom, bottom_c)


def _layer_stack(content: Mapping[str, Any], where: str, boundary: Boundary) -> LayerStack:
    side = _real(content, "side_m", where, 1e-6, 10)
    tables, listed = content.get("materials"), content.get("layers_top_to_bottom")
    if not isinstance(tables, Mapping) or not isinstance(listed, list):
        _refuse(where, "materials must be an object and layers_top_to_bottom a list")
    materials = {}
    for name, table in tables.items():
        at = f"{where}: materials.{name}"
        if not isinstance(table, Mapping):
            _refuse(at, "is no object")
        materials[name] = Material(str(name), _real(table, "k", at, 0, 1e5), _real(table, "cv", at, 0, 1e9))
    layers = []
    for i, record in enumerate(listed):
        at = f"{where}: layers_top_to_bottom[{i}]"
        if not isinstance(record, Mapping) or not isinstance(record.get("name"), str):
            _refuse(at, "is no object with a name")
        if record.get("material") not in materials:
            _refuse(at, f"material {record.get('material')!r} is not in materials")
        source = record.get("source")
        layers.append(
            Layer(
                record["name"],
                str(record.get("element", record["name"])),
                materials[record["material"]],
                _real(record, "t_um", at, 0, 1e5),
                None if source is None else str(source),
            )
        )
    return LayerStack(tuple(layers), side, side, boundary)


def _grid(content: Mapping[str, Any], where: str) -> tuple[int, int]:
    grid = content.get("grid")
    if not isinstance(grid, list) or len(grid) != 2 or not all(isinstance(n, int) and 0 < n <= 256 for n in grid):
        _refuse(where, f"grid is {grid!r}; it must be two whole numbers, rows and columns, from 1 to 256")
    return grid[1], grid[0]


def _power(content: Mapping[str, Any], model: Model, where: str) -> NDArray[np.float64]:
    """Blocks of (x, y, width, height, watts) spread over the cells by the area they share."""
    power = content.get("power")
    blocks = power.get("blocks_um_x_y_w_h_W") if isinstance(power, Mapping) else None
    if not isinstance(blocks, Mapping):
        _refuse(where, "power.blocks_um_x_y_w_h_W is missing or no object")
    side_um = 1e6 * model.layers.width_m
    maps = np.zeros((len(model.sources), model.ny, model.nx))
    for name, listed in blocks.items():
        at = f"{where}: power.blocks_um_x_y_w_h_W.{name}"
        if name not in model.sources:
            _refuse(at, f"there is no such source; sources: {', '.join(model.sources)}")
        if not isinstance(listed, list):
            _refuse(at, "is no list of blocks")
        for block in listed:
            if not isinstance(block, list) or len(block) != 5 or not all(_is_number(v) for v in block):
                _refuse(at, f"{block!r} is no block of five finite numbers")
            x, y, width, depth, watts = block
            inside = 0 <= x and 0 <= y and x + width <= side_um * (1 + 1e-9) and y + depth <= side_um * (1 + 1e-9)
            if width <= 0 or depth <= 0 or watts < 0 or not inside:
                _refuse(at, f"block {block} has no area, negative power, or lies outside of {side_um:g} um")
            shares = np.outer(_overlap(y, depth, side_um, model.ny), _overlap(x, width, side_um, model.nx))
            maps[model.sources.index(name)] += watts * shares
    return maps


def _overlap(begin: float, length: float, side: float, n: int) -> NDArray[np.float64]:
    edges = np.linspace(0.0, side, n + 1)
    low, high = np.maximum(edges[:-1], begin), np.minimum(edges[1:], begin + length)
    share = np.maximum(high - low, 0.0)
    return np.asarray(share / share.sum())


def _differing(ours: Any, recorded: Any) -> dict[str, float]:
    """The largest difference of numbers that both have, if there is any."""
    worst: list[float] = []

    def walk(a: Any, b: Any) -> None:
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            for key in a.keys() & b.keys():
                walk(a[key], b[key])
        elif isinstance(a, list) and isinstance(b, list):
            for one, other in zip(a, b, strict=False):
                walk(one, other)
        elif _is_number(a) and _is_number(b):
            worst.append(abs(a - b))

    walk(ours, recorded)
    return {"max_abs_difference": max(worst)} if worst else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _real(table: Mapping[str, Any], name: str, where: str, low: float, high: float) -> float:
    value = table.get(name)
    if not _is_number(value) or not low <= float(value) <= high:  # type: ignore[arg-type]
        _refuse(where, f"{name} is {value!r}; it must be a number in {low:g}..{high:g}")
    return float(value)  # type: ignore[arg-type]


def _steps(seconds: float, dt_s: float, where: str) -> int:
    n = round(seconds / dt_s)
    if n < 1 or n > STEPS_MAX or abs(n * dt_s - seconds) > 1e-6 * seconds:
        _refuse(where, f"{seconds:g} s is no whole number of steps of {dt_s:g} s, or more than {STEPS_MAX}")
    return n


def _read(path: Path) -> Mapping[str, Any]:
    if path.stat().st_size > FILE_MAX_BYTES:
        _refuse(str(path), f"is larger than {FILE_MAX_BYTES} bytes")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        _refuse(str(path), f"is no JSON: {error}")
    if not isinstance(content, Mapping):
        _refuse(str(path), "is no object")
    return content


def _refuse(where: str, message: str) -> NoReturn:
    raise HbmTraceError(f"{where}: {message}")
