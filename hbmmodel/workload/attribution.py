"""Whose time it was: the time of a run, dealt out to its operations so that nothing is counted twice.

Owns the rule; must not know workloads. Pure functions of start, end and bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["time_shares"]


def time_shares(
    start_ns: NDArray[np.float64], end_ns: NDArray[np.float64], n_bytes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Time that each operation answers for [ns]; together the time from 0 to the last end.

    While several run, they share the time by their mean rates (bytes over duration), or evenly if none moves
    anything. Time in which none runs goes to those that start next: it is what they waited for.

    Examples
    --------
    >>> time_shares(np.array([0.0, 0.0, 30.0]), np.array([10.0, 20.0, 40.0]), np.array([10.0, 60.0, 5.0])).tolist()
    [2.5, 17.5, 20.0]
    """
    shares = np.zeros(len(start_ns))
    duration = end_ns - start_ns
    rate = np.divide(n_bytes, duration, out=np.zeros(len(start_ns)), where=duration > 0)
    by_start = np.argsort(start_ns, kind="stable")
    edges = np.unique(np.concatenate([[0.0], start_ns, end_ns]))
    running: dict[int, float] = {}
    position = 0
    idle = 0.0
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        for i in [i for i in running if end_ns[i] <= low]:
            del running[i]
        while position < len(by_start) and start_ns[by_start[position]] <= low:
            i = int(by_start[position])
            if end_ns[i] > low:
                running[i] = float(rate[i])
            position += 1
        length = high - low
        if not running:
            idle += length
            continue
        total = sum(running.values())
        for i, r in running.items():
            shares[i] += (length + idle) * (r / total if total > 0 else 1 / len(running))
        idle = 0.0
    return shares
