"""The small picture of a result in a notebook: its bandwidth over time, as a line of SVG.

Owns the drawing of one series of numbers; must not know what they are.
"""

from __future__ import annotations

import html

import numpy as np
from numpy.typing import NDArray

__all__ = ["sparkline"]

POINTS_MAX = 160
WIDTH, HEIGHT = 480, 64


def sparkline(edges: NDArray[np.float64], values: NDArray[np.float64], top: float, title: str) -> str:
    """An area of steps under a line at `top`, as an SVG element; nothing without values.

    Parameters
    ----------
    edges, values : float64 arrays, shape (n + 1,) and (n,)
        Steps; neighbours are averaged if there are more than can be seen.
    top : float
        What fills the height; above 0.
    title : str
        What is shown, for readers of screens.

    Examples
    --------
    >>> sparkline(np.array([0.0, 1.0]), np.array([2.0]), 4.0, "rate").count("<path")
    2
    """
    lasting = np.flatnonzero(np.diff(edges) > 0)
    values, edges = values[lasting], np.append(edges[lasting], edges[-1:])
    n = len(values)
    if not n or top <= 0:
        return ""
    at = np.arange(0, n, -(-n // POINTS_MAX))
    ends = np.append(edges[at], edges[-1])
    means = np.add.reduceat(values * np.diff(edges), at) / np.diff(ends)
    x = WIDTH * (ends - edges[0]) / (edges[-1] - edges[0])
    y = HEIGHT * (1 - np.clip(means / top, 0.0, 1.0))
    steps = "".join(f"V{level:.1f}H{right:.1f}" for level, right in zip(y.tolist(), x[1:].tolist(), strict=True))
    told = html.escape(title)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{told}" '
        f'preserveAspectRatio="none" style="max-width:100%"><title>{told}</title>'
        f'<path d="M0 {HEIGHT}{steps}V{HEIGHT}Z" fill="#2a78d6"/>'
        f'<path d="M0 0.5H{WIDTH}" stroke="currentColor" stroke-dasharray="3 4" opacity="0.5"/></svg>'
    )
