"""What a result rests on, item by item: where the run came from, and every value with its confidence and source.

Owns the choice and the order of the tables; the values are the rooms' own. A set or a stack that is a user's file and
gone by now is named, and its values left out.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from hbmmodel.device.model import CONFIDENCE, Device
from hbmmodel.device.presets import sources as citations
from hbmmodel.errors import HbmError
from hbmmodel.report.content import Grid

if TYPE_CHECKING:
    from hbmmodel.result import Result
    from hbmmodel.system import System

__all__ = ["evidence", "origin"]


def origin(result: Result) -> Grid:
    """Provenance and trace, one fact a row."""
    run, trace = result.provenance, result.trace
    facts: list[tuple[str, str]] = []
    for name, value in run.items():
        told = " ".join(map(str, value)) if name == "command_line" and isinstance(value, list) else _plain(value)
        facts.append((name.replace("_", " "), told))
    for name, value in trace.items():
        if name != "workload":
            facts.append((f"trace {name.replace('_', ' ')}", _plain(value)))
    workload = trace.get("workload")
    if isinstance(workload, dict):
        facts += [(f"workload {name.replace('_', ' ')}", _plain(value)) for name, value in workload.items()]
    facts += [
        ("device sha256", result.system.device.content_hash()),
        ("system sha256", result.system.content_hash()),
    ]
    return Grid(("", ""), tuple((name, value) for name, value in facts if value != ""), left=(0, 1))


def evidence(result: Result) -> tuple[tuple[str, Grid], ...]:
    """Titles and tables: the system, its device's times, energies, the thermal stack."""
    system = result.system
    tables = [
        ("What each confidence means", Grid(("confidence", "meaning"), tuple(CONFIDENCE.items()), left=(0, 1))),
        ("System", _system(system)),
        (f"Device {system.device.name} {system.device.variant}".rstrip(), _device(system.device)),
    ]
    if result.energy_model:
        tables.append((f"Energy set {result.energy_model.get('set', '')}".rstrip(), _energies(system)))
    labels = {label for value in system.device.timing.values() for label in value.source}
    cited = {label: text for label, text in citations().items() if label in labels}
    tables.append(("Sources of the device", Grid(("label", "source"), tuple(sorted(cited.items())), left=(0, 1))))
    if result.thermal_model:
        tables.append((f"Thermal stack {result.thermal_model.get('stack', '')}".rstrip(), _thermal(result)))
    return tuple((title, grid) for title, grid in tables if grid.rows)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False) if value else ""
    return str(value)


def _system(system: System) -> Grid:
    def rows(thing: Any, skip: tuple[str, ...]) -> list[tuple[str, str]]:
        return [(f.name, str(getattr(thing, f.name))) for f in fields(thing) if f.name not in skip and f.init]

    found = rows(system, ("device", "controller", "cooling")) + rows(system.controller, ())
    return Grid(("field", "value"), tuple(found), left=(0, 1))


def _device(device: Device) -> Grid:
    o = device.organisation
    text = f"{o.channels} channels x {o.pseudo_channels} pseudo-channels x {o.banks} banks"
    text += f" x {o.rows} rows x {o.page_bytes} B"
    rows = [("organisation", text, "", o.confidence, " ".join(o.source))]
    for value in device.timing.values():
        span = f"{_ns(value.low_ns)} to {_ns(value.high_ns)}" if value.low_ns is not None is not value.high_ns else ""
        number = f"{float(value.ck):g} CK" if value.ns is None else f"{_ns(value.ns)} ns"
        rows.append((value.name, number, span, value.confidence, " ".join(value.source)))
    return Grid(("value", "", "span, ns", "confidence", "source"), tuple(rows), left=(0, 3, 4))


def _ns(value: Any) -> str:
    return "-" if value is None else f"{float(value):.4g}"


def _energies(system: System) -> Grid:
    header = ("value", "", "span", "unit", "confidence", "source")
    try:
        energies, _ = system.energies()
    except (HbmError, OSError):
        return Grid(header, (("(its file is gone)", "", "", "", "", ""),), left=(0,))
    rows = tuple(
        (v.name, f"{v.typical:.4g}", f"{v.low:.4g} to {v.high:.4g}", v.unit, v.confidence, v.source) for v in energies
    )
    return Grid(header, rows, left=(0, 3, 4, 5))


def _thermal(result: Result) -> Grid:
    from hbmmodel.thermal.presets import provenance

    header = ("value", "", "span", "unit", "confidence", "source")
    name = result.system.cooling.stack
    try:
        found = provenance(result.thermal_model["stack"] if name == "auto" else name)
    except (HbmError, OSError, KeyError):
        return Grid(header, (("(its file is gone)", "", "", "", "", ""),), left=(0,))
    rows = tuple(
        (
            path,
            f"{v.value:.4g}",
            "" if v.low is None or v.high is None else f"{v.low:.4g} to {v.high:.4g}",
            v.unit,
            v.confidence,
            " ".join(v.source),
        )
        for path, v in found.items()
    )
    return Grid(header, rows, left=(0, 3, 4, 5))
