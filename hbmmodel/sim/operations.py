"""Operations into the core: when each of them starts, its operands checked and handed over.

Owns the issue modes of operations; must not know requests or results.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from hbmmodel.errors import HbmAddressError, HbmArgumentError
from hbmmodel.sim.borders import Borders
from hbmmodel.sim.closed import Loop, run_closed
from hbmmodel.sim.dependences import IN_FLIGHT_MAX
from hbmmodel.sim.interrupt import Stop, interrupted, rest_bytes
from hbmmodel.sim.progress import NOT_ISSUED, Bar, Moved
from hbmmodel.system import System
from hbmmodel.trace.access import BYTES_MAX, DIMS_MAX
from hbmmodel.trace.beside import Programs

if TYPE_CHECKING:
    from hbmmodel._core import CoreSystem
    from hbmmodel.trace import Access, Operation, OpTrace

__all__ = ["Feed", "run_operations"]

TICK_MAX = 1 << 60


def run_operations(
    core: CoreSystem,
    system: System,
    trace: OpTrace,
    moved: Moved,
    mode: str,
    tile: int,
    wrap: bool,
    progress: bool,
    *,
    borders: Borders | None = None,
    stop: Stop,
) -> None:
    """Feed all operations of a trace: each when what it depends on has ended (closed), at its time, or at once.

    When `stop` is asked for, no more are issued, and what is in flight ends.
    """
    total = _total_bytes(trace) if progress else None
    with Bar(progress, total, os.path.basename(trace.name), system.device.organisation.burst_bytes) as bar:
        feed = Feed(core, system, trace, moved, tile, wrap, bar, borders, stop)
        if mode == "closed":
            left = run_closed(feed, _loops(trace))
        else:
            left = _run_open(feed, _checked(trace.operations(), trace.name), mode)
    if stop.asked and (first := next(left, None)) is not None:
        _interrupted(moved, itertools.chain((first,), left))
    elif not moved.names:
        raise HbmArgumentError(f"{trace.name}: no operation moves any data; nothing to simulate")


def _total_bytes(trace: OpTrace) -> int:
    """Bytes of what is not in the background."""
    parts = [p.trace for p in trace.programs if not p.background] if isinstance(trace, Programs) else [trace]
    return sum(access.n_bytes for part in parts for operation in part.operations() for access in operation.accesses)


def _loops(trace: OpTrace) -> list[Loop]:
    """A closed loop of every program."""
    if not isinstance(trace, Programs):
        return [Loop("", 0, lambda: _checked(trace.operations(), trace.name))]

    def passes(number: int) -> Callable[[], Iterator[Operation]]:
        return lambda: _checked(trace.placed(number), trace.programs[number].trace.name)

    return [
        Loop(
            program.name,
            number,
            passes(number),
            background=program.background,
            most_in_flight=IN_FLIGHT_MAX // len(trace.programs),
        )
        for number, program in enumerate(trace.programs)
    ]


class Feed:
    """Hands operations to the core and keeps track of them."""

    def __init__(
        self, core: CoreSystem, system: System, trace: OpTrace, moved: Moved, tile: int, wrap: bool, bar: Bar,
        borders: Borders | None, stop: Stop,
    ) -> None:
        self.core = core
        self.borders = borders
        self.stop = stop
        self.trace = trace
        self.tick_ps = system.tick_ps
        self._system = system
        self._moved = moved
        self._tile = tile
        self._wrap = wrap
        self._bar = bar

    def submit(self, operation: Operation, number: int, start: int, traffic_class: int = 0) -> bool:
        """Put it in flight; False when it must wait for others to end."""
        try:
            if self.core.classes:
                self.core.set_class(traffic_class)
            return self.core.submit(_accesses(operation), number, start, self._tile, self._wrap)
        except (HbmAddressError, HbmArgumentError) as error:
            raise self._outside(error, operation) from None

    def accept(self) -> None:
        """Run until all that is in flight is accepted."""
        if self.borders is None:
            self.core.accept()
        else:
            self.core.forget()
            self.borders.run(self._system.n_channels, last=True)

    def next_end(self) -> tuple[int, int]:
        """Run until it is certain which operation ends first: its number, the tick."""
        number, end = self.core.next_end()
        while number < 0:
            assert self.borders is not None
            self.borders.reach()
            number, end = self.core.next_end()
        return number, end

    def started(self, operation: Operation, number: int, start: int, traffic_class: str = "") -> None:
        """Keep the record of an operation in flight."""
        moved = self._moved
        while len(moved.names) <= number:
            moved.traffic_classes.append("")
            moved.names.append("")
            moved.phases.append("")
            moved.indices.append(0)
            moved.start_ticks.append(NOT_ISSUED)
        moved.traffic_classes[number] = traffic_class
        moved.names[number] = operation.name
        moved.phases[number] = operation.phase
        moved.indices[number] = operation.index
        moved.start_ticks[number] = start
        moved.records += 1
        for access in operation.accesses:
            moved.runs += access.n_runs
            moved.bytes_asked += access.n_bytes
            if access.tensor_class:
                found = moved.class_bytes.setdefault((access.tensor_class, access.is_write), {})
                found[number] = found.get(number, 0) + access.n_bytes

    def bursts_taken(self) -> list[int]:
        """Bursts that each class of traffic has been given so far."""
        counters = self.core.class_counters()
        return [int(n) for n in (counters["bursts_read"] + counters["bursts_written"]).sum(axis=0)]

    def ended(self, operation: Operation) -> None:
        """Show that it is done."""
        self._bar.add(sum(access.n_bytes for access in operation.accesses))

    def _outside(self, error: Exception, operation: Operation) -> Exception:
        bad = error.args[1] if len(error.args) > 1 else -1
        if not 0 <= bad < len(operation.accesses):
            return type(error)(f"{self.trace.name}: {error.args[0] if error.args else error}")
        low, high = operation.accesses[bad].span
        return type(error)(
            f"{self.trace.name}: operation {operation.index} ({operation.name}), operand {bad}: {error.args[0]}: bytes "
            f"{low:#x}..{high:#x}, capacity {self._system.capacity_bytes:#x}; use more stacks, a larger variant, or "
            "wrap=True"
        )


def _run_open(feed: Feed, operations: Iterator[Operation], mode: str) -> Iterator[Operation]:
    """Returns what was not issued."""
    first_time_ns: int | None = None
    start = 0
    number = 0
    batches = _batches(operations, mode)
    for batch in batches:
        if mode == "paced":
            first_time_ns = batch[0].time_ns if first_time_ns is None else first_time_ns
            start = max(start, _ticks_of_ns(batch[0].time_ns - first_time_ns, feed))
        issued = 0
        for operation in batch:
            if feed.stop.asked:
                break
            if not feed.submit(operation, number, start):
                feed.accept()
                feed.submit(operation, number, start)
            feed.started(operation, number, start)
            number += 1
            issued += 1
        feed.accept()
        for operation in batch[:issued]:
            feed.ended(operation)
        if feed.stop.asked:
            return itertools.chain(batch[issued:], itertools.chain.from_iterable(batches))
    return iter(())


def _interrupted(moved: Moved, left: Iterator[Operation]) -> None:
    """Keep the record of a run that was stopped; nothing is kept of one that has not begun."""
    if not moved.names:
        raise KeyboardInterrupt
    last = len(moved.names) - 1
    named = {"index": moved.indices[last], "name": moved.names[last], "phase": moved.phases[last]}
    rest = rest_bytes(left)
    total = None if rest is None else moved.bytes_asked + rest
    moved.interrupted = interrupted("operations", moved.records, named, moved.bytes_asked, total)


def _batches(operations: Iterable[Operation], mode: str) -> Iterator[list[Operation]]:
    """Operations that are offered together: one time stamp each, or as many as are held."""
    batch: list[Operation] = []
    for operation in operations:
        if batch and (mode == "paced" or len(batch) == IN_FLIGHT_MAX):
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


def _ticks_of_ns(time_ns: int, feed: Feed) -> int:
    tick = -int(-Fraction(time_ns) * 1000 // feed.tick_ps)
    if not 0 <= tick < TICK_MAX:
        raise HbmArgumentError(
            f"{feed.trace.name}: an operation starts {time_ns} ns after the first one; times must ascend and stay "
            "below 2**60 ticks; use mode='closed'"
        )
    return tick


def _accesses(operation: Operation) -> list[tuple[Any, ...]]:
    """The operands as the core takes them."""
    accesses: list[tuple[Any, ...]] = []
    for access in operation.accesses:
        offsets = access.row_offsets
        if offsets is not None:
            offsets = np.ascontiguousarray(offsets, dtype=np.int64)
        accesses.append((access.base_address, access.run_bytes, access.dims, offsets, access.is_write))
    return accesses
