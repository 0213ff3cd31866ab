"""One device of several that each hold some of the layers.

Owns which operations stay, and what arrives and leaves; where layers are is found by `layers` and `owners`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hbmmodel.trace.expand import Operand, moves_nothing
from hbmmodel.trace.records import Alloc, Free, OpRecord, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, check_count, numbered, refuse
from hbmmodel.trace.rewrite.layers import find_layers
from hbmmodel.trace.rewrite.owners import Owners, find_owners

__all__ = ["Pipeline"]


@dataclass(frozen=True)
class Pipeline(Pass):
    """What stage `stage` of `stages` does when layers are shared out in equal runs.

    The first stage also does what comes before the layers, the last what comes behind. What a stage needs from others
    arrives as ``c10d.recv_`` (a write), what others need leaves as ``c10d.send`` (a read). Of a training step with
    phases, the backward pass of a layer and the update of its weights stay with its forward pass; a table that both
    ends use is updated by the first stage, to which the last one sends its part of the gradient.

    Parameters
    ----------
    stages : int
        Devices, 2 or more; at most as many as layers.
    stage : int
        Which of them, from 0.

    Source
    ------
    Huang et al., "GPipe", NeurIPS 2019, section 2 (consecutive layers per device, activations handed on).

    Examples
    --------
    >>> str(Pipeline(4, stage=1))
    'pipeline(stages=4, stage=1)'
    """

    pass_name: ClassVar[str] = "pipeline"

    stages: int
    stage: int = 0

    def __post_init__(self) -> None:
        check_count("stages", self.stages, 2, 1 << 16)
        check_count("stage", self.stage, 0, self.stages - 1)

    def apply(self, trace: RecordedTrace) -> Iterator[Record]:
        """Records of one stage."""
        split = _Split(trace, self)
        sent: dict[int, Operand] = {}
        arriving = set(split.arriving)
        number = 0
        for record in trace.records():
            if isinstance(record, Alloc | Free):
                if record.storage in split.used:
                    yield record
                continue
            if not isinstance(record, OpRecord):
                yield record
                continue
            mine = split.mine(number, record)
            number += 1
            if mine is None:  # what was made up to here leaves before others need it
                for operand in sent.values():
                    yield record._replace(name="c10d.send.default", operands=(operand._replace(role="r"),))
                sent.clear()
                continue
            silent = moves_nothing(mine.name, mine.operands)
            for operand in mine.operands:
                if operand.storage in arriving and not silent:
                    arriving.discard(operand.storage)
                    yield record._replace(name="c10d.recv_.default", operands=(operand._replace(role="w"),))
                if operand.storage in split.leaving and operand.role == "w":
                    sent[operand.storage] = operand
            yield mine


class _Split:
    """Which operations, and which of their operands, are a stage's; what it uses, gets and gives."""

    def __init__(self, trace: RecordedTrace, item: Pipeline) -> None:
        self._item = item
        owners = find_owners(trace, item)
        if owners is None:
            layers = find_layers(trace, item)
            of = [layers.of(i) for i in range(len(layers.slots))]
            owners = Owners(layers, len(of), len(of), [], of)
        self._owners = owners
        self._count = owners.layers.count
        if item.stages > self._count:
            raise refuse(trace, item, f"it has {self._count} layers", "give fewer stages")
        maker: dict[int, int] = {}
        users: dict[int, set[int]] = {}
        for number, _, record in numbered(trace):
            for stage, operand in zip(self._stages(number, record), record.operands, strict=True):
                if stage is not None:
                    users.setdefault(operand.storage, set()).add(stage)
                    if operand.role == "w":
                        maker.setdefault(operand.storage, stage)
        mine = item.stage
        self.used = {storage for storage, stages in users.items() if mine in stages}
        self.arriving = {storage for storage in self.used if maker.get(storage, mine) != mine}
        self.leaving = {storage for storage in self.used if maker.get(storage) == mine and len(users[storage]) > 1}

    def _stages(self, number: int, record: OpRecord) -> list[int | None]:
        """The stage of each operand; None: of every stage."""
        layers = self._owners.of_operands.get(number)
        if layers is None:
            return [self._stage(self._owners.of[number])] * len(record.operands)
        return [None if layer is None else self._stage(layer) for layer in layers]

    def _stage(self, layer: int) -> int:
        """The stage of a layer: those that stage s begins with are s count // stages and on."""
        layer = min(max(layer, 0), self._count - 1)
        return ((layer + 1) * self._item.stages - 1) // self._count

    def mine(self, number: int, record: OpRecord) -> OpRecord | None:
        """What of an operation this stage does."""
        mine = self._item.stage
        if number not in self._owners.of_operands:
            return record if self._stage(self._owners.of[number]) == mine else None
        stages = self._stages(number, record)
        if mine not in stages:
            return None
        kept = (o for o, stage in zip(record.operands, stages, strict=True) if stage in (mine, None))
        return record._replace(operands=tuple(kept))
