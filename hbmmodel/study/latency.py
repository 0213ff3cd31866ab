"""`curve`: read latency against bandwidth, by share of reads and pattern, as the Mess benchmark draws it.

Owns the traffic, the loads and the shape of what is found; must not know how it is drawn (`hbmmodel.study.picture`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.checks import check_real, check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import Result, Table
from hbmmodel.result.table import SUFFIXES
from hbmmodel.sim import simulate
from hbmmodel.study.files import check_output, save_study
from hbmmodel.system import System
from hbmmodel.trace import RequestTrace, Trace

__all__ = ["LOADS", "PATTERNS", "Curves", "curve", "traffic"]

PATTERNS = {
    "stream": "lines of sequential streams, as many read as written, the next line from any of them",
    "random": "lines anywhere in the memory",
}
READ_SHARES = (1.0, 0.75, 0.5)
LOADS = (0.02, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
"""Arrival rates, as shares of what the pattern gets when everything is offered at once."""

REQUESTS = 300_000


@dataclass(frozen=True)
class Curves:
    """Latencies of a system under load.

    Attributes
    ----------
    system : System
    table : Table
        One row per pattern, share of reads and load: ``pattern, read_share, offered_gb_per_s`` (empty: everything was
        offered at once, and reads waited for room in the window), ``bandwidth_gb_per_s, fraction_of_peak`` (both over
        the middle 80 % of the run, without filling and draining),
        ``load_to_use_ns_mean`` (with the host path), ``read_latency_ns_mean``, ``_p50``, ``_p99``, ``_p999`` (from
        arrival to the last data), ``row_hit_rate, energy_pj_per_bit``. Loads ascend.
    """

    system: System
    table: Table

    def of(self, pattern: str, read_share: float) -> Table:
        """The rows of one curve.

        Raises
        ------
        HbmArgumentError
            It was not measured.
        """
        mine = (self.table["pattern"] == pattern) & (self.table["read_share"] == read_share)
        if not mine.any():
            known = sorted(set(zip(self.table["pattern"].tolist(), self.table["read_share"].tolist(), strict=True)))
            raise HbmArgumentError(f"no curve of {pattern!r} at {read_share!r} was measured; there are {known}")
        return self.table.take(mine)

    def saturation(self) -> Table:
        """What every curve comes to when everything is offered at once, one row each."""
        return self.table.take(np.ma.getmaskarray(self.table["offered_gb_per_s"]))

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        from hbmmodel.provenance import collect

        return {
            "format": "hbmmodel-curve",
            "format_version": 1,
            "peak_gb_per_s": float(self.system.peak_gb_per_s),
            "patterns": {name: PATTERNS[name] for name in dict.fromkeys(self.table["pattern"].tolist())},
            "rows": list(self.table.rows()),
            "system": self.system.to_dict(),
            "provenance": collect(),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the table (``.csv``, ``.parquet``), all of it (``.json``), or a picture (``.png``, ``.svg``, ``.pdf``).

        Raises
        ------
        HbmArgumentError
            The suffix is none of these, the file cannot be written, or matplotlib is not installed.
        """
        from hbmmodel.study.picture import draw_curves

        target = check_output(path, SUFFIXES, "a curve")
        return save_study(target, self.table, lambda: draw_curves(self), self.to_dict)


def traffic(
    system: System,
    pattern: str,
    read_share: float,
    gb_per_s: float | None = None,
    *,
    requests: int = REQUESTS,
    line_bytes: int = 64,
    streams: int = 64,
    seed: int = 0,
) -> RequestTrace:
    """Requests of one pattern, arriving as a Poisson process.

    Parameters
    ----------
    system : System
        Gives the addresses' range.
    pattern : str
        Of `PATTERNS`.
    read_share : float
        Probability that a request reads.
    gb_per_s : float, optional
        Mean rate; None: no times, everything is offered at once.
    requests, line_bytes : int
        How many, and what each moves.
    streams : int
        Sequential streams that are read, and as many that are written.
    seed : int
        Of all random choices.
    """
    rng = np.random.default_rng(seed)
    is_write = rng.random(requests) >= read_share
    if pattern == "random":
        address = rng.integers(system.capacity_bytes // line_bytes, size=requests, dtype=np.uint64)
        address *= np.uint64(line_bytes)
    else:
        stream = rng.integers(streams, size=requests) * 2 + is_write
        region = system.capacity_bytes // (2 * streams)
        # where a stream begins must not decide which of them share a channel
        start = np.arange(2 * streams) * region + rng.integers(region // 2 // 4096, size=2 * streams) * 4096
        address = (start[stream] + _turns(stream) * line_bytes).astype(np.uint64)
    time_ps = None
    if gb_per_s is not None:
        gaps_ps = rng.exponential(1000 * line_bytes / gb_per_s, size=requests)
        time_ps = np.floor(np.cumsum(gaps_ps)).astype(np.int64)
    size = np.full(requests, line_bytes)
    return Trace.from_requests(address, is_write, time_ps=time_ps, size=size, name=f"<{pattern}, {read_share:g} reads>")


def _turns(stream: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the same stream came before each request."""
    order = np.argsort(stream, kind="stable")
    sorted_streams = stream[order]
    first = np.searchsorted(sorted_streams, sorted_streams, side="left")
    turns = np.empty(len(stream), dtype=np.int64)
    turns[order] = np.arange(len(stream)) - first
    return turns


def curve(
    system: System,
    *,
    patterns: Sequence[str] = ("stream", "random"),
    read_shares: Sequence[float] = READ_SHARES,
    loads: Sequence[float] = LOADS,
    requests: int = REQUESTS,
    line_bytes: int = 64,
    streams: int = 64,
    threads: int | None = None,
    seed: int = 0,
) -> Curves:
    """Read latency against bandwidth: a family of curves, by pattern and share of reads.

    Parameters
    ----------
    system : System
        Channels are independent: one stack has the curves of many, with its share of the bandwidth.
    patterns : sequence of str
        Of `PATTERNS`.
    read_shares : sequence of float
        Shares of the requests that read, above 0 and up to 1: without reads there is no latency of reads.
    loads : sequence of float
        Arrival rates as shares, above 0 and below 1, of the bandwidth that a pattern gets when everything is offered at
        once. At the rate 1 the queue would grow for as long as the run lasts.
    requests : int
        Of every point, per stack: bandwidth is not of filling and draining queues.
    line_bytes : int
        What a request moves: a power of two from one burst to 4096.
    streams : int
        Of the pattern ``stream``: so many are read, and so many written.
    threads : int, optional
        See `simulate`.
    seed : int
        Of the traffic.

    Raises
    ------
    HbmArgumentError
        An argument is out of range.

    Source
    ------
    Esmaili-Dokht et al., *A Mess of Memory System Benchmarking, Simulation and Application Profiling* (MICRO 2024):
    curves of load-to-use latency against used bandwidth, one per share of reads. Mess has cores that wait for their
    reads, at most so many at once; here requests arrive at random (Poisson) whether or not earlier ones are done, and
    the last point, where they wait for the window, is the only one like Mess's.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> system = hbm.System(hbm.device("HBM4_8000", channels=1))
    >>> found = curve(system, patterns=["random"], read_shares=[1.0], loads=[0.1, 0.9], requests=4000)
    >>> low, high, most = found.of("random", 1.0)["load_to_use_ns_mean"].tolist()
    >>> low < high < most
    True
    """
    if not isinstance(system, System):
        raise HbmArgumentError(f"system must be a System, not {str(system)[:80]!r}")
    for name, values in (("pattern", patterns), ("read share", read_shares), ("load", loads)):
        given: object = values
        if isinstance(given, str | bytes) or not isinstance(given, Sequence) or not given:
            raise HbmArgumentError(f"{name}s: give a list of one or more, not {str(given)[:80]!r}")
    for pattern in patterns:
        if pattern not in PATTERNS:
            raise HbmArgumentError(f"pattern is {str(pattern)[:80]!r}; choose of {', '.join(PATTERNS)}")
    shares = [check_real("read share", share, 1e-3, 1.0) for share in read_shares]
    rates = sorted(check_real("load", load, 1e-4, 0.9999) for load in loads)
    check_whole("requests", requests, 100, (1 << 27) // system.stacks)
    burst_bytes = system.device.organisation.burst_bytes
    check_whole("line_bytes", line_bytes, burst_bytes, 4096)
    if line_bytes & (line_bytes - 1):
        raise HbmArgumentError(f"line_bytes is {line_bytes}; give a power of two")
    check_whole("streams", streams, 1, 4096)
    check_whole("seed", seed, 0, (1 << 63) - 1)
    rows: list[tuple[Any, ...]] = []
    for pattern in dict.fromkeys(patterns):
        for share in dict.fromkeys(shares):

            def run(rate: float | None, pattern: str = pattern, share: float = share) -> tuple[Any, ...]:
                sizes = {"requests": requests * system.stacks, "line_bytes": line_bytes, "streams": streams}
                trace = traffic(system, pattern, share, rate, **sizes, seed=seed)
                return pattern, share, rate, *_numbers(simulate(system, trace, threads=threads))

            most = run(None)
            rows += [*(run(load * most[3]) for load in rates), most]
    names = ("pattern", "read_share", "offered_gb_per_s", "bandwidth_gb_per_s", "fraction_of_peak", *_KEYS)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    offered = [np.nan if rate is None else rate for rate in columns["offered_gb_per_s"]]
    return Curves(system, Table({**columns, "offered_gb_per_s": np.ma.masked_invalid(offered)}))


_KEYS = (
    *("load_to_use_ns_mean", "read_latency_ns_mean", "read_latency_ns_p50", "read_latency_ns_p99"),
    *("read_latency_ns_p999", "row_hit_rate", "energy_pj_per_bit"),
)


def _numbers(result: Result) -> tuple[float, ...]:
    summary = result.summary
    if summary["read_latency_ns_mean"] is None:
        raise HbmArgumentError("no request of a curve reads; give a larger read share, or more requests")
    table, end_ns = result.timeline, float(summary["time_ns"] or 0.0)
    middle = table.take((table["start_ns"] >= 0.1 * end_ns) & (table["end_ns"] <= 0.9 * end_ns))
    if len(middle):
        moved = int(middle["bytes_read"].sum() + middle["bytes_written"].sum())
        bandwidth = moved / float(middle["end_ns"][-1] - middle["start_ns"][0])
    else:
        bandwidth = float(summary["bandwidth_gb_per_s"] or 0.0)
    return bandwidth, bandwidth / result.system.peak_gb_per_s, *(float(summary[key] or 0.0) for key in _KEYS)
