"""`simulate`: drives a trace through a system and wraps what the core counted.

Owns the options of a run; must not know file formats, how a replay works or how a report looks.  Everything that is
done per burst happens in C.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from fractions import Fraction
from typing import TYPE_CHECKING

from hbmmodel.errors import HbmArgumentError
from hbmmodel.sim.coupled import run_coupled
from hbmmodel.sim.interrupt import keeping
from hbmmodel.sim.options import L2, check_choice, check_real, check_whole
from hbmmodel.sim.replay import WHOLE_LOG, Ran, Replay
from hbmmodel.sim.steady import run_steady
from hbmmodel.sim.transient import run_transient
from hbmmodel.system import System

if TYPE_CHECKING:
    from hbmmodel.result import Result
    from hbmmodel.result.temperature import Warmth
    from hbmmodel.trace import OpTrace, RequestTrace

__all__ = ["L2", "MODES", "THERMAL", "simulate"]

MODES = ("asap", "paced", "closed")
ORDERS = ("tile", "stream")
THERMAL = ("steady", "transient", "coupled")

#: Bytes per operand and turn in every pseudo-channel, unless tile_bytes says otherwise: four granules of 256 bytes.
TILE_BYTES = 1024
#: Length of the time series' first epochs [ns], unless epoch_ns says otherwise.
EPOCH_NS = 100.0


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
    command_log_window_ns: tuple[float | Fraction, float | Fraction] | None = None,
    epoch_ns: float | None = None,
    wrap: bool = False,
    request_bytes: int | None = None,
    thermal: str | None = None,
    thermal_seconds: float = 10.0,
    thermal_start_c: float | None = None,
    thermal_epoch_ns: float = 10_000.0,
    on_interrupt: str = "raise",
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
    command_log_window_ns : (float, float), optional
        Record only commands with start <= time < end [ns].  Such a log can be shown, but not checked: what came before
        is not in it.
    epoch_ns : float, optional
        Length of the time series' first epochs [ns]; default 100.  It doubles whenever a run outgrows 512 epochs.
    wrap : bool
        Take addresses modulo the capacity instead of refusing them.
    request_bytes : int, optional
        Size of requests whose trace does not say; default one burst.  Most text formats do not: a DRAMsim3 line stands
        for one transaction, 64 bytes for HBM.
    thermal : {"steady", "transient", "coupled"}, optional
        How the stacks' temperature acts back on refresh, leakage and the host (``docs/model/thermal_loop.md``).  None:
        not at all; all dies are at ``system.temperature_c``.  ``steady``: the trace is repeated for ever, and the
        result is that of one round once nothing changes any more.  ``transient``: it is repeated for `thermal_seconds`.
        ``coupled``: temperature follows the one run.
    thermal_seconds : float
        Length of a transient [s].
    thermal_start_c : float, optional
        Temperature of all stacks at the start of ``transient`` and ``coupled`` [deg C]; None: the coolant's.
    thermal_epoch_ns : float
        ``coupled``: time from one look at the temperature to the next [ns].
    on_interrupt : {"raise", "keep"}
        What Ctrl-C does.  ``keep``: at the first one no more is issued, what is in flight ends, and the result is of
        that part and says so (`Result.interrupted`); the second one raises KeyboardInterrupt, as ``raise`` does at
        once.  ``keep`` is for one run of a trace (`thermal` None or ``coupled``), in the main thread: others get no
        signals.

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
    from hbmmodel.provenance import collect
    from hbmmodel.result import Result
    from hbmmodel.trace import OpTrace, RequestTrace

    if not isinstance(system, System):
        raise HbmArgumentError(_not_a("system must be a System, as System(hbm.device(NAME)) makes", system))
    if not isinstance(trace, OpTrace | RequestTrace):
        raise HbmArgumentError(_not_a("trace must be a Trace, as read_trace or Trace.from_requests gives", trace))
    operations = isinstance(trace, OpTrace)
    if mode is None:
        mode = "closed" if operations else ("paced" if trace.timed else "asap")
    check_choice("mode", mode, MODES if operations else MODES[:2])
    check_choice("order", order, ORDERS)
    if thermal is not None:
        check_choice("thermal", thermal, THERMAL)
    check_choice("on_interrupt", on_interrupt, ("raise", "keep"))
    keep = on_interrupt == "keep"
    if keep and thermal in ("steady", "transient"):
        raise HbmArgumentError(
            f"on_interrupt is 'keep', but thermal={thermal!r} repeats the trace: no part of it is a result; use 'raise'"
        )
    if mode == "paced" and not operations and not trace.timed:
        raise HbmArgumentError(f"mode is 'paced', but {trace.name} has no time stamps; use mode='asap'")
    _check_classes(system, trace, mode)
    burst_bytes = system.device.organisation.burst_bytes
    tile_bytes = TILE_BYTES if tile_bytes is None else tile_bytes
    check_whole("tile_bytes", tile_bytes, burst_bytes, 1 << 30)
    if request_bytes is not None:
        check_whole("request_bytes", request_bytes, 1, 1 << 30)
        if operations:
            raise HbmArgumentError("request_bytes is for traces of requests; operations say how many bytes they move")
    cache = L2(l2) if isinstance(l2, int) and not isinstance(l2, bool) else l2
    if cache is not None and not isinstance(cache, L2):
        raise HbmArgumentError(f"l2 must be an L2 or its size in bytes, not {l2!r}")
    if cache is not None and not operations:
        raise HbmArgumentError("l2 filters operations; a trace of requests is taken as what the memory sees")
    system.energies()  # a malformed energy set is told before the run
    replay = Replay(
        system=system,
        trace=trace,
        mode=mode,
        order=order,
        tile_bytes=tile_bytes,
        cache=cache,
        threads=_threads(threads),
        command_log=command_log or command_log_window_ns is not None,
        log_window_ticks=_log_window(command_log_window_ns, system),
        epoch_ticks=_epoch_ticks(epoch_ns, system),
        wrap=wrap,
        request_bytes=request_bytes,
        progress=progress,
    )
    with keeping(replay.stop) if keep else nullcontext():
        ran, warmth = _run(replay, thermal, thermal_seconds, thermal_start_c, thermal_epoch_ns)
    raw = ran.raw if warmth is None else {**ran.raw, "thermal": warmth}
    provenance = collect()
    if ran.interrupted is not None:
        provenance["interrupted"] = ran.interrupted
    return Result.from_raw(system, ran.information, raw, provenance)


def _run(
    replay: Replay, thermal: str | None, thermal_seconds: float, thermal_start_c: float | None, thermal_epoch_ns: float
) -> tuple[Ran, Warmth | None]:
    if thermal is None:
        return replay.run(), None
    seconds = check_real("thermal_seconds", thermal_seconds, 1e-6, 1e6)
    start_c = None if thermal_start_c is None else check_real("thermal_start_c", thermal_start_c, -55.0, 200.0)
    epoch = check_real("thermal_epoch_ns", thermal_epoch_ns, 1.0, 1e12)
    if thermal == "steady":
        return run_steady(replay)
    if thermal == "transient":
        return run_transient(replay, seconds, start_c)
    return run_coupled(replay, max(2, round(Fraction(epoch) * 1000 / replay.system.tick_ps)), start_c)


def _check_classes(system: System, trace: RequestTrace | OpTrace, mode: str) -> None:
    """Refuse quotas of classes that the trace does not have: they would have no effect."""
    from hbmmodel.trace.beside import Programs

    quotas = system.controller.quotas
    classes = trace.classes if isinstance(trace, Programs) else ()
    if classes and mode != "closed":
        raise HbmArgumentError(f"mode is {mode!r}; programs side by side are closed loops: leave mode out")
    if unknown := [name for name in quotas if name not in classes]:
        there = f"its classes are {', '.join(classes)}" if classes else "it has no classes of traffic"
        raise HbmArgumentError(
            f"{trace.name}: the controller has a quota for {unknown[0]!r}, and {there}; put programs side by side "
            "under these names (hbmmodel.side_by_side, --beside), or leave the quota out"
        )


def _threads(threads: int | None) -> int:
    if threads is None:
        affinity = getattr(os, "sched_getaffinity", None)
        threads = len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)
    check_whole("threads", threads, 1, 1024)
    return threads


def _log_window(window_ns: tuple[float | Fraction, float | Fraction] | None, system: System) -> tuple[int, int]:
    """The first tick at or after either end."""
    if window_ns is None:
        return WHOLE_LOG
    try:
        if any(isinstance(end, str) for end in window_ns):
            raise TypeError  # Fraction would read them
        start_ns, end_ns = (Fraction(end) for end in window_ns)
    except (TypeError, ValueError, OverflowError):
        start_ns = end_ns = Fraction(-1)
    low, high = (-int(-end * 1000 // system.tick_ps) for end in (start_ns, end_ns))
    if not 0 <= low < high <= 1 << 60:
        raise HbmArgumentError(
            f"command_log_window_ns is {window_ns!r}; give two numbers of ns, 0 <= start < end, at least one tick "
            f"({float(system.tick_ps) / 1000:g} ns) apart"
        )
    return low, high


def _epoch_ticks(epoch_ns: float | None, system: System) -> int:
    try:
        length_ns = EPOCH_NS if epoch_ns is None else float(epoch_ns)
    except (TypeError, ValueError, OverflowError):
        length_ns = 0.0
    if not 0 < length_ns <= 1e12:
        raise HbmArgumentError(f"epoch_ns is {epoch_ns!r}; it must be a number above 0 and at most 1e12")
    return max(2, round(Fraction(length_ns) * 1000 / system.tick_ps))


def _not_a(what: str, got: object) -> str:
    """A sentence that is not buried under the whole of a large object."""
    text = repr(got)
    return f"{what}, not {text if len(text) <= 80 else 'a ' + type(got).__name__}"
