"""Hypothesis strategies for one channel: devices, policies, and traces that make the rules collide.

Devices start from numbers like those of HBM2E, HBM3 and HBM4, shortened so that few requests meet many
rules, and are perturbed by a few ticks, odd numbers included.  Only what the device description itself
demands is kept: the long twin of a pair is not shorter than the short one, refresh leaves time to work.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from hbmmodel.reference import ChannelPolicy, Request

HBM3_LIKE: Mapping[str, int] = {
    "act_ticks": 3, "act_reference": 2, "row_ticks": 1, "column_ticks": 2, "column_reference": 0,
    "pre_any_edge": 1,
    "RL": 26, "WL": 10, "BL": 4, "RCDRD": 26, "RCDWR": 13, "RP": 26, "RAS": 47, "RC": 73, "WR": 26, "RTP": 8,
    "RRDS": 4, "RRDL": 5, "FAW": 26, "CCDS": 4, "CCDL": 8, "CCDR": 6, "WTRS": 7, "WTRL": 13, "RTW": 24,
    "PPD": 4, "RREFD": 13, "RFCab": 150, "RFCpb": 90, "RFMab": 150, "RFMpb": 90,
}  # fmt: skip

HBM4_LIKE: Mapping[str, int] = {
    **HBM3_LIKE, "column_reference": 2, "RCDRD": 32, "RCDWR": 16, "RP": 33, "RAS": 58, "RC": 91, "CCDL": 10,
    "RRDS": 5, "RRDL": 7, "FAW": 32, "RL": 32, "WL": 13, "RTP": 11, "WR": 33, "CCDR": 8,
}  # fmt: skip

HBM2E_LIKE: Mapping[str, int] = {
    **HBM3_LIKE, "act_ticks": 4, "act_reference": 2, "row_ticks": 2, "pre_any_edge": 0, "RP": 24, "RAS": 52,
    "RC": 76, "PPD": 0, "CCDR": 5, "RREFD": 26, "RRDS": 8, "RRDL": 10, "FAW": 32,
}  # fmt: skip

PERTURBED = (
    "RL", "WL", "RCDRD", "RCDWR", "RP", "RAS", "RC", "WR", "RTP", "RRDS", "RRDL", "FAW", "CCDS", "CCDL",
    "CCDR",
    "WTRS", "WTRL", "RTW", "PPD", "RREFD", "RFCab", "RFCpb", "RFMab", "RFMpb",
)  # fmt: skip
"""Timings that a few ticks are added to or taken from."""

LEAST: Mapping[str, int] = {"RL": 1, "RCDRD": 1, "RCDWR": 1, "RP": 4, "RAS": 1, "RC": 1, "CCDS": 4}


@dataclass(frozen=True)
class Case:
    """Everything that determines a run of one channel."""

    ticks: dict[str, int]
    policy: ChannelPolicy
    inputs: list[list[Request]]
    host_ticks: int
    window: int


def _consistent(ticks: dict[str, int]) -> dict[str, int]:
    """Raise what must not be shorter than something else."""
    for field, floors in (
        ("RC", ("RAS",)),
        ("CCDL", ("CCDS",)),
        ("CCDR", ("CCDS",)),
        ("RRDL", ("RRDS",)),
        ("WTRL", ("WTRS",)),
        ("RFCpb", ("RP", "RREFD")),
        ("RFCab", ("RP",)),
        ("RFMpb", ("RP", "RREFD")),
        ("RFMab", ("RP",)),
    ):
        ticks[field] = max(ticks[field], *(ticks[floor] for floor in floors))
    # The data of a write may not begin before that of the read before it has left the bus.
    ticks["RTW"] = max(ticks["RTW"], ticks["BL"], ticks["RL"] + ticks["BL"] - ticks["WL"])
    return ticks


@st.composite
def devices(draw: st.DrawFn) -> dict[str, int]:
    """Fields of a device in ticks (names of ``csrc/device_fields.def``)."""
    ticks = dict(draw(st.sampled_from([HBM3_LIKE, HBM4_LIKE, HBM2E_LIKE])))
    for field in draw(st.lists(st.sampled_from(PERTURBED), max_size=10, unique=True)):
        change = draw(st.integers(-40, 40) if draw(st.booleans()) else st.integers(-3, 3))
        ticks[field] = max(ticks[field] + change, LEAST.get(field, 0))
    _consistent(ticks)
    ticks |= {
        "channels": 1,
        "pseudo_channels": draw(st.sampled_from([2, 2, 2, 1])),
        "sids": draw(st.integers(1, 4)),
        "bank_groups": draw(st.sampled_from([2, 4, 1, 3])),
        "banks_per_group": draw(st.sampled_from([2, 4, 1])),
        "rows": draw(st.sampled_from([2, 3, 12, 768])),
        "columns": draw(st.sampled_from([4, 8, 32])),
        "burst_bytes": 32,
        "XP": draw(st.sampled_from([12, 30, 7, 2])),
        "CPDED": draw(st.sampled_from([12, 2, 21])),
        "PDmin": draw(st.sampled_from([12, 2, 33])),
        "XS": draw(st.sampled_from([200, 61, 2])),
        "postpone_max": 8,
    }  # fmt: skip
    banks = ticks["sids"] * ticks["bank_groups"] * ticks["banks_per_group"]
    # Time to open a row, use it and close it, between refreshes; even at a quarter of the interval.
    use = ticks["RC"] + ticks["RP"] + ticks["RCDRD"] + ticks["WR"] + ticks["WL"] + 20
    ticks["REFI"] = 4 * (ticks["RFCab"] + 2 * use) + draw(st.integers(0, 400))
    ticks["REFIpb"] = 4 * max(2 * ticks["RREFD"] + 20, (ticks["RFCpb"] + 3 * use) // banks) + draw(st.integers(0, 200))
    managed = draw(st.sampled_from([False, False, True]))
    ticks["RAAIMT"] = draw(st.integers(2, 8)) if managed else 0
    ticks["RAAMMT"] = ticks["RAAIMT"] * draw(st.integers(1, 3))
    ticks["RAADEC"] = draw(st.integers(0, ticks["RAAIMT"]))
    return ticks


@st.composite
def policies(draw: st.DrawFn, ticks: Mapping[str, int]) -> ChannelPolicy:
    """A policy of every kind.  A device that needs RFM gets a refresh policy, which alone issues RFM."""
    write_queue = draw(st.sampled_from([1, 2, 4, 8, 64]))
    write_low = draw(st.integers(0, write_queue - 1))
    refresh = draw(st.sampled_from(["per_bank", "per_bank", "all_bank", "none"]))
    if ticks["RAAIMT"] > 0 and refresh == "none":
        refresh = "per_bank"
    banks = ticks["sids"] * ticks["bank_groups"] * ticks["banks_per_group"]
    limit = (ticks["postpone_max"] - 1) * banks if refresh == "per_bank" else ticks["postpone_max"]
    pull_in = min(draw(st.sampled_from([0, 0, 1, 3])), limit)
    return ChannelPolicy(
        scheduler=draw(st.sampled_from(["frfcfs", "frfcfs_cap", "fcfs"])),
        cap=draw(st.sampled_from([1, 2, 3, 16])),
        page_policy=draw(st.sampled_from(["open", "closed", "timeout"])),
        timeout_ticks=draw(st.sampled_from([0, 1, 17, 50, 300])),
        refresh=refresh,
        postpone=draw(st.integers(0, min(8, limit - pull_in))),
        pull_in=pull_in,
        refresh_scale_num=1,
        refresh_scale_den=draw(st.sampled_from([1, 2, 4])),
        read_queue=draw(st.sampled_from([1, 2, 4, 8, 64])),
        write_queue=write_queue,
        write_high=draw(st.integers(write_low + 1, write_queue)),
        write_low=write_low,
        power=draw(st.sampled_from(["never", "power_down_idle", "self_refresh_idle", "aggressive"])),
        power_down_ticks=draw(st.sampled_from([0, 1, 30, 100, 700])),
        self_refresh_ticks=draw(st.sampled_from([0, 51, 200, 900, 3000])),
    )


@st.composite
def inputs(draw: st.DrawFn, ticks: Mapping[str, int], most_segments: int = 5) -> list[Request]:
    """One input: segments of different kinds, some of them with gaps of time before or within."""
    banks = ticks["sids"] * ticks["bank_groups"] * ticks["banks_per_group"]
    result: list[Request] = []
    timed = draw(st.booleans())
    now = 0
    for _ in range(draw(st.integers(0, most_segments))):
        kind = draw(st.sampled_from(["stream", "random", "one bank", "few rows", "same burst"]))
        length = draw(st.integers(1, 16))
        writes = draw(st.sampled_from([0, 0, 30, 50, 100]))
        before = draw(st.sampled_from([0, 0, 1, 40, 333, 1500, 5000]))
        within = draw(st.sampled_from([0, 0, 2, 9, 70]))
        rng = random.Random(draw(st.integers(0, 9999)))
        bank, row, column = (
            rng.randrange(banks),
            rng.randrange(ticks["rows"]),
            rng.randrange(ticks["columns"]),
        )
        now += before
        for i in range(length):
            if kind == "stream":
                column = (column + 1) % ticks["columns"]
                if i % 4 == 3:
                    bank = (bank + 1) % banks
            elif kind == "random":
                bank, row = rng.randrange(banks), rng.randrange(ticks["rows"])
                column = rng.randrange(ticks["columns"])
            elif kind == "one bank":
                row, column = rng.randrange(min(3, ticks["rows"])), rng.randrange(ticks["columns"])
            elif kind == "few rows":
                bank, row, column = rng.randrange(min(3, banks)), rng.randrange(2), rng.randrange(4)
            now += rng.randint(0, within)
            # A request without a time among timed ones is offered as soon as its turn comes.
            arrival = now if timed and rng.randrange(20) else -1
            result.append(Request(arrival, rng.randrange(100) < writes, bank, row, column))
    return result


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a device, a policy, and inputs for every pseudo-channel."""
    ticks = draw(devices())
    return Case(
        ticks=ticks,
        policy=draw(policies(ticks)),
        inputs=[draw(inputs(ticks)) for _ in range(ticks["pseudo_channels"])],
        host_ticks=draw(st.sampled_from([0, 1, 60])),
        window=draw(st.sampled_from([0, 0, 1, 4, 9])),
    )
