"""The flat summary of a run: which keys it has, in which unit, and how each follows from the counters.

Owns the keys and their formulas; must not know files or how the counters were made. The keys are the same
for every system and trace. A value is an int, a float, or None where the question has no answer (latency
without reads, temperature where none was computed).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from hbmmodel.result.temperature import THERMAL_KEYS

if TYPE_CHECKING:
    from hbmmodel.result.histogram import Histogram
    from hbmmodel.result.table import Table
    from hbmmodel.system import System

__all__ = ["COUNTERS", "KEYS", "LOST", "POWER_STATES", "Number", "exact_shares", "summarise"]

Number = int | float | None

LOST = {
    "data": "data_ticks",
    "no_request": "lost_no_request",
    "refresh": "lost_refresh",
    "activate_precharge": "lost_activate_precharge",
    "activate_window": "lost_activate_window",
    "turnaround": "lost_turnaround",
    "bank_group": "lost_bank_group",
    "sid": "lost_sid",
    "command_bus": "lost_command_bus",
    "power_state": "lost_power_state",
}
"""Account of the data bus of every pseudo-channel: cause to counter [ticks]; they sum to the run time."""

POWER_STATES = {
    "active_standby": "ticks_active_standby",
    "precharged_standby": "ticks_precharged_standby",
    "active_power_down": "ticks_active_power_down",
    "precharged_power_down": "ticks_precharged_power_down",
    "self_refresh": "ticks_self_refresh",
}
"""Power state to counter [ticks] of every pseudo-channel; they sum to the run time. A source of counters that knows no
power states may leave them out, and `POWER_COUNTS`."""

POWER_COUNTS = ("n_pde", "n_sre")

COUNTERS = (
    *("n_act", "n_pre_pb", "n_pre_ab", "n_rd", "n_wr", "n_rda", "n_wra"),
    *("n_ref_ab", "n_ref_pb", "n_rfm_ab", "n_rfm_pb"),
    *("row_hits", "row_misses", "row_conflicts", "reads_forwarded", "requests_in", "requests_out"),
    *("bytes_read", "bytes_written"),
    *("read_latency_ticks_sum", "read_latency_ticks_max", "reads_timed"),
    *LOST.values(),
)
"""Counters of one pseudo-channel, in the order in which the `channels` table shows them."""

_LOST_TEXT = {
    "data": "the data bus moved data",
    "no_request": "nothing was waiting in the direction being served",
    "refresh": "refresh or its blocking",
    "activate_precharge": "waiting for rows to open or close",
    "activate_window": "tRRD or the four-activate window",
    "turnaround": "the bus changed direction",
    "bank_group": "tCCDL: bursts of one bank group",
    "sid": "tCCDR: bursts of another SID",
    "command_bus": "the row or column bus was taken",
    "power_state": "the channel was waking from power-down or self-refresh",
}

KEYS: dict[str, str] = {
    "time_ns": "from tick 0 to the last event of the last request [ns]",
    "time_ticks": "the same in ticks of half a CK",
    "bytes_read": "bytes of completed reads, padding and reads answered from a write queue included",
    "bytes_written": "bytes that entered the stacks, padding included",
    "padding_bytes": "bytes moved only because bursts are whole; None if the trace does not say",
    "bandwidth_gb_per_s": "bytes over the data buses (reads_forwarded bursts left out) / time_ns [GB/s]",
    "peak_gb_per_s": "pin bandwidth of all stacks [GB/s]",
    "fraction_of_peak": "bandwidth / peak",
    "read_fraction": "bytes_read / (bytes_read + bytes_written); None if nothing moved",
    "capacity_bytes": "bytes of all stacks",
    "n_pseudo_channels": "pseudo-channels of all stacks",
    "requests_in": "requests (bursts) accepted",
    "requests_out": "requests completed; equal to requests_in",
    "reads_forwarded": "reads answered from a write queue",
    "read_latency_ns_mean": "arrival at the controller to the last data, mean [ns]; None without reads",
    "read_latency_ns_p50": "the same, median [ns]",
    "read_latency_ns_p99": "the same, 99 % [ns]",
    "read_latency_ns_p999": "the same, 99.9 % [ns]",
    "read_latency_ns_max": "the same, maximum, exact [ns]",
    "host_latency_ns": "round trip between the requester and the controller [ns], an input",
    "load_to_use_ns_mean": "read_latency_ns_mean + host_latency_ns [ns]",
    "row_hits": "requests that found their row open",
    "row_misses": "requests that found their bank closed",
    "row_conflicts": "requests that found another row open",
    "row_hit_rate": "row_hits / (row_hits + row_misses + row_conflicts); None without requests",
    "n_act": "ACT commands",
    "n_pre": "PREpb + PREab commands (auto-precharges are in n_rda, n_wra)",
    "n_pre_pb": "PREpb commands",
    "n_pre_ab": "PREab commands",
    "n_rd": "RD + RDA commands",
    "n_wr": "WR + WRA commands",
    "n_rda": "RDA commands",
    "n_wra": "WRA commands",
    "n_ref_ab": "REFab commands, one per pseudo-channel",
    "n_ref_pb": "REFpb commands",
    "n_rfm_ab": "RFMab commands",
    "n_rfm_pb": "RFMpb commands",
    "n_pde": "PDE commands, one per channel and entry to power-down",
    "n_sre": "SRE commands, one per channel and entry to self-refresh",
    **{
        f"lost_share_{k}": f"share of the data-bus time in which {_LOST_TEXT[k]}; the shares sum to 1.0"
        for k in LOST
    },
    **{f"lost_ticks_{k}": "the same in ticks, summed over pseudo-channels" for k in LOST},
    "random_gathers": "gathers whose indices the trace lacks and were drawn at random; None if not known",
    "l2_hits": "bursts answered by the on-chip filter; None without a filter",
    "l2_misses": "bursts that the filter passed on",
    "l2_writebacks": "dirty bursts that the filter wrote back",
    "l2_hit_rate": "l2_hits / (l2_hits + l2_misses)",
    "energy_pj": "energy of the stacks, typical values of the energy set [pJ]; Result.energy holds its parts and span",
    "energy_pj_per_bit": "energy_pj over the bits of the data buses [pJ/bit]; None if nothing moved",
    "power_w_mean": "energy_pj / time_ns [W]; None if no time passed",
    **THERMAL_KEYS,
}
"""Every key of a summary and its meaning, in order."""


def exact_shares(parts: list[int]) -> list[float]:
    """Shares of non-negative integers as floats whose sum is exactly 1.0, in any order of adding.

    Every share is a multiple of 2**-52, so no addition of them rounds; each is within 2**-52 of the true
    quotient, and a part of 0 has a share of exactly 0.0.

    Parameters
    ----------
    parts : list of int
        At least one positive.

    Examples
    --------
    >>> sum(exact_shares([1] * 10)), sum([0.1] * 10)
    (1.0, 0.9999999999999999)
    """
    total, grid = sum(parts), 1 << 52
    marks, seen = [0], 0
    for part in parts:
        seen += part
        marks.append(seen * grid // total)
    return [(high - low) / grid for low, high in zip(marks[:-1], marks[1:], strict=True)]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def summarise(
    system: System, end_tick: int, channels: Table, histogram: Histogram, extra: Mapping[str, Any]
) -> dict[str, Number]:
    """Every key of `KEYS` from the counters of a run.

    Parameters
    ----------
    system : System
        What was simulated.
    end_tick : int
        Run time in ticks.
    channels : Table
        One row per pseudo-channel with the columns of `COUNTERS`.
    histogram : Histogram
        Read latencies in ticks.
    extra : mapping
        What the counters do not hold: ``padding_bytes``, ``random_gathers``, ``energy_pj`` and ``l2`` (None or
        ``hits``, ``misses``, ``writebacks``); each may be missing.

    Returns
    -------
    dict of str to int, float or None

    Source
    ------
    Definitions; no constants. Latency percentiles: nearest rank, middle of a bucket (see
    `Histogram.percentile`), never above the exact maximum.
    """
    total = {name: int(channels[name].sum(dtype=np.int64)) for name in COUNTERS}
    entries = {name: int(channels[name].sum()) if name in channels.names else 0 for name in POWER_COUNTS}
    tick_ns = system.tick_ps / 1000
    moved = total["bytes_read"] + total["bytes_written"]
    over_bus = moved - total["reads_forwarded"] * system.device.organisation.burst_bytes
    bandwidth = float(over_bus / (end_tick * tick_ns)) if end_tick else 0.0
    rows = total["row_hits"] + total["row_misses"] + total["row_conflicts"]
    timed = total["reads_timed"]
    latency_max = int(channels["read_latency_ticks_max"].max(initial=0))
    mean = float(Fraction(total["read_latency_ticks_sum"], timed) * tick_ns) if timed else None
    lost = [total[counter] for counter in LOST.values()]
    shares: list[float] | list[None] = exact_shares(lost) if sum(lost) else [None] * len(lost)
    l2 = extra.get("l2")
    energy = extra.get("energy_pj")
    summary: dict[str, Number] = {
        "time_ns": float(end_tick * tick_ns),
        "time_ticks": end_tick,
        "bytes_read": total["bytes_read"],
        "bytes_written": total["bytes_written"],
        "padding_bytes": extra.get("padding_bytes"),
        "bandwidth_gb_per_s": bandwidth,
        "peak_gb_per_s": float(system.peak_gb_per_s),
        "fraction_of_peak": bandwidth / system.peak_gb_per_s,
        "read_fraction": _ratio(total["bytes_read"], moved),
        "capacity_bytes": system.capacity_bytes,
        "n_pseudo_channels": system.n_pseudo_channels,
        "requests_in": total["requests_in"],
        "requests_out": total["requests_out"],
        "reads_forwarded": total["reads_forwarded"],
        "read_latency_ns_mean": mean,
        **{
            f"read_latency_ns_{name}": None if ticks is None else float(ticks * tick_ns)
            for name, ticks in histogram.tail(latency_max).items()
        },
        "read_latency_ns_max": float(latency_max * tick_ns) if timed else None,
        "host_latency_ns": float(system.host_latency_ns),
        "load_to_use_ns_mean": None if mean is None else mean + system.host_latency_ns,
        "row_hits": total["row_hits"],
        "row_misses": total["row_misses"],
        "row_conflicts": total["row_conflicts"],
        "row_hit_rate": _ratio(total["row_hits"], rows),
        "n_act": total["n_act"],
        "n_pre": total["n_pre_pb"] + total["n_pre_ab"],
        "n_pre_pb": total["n_pre_pb"],
        "n_pre_ab": total["n_pre_ab"],
        "n_rd": total["n_rd"] + total["n_rda"],
        "n_wr": total["n_wr"] + total["n_wra"],
        "n_rda": total["n_rda"],
        "n_wra": total["n_wra"],
        "n_ref_ab": total["n_ref_ab"],
        "n_ref_pb": total["n_ref_pb"],
        "n_rfm_ab": total["n_rfm_ab"],
        "n_rfm_pb": total["n_rfm_pb"],
        **entries,
        **{f"lost_share_{cause}": share for cause, share in zip(LOST, shares, strict=True)},
        **{f"lost_ticks_{cause}": ticks for cause, ticks in zip(LOST, lost, strict=True)},
        "random_gathers": extra.get("random_gathers"),
        "l2_hits": None if l2 is None else int(l2["hits"]),
        "l2_misses": None if l2 is None else int(l2["misses"]),
        "l2_writebacks": None if l2 is None else int(l2["writebacks"]),
        "l2_hit_rate": None if l2 is None else _ratio(int(l2["hits"]), int(l2["hits"]) + int(l2["misses"])),
        "energy_pj": energy,
        "energy_pj_per_bit": energy / (8 * over_bus) if energy is not None and over_bus else None,
        "power_w_mean": energy / float(1000 * end_tick * tick_ns) if energy is not None and end_tick else None,
        **{key: (extra.get("thermal") or {}).get(key) for key in THERMAL_KEYS},
    }
    assert tuple(summary) == tuple(KEYS)
    return summary
