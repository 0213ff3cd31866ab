"""The page ``docs/validation.md``: ``python -m hbmmodel.validate.document docs/validation.md``.

It owns the words and tables of the page and which comparison stands where; it must not compute a comparison
(``bounds``, ``hardware``, ``published``, ``ramulator``, ``constraints``, ``speed`` do) and never holds a result as
text. Misses stand in the tables beside the rest.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import hbmmodel
from hbmmodel.errors import HbmError
from hbmmodel.validate import bounds, hardware, published, speed

__all__ = ["main", "render", "write"]

_REFPB = "read stream: REFpb costs no more than REFab"

_GRADES = {
    "turnaround": "turnaround",
    "activate_precharge": "rows",
    "activate_window": "tFAW, tRRD",
    "refresh": "refresh",
    "bank_group": "tCCDL",
    "sid": "tCCDR",
    "no_request": "no request",
    "command_bus": "command bus",
}


def render(
    recorded: str | PathLike[str] | None = None,
    *,
    with_speed: bool = True,
    presets: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> str:
    """The page as Markdown, everything in it computed now.

    Parameters
    ----------
    recorded : path, optional
        Directory of recorded Ramulator runs; without it those sections say that they were left out.
    with_speed : bool
        Whether to time the program; everything else is the same on every machine.
    presets : sequence of str, optional
        Presets for the bounds; None: all.
    progress : callable, optional
        Called with the title of each section before it is computed.

    Raises
    ------
    HbmTraceError
        A recorded file is missing or malformed.
    """
    tell = progress if progress is not None else _silent

    def section(title: str, make: Callable[[], str]) -> str:
        tell(title)
        return f"## {title}\n\n{make()}"

    tell("Bounds")
    rows = list(bounds.rows(presets))
    parts = (
        _head(),
        section("Bounds from the device description", lambda: _bounds(rows)),
        section("Ramulator 2.1", lambda: _ramulator(recorded)),
        section("Measurements of products", _hardware),
        section("Published figures of energy and heat", _published),
        section("Speed", _speed if with_speed else _not_timed),
        section("Known limits", lambda: _limits(rows)),
    )
    return "\n".join(parts)


def _silent(title: str) -> None:
    del title


def write(path: str | PathLike[str], recorded: str | PathLike[str] | None = None, *, with_speed: bool = True) -> None:
    """Write the page.

    Parameters
    ----------
    path : path
        Where; written only when everything has been computed.
    recorded : path, optional
        As in `render`.
    with_speed : bool
        As in `render`.
    """
    text = render(recorded, with_speed=with_speed, progress=_told if sys.stderr.isatty() else None)
    Path(path).write_text(text, encoding="utf-8")


def _told(title: str) -> None:
    print(title, file=sys.stderr, flush=True)


# ---- text ----


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines) + "\n"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _pair(row: Mapping[str, object], percent: bool = True) -> str:
    """``expected / ours``, marked where the comparison failed."""
    expected, ours = float(str(row["expected"])), float(str(row["ours"]))
    text = f"{_percent(expected)} / {_percent(ours)}" if percent else f"{expected:.4g} / {ours:.4g}"
    return text if row["status"] in ("same", "holds") else f"**{text}**"


def _head() -> str:
    return f"""# Validation

What this model was compared with, and what came out, misses included. The page is made by a command and not
edited by hand; every number of ours was computed when it was made, with hbmmodel {hbmmodel.__version__}:

    python -m hbmmodel.validate.document --recorded DIR docs/validation.md      # or: make validation RECORDED=DIR

DIR holds recorded runs of Ramulator 2.1; without it that section is left out. The rest needs nothing but the package.

Three kinds of evidence: **bounds** that follow from a device's numbers whatever the controller does (a correct
simulator respects all of them and comes near those that its traffic aims at); **another simulator**, with its
policies on our timing tables; **products**, whose controllers and address hashes are not public, so that agreement
within a few percent is what can be asked for. A number in **bold** missed what it was compared with.
"""


# ---- bounds ----


def _bounds(rows: Sequence[bounds.Row]) -> str:
    by_preset: dict[str, dict[str, bounds.Row]] = {}
    for row in rows:
        if not row["quantity"].startswith("reads:"):
            by_preset.setdefault(row["preset"], {})[row["quantity"]] = row
    status = Counter(row["status"] for row in rows if row["quantity"] != _REFPB)
    total, kept = sum(status.values()), status["same"] + status["holds"]
    text = (
        f"{total} comparisons, {kept} as they should be, {total - kept} not. Every cell is expected / ours. Runs are on"
        " one channel; the channels of a stack do not influence each other.\n\n"
    )
    text += _latency_table(by_preset) + _random_table(by_preset) + _variant_table(by_preset) + _in_step(rows)
    return text + _ccdl_table([row for row in rows if row["quantity"].startswith("reads:")])


def _slow_refpb(rows: Sequence[bounds.Row]) -> list[bounds.Row]:
    """Variants whose read stream is slower with REFpb than with REFab."""
    return [row for row in rows if row["quantity"] == _REFPB and row["status"] != "holds"]


def _in_step(rows: Sequence[bounds.Row]) -> str:
    missed = _slow_refpb(rows)
    if not missed:
        return ""
    total = sum(row["quantity"] == _REFPB for row in rows)
    worst = min(missed, key=lambda row: row["ours"] - row["expected"])
    deeper = bounds.stream_share(*worst["preset"].split(), read_queue=128)
    return (
        f"In {len(missed)} of {total} variants a lone read stream is *slower* with REFpb than with REFab (worst:"
        f" {worst['preset']}, {_percent(worst['ours'])} of peak against {_percent(worst['expected'])}). Banks are"
        " refreshed in ascending order, the stream walks through them in the same order, and where both are about"
        " equally fast the stream keeps running into the bank that is being refreshed. A read queue that looks"
        f" further ahead breaks the step: with 128 entries instead of 64 that variant reaches {_percent(deeper)}.\n\n"
    )


def _latency_table(by_preset: Mapping[str, Mapping[str, bounds.Row]]) -> str:
    quantities = (
        ("peak of a stack", "stack, GB/s"),
        ("read stream without refresh, per pseudo-channel", "pseudo-channel, GB/s"),
        ("latency: row hit", "row hit, ns"),
        ("latency: closed row", "closed row, ns"),
        ("latency: closed row, from the ACT's stamp", "closed row from the ACT's first edge, ns"),
        ("latency: row conflict", "row conflict, ns"),
    )
    lines = [
        (preset, *(_pair(found[name], percent=False) for name, _ in quantities))
        for preset, found in by_preset.items()
        if quantities[0][0] in found
    ]
    return (
        "### Pins and unloaded latency\n\n"
        "Peak: pins x data rate, against a read stream without refresh. Latency: of the device alone, one read at a"
        " time. The timings of ACT count from its second rising edge, so a closed row takes a lead-in of 1 CK longer"
        " when time is taken from the ACT's first edge; both are shown.\n\n"
        + _table(("preset", *(title for _, title in quantities)), lines)
    )


def _random_table(by_preset: Mapping[str, Mapping[str, bounds.Row]]) -> str:
    sizes = [32 * n for n in bounds.PIECE_BURSTS]
    lines = []
    for preset, found in by_preset.items():
        if f"{sizes[0]} B per ACT, random banks" not in found:
            continue
        cells = []
        for size in sizes:
            turn, at_random = (found[f"{size} B per ACT, {how}"] for how in ("banks in turn", "random banks"))
            cell = f"{_pair(turn)} / {_percent(at_random['ours'])}"
            good = at_random["status"] == "holds"
            cells.append(f"{cell} ({turn['source']})" if good else f"**{cell}** ({turn['source']})")
        lines.append((preset, *cells))
    return (
        "### Random rows\n\n"
        "Every ACT serves one piece of a random row. Bound (and the rule that sets it) / ours with the banks in"
        f" turn / ours with random banks; reads, queues of {bounds.QUEUE} entries, no refresh. Random banks collide"
        " now and then; where the pins are the bound, bank groups and SIDs cost tCCDL and tCCDR besides.\n\n"
        + _table(("preset", *(f"{size} B per ACT" for size in sizes)), lines)
    )


def _variant_table(by_preset: Mapping[str, Mapping[str, bounds.Row]]) -> str:
    bank = "32 B per ACT, bound of the banks (tFAW and tRRD off)"
    lines = []
    for preset, found in by_preset.items():
        if bank not in found:
            continue
        lines.append(
            (
                preset,
                _pair(found[bank]),
                _pair(found["REFab: time lost per tREFI"]),
                _pair(found["share of a bank's time in REFpb"]),
                _pair(found["banks in REFpb at once"], percent=False),
                _pair(found[_REFPB]),
            )
        )
    head = ("preset", "banks: 32 B per ACT", "REFab: time lost", "bank's time in REFpb", "banks in REFpb")
    return (
        "### Banks and refresh\n\n"
        "*Banks*: banks x nBL / tRC (HBM2E: the row bus) with tFAW and tRRD switched off, banks in turn; an ACT starts"
        " on a rising edge only, which costs up to half a CK of tRC. *REFab*: at least tRFCab / tREFI of a"
        " saturating stream is lost; the rest is closing rows before and opening them after. *REFpb*: tRFCpb / tREFI of"
        " each bank's time, and as many banks at once. *Stream*: share of peak of one read stream with REFab / with"
        " REFpb.\n\n" + _table((*head, "stream: REFab / REFpb"), lines)
    )


def _ccdl_table(rows: Sequence[bounds.Row]) -> str:
    lines = [(row["quantity"].removeprefix("reads: "), _pair(row)) for row in rows]
    return (
        "### tCCDL of HBM4\n\n"
        "The literal rule max(4 nCK, 2.5 ns) is 5 CK at 8 Gb/s and 7 CK from 10 Gb/s on. With two bank groups per SID"
        " that caps reads below the pin rate, which is why the presets use 4 CK and `strict_tccdl=True` is an option."
        " Ceiling of any schedule (exhaustive search of one pseudo-channel's states) / ours with the better of two"
        " maps.\n\n" + _table(("reads", "ceiling / ours"), lines)
    )


# ---- recorded runs ----


def _ramulator(recorded: str | PathLike[str] | None) -> str:
    if recorded is None:
        return "Left out: this copy of the page was made without the recorded runs.\n"
    from hbmmodel.validate import constraints, ramulator
    from hbmmodel.validate.ramulator_report import constraint_tables, is_identical, run_tables

    runs = ramulator.validate(recorded)
    identical = sum(is_identical(values) for values in runs.values())
    text = (
        "Ramulator 2.1 (CMU-SAFARI/ramulator2, commit c5b1c3a) was written independently of this model. Its"
        " controller's policies are repeated on our timing tables and fed the recorded requests; see"
        " `model/ramulator_policies.md` for them and for the two relaxations, without which our stricter refresh rules"
        " change the number of cycles. *Identical* means every counter, every latency, and where recorded the tick of"
        " every acceptance and completion and every command.\n\n"
        f"**{identical} of {len(runs)} recorded runs are identical.**\n\n" + run_tables(runs)
    )
    path = Path(recorded, "timing_constraints.json")
    path = path if path.exists() else path.with_suffix(".json.xz")
    if path.exists():
        rows = constraints.compare(constraints.read_tables(path))
        theirs = [row for row in rows if row["expr"] is not None]
        same = sum(row["status"] == "same" for row in theirs)
        text += (
            "\n### Timing constraints\n\nEvery row of that simulator's tables of pairwise constraints against what our"
            f" tables demand, probed command by command: **{same} of {len(theirs)} rows hold.** The second table"
            " counts rules that the standard has and that simulator lacks.\n\n" + constraint_tables(rows)
        )
    return text


# ---- products ----


def _hardware() -> str:
    by_setting = {name: list(hardware.efficiency(name)) for name in hardware.SETTINGS}
    default = by_setting["as it is"]
    outside = [row for row in default if hardware.unlike(row)]
    lines = []
    for row in default:
        low, high = row["measured_low"], row["measured_high"]
        measured = _percent(low) if low == high else f"{100 * low:.1f} to {_percent(high)}"
        ours = _percent(row["ours"])
        spread = f"{100 * row['ours_min']:.1f} to {_percent(row['ours_max'])}"
        lost = ", ".join(f"{_GRADES.get(c, c)} {_percent(s)}" for c, s in row["lost"].items()) or "under 1 %"
        verdict = hardware.unlike(row)
        shown = f"**{ours}** ({verdict})" if verdict else ours
        lines.append((row["platform"], row["mix"], measured, shown, spread, lost, row["source"]))
    presets = ", ".join(f"{p.name}: {p.stacks} x {p.preset} {p.variant}" for p in hardware.PLATFORMS)
    text = (
        f"Streams in closed loop with the default policies, nothing fitted ({presets}). Ours is the mean over"
        f" {hardware.PLACEMENTS} placements of the operands, because products hash their banks and the default map does"
        " not; the range shows what placing alone can do. All are shares of the respective peak. Bold: more than 3 %"
        f" of peak outside what was measured ({len(outside)} of {len(default)}).\n\n"
        + _table(("product", "load", "measured", "ours", "ours, range", "ours loses to", "source"), lines)
    )
    single = [i for i, row in enumerate(default) if row["mix"] in ("read only", "write only")]
    mixed = [i for i in range(len(default)) if i not in single]
    refab, deep = by_setting["REFab"], by_setting["write queue 256"]
    between = sum(
        refab[i]["ours"] <= default[i]["measured_high"] and default[i]["measured_low"] <= default[i]["ours"]
        for i in single
    )
    agree, exceed = (
        sum(hardware.unlike(rows[i]) == how for i in mixed) for rows, how in ((default, ""), (deep, "above"))
    )
    text += (
        "**Reads alone and writes alone** come out too fast: with REFpb refresh hides behind the other banks and next"
        " to nothing is lost. What a product loses besides (kernels that start and end, requests that reach the"
        f" channels unevenly, address translation) is not modelled. {between} of the {len(single)} measured values lie"
        " between ours with REFpb and ours with REFab.\n\n"
        "**Mixes** are set by the turnaround of the bus, and so by how many writes are gathered before it turns: with"
        f" the default write queue of 64 entries {agree} of {len(mixed)} agree within 3 %, with 256 {exceed} of"
        f" {len(mixed)} exceed the measurement by more. Neither queues nor refresh policies of the products are"
        " public; the table shows what each would change.\n\n"
        "### Sensitivity\n\n"
    )
    names = list(by_setting)
    text += _table(
        ("product", "load", "measured", *names),
        [(*line[:3], *(_percent(by_setting[name][i]["ours"]) for name in names)) for i, line in enumerate(lines)],
    )
    return text + _idle() + _curves()


def _idle() -> str:
    lines = []
    for row in hardware.idle_latency():
        within = row["measured_low"] <= row["ours_mean_ns"] <= row["measured_high"]
        ours = f"{row['ours_mean_ns']:.1f}"
        lines.append(
            (
                row["platform"],
                f"{row['measured_low']:.0f} to {row['measured_high']:.0f}",
                f"{row['device_p50_ns']:.1f}",
                f"{row['device_mean_ns']:.1f}",
                f"{row['host_ns']:.0f}",
                ours if within else f"**{ours}**",
                row["source"],
            )
        )
    return (
        "### Unloaded latency\n\n"
        "Lone random reads. What lies beyond the far L2 is the DRAM, its controller and its PHY: the device's part of"
        " ours (mean: some reads meet a refresh) plus `host_latency_ns`, whose default of 60 ns is a choice within the"
        " 55 to 70 ns that the measurements leave for it. So the sum is an input checked for sense, not a"
        " prediction.\n\n"
        + _table(("product", "measured, ns", "device median", "device mean", "host path", "ours", "source"), lines)
    )


def _curves() -> str:
    text = (
        "### Latency under load\n\n"
        "A64FX (4 stacks of HBM2, 48 cores), measured by Mess (MICRO'24), against HBM2E_3200 with 48 streams of"
        " 256-byte lines read and as many written, at growing numbers of reads in flight; ns beyond the unloaded"
        " latency. The nearest preset is faster per pin and the A64FX's map is not public, so only the shape can agree:"
        " flat to about three quarters of peak, then a knee. Time that requests spend before the controller's queue is"
        " not part of our latency: beyond the knee ours stays low. Ours keeps a line in one bank; the last rows show"
        " how far it gets with a deeper write queue, and with the default map, which spreads a line over all bank"
        " groups so that 48 streams open more rows than tFAW and the banks allow.\n\n"
    )
    for read_share in hardware.CURVES:
        found = hardware.load_curve(read_share)
        lines = []
        for row in found:
            measured = f"{row['measured_ns']:.0f}"
            ours = f"{row['ours_ns']:.0f}" if row["ours_ns"] is not None else "**not reached**"
            lines.append((_percent(row["share_of_peak"]), measured, ours))
        deep = hardware.load_curve(read_share, write_queue=256)
        spread = hardware.load_curve(read_share, mapping="row-bank-column-channel")
        for what, curve in (("", found), (", write queue 256", deep), (", default map", spread)):
            lines.append((f"largest share that ours reaches{what}", "", _percent(curve[0]["reached"])))
        text += _table((f"{100 * read_share:.0f} % reads: share of peak", "measured, ns", "ours, ns"), lines)
    return text


# ---- energy and heat ----


def _published() -> str:
    tables = {"Energy": list(published.energy_figures()), "Heat": list(published.thermal_figures())}
    figures = [figure for found in tables.values() for figure in found]
    given, free = ([f for f in figures if f.made_from is which] for which in (True, False))
    text = (
        f"{len(figures)} figures. {len(given)} of them our values were made from, so that they only say that the"
        f" arithmetic is right; of the other {len(free)}, {sum(f.holds for f in free)} lie within our span or within"
        f" {100 * published.TOLERANCE:.0f} % of it. Energy sets, stacks and systems are the shipped ones; ours is low /"
        " typical / high where a set has a span. Bold: a miss, by how far the typical value is off.\n\n"
    )
    for title, found in tables.items():
        lines = []
        for f in found:
            low, high = f.published
            theirs = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            ours = f"{f.ours[1]:.3g}" if f.ours[0] == f.ours[2] else " / ".join(f"{x:.3g}" for x in f.ours)
            verdict = f.verdict if f.holds else f"**{f.verdict}**"
            lines.append((f.quantity, f.unit, theirs, ours, verdict, f.how, f.source))
        head = ("quantity", "unit", "published", "ours", "", "ours is", "source")
        text += f"### {title}\n\n" + _table(head, lines)
    return (
        text
        + "The KAIST figures are a roadmap's power of a whole stack; what they include is not said. The gain of HBM4E"
        " is not in the projection. The stacks' conductivity in the plane comes from silicon, BEOL and bonds alone,"
        " without the copper of TSVs.\n\n"
        "### Not compared\n\n" + _table(("figure", "source", "why"), published.NOT_COMPARED)
    )


# ---- the program ----


def _speed() -> str:
    head = ("workload", "what", "bursts", "1 thread", "2 threads")
    rows: list[tuple[str, ...]] = []
    others = speed.others_share(lambda: rows.extend(speed.table()))
    shared = ""
    if others is not None and others >= 0.05:
        shared = (
            f" Meanwhile other programs used {100 * others:.0f} % of the processors, so wall times are longer than they"
            " would be alone and say nothing about threads; processor times are hardly affected."
        )
    return (
        f"Wall time, and processor time per burst (32 bytes), on {speed.machine()}.{shared}\n\n"
        "    python -m hbmmodel.validate.speed\n\n"
        + _table(head, rows)
        + "Times differ between machines and with what else runs on them; what guards the program against getting"
        " slower is a count of instructions and two ratios (`model/performance.md`).\n"
    )


def _not_timed() -> str:
    return "Not measured for this copy of the page.\n"


def _limits(rows: Sequence[bounds.Row]) -> str:
    limits = [
        "The core timings of HBM3, HBM3E and HBM4 are left blank by the standards. The presets hold medians of public"
        " sources, each with its range (`hbmmodel devices show NAME`). tFAW matters most for random traffic, and no"
        " published measurement was found that would settle it.",
        "No JEDEC text was read: values marked *spec* are quotes by third parties.",
        "Products are represented by their DRAM alone. Crossbar, address translation and the start and end of kernels"
        " are not there, so streams that only read or only write come out too fast.",
        "The default map hashes nothing. How operands lie to each other then matters as much as the ranges in the table"
        " of products show.",
        "Read latency counts from the acceptance by the controller, or from the time stamp of a request that has one."
        " Requests of operations have none, and their wait before the queue is not in the latency.",
        "Error scrubbing is not simulated."
        " Cooling of products and the temperature at which hosts throttle are estimates.",
    ]
    if _slow_refpb(rows):
        limits.append(
            "REFpb takes the banks in a fixed cyclic order. A stream through the banks in the same order can fall into"
            " step with it and then loses more than REFab would cost; the table of variants shows where."
        )
    return "".join(f"* {limit}\n" for limit in limits)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; the exit code of the program.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: the command line.
    """
    parser = argparse.ArgumentParser(prog="python -m hbmmodel.validate.document", description="Write the page.")
    parser.add_argument("path", help="file to write, such as docs/validation.md")
    parser.add_argument("--recorded", metavar="DIR", help="directory of recorded Ramulator runs")
    parser.add_argument("--no-speed", action="store_true", help="do not time the program")
    given = parser.parse_args(arguments)
    try:
        write(given.path, given.recorded, with_speed=not given.no_speed)
    except (HbmError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
