"""Figures of parts of a whole: the account of the data buses, power states, energy, operations.

Owns their axes and marks; must not know how the series are made.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hbmmodel.report.content import CAUSES, STATES
from hbmmodel.report.figures.base import Figure, axis, label, layout, numbers, scale_of_times
from hbmmodel.report.palette import CAUSE, COMPONENT, STATE
from hbmmodel.report.series import Account, Flow, StateShares, TopOperations
from hbmmodel.report.units import bytes_text, count_text, energy_text, rate_text, share_text

__all__ = ["account_figure", "energy_figure", "operations_figure", "shares_figure"]

ROW_PX, FRAME_PX = 26, 150


def _bars(rows: list[str], names: list[str], colours: list[str], shares: Any, **more: Any) -> Figure:
    """Horizontal bars, parts behind each other, the first row on top."""
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": rows,
            "x": numbers(shares[:, i], 6),
            "marker": {"color": colour, "line": {"color": "@surface", "width": 1}},
            "text": [f"{100 * share:.1f} %" if share >= 0.04 else "" for share in shares[:, i].tolist()],
            "textposition": "inside",
            "insidetextanchor": "middle",
            "textangle": 0,
            "hovertemplate": "%{fullData.name}: %{x:.2%}<extra>%{y}</extra>",
        }
        for i, (name, colour) in enumerate(zip(names, colours, strict=True))
    ]
    return {
        "data": traces,
        "layout": layout(
            FRAME_PX + ROW_PX * len(rows),
            barmode="stack",
            bargap=0.25,
            hovermode="closest",
            uniformtext={"minsize": 10, "mode": "hide"},
            yaxis=axis(autorange="reversed", type="category"),
            **more,
        ),
    }


def account_figure(found: Account, *, lost_only: bool = False) -> Figure:
    """What the data buses did; with `lost_only` on the scale of what was lost."""
    kept = [i for i, cause in enumerate(found.causes) if not (lost_only and cause == "data")]
    causes = [found.causes[i] for i in kept]
    figure = _bars(
        list(found.rows),
        [CAUSES.get(cause, cause) for cause in causes],
        [CAUSE.get(cause, "@other") for cause in causes],
        found.shares[:, kept],
        xaxis=axis("share of the time", tickformat=".1%" if lost_only else ".0%", rangemode="tozero"),
    )
    if lost_only:
        for trace, i in zip(figure["data"], kept, strict=True):
            most = max(float(found.shares[:, kept].sum(axis=1).max()), 1e-12)
            trace["text"] = [share_text(s) if s >= 0.07 * most else "" for s in found.shares[:, i].tolist()]
    else:
        figure["layout"]["xaxis"]["range"] = [0, 1]
    return figure


def shares_figure(found: StateShares) -> Figure:
    """Time of every stack in every power state."""
    seen = np.flatnonzero(found.shares.any(axis=0)).tolist()
    return _bars(
        [f"stack {i}" for i in found.stacks],
        [STATES.get(found.states[i], found.states[i]) for i in seen],
        [STATE.get(found.states[i], "@other") for i in seen],
        found.shares[:, seen],
        xaxis=axis("share of the time", tickformat=".0%", range=[0, 1]),
    )


def energy_figure(flow: Flow) -> Figure:
    """Energy from the components over what they serve to the total."""
    group_colour = {"moving data": "@c1", "opening rows": "@c8", "keeping data": "@c2", "standing ready": "@other2"}
    pairs = zip(flow.nodes, flow.keys, strict=True)
    colours = [COMPONENT.get(key, group_colour.get(node, "@muted")) for node, key in pairs]
    entering = [sum(v for _, b, v in flow.links if b == i) or sum(v for a, _, v in flow.links if a == i)
                for i in range(len(flow.nodes))]  # fmt: skip
    told = [
        f"{node}  {energy_text(value)}, {share_text(value / flow.total_pj)}"
        for node, value in zip(flow.nodes, entering, strict=True)
    ]
    return {
        "data": [
            {
                "type": "sankey",
                "arrangement": "snap",
                "valueformat": ".4s",
                "node": {
                    "label": told,
                    "color": colours,
                    "pad": 18,
                    "thickness": 14,
                    "line": {"width": 0, "color": "@surface"},
                    "hovertemplate": "%{label}<extra></extra>",
                },
                "link": {
                    "source": [a for a, _, _ in flow.links],
                    "target": [b for _, b, _ in flow.links],
                    "value": [float(f"{v:.6g}") for _, _, v in flow.links],
                    "color": [f"{colours[a]}/0.35" for a, _, _ in flow.links],
                    "customdata": [f"{energy_text(v)}, {share_text(v / flow.total_pj)}" for _, _, v in flow.links],
                    "hovertemplate": "%{customdata}<extra></extra>",
                },
            }
        ],
        "layout": layout(420, legend=False, margin={"l": 8, "r": 8, "t": 16, "b": 16}),
    }


def operations_figure(top: TopOperations) -> Figure:
    """Time of the longest operations by name."""
    scale, unit = scale_of_times(float(top.time_ns[0]))
    moved = top.bytes_read + top.bytes_written
    rate = np.divide(moved, top.time_ns, out=np.zeros(len(moved)), where=top.time_ns > 0)
    names = [label(name) or "(no name)" for name in top.names]
    ticks = [f"{name} \u00d7 {count_text(count)}" for name, count in zip(names, top.count.tolist(), strict=True)]
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "y": list(range(len(ticks))),
                "x": numbers(top.time_ns / scale),
                "marker": {"color": "@c1"},
                "customdata": [
                    [tick, bytes_text(read), bytes_text(written), rate_text(r)]
                    for tick, read, written, r in zip(
                        ticks, top.bytes_read.tolist(), top.bytes_written.tolist(), rate.tolist(), strict=True
                    )
                ],
                "hovertemplate": f"%{{customdata[0]}}<br>%{{x:.4g}} {unit}, %{{customdata[1]}} read, "
                "%{customdata[2]} written, %{customdata[3]}<extra></extra>",
            }
        ],
        "layout": layout(
            90 + ROW_PX * len(ticks),
            legend=False,
            bargap=0.3,
            xaxis=axis(f"time, {unit}", rangemode="tozero"),
            yaxis=axis(autorange="reversed", tickmode="array", tickvals=list(range(len(ticks))), ticktext=ticks),
        ),
    }
