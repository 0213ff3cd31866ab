"""`simulate`: drives a trace through a system and wraps what the core counted.

Owns the three issue modes, the grouping of operations into waves, progress and the conservation checks; must not know
file formats or how a report looks.  Everything that is done per burst happens in C.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmAddressError, HbmArgumentError, HbmInternalError
from hbmmodel.system import System
from hbmmodel.trace.access import BYTES_MAX, DIMS_MAX

if TYPE_CHECKING:
    from hbmmodel._core import CoreSystem
    from hbmmodel.result import Result
    from hbmmodel.trace import Access, Operation, OpTrace, RequestChunk, RequestTrace

__all__ = ["L2", "MODES", "simulate", "waves"]

MODES = ("asap", "paced", "closed")
ORDERS = ("tile", "stream")

#: Operations that may run at the same time; also what is held of a trace at once.
WAVE_MAX = 64
#: Requests per block.  A channel takes up a block when it has accepted all of the block before, so this is part of
#: what a result means for traces that are longer.
BLOCK_REQUESTS = 1 << 21
#: Bursts per operand and turn in every pseudo-channel, unless tile_bytes says otherwise: four granules of 256 bytes.
TILE_BYTES = 1024
TICK_MAX = 1 << 60
#: Length of the time series' first epochs [ns], unless epoch_ns says otherwise.
EPOCH_NS = 100.0


@dataclass(frozen=True)
class L2:
    """An on-chip filter before the stacks: set-associative, LRU, sectored by bursts, write-back.

    Parameters
    ----------
    size_bytes : int
        Capacity; at least one set.
    line_bytes : int
        A power of two, one to 32 bursts.  A miss fetches only the bursts it touches.
    ways : int
        Lines per set, 1 to 64.

    Source
    ------
    Sectored 128-byte lines: NVIDIA GPUs since Volta (32-byte sectors); sizes are products' (H100 50 MB, B200 126 MB).
    """

    size_bytes: int
    line_bytes: int = 128
    ways: int = 16

    def __post_init__(self) -> None:
        for name, low, high in (("size_bytes", 1, 1 << 40), ("line_bytes", 1, 1 << 20), ("ways", 1, 64)):
            _check_whole(f"L2 {name}", getattr(self, name), low, high)
        if self.line_bytes & (self.line_bytes - 1):
            raise HbmArgumentError(f"L2 line_bytes is {self.line_bytes}; it must be a power of two")
        if self.size_bytes < self.line_bytes * self.ways:
            raise HbmArgumentError(
                f"L2 size_bytes is {self.size_bytes}; one set of {self.ways} lines of {self.line_bytes} bytes needs "
                f"{self.line_bytes * self.ways}"
            )


@dataclass
class _Moved:
    """What a run asked for, for the conservation checks and the trace's part of the result."""

    records: int = 0
    bytes_asked: int = 0
    runs: int = 0
    names: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    start_ticks: list[int] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)


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


def simulate(
    system: System,
    trace: RequestTrace | OpTrace,
    *,
    mode: str | None = None,
    order: str = "tile",
    tile_bytes: int | None = None,
    l2: L2 | int | None = None,
    threads: int | None = None,
    progress: bool = False,
    command_log: bool = False,
    epoch_ns: float | None = None,
    wrap: bool = False,
) -> Result:
    """Replay a trace on a memory system.

    Parameters
    ----------
    system : System
        What is simulated.
    trace : RequestTrace or OpTrace
        From `hbmmodel.read_trace` or `Trace.from_requests`.
    mode : {"asap", "paced", "closed"}, optional
        ``asap``: everything is offered as early as it is accepted.  ``paced``: requests arrive, and operations start,
        at the trace's time stamps.  ``closed``: an operation starts when those before it that it depends on have
        finished, one host round trip later (see `waves`).  Default: ``closed`` for operations; for requests ``paced``
        if they have times, else ``asap``.
    order : {"tile", "stream"}
        Operands of the operations of a wave take turns, or come one after the other.
    tile_bytes : int, optional
        Bytes of a turn in one pseudo-channel; default 1024.
    l2 : L2 or int, optional
        An on-chip filter, or its size in bytes (operations only).
    threads : int, optional
        Default: all usable cores.  The result does not depend on it.
    progress : bool
        Show a progress bar on standard error.
    command_log : bool
        Record every command: 27 bytes each, so for short runs.
    epoch_ns : float, optional
        Length of the time series' first epochs [ns]; default 100.  It doubles whenever a run outgrows 512 epochs.
    wrap : bool
        Take addresses modulo the capacity instead of refusing them.

    Returns
    -------
    Result

    Raises
    ------
    HbmAddressError
        A record lies outside the stacks; the message names it.
    HbmArgumentError, HbmTraceError
        An argument or a record is invalid.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> system = hbm.System(hbm.device("HBM4_8000"))
    >>> result = hbm.simulate(system, hbm.Trace.from_requests([0], [False]))
    >>> result.summary["requests_out"], result.summary["row_misses"]
    (1, 1)
    >>> result.summary["read_latency_ns_max"]  # ACT's lead-in of 1 CK, tRCD, RL, one burst: 0.5 + 16 + 16 + 1
    33.5
    """
    from hbmmodel.trace import OpTrace, RequestTrace

    if not isinstance(system, System):
        raise HbmArgumentError(f"system must be a System, not {system!r}")
    if not isinstance(trace, OpTrace | RequestTrace):
        raise HbmArgumentError(f"trace must be a Trace, as read_trace or Trace.from_requests gives, not {trace!r}")
    operations = isinstance(trace, OpTrace)
    if mode is None:
        mode = "closed" if operations else ("paced" if trace.timed else "asap")
    _check_choice("mode", mode, MODES if operations else MODES[:2])
    _check_choice("order", order, ORDERS)
    if mode == "paced" and not operations and not trace.timed:
        raise HbmArgumentError(f"mode is 'paced', but {trace.name} has no time stamps; use mode='asap'")
    burst_bytes = system.device.organisation.burst_bytes
    tile_bytes = TILE_BYTES if tile_bytes is None else tile_bytes
    _check_whole("tile_bytes", tile_bytes, burst_bytes, 1 << 30)
    cache = L2(l2) if isinstance(l2, int) and not isinstance(l2, bool) else l2
    if cache is not None and not isinstance(cache, L2):
        raise HbmArgumentError(f"l2 must be an L2 or its size in bytes, not {l2!r}")
    if cache is not None and not operations:
        raise HbmArgumentError("l2 filters operations; a trace of requests is taken as what the memory sees")
    core = _make_core(system, threads, command_log, epoch_ns, cache)
    moved = _Moved()
    if isinstance(trace, OpTrace):
        tile = tile_bytes // burst_bytes if order == "tile" else 0
        _run_operations(core, system, trace, moved, mode, tile, wrap, progress)
    else:
        _run_requests(core, system, trace, moved, mode, wrap, progress)
    end_tick = core.finish()
    return _wrap(core, system, trace, moved, end_tick, command_log, mode, order, tile_bytes, cache)


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise HbmArgumentError(f"{name} is {value!r}; it must be a whole number in {low}..{high}")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise HbmArgumentError(f"{name} is {value!r}; choose one of {', '.join(choices)}")


def _make_core(
    system: System, threads: int | None, command_log: bool, epoch_ns: float | None, cache: L2 | None
) -> CoreSystem:
    from hbmmodel import _core

    if threads is None:
        affinity = getattr(os, "sched_getaffinity", None)
        threads = len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)
    _check_whole("threads", threads, 1, 1024)
    try:
        length_ns = EPOCH_NS if epoch_ns is None else float(epoch_ns)
    except (TypeError, ValueError, OverflowError):
        length_ns = 0.0
    if not 0 < length_ns <= 1e12:
        raise HbmArgumentError(f"epoch_ns is {epoch_ns!r}; it must be a number above 0 and at most 1e12")
    core = _core.CoreSystem(
        system.map.core,
        system.policy(),
        host_ticks=system.host_ticks,
        window=system.window_bursts,
        threads=threads,
        command_log=command_log,
        epoch_ticks=max(2, round(Fraction(length_ns) * 1000 / system.tick_ps)),
    )
    if cache is not None:
        core.set_l2(cache.size_bytes, cache.line_bytes, cache.ways)
    return core


class _Bar:
    """A progress bar in bytes, or nothing."""

    def __init__(self, show: bool, total: int | None, name: str) -> None:
        self._bar: Any = None
        if show:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=name, unit="B", unit_scale=True, dynamic_ncols=True, mininterval=0.1)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, n_bytes: int) -> None:
        if self._bar is not None:
            self._bar.update(n_bytes)


# ---- operations ----


def _run_operations(
    core: CoreSystem,
    system: System,
    trace: OpTrace,
    moved: _Moved,
    mode: str,
    tile: int,
    wrap: bool,
    progress: bool,
) -> None:
    total = sum(a.n_bytes for o in trace.operations() for a in o.accesses) if progress else None
    operations = _checked(trace.operations(), trace.name)
    grouped = waves(operations) if mode == "closed" else _batches(operations, mode)
    first_time_ns: int | None = None
    start = 0
    with _Bar(progress, total, os.path.basename(trace.name)) as bar:
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
    wave: list[Operation], moved: _Moved, start: int
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


# ---- requests ----


def _run_requests(
    core: CoreSystem, system: System, trace: RequestTrace, moved: _Moved, mode: str, wrap: bool, progress: bool
) -> None:
    burst_bytes = system.device.organisation.burst_bytes
    total = None if trace.known_records is None else trace.known_records * burst_bytes
    held: list[tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.int64] | None]] = []
    n_held = 0

    def flush() -> None:
        nonlocal n_held
        if n_held:
            address = np.concatenate([part[0] for part in held])
            is_write = np.concatenate([part[1] for part in held])
            ticks = [part[2] for part in held if part[2] is not None]
            core.requests(address, is_write, np.concatenate(ticks) if ticks else None, wrap)
            bar.add(n_held * burst_bytes)
        n_held = 0
        held.clear()

    with _Bar(progress, total, os.path.basename(trace.name)) as bar:
        for chunk in trace.chunks():
            address, is_write, time_ps = _bursts(chunk, system, wrap, trace.name)
            moved.records += len(chunk.address)
            tick = _ticks_of_ps(time_ps, system, trace.name) if mode == "paced" else None
            moved.bytes_asked += int(
                chunk.size_bytes.sum(dtype=np.int64) if chunk.size_bytes is not None else len(address) * burst_bytes
            )
            moved.runs += len(chunk.address)
            held.append((address, is_write, tick))
            n_held += len(address)
            if n_held >= BLOCK_REQUESTS:
                flush()
        flush()


def _bursts(
    chunk: RequestChunk, system: System, wrap: bool, name: str
) -> tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.int64] | None]:
    """A chunk as single bursts: a request of several bytes touches every burst that it overlaps, in ascending order."""
    burst_bytes = np.uint64(system.device.organisation.burst_bytes)
    address = np.ascontiguousarray(chunk.address, dtype=np.uint64)
    if chunk.vector is not None:
        address = _addresses_of_vectors(chunk.vector, system)
    is_write = np.ascontiguousarray(chunk.is_write, dtype=np.uint8)
    time_ps = chunk.time_ps
    size = np.uint64(1) if chunk.size_bytes is None else chunk.size_bytes.astype(np.uint64)
    capacity = np.uint64(system.capacity_bytes)
    if wrap:
        address = address % capacity
    else:
        outside = np.flatnonzero((size > capacity) | (address > capacity - np.minimum(size, capacity)))
        if len(outside):
            i = int(outside[0])
            low, high = int(address[i]), int(address[i]) + int(np.broadcast_to(size, address.shape)[i])
            raise HbmAddressError(
                f"{name}: record {chunk.first_record + i}: bytes {low:#x}..{high:#x} lie outside the stacks, capacity "
                f"{system.capacity_bytes:#x}; use more stacks, a larger variant, or wrap=True"
            )
    if chunk.size_bytes is None:
        return address, is_write, time_ps
    first = address // burst_bytes
    count = ((address + size - np.uint64(1)) // burst_bytes - first + np.uint64(1)).astype(np.int64)
    if int(count.max(initial=1)) == 1:
        return first * burst_bytes, is_write, time_ps
    starts = np.cumsum(count) - count
    step = np.arange(int(count.sum()), dtype=np.int64) - np.repeat(starts, count)
    bursts = (np.repeat(first, count) + step.astype(np.uint64)) * burst_bytes
    times = None if time_ps is None else np.repeat(time_ps, count)
    return bursts, np.repeat(is_write, count), times


def _addresses_of_vectors(vector: NDArray[np.int32], system: System) -> NDArray[np.uint64]:
    """Device coordinates (channel, pseudo-channel, SID, bank group, bank, row, column) as addresses of this system."""
    levels = ("channel", "pseudo_channel", "sid", "bank_group", "bank", "row", "column")
    if vector.shape[1] != len(levels):
        raise HbmArgumentError(
            f"address vectors have {vector.shape[1]} entries; HBM needs {len(levels)}: {', '.join(levels)}"
        )
    stack = np.zeros((len(vector), 1), dtype=np.int32)
    return system.map.encode(np.hstack([stack, vector.astype(np.int32)]))


def _ticks_of_ps(time_ps: NDArray[np.int64] | None, system: System, name: str) -> NDArray[np.int64]:
    """The first tick at or after each time, exactly."""
    assert time_ps is not None
    numerator, denominator = system.tick_ps.numerator, system.tick_ps.denominator
    if len(time_ps) and int(time_ps[-1]) * denominator >= 1 << 62:
        raise HbmArgumentError(
            f"{name}: times reach {int(time_ps[-1])} ps; at most {(1 << 62) // denominator} ps can be simulated"
        )
    scaled = time_ps * np.int64(denominator)
    return np.ascontiguousarray(-(-scaled // np.int64(numerator)))


# ---- the result ----


def _wrap(
    core: CoreSystem,
    system: System,
    trace: RequestTrace | OpTrace,
    moved: _Moved,
    end_tick: int,
    command_log: bool,
    mode: str,
    order: str,
    tile_bytes: int,
    cache: L2 | None,
) -> Result:
    from hbmmodel import _core
    from hbmmodel.provenance import collect
    from hbmmodel.result import Result

    burst_bytes = system.device.organisation.burst_bytes
    counters = core.counters()
    bytes_moved = int(counters["bytes_read"].sum() + counters["bytes_written"].sum())
    padding = bytes_moved - moved.bytes_asked
    if cache is None and not 0 <= padding <= 2 * (burst_bytes - 1) * max(moved.runs, 1):
        # Runs of one operand that meet inside a burst share it, so padding may be negative by that much and no more.
        if not -burst_bytes * moved.runs <= padding < 0:
            raise HbmInternalError(
                f"{bytes_moved} bytes moved for {moved.bytes_asked} asked in {moved.runs} runs; please report this"
            )
    operations = None
    if moved.names:
        table = core.operations(len(moved.names))
        start = np.array(moved.start_ticks, dtype=np.int64)
        operations = {
            "index": np.array(moved.indices, dtype=np.int64),
            "name": np.array(moved.names, dtype=object),
            "phase": np.array(moved.phases, dtype=object),
            "start_tick": start,
            "end_tick": np.maximum(table["end_tick"], start),
            "bytes_read": table["bursts_read"] * burst_bytes,
            "bytes_written": table["bursts_written"] * burst_bytes,
            **{name: table[name] for name in ("row_hits", "row_misses", "row_conflicts")},
        }
        if cache is None and int(operations["bytes_read"].sum() + operations["bytes_written"].sum()) != bytes_moved:
            raise HbmInternalError("operations and channels disagree on the bytes moved; please report this")
    raw = {
        "end_tick": end_tick,
        "tick_ps": system.tick_ps,
        "counters": counters,
        "histogram": core.histogram(),
        "histogram_edges": _core.histogram_edges(),
        "operations": operations,
        "epochs": core.epochs(),
        "command_log": core.commands() if command_log else None,
        "l2": core.l2_counts() if cache is not None else None,
    }
    information = {
        "name": trace.name,
        "kind": "operations" if moved.names else "requests",
        "hash": trace.content_hash(),
        "records": moved.records,
        "bytes_asked": moved.bytes_asked,
        "padding_bytes": padding if cache is None else None,
        "random_gathers": getattr(trace, "random_gathers", 0),
        "mode": mode,
        "order": order,
        "tile_bytes": tile_bytes,
    }
    return Result.from_raw(system, information, raw, collect())
