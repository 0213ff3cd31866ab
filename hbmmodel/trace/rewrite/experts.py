"""One device of several that share the experts of every layer.

Owns what of a grouped product one device does; how cuts spread is `sharding`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hbmmodel.trace.expand import operator
from hbmmodel.trace.records import OpRecord, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, check_count, refuse
from hbmmodel.trace.rewrite.matmul import GROUPED
from hbmmodel.trace.rewrite.sharding import Sharding

__all__ = ["ExpertParallel"]


@dataclass(frozen=True)
class ExpertParallel(Pass):
    """What device `rank` of `parts` does when each holds an equal share of the experts.

    Only the weights of experts are cut; of those that the trace's tokens chose, a device reads its own. As many
    tokens arrive from the other devices as leave for them, so activations stay as they are.

    Parameters
    ----------
    parts : int
        Devices, 2 or more; must divide the experts.
    rank : int
        Which of them, from 0.

    Source
    ------
    Lepikhin et al., "GShard", ICLR 2021, section 3.2 (experts sharded over devices, tokens exchanged all to all).

    Examples
    --------
    >>> str(ExpertParallel(4))
    'expert_parallel(parts=4, rank=0)'
    """

    pass_name: ClassVar[str] = "expert_parallel"

    parts: int
    rank: int = 0

    def __post_init__(self) -> None:
        check_count("parts", self.parts, 2, 1 << 16)
        check_count("rank", self.rank, 0, self.parts - 1)

    def apply(self, trace: RecordedTrace) -> Iterator[Record]:
        """Records of one device."""
        index = trace.index_arrays()
        try:
            for record in _ByExperts(trace, self, self.parts).records():
                if isinstance(record, OpRecord) and operator(record.name)[1] in GROUPED:
                    operands = list(record.operands)
                    for i, operand in enumerate(operands):
                        if operand.key is None and operand.indices is None:
                            continue
                        ends = operand.indices if operand.indices is not None else index.recorded(str(operand.key))
                        if len(ends) % self.parts:
                            what = f"{len(ends)} experts cannot be divided by {self.parts}"
                            raise refuse(trace, self, what, "choose another number of parts")
                        share = len(ends) // self.parts
                        first = self.rank * share
                        before = ends[first - 1] if first else 0
                        own = np.ascontiguousarray(ends[first : first + share] - before)
                        operands[i] = operand._replace(key=None, indices=own)
                    record = record._replace(operands=tuple(operands))
                yield record
        finally:
            index.close()


class _ByExperts(Sharding):
    def decide(self, record: OpRecord) -> bool:
        if operator(record.name)[1] not in GROUPED:
            return False
        for operand in record.operands:  # experts on the way in, their gradients on the way back
            if len(operand.shape) == 3 and operand.role in "rw":
                self.cut(operand, 0)
        return True
