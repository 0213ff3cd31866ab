"""Names of many operations as numbers.

Owns their numbering; must not know what is done with it. Millions of names, one of them long, must not become an array
of so many times the longest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["numbered"]


def numbered(column: NDArray[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """The different names in alphabetical order, and which of them each entry is.

    Examples
    --------
    >>> names, member = numbered(np.array(["b", "a", "b"], dtype=object))
    >>> names, member.tolist()
    (['a', 'b'], [1, 0, 1])
    """
    seen: dict[Any, int] = {}
    member = np.fromiter((seen.setdefault(name, len(seen)) for name in column.tolist()), np.int64, len(column))
    names = [str(name) for name in seen]
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), dtype=np.int64)
    place[order] = np.arange(len(names))
    return [names[i] for i in order], place[member]
