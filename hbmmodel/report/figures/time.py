"""Figures over time, and the tail of the latencies.

Owns their axes and marks; must not know how the series are made.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hbmmodel.report.content import STATES
from hbmmodel.report.figures.base import Figure, axis, label, layout, numbers, scale_of_rates, scale_of_times
from hbmmodel.report.palette import SERIES, STATE
from hbmmodel.report.series import OTHERS, DieTemperatures, LatencyTail, Layers

__all__ = ["bandwidth_figure", "latency_figure", "states_figure", "temperature_figure"]

LEGEND_MAX = 32


def _stacked(layers: Layers, time_scale: float, scale: float, hover: str, colours: list[str]) -> list[dict[str, Any]]:
    """Areas on each other, flat over every bin."""
    x = numbers(layers.edges_ns / time_scale, 7)
    traces = []
    for name, values, colour in zip(layers.names, layers.values, colours, strict=True):
        y = numbers(np.append(values, values[-1:]) / scale)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": label(name, LEGEND_MAX),
                "x": x,
                "y": y,
                "stackgroup": "all",
                "line": {"width": 0, "shape": "hv", "color": colour},
                "fillcolor": colour,
                "hovertemplate": hover,
            }
        )
    return traces


def bandwidth_figure(layers: Layers, peak_gb_per_s: float) -> Figure:
    """Bandwidth over time, stacked, under the peak."""
    time_scale, time_unit = scale_of_times(float(layers.edges_ns[-1]))
    scale, unit = scale_of_rates(peak_gb_per_s)
    colours = [*SERIES[: len(layers.names)]]
    if layers.names and layers.names[-1].endswith(OTHERS.format("")):
        colours[-1] = "@other"
    traces = _stacked(layers, time_scale, scale, f"%{{y:.4g}} {unit}", colours)
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "peak",
            "x": [0, numbers(layers.edges_ns[-1:] / time_scale, 7)[0]],
            "y": [peak_gb_per_s / scale] * 2,
            "line": {"color": "@muted", "dash": "dot", "width": 1.5},
            "hoverinfo": "skip",
        }
    )
    return {
        "data": traces,
        "layout": layout(
            380,
            hovermode="x unified",
            xaxis=axis(f"time, {time_unit}", hoverformat=".5g"),
            yaxis=axis(f"bandwidth, {unit}", rangemode="tozero"),
        ),
    }


def states_figure(layers: Layers) -> Figure:
    """Share of the pseudo-channels in every power state over time."""
    time_scale, time_unit = scale_of_times(float(layers.edges_ns[-1]))
    told = Layers(layers.what, layers.edges_ns, tuple(STATES.get(n, n) for n in layers.names), layers.values)
    colours = [STATE.get(name, "@other") for name in layers.names]
    return {
        "data": _stacked(told, time_scale, 1.0, "%{y:.1%}", colours),
        "layout": layout(
            300,
            hovermode="x unified",
            xaxis=axis(f"time, {time_unit}", hoverformat=".5g"),
            yaxis=axis("share of the pseudo-channels", range=[0, 1], tickformat=".0%"),
        ),
    }


def latency_figure(tail: LatencyTail) -> Figure:
    """Share of reads that took longer, on two logarithmic axes, with the percentiles of the summary."""
    scale, unit = scale_of_times(tail.begin_ns)
    most = float(tail.marks.get("max", tail.latency_ns[-1]))
    first = tail.begin_ns / scale
    floor = min(-1.0, float(np.log10(0.6 * tail.share_above[-1])))
    ends = [float(np.log10(0.8 * first)), float(np.log10(1.2 * most / scale))]
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "name": "reads",
                "x": numbers(np.append(tail.latency_ns, most) / scale),
                "y": numbers(np.append(tail.share_above, tail.share_above[-1:])),
                "line": {"color": "@c1", "width": 2, "shape": "hv"},
                "hovertemplate": f"%{{y:.3g}} of the reads took longer than %{{x:.4g}} {unit}<extra></extra>",
            },
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": "percentiles",
                "x": [value / scale for _, value, _ in tail.points],
                "y": [share for _, _, share in tail.points],
                "text": [name for name, _, _ in tail.points],
                "textposition": "top right",
                "cliponaxis": False,
                "marker": {"color": "@c8", "size": 9, "line": {"color": "@surface", "width": 2}},
                "hovertemplate": f"%{{text}}: %{{x:.4g}} {unit}<extra></extra>",
            },
        ],
        "layout": layout(
            340,
            legend=False,
            hovermode="closest",
            xaxis=axis(f"read latency, controller to data, {unit}", type="log", range=ends),
            yaxis=axis("share of reads that took longer", type="log", exponentformat="power", range=[floor, 0.15]),
        ),
    }


def temperature_figure(found: DieTemperatures) -> Figure:
    """Hottest cell of every die over time; of a single time, of every die."""
    n = len(found.dies)
    if len(found.time_s) == 1:
        return _steady(found)
    scale, unit = scale_of_times(float(found.time_s[-1]) * 1e9)
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "name": die,
                "x": numbers(found.time_s * 1e9 / scale, 7),
                "y": numbers(found.max_c[i], 6),
                "line": {"width": 2.5 if i == 0 else 1.5, "color": "@c1" if i == 0 else f"@heat:{_place(i, n):.3f}"},
                "hovertemplate": "%{y:.2f} \u00b0C",
            }
            for i, die in enumerate(found.dies)
        ],
        "layout": layout(
            380,
            hovermode="x unified",
            legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top", "traceorder": "reversed"},
            xaxis=axis(f"time, {unit}", hoverformat=".5g"),
            yaxis=axis("hottest cell of the die, \u00b0C"),
        ),
    }


def _steady(found: DieTemperatures) -> Figure:
    """A point per die for its hottest cell, and one for its mean."""
    told = "%{y}: %{x:.1f} \u00b0C, %{customdata:.2f} W"
    marks = (("hottest cell", found.max_c, "circle"), ("mean", found.mean_c, "circle-open"))
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": numbers(values[:, 0]),
                "y": list(found.dies),
                "customdata": numbers(found.power_w[:, 0]),
                "marker": {"color": "@c8", "size": 10, "symbol": symbol, "line": {"width": 2}},
                "hovertemplate": told,
            }
            for name, values, symbol in marks
        ],
        "layout": layout(
            140 + 24 * len(found.dies),
            hovermode="closest",
            xaxis=axis("temperature of the die, \u00b0C"),
            yaxis=axis(type="category"),
        ),
    }


def _place(i: int, n: int) -> float:
    """On the ramp: neither so pale nor so dark that it is lost on the page."""
    return 0.25 + 0.65 * (i - 1) / max(n - 2, 1)
