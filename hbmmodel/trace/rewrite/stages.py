"""One device of several that each hold some of the layers.

Owns which operations stay, and what arrives and leaves; where layers are is found by `layers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hbmmodel.trace.expand import Operand, moves_nothing
from hbmmodel.trace.records import Alloc, Free, OpRecord, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, check_count, refuse
from hbmmodel.trace.rewrite.layers import find_layers

__all__ = ["Pipeline"]


@dataclass(frozen=True)
class Pipeline(Pass):
    """What stage `stage` of `stages` does in a forward pass whose layers are shared out in equal runs.

    The first stage also does what comes before the layers, the last what comes behind. What a stage needs from the
    ones before arrives as ``c10d.recv_`` (a write), what later ones need leaves as ``c10d.send`` (a read).

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
        found = find_layers(trace, self)
        if self.stages > found.count:
            raise refuse(trace, self, f"it has {found.count} layers", "give fewer stages")
        n = len(found.slots)
        low = found.first + self.stage * found.count // self.stages * found.length if self.stage else 0
        last = self.stage == self.stages - 1
        high = n if last else found.first + (self.stage + 1) * found.count // self.stages * found.length
        used = found.used_in(low, high)
        arriving = used & set(found.made_in(0, low))
        leaving = set(found.made_in(low, high)) & found.used_in(high, n)
        sent: dict[int, Operand] = {}
        number = 0
        for record in trace.records():
            if isinstance(record, Alloc | Free):
                if record.storage in used and not (isinstance(record, Free) and record.storage in leaving):
                    yield record
                continue
            if not isinstance(record, OpRecord):
                yield record
                continue
            if number == high:
                for operand in sent.values():
                    yield record._replace(name="c10d.send.default", operands=(operand._replace(role="r"),))
            if low <= number < high:
                silent = moves_nothing(record.name, record.operands)
                for operand in record.operands:
                    if operand.storage in arriving and not silent:
                        arriving.discard(operand.storage)
                        yield record._replace(name="c10d.recv_.default", operands=(operand._replace(role="w"),))
                    if operand.storage in leaving and operand.role == "w":
                        sent[operand.storage] = operand
                yield record
            number += 1
