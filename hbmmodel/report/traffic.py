"""The report's section on programs side by side: what each class of traffic got, and what it was promised.

Owns the words and the columns; must not know how a section is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hbmmodel.report.units import bytes_text, rate_text, share_text, time_text
from hbmmodel.result.histogram import FIGURES

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["HEADER", "latencies", "rows", "sentences"]

HEADER = ("class", "min", "cap", "prio", "moved", "rate", "of peak", "latency", "99 %", "gate")


def sentences(result: Result) -> tuple[str, ...]:
    """What the numbers mean."""
    gate = "with quotas" if result.system.controller.quotas else "without quotas"
    background = ", ".join(result.trace.get("background", ()))
    told = [f"Programs side by side, {gate}; rates from the first start to the last end of each."]
    if background:
        told.append(f"Repeated until the others had ended: {background}.")
    told.append("Latency: from acceptance to the last data, mean and 99 %; gate: the wait before that, mean per burst.")
    return tuple(told)


def latencies(result: Result) -> tuple[tuple[str, ...], ...]:
    """Rows for the section on read latency: mean, median, 99 %, 99.9 %, maximum of every class that reads."""
    return tuple(
        (f"of {row['traffic_class']}", *(_latency(row, k) for k in FIGURES))
        for row in result.traffic_classes.rows()
        if row["bytes_read"]
    )


def _latency(row: Mapping[str, Any], which: str) -> str:
    """A dash where nothing was read, or a version before counted no percentiles."""
    ns = row[f"read_latency_ns_{which}"]
    return time_text(ns) if row["bytes_read"] and not math.isnan(ns) else "-"


def rows(result: Result) -> tuple[tuple[str, ...], ...]:
    """One per class."""
    return tuple(
        (
            row["traffic_class"],
            f"{row['reserved_share']:.0%}",
            f"{row['cap_share']:.0%}",
            str(row["priority"]),
            bytes_text(row["bytes_read"] + row["bytes_written"]),
            rate_text(row["bandwidth_gb_per_s"]),
            share_text(row["fraction_of_peak"]),
            _latency(row, "mean"),
            _latency(row, "p99"),
            time_text(row["gate_ns_mean"]) if result.system.controller.quotas else "-",
        )
        for row in result.traffic_classes.rows()
    )
