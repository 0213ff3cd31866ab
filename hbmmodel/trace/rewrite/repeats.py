"""More layers than were captured: the last one, again and again.

Owns how a copied layer gets its own storages and is tied to the one before; where layers are is found by `layers`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import ClassVar

from hbmmodel.trace.records import Alloc, Free, OpRecord, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, Storages, check_count, refuse, renamed
from hbmmodel.trace.rewrite.layers import Layers, find_layers
from hbmmodel.trace.rewrite.owners import find_owners
from hbmmodel.trace.rewrite.repeat_training import repeated_step

__all__ = ["RepeatLayer"]


@dataclass(frozen=True)
class RepeatLayer(Pass):
    """A forward pass or a training step with `layers` layers, of which the trace holds the first few.

    Copies have weights, caches and intermediate results of their own; what all layers share they share too, and each
    takes what the one before hands on. In a training step with phases they also have gradients and states.

    Parameters
    ----------
    layers : int
        Layers in the end.

    Examples
    --------
    >>> str(RepeatLayer(80))
    'repeat_layer(layers=80)'
    """

    pass_name: ClassVar[str] = "repeat_layer"

    layers: int

    def __post_init__(self) -> None:
        check_count("layers", self.layers, 2, 1 << 16)

    def apply(self, trace: RecordedTrace) -> Iterator[Record]:
        """Records with the copies behind the last layer."""
        owners = find_owners(trace, self)
        found = find_layers(trace, self) if owners is None else owners.layers
        if self.layers < found.count:
            raise refuse(trace, self, f"it has {found.count} layers already", "give as many or more")
        if owners is not None:
            yield from repeated_step(trace, self, owners, self.layers)
            return
        template: list[Record] = []
        sizes: dict[int, int] = {}
        handed_on: dict[int, int] = {}  # of the last layer's storages, for what comes behind
        begin = found.end - found.length
        number = 0
        copied = False
        for record in trace.records():
            if isinstance(record, Alloc):
                sizes[record.storage] = record.n_bytes
            # What is freed right behind an operation belongs to its layer.
            if number == found.end and not copied and not isinstance(record, Free):
                handed_on = yield from self._copied(_Copies(trace, found, template, sizes), found)
                copied = True
            is_inside = begin <= number < found.end or (number == found.end and not copied)
            if is_inside and not (number == begin and not template and isinstance(record, Free)):
                template.append(record)
            yield renamed(record, handed_on)
            number += isinstance(record, OpRecord)
        if not copied:
            yield from self._copied(_Copies(trace, found, template, sizes), found)

    def _copied(self, copies: _Copies, found: Layers) -> Generator[Record, None, dict[int, int]]:
        """All copies; returns what the last of them calls the last captured layer's results."""
        for _ in range(self.layers - found.count):
            yield from copies.next()
        return copies.handed_on()


class _Copies:
    """Copies of the last layer, one behind the other."""

    def __init__(self, trace: RecordedTrace, found: Layers, template: list[Record], sizes: dict[int, int]) -> None:
        begin = found.end - found.length
        before = begin - found.length
        self._storages = Storages(trace)
        self._template = template
        self._sizes = sizes
        self._made = set(found.made_in(begin, found.end))
        # What the layer before made, and where the last layer makes the same.
        self._twin = {
            storage: found.slots[begin + i][q][0] for storage, (i, q) in found.made_in(before, begin).items()
        }
        made_ever = set(found.made_in(0, found.end))
        self._own: set[int] = set()  # weights and caches of the last layer
        for i in range(found.length):
            for (storage, _), (other, _) in zip(found.slots[begin + i], found.slots[before + i], strict=True):
                if storage != other and storage not in made_ever:
                    self._own.add(storage)
        self._names = {storage: storage for storage in self._made}

    def next(self) -> Iterator[Record]:
        """Records of one more layer."""
        last = self._names
        names = {storage: self._storages.new() for storage in sorted(self._made | self._own)}
        for storage, twin in self._twin.items():
            if storage not in names:
                names[storage] = last.get(twin, twin)
        allocated = {record.storage for record in self._template if isinstance(record, Alloc)}
        for storage in sorted(self._own - allocated):
            yield Alloc(names[storage], self._sizes[storage])
        for record in self._template:
            if not isinstance(record, Alloc) or record.storage in self._made | self._own:
                yield renamed(record, names)
        self._names = names

    def handed_on(self) -> dict[int, int]:
        """Names of what the last copy made, by those of the captured layer's."""
        return {storage: self._names[storage] for storage in self._made}
