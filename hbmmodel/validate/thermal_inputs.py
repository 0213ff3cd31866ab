"""The inputs of recorded temperatures: layers, boundary, grid, power, times.

Owns the recorded form and its refusal when malformed or contradictory; must not know results or the heat equation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.thermal import Boundary, Layer, LayerStack, Material, Model
from hbmmodel.thermal.layers import KELVIN
from hbmmodel.validate.recorded import is_number, real, refuse, short, sub_object, whole

__all__ = ["Times", "boundary", "check_scheme", "grid", "layer_stack", "power_maps", "sample_times"]

STEPS_MAX = 10_000_000
NUMBERS_MAX = 4_000_000
"""Samples times sources: what the lists of a result may hold."""
ROW_ORDER = "row 0 is y = 0"
T_END_S = 1.5
"""How long a step response without samples, ``cost.steps`` and ``t_end_s`` lasts: as long as the recorded one."""


@dataclass(frozen=True)
class Times:
    """When a step response is sampled: `t_s`, and the number of steps of `dt_s` up to each."""

    dt_s: float
    t_s: list[float]
    steps: list[int]


def boundary(content: Mapping[str, Any], where: str, assumed: list[str]) -> Boundary:
    """The two faces; what a body below leaves open is taken from the coolant and noted in `assumed`."""
    faces, at = sub_object(content, "boundary", where), f"{where}: boundary"
    if faces.get("sides", "adiabatic") != "adiabatic":
        refuse(at, f"sides are {short(faces['sides'])}; only adiabatic sides can be computed")
    top_c = real(faces, "top_ambient_K", at, 0, 2273) - KELVIN
    h_bottom = 0.0 if faces.get("bottom_h_W_m2K") is None else real(faces, "bottom_h_W_m2K", at, 0, 1e9)
    bottom_c = top_c
    if faces.get("bottom_ambient_K") is not None:
        bottom_c = real(faces, "bottom_ambient_K", at, 0, 2273) - KELVIN
    elif h_bottom > 0:
        assumed.append(f"boundary.bottom_ambient_K is not given: {top_c + KELVIN:g} K, that of the top")
    return Boundary(real(faces, "top_h_W_m2K", at, 0, 1e9), top_c, h_bottom, bottom_c)


def layer_stack(content: Mapping[str, Any], where: str, faces: Boundary) -> LayerStack:
    """Layers of the materials of the file, square."""
    side = real(content, "side_m", where, 1e-6, 10)
    materials = {}
    for label, table in sub_object(content, "materials", where).items():
        at = f"{where}: materials.{label}"
        if not isinstance(table, Mapping):
            refuse(at, "is no object")
        materials[label] = Material(label, real(table, "k", at, 0, 1e5), real(table, "cv", at, 0, 1e9))
    listed = content.get("layers_top_to_bottom")
    if not isinstance(listed, list):
        refuse(where, "layers_top_to_bottom is missing or no list")
    layers = []
    for i, record in enumerate(listed):
        at = f"{where}: layers_top_to_bottom[{i}]"
        if not isinstance(record, Mapping):
            refuse(at, "is no object with a name")
        name, source = record.get("name"), record.get("source")
        element, material = record.get("element", name), record.get("material")
        for what, value in (("name", name), ("element", element), ("material", material), ("source", source)):
            if not isinstance(value, str) and not (value is None and what == "source"):
                refuse(at, f"{what} is {short(value)}; it must be text")
        if material not in materials:
            refuse(at, f"material {short(material)} is not in materials")
        thickness_um = real(record, "t_um", at, 0, 1e5)
        layers.append(Layer(str(name), str(element), materials[material], thickness_um, source))
    return LayerStack(tuple(layers), side, side, faces)


def grid(content: Mapping[str, Any], where: str) -> tuple[int, int]:
    """Cells in x and in y; the file tells rows, then columns."""
    cells = content.get("grid")
    if not isinstance(cells, list) or len(cells) != 2 or not all(type(n) is int and 0 < n <= 256 for n in cells):
        refuse(where, f"grid is {short(cells)}; it must be two whole numbers, rows and columns, from 1 to 256")
    order = content.get("row_order", ROW_ORDER)
    if order != ROW_ORDER:
        refuse(where, f"row_order is {short(order)}; rows must be in the order of y: {ROW_ORDER!r}")
    return cells[1], cells[0]


def power_maps(content: Mapping[str, Any], model: Model, where: str) -> NDArray[np.float64]:
    """Blocks of (x, y, width, depth, watts), spread over the cells by the area they share."""
    power = sub_object(content, "power", where)
    blocks, side_um = sub_object(power, "blocks_um_x_y_w_h_W", f"{where}: power"), 1e6 * model.layers.width_m
    maps = np.zeros((len(model.sources), model.ny, model.nx))
    for name, listed in blocks.items():
        at = f"{where}: power.blocks_um_x_y_w_h_W.{name}"
        if name not in model.sources:
            refuse(at, f"there is no such source; sources: {', '.join(model.sources)}")
        if not isinstance(listed, list):
            refuse(at, "is no list of blocks")
        for block in listed:
            if not isinstance(block, list) or len(block) != 5 or not all(is_number(v) for v in block):
                refuse(at, f"{short(block)} is no block of five finite numbers")
            x, y, width, depth, watts = block
            end, least = side_um * (1 + 1e-9), side_um * 1e-9
            inside = 0 <= x and 0 <= y and x + width <= end and y + depth <= end
            if not inside or min(width, depth) < least or not 0 <= watts <= 1e9:
                refuse(at, f"block {short(block)} has no area, no possible power, or lies outside of {side_um:g} um")
            shares = np.outer(_overlap(y, depth, side_um, model.ny), _overlap(x, width, side_um, model.nx))
            maps[model.sources.index(name)] += watts * shares
    total_w = float(maps.sum())
    if power.get("total_W") is not None:
        stated_w = real(power, "total_W", f"{where}: power")
        if abs(stated_w - total_w) > 1e-6 * max(stated_w, total_w):
            refuse(where, f"power.total_W is {stated_w:g}, but the blocks add up to {total_w:g} W")
    return maps


def _overlap(begin: float, length: float, side: float, n: int) -> NDArray[np.float64]:
    edges = np.linspace(0.0, side, n + 1)
    low, high = np.maximum(edges[:-1], begin), np.minimum(edges[1:], begin + length)
    share = np.maximum(high - low, 0.0)
    return np.asarray(share / share.sum())


def check_scheme(content: Mapping[str, Any], where: str) -> None:
    """Refuse another way through time than backward Euler."""
    scheme = content.get("scheme", "backward Euler")
    if not isinstance(scheme, str) or not scheme.startswith("backward"):
        refuse(where, f"scheme is {short(scheme)}; only backward Euler can be computed")


def sample_times(content: Mapping[str, Any], n_sources: int, where: str, assumed: list[str]) -> Times:
    """When to sample: ``samples.t_s`` where it is there, else every ``sample_every_s`` up to the end."""
    dt_s = real(content, "dt_s", where, 1e-12, 1e6)
    recorded = content.get("samples")
    given = recorded.get("t_s") if isinstance(recorded, Mapping) else None
    if given is not None:
        if not isinstance(given, list) or not given:
            refuse(where, "samples.t_s must be a list of times")
        steps = [_steps(t, dt_s, f"{where}: samples.t_s[{i}]") for i, t in enumerate(given)]
        for i, (before, after) in enumerate(zip(steps, steps[1:], strict=False), 1):
            if after <= before:
                refuse(where, f"samples.t_s[{i}] is not after the time before it")
    else:
        every = _steps(content.get("sample_every_s"), dt_s, f"{where}: sample_every_s")
        cost = content.get("cost")
        if isinstance(cost, Mapping) and "steps" in cost:
            end = whole(cost, "steps", f"{where}: cost", 1, STEPS_MAX)
        else:
            end = _steps(content.get("t_end_s", T_END_S), dt_s, f"{where}: t_end_s")
            if "t_end_s" not in content:
                assumed.append(f"neither samples.t_s nor t_end_s is given: {T_END_S:g} s")
        if every == 0 or every > end:
            refuse(where, f"sample_every_s is {every} steps of {end}: there is no sample")
        steps = list(range(every, end + 1, every))
    if len(steps) * n_sources > NUMBERS_MAX:
        refuse(where, f"{len(steps)} samples of {n_sources} sources are more than {NUMBERS_MAX} numbers")
    return Times(dt_s, [step * dt_s for step in steps], steps)


def _steps(seconds: object, dt_s: float, where: str) -> int:
    if not is_number(seconds) or not 0 <= seconds <= STEPS_MAX * dt_s:
        refuse(where, f"{short(seconds)} is no time from 0 to {STEPS_MAX} steps of {dt_s:g} s")
    n = round(seconds / dt_s)
    if abs(n * dt_s - seconds) > 1e-6 * dt_s:
        refuse(where, f"{seconds:g} s is no whole number of steps of {dt_s:g} s")
    return n
