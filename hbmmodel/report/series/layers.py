"""Layers that stand on each other over time, and the dealing of amounts to bins of time.

Owns binning; must not know what the amounts are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LAYERS_MAX", "OTHERS", "Layers", "spread", "stack_layers"]

LAYERS_MAX = 8
"""Layers of one picture: as many as there are colours that stay apart; the smallest are put together."""
OTHERS = "{} others"


@dataclass(frozen=True, eq=False)
class Layers:
    """Amounts over time that add up.

    Attributes
    ----------
    what : str
        What tells the layers apart, as ``phase``.
    edges_ns : float64 array, shape (n + 1,)
        Edges of the bins of time.
    names : tuple of str
        One per layer, from the bottom up.
    values : float64 array, shape (layers, n)
        Mean over every bin: GB/s for bandwidths, a share for states.
    """

    what: str
    edges_ns: NDArray[np.float64]
    names: tuple[str, ...]
    values: NDArray[np.float64]

    @property
    def amounts(self) -> NDArray[np.float64]:
        """Area under every layer, shape (layers,): bytes for GB/s over ns."""
        return np.asarray((self.values * np.diff(self.edges_ns)).sum(axis=1))


def spread(
    edges: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64], amount: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Amounts dealt evenly over [start, end) to the bins between `edges`; what takes no time goes to one bin.

    Parameters
    ----------
    edges : float64 array, shape (n + 1,)
        Ascending; every start and end lies within them.
    start, end, amount : float64 arrays, shape (m,)

    Returns
    -------
    float64 array, shape (n,)
        Sums to the sum of `amount`.

    Examples
    --------
    >>> spread(np.array([0.0, 10.0, 20.0]), np.array([5.0, 0.0]), np.array([20.0, 0.0]), np.array([30.0, 1.0])).tolist()
    [11.0, 20.0]
    """
    n = len(edges) - 1
    width = np.diff(edges)
    first = np.clip(np.searchsorted(edges, start, side="right") - 1, 0, n - 1)
    last = np.clip(np.searchsorted(edges, end, side="left") - 1, first, n - 1)
    inside = first == last
    found = _sums(first[inside], amount[inside], n)
    over, a, b = ~inside, first[~inside], last[~inside]
    rate = amount[over] / (end[over] - start[over])
    found += _sums(a, rate * (edges[a + 1] - start[over]), n)
    found += _sums(b, rate * (end[over] - edges[b]), n)
    whole = b > a + 1  # bins that an amount covers from edge to edge
    step = _sums(a[whole] + 1, rate[whole], n) - _sums(b[whole], rate[whole], n)
    # the sum of rates that have come and gone is zero but for its rounding
    return np.asarray(found + np.maximum(np.cumsum(step), 0.0) * width)


def _sums(at: NDArray[np.int64], amount: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return np.bincount(at, weights=amount, minlength=n).astype(np.float64)  # of nothing it counts in integers


def stack_layers(
    what: str, edges_ns: NDArray[np.float64], names: Sequence[str], amounts: NDArray[np.float64]
) -> Layers:
    """Layers from amounts per bin, shape (layers, n); the largest first, those without any left out, and the smallest
    together if there are more than `LAYERS_MAX`.
    """
    totals = amounts.sum(axis=1)
    order = [i for i in np.argsort(-totals, kind="stable").tolist() if totals[i] > 0]
    kept, rest = (order, []) if len(order) <= LAYERS_MAX else (order[: LAYERS_MAX - 1], order[LAYERS_MAX - 1 :])
    told = [str(names[i]) for i in kept]
    rows = [amounts[i] for i in kept]
    if rest:
        told.append(OTHERS.format(len(rest)))
        rows.append(amounts[rest].sum(axis=0))
    values = np.array(rows).reshape(len(rows), len(edges_ns) - 1) / np.diff(edges_ns)
    return Layers(what, edges_ns, tuple(told), values)
