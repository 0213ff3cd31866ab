"""Matrix products: which operands are their matrices, and which of these are weights.

Owns the operators and their shapes; used by several passes.
"""

from __future__ import annotations

from typing import NamedTuple

from hbmmodel.trace.expand import operator
from hbmmodel.trace.records import OpRecord, RecordedTrace
from hbmmodel.trace.rewrite.base import numbered

__all__ = ["GROUPED", "Product", "product", "weights"]

GROUPED = frozenset(("_grouped_mm", "_scaled_grouped_mm"))

# Operator -> positions of the two matrices among its operands.
_PRODUCTS = {"mm": (0, 1), "bmm": (0, 1), "addmm": (1, 2), "baddbmm": (1, 2), "_scaled_mm": (0, 1), "linear": (0, 1)}


class Product(NamedTuple):
    """A matrix product C = A B: positions of A, B and C among the operands, and their dimensions.

    `rows` of A and C, `columns` of B and C, `inner` of A and of B, each as the number of a dimension.
    """

    a: int
    b: int
    c: int
    a_rows: int
    a_inner: int
    b_inner: int
    b_columns: int


def product(record: OpRecord) -> Product | None:
    """The product that an operation is; None for any other."""
    namespace, base = operator(record.name)
    if namespace != "aten" or base not in _PRODUCTS:
        return None
    a, b = _PRODUCTS[base]
    c = next((i for i, operand in enumerate(record.operands) if operand.role == "w"), -1)
    if c < 0 or len(record.operands) <= b:
        return None
    shape_a, shape_b, shape_c = (record.operands[i].shape for i in (a, b, c))
    rank, rank_b = len(shape_a), len(shape_b)
    if rank < 2 or rank_b < 2 or len(shape_c) != rank:
        return None
    if base == "linear":  # weights are (columns, inner)
        found = Product(a, b, c, rank - 2, rank - 1, 1, 0)
    else:
        found = Product(a, b, c, rank - 2, rank - 1, rank_b - 2, rank_b - 1)
    fits = shape_a[found.a_inner] == shape_b[found.b_inner] and shape_c[-1] == shape_b[found.b_columns]
    return found if fits and shape_c[-2] == shape_a[found.a_rows] else None


def weights(trace: RecordedTrace, made: set[int]) -> set[int]:
    """Storages that are matrices of products, or tables of embeddings, and that no operation makes."""
    found: set[int] = set()
    for _, _, record in numbered(trace):
        base = operator(record.name)[1]
        one = product(record)
        if one is not None:
            found |= {record.operands[i].storage for i in (one.a, one.b)}
        elif base in GROUPED and len(record.operands) > 1:
            found.add(record.operands[1].storage)
        elif base in ("embedding", "_embedding_bag", "_embedding_bag_forward_only") and record.operands:
            found.add(record.operands[0].storage)
    return found - made
