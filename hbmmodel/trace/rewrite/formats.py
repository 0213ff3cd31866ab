"""Tensors in another number format.

Owns the formats and which tensors change; must not know addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from hbmmodel.trace.expand import ITEM_BYTES, Operand, operator
from hbmmodel.trace.records import Alloc, OpRecord, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, check_choice, numbered, produced, refuse
from hbmmodel.trace.rewrite.caches import APPEND
from hbmmodel.trace.rewrite.matmul import weights

__all__ = ["FORMATS", "Dtype"]

FORMATS: dict[str, tuple[str, Fraction]] = {
    "f32": ("f32", Fraction(4)),
    "bf16": ("bf16", Fraction(2)),
    "f16": ("f16", Fraction(2)),
    "fp8": ("torch.float8_e4m3fn", Fraction(1)),
    "i8": ("i8", Fraction(1)),
    "mxfp8": ("u8", Fraction(33, 32)),
    "nvfp4": ("u8", Fraction(9, 16)),
    "mxfp4": ("u8", Fraction(17, 32)),
}
"""Format -> (dtype of the operands, bytes per element with its share of the scales).

Source: OCP Microscaling Formats specification v1.0 (blocks of 32 elements with one scale of 8 bits); NVIDIA,
"Introducing NVFP4" (blocks of 16 elements with one scale of 8 bits).
"""

TENSORS = ("weights", "kv", "all")


@dataclass(frozen=True)
class Dtype(Pass):
    """Tensors in another format: their storages shrink or grow, and so does what moves of them.

    Parameters
    ----------
    to : str
        One of `FORMATS`. Formats with scales lie as bytes, the scales beside their elements.
    source : {"bf16", "f16", "f32"}
        Format of the tensors that change; others stay.
    tensors : {"weights", "kv", "all"}
        ``weights``: matrices and tables that the trace does not make. ``kv``: caches that the pass `kv` made.
        ``all``: every storage that holds this format only.

    Notes
    -----
    Operations stay: what converting costs on the chip is not in a memory's traffic. Gathered rows stay rows.

    Examples
    --------
    >>> str(Dtype("fp8"))
    "dtype(to='fp8', source='bf16', tensors='weights')"
    """

    pass_name: ClassVar[str] = "dtype"

    to: str
    source: str = "bf16"
    tensors: str = "weights"

    def __post_init__(self) -> None:
        check_choice("dtype", self.to, tuple(FORMATS))
        check_choice("source", self.source, ("bf16", "f16", "f32"))
        check_choice("tensors", self.tensors, TENSORS)

    def apply(self, trace: RecordedTrace) -> Iterator[Record]:
        """Records with the tensors in the other format."""
        chosen = self._chosen(trace)
        ratio = FORMATS[self.to][1] / ITEM_BYTES[self.source]
        for record in trace.records():
            if isinstance(record, Alloc) and record.storage in chosen:
                yield record._replace(n_bytes=-(-record.n_bytes * ratio.numerator // ratio.denominator))
            elif isinstance(record, OpRecord):
                operands = tuple(
                    self._converted(trace, record, o, ratio) if o.storage in chosen else o for o in record.operands
                )
                yield record._replace(operands=operands)
            else:
                yield record

    def _chosen(self, trace: RecordedTrace) -> set[int]:
        dtypes: dict[int, set[str]] = {}
        appended: set[int] = set()
        for _, _, record in numbered(trace):
            for operand in record.operands:
                dtypes.setdefault(operand.storage, set()).add(operand.dtype)
                if record.name == APPEND and operand.role == "w":
                    appended.add(operand.storage)
        pure = {storage for storage, found in dtypes.items() if found == {self.source}}
        if self.tensors == "weights":
            pure &= weights(trace, produced(trace))
        elif self.tensors == "kv":
            pure &= appended
        if not pure:
            remedy = "rewrite kv before" if self.tensors == "kv" else "choose another source or tensors"
            raise refuse(trace, self, f"no {self.tensors} in {self.source} are in it", remedy)
        return pure

    def _converted(self, trace: RecordedTrace, record: OpRecord, operand: Operand, ratio: Fraction) -> Operand:
        dtype, per_element = FORMATS[self.to]
        offset = operand.offset * ratio
        if per_element.denominator == 1 and offset.denominator == 1:
            return operand._replace(dtype=dtype, offset=int(offset))
        # Bytes instead of elements: the dimension that is dense shrinks, the steps of the others with it.
        dense = next((i for i, (n, s) in enumerate(zip(operand.shape, operand.stride, strict=True)) if s == 1 < n), -1)
        shape = list(operand.shape)
        stride = [s if i == dense or s == 0 else s * per_element for i, s in enumerate(operand.stride)]
        for i, n in enumerate(shape):
            if n == 1:
                stride[i] = 0
        uneven = any(Fraction(s).denominator != 1 for s in stride) or offset.denominator != 1
        if dense < 0 or uneven:
            base = operator(record.name)[1]
            what = f"{base} uses {shape} with steps {list(operand.stride)}, no whole number of blocks"
            raise refuse(trace, self, what, "choose a format of whole bytes, such as fp8")
        shape[dense] = -(-shape[dense] * per_element.numerator // per_element.denominator)
        return operand._replace(dtype=dtype, offset=int(offset), shape=shape, stride=[int(s) for s in stride])
