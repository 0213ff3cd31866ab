"""Operations into the core: waves of independent operations, their operands checked and handed over.

Owns the grouping and the issue modes of operations; must not know requests or results.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from hbmmodel.errors import HbmAddressError, HbmArgumentError
from hbmmodel.sim.progress import Bar, Moved
from hbmmodel.system import System
from hbmmodel.trace.access import BYTES_MAX, DIMS_MAX

if TYPE_CHECKING:
    from hbmmodel._core import CoreSystem
    from hbmmodel.trace import Access, Operation, OpTrace

__all__ = ["WAVE_MAX", "run_operations", "waves"]

#: Operations that may run at the same time; also what is held of a trace at once.
WAVE_MAX = 64
TICK_MAX = 1 << 60


def waves(operations: Iterable[Operation], limit: int = WAVE_MAX) -> Iterator[list[Operation]]:
    """Group operations, in order, into waves whose members do not depend on each other.

    Two operations depend on each other when one writes bytes of a span that the other reads or writes.  A wave ends
    before the first operation that depends on a member, so the start of every wave is the end of all that its members
    wait for.

    Parameters
    ----------
    operations : iterable of Operation
    limit : int
        Members of a wave at most.

    Examples
    --------
    >>> from hbmmodel.trace import Access, Operation
    >>> def op(i, *accesses):
    ...     return Operation(i, i, "op", "", 0, 0, tuple(Access(w, 0, a, 64) for w, a in accesses))
    >>> [[o.index for o in w] for w in waves([op(0, (True, 0)), op(1, (True, 64)), op(2, (False, 0))])]
    [[0, 1], [2]]
    """
    wave: list[Operation] = []
    reads: list[tuple[int, int]] = []
    writes: list[tuple[int, int]] = []

    def meets(spans: list[tuple[int, int]], low: int, high: int) -> bool:
        return any(low < end and begin < high for begin, end in spans)

    for operation in operations:
        spans = [(access.is_write, *access.span) for access in operation.accesses]
        depends = any(
            meets(writes, low, high) or (is_write and meets(reads, low, high)) for is_write, low, high in spans
        )
        if wave and (depends or len(wave) == limit):
            yield wave
            wave, reads, writes = [], [], []
        wave.append(operation)
        for is_write, low, high in spans:
            (writes if is_write else reads).append((low, high))
    if wave:
        yield wave


def run_operations(
    core: CoreSystem,
    system: System,
    trace: OpTrace,
    moved: Moved,
    mode: str,
    tile: int,
    wrap: bool,
    progress: bool,
) -> None:
    """Feed all operations of a trace, wave by wave (closed) or batch by batch."""
    total = sum(a.n_bytes for o in trace.operations() for a in o.accesses) if progress else None
    operations = _checked(trace.operations(), trace.name)
    grouped = waves(operations) if mode == "closed" else _batches(operations, mode)
    first_time_ns: int | None = None
    start = 0
    with Bar(progress, total, os.path.basename(trace.name)) as bar:
        for wave in grouped:
            if mode == "paced":
                first_time_ns = wave[0].time_ns if first_time_ns is None else first_time_ns
                start = max(start, _ticks_of_ns(wave[0].time_ns - first_time_ns, system, trace.name))
            accesses, owners, n_bytes = _accesses(wave, moved, start)
            try:
                end = core.wave(accesses, start, tile, mode == "closed", wrap)
            except (HbmAddressError, HbmArgumentError) as error:
                raise _outside(error, owners, system, trace) from None
            if mode == "closed":
                start = end + max(2, system.host_ticks)
                start += start & 1
            bar.add(n_bytes)
    if not moved.names:
        raise HbmArgumentError(f"{trace.name}: no operation moves any data; nothing to simulate")


def _batches(operations: Iterable[Operation], mode: str) -> Iterator[list[Operation]]:
    """Operations that are offered together: one time stamp each, or as many as are held."""
    batch: list[Operation] = []
    for operation in operations:
        if batch and (mode == "paced" or len(batch) == WAVE_MAX):
            yield batch
            batch = []
        batch.append(operation)
    if batch:
        yield batch


def _checked(operations: Iterable[Operation], name: str) -> Iterator[Operation]:
    """The operations, once it is sure that every operand can be walked in 64-bit arithmetic."""
    for operation in operations:
        for k, access in enumerate(operation.accesses):
            problem = _problem(access)
            if problem is not None:
                error, text = problem
                raise error(f"{name}: operation {operation.index} ({operation.name}), operand {k}: {text}")
        yield operation


def _problem(access: Access) -> tuple[type[HbmArgumentError | HbmAddressError], str] | None:
    rows = access.row_offsets
    if access.run_bytes < 1:
        return HbmArgumentError, f"run_bytes is {access.run_bytes}; a run has at least one byte"
    if rows is not None and (rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows) or access.dims):
        return HbmArgumentError, "row_offsets must be a vector of whole numbers, not empty, and without dims"
    if len(access.dims) > DIMS_MAX or any(n < 1 or not 0 <= step < BYTES_MAX // 2 for n, step in access.dims):
        return HbmArgumentError, f"dims must be at most {DIMS_MAX} pairs (count > 0, 0 <= stride < 2**61)"
    low, high = access.span
    if not 0 <= low < high <= BYTES_MAX or access.base_address > BYTES_MAX:
        return HbmAddressError, f"bytes {low:#x}..{high:#x} are no addresses; they must lie in 0..2**62"
    return None


def _ticks_of_ns(time_ns: int, system: System, name: str) -> int:
    tick = -int(-Fraction(time_ns) * 1000 // system.tick_ps)
    if not 0 <= tick < TICK_MAX:
        raise HbmArgumentError(
            f"{name}: an operation starts {time_ns} ns after the first one; times must ascend and stay below "
            "2**60 ticks; use mode='closed'"
        )
    return tick


def _accesses(
    wave: list[Operation], moved: Moved, start: int
) -> tuple[list[tuple[Any, ...]], list[tuple[Operation, int]], int]:
    """The wave as the core takes it, who each access belongs to, and its bytes."""
    accesses: list[tuple[Any, ...]] = []
    owners: list[tuple[Operation, int]] = []
    n_bytes = 0
    for operation in wave:
        number = len(moved.names)
        moved.names.append(operation.name)
        moved.phases.append(operation.phase)
        moved.indices.append(operation.index)
        moved.start_ticks.append(start)
        for k, access in enumerate(operation.accesses):
            offsets = access.row_offsets
            if offsets is not None:
                offsets = np.ascontiguousarray(offsets, dtype=np.int64)
            accesses.append((access.base_address, access.run_bytes, access.dims, offsets, access.is_write, number))
            owners.append((operation, k))
            n_bytes += access.n_bytes
            moved.runs += access.n_runs
    moved.bytes_asked += n_bytes
    moved.records += len(wave)
    return accesses, owners, n_bytes


def _outside(
    error: Exception, owners: list[tuple[Operation, int]], system: System, trace: OpTrace
) -> Exception:
    bad = error.args[1] if len(error.args) > 1 else -1
    if not 0 <= bad < len(owners):
        return type(error)(f"{trace.name}: {error.args[0] if error.args else error}")
    operation, k = owners[bad]
    low, high = operation.accesses[k].span
    return type(error)(
        f"{trace.name}: operation {operation.index} ({operation.name}), operand {k}: {error.args[0]}: bytes "
        f"{low:#x}..{high:#x}, capacity {system.capacity_bytes:#x}; use more stacks, a larger variant, or wrap=True"
    )
