"""The operations that took longest, by name.

Owns the ranking; must not know how operations ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["TopOperations", "top_operations"]

NAMES_MAX = 12


@dataclass(frozen=True, eq=False)
class TopOperations:
    """Operations of one name together, the longest first.

    Attributes
    ----------
    names : tuple of str
    count : int64 array, shape (n,)
    time_ns, bytes_read, bytes_written : float64 arrays, shape (n,)
        Sums; operations that overlap each count their whole time.
    n_names : int
        Names of the run, of which these are the longest.
    """

    names: tuple[str, ...]
    count: NDArray[np.int64]
    time_ns: NDArray[np.float64]
    bytes_read: NDArray[np.float64]
    bytes_written: NDArray[np.float64]
    n_names: int


def top_operations(result: Result, names_max: int = NAMES_MAX) -> TopOperations | None:
    """The longest operations of a run by name; None without operations."""
    operations = result.operations
    if not len(operations):
        return None
    names, member = np.unique(operations["name"].astype(str), return_inverse=True)

    def total(column: str) -> NDArray[np.float64]:
        return np.asarray(np.bincount(member, weights=operations[column], minlength=len(names)), dtype=np.float64)

    time_ns = total("duration_ns")
    order = np.argsort(-time_ns, kind="stable")[:names_max]
    return TopOperations(
        tuple(str(names[i]) for i in order),
        np.bincount(member, minlength=len(names))[order],
        time_ns[order],
        total("bytes_read")[order],
        total("bytes_written")[order],
        len(names),
    )
