"""Pictures of studies, with matplotlib.

Owns axes, marks and colours; must not know how anything was found. Figures are made without pyplot, so that a program
that draws nothing on a screen keeps no state of it.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hbmmodel.errors import HbmArgumentError
from hbmmodel.terminal import printable

if TYPE_CHECKING:
    from hbmmodel.study.latency import Curves
    from hbmmodel.study.rooflines import Roofline

__all__ = ["draw_curves", "draw_roofline", "new_figure", "save_figure"]

#: Okabe and Ito's colours, which people with any colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Any, list[Any]]:
    """A figure and its axes side by side.

    Raises
    ------
    HbmArgumentError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise HbmArgumentError("a picture needs matplotlib: pip install 'hbmmodel[plot]'") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def save_figure(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write a figure; the file appears when it is complete."""
    from hbmmodel.trace.target import replacing

    target = Path(path)
    with replacing(os.fspath(target)) as file:
        figure.savefig(file, format=target.suffix[1:].lower(), dpi=120)
    return target


def _plain(text: str) -> str:
    """A name as matplotlib shows it: a dollar does not begin a formula, nor does a line hide what begins with it."""
    return printable(text, 46).replace("$", r"\$").lstrip("_")


def _times(factor: float, value: Any) -> Any:
    return factor * value


def draw_curves(curves: Curves) -> Any:
    """Load-to-use latency against bandwidth: a panel per pattern, a line per share of reads.

    Returns
    -------
    matplotlib.figure.Figure
    """
    table, system = curves.table, curves.system
    patterns = list(dict.fromkeys(table["pattern"].tolist()))
    figure, panels = new_figure(5.2 * len(patterns) + 0.4, 4.6, len(patterns))
    device = _plain(f"{system.device.name} {system.device.variant}".strip())
    figure.suptitle(f"{system.stacks} x {device}: latency of reads under load")
    for axes, pattern in zip(panels, patterns, strict=True):
        mine = table.take(table["pattern"] == pattern)
        for share, colour in zip(dict.fromkeys(mine["read_share"].tolist()), COLOURS * 9, strict=False):
            rows = curves.of(pattern, share)
            x, y = rows["bandwidth_gb_per_s"], rows["load_to_use_ns_mean"]
            axes.plot(x[:-1], y[:-1], "o-", ms=3.5, color=colour, label=f"{100 * share:g} % reads")
            axes.plot(x[-2:], y[-2:], ":", color=colour)
            axes.plot(x[-1:], y[-1:], "s", ms=6, mfc="none", color=colour)
        most = max(mine["bandwidth_gb_per_s"])
        peak = system.peak_gb_per_s
        limit = peak * 1.04 if most > 0.4 * peak else most * 1.15
        high = 1.45 * max(mine["load_to_use_ns_mean"])  # room for the legend
        axes.set(xlim=(0, limit), ylim=(0, high), xlabel="bandwidth [GB/s]", title=pattern)
        if limit > peak:
            axes.axvline(peak, color="0.4", lw=1, ls="--")
            place = {"xycoords": ("data", "axes fraction"), "rotation": 90, "ha": "right"}
            axes.annotate("pins", (peak, 0.02), color="0.4", **place)
        top = axes.secondary_xaxis("top", functions=(partial(_times, 100 / peak), partial(_times, peak / 100)))
        top.set_xlabel("share of pin bandwidth [%]")
        axes.grid(alpha=0.25)
        axes.legend(loc="upper left", frameon=False)
    panels[0].set_ylabel("load-to-use latency of reads, mean [ns]")
    panels[0].plot([], [], "s", ms=6, mfc="none", color="0.3", label="all offered at once")
    panels[0].legend(loc="upper left", frameon=False)
    return figure


def _apart(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose names do not cover each other, the first of every place."""
    kept: list[dict[str, Any]] = []
    for p in points:
        if all(not 1 / 1.6 < p["flops_per_byte"] / q["flops_per_byte"] < 1.6 for q in kept):
            kept.append(p)
    return kept


def draw_roofline(found: Roofline) -> Any:
    """FLOP/s against FLOPs per byte: a roof per kind of operation, the pins', the processor's, and the runs.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (axes,) = new_figure(8.2, 5.4)
    points = list(found.points.rows())
    peak = found.flops_per_s
    low = min([0.25, *(0.5 * p["flops_per_byte"] for p in points)])
    bandwidths = found.ceilings["bandwidth_gb_per_s"]
    high = max([16.0, *(2 * p["flops_per_byte"] for p in points)])
    if peak is not None:
        high = max(high, 4 * peak / (min(bandwidths) * 1e9))

    def roof(gb_per_s: float, label: str, **style: Any) -> None:
        ridge = high if peak is None else min(high, peak / (gb_per_s * 1e9))
        axes.plot([low, ridge], [low * gb_per_s * 1e9, ridge * gb_per_s * 1e9], label=label, **style)

    system = found.system
    roof(system.peak_gb_per_s, f"pins, {system.peak_gb_per_s / 1000:.3g} TB/s", color="0.5", ls="--", lw=1)
    for row, colour in zip(found.ceilings.rows(), COLOURS * 9, strict=False):
        text = f"{row['kind']}, {row['bandwidth_gb_per_s'] / 1000:.3g} TB/s ({100 * row['fraction_of_peak']:.0f} %)"
        roof(row["bandwidth_gb_per_s"], text, color=colour)
    if peak is not None:
        axes.plot([peak / (system.peak_gb_per_s * 1e9), high], [peak, peak], color="black")
        axes.annotate(f"{peak:.3g} FLOP/s", (high, peak), ha="right", va="bottom")
    for marker, run in zip("osD^vP*X" * 9, dict.fromkeys(p["run"] for p in points), strict=False):
        mine = [p for p in points if p["run"] == run]
        single = [p for p in mine if p["name"]]
        if single:
            x, y = ([p[key] for p in single] for key in ("flops_per_byte", "flops_per_s"))
            axes.plot(x, y, marker, ms=5, color="0.35", mfc="none")
            for p in _apart(sorted(single, key=lambda p: -p["time_ns"])):
                where = (p["flops_per_byte"], p["flops_per_s"])
                axes.annotate(_plain(p["name"]), where, xytext=(7, -11), textcoords="offset points", fontsize=8)
        whole = [p for p in mine if not p["name"]]
        x, y = ([p[key] for p in whole] for key in ("flops_per_byte", "flops_per_s"))
        axes.plot(x, y, marker, ms=10, color="black", label=_plain(run))
    device = _plain(f"{system.device.name} {system.device.variant}".strip())
    axes.set(xscale="log", yscale="log", xlim=(low, high), title=f"{system.stacks} x {device}: roofline")
    axes.set(xlabel="FLOPs per byte of memory traffic", ylabel="FLOP/s, if memory is all that takes time")
    axes.grid(alpha=0.25, which="major")
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    return figure
