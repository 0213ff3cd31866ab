"""What a report says, before it is drawn: headline, sections of sentences, bars and tables.

Owns the selection and the words; must not know widths, characters or file formats (`text`, `markdown`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hbmmodel.device.model import CONFIDENCE
from hbmmodel.device.ticks import SYMBOLS
from hbmmodel.energy import COMPONENTS
from hbmmodel.report.series.operations import top_operations
from hbmmodel.report.units import bytes_text, count_text, energy_text, rate_text, share_text, time_text
from hbmmodel.result.histogram import FIGURES
from hbmmodel.result.summary import LOST
from hbmmodel.terminal import printable

if TYPE_CHECKING:
    from hbmmodel.result import Result
    from hbmmodel.system import System

__all__ = ["Bar", "Grid", "Report", "Section", "describe", "describe_system"]

TOP_OPERATIONS = 10
TOP_NAMES = 8
NAME_MAX = 80
ACCOUNT_TITLE = "What the data buses did"
SIZE_DOUBT_BYTES = 64
#: The histogram has 64 buckets per power of two, and a percentile is the middle of its bucket.
HALF_BUCKET = 1 / 128

CAUSES = {
    "data": "moving data",
    "no_request": "no request waiting",
    "refresh": "refresh",
    "activate_precharge": "opening and closing rows",
    "activate_window": "activation rate (tRRD, tFAW)",
    "turnaround": "read/write turnaround",
    "bank_group": "same bank group (tCCDL)",
    "sid": "other stack ID (tCCDR)",
    "command_bus": "command buses",
    "power_state": "waking from power-down and self-refresh",
}


STATES = {
    "active_standby": "active standby",
    "precharged_standby": "precharged standby",
    "active_power_down": "active power-down",
    "precharged_power_down": "precharged power-down",
    "self_refresh": "self-refresh",
}


@dataclass(frozen=True)
class Bar:
    """One line of a bar chart; `share` in 0..1."""

    label: str
    share: float


@dataclass(frozen=True)
class Grid:
    """A table of text; the columns named in `left` are aligned left, the others right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Section:
    """A title, sentences, and at most one chart or table; `key` names the section for whoever adds to it."""

    title: str
    sentences: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    grid: Grid | None = None
    key: str = ""


@dataclass(frozen=True)
class Report:
    """A headline, its sentences, and sections."""

    title: str
    sentences: tuple[str, ...]
    sections: tuple[Section, ...]


def describe(result: Result) -> Report:
    """Say what a result says.

    Returns
    -------
    Report
        The same sections for every result; those that have nothing to show (no operations) are left out.
    """
    sections = (
        _workload(result),
        _traffic(result),
        _account(result),
        _latency(result),
        _rows(result),
        _energy(result),
        _temperature(result),
        _spread(result),
        _by_name(result),
        _operations(result),
        _assumptions(result),
    )
    name = printable(os.path.basename(str(result.trace.get("name") or "")), NAME_MAX)
    return Report(
        title=f"{_machine(result.system)}"
        + (f": {name}" if name else "")
        + (f", {result.interrupted}" if result.interrupted else ""),
        sentences=_headline(result),
        sections=tuple(section for section in sections if section is not None),
    )


def describe_system(system: System) -> str:
    """One line: stacks, device, capacity, peak and policies."""
    c = system.controller
    return (
        f"{_machine(system)}: {bytes_text(system.capacity_bytes)}, {rate_text(system.peak_gb_per_s)} peak; "
        f"{c.scheduler}, {c.page_policy} page, {c.refresh.replace('_', '-')} refresh, map {system.mapping}"
    )


def _machine(system: System) -> str:
    return f"{system.stacks} x {system.device.name} {system.device.variant}".rstrip()


def _headline(result: Result) -> tuple[str, ...]:
    s = result.summary
    moved = (s["bytes_read"] or 0) + (s["bytes_written"] or 0)
    first = (
        f"{bytes_text(moved)} moved in {time_text(s['time_ns'])}: {rate_text(s['bandwidth_gb_per_s'] or 0)}, "
        f"{share_text(s['fraction_of_peak'])} of the {rate_text(s['peak_gb_per_s'] or 0)} peak."
    )
    causes = sorted(
        ((share or 0, cause) for cause in LOST if cause != "data" and (share := s.get(f"lost_share_{cause}"))),
        reverse=True,
    )
    sentences = [first]
    if causes:
        largest = " and ".join(f"{CAUSES[cause]} ({share_text(share)})" for share, cause in causes[:2])
        sentences.append(f"Most of the rest: {largest}.")
    if s["read_fraction"] is not None:
        sentences.append(f"Reads are {share_text(s['read_fraction'])} of the bytes.")
    return tuple(sentences)


def _workload(result: Result) -> Section | None:
    if "workload" not in result.trace:
        return None
    from hbmmodel.report.workload import grid_rows, sentences
    from hbmmodel.workload.metrics import metrics

    found = metrics(result)
    header, rows = grid_rows(found)
    return Section("What the workload got", sentences(found), grid=Grid(header, rows), key="workload")


def _account(result: Result) -> Section:
    s = result.summary
    data = s["lost_share_data"]
    if data is None:
        return Section(ACCOUNT_TITLE, ("No time passed.",), key="account")
    rest = sorted(((s.get(f"lost_share_{c}") or 0.0, c) for c in LOST if c != "data"), key=lambda pair: -pair[0])
    return Section(
        ACCOUNT_TITLE,
        (),
        (
            Bar(CAUSES["data"], data),
            *(Bar(CAUSES[cause], share) for share, cause in rest),
        ),
        key="account",
    )


def _latency(result: Result) -> Section:
    from hbmmodel.report import traffic

    s = result.summary
    if s["read_latency_ns_mean"] is None:
        return Section("Read latency", ("No read reached a bank.",), key="latency")
    grid = Grid(
        ("", "mean", "median", "99 %", "99.9 %", "max"),
        (
            (
                "controller to data",
                *(time_text(s[f"read_latency_ns_{k}"]) for k in FIGURES),
            ),
            *traffic.latencies(result),
            (
                "with the host path",
                *(
                    time_text((s[f"read_latency_ns_{k}"] or 0.0) + (s["host_latency_ns"] or 0.0))
                    for k in FIGURES
                ),
            ),
        ),
    )
    return Section(
        "Read latency",
        (
            f"The host path is an input of {time_text(s['host_latency_ns'])}. "
            f"Percentiles are within {100 * HALF_BUCKET:.2g} %, half a bucket; mean and maximum are exact.",
        ),
        grid=grid,
        key="latency",
    )


def _rows(result: Result) -> Section:
    s = result.summary
    total = sum(int(s[k] or 0) for k in ("row_hits", "row_misses", "row_conflicts"))
    bursts = int(s["n_rd"] or 0) + int(s["n_wr"] or 0)
    acts = int(s["n_act"] or 0)
    sentences = []
    if acts and bursts:
        sentences.append(f"{bursts / acts:.3g} bursts per activation.")
    refreshes = int(s["n_ref_ab"] or 0) + int(s["n_ref_pb"] or 0)
    if refreshes == 0:
        sentences.append("No refresh was issued.")
    grid = Grid(
        ("requests", "", "", "commands", ""),
        tuple(
            zip(
                ("row hits", "row misses", "row conflicts", "forwarded", "", ""),
                (
                    *(
                        count_text(s[k] or 0)
                        for k in ("row_hits", "row_misses", "row_conflicts", "reads_forwarded")
                    ),
                    "",
                    "",
                ),
                (
                    *(
                        share_text((s[k] or 0) / total if total else None)
                        for k in ("row_hits", "row_misses", "row_conflicts")
                    ),
                    "",
                    "",
                    "",
                ),
                ("ACT", "PRE", "RD", "WR", "REFpb + RFMpb", "REFab + RFMab"),
                (
                    *(count_text(s[k] or 0) for k in ("n_act", "n_pre", "n_rd", "n_wr")),
                    count_text((s["n_ref_pb"] or 0) + (s["n_rfm_pb"] or 0)),
                    count_text((s["n_ref_ab"] or 0) + (s["n_rfm_ab"] or 0)),
                ),
                strict=True,
            )
        ),
        left=(0, 3),
    )
    return Section("Rows and commands", tuple(sentences), grid=grid, key="rows")


def _energy_set(model: dict[str, Any]) -> str:
    """Which set, how it was chosen, and its title, which may say that it is the recommended one already."""
    chosen, title = str(model.get("chosen", "-")), str(model.get("title", "-"))
    name, _, how = chosen.partition(", ")
    if how.startswith("recommended for ") and title.startswith("Recommended for "):
        return f"Energy set {name}, {title[0].lower()}{title[1:]}."
    return f"Energy set {chosen}: {title}."


def _energy(result: Result) -> Section | None:
    table, s, model = result.energy, result.summary, result.energy_model
    total = float(table["pj"].sum())
    if len(table) == 0 or total == 0:
        return None
    names = list(dict.fromkeys(table["component"].tolist()))

    def of(name: str, column: str) -> float:
        return float(table[column][table["component"] == name].sum())

    def row(label: str, low: float, typical: float, high: float) -> tuple[str, ...]:
        return label, energy_text(typical), share_text(typical / total), f"{energy_text(low)} to {energy_text(high)}"

    low, high = (float(table[column].sum()) for column in ("pj_low", "pj_high"))
    rows = [row(COMPONENTS.get(name, name), *(of(name, c) for c in ("pj_low", "pj", "pj_high"))) for name in names]

    def span(value: float | None, unit: str) -> str:
        if value is None:
            return f"- {unit}"
        return f"{value:.3g} {unit} ({value * low / total:.3g} to {value * high / total:.3g})"

    sentences = (
        f"{span(s['energy_pj_per_bit'], 'pJ/bit')}, {span(s['power_w_mean'], 'W')} on average.",
        _energy_set(model),
        f"Toggle rate {model.get('toggle_rate')}, DBI on the pins {'on' if model.get('dbi') else 'off'}, leakage at "
        f"{model.get('temperature_c', float('nan')):.1f} deg C. Spans take every value at the same end "
        "(hbmmodel energy show says where each is from).",
    )
    grid = Grid(("component", "energy", "share", "span"), (*rows, row("all", low, total, high)))
    return Section("Energy", sentences, grid=grid, key="energy")


def _temperature(result: Result) -> Section | None:
    model, s, table = result.thermal_model, result.summary, result.temperature
    if not model:
        return None
    sentences = [
        f"{model['mode'].capitalize()}: {model['text']}.",
        f"Hottest cell {s['temperature_c_max']:.1f} deg C (DRAM {s['temperature_c_dram_max']:.1f}); stack "
        f"{model['stack']}, {model['h_top_w_m2k']:g} W/(m2 K) to a coolant of {model['coolant_c']:g} deg C.",
        f"Sustained {rate_text(s['sustained_gb_per_s'] or 0.0)}; throttled "
        f"{share_text(s['throttled_fraction'] or 0.0)} of the time; refresh at 2x "
        f"{share_text(s['refresh_2x_fraction'] or 0.0)}, at 4x "
        f"{share_text(s['refresh_4x_fraction'] or 0.0)} of it.",
    ]
    if model.get("cattrip"):
        trip = model["cattrip"]
        sentences.append(
            f"CATTRIP: stack {trip['stack']} at {trip['temperature_c']:.1f} deg C, after {trip['time_s']:g} s."
        )
    last = table["time_s"] == table["time_s"].max()
    hottest = int(table["stack"][last][np.argmax(table["max_c"][last])])
    mine = last & (table["stack"] == hottest)
    rows = tuple(
        (str(die), f"{watts:.2f}", f"{mean:.1f}", f"{low:.1f}", f"{high:.1f}")
        for die, watts, mean, low, high in zip(
            *(table[name][mine] for name in ("die", "power_w", "mean_c", "min_c", "max_c")), strict=True
        )
    )
    grid = Grid((f"die of stack {hottest}", "W", "mean deg C", "min", "max"), rows, left=(0,))
    return Section("Temperature", tuple(sentences), grid=grid, key="temperature")


def _spread(result: Result) -> Section | None:
    channels = result.channels
    if len(channels) < 2:
        return None
    share = channels["fraction_of_peak"]
    low, high = int(np.argmin(share)), int(np.argmax(share))

    def where(i: int) -> str:
        c = channels
        return f"stack {c['stack'][i]} channel {c['channel'][i]} pseudo-channel {c['pseudo_channel'][i]}"

    return Section(
        "Spread over channels",
        (
            f"{len(channels)} pseudo-channels carry {share_text(float(share.mean()))} of their peak on "
            f"average, from {share_text(float(share[low]))} ({where(low)}) "
            f"to {share_text(float(share[high]))} ({where(high)}).",
        ),
        key="spread",
    )


def _by_name(result: Result) -> Section | None:
    top = top_operations(result, TOP_NAMES)
    if top is None or top.n_names < 2:
        return None
    columns = (top.count, top.time_ns, top.bytes_read, top.bytes_written)
    rows = tuple(
        (
            name,
            count_text(count),
            time_text(time_ns),
            bytes_text(read),
            bytes_text(written),
            rate_text((read + written) / time_ns if time_ns else 0.0),
        )
        for name, count, time_ns, read, written in zip(top.names, *(c.tolist() for c in columns), strict=True)
    )
    return Section(
        f"Operations by name ({len(rows)} of {top.n_names})",
        ("Operations that do not depend on each other may overlap; their times are added here.",),
        grid=Grid(("name", "count", "time", "read", "written", "rate"), rows),
        key="names",
    )


def _traffic(result: Result) -> Section | None:
    if len(result.traffic_classes) == 0:
        return None
    from hbmmodel.report import traffic

    grid = Grid(traffic.HEADER, traffic.rows(result))
    return Section("Classes of traffic", traffic.sentences(result), grid=grid, key="traffic")


def _operations(result: Result) -> Section | None:
    operations = result.operations
    if len(operations) == 0:
        return None
    order = np.argsort(-operations["duration_ns"], kind="stable")[:TOP_OPERATIONS]
    run_ns = result.summary["time_ns"] or 0.0
    rows = tuple(
        (
            str(row["index"]),
            str(row["name"]),
            str(row["phase"]),
            time_text(row["duration_ns"]),
            share_text(row["duration_ns"] / run_ns if run_ns else None),
            bytes_text(row["bytes_read"]),
            bytes_text(row["bytes_written"]),
            rate_text(row["bandwidth_gb_per_s"]),
        )
        for row in operations.take(order).rows()
    )
    return Section(
        f"Longest operations ({len(rows)} of {len(operations)})",
        (),
        grid=Grid(("op", "name", "phase", "time", "of run", "read", "written", "rate"), rows, left=(1, 2)),
        key="operations",
    )


def size_doubt(result: Result) -> str | None:
    """A sentence for traces without sizes whose requests look longer than the burst that each was taken for."""
    alignment = result.trace.get("address_alignment_bytes")
    if alignment is None or alignment < SIZE_DOUBT_BYTES:
        return None
    return (
        f"Every address is a multiple of {alignment}, and the trace gives no sizes: each request was taken as one "
        f"burst of {result.system.device.organisation.burst_bytes} bytes. If they are longer, say so (request_bytes, "
        "--request-bytes)."
    )


def _assumptions(result: Result) -> Section:
    system, s = result.system, result.summary
    c = system.controller
    sentences = [
        describe_system(system) + ".",
        f"Window {bytes_text(system.window_bytes)} of reads in flight per stack."
        if system.window_bytes
        else "Reads in flight are limited by the queues only.",
    ]
    if result.trace.get("mode"):
        sentences.append(f"Trace mode {result.trace['mode']}.")
    if result.trace.get("order") and result.trace.get("kind") == "operations":
        sentences.append(f"Operands interleaved by {result.trace['order']}.")
    if doubt := size_doubt(result):
        sentences.append(doubt)
    if system.refresh_multiplier != 1.0:
        sentences.append(f"Refresh interval x {system.refresh_multiplier:g}, as for a hot device.")
    if c.refresh == "none":
        sentences.append("Refresh is off: a real device would lose its data.")
    if result.trace.get("rewrites"):
        sentences.append(f"The trace was rewritten: {', '.join(result.trace['rewrites'])}.")
    if result.trace.get("pages", "sequential") != "sequential":
        sentences.append(f"Pages of the memory: {result.trace['pages']}.")
    if s["random_gathers"]:
        sentences.append(
            f"Gathers without recorded indices, theirs drawn at random: {count_text(s['random_gathers'])}."
        )
    if s["padding_bytes"]:
        sentences.append(f"{bytes_text(s['padding_bytes'])} were moved only because bursts are whole.")
    if s["l2_hit_rate"] is not None:
        sentences.append(f"An on-chip filter answered {share_text(s['l2_hit_rate'])} of the bursts.")
    by_confidence: dict[str, list[str]] = {}
    for symbol in SYMBOLS.values():
        by_confidence.setdefault(system.device.timing[symbol].confidence, []).append(symbol)
    told = ", ".join(f"{len(by_confidence[grade])} {grade}" for grade in CONFIDENCE if grade in by_confidence)
    sentences.append(
        f"Confidence of the device's times: {told} (hbmmodel devices show says where each is from)."
    )
    for grade, text in (
        ("estimate", "Estimates"),
        ("simulator", "From other simulators"),
        ("user", "Given by you"),
    ):
        if grade in by_confidence:
            sentences.append(f"{text}: {', '.join(by_confidence[grade])}.")
    if s["energy_pj"] is None:
        sentences.append("Energy and power were not computed; their keys are empty.")
    if s["temperature_c_max"] is None:
        sentences.append("Temperature is an input of leakage here (--thermal computes it); its keys are empty.")
    return Section("Assumptions", tuple(sentences), key="assumptions")
