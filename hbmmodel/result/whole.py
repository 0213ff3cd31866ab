"""Whether the parts of a saved result are those of a result: columns, kinds of values, rows, keys.

Owns what everyone who reads a result may rely on; must not know files. Columns and keys of newer versions may be
missing, and there may be more than these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hbmmodel.errors import HbmArgumentError
from hbmmodel.result.banks import BANK_COLUMNS
from hbmmodel.result.energy import ENERGY_COLUMNS
from hbmmodel.result.histogram import FIGURES
from hbmmodel.result.power_states import POWER_STATE_COLUMNS
from hbmmodel.result.summary import COUNTERS, POWER_STATES
from hbmmodel.result.table import Table
from hbmmodel.result.temperature import CELL_COLUMNS, TEMPERATURE_COLUMNS
from hbmmodel.result.traffic import TAIL, TRAFFIC_COLUMNS

if TYPE_CHECKING:
    from hbmmodel.result.histogram import Histogram
    from hbmmodel.system import System

__all__ = ["check_interrupted", "check_summary", "check_tables"]

PLACE = ("stack", "channel", "pseudo_channel")
COLUMNS = {
    "channels": (
        *PLACE,
        *(name for name in COUNTERS if name != "lost_power_state"),
        *("bandwidth_gb_per_s", "fraction_of_peak", "read_latency_ns_mean"),
    ),
    "operations": ("index", "name", "phase", "start_ns", "end_ns", "duration_ns", "bytes_read", "bytes_written"),
    "timeline": ("epoch", "start_ns", "end_ns", "bytes_read", "bytes_written", "bandwidth_gb_per_s"),
    "power_states": POWER_STATE_COLUMNS,
    "energy": ENERGY_COLUMNS,
    "banks": BANK_COLUMNS,
    "temperature": TEMPERATURE_COLUMNS,
    "temperature_cells": CELL_COLUMNS,
    "traffic_classes": TRAFFIC_COLUMNS,
}
"""Columns that every version has written, or that reading has added."""

TEXT = frozenset({"name", "phase", "kind", "state", "component", "die", "traffic_class"})
SIGNED = frozenset({"mean_c", "min_c", "max_c", "temperature_c"})
UNKNOWN = {"power_states": frozenset({"energy_pj"}), "traffic_classes": frozenset(TAIL)}
"""May be NaN: energies of power states where there is no energy, percentiles that an older version did not count."""

ALWAYS = (
    *("time_ns", "time_ticks", "bytes_read", "bytes_written", "bandwidth_gb_per_s", "peak_gb_per_s"),
    *("fraction_of_peak", "capacity_bytes", "n_pseudo_channels", "requests_in", "requests_out", "reads_forwarded"),
    *("host_latency_ns", "row_hits", "row_misses", "row_conflicts", "n_act", "n_pre", "n_rd", "n_wr"),
)
"""Keys of a summary that are numbers in every run of every version."""
OPTIONAL = ("read_fraction", "row_hit_rate", "lost_share_data")
OF_READS = tuple(f"read_latency_ns_{name}" for name in FIGURES)


def check_tables(tables: Mapping[str, Table], system: System) -> None:
    """Refuse tables that no run has.

    Raises
    ------
    HbmArgumentError
        With the table, its column and what is wrong.
    """
    for name, table in tables.items():
        for column in COLUMNS[name]:
            if column not in table:
                raise HbmArgumentError(f"{name}.parquet has no column {column!r}")
        for column in table:
            _check_column(name, column, table[column])
    org = system.device.organisation
    n = system.n_pseudo_channels
    _check_places("channels", tables["channels"], system, 1, rows=(n,))
    _check_places("banks", tables["banks"], system, org.banks, rows=(0, n * org.banks))
    for name in ("energy", "power_states", "temperature", "temperature_cells"):
        if len(tables[name]) and int(tables[name]["stack"].max()) >= system.stacks:
            raise HbmArgumentError(f"{name}.parquet has stacks beyond the {system.stacks} of the system")
    states = tables["power_states"]
    kept = states["state"][states["kind"] == "power"].tolist()
    if len(states) and kept != [*POWER_STATES] * system.stacks:
        raise HbmArgumentError("power_states.parquet does not hold every power state of every stack once")
    for name in ("operations", "timeline"):
        if (tables[name]["end_ns"] < tables[name]["start_ns"]).any():
            raise HbmArgumentError(f"{name}.parquet: column 'end_ns' lies before 'start_ns'")
    start, end = tables["timeline"]["start_ns"], tables["timeline"]["end_ns"]
    if not np.array_equal(start[1:], end[:-1]):
        raise HbmArgumentError("timeline.parquet: epochs do not follow each other")


def _check_column(table: str, column: str, values: Any) -> None:
    where = f"{table}.parquet: column {column!r}"
    if column in TEXT:
        if values.dtype.kind != "O" or not all(isinstance(value, str) for value in values.tolist()):
            raise HbmArgumentError(f"{where} does not hold text")
        return
    if values.dtype.kind not in "iuf":
        if column in COLUMNS[table] or values.dtype.kind != "O":
            raise HbmArgumentError(f"{where} does not hold numbers")
        return
    known = values[~np.isnan(values)] if column in UNKNOWN.get(table, ()) else values
    if not np.isfinite(known).all():
        raise HbmArgumentError(f"{where} holds values that are not finite")
    if column not in SIGNED and len(known) and known.min() < 0:
        raise HbmArgumentError(f"{where} holds values below 0")
    if column in PLACE and values.dtype.kind == "f":
        raise HbmArgumentError(f"{where} does not hold whole numbers")


def _check_places(name: str, table: Table, system: System, per_place: int, rows: tuple[int, ...]) -> None:
    if len(table) not in rows:
        raise HbmArgumentError(f"{name}.parquet has {len(table)} rows; this system has {rows[-1]}")
    if not len(table):
        return
    org = system.device.organisation
    shape = (system.stacks, org.channels, org.pseudo_channels, per_place)
    for column, place in zip(PLACE, np.indices(shape).reshape(4, -1), strict=False):
        if not np.array_equal(table[column], place):
            raise HbmArgumentError(f"{name}.parquet: column {column!r} does not number the system's {column}s in order")


def check_summary(summary: Mapping[str, Any], histogram: Histogram) -> None:
    """Refuse a summary that no run has.

    Raises
    ------
    HbmArgumentError
        With the key and what is wrong.
    """
    for key in (*ALWAYS, *OPTIONAL, *OF_READS):
        if key not in summary:
            raise HbmArgumentError(f"summary.parquet has no column {key!r}")
    for key, value in summary.items():
        if value is None:
            if key in ALWAYS or (key in OF_READS and histogram.n):
                raise HbmArgumentError(f"summary.parquet: column {key!r} is empty")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise HbmArgumentError(f"summary.parquet: column {key!r} holds {str(value)[:40]!r}, which is no number")
    for key in ALWAYS:
        if summary[key] < 0:
            raise HbmArgumentError(f"summary.parquet: column {key!r} is below 0")


def check_interrupted(told: object) -> None:
    """Refuse a record of an interruption that none of our programs wrote.

    Raises
    ------
    HbmArgumentError
    """
    if not told:
        return
    share = told.get("share_of_bytes") if isinstance(told, dict) else told
    last = (told.get("last") or {}) if isinstance(told, dict) else None
    good = isinstance(last, dict) and ("index" not in last or "name" in last)
    if not good or not (share is None or (isinstance(share, int | float) and 0 <= share <= 1)):
        raise HbmArgumentError("result.json: field 'provenance.interrupted' does not say what was interrupted")
