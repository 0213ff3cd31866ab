"""The tail of the read latencies: what share of reads took longer than so long.

Owns the steps of the curve and its thinning; percentiles are the summary's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["LatencyTail", "latency_tail"]

POINTS_MAX = 800


@dataclass(frozen=True, eq=False)
class LatencyTail:
    """Complementary cumulative distribution of the read latencies.

    Attributes
    ----------
    latency_ns : float64 array, shape (n,)
        Ascending; the largest latency of a bucket.
    share_above : float64 array, shape (n,)
        Reads that took longer, of all reads; descending and above 0. Two have no place on logarithmic axes: the
        slowest read, and those that a write queue answered at once. Of many of these, the curve begins below 1.
    n_reads : int
    marks : dict of str to float
        Percentiles of the summary [ns]: ``median``, ``99 %``, ``99.9 %``, ``max``.
    begin_ns : float
        Where the curve begins to fall; a few quick reads would stretch an axis over decades of nothing.
    points : tuple of (str, float, float)
        Those that lie on the curve: name, latency [ns], share above; 99.9 % of ten reads is no point of it.
    """

    latency_ns: NDArray[np.float64]
    share_above: NDArray[np.float64]
    n_reads: int
    marks: dict[str, float]

    @property
    def begin_ns(self) -> float:
        """See the attributes."""
        return float(self.latency_ns[np.flatnonzero(self.share_above > 0.999 * self.share_above[0])[-1]])

    @property
    def points(self) -> tuple[tuple[str, float, float], ...]:
        """See the attributes."""
        shares = {"median": 0.5, "99 %": 0.01, "99.9 %": 0.001}
        shown = {name: share for name, share in shares.items() if self.marks.get(name) and share * self.n_reads >= 1}
        return tuple((name, self.marks[name], share) for name, share in shown.items())


def latency_tail(result: Result) -> LatencyTail | None:
    """The tail of a run; None if no read took any time."""
    histogram, s = result.histogram, result.summary
    counts = histogram.counts.astype(np.int64)
    used = np.flatnonzero(counts[1:]) + 1
    if not len(used):
        return None
    tick_ns = float(result.system.tick_ps / 1000)
    most = float(s["read_latency_ns_max"] or 0.0)
    latency = np.minimum((histogram.edges[used + 1] - 1) * tick_ns, most)
    timed = histogram.n - counts[0]
    share = (timed - np.cumsum(counts[used])) / histogram.n
    # one point before the first bucket, where all of these still take longer; the last has none above it
    latency = np.concatenate([[max(float(histogram.edges[used[0]]) - 1, 0.5) * tick_ns], latency[:-1]])
    share = np.concatenate([[timed / histogram.n], share[:-1]])
    if len(latency) > POINTS_MAX:
        kept = np.unique(np.linspace(0, len(latency) - 1, POINTS_MAX).round().astype(np.int64))
        latency, share = latency[kept], share[kept]
    names = {"median": "p50", "99 %": "p99", "99.9 %": "p999", "max": "max"}
    marks = {told: float(value) for told, key in names.items() if (value := s[f"read_latency_ns_{key}"]) is not None}
    return LatencyTail(latency, share, histogram.n, marks)
