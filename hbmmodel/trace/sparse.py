"""Sparse tensors of an execution trace: the indices and values that they were made of.

Owns the memory of which tensor has which parts; must not know how nodes are written. An ET names no storage of a sparse
tensor, but it does record the call that makes one of its parts, with both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hbmmodel.trace.op_schema import Schema
    from hbmmodel.trace.pytorch_et import Tensor

__all__ = ["SparseParts"]

MAKERS = frozenset(("aten._sparse_coo_tensor_with_dims_and_tensors.default", "aten._sparse_coo_tensor_unsafe.default"))


class SparseParts:
    """Parts of the sparse tensors that the nodes so far have made, by the number of the tensor.

    Source
    ------
    PyTorch 2.13, ``native_functions.yaml``: ``_sparse_coo_tensor_with_dims_and_tensors(int sparse_dim, int dense_dim,
    SymInt[] size, Tensor indices, Tensor values, ...)``; numbers are used again, and the latest maker counts.
    """

    def __init__(self) -> None:
        self._parts: dict[int, tuple[Tensor, Tensor]] = {}

    def parts(self, tensor: Tensor) -> list[Tensor]:
        """A tensor as operands: a sparse one as its indices and its values, where they are known."""
        if tensor.storage or tensor.id not in self._parts:
            return [tensor]
        indices, values = self._parts[tensor.id]
        return [replace(indices, role=tensor.role, selects=True), replace(values, role=tensor.role)]

    def learn(self, schema: Schema, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Remember the parts of the sparse results of a node."""
        made = [tensor for tensor in outputs if tensor.storage == 0]
        if not made:
            return
        if schema.name in MAKERS and len(inputs) >= 2 and inputs[0].storage and inputs[1].storage:
            self._parts[made[0].id] = (inputs[0], inputs[1])
        elif any(schema.views) and inputs and inputs[0].id in self._parts:
            self._parts[made[0].id] = self._parts[inputs[0].id]
