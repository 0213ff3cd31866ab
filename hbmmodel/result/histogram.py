"""Read latencies counted in buckets.

Owns percentiles of a histogram and their error; must not know what was timed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError, HbmInternalError
from hbmmodel.result.table import Table

__all__ = ["FIGURES", "PERCENTILES", "Histogram"]

PERCENTILES = {"p50": 50.0, "p99": 99.0, "p999": 99.9}
"""Those of every run, by the end of their name."""
FIGURES = ("mean", *PERCENTILES, "max")
"""What is told of the latency of reads, in this order: ``read_latency_ns_FIGURE``."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of whole ticks in buckets ``[edges[i], edges[i + 1])``.

    Parameters
    ----------
    edges : int64 array, shape (n + 1,)
        Bucket edges in ticks, strictly ascending.
    counts : uint64 array, shape (n,)
        Events per bucket.

    Examples
    --------
    >>> h = Histogram(np.array([0, 1, 2, 4, 8]), np.array([0, 5, 0, 5], dtype=np.uint64))
    >>> h.percentile(50), h.percentile(99)
    (Fraction(1, 1), Fraction(11, 2))
    >>> round(h.relative_error, 3)
    0.375
    """

    edges: NDArray[np.int64]
    counts: NDArray[np.uint64]

    def __post_init__(self) -> None:
        if self.edges.shape != (self.counts.shape[0] + 1,):
            raise HbmInternalError(
                f"a histogram of {self.counts.shape[0]} buckets needs one edge more, "
                f"not {self.edges.shape[0]} edges"
            )
        if not (np.diff(self.edges) > 0).all():
            raise HbmInternalError("the edges of a histogram must ascend")

    @property
    def n(self) -> int:
        """Events in all buckets."""
        return int(self.counts.sum(dtype=np.uint64))

    def tail(self, most: int) -> dict[str, Fraction | None]:
        """`PERCENTILES` in ticks, never above `most`, the exact maximum; None without events."""
        found = {name: self.percentile(percent) for name, percent in PERCENTILES.items()}
        return {name: None if ticks is None else min(ticks, Fraction(most)) for name, ticks in found.items()}

    def percentile(self, percent: float) -> Fraction | None:
        """The value in ticks that `percent` of the events do not exceed; None without events.

        Nearest rank: the ceil(percent/100 x n)-th smallest event, read as the middle of its bucket's whole
        ticks, ``(lower + upper - 1) / 2``. Buckets of one tick are exact; see `relative_error`.

        Raises
        ------
        HbmArgumentError
            `percent` is not in 0..100.
        """
        share = Fraction(repr(float(percent))) / 100
        if not 0 <= share <= 1:
            raise HbmArgumentError(f"a percentile is in 0..100, not {percent}")
        n = self.n
        if n == 0:
            return None
        rank = max(1, -(-share * n // 1))
        bucket = int(np.searchsorted(np.cumsum(self.counts, dtype=np.uint64), np.uint64(rank), side="left"))
        return Fraction(int(self.edges[bucket]) + int(self.edges[bucket + 1]) - 1, 2)

    @property
    def relative_error(self) -> float:
        """Largest relative error of any percentile: half a bucket over its lower edge, worst bucket with
        events.

        0.0 when all events lie in buckets of one tick.
        """
        used = self.counts > 0
        lower = self.edges[:-1][used].astype(np.float64)
        half = (self.edges[1:][used] - 1 - self.edges[:-1][used]) / 2.0
        half, lower = half[half > 0], lower[half > 0]
        return float((half / np.maximum(lower, 1.0)).max()) if half.size else 0.0

    def to_table(self) -> Table:
        """Columns ``lower_ticks, upper_ticks`` (exclusive) and ``count``, all buckets."""
        return Table({"lower_ticks": self.edges[:-1], "upper_ticks": self.edges[1:], "count": self.counts})

    @classmethod
    def from_table(cls, table: Table) -> Histogram:
        """Inverse of `to_table`."""
        edges = np.concatenate([table["lower_ticks"], table["upper_ticks"][-1:]]).astype(np.int64)
        return cls(edges, table["count"].astype(np.uint64))
