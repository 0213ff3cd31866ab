"""The few numbers that a reader looks for first.

Owns their choice; must not know how they are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hbmmodel.report.units import bytes_text, energy_text, rate_text, share_text, time_text

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["Card", "cards"]


@dataclass(frozen=True)
class Card:
    """A number with its name, and a few words on it."""

    name: str
    value: str
    note: str = ""


def cards(result: Result) -> tuple[Card, ...]:
    """The headline numbers; those that the run does not have are left out."""
    s = result.summary
    moved = (s["bytes_read"] or 0) + (s["bytes_written"] or 0)
    found = [
        Card("Time", time_text(s["time_ns"]), f"{bytes_text(moved)} moved"),
        Card(
            "Bandwidth",
            rate_text(s["bandwidth_gb_per_s"] or 0.0),
            f"{share_text(s['fraction_of_peak'])} of the {rate_text(s['peak_gb_per_s'] or 0.0)} peak",
        ),
    ]
    if s["read_latency_ns_mean"] is not None:
        tail = f"mean; 99 % within {time_text(s['read_latency_ns_p99'])}"
        found.append(Card("Read latency", time_text(s["read_latency_ns_mean"]), tail))
    if s["row_hit_rate"] is not None:
        found.append(Card("Row hits", share_text(s["row_hit_rate"]), "of the requests"))
    if s["energy_pj"] is not None and s["energy_pj_per_bit"] is not None:
        found.append(Card("Energy", f"{s['energy_pj_per_bit']:.3g} pJ/bit", f"{energy_text(s['energy_pj'])} in all"))
    if s["power_w_mean"] is not None:
        stacks = result.system.stacks
        of = f"{s['power_w_mean'] / stacks:.3g} W per stack" if stacks > 1 else "on average"
        found.append(Card("Power", f"{s['power_w_mean']:.3g} W", of))
    if s["temperature_c_max"] is not None:
        dram = f"DRAM {s['temperature_c_dram_max']:.1f} \u00b0C"
        found.append(Card("Hottest cell", f"{s['temperature_c_max']:.1f} \u00b0C", dram))
    return tuple(found)
