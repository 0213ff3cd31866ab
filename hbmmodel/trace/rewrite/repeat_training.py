"""More layers in a training step than were captured: copies of the last one, forward, backward and in the update.

Owns how copies get storages of their own and are tied to their neighbours in both directions; which operation belongs
to which layer is found by `owners`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from hbmmodel.trace.expand import Operand
from hbmmodel.trace.records import Alloc, Free, OpRecord, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, Storages, refuse, renamed
from hbmmodel.trace.rewrite.owners import Owners

__all__ = ["repeated_step"]

FORWARD, BACKWARD, UPDATE = range(3)


class _Plan:
    """What is copied, and under which names.

    Attributes
    ----------
    own : set of int
        Storages of the last layer: each copy has others in their place.
    before : dict of int to int
        What the layer before made and the last one uses -> what the last one makes in its place.
    behind : dict of int to int
        What the last layer's backward pass takes over -> what it hands on in its place.
    """

    def __init__(self, trace: RecordedTrace, item: Pass, owners: Owners, copies: int) -> None:
        layers = owners.layers
        self.owners = owners
        self.copies = copies
        self.layer = layers.count - 1
        begin = layers.first + self.layer * layers.length
        made, other = layers.made_in(begin, layers.end), layers.made_in(begin - layers.length, begin)
        self.before = {storage: layers.slots[begin + i][q][0] for storage, (i, q) in other.items()}
        last, previous = (
            [i for i in range(owners.backward, owners.update) if owners.of[i] == layer and owners.moves[i]]
            for layer in (self.layer, self.layer - 1)
        )
        # behind the first layer's comes what is before all layers
        if len(last) > len(previous) or any(
            [role for _, role in layers.slots[i]] != [role for _, role in layers.slots[j]]
            for i, j in zip(last, previous, strict=False)
        ):
            what = "the backward passes of its last two layers are not alike"
            raise refuse(trace, item, what, "capture three layers or more, equal ones")
        given = {storage for i in last for storage, role in layers.slots[i] if role == "w"}
        self.behind: dict[int, int] = {}
        for i, j in zip(last, previous, strict=False):
            for (storage, _), (twin, _) in zip(layers.slots[i], layers.slots[j], strict=True):
                if twin in given and storage not in given:
                    self.behind.setdefault(storage, twin)
        touched_elsewhere = {
            storage for i in range(owners.backward) if owners.of[i] != self.layer for storage, _ in layers.slots[i]
        }
        self.own = set(made) | given
        self.own |= {storage for storage in layers.used_in(begin, layers.end) if storage not in touched_elsewhere}
        for i in range(owners.update, len(layers.slots)):
            of = owners.of_operands.get(i, [owners.of[i]] * len(layers.slots[i]))
            self.own |= {
                storage
                for (storage, role), layer in zip(layers.slots[i], of, strict=True)
                if layer == self.layer and (role in "wm" or owners.storages.get(storage) == self.layer)
            }
        self.handed_on = set(made) & touched_elsewhere
        self.names: list[dict[int, int]] = [{storage: storage for storage in self.own}]
        storages = Storages(trace)
        for _ in range(copies):
            self.names.append({storage: storages.new() for storage in sorted(self.own)})

    def place(self, number: int) -> tuple[int, bool, int]:
        """Part of the step that an operation is in, whether it is the last layer's alone, and its layer."""
        owners = self.owners
        part = FORWARD if number < owners.backward else BACKWARD if number < owners.update else UPDATE
        layer = owners.of[number] if number < len(owners.of) else -1
        return part, layer == self.layer and number not in owners.of_operands, layer

    def names_of(self, copy: int, part: int) -> dict[int, int]:
        """Names in the copy of a part of a layer; 0 is the layer itself."""
        names = dict(self.names[copy])
        if part != UPDATE and copy:
            below = self.names[copy - 1]
            names |= {storage: below[twin] for storage, twin in self.before.items() if storage not in names}
        if part == BACKWARD and copy < self.copies:
            above = self.names[copy + 1]
            names |= {storage: above[twin] for storage, twin in self.behind.items()}
        return names

    def rest(self) -> dict[int, int]:
        """Names of what the last layer hands on, for what comes behind all layers."""
        return {storage: self.names[-1][storage] for storage in self.handed_on}


def repeated_step(trace: RecordedTrace, item: Pass, owners: Owners, layers: int) -> Iterator[Record]:
    """Records of a training step with copies of its last layer.

    Copies run forward behind it and backward before it; kernels that update lists of tensors update theirs too.
    """
    plan = _Plan(trace, item, owners, layers - owners.layers.count)
    sizes: dict[int, int] = {}
    given: set[int] = set()  # storages of the last layer that its own records allocate
    for record, number in _placed(trace):
        if isinstance(record, Alloc):
            sizes[record.storage] = record.n_bytes
            if record.storage in plan.own and plan.place(number)[1]:
                given.add(record.storage)
    rest = plan.rest()
    for (part, is_own, layer), group in groupby(_placed(trace), lambda placed: plan.place(placed[1])):
        if not is_own:
            for record, number in group:
                yield from _outside(record, number, plan, rest if part != UPDATE and layer > plan.layer else {})
            continue
        template = [record for record, _ in group]
        order = range(plan.copies, -1, -1) if part == BACKWARD else range(plan.copies + 1)
        for copy in order:
            names = plan.names_of(copy, part)
            if copy and part == FORWARD:  # what others allocate: weights, gradients, states
                yield from (Alloc(names[storage], sizes[storage]) for storage in sorted(plan.own - given))
            for record in template:
                is_shared = isinstance(record, Alloc | Free) and record.storage not in names
                if not is_shared or copy == order[0]:  # what is others' comes and goes once
                    yield renamed(record, names)


def _placed(trace: RecordedTrace) -> Iterator[tuple[Record, int]]:
    """Records with the operation that they belong to: frees to the one before, all others to the one behind."""
    waiting: list[Record] = []
    number = -1
    for record in trace.records():
        if isinstance(record, Free) and number >= 0:
            yield record, number
            continue
        waiting.append(record)
        if isinstance(record, OpRecord):
            number += 1
            yield from ((held, number) for held in waiting)
            waiting = []
    yield from ((held, number + 1) for held in waiting)


def _outside(record: Record, number: int, plan: _Plan, rest: dict[int, int]) -> Iterator[Record]:
    """A record that is no layer copy's: it may use what the last layer hands on, or be about its tensors too."""
    owners = plan.owners
    if isinstance(record, OpRecord) and number in owners.of_operands:
        yield _widened(record, plan, owners.of_operands[number], owners.lists[number])
        return
    yield renamed(record, rest)
    if isinstance(record, Free) and record.storage in plan.own:
        if record.storage not in plan.handed_on and record.storage not in plan.behind.values():
            yield from (Free(names[record.storage]) for names in plan.names[1:])


def _widened(record: OpRecord, plan: _Plan, layers: list[int | None], length: int) -> OpRecord:
    """An operation on lists with the copies' tensors behind the last layer's."""
    operands: list[Operand] = []
    for start in range(0, len(record.operands), max(length, 1)):  # an operation may have none
        run: list[Operand] = []
        for operand, layer in zip(
            record.operands[start : start + length], layers[start : start + length], strict=True
        ):
            if layer != plan.layer and run:
                operands += _copied(run, plan)
                run = []
            operands.append(operand)
            if layer == plan.layer:
                run.append(operand)
        operands += _copied(run, plan)
    return record._replace(operands=tuple(operands))


def _copied(run: list[Operand], plan: _Plan) -> list[Operand]:
    return [o._replace(storage=names.get(o.storage, o.storage)) for names in plan.names[1:] for o in run]
