"""The lost-cycle account: what every data bus did, of the whole system and of every stack.

Owns the shares; the causes are `hbmmodel.result`'s, their words are `content`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hbmmodel.result.summary import LOST

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["Account", "account"]

STACKS_MAX = 64


@dataclass(frozen=True, eq=False)
class Account:
    """Shares of the time of the data buses.

    Attributes
    ----------
    rows : tuple of str
        ``all stacks`` and, if there are several, every stack.
    causes : tuple of str
        Keys of `LOST`: ``data`` first, then those that ever happened, the largest first.
    shares : float64 array, shape (rows, causes)
        Every row sums to 1.
    """

    rows: tuple[str, ...]
    causes: tuple[str, ...]
    shares: NDArray[np.float64]


def account(result: Result) -> Account | None:
    """The account of a run; None if no time passed."""
    channels = result.channels
    stacks = channels["stack"]
    n = int(stacks.max(initial=0)) + 1
    none = np.zeros(len(channels))  # results of older versions lack a cause
    counted = [channels[counter] if counter in channels else none for counter in LOST.values()]
    ticks = np.array([np.bincount(stacks, weights=column, minlength=n) for column in counted]).T
    whole = ticks.sum(axis=0)
    if whole.sum() == 0:
        return None
    causes = list(LOST)
    order = [0, *(i for i in np.argsort(-whole, kind="stable").tolist() if i != 0 and whole[i] > 0)]
    rows, names = [whole], ["all stacks"]
    if 1 < n <= STACKS_MAX:
        rows += list(ticks)
        names += [f"stack {i}" for i in range(n)]
    shares = np.array([row / row.sum() if row.sum() else row for row in rows])[:, order]
    return Account(tuple(names), tuple(causes[i] for i in order), shares)
