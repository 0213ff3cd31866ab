"""The report's section on programs side by side: what each class of traffic got, and what it was promised.

Owns the words and the columns; must not know how a section is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hbmmodel.report.units import bytes_text, rate_text, share_text, time_text

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["HEADER", "rows", "sentences"]

HEADER = ("class", "min", "cap", "prio", "moved", "rate", "of peak", "latency", "gate")


def sentences(result: Result) -> tuple[str, ...]:
    """What the numbers mean."""
    gate = "with quotas" if result.system.controller.quotas else "without quotas"
    background = ", ".join(result.trace.get("background", ()))
    told = [f"Programs side by side, {gate}; rates from the first start to the last end of each."]
    if background:
        told.append(f"Repeated until the others had ended: {background}.")
    told.append("Latency: from acceptance to the last data, mean; gate: the wait before that, mean per burst.")
    return tuple(told)


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
            time_text(row["read_latency_ns_mean"]) if row["bytes_read"] else "-",
            time_text(row["gate_ns_mean"]) if result.system.controller.quotas else "-",
        )
        for row in result.traffic_classes.rows()
    )
