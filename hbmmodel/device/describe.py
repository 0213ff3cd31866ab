"""A device in words and numbers: the text of ``hbmmodel devices show`` and its JSON twin.

This file owns layout and wording only. It must not compute anything that the device does not already hold.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hbmmodel.device.model import CONFIDENCE, CommandBus, Device, Rfm, Value
from hbmmodel.device.presets import sources as citations


def _number(value: Fraction | None) -> str:
    """Short decimal of an exact number; empty where there is none."""
    if value is None:
        return ""
    text = f"{float(value):.4f}".rstrip("0").rstrip(".")
    return text or "0"


def _range(value: Value) -> str:
    if value.low_ns is None and value.high_ns is None:
        return ""
    return f"{_number(value.low_ns)} - {_number(value.high_ns)}"


def _table(rows: list[list[str]], right: set[int]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(w) if i in right else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def _organisation_lines(device: Device) -> list[str]:
    o = device.organisation
    gib = o.capacity_bytes / 2**30
    facts = [
        ("capacity", f"{gib:g} GiB per stack ({o.stack_height} dies of {o.die_density_gb} Gb)"),
        (
            "peak",
            f"{device.peak_gb_per_s:g} GB/s per stack ({o.dq_per_stack} DQ at {device.data_rate_mbps} Mb/s)",
        ),
        ("clock", f"tCK {_number(device.tck_ps)} ps; one tick = {_number(device.tick_ps)} ps"),
        ("channels", f"{o.channels} x {o.pseudo_channels} pseudo-channels"),
        (
            "banks",
            f"{o.banks} per pseudo-channel ({o.sids} SIDs x {o.bank_groups} groups x {o.banks_per_group})",
        ),
        ("rows", f"{o.rows} per bank, {o.page_bytes} B = {o.columns} columns of {o.burst_bytes} B"),
    ]
    bus = device.command_bus
    edge = "any edge" if bus.pre_any_edge else "rising edges"
    facts.append(
        (
            "command bus",
            f"ACT {bus.act_ticks / 2:g} CK (timings from +{bus.act_reference / 2:g} CK), other row commands"
            f" {bus.row_ticks / 2:g} CK, precharge on {edge}, column commands {bus.column_ticks / 2:g} CK"
            f" (timings from +{bus.column_reference / 2:g} CK)",
        )
    )
    rfm = device.rfm
    off = "not needed by this device"
    text = (
        f"RAAIMT {rfm.raaimt}, RAAMMT {rfm.raammt}, RAADEC {rfm.raadec} ({rfm.confidence})"
        if rfm.raaimt
        else off
    )
    facts.append(("RFM", text))
    facts.append(("postpone", f"up to {device.postpone_max} REFab"))
    facts.append(("confidence", f"{o.confidence} {' '.join(o.source)}".rstrip()))
    return [f"  {name:<12}{text}" for name, text in facts]


def describe(device: Device, sources: bool = False) -> str:
    """A device as a text table.

    Parameters
    ----------
    device : Device
    sources : bool
        Also list, per value, the source labels, the formula and the note, and below the table the full
        citations.

    Returns
    -------
    str
        Lines without a final newline.

    Examples
    --------
    >>> from hbmmodel.device import device
    >>> print(describe(device("HBM4_8000")).splitlines()[0])
    HBM4_8000 24Gb_12H (HBM4, family HBM4)
    """
    lines = [f"{device.name} {device.variant} ({device.standard}, family {device.family})"]
    if device.notes:
        lines.append(f"  {device.notes}")
    if device.overrides:
        lines.append(f"  overrides: {', '.join(device.overrides)}")
    lines += ["", "organisation", *_organisation_lines(device), "", "times"]
    ticks = {value.name: value.ck * 2 for value in device.timing.values()}
    rows = [["symbol", "ns", "nCK", "ticks", "range ns", "confidence", *(["sources"] if sources else [])]]
    for name, value in device.timing.items():
        cells = [
            name,
            _number(value.ns),
            _number(value.ck),
            _number(ticks[name]),
            _range(value),
            value.confidence,
        ]
        rows.append([*cells, *([" ".join(value.source)] if sources else [])])
    lines += _table(rows, right={1, 2, 3})
    used = {value.confidence for value in device.timing.values()}
    lines += ["", "confidence"]
    lines += [f"  {level:<11}{meaning}" for level, meaning in CONFIDENCE.items() if level in used]
    if sources:
        lines += _source_lines(device)
    return "\n".join(lines)


def _source_lines(device: Device) -> list[str]:
    remarks = []
    for name, value in device.timing.items():
        parts = [part for part in (value.formula, value.note) if part]
        if parts:
            remarks.append(f"  {name:<16}{'; '.join(parts)}")
    cited = citations()
    lines = ["", "formulas and notes", *remarks]
    if device.command_bus.note:
        lines.append(f"  {'command bus':<16}{device.command_bus.note}")
    return [*lines, "", "sources", *(f"  {label:<7}{cited[label]}" for label in _labels(device))]


def _labels(device: Device) -> list[str]:
    """Every source label of the device once, in order of appearance."""
    labels = [*device.organisation.source, *device.command_bus.source, *device.rfm.source]
    for value in device.timing.values():
        labels += value.source
    return list(dict.fromkeys(labels))


def to_dict(device: Device) -> dict[str, Any]:
    """A device as plain numbers and strings, for JSON.

    Parameters
    ----------
    device : Device

    Returns
    -------
    dict
        ``organisation``, ``timing`` (per symbol: ns, ck, ticks, unit, confidence, source, range, formula,
        note), ``command_bus``, ``rfm``, ``ticks`` (the fields of the C core) and ``sources`` (label to
        citation).

    Examples
    --------
    >>> from hbmmodel.device import device
    >>> to_dict(device("HBM4_8000"))["timing"]["tRCDRD"]["ck"]
    32.0
    """
    cited = citations()
    return {
        "name": device.name,
        "variant": device.variant,
        "standard": device.standard,
        "family": device.family,
        "data_rate_mbps": device.data_rate_mbps,
        "tck_ps": float(device.tck_ps),
        "peak_gb_per_s": device.peak_gb_per_s,
        "organisation": {
            **device.organisation.numbers(),
            "banks": device.organisation.banks,
            "capacity_bytes": device.organisation.capacity_bytes,
            "confidence": device.organisation.confidence,
            "source": list(device.organisation.source),
        },
        "timing": {name: _value(value) for name, value in device.timing.items()},
        "command_bus": _plain(device.command_bus),
        "rfm": _plain(device.rfm),
        "postpone_max": device.postpone_max,
        "notes": device.notes,
        "overrides": list(device.overrides),
        "ticks": device.ticks(),
        "content_hash": device.content_hash(),
        "sources": {label: cited[label] for label in _labels(device)},
    }


def _plain(record: CommandBus | Rfm) -> dict[str, Any]:
    fields = {name: getattr(record, name) for name in record.__slots__}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def _value(value: Value) -> dict[str, Any]:
    def number(x: Fraction | None) -> float | None:
        return None if x is None else float(x)

    return {
        "ns": number(value.ns),
        "ck": float(value.ck),
        "ticks": int(value.ck * 2),
        "unit": value.unit,
        "confidence": value.confidence,
        "source": list(value.source),
        "low_ns": number(value.low_ns),
        "high_ns": number(value.high_ns),
        "formula": value.formula,
        "note": value.note,
    }
