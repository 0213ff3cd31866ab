"""The optimizer as one fused kernel instead of a dozen passes over the parameters.

Owns how an eager Adam or AdamW step is recognised; must not know addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from hbmmodel.trace.expand import Operand, operator
from hbmmodel.trace.records import Alloc, Free, OpRecord, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, check_choice, numbered, refuse
from hbmmodel.trace.rewrite.fuse import CHAIN

__all__ = ["Optimizer"]

Key = tuple[int, int]


def _key(operand: Operand) -> Key:
    return operand.storage, operand.offset


@dataclass
class _Found:
    """What an eager step works on, by storage and offset."""

    gradient_of: dict[Key, Operand] = field(default_factory=dict)  # first moment -> gradient
    square_of: dict[Key, Operand] = field(default_factory=dict)  # gradient -> second moment
    updated: dict[Key, tuple[Operand, Operand]] = field(default_factory=dict)  # parameter -> (itself, first moment)
    scratch: set[int] = field(default_factory=set)  # storages of what is computed in between

    def states(self) -> set[Key]:
        squares = {_key(operand) for operand in self.square_of.values()}
        return set(self.updated) | set(self.gradient_of) | squares


@dataclass(frozen=True)
class Optimizer(Pass):
    """Steps of eager Adam and AdamW (one tensor at a time, or ``foreach``) as ``_fused_adamw_``.

    A fused step reads parameter, gradient and both moments and writes all but the gradient: 4 reads and 3 writes of
    the parameters' size where the eager one has 12 and 8.

    Parameters
    ----------
    kind : {"fused"}
        What the optimizer becomes.

    Source
    ------
    ``torch/optim/adam.py`` of PyTorch 2.13: `_single_tensor_adam`, `_multi_tensor_adam` (lerp, addcmul, addcdiv) and
    `_fused_adam`.

    Examples
    --------
    >>> str(Optimizer("fused"))
    "optimizer(kind='fused')"
    """

    pass_name: ClassVar[str] = "optimizer"

    kind: str = "fused"

    def __post_init__(self) -> None:
        check_choice("optimizer", self.kind, ("fused",))

    def apply(self, trace: RecordedTrace) -> Iterator[Record]:
        """Records with fused steps."""
        found = self._find(trace)
        states = found.states()
        for record in trace.records():
            if isinstance(record, Alloc | Free):
                if record.storage not in found.scratch:
                    yield record
                continue
            if not isinstance(record, OpRecord):
                yield record
                continue
            if operator(record.name)[1] in ("addcdiv_", "_foreach_addcdiv_"):
                fused = self._fused(record, found)
                if fused is not None:
                    yield fused
                    continue
            written = [o for o in record.operands if o.role in "wm"]
            of_step = all(_key(o) in states or o.storage in found.scratch for o in written)
            if written and of_step and operator(record.name)[0] == "aten":
                continue
            if any(o.storage in found.scratch for o in record.operands):
                continue  # views of what is no longer computed
            yield record

    def _find(self, trace: RecordedTrace) -> _Found:
        found = _Found()
        for _, _, record in numbered(trace):
            lists = _lists(record, {"lerp_": 2, "_foreach_lerp_": 2, "addcmul_": 3, "_foreach_addcmul_": 3})
            base = operator(record.name)[1]
            for row in lists:
                if "lerp" in base:
                    found.gradient_of[_key(row[0])] = row[1]
                else:
                    found.square_of[_key(row[1])] = row[0]
            for row in _lists(record, {"addcdiv_": 3, "_foreach_addcdiv_": 3}):
                gradient = found.gradient_of.get(_key(row[1]))
                if gradient is not None and _key(gradient) in found.square_of:
                    found.updated[_key(row[0])] = (row[0], row[1])
        if not found.updated and any(record.name == CHAIN for _, _, record in numbered(trace)):
            raise refuse(
                trace,
                self,
                "element-wise chains are fused already, and an eager optimizer's step with them",
                "put optimizer before fuse_elementwise",
            )
        if not found.updated:
            raise refuse(
                trace,
                self,
                "no step of eager Adam or AdamW (lerp_, addcmul_, addcdiv_) is in the trace",
                "leave this pass out; a fused step needs none",
            )
        self._find_scratch(trace, found)
        return found

    def _find_scratch(self, trace: RecordedTrace, found: _Found) -> None:
        """What is computed from moments, up to the denominators, and read by nothing but the step."""
        moments = set(found.gradient_of) | {_key(operand) for operand in found.square_of.values()}
        states = found.states()
        read_elsewhere: set[int] = set()
        for _, _, record in numbered(trace):
            reads = [o for o in record.operands if o.role in "rm"]
            made = [o for o in record.operands if o.role == "w"]
            from_moments = any(_key(o) in moments or o.storage in found.scratch for o in reads)
            if made and from_moments:
                found.scratch |= {o.storage for o in made if _key(o) not in states}
            elif not all(_key(o) in states for o in record.operands if o.role in "wm"):
                read_elsewhere |= {o.storage for o in reads}
        inside = {o.storage for o in (*found.square_of.values(), *(p for p, _ in found.updated.values()))}
        found.scratch -= inside

    def _fused(self, record: OpRecord, found: _Found) -> OpRecord | None:
        rows = _lists(record, {"addcdiv_": 3, "_foreach_addcdiv_": 3})
        parameters: list[Operand] = []
        gradients: list[Operand] = []
        first: list[Operand] = []
        second: list[Operand] = []
        for row in rows:
            if _key(row[0]) not in found.updated:
                return None
            gradient = found.gradient_of[_key(row[1])]
            parameters.append(row[0]._replace(role="m"))
            gradients.append(gradient._replace(role="m"))
            first.append(row[1]._replace(role="m"))
            second.append(found.square_of[_key(gradient)]._replace(role="m"))
        operands = (*parameters, *gradients, *first, *second)
        return record._replace(name="aten._fused_adamw_.default", operands=operands)


def _lists(record: OpRecord, known: dict[str, int]) -> list[tuple[Operand, ...]]:
    """Operands of an operator that takes lists of equal length one behind the other, as rows across the lists."""
    n_lists = known.get(operator(record.name)[1])
    operands = [o for o in record.operands if o.role in "rm"]
    if n_lists is None or not operands:
        return []
    n = sum(o.role == "m" for o in operands)
    if n == 0 or len(operands) < n_lists * n:
        return []
    return [tuple(operands[i + k * n] for k in range(n_lists)) for i in range(n)]
