"""`simulate`: drives a trace through a system and wraps what the core counted.

Owns the options of a run and the conservation checks; must not know file formats or how a report looks.  Everything
that is done per burst happens in C.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from hbmmodel.errors import HbmArgumentError, HbmInternalError
from hbmmodel.sim.operations import run_operations
from hbmmodel.sim.progress import Moved
from hbmmodel.sim.requests import run_requests
from hbmmodel.system import System

if TYPE_CHECKING:
    from hbmmodel._core import CoreSystem
    from hbmmodel.result import Result
    from hbmmodel.trace import OpTrace, RequestTrace

__all__ = ["L2", "MODES", "simulate"]

MODES = ("asap", "paced", "closed")
ORDERS = ("tile", "stream")

#: Bytes per operand and turn in every pseudo-channel, unless tile_bytes says otherwise: four granules of 256 bytes.
TILE_BYTES = 1024
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
    request_bytes: int | None = None,
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
        at the trace's time stamps.  ``closed``: an operation starts one host round trip after the last of those that
        it depends on (see `Dependences`) has ended.  Default: ``closed`` for operations; for requests ``paced`` if
        they have times, else ``asap``.
    order : {"tile", "stream"}
        Operands of the operations in flight take turns, or come one after the other.
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
    request_bytes : int, optional
        Size of requests whose trace does not say; default one burst.  Most text formats do not: a DRAMsim3 line stands
        for one transaction, 64 bytes for HBM.

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
    if request_bytes is not None:
        _check_whole("request_bytes", request_bytes, 1, 1 << 30)
        if operations:
            raise HbmArgumentError("request_bytes is for traces of requests; operations say how many bytes they move")
    cache = L2(l2) if isinstance(l2, int) and not isinstance(l2, bool) else l2
    if cache is not None and not isinstance(cache, L2):
        raise HbmArgumentError(f"l2 must be an L2 or its size in bytes, not {l2!r}")
    if cache is not None and not operations:
        raise HbmArgumentError("l2 filters operations; a trace of requests is taken as what the memory sees")
    system.energies()  # a malformed energy set is told before the run
    core = _make_core(system, threads, command_log, epoch_ns, cache)
    moved = Moved()
    if isinstance(trace, OpTrace):
        tile = tile_bytes // burst_bytes if order == "tile" else 0
        run_operations(core, system, trace, moved, mode, tile, wrap, progress)
    else:
        run_requests(
            core, system, trace, moved, mode=mode, wrap=wrap, request_bytes=request_bytes, progress=progress
        )
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


def _wrap(
    core: CoreSystem,
    system: System,
    trace: RequestTrace | OpTrace,
    moved: Moved,
    end_tick: int,
    command_log: bool,
    mode: str,
    order: str,
    tile_bytes: int,
    cache: L2 | None,
) -> Result:
    from hbmmodel import _core
    from hbmmodel.energy import Counts, Geometry
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
        "counts": Counts.from_core(
            Geometry.of(system.device, system.stacks), system.tick_ps, end_tick, core.bank_counters(), counters
        ),
    }
    information = {
        "name": trace.name,
        "kind": "operations" if moved.names else "requests",
        "hash": trace.content_hash(),
        "records": moved.records,
        "bytes_asked": moved.bytes_asked,
        "padding_bytes": padding if cache is None else None,
        "random_gathers": getattr(trace, "random_gathers", 0),
        "rewrites": list(getattr(trace, "rewrites", ())),
        "pages": str(getattr(trace, "pages", "sequential")),
        "mode": mode,
        "order": order,
        "tile_bytes": tile_bytes,
        "address_alignment_bytes": moved.address_alignment_bytes,
    }
    return Result.from_raw(system, information, raw, collect())
