"""`Result`: what a run left behind, and its making from the core's raw arrays.

Owns the tables' columns and the conservation laws that every run must satisfy; must not know how files are
written (`store`) or how a report looks.
"""

from __future__ import annotations

import html
import importlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError, HbmInternalError
from hbmmodel.result.banks import bank_table
from hbmmodel.result.energy import energy_model, energy_table, no_energy
from hbmmodel.result.histogram import Histogram
from hbmmodel.result.power_states import counts_power, power_states
from hbmmodel.result.sparkline import sparkline
from hbmmodel.result.summary import COUNTERS, LOST, POWER_STATES, Number, summarise
from hbmmodel.result.table import Table
from hbmmodel.result.temperature import cells_table, temperature_table
from hbmmodel.result.traffic import no_traffic, traffic_table
from hbmmodel.system import System

if TYPE_CHECKING:
    from hbmmodel.plot import Plots

__all__ = ["Result"]

REPORTS = {
    ".txt": "hbmmodel.report:write_text",
    ".md": "hbmmodel.report:write_markdown",
    ".html": "hbmmodel.report:write_html",
}
"""Report writers by suffix, as dotted names: a result asks for its picture without knowing the painter."""

PLOTS = "hbmmodel.plot:Plots"
"""Likewise for static pictures."""

HEADLINE = (
    *("time_ns", "bandwidth_gb_per_s", "fraction_of_peak", "read_latency_ns_mean", "read_latency_ns_p99"),
    *("row_hit_rate", "energy_pj_per_bit", "power_w_mean", "temperature_c_max"),
)
"""Keys that a notebook shows at once."""

OPERATION_COLUMNS = (
    *("index", "name", "phase", "start_ns", "end_ns", "duration_ns", "bytes_read", "bytes_written"),
    *("bandwidth_gb_per_s", "row_hits", "row_misses", "row_conflicts"),
)
TIMELINE_COLUMNS = (
    *("epoch", "start_ns", "end_ns", "bytes_read", "bytes_written", "bandwidth_gb_per_s", "fraction_of_peak"),
    *("n_act", "n_ref", *(f"share_{state}" for state in POWER_STATES)),
)


def _rate(amount: NDArray[Any], duration_ns: NDArray[Any]) -> NDArray[np.float64]:
    """Bytes over ns = GB/s; 0 where no time passed."""
    rate = np.zeros(len(amount))
    np.divide(amount, duration_ns, out=rate, where=duration_ns > 0)
    return rate


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What one simulation left behind.

    Attributes
    ----------
    system : System
        What was simulated.
    summary : dict of str to int, float or None
        Flat, with the same keys for every run (`hbmmodel.result.KEYS` says what each means).
    channels : Table
        One row per pseudo-channel (``stack, channel, pseudo_channel``), all counters, ``bandwidth_gb_per_s``,
        ``fraction_of_peak`` (of that pseudo-channel) and ``read_latency_ns_mean`` (0.0 where nothing was
        read).
    operations : Table
        One row per operation of the trace: ``index, name, phase, start_ns, end_ns, duration_ns, bytes_read,
        bytes_written, bandwidth_gb_per_s, row_hits, row_misses, row_conflicts``. Without operations, no rows. Where the
        trace says what its bytes are, also ``CLASS_bytes_read`` and ``CLASS_bytes_written`` of every tensor class, as
        asked for (without padding). Of programs side by side, also ``traffic_class``.
    timeline : Table
        One row per epoch: ``epoch, start_ns, end_ns, bytes_read, bytes_written, bandwidth_gb_per_s,
        fraction_of_peak, n_act, n_ref``, and ``share_STATE`` of every power state: mean over pseudo-channels, together
        1.0. The last epoch ends with the run. Results of older versions lack the shares.
    power_states : Table
        One row per stack and state: ``stack, kind, state, time_ns, share, energy_pj``. Kind ``power``: active and
        precharged standby, the two power-downs, self-refresh, of a mean pseudo-channel, with the background energy.
        Kind ``refresh``: at 1x, 2x, 4x the refresh rate, with the energy of refreshes. Kind ``host``: unthrottled and
        throttled, with all energy. Shares of a kind sum to 1.0; the last two kinds cover what the thermal mode covers.
        No rows in results saved by versions that did not count it.
    histogram : Histogram
        Read latencies in ticks.
    command_log : structured array (`hbmmodel.commands.COMMAND_DTYPE`) or None
        Every command, if it was recorded.
    trace : dict
        What is known of the trace: name, format, hash, ... (JSON types).
    provenance : dict
        Version, host, command line, time (JSON types; see `hbmmodel.provenance`).
    energy : Table
        One row per stack and component: ``stack, component, pj_low, pj, pj_high`` (`hbmmodel.energy.COMPONENTS` says
        what each holds). The sum of ``pj`` is ``energy_pj``. No rows in results of older versions.
    energy_model : dict
        What the energies assume: set, how it was chosen, toggle rate, DBI, temperature (JSON types).
    traffic_classes : Table
        One row per class of traffic of programs side by side: ``traffic_class, priority, reserved_share, cap_share,
        queue_share, operations, bytes_read, bytes_written, start_ns, end_ns`` (first start to last end),
        ``bandwidth_gb_per_s, fraction_of_peak`` (between those), ``read_latency_ns_mean``, ``_p50``, ``_p99``,
        ``_p999``, ``_max`` (from acceptance; 0.0 without reads; percentiles as those of the summary, and NaN in results
        of older versions), ``gate_ns_mean, capped_ns_mean`` (per burst; 0.0 without quotas). For other traces, no rows.
    temperature : Table
        One row per time, stack and die: ``time_s, stack, die, power_w, mean_c, min_c, max_c``, at up to 512 times. No
        rows unless temperatures were computed; one time (0.0) for a steady state that holds.
    temperature_cells : Table
        The last temperatures of every cell: ``stack, die, y, x, temperature_c``; see `temperature_map_c`.
    thermal_model : dict
        Mode, outcome, thermal stack, cooling, trip points of the run (JSON types); empty unless it had any.
    banks : Table
        One row per bank: ``stack, channel, pseudo_channel, bank, n_act, n_rd, n_wr, energy_pj``; ``energy_pj`` is that
        of all components at typical values, and sums to ``energy_pj`` of the summary. No rows in results of older
        versions.
    """

    system: System
    summary: dict[str, Number]
    channels: Table
    operations: Table
    timeline: Table
    power_states: Table
    histogram: Histogram
    command_log: NDArray[Any] | None
    trace: dict[str, Any]
    provenance: dict[str, Any]
    energy: Table = field(default_factory=no_energy)
    energy_model: dict[str, Any] = field(default_factory=dict)
    temperature: Table = field(default_factory=temperature_table)
    temperature_cells: Table = field(default_factory=cells_table)
    thermal_model: dict[str, Any] = field(default_factory=dict)
    banks: Table = field(default_factory=bank_table)
    traffic_classes: Table = field(default_factory=no_traffic)

    @classmethod
    def from_raw(
        cls,
        system: System,
        trace_info: Mapping[str, Any],
        raw: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> Result:
        """Wrap what the core returned, after checking what every run must conserve.

        Parameters
        ----------
        system : System
            What was simulated.
        trace_info : mapping
            JSON types; ``padding_bytes`` and ``random_gathers`` enter the summary.
        raw : mapping
            ``end_tick``; ``counters`` (name to int64 array, one element per pseudo-channel, index ``(stack
            * channels + channel) * pseudo_channels + pseudo_channel``); ``histogram``, ``histogram_edges``;
            ``operations``, ``epochs``, ``command_log``, ``l2``, ``traffic`` (counters of classes of traffic) with
            ``traffic_histograms``, ``counts`` (`hbmmodel.energy.Counts`), ``thermal``
            (`hbmmodel.result.temperature.Warmth`) (each may be None or missing).
        provenance : mapping
            See `hbmmodel.provenance.collect`.

        Raises
        ------
        HbmInternalError
            A counter is missing, or a conservation law is broken.
        """
        end_tick = int(raw["end_tick"])
        tick_ps = raw.get("tick_ps", system.tick_ps)
        if tick_ps != system.tick_ps:
            raise HbmInternalError(
                f"the core ran with ticks of {tick_ps} ps, the system has {system.tick_ps} ps"
            )
        histogram = Histogram(
            np.asarray(raw["histogram_edges"], dtype=np.int64), np.asarray(raw["histogram"], dtype=np.uint64)
        )
        channels = _channels(system, end_tick, raw["counters"])
        traffic = raw.get("traffic")
        of_classes = [] if traffic is None else [Histogram(histogram.edges, row) for row in raw["traffic_histograms"]]
        _check_conservation(end_tick, channels, histogram, of_classes)
        log = raw.get("command_log")
        counts = raw.get("counts")
        warmth = raw.get("thermal")
        bank_c = None if warmth is None else warmth.bank_c
        energy = no_energy() if counts is None else energy_table(system, counts, bank_c)
        extra = {
            **trace_info,
            "l2": raw.get("l2"),
            "energy_pj": None if counts is None else float(energy["pj"].sum()),
            "thermal": None if warmth is None else warmth.summary,
        }
        operations = _operations(system, raw.get("operations"))
        return cls(
            system=system,
            summary=summarise(system, end_tick, channels, histogram, extra),
            channels=channels,
            operations=operations,
            timeline=_timeline(system, end_tick, raw.get("epochs")),
            power_states=power_states(system, channels, energy, counts, None if warmth is None else warmth.spent),
            histogram=histogram,
            command_log=None if log is None else np.asarray(log),
            trace=dict(trace_info),
            provenance=dict(provenance),
            energy=energy,
            energy_model={} if counts is None else energy_model(system, bank_c),
            temperature=temperature_table(None if warmth is None else warmth.temperatures),
            temperature_cells=cells_table(None if warmth is None else warmth.cells),
            thermal_model={} if warmth is None else warmth.model,
            banks=bank_table() if counts is None else bank_table(system, counts, bank_c),
            traffic_classes=(
                no_traffic()
                if traffic is None
                else traffic_table(system, trace_info["traffic_classes"], traffic, of_classes, operations)
            ),
        )

    @property
    def interrupted(self) -> str:
        """Of a run that Ctrl-C stopped, what it holds, in words; empty if it is whole."""
        told = self.provenance.get("interrupted")
        if not told:
            return ""
        share = told.get("share_of_bytes")
        part = "a part of the trace" if share is None else f"{100 * share:.3g} % of the bytes of the trace"
        last = told.get("last") or {}
        after = f"operation {last['index']} ({last['name']})" if "index" in last else f"record {last.get('record')}"
        return f"interrupted after {after}: {part}"

    def temperature_map_c(self, stack: int, die: str) -> NDArray[np.float64]:
        """The last temperatures of a die [deg C], shape (ny, nx).

        Parameters
        ----------
        stack : int
        die : str
            ``BASE``, or ``DRAM0`` and so on upwards.

        Raises
        ------
        HbmArgumentError
            No temperatures were computed, or there is no such die.
        """
        cells = self.temperature_cells
        mine = (cells["stack"] == stack) & (cells["die"] == die)
        if not mine.any():
            raise HbmArgumentError(
                f"no temperatures of die {die!r} of stack {stack!r}; dies are BASE, DRAM0, ..., and only runs with "
                "thermal=... compute any"
            )
        shape = int(cells["y"][mine].max()) + 1, int(cells["x"][mine].max()) + 1
        return np.asarray(cells["temperature_c"][mine].reshape(shape))

    def long(self) -> Table:
        """Everything that was counted, and what follows from it, in one long table.

        Returns
        -------
        Table
            ``stack, channel, pseudo_channel, metric, value, unit``: the whole summary (all three places empty),
            energies, power states and highest temperatures of stacks (channel empty), every counter of every
            pseudo-channel, and ``class_NAME_COLUMN`` of every number of every class of traffic (places empty). A value
            that has no answer is empty. Values are floats: counts are exact up to 2**53.

        Examples
        --------
        >>> import hbmmodel as hbm
        >>> run = hbm.simulate(hbm.System(hbm.device("HBM4_8000")), hbm.Trace.from_requests([0], [False]))
        >>> next(run.long().rows())
        {'stack': None, 'channel': None, 'pseudo_channel': None, 'metric': 'time_ns', 'value': 33.5, 'unit': 'ns'}
        """
        from hbmmodel.result.long import long_table

        return long_table(self)

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write the result to a directory, all of it or nothing (see `hbmmodel.result.store.save`).

        Returns
        -------
        Path
            The directory.

        Raises
        ------
        HbmArgumentError
            The path exists and is not a result.
        OSError
            The directory cannot be written.
        """
        from hbmmodel.result import store

        return store.save(self, Path(directory))

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Result:
        """Read a saved result and verify every file (see `hbmmodel.result.store.load`).

        Raises
        ------
        HbmArgumentError
            Not a result, a file missing or damaged, or written by a newer version.
        """
        from hbmmodel.result import store

        return store.load(Path(directory))

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write a report that a person can read; the suffix chooses the form: ``.txt``, ``.md`` or ``.html``.

        Raises
        ------
        HbmArgumentError
            There is no report of that suffix.
        """
        target = Path(path)
        writer = REPORTS.get(target.suffix.lower())
        if writer is None:
            raise HbmArgumentError(
                f"no report is written as {target.suffix or 'a file without suffix'!r} ({target}); "
                f"choose one of {', '.join(REPORTS)}"
            )
        _named(writer)(self, target)
        return target

    def to_perfetto(
        self, path: str | os.PathLike[str], window_ns: tuple[float, float] | None = None, **options: Any
    ) -> Path:
        """Write a window of the command log for ui.perfetto.dev (see `hbmmodel.export.write_perfetto`).

        Parameters
        ----------
        path : path
        window_ns : (float, float), optional
            Start <= time < end [ns]; None: all that was recorded.
        **options
            ``stacks``, ``channels``: only these.
        """
        return Path(_named("hbmmodel.export:write_perfetto")(self, path, window_ns, **options))

    def to_vcd(
        self, path: str | os.PathLike[str], window_ns: tuple[float, float] | None = None, **options: Any
    ) -> Path:
        """Write a window of one channel for waveform viewers (see `hbmmodel.export.write_vcd`).

        Parameters
        ----------
        path : path
        window_ns : (float, float), optional
            Start <= time < end [ns]; None: all that was recorded.
        **options
            ``stack``, ``channel``: which; default 0, 0.
        """
        return Path(_named("hbmmodel.export:write_vcd")(self, path, window_ns, **options))

    def __repr__(self) -> str:
        s = self.summary
        return (
            f"<Result {self.system.stacks} x {self.system.device.name} {self.system.device.variant}: "
            f"{s['time_ns']:.6g} ns, {s['bandwidth_gb_per_s']:.6g} GB/s, "
            f"{100 * (s['fraction_of_peak'] or 0):.1f} % of peak"
            + (f", {self.interrupted}>" if self.interrupted else ">")
        )

    @property
    def plot(self) -> Plots:
        """Static pictures: ``result.plot.bandwidth()``, ``.latency()``, ``.lost_cycles()`` and so on.

        They need matplotlib (``pip install 'hbmmodel[plot]'``).
        """
        plots: Plots = _named(PLOTS)(self)
        return plots

    def _repr_html_(self) -> str:
        def table(keys: Iterable[str]) -> str:
            told = ((key, self.summary.get(key)) for key in keys)
            return "".join(
                f"<tr><td>{html.escape(key)}</td><td>{'' if value is None else format(value, '.6g')}</td></tr>"
                for key, value in told
            )

        t = self.timeline
        picture = ""
        if len(t):
            title = "bandwidth over time, under the peak"
            edges = np.append(t["start_ns"], t["end_ns"][-1:])
            picture = sparkline(edges, t["bandwidth_gb_per_s"], float(self.summary["peak_gb_per_s"] or 0.0), title)
        return (
            f"<p>{html.escape(repr(self))}</p>{picture}<table>{table(HEADLINE)}</table>"
            f"<details><summary>all {len(self.summary)} keys</summary><table>{table(self.summary)}</table></details>"
        )


def _named(name: str) -> Any:
    """A function by its dotted name, ``module:function``."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _channels(system: System, end_tick: int, counters: Mapping[str, Any]) -> Table:
    missing = [name for name in COUNTERS if name not in counters]
    if missing:
        raise HbmInternalError(f"the core returned no counter {', '.join(missing)}")
    n = system.n_pseudo_channels
    org = system.device.organisation
    index = np.arange(n, dtype=np.int64)
    columns: dict[str, Any] = {
        "stack": index // (org.channels * org.pseudo_channels),
        "channel": index // org.pseudo_channels % org.channels,
        "pseudo_channel": index % org.pseudo_channels,
    }
    for name in (*COUNTERS, *(extra for extra in counters if extra not in COUNTERS)):
        column = np.asarray(counters[name], dtype=np.int64)
        if column.shape != (n,):
            raise HbmInternalError(f"counter {name} has shape {column.shape}; there are {n} pseudo-channels")
        columns[name] = column
    tick_ns = float(system.tick_ps / 1000)
    over_bus = columns["bytes_read"] + columns["bytes_written"] - columns["reads_forwarded"] * org.burst_bytes
    columns["bandwidth_gb_per_s"] = _rate(over_bus, np.full(n, end_tick * tick_ns))
    columns["fraction_of_peak"] = columns["bandwidth_gb_per_s"] / (system.peak_gb_per_s / n)
    timed = columns["reads_timed"]
    columns["read_latency_ns_mean"] = tick_ns * np.divide(
        columns["read_latency_ticks_sum"], timed, out=np.zeros(n), where=timed > 0
    )
    return Table(columns)


def _check_conservation(
    end_tick: int, channels: Table, histogram: Histogram, of_classes: Sequence[Histogram]
) -> None:
    """What every finished run conserves; a broken law is a fault of the core and never a user's."""
    lost = np.sum([channels[counter] for counter in LOST.values()], axis=0)
    whole = np.full(len(channels), end_tick, dtype=np.int64)
    spent = whole
    if counts_power(channels):
        spent = np.sum([channels[counter] for counter in POWER_STATES.values()], axis=0)
    for what, got, want in (
        ("the time in all power states", spent, whole),
        ("the account of the data bus", lost, whole),
        ("requests completed", channels["requests_out"], channels["requests_in"]),
    ):
        wrong = np.flatnonzero(got != want)
        if wrong.size:
            i = int(wrong[0])
            raise HbmInternalError(
                f"{what} of stack {channels['stack'][i]} channel {channels['channel'][i]} pseudo-channel "
                f"{channels['pseudo_channel'][i]} is {got[i]}, not {want[i]}; please report this"
            )
    timed = int(channels["reads_timed"].sum())
    if histogram.n != timed:
        raise HbmInternalError(
            f"the latency histogram holds {histogram.n} reads of {timed}; please report this"
        )
    if of_classes and not np.array_equal(sum(part.counts for part in of_classes), histogram.counts):
        raise HbmInternalError(
            "the latency histograms of the classes of traffic do not add up to that of all reads; please report this"
        )


def _operations(system: System, raw: Mapping[str, Any] | None) -> Table:
    if raw is None:
        raw = {
            name: np.empty(0, dtype=object if name in ("name", "phase") else np.int64)
            for name in (
                *("index", "name", "phase", "start_tick", "end_tick", "bytes_read", "bytes_written"),
                *("row_hits", "row_misses", "row_conflicts"),
            )
        }
    tick_ns = float(system.tick_ps / 1000)
    start = np.asarray(raw["start_tick"], dtype=np.int64)
    end = np.asarray(raw["end_tick"], dtype=np.int64)
    counts = {
        name: np.asarray(raw[name], dtype=np.int64)
        for name in ("index", "bytes_read", "bytes_written", "row_hits", "row_misses", "row_conflicts")
    }
    duration_ns = (end - start) * tick_ns
    columns = {
        **counts,
        "name": np.asarray(raw["name"], dtype=object),
        "phase": np.asarray(raw["phase"], dtype=object),
        "start_ns": start * tick_ns,
        "end_ns": end * tick_ns,
        "duration_ns": duration_ns,
        "bandwidth_gb_per_s": _rate(counts["bytes_read"] + counts["bytes_written"], duration_ns),
    }
    traffic = {"traffic_class": raw["traffic_class"]} if "traffic_class" in raw else {}
    return Table({**{name: columns[name] for name in OPERATION_COLUMNS}, **traffic, **raw.get("classes", {})})


def _timeline(system: System, end_tick: int, raw: Mapping[str, Any] | None) -> Table:
    if raw is None:
        raw = {
            "epoch_ticks": 1,
            **{k: np.empty(0) for k in ("bytes_read", "bytes_written", "n_act", "n_ref")},
        }
    spent = {f"share_{state}": raw[counter] for state, counter in POWER_STATES.items() if counter in raw}
    counts = {
        k: np.asarray(raw[k]).astype(np.int64) for k in ("bytes_read", "bytes_written", "n_act", "n_ref")
    }
    tick_ns = float(system.tick_ps / 1000)
    epoch = np.arange(len(counts["bytes_read"]), dtype=np.int64)
    start = epoch * int(raw["epoch_ticks"])
    end = np.minimum(start + int(raw["epoch_ticks"]), end_tick)
    bandwidth = _rate(counts["bytes_read"] + counts["bytes_written"], (end - start) * tick_ns)
    columns = {
        **counts,
        "epoch": epoch,
        "start_ns": start * tick_ns,
        "end_ns": end * tick_ns,
        "bandwidth_gb_per_s": bandwidth,
        "fraction_of_peak": bandwidth / system.peak_gb_per_s,
        **_shares(spent),
    }
    return Table({name: columns[name] for name in TIMELINE_COLUMNS if name in columns})


def _shares(ticks: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Of the sum of all; 0 where it is 0."""
    whole = np.sum([np.asarray(value, dtype=np.int64) for value in ticks.values()], axis=0) if ticks else np.zeros(0)
    return {name: _rate(np.asarray(value, dtype=np.int64), whole) for name, value in ticks.items()}
