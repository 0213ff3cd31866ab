"""One device of several that share every matrix product.

Owns which matrices are cut along which dimension; how cuts spread is `sharding`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hbmmodel.trace.expand import Operand, operator
from hbmmodel.trace.index import IndexArrays
from hbmmodel.trace.records import OpRecord, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, check_count
from hbmmodel.trace.rewrite.matmul import product
from hbmmodel.trace.rewrite.sharding import Cut, Sharding

__all__ = ["TensorParallel"]

NARROW = 64
"""A matrix with so many times fewer columns than rows stays whole: a router is cheaper to repeat than to share."""


@dataclass(frozen=True)
class TensorParallel(Pass):
    """What one of `parts` devices does when they share every layer.

    A matrix that meets a whole activation is cut by columns, one that meets a cut activation by rows; behind the
    latter the partial sums are exchanged before they are used, one ``all_reduce`` that reads and writes the result.
    Heads, caches, biases, gradients and optimizer states follow. Embedding tables, norms and narrow matrices stay
    whole; a table that is the head as well is cut with it, and every token still looks up one row.

    Parameters
    ----------
    parts : int
        Devices, 2 or more.

    Source
    ------
    Shoeybi et al., "Megatron-LM", arXiv 1909.08053, section 3 (columns, then rows, one all-reduce each). Unlike there
    the embedding table is not cut: its traffic is a few rows.

    Examples
    --------
    >>> str(TensorParallel(8))
    'tensor_parallel(parts=8)'
    """

    pass_name: ClassVar[str] = "tensor_parallel"

    parts: int

    def __post_init__(self) -> None:
        check_count("parts", self.parts, 2, 1 << 16)

    def apply(self, trace: RecordedTrace) -> Iterator[Record]:
        """Records of one device."""
        sharding = _ByProducts(trace, self, self.parts)
        index = trace.index_arrays()
        try:
            for record in sharding.records():
                if isinstance(record, OpRecord) and operator(record.name)[1] == "embedding":
                    record = self._looked_up(record, sharding, index)
                yield record
        finally:
            index.close()

    def _looked_up(self, record: OpRecord, sharding: _ByProducts, index: IndexArrays) -> OpRecord:
        """A table that is the head too is cut by rows: as many rows as before are looked up, in the own part."""
        table = record.operands[0]
        if sharding.cut_whole(table) != 0:
            return record
        rows = table.shape[0]
        operands = list(record.operands)
        for i, operand in enumerate(operands):
            if operand.key is None and operand.indices is None:
                continue
            found = operand.indices if operand.indices is not None else index.recorded(str(operand.key))
            if not len(found) or -rows * self.parts <= int(found.min()) and int(found.max()) < rows * self.parts:
                operands[i] = operand._replace(key=None, indices=np.mod(found, rows))
        return record._replace(operands=tuple(operands))


class _ByProducts(Sharding):
    def cut_whole(self, operand: Operand) -> int | None:
        """The dimension along which an operand that is cut already was cut, as far as its steps tell."""
        axis = self.axes.get(operand.storage)
        return None if axis is None else next((i for i, s in enumerate(operand.stride) if s == axis.step), None)

    def decide(self, record: OpRecord) -> bool:
        if operator(record.name)[1] in ("embedding", "embedding_dense_backward"):
            return all(self.cut_of(o) is None for o in record.operands)
        one = product(record)
        if one is None:
            return False
        a, b, c = record.operands[one.a], record.operands[one.b], record.operands[one.c]
        cut_a, cut_b = self.cut_of(a), self.cut_of(b)
        if cut_a is None and cut_b is None:
            if not self._is_weight(b) or b.shape[one.b_columns] * NARROW < b.shape[one.b_inner]:
                return True
            self.cut(b, one.b_columns)
            cut_b = one.b_columns
        if cut_a == one.a_inner or cut_b == one.b_inner:
            self.match(record, one.a, one.a_inner)
            self.match(record, one.b, one.b_inner)
            self.partial(record)
            return True
        rank = len(c.shape)
        if cut_a is not None and cut_b is not None and (cut_a != cut_b or cut_a >= rank - 2):
            raise Cut("both matrices are cut, along dimensions that do not meet")
        if cut_b == one.b_columns:
            self.cut(c, rank - 1)
            bias = record.operands[0]
            if one.a == 1 and bias.shape:  # or what the product is added to
                self.match(record, 0, len(bias.shape) - 1)
        elif cut_a == one.a_rows:
            self.cut(c, rank - 2)
        else:  # a batch of products: heads
            dim = cut_a if cut_a is not None else cut_b
            assert dim is not None
            self.match(record, one.a, dim)
            self.match(record, one.b, dim)
            self.cut(c, dim)
        return True

    def _is_weight(self, operand: Operand) -> bool:
        return operand.storage not in self.made and len(operand.shape) == 2
