"""A training step of several micro-batches, whose gradients add up before the optimizer.

Owns the repetition of forward and backward; must not know addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from hbmmodel.trace.expand import Operand
from hbmmodel.trace.records import Alloc, Free, OpRecord, PhaseMark, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, Storages, check_count, numbered, refuse

__all__ = ["MicroBatches"]

OPTIMIZER = "optimizer"


@dataclass
class _Part:
    """What comes before the optimizer."""

    n_operations: int = 0
    made: set[int] = field(default_factory=set)
    gradients: dict[int, Operand] = field(default_factory=dict)  # made here and used by the optimizer
    complete: dict[int, int] = field(default_factory=dict)  # gradient -> the operation that writes it last


@dataclass(frozen=True)
class MicroBatches(Pass):
    """Forward and backward `n` times, then the optimizer once.

    The second and later micro-batches write their gradients anew and add them to the first one's, as autograd does.
    All read the same inputs. The trace must call its optimizer's part ``optimizer``.

    Parameters
    ----------
    n : int
        Micro-batches.

    Source
    ------
    ``AccumulateGrad`` of PyTorch 2.13 (``torch/csrc/autograd/functions/accumulate_grad.h``): in-place addition.

    Examples
    --------
    >>> str(MicroBatches(16))
    'micro_batches(n=16)'
    """

    pass_name: ClassVar[str] = "micro_batches"

    n: int

    def __post_init__(self) -> None:
        check_count("n", self.n, 1, 1 << 20)

    def apply(self, trace: RecordedTrace) -> Iterator[Record]:
        """Records with the repetitions before the optimizer."""
        part = self._find(trace)
        storages = Storages(trace)
        held: list[Free] = []  # inputs that the first micro-batch was the last to use
        number = 0
        for record in trace.records():
            if isinstance(record, OpRecord):
                if number == part.n_operations:
                    label = OPTIMIZER
                    for _ in range(self.n - 1):
                        yield from self._again(trace, part, storages)
                    yield from held
                    yield PhaseMark(label)
                number += 1
            elif isinstance(record, Free) and number < part.n_operations and record.storage not in part.made:
                held.append(record)
                continue
            yield record

    def _find(self, trace: RecordedTrace) -> _Part:
        part = _Part()
        begun = False
        for number, phase, record in numbered(trace):
            begun = begun or phase == OPTIMIZER
            for operand in record.operands:
                if not begun and operand.role == "w":
                    part.made.add(operand.storage)
                    part.complete[operand.storage] = number
                elif not begun and operand.role == "m" and operand.storage in part.made:
                    part.complete[operand.storage] = number
                elif begun and operand.storage in part.made and operand.role in "rm":
                    part.gradients.setdefault(operand.storage, operand)
            part.n_operations += not begun
        if not begun or not part.n_operations:
            remedy = "capture with phases=True, or label the optimizer's part 'optimizer'"
            raise refuse(trace, self, "no phase 'optimizer' follows a forward and a backward pass", remedy)
        return part

    def _again(self, trace: RecordedTrace, part: _Part, storages: Storages) -> Iterator[Record]:
        names: dict[int, int] = {}
        live: set[int] = set()
        number = 0
        for record in trace.records():
            if number == part.n_operations:
                break
            if isinstance(record, Alloc):
                if record.storage in part.made:
                    names[record.storage] = storages.new()
                    live.add(record.storage)
                    yield record._replace(storage=names[record.storage])
            elif isinstance(record, Free):
                if record.storage in live:
                    live.discard(record.storage)
                    yield record._replace(storage=names[record.storage])
            elif isinstance(record, OpRecord):
                operands = tuple(o._replace(storage=names.get(o.storage, o.storage)) for o in record.operands)
                yield record._replace(operands=operands)
                for storage in sorted({o.storage for o in record.operands} & set(part.gradients)):
                    if part.complete[storage] == number:
                        gradient = part.gradients[storage]
                        both = (gradient._replace(role="m"), gradient._replace(role="r", storage=names[storage]))
                        yield record._replace(name="aten.add_.Tensor", operands=both)
                number += 1
            else:
                yield record
        for storage in sorted(live):
            yield Free(names[storage])
