"""Series on matplotlib's axes.

Owns marks, axes and legends; must not know results' tables. Importing this loads matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from hbmmodel.energy import COMPONENTS
from hbmmodel.report.content import CAUSES, STATES
from hbmmodel.report.figures.base import scale_of_rates, scale_of_times
from hbmmodel.report.palette import CAUSE, COMPONENT, SERIES, STATE, resolve
from hbmmodel.report.series import (
    OTHERS,
    Account,
    CrossSection,
    DieTemperatures,
    Flow,
    LatencyTail,
    Layers,
    Map,
    TopOperations,
)
from hbmmodel.report.units import energy_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from hbmmodel.result import Result

__all__ = [
    *("account", "bandwidth", "cross_section", "energy", "heat", "latency", "operations", "states", "temperature"),
]

WIDE, LOW, ROW = 9.0, 3.6, 0.28
"""Inches: of new axes, and of every row of a picture that has rows."""

TEXT_MAX = 46
PICO = 1e-12


def _axes(ax: Axes | None, height: float = LOW) -> Axes:
    """Those given, or the only ones of a new figure."""
    if ax is None:
        _, ax = plt.subplots(figsize=(WIDE, height), layout="constrained")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax


def _legend(ax: Axes) -> None:
    """Above the axes, where it hides nothing."""
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize="small", borderaxespad=0.2)


def _plain(text: str) -> str:
    """A name as matplotlib shows it: short, on one line, and a dollar does not begin a formula."""
    flat = " ".join(text.split()) or "(no name)"
    short = flat if len(flat) <= TEXT_MAX else flat[: TEXT_MAX - 1] + "\u2026"
    return "".join(c for c in short if c.isprintable()).replace("$", r"\$").lstrip("_")


def _stacked(
    ax: Axes, edges: NDArray[np.float64], values: NDArray[np.float64], names: Sequence[str], colours: Sequence[str]
) -> None:
    floor = np.zeros(len(edges) - 1)
    for name, row, colour in zip(names, values, colours, strict=True):
        top = floor + row
        ax.stairs(top, edges, baseline=floor, fill=True, color=resolve(colour), label=_plain(name), linewidth=0)
        floor = top
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(bottom=0)


def bandwidth(layers: Layers, peak_gb_per_s: float, ax: Axes | None) -> Axes:
    """Layers of bandwidth under the peak."""
    ax = _axes(ax)
    time_scale, time_unit = scale_of_times(float(layers.edges_ns[-1]))
    scale, unit = scale_of_rates(peak_gb_per_s)
    colours = list(SERIES[: len(layers.names)])
    if layers.names[-1].endswith(OTHERS.format("")):
        colours[-1] = "@other"
    _stacked(ax, layers.edges_ns / time_scale, layers.values / scale, layers.names, colours)
    ax.axhline(peak_gb_per_s / scale, color=resolve("@muted"), linestyle=":", linewidth=1.2, label="peak")
    ax.set(xlabel=f"time, {time_unit}", ylabel=f"bandwidth, {unit}")
    _legend(ax)
    return ax


def states(layers: Layers, ax: Axes | None) -> Axes:
    """Layers of power states."""
    ax = _axes(ax)
    time_scale, time_unit = scale_of_times(float(layers.edges_ns[-1]))
    names = [STATES.get(name, name) for name in layers.names]
    colours = [STATE.get(name, "@other") for name in layers.names]
    _stacked(ax, layers.edges_ns / time_scale, layers.values, names, colours)
    ax.set(xlabel=f"time, {time_unit}", ylabel="share of the pseudo-channels", ylim=(0, 1))
    ax.yaxis.set_major_formatter("{x:.0%}")
    _legend(ax)
    return ax


def latency(tail: LatencyTail, ax: Axes | None) -> Axes:
    """The tail with its percentiles."""
    ax = _axes(ax)
    scale, unit = scale_of_times(tail.begin_ns)
    x = np.append(tail.latency_ns, tail.marks["max"]) / scale
    ax.step(x, np.append(tail.share_above, tail.share_above[-1:]), where="post", color=resolve("@c1"))
    for name, value, share in tail.points:
        at = value / scale
        ax.plot(at, share, "o", color=resolve("@c8"), markersize=5)
        ax.annotate(name, (at, share), xytext=(6, 4), textcoords="offset points", fontsize="small")
    ax.set(xscale="log", yscale="log", xlabel=f"read latency, controller to data, {unit}")
    ends = (0.8 * tail.begin_ns / scale, 1.2 * tail.marks["max"] / scale)
    ax.set(ylabel="share of reads that took longer", xlim=ends)
    ax.grid(color=resolve("@grid"))
    return ax


def account(found: Account, lost_only: bool, ax: Axes | None) -> Axes:
    """The account, a bar per row."""
    ax = _axes(ax, 1.6 + ROW * len(found.rows))
    left = np.zeros(len(found.rows))
    for i, cause in enumerate(found.causes):
        if lost_only and cause == "data":
            continue
        share = found.shares[:, i]
        name, colour = CAUSES.get(cause, cause), resolve(CAUSE.get(cause, "@other"))
        ax.barh(range(len(left)), share, left=left, color=colour, label=name, edgecolor="white", linewidth=0.5)
        left = left + share
    _rows(ax, found.rows)
    ax.set_xlabel("share of the time")
    ax.set_xlim(0, None if lost_only else 1)
    ax.xaxis.set_major_formatter("{x:.1%}" if lost_only else "{x:.0%}")
    _legend(ax)
    return ax


def _rows(ax: Axes, names: Sequence[str]) -> None:
    """Names of rows, the first on top; of many, as many as can be read."""
    step = max(1, -(-len(names) // 24))
    ax.set_yticks(range(0, len(names), step), [_plain(name) for name in names[::step]])
    ax.set_ylim(len(names) - 0.5, -0.5)


def _ramp(name: str) -> Any:
    return LinearSegmentedColormap.from_list(name, [str(pair[1]) for pair in resolve(f"@{name}")])


def heat(found: Map, ramp: str, ax: Axes | None) -> Axes:
    """A map with its bar."""
    ax = _axes(ax, min(max(2.4, 1.4 + 0.2 * len(found.rows)), 6.0))
    most = max(1.0, float(found.values.max())) if not found.unit and found.what.startswith("share") else None
    image = ax.imshow(found.values, aspect="auto", interpolation="nearest", cmap=_ramp(ramp), vmin=0, vmax=most)
    _rows(ax, found.rows)
    ax.set(xlabel=found.column_name, ylabel="")
    unit = f", {found.unit}" if found.unit else ""
    ax.figure.colorbar(image, ax=ax, label=found.what + unit, format="{x:.0%}" if most else None)
    return ax


def energy(result: Result, flow: Flow, ax: Axes | None) -> Axes:
    """A bar per component, with the span of the energy set."""
    table = result.energy
    keys = [key for key in flow.keys if key]
    of = {key: table["component"] == key for key in keys}
    columns = {c: [float(table[c][of[key]].sum()) for key in keys] for c in ("pj_low", "pj", "pj_high")}
    ax = _axes(ax, 1.2 + ROW * len(keys))
    middle = np.array(columns["pj"]) * PICO
    span = np.abs(np.array([columns["pj_low"], columns["pj_high"]]) * PICO - middle)
    style = {"ecolor": resolve("@muted"), "capsize": 2}
    colours = [resolve(COMPONENT.get(key, "@muted")) for key in keys]
    ax.barh(range(len(keys)), middle, xerr=span, color=colours, error_kw=style)
    _rows(ax, [COMPONENTS.get(key, key) for key in keys])
    ax.set_xlabel(f"energy, J; all: {energy_text(flow.total_pj)}")
    return ax


def temperature(found: DieTemperatures, ax: Axes | None) -> Axes:
    """Hottest cells of the dies over time, or by die."""
    label = "hottest cell of the die, \u00b0C"
    if len(found.time_s) == 1:
        ax = _axes(ax, 1.2 + ROW * len(found.dies))
        rows = range(len(found.dies))
        ax.plot(found.max_c[:, 0], rows, "o", color=resolve("@c8"), label="hottest cell")
        ax.plot(found.mean_c[:, 0], rows, "o", color=resolve("@c8"), fillstyle="none", label="mean")
        ax.set_yticks(rows, found.dies)
        ax.set_xlabel(f"temperature of the die, \u00b0C; stack {found.stack}")
        ax.grid(color=resolve("@grid"))
        _legend(ax)
        return ax
    ax = _axes(ax)
    scale, unit = scale_of_times(float(found.time_s[-1]) * 1e9)
    ramp, n = _ramp("heat"), len(found.dies)
    for i, (die, row) in enumerate(zip(found.dies, found.max_c, strict=True)):
        colour = resolve("@c1") if i == 0 else ramp(0.25 + 0.65 * (i - 1) / max(n - 2, 1))
        ax.plot(found.time_s * 1e9 / scale, row, color=colour, label=die, linewidth=2.0 if i == 0 else 1.2)
    ax.set(xlabel=f"time, {unit}; stack {found.stack}", ylabel=label)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize="small", reverse=True)
    return ax


def cross_section(found: CrossSection, ax: Axes | None) -> Axes:
    """Dies over cells."""
    ax = _axes(ax, 1.4 + ROW * len(found.dies))
    image = ax.imshow(
        found.temperature_c, aspect="auto", interpolation="nearest", cmap=_ramp("heat"), origin="lower"
    )
    ax.set_yticks(range(len(found.dies)), found.dies)
    ax.set_xlabel(f"cell across the die; stack {found.stack}, row {found.y}")
    ax.figure.colorbar(image, ax=ax, label="\u00b0C")
    return ax


def operations(top: TopOperations, ax: Axes | None) -> Axes:
    """A bar per name."""
    ax = _axes(ax, 1.2 + ROW * len(top.names))
    scale, unit = scale_of_times(float(top.time_ns[0]))
    ax.barh(range(len(top.names)), top.time_ns / scale, color=resolve("@c1"))
    names = [f"{_plain(name)} \u00d7 {count}" for name, count in zip(top.names, top.count.tolist(), strict=True)]
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(f"time, {unit}")
    return ax
