"""Which experts the tokens of a batch go to: seeded, as uneven as asked.

Owns the drawing and the expected number of distinct experts; must not know tensors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hbmmodel.workload.model import Experts

__all__ = ["SAMPLE_TOKENS", "expected_distinct", "route"]

SAMPLE_TOKENS = 4096
"""Tokens that are drawn one by one; of a larger batch as many are drawn and their counts scaled."""


def expected_distinct(experts: int, top_k: int, tokens: int) -> float:
    """Experts that at least one of `tokens` tokens goes to, in the mean over uniform routings.

    Source
    ------
    A token misses an expert with probability 1 - k/E, independently of the others: E (1 - (1 - k/E)^B).

    Examples
    --------
    >>> expected_distinct(8, 2, 8)
    7.19909...
    """
    return experts * (1.0 - (1.0 - top_k / experts) ** tokens)


def route(
    experts: Experts, tokens: int, skew: float, rng: np.random.Generator, order: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Tokens that every expert of one layer gets, of `tokens` that each go to `top_k` different ones.

    Parameters
    ----------
    experts : Experts
    tokens : int
    skew : float
        Exponent of a Zipf distribution over the experts; 0: uniform.
    rng : numpy.random.Generator
    order : ndarray of int64, shape (count,), optional
        Place of every expert in that distribution, 0 the most popular; drawn if not given.

    Returns
    -------
    ndarray of float64, shape (count,)
        Whole numbers up to `SAMPLE_TOKENS` tokens. They sum to ``tokens * top_k``.

    Source
    ------
    Gumbel-top-k draws without replacement with the given weights: Kool et al., arXiv 1903.06059, section 2.

    Examples
    --------
    >>> counts = route(Experts(8, 2, 64), 100, 0.0, np.random.default_rng(0))
    >>> float(counts.sum()), int(counts.max()) <= 100
    (200.0, True)
    """
    n, k = experts.count, experts.top_k
    rank = rng.permutation(n) if order is None else order
    log_weight = -skew * np.log(rank + 1.0)
    drawn = min(tokens, SAMPLE_TOKENS)
    counts = np.zeros(n)
    per_turn = max(1, (1 << 22) // n)
    for first in range(0, drawn, per_turn):
        size = min(per_turn, drawn - first)
        keys = rng.gumbel(size=(size, n)) + log_weight
        chosen = np.argpartition(-keys, k - 1, axis=1)[:, :k] if k < n else np.tile(np.arange(n), (size, 1))
        counts += np.bincount(chosen.ravel(), minlength=n)
    return counts * (tokens / drawn)
