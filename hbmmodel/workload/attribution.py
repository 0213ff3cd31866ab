"""Whose time it was: the time of a run, dealt out to its operations so that nothing is counted twice.

Owns the rule; must not know workloads. Pure functions of start, end and bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["time_shares"]


def time_shares(
    start_ns: NDArray[np.float64],
    end_ns: NDArray[np.float64],
    n_bytes: NDArray[np.float64],
    peak_gb_per_s: float | None = None,
) -> NDArray[np.float64]:
    """Time that each operation answers for [ns]; together the time from 0 to the last end.

    While several run, they share the time by their mean rates (bytes over duration), or evenly if none moves
    anything. Time in which none runs goes to those that start next: it is what they waited for.

    With a peak, every operation answers at least for the time that its bytes take at that rate. Where it has less, as
    one that runs beside others, or whose last writes move after its end, it gets the rest from operations that have
    more than they need: those that it overlaps, and later ones until it has enough. What even the last one cannot give
    is added: the time in which the last writes move.

    Examples
    --------
    >>> start, end = np.array([0.0, 0.0, 30.0]), np.array([10.0, 20.0, 40.0])
    >>> time_shares(start, end, np.array([10.0, 60.0, 5.0])).tolist()
    [2.5, 17.5, 20.0]
    >>> time_shares(start, end, np.array([10.0, 60.0, 5.0]), peak_gb_per_s=4.0).tolist()
    [2.5, 17.5, 20.0]
    >>> time_shares(start, end, np.array([10.0, 60.0, 5.0]), peak_gb_per_s=3.75).tolist()
    [2.6666666666666665, 17.333333333333332, 20.0]
    """
    shares, clusters = _by_rates(start_ns, end_ns, n_bytes)
    if peak_gb_per_s is None:
        return shares
    needed = n_bytes / peak_gb_per_s
    owed: dict[int, float] = {}
    for members in clusters:
        spare = np.array(members, dtype=np.int64)
        owed |= {i: float(needed[i] - shares[i]) for i in members if needed[i] > shares[i]}
        slack = np.maximum(shares[spare] - needed[spare], 0.0)
        wanted, there = sum(owed.values()), float(slack.sum())
        if not owed or there <= 0:
            continue
        given = min(1.0, there / wanted)
        # Rounding must not take more than an operation can spare.
        least = np.minimum(shares[spare], needed[spare])
        shares[spare] = np.maximum(shares[spare] - slack * (given * wanted / there), least)
        for i, missing in owed.items():
            shares[i] += given * missing
        owed = {} if given == 1.0 else {i: (1 - given) * missing for i, missing in owed.items()}
    for i, missing in owed.items():
        shares[i] += missing
    return shares


def _by_rates(
    start_ns: NDArray[np.float64], end_ns: NDArray[np.float64], n_bytes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[list[int]]]:
    """Shares by mean rates, and the operations between one time in which none runs and the next."""
    clusters: list[list[int]] = []
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
            if not running or not clusters:
                clusters.append([])
            clusters[-1].append(i)
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
    clusters += [[int(i) for i in by_start[position:]]]  # those that end as they start, last of all
    return shares, clusters
