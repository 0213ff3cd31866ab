"""Element-wise chains as single kernels, which keep what they only pass on in registers.

Owns which operators are element-wise and what a fused chain reads and writes; must not know addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from hbmmodel.trace.access import extent_bytes
from hbmmodel.trace.expand import Operand, is_overwritten, moves_nothing, operator
from hbmmodel.trace.records import Alloc, Free, OpRecord, PhaseMark, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import Pass, numbered

__all__ = ["CHAIN", "FuseElementwise"]

CHAIN = "fused.pointwise"
"""What a fused chain is called."""

GROUP_MAX = 256
"""Most operations of one fused kernel."""

POINTWISE = frozenset(
    "_to_copy abs acos add addcdiv addcmul atan2 bernoulli bitwise_and bitwise_not bitwise_or bitwise_xor ceil clamp "
    "clamp_max clamp_min clone copy cos div elu elu_backward eq erf exp exp2 expm1 fill floor fmod ge gelu "
    "gelu_backward gt hardswish hardswish_backward isnan le leaky_relu leaky_relu_backward lerp log log1p log2 "
    "logical_and logical_not logical_or lt masked_fill maximum minimum mul native_dropout native_dropout_backward ne "
    "neg pow reciprocal relu remainder round rsqrt rsub sigmoid sigmoid_backward sign silu silu_backward sin softplus "
    "sqrt sub tanh tanh_backward threshold_backward trunc where zero".split()
)
REDUCTIONS = frozenset(
    "_fused_rms_norm _log_softmax _softmax _log_softmax_backward_data _softmax_backward_data amax amin mean "
    "native_layer_norm sum var var_mean".split()
)


@dataclass(frozen=True)
class FuseElementwise(Pass):
    """Element-wise operations that follow each other become one operation.

    It reads each of its inputs once and writes what is used behind it, or not freed; what is written and read within
    goes away, with its memory. Views in between do not end a chain; any other operation and a new phase do.

    Parameters
    ----------
    reductions : bool
        Let sums, means, softmax and normalisations over rows be part of a chain, as compilers do when a row fits
        on the chip.

    Source
    ------
    The rule of compilers that generate one loop per chain: Ansel et al., "PyTorch 2", ASPLOS 2024, section 4 (fusion
    in TorchInductor).

    Examples
    --------
    >>> str(FuseElementwise())
    'fuse_elementwise(reductions=False)'
    """

    pass_name: ClassVar[str] = "fuse_elementwise"

    reductions: bool = False

    def apply(self, trace: RecordedTrace) -> Iterator[Record]:
        """Records with fused chains."""
        last_use: dict[int, int] = {}
        for number, _, used in numbered(trace):
            if not moves_nothing(used.name, used.operands):
                for operand in used.operands:
                    last_use[operand.storage] = number
        freed = {record.storage for record in trace.records() if isinstance(record, Free)}
        chain = _Chain(last_use, freed)
        number = -1
        for record in trace.records():
            if isinstance(record, OpRecord):
                number += 1
                silent = moves_nothing(record.name, record.operands)
                if not silent and not self._fusable(record):
                    yield from chain.flush()
                    yield record
                    continue
                chain.add(record, number, silent)
                if chain.full:
                    yield from chain.flush()
            elif isinstance(record, PhaseMark):
                yield from chain.flush()
                yield record
            else:
                chain.hold(record)
        yield from chain.flush()

    def _fusable(self, record: OpRecord) -> bool:
        namespace, base = operator(record.name)
        plain = base.removesuffix("_")
        return namespace == "aten" and (plain in POINTWISE or (self.reductions and plain in REDUCTIONS))


class _Chain:
    """Operations that are not yet written, and the storages that come and go between them."""

    def __init__(self, last_use: dict[int, int], freed: set[int]) -> None:
        self._last_use = last_use
        self._freed = freed
        self._dropped: set[int] = set()
        self._clear()

    def _clear(self) -> None:
        self._records: list[Record] = []
        self._moving: list[OpRecord] = []
        self._end = -1

    @property
    def full(self) -> bool:
        return len(self._moving) >= GROUP_MAX

    def add(self, record: OpRecord, number: int, silent: bool) -> None:
        self._records.append(record)
        if not silent:
            self._moving.append(record)
            self._end = number

    def hold(self, record: Record) -> None:
        self._records.append(record)

    def flush(self) -> Iterator[Record]:
        """The chain as one operation; storages that it makes appear before, those that it frees go behind."""
        records, moving = self._records, self._moving
        if len(moving) < 2:
            yield from (held for held in records if not self._is_dropped(held))
            self._clear()
            return
        fused = self._fused()
        yield from (held for held in records if isinstance(held, Alloc) and not self._is_dropped(held))
        yield fused
        yield from (held for held in records if isinstance(held, Free) and not self._is_dropped(held))
        self._clear()

    def _is_dropped(self, record: Record) -> bool:
        if isinstance(record, Alloc | Free):
            return record.storage in self._dropped
        return isinstance(record, OpRecord) and any(o.storage in self._dropped for o in record.operands)

    def _fused(self) -> OpRecord:
        reads: dict[object, Operand] = {}
        writes: dict[object, Operand] = {}
        made: set[int] = set()
        spans: dict[int, list[tuple[int, int]]] = {}  # of storages that were there before: the bytes that are made
        new: set[int] = set()
        for record in self._moving:
            base = operator(record.name)[1]
            for position, operand in enumerate(record.operands):
                storage = operand.storage
                key = (storage, operand.offset, operand.dtype, tuple(operand.shape), tuple(operand.stride))
                if operand.role == "w":
                    new.add(storage)
                does_read = operand.role == "r" or (operand.role == "m" and not is_overwritten(base, position))
                if does_read and storage not in made and not _is_within(operand, spans.get(storage, ())):
                    reads.setdefault(key, operand._replace(role="r"))
                if operand.role in "wm":
                    writes.setdefault(key, operand._replace(role="w"))
            made |= {operand.storage for operand in record.operands if operand.role == "w"}
            for operand in record.operands:
                low, high = _span(operand)
                if operand.role == "m" and high - low == operand.numel * operand.itemsize:
                    spans.setdefault(operand.storage, []).append((low, high))
        dropped = {s for s in new if self._last_use[s] <= self._end and s in self._freed}
        self._dropped |= dropped
        kept = [operand for operand in writes.values() if operand.storage not in dropped]
        first = self._moving[0]
        return OpRecord(
            CHAIN,
            (*reads.values(), *kept),
            first.seq,
            first.time_ns,
            sum(record.duration_ns for record in self._moving),
            first.line,
        )


def _span(operand: Operand) -> tuple[int, int]:
    return operand.offset, operand.offset + extent_bytes(operand.shape, operand.stride, operand.itemsize)


def _is_within(operand: Operand, spans: Sequence[tuple[int, int]]) -> bool:
    low, high = _span(operand)
    return any(first <= low and high <= last for first, last in spans)
