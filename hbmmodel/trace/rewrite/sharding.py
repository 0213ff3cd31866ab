"""Tensors cut along one axis for several devices: what one of them holds and moves.

Owns the arithmetic of cut storages and how cuts spread from operand to operand; the passes that use it decide which
weights are cut. An axis is known by its step and length in the storage, so that views of any shape find it again.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import NamedTuple

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.expand import Operand, moves_nothing, operator
from hbmmodel.trace.records import Alloc, OpRecord, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, produced, refuse

__all__ = ["ALL_REDUCE", "Axis", "Cut", "Sharding"]

ALL_REDUCE = "_c10d_functional.all_reduce.default"


class Axis(NamedTuple):
    """An axis of a storage: elements `step` apart, `length` of them."""

    step: int
    length: int

    @property
    def outer(self) -> int:
        """Elements from one round of the axis to the next."""
        return self.step * self.length


class Cut(Exception):  # noqa: N818 - never leaves the room
    """A tensor cannot be cut as asked; the text says why."""


def cut_dimension(operand: Operand, axis: Axis) -> int | None:
    """The dimension of an operand that is cut with its storage: the outermost one that walks along `axis`."""
    best: int | None = None
    for i, (n, step) in enumerate(zip(operand.shape, operand.stride, strict=True)):
        if n > 1 and step < axis.outer and step * n > axis.step and (best is None or step > operand.stride[best]):
            best = i
    return best


def cut_operand(operand: Operand, axis: Axis, parts: int) -> Operand:
    """The part of an operand that one device holds, in its own smaller storage.

    Raises
    ------
    Cut
        A dimension is not divisible.
    """
    i = cut_dimension(operand, axis)
    shape, stride = list(operand.shape), list(operand.stride)
    if i is not None:
        if shape[i] % parts:
            raise Cut(f"a dimension of {shape[i]} cannot be divided by {parts}")
        shape[i] //= parts
    stride = [s // parts if s >= axis.outer else s for s in stride]
    item = operand.itemsize
    rounds, rest = divmod(operand.offset // item, axis.outer)
    along, inner = divmod(rest, axis.step)
    offset = rounds * (axis.outer // parts) + along // parts * axis.step + inner
    return operand._replace(offset=offset * item, shape=shape, stride=stride)


class Sharding(abc.ABC):
    """One reading of a trace in which storages are cut.

    Parameters
    ----------
    trace : RecordedTrace
        What is cut.
    item : Pass
        On whose behalf, for messages.
    parts : int
        Devices.
    """

    def __init__(self, trace: RecordedTrace, item: Pass, parts: int) -> None:
        self.trace = trace
        self.parts = parts
        self.made = produced(trace)
        self.axes: dict[int, Axis] = {}
        self._item = item
        self._partial: set[int] = set()  # storages of sums of which every device has a part
        self._summed: dict[int, list[int]] = {}  # operation -> operands that are summed over the devices before it
        self._sliced: dict[int, list[tuple[int, int]]] = {}  # operation -> (operand, dimension) of which it uses a part
        self._number = 0

    @abc.abstractmethod
    def decide(self, record: OpRecord) -> bool:
        """Cut weights that the operation uses and its results, if it is one that the pass decides on; else False."""

    def records(self) -> Iterator[Record]:
        """What one device does."""
        self._number = -1
        for record in self.trace.records():
            if isinstance(record, OpRecord):
                self._number += 1
                try:
                    self._spread(record)
                except Cut as error:
                    raise self._refused(record, error) from None
        if not self.axes:
            raise refuse(self.trace, self._item, "nothing that can be divided is in it", "leave this pass out")
        number = -1
        for record in self.trace.records():
            if isinstance(record, Alloc) and record.storage in self.axes:
                yield record._replace(n_bytes=-(-record.n_bytes // self.parts))
            elif isinstance(record, OpRecord):
                number += 1
                try:
                    yield from self._cut(record, number)
                except Cut as error:
                    raise self._refused(record, error) from None
            else:
                yield record

    def _refused(self, record: OpRecord, error: Cut) -> HbmTraceError:
        return refuse(self.trace, self._item, f"{record.name}: {error}", "choose another number of parts or order")

    def cut_of(self, operand: Operand) -> int | None:
        """The dimension of an operand that is cut; None if it is whole."""
        axis = self.axes.get(operand.storage)
        return None if axis is None else cut_dimension(operand, axis)

    def cut(self, operand: Operand, dim: int) -> None:
        """Cut an operand's storage along one of its dimensions."""
        if operand.shape[dim] % self.parts:
            raise Cut(f"a dimension of {operand.shape[dim]} cannot be divided by {self.parts}")
        if operand.storage not in self.axes and operand.stride[dim] > 0 < operand.shape[dim]:
            self.axes[operand.storage] = Axis(operand.stride[dim], operand.shape[dim])

    def match(self, record: OpRecord, position: int, dim: int) -> None:
        """Make an operand that others meet along a cut dimension cut as well, or use a part of it."""
        operand = record.operands[position]
        if self.cut_of(operand) is not None or operand.shape[dim] == 1 or operand.stride[dim] == 0:
            return
        if operand.storage in self.made or operand.storage in self.axes:
            self._sliced.setdefault(self._number, []).append((position, dim))
        else:
            self.cut(operand, dim)

    def partial(self, record: OpRecord) -> None:
        """Note that an operation's results are sums of which every device has a part."""
        self._partial |= {o.storage for o in record.operands if o.role == "w"}

    def _spread(self, record: OpRecord) -> None:
        if moves_nothing(record.name, record.operands):
            return
        if any(o.rows is not None for o in record.operands):
            raise Cut("rows are selected already; rewrite this before kv")
        if any(o.reread != (1, 1) for o in record.operands):
            raise Cut("re-reads are counted already, for whole matrices; rewrite this before gemm_tiles")
        inputs = [(i, o) for i, o in enumerate(record.operands) if o.role in "rm"]
        open_sums = [i for i, o in inputs if o.storage in self._partial]
        if open_sums:
            if operator(record.name) == ("aten", "add") and len(open_sums) == len(inputs):
                self.partial(record)
                return
            self._summed[self._number] = open_sums
            self._partial -= {record.operands[i].storage for i in open_sums}
        if self.decide(record):
            return
        if operator(record.name)[1].startswith(("_fused_", "_foreach_")):
            self._spread_lists(record)
            return
        cut = [(o, d) for _, o in inputs if (d := self.cut_of(o)) is not None]
        if not cut:
            return
        for position, operand in inputs:  # a bias, a cache, a mask
            for other, dim in cut:
                at = dim + len(operand.shape) - len(other.shape)
                if 0 <= at < len(operand.shape) and operand.shape[at] == other.shape[dim]:
                    self.match(record, position, at)
                    break
        results = [o for o in record.operands if o.role == "w"]
        if operator(record.name) == ("aten", "cat") and len(cut) == len(inputs):
            self._joined(cut, results)
        for out in results:
            for other, dim in cut:
                at = dim + len(out.shape) - len(other.shape)
                if 0 <= at < len(out.shape) and out.shape[at] == other.shape[dim]:
                    self.cut(out, at)
                    break
        if results and not any(self.cut_of(out) is not None for out in results):
            self.partial(record)

    def _joined(self, cut: list[tuple[Operand, int]], results: list[Operand]) -> None:
        """Tensors that are cut along the dimension in which they are joined: so is what they become, part by part."""
        dim = cut[0][1]
        for out in results:
            alike = all(d == dim and len(o.shape) == len(out.shape) for o, d in cut)
            if alike and out.shape[dim] == sum(o.shape[dim] for o, _ in cut):
                self.cut(out, dim)

    def _spread_lists(self, record: OpRecord) -> None:
        """Optimizers: whatever has the shape and the place of a cut tensor is cut as well."""
        n = sum(o.role == "m" for o in record.operands)
        by_shape = {tuple(o.shape): d for o in record.operands if (d := self.cut_of(o)) is not None}
        if not n or not by_shape:
            return
        lists = 4 if operator(record.name)[1].startswith("_fused_adam") else 1
        rows = max(1, n // lists)
        for position, operand in enumerate(record.operands):
            twin = record.operands[position % rows]
            if tuple(twin.shape) == tuple(operand.shape):
                dim = self.cut_of(twin)
                if dim is not None and self.cut_of(operand) is None:
                    self.cut(operand, dim)

    def _cut(self, record: OpRecord, number: int) -> Iterator[Record]:
        operands = []
        sliced = dict(self._sliced.get(number, ()))
        for position, operand in enumerate(record.operands):
            axis = self.axes.get(operand.storage)
            if axis is not None:
                operand = cut_operand(operand, axis, self.parts)
            elif position in sliced:
                shape = list(operand.shape)
                shape[sliced[position]] //= self.parts
                operand = operand._replace(shape=shape)
            operands.append(operand)
        sums = {operands[i].storage: operands[i] for i in self._summed.get(number, ())}
        for operand in sums.values():
            both = (operand._replace(role="r"), operand._replace(role="w"))
            yield record._replace(name=ALL_REDUCE, operands=both, duration_ns=0)
        yield record._replace(operands=tuple(operands))
