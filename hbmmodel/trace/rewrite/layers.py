"""Equal layers of a model in a trace of one forward pass: where they are, and who hands what to whom.

Owns the search for the repeated part; used by the passes that repeat layers or share them out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hbmmodel.trace.expand import moves_nothing, operator
from hbmmodel.trace.records import RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, numbered, refuse
from hbmmodel.trace.rewrite.matmul import GROUPED, product

__all__ = ["Layers", "Slots", "Summary", "find_layers", "longest_repeat", "summarised"]

Slots = list[tuple[tuple[int, str], ...]]
"""Storage and role of every operand of every operation."""

CANDIDATES = 64


@dataclass(frozen=True)
class Layers:
    """The repeated part: operations `first` to `first + count * length`, `length` of them per layer.

    `slots`: storage and role of every operand of every operation of the trace.
    """

    first: int
    length: int
    count: int
    slots: Slots

    @property
    def end(self) -> int:
        """One past the last operation of the last layer."""
        return self.first + self.count * self.length

    def of(self, operation: int) -> int:
        """The layer of an operation: -1 before the first, `count` behind the last."""
        return -1 if operation < self.first else min((operation - self.first) // self.length, self.count)

    def made_in(self, low: int, high: int) -> dict[int, tuple[int, int]]:
        """Storages that the operations `low` to `high` make -> (operation from `low`, operand) that does it first."""
        made: dict[int, tuple[int, int]] = {}
        for i in range(low, high):
            for q, (storage, role) in enumerate(self.slots[i]):
                if role == "w":
                    made.setdefault(storage, (i - low, q))
        return made

    def used_in(self, low: int, high: int) -> set[int]:
        """Storages that the operations `low` to `high` touch."""
        return {storage for i in range(low, high) for storage, _ in self.slots[i]}


def find_layers(trace: RecordedTrace, item: Pass) -> Layers:
    """The longest part of a trace that is one sequence of operations with matrix products in it, repeated.

    Two operations are equal when name, roles, formats, shapes and strides are.

    Raises
    ------
    HbmTraceError
        Nothing is repeated, or what single layers make is used behind the last one.
    """
    found = summarised(trace)
    slots = found.slots
    first, length, count = longest_repeat(found.kinds, found.products)
    if count < 2:
        raise refuse(trace, item, "no layer is repeated in it", "capture two layers or more")
    layers = Layers(first, length, count, slots)
    inner = set(layers.made_in(first, layers.end - length))
    inner -= set(layers.made_in(layers.end - length, layers.end))
    if inner & layers.used_in(layers.end + 1, len(slots)):
        what = "what single layers make is used behind the last one (a training step, or several steps)"
        raise refuse(trace, item, what, "use a trace of one forward pass, or a training step captured with phases=True")
    return layers


class Summary(NamedTuple):
    """Of every operation: name, phase, whether it moves anything, operands, and what tells layers apart.

    `kinds` are numbers that equal operations share, `products` says whether they are matrix products.
    """

    names: list[str]
    phases: list[str]
    moves: list[bool]
    slots: Slots
    kinds: NDArray[np.int64]
    products: NDArray[np.bool_]


def summarised(trace: RecordedTrace) -> Summary:
    """All operations of a trace, in short."""
    numbers: dict[object, int] = {}
    names: list[str] = []
    phases: list[str] = []
    kinds: list[int] = []
    products: list[bool] = []
    slots: Slots = []
    moves: list[bool] = []
    for _, phase, record in numbered(trace):
        kind = (record.name, tuple((o.role, o.dtype, tuple(o.shape), tuple(o.stride)) for o in record.operands))
        names.append(record.name)
        phases.append(phase)
        kinds.append(numbers.setdefault(kind, len(numbers)))
        products.append(product(record) is not None or operator(record.name)[1] in GROUPED)
        slots.append(tuple((o.storage, o.role) for o in record.operands))
        moves.append(not moves_nothing(record.name, record.operands))
    return Summary(names, phases, moves, slots, np.array(kinds, dtype=np.int64), np.array(products, dtype=bool))


def longest_repeat(kinds: NDArray[np.int64], products: NDArray[np.bool_]) -> tuple[int, int, int]:
    """(first, length, count) of the repetition that covers most; of several the one of the shortest length.

    Examples
    --------
    >>> kinds = np.array([9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8])
    >>> longest_repeat(kinds, kinds == 2)
    (1, 3, 3)
    """
    before = np.concatenate(([0], np.cumsum(products)))
    gaps: Counter[int] = Counter()
    last: dict[int, int] = {}
    for i, kind in enumerate(kinds.tolist()):
        if kind in last:
            gaps[i - last[kind]] += 1
        last[kind] = i
    best = (0, 0, 1)
    covered = 0
    for length, _ in sorted(gaps.most_common(CANDIDATES)):
        same = kinds[length:] == kinds[:-length]
        edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False]))))
        if not len(edges):
            continue
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            count = (end - start) // length + 1
            if count > 1 and count * length > covered and before[start + length] > before[start]:
                covered = count * length
                best = (start, length, count)
    return best
