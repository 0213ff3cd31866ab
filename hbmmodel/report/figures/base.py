"""What all figures share: fonts, axes, legends, units, and numbers short enough for a page.

Owns the look of a figure; must not know what it shows.
"""

from __future__ import annotations

import base64
import html
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.terminal import printable

__all__ = ["Figure", "axis", "label", "layout", "numbers", "packed", "scale_of_rates", "scale_of_times"]

Figure = dict[str, Any]
"""`data` and `layout` of Plotly."""

LABEL_MAX = 48
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def layout(height: int = 340, *, legend: bool | dict[str, Any] = True, **more: Any) -> dict[str, Any]:
    """The layout of every figure, and `more` of this one."""
    return {
        "height": height,
        "margin": {"l": 64, "r": 24, "t": 46 if legend is True else 16, "b": 52},
        "font": {"family": FONT, "size": 13, "color": "@ink"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"bgcolor": "@surface", "bordercolor": "@grid", "font": {"color": "@ink", "family": FONT}},
        "showlegend": bool(legend),
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "xanchor": "left",
            "yanchor": "bottom",
            "traceorder": "normal",
            "itemsizing": "constant",
            **(legend if isinstance(legend, dict) else {}),
        },
        **more,
    }


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """An axis with quiet lines."""
    return {
        "title": {"text": title, "font": {"color": "@muted"}, "standoff": 10},
        "gridcolor": "@grid",
        "linecolor": "@grid",
        "zerolinecolor": "@grid",
        "tickfont": {"color": "@muted"},
        "automargin": True,
        **more,
    }


def label(text: str, most: int = LABEL_MAX) -> str:
    """A name as Plotly shows it: it reads a little HTML, which a name from a trace must not bring.

    >>> label("<b>a</b>")
    '&lt;b&gt;a&lt;/b&gt;'
    """
    short = text if len(text) <= most else text[: most - 1] + "\u2026"
    return html.escape(printable(short), quote=False)


def numbers(values: NDArray[Any], digits: int = 5) -> list[Any]:
    """A list of Python numbers with few digits; None for what is not finite."""
    def short(value: Any) -> Any:
        if isinstance(value, list):
            return [short(inner) for inner in value]
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None

    found: list[Any] = short(np.asarray(values, dtype=np.float64).tolist())
    return found


def packed(values: NDArray[Any]) -> dict[str, str]:
    """A large map as Plotly's packed array: 4 bytes a number."""
    small = np.ascontiguousarray(values, dtype="<f4")
    return {
        "dtype": "f4",
        "bdata": base64.b64encode(small.tobytes()).decode("ascii"),
        "shape": ", ".join(str(n) for n in small.shape),
    }


def scale_of_times(longest_ns: float) -> tuple[float, str]:
    """What a time in ns is divided by, and the unit that this gives.

    >>> scale_of_times(2e6)
    (1000000.0, 'ms')
    """
    for scale, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if longest_ns >= scale:
            return scale, unit
    return 1.0, "ns"


def scale_of_rates(highest_gb_per_s: float) -> tuple[float, str]:
    """The same of a rate in GB/s."""
    return (1e3, "TB/s") if highest_gb_per_s >= 1e3 else (1.0, "GB/s")
