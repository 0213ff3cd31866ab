"""Figures of maps: pseudo-channels, banks, and the cut through a stack.

Owns their axes and marks; must not know how the series are made.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hbmmodel.report.figures.base import Figure, axis, layout, numbers, packed
from hbmmodel.report.series import CrossSection, Map

__all__ = ["bank_figure", "channel_figure", "cross_section_figure"]

BAR = {"thickness": 12, "outlinewidth": 0, "tickfont": {"color": "@muted"}}


def channel_figure(found: Map) -> Figure:
    """A cell per pseudo-channel, with its details where one points."""
    return {
        "data": [
            {
                "type": "heatmap",
                "x": list(range(len(found.columns))),
                "y": list(range(len(found.rows))),
                "z": numbers(found.values, 4),
                "zmin": 0,
                "zmax": max(1.0, float(found.values.max())),
                "colorscale": "@seq",
                "colorbar": {**BAR, "tickformat": ".0%", "title": {"text": "of peak", "font": {"color": "@muted"}}},
                "xgap": 1,
                "ygap": 1,
                "customdata": _details(found),
                "hovertemplate": "channel %{x}, %{text}<br>%{z:.1%} of its peak<br>%{customdata}<extra></extra>",
                "text": [[row] * len(found.columns) for row in found.rows],
            }
        ],
        "layout": layout(
            min(130 + 24 * len(found.rows), 900),
            legend=False,
            xaxis=axis(found.column_name, showgrid=False, dtick=max(1, len(found.columns) // 8)),
            yaxis={**_rows(found), "autorange": "reversed"},
        ),
    }


def _details(found: Map) -> list[list[str]]:
    """One text per cell: a third axis of a packed array is not read in every place."""
    names = list(found.details)
    cells = np.stack([found.details[name] for name in names], axis=-1) if names else np.zeros((*found.values.shape, 0))
    return [["<br>".join(f"{name} {v:.4g}" for name, v in zip(names, cell, strict=True)) for cell in row]
            for row in cells.tolist()]  # fmt: skip


def _rows(found: Map) -> dict[str, Any]:
    """Ticks at some rows: as many as can be read."""
    n = len(found.rows)
    step = max(1, -(-n // 24))
    at = list(range(0, n, step))
    return axis(showgrid=False, tickmode="array", tickvals=at, ticktext=[found.rows[i] for i in at])


def bank_figure(found: Map) -> Figure:
    """A cell per bank."""
    unit = f", {found.unit}" if found.unit else ""
    return {
        "data": [
            {
                "type": "heatmap",
                "x": list(range(len(found.columns))),
                "y": list(range(len(found.rows))),
                "z": packed(found.values),
                "zmin": 0,
                "zmax": float(found.values.max()) or 1.0,
                "colorscale": "@seq",
                "colorbar": {**BAR, "title": {"text": f"{found.what}{unit}", "font": {"color": "@muted"}}},
                "hovertemplate": f"bank %{{x}}, row %{{y}}: %{{z:.5g}} {found.what}{unit}<extra></extra>",
            }
        ],
        "layout": layout(
            max(220, min(130 + 12 * len(found.rows), 560)),
            legend=False,
            xaxis=axis(found.column_name, showgrid=False),
            yaxis={**_rows(found), "autorange": "reversed"},
        ),
    }


def cross_section_figure(found: CrossSection) -> Figure:
    """Dies over position across the die, the base die at the bottom."""
    return {
        "data": [
            {
                "type": "heatmap",
                "y": list(found.dies),
                "z": numbers(found.temperature_c, 6),
                "colorscale": "@heat",
                "colorbar": {**BAR, "title": {"text": "\u00b0C", "font": {"color": "@muted"}}},
                "ygap": 1,
                "hovertemplate": "%{y}, cell %{x}: %{z:.2f} \u00b0C<extra></extra>",
            }
        ],
        "layout": layout(
            120 + 24 * len(found.dies),
            legend=False,
            xaxis=axis("cell across the die", showgrid=False),
            yaxis=axis(type="category", showgrid=False),
        ),
    }
