"""A comparison in words and tables.

Owns the selection and the words; must not know how a difference was attributed or how a table is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hbmmodel.energy import COMPONENTS
from hbmmodel.report.content import CAUSES, Grid, Report, Section
from hbmmodel.report.units import bytes_text, energy_text, rate_text, share_text, time_text
from hbmmodel.result.long import unit_of

if TYPE_CHECKING:
    from hbmmodel.study.comparison import Comparison, Difference
    from hbmmodel.study.terms import Term

__all__ = ["describe", "verdict"]

TOP = 8
DEVICE_CHANGES = 8
VALUE_MAX = 40


def verdict(found: Comparison) -> str:
    """One sentence: whether the runs can be compared, and what differs if not."""
    parts = [f"{name} was {words}" for name, words in zip(found.names, found.interrupted, strict=False) if words]
    if parts:
        return f"NOT like for like: {'; '.join(parts)}."
    other = [d.name for d in found.differences if not d.same_work]
    if other:
        return (
            f"NOT like for like: {', '.join(other)} did other work than {found.names[0]} (another trace, phase or "
            "rewrite, or a run that was interrupted). Times and energies are of different jobs; only rates and pJ/bit "
            "can be compared, with care."
        )
    ways = [d.name for d in found.differences if not d.same_replay]
    if ways:
        return f"The same work, replayed in another way by {', '.join(ways)} (mode, order or tile): see what differs."
    return "Like for like: every run did the same work, replayed in the same way."


def describe(found: Comparison) -> Report:
    """Say what a comparison says."""
    names = ", ".join(f"{name} ({label})" for name, label in zip(found.names, found.labels, strict=True))
    sections = [_changes(found), _figures(found)]
    for d in found.differences:
        sections += _difference(found.names[0], d)
    return Report(verdict(found), (f"Runs: {names}.",), tuple(sections))


def _changes(found: Comparison) -> Section:
    device = [c for c in found.changes if c.field.startswith("device.")]
    told = [c for c in found.changes if not c.field.startswith("device.")] + device[:DEVICE_CHANGES]
    hidden = len(device) - DEVICE_CHANGES
    sentences = ("Nothing was changed.",) if not told else ()
    if hidden > 0:
        sentences = (f"{hidden} more values of the device differ (--json has them all).",)
    rows = tuple((c.field, *(_short(value) for value in c.values)) for c in told)
    columns = tuple(range(len(found.names) + 1))
    grid = Grid(("setting", *found.names), rows, left=columns) if rows else None
    return Section("What was changed", sentences, grid=grid)


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= VALUE_MAX else f"{text[: VALUE_MAX - 1]}~"


def _value(key: str, value: float) -> str:
    if value != value:
        return "-"
    unit = unit_of(key)
    if unit == "B":
        return bytes_text(value)
    if unit == "ns":
        return time_text(value)
    if unit == "GB/s":
        return rate_text(value)
    if unit == "pJ":
        return energy_text(value)
    if key.endswith(("fraction", "rate")) or key == "fraction_of_peak":
        return share_text(value)
    return f"{value:.6g}" + ("" if unit == "1" else f" {unit}")


def _figures(found: Comparison) -> Section:
    rows = []
    for row in found.figures.rows():
        key, values = row["metric"], [row[name] for name in found.names]
        if all(value != value for value in values):
            continue
        first = values[0] if values[0] == values[0] else 0.0
        ratios = [f"x {value / first:.4g}" if first and value == value else "-" for value in values[1:]]
        cells = [_value(key, values[0])]
        for value, ratio in zip(values[1:], ratios, strict=True):
            cells += [_value(key, value), ratio]
        rows.append((key, *cells))
    header = ["", found.names[0]]
    for name in found.names[1:]:
        header += [name, "ratio"]
    return Section("What came of it", grid=Grid(tuple(header), tuple(rows)))


def _signed(text: str) -> str:
    return text if text.startswith("-") else f"+{text}"


def _terms(parts: Sequence[Term], names: Mapping[str, str], show: Any, whole: float) -> tuple[tuple[str, ...], ...]:
    """Rows of the largest terms, the rest in one."""
    ranked = sorted(parts, key=lambda term: -abs(term.change))
    shown = [t for t in ranked[:TOP] if t.change]
    rest = [t for t in ranked if t not in shown and t.change]
    rows = [(names.get(t.name, t.name) or "(none)", t.before, t.after, t.change) for t in shown]
    if rest:
        rows.append((f"{len(rest)} more", *(sum(getattr(t, k) for t in rest) for k in ("before", "after", "change"))))
    if rows:
        rows.append(("all", *(sum(getattr(t, k) for t in parts) for k in ("before", "after")), whole))
    return tuple((label, show(a), show(b), _signed(show(c))) for label, a, b, c in rows)


def _difference(first: str, d: Difference) -> list[Section]:
    header = ("", first, d.name, "change")
    cause = Section(
        f"Why the time of {d.name} differs: what the data buses did",
        (
            f"{_signed(time_text(d.time_ns))} in all. Moving data: {_signed(time_text(d.data_by_amount_ns))} by the "
            f"bytes moved, {_signed(time_text(d.data_by_rate_ns))} by the time that a byte takes.",
        ),
        grid=Grid(header, _terms(d.by_cause, CAUSES, time_text, d.time_ns)),
    )
    sections = [cause]
    for what, parts in (("name", d.by_name), ("phase", d.by_phase)):
        if len(parts) > 2 or (parts and what == "name"):
            rows = _terms(parts, {}, time_text, d.time_ns)
            sections += [Section(f"The same by {what} of operations", grid=Grid(header, rows))] if rows else []
    if d.by_operation is not None and len(d.by_operation):
        table = d.by_operation
        order = sorted(range(len(table)), key=lambda i: -abs(table["change_ns"][i]))[:TOP]
        rows = tuple(
            (
                str(row["index"]),
                str(row["name"]),
                str(row["phase"]),
                time_text(row["before_ns"]),
                time_text(row["after_ns"]),
                _signed(time_text(row["change_ns"])),
            )
            for row in table.take(order).rows()
            if row["change_ns"]
        )
        grid = Grid(("op", "name", "phase", first, d.name, "change"), rows, left=(1, 2))
        sections += [Section("Operations whose time changed most", grid=grid)] if rows else []
    if d.energy_pj is not None:
        rows = _terms(d.by_component, COMPONENTS, energy_text, d.energy_pj)
        title = f"Why the energy of {d.name} differs, by component"
        sections.append(Section(title, (f"{_signed(energy_text(d.energy_pj))} in all.",), grid=Grid(header, rows)))
    return sections
