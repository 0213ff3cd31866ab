"""Which layer every operation of a training step belongs to: forward, backward and update alike.

Owns the rules by which operations are told apart; used by the passes that repeat layers or share them out. A layer's
backward pass is what uses its weights and what its forward pass left; its update is what uses those weights and their
gradients.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hbmmodel.trace.expand import operator
from hbmmodel.trace.records import RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, refuse
from hbmmodel.trace.rewrite.layers import Layers, Slots, longest_repeat, summarised

__all__ = ["BACKWARD", "Owners", "find_owners"]

BACKWARD = "backward"

LISTS = (4, 5, 3, 2, 1)
"""How many lists of tensors a fused optimizer changes: Adam has four; which number fits is seen from the owners."""


@dataclass
class Owners:
    """Layers of operations: -1 stands before the first layer, `layers.count` behind the last.

    Attributes
    ----------
    layers : Layers
        Of the forward pass.
    backward, update : int
        First operation of the backward pass, and the first behind it.
    moves : list of bool
        Whether an operation moves anything.
    of : list of int
        Layer of every operation.
    of_operands : dict of int to list
        Operations on tensors of several layers -> the layer of each operand; None: of all.
    lists : dict of int to int
        Of these operations, how many tensors each of their lists has.
    storages : dict of int to int
        Trained tensors, gradients and states -> layer.
    """

    layers: Layers
    backward: int
    update: int
    moves: list[bool]
    of: list[int] = field(default_factory=list)
    of_operands: dict[int, list[int | None]] = field(default_factory=dict)
    lists: dict[int, int] = field(default_factory=dict)
    storages: dict[int, int] = field(default_factory=dict)


def find_owners(trace: RecordedTrace, item: Pass) -> Owners | None:
    """Owners of the operations of a training step; None if the trace has no phase ``backward``.

    Raises
    ------
    HbmTraceError
        Nothing is repeated, there are several forward passes, or the backward pass does not go layer by layer.
    """
    names, phases, moves, slots, kinds, products = summarised(trace)
    if BACKWARD not in phases:
        return None
    begin = phases.index(BACKWARD)
    update = next((i for i in range(begin, len(phases)) if phases[i] != BACKWARD), len(phases))
    if BACKWARD in phases[update:]:
        raise refuse(trace, item, "it has several backward passes", "use it on one, and micro_batches behind it")
    first, length, count = longest_repeat(kinds[:begin], products[:begin])
    if count < 2:
        raise refuse(trace, item, "no layer is repeated in it", "capture two layers or more")
    found = Owners(Layers(first, length, count, slots), begin, update, moves)
    found.of = [found.layers.of(i) for i in range(begin)]
    touched: dict[int, set[int]] = {}
    for i in range(begin):
        for storage, _ in slots[i]:
            touched.setdefault(storage, set()).add(found.of[i])
    own = {storage: layers.copy().pop() for storage, layers in touched.items() if len(layers) == 1}
    now = count
    for i in range(begin, update):
        layer = max((own[storage] for storage, _ in slots[i] if storage in own), default=now)
        if layer > now:
            what = f"its backward pass comes back to layer {layer + 1} in operation {i}, {names[i]}"
            raise refuse(trace, item, what, "use a step whose layers run backwards one after the other")
        now = layer
        found.of.append(layer)
    found.storages = {storage: min(layers) for storage, layers in touched.items()}
    for i in range(begin, update):
        found.storages.update((storage, found.of[i]) for storage, role in slots[i] if role in "wm")
    for _ in range(2):  # what an operation tells of its tensors holds for earlier ones too
        del found.of[update:]
        _update(found, names, slots)
    return found


def _update(found: Owners, names: list[str], slots: Slots) -> None:
    """Owners of what is behind the backward pass; what is nobody's goes with the operation that follows."""
    storages = found.storages
    waiting: list[int] = []
    for i in range(found.update, len(slots)):
        found.of.append(found.layers.count)
        if operator(names[i])[1].startswith(("_fused_", "_foreach_")):
            found.lists[i], owners = _columns(names[i], slots[i], storages)
        else:
            known = {storages[storage] for storage, _ in slots[i] if storage in storages}
            if len(known) < 2:
                if not known:
                    waiting.append(i)
                    continue
                (owner,) = known
                for j in (*waiting, i):
                    found.of[j] = owner
                    storages.update((storage, owner) for storage, role in slots[j] if role in "wm")
                waiting.clear()
                continue
            found.lists[i], owners = len(slots[i]), [storages.get(storage) for storage, _ in slots[i]]
        found.of_operands[i] = owners
        for (storage, _), layer in zip(slots[i], owners, strict=True):
            if layer is not None:
                storages.setdefault(storage, layer)


def _columns(
    name: str, slots: Iterable[tuple[int, str]], storages: dict[int, int]
) -> tuple[int, list[int | None]]:
    """Length of lists one behind the other, and owners of operands: what is at one place of each belongs together."""
    slots = list(slots)
    changed = sum(role == "m" for _, role in slots) or sum(role == "w" for _, role in slots)
    for lists in LISTS if operator(name)[1].startswith("_fused_") else (1,):
        n = changed // lists
        if not n or changed % lists:
            continue
        columns: list[set[int]] = [set() for _ in range(n)]
        for position, (storage, _) in enumerate(slots):
            if storage in storages:
                columns[position % n].add(storages[storage])
        # a table's gradient is made right behind the first layer, and may be taken for that layer's
        if all(owners and max(owners) - min(owners) <= 1 for owners in columns):
            return n, [min(columns[position % n]) for position in range(len(slots))]
    return len(slots), [storages.get(storage) for storage, _ in slots]
