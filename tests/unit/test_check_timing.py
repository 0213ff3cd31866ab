"""Every distance: the earliest legal start passes, the start before it breaks exactly that rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import check_logs as logs
import pytest

from hbmmodel.check import check  # noqa: E402
from hbmmodel.commands import Command, command_log  # noqa: E402

ACT, PREpb, PREab, RD, WR, RDA, WRA, REFab, REFpb, RFMab, RFMpb = (Command(code) for code in range(11))
at, up = logs.at, logs.up
B0, SAME_GROUP, OTHER_GROUP, OTHER_SID = (0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)
LATE = 400
"""A tick by which every time of a row is over (200 CK)."""

Case = tuple[list[Any], Command, int, dict[str, Any]]
"""What went before, the command in question, its earliest tick by the rule, its place."""


def two_open(second: tuple[int, int, int]) -> list[Any]:
    return [at(0, ACT), at(100, ACT, second)]


CASES: dict[str, tuple[str, Callable[[Any], Case]]] = {
    "tRC ACT-ACT": (
        "tRC",
        lambda d: ([at(0, ACT), at(d.act_edge + up(d["tRAS"]), PREpb)], ACT, d["tRC"], {}),
    ),
    "tRC ACT-REFpb": (
        "tRC",
        lambda d: ([at(0, ACT), at(d.act_edge + up(d["tRAS"]), PREpb)], REFpb, 2 + d["tRC"], {}),
    ),
    "tRC ACT-REFab": (
        "tRC",
        lambda d: ([at(0, ACT), at(d.act_edge + up(d["tRAS"]), PREpb)], REFab, 2 + d["tRC"], {}),
    ),
    "tRCDRD ACT-RD": ("tRCDRD", lambda d: ([at(0, ACT)], RD, 2 + d["tRCDRD"], {})),
    "tRCDRD ACT-RDA": ("tRCDRD", lambda d: ([at(0, ACT)], RDA, 2 + d["tRCDRD"], {})),
    "tRCDWR ACT-WR": ("tRCDWR", lambda d: ([at(0, ACT)], WR, 2 + d["tRCDWR"], {})),
    "tRCDWR ACT-WRA": ("tRCDWR", lambda d: ([at(0, ACT)], WRA, 2 + d["tRCDWR"], {})),
    "tRAS ACT-PREpb": ("tRAS", lambda d: ([at(0, ACT)], PREpb, 2 + d["tRAS"], {})),
    "tRAS ACT-PREab": ("tRAS", lambda d: ([at(0, ACT, OTHER_SID)], PREab, 2 + d["tRAS"], {})),
    "tRTP RD-PREpb": ("tRTP", lambda d: ([at(0, ACT), at(LATE, RD)], PREpb, LATE + d["tRTP"], {})),
    "tRTP RD-PREab": ("tRTP", lambda d: ([at(0, ACT), at(LATE, RD)], PREab, LATE + d["tRTP"], {})),
    "tWR WR-PREpb": (
        "tWR",
        lambda d: ([at(0, ACT), at(LATE, WR)], PREpb, LATE + d.wl + d.burst + d["tWR"], {}),
    ),
    "tWR WR-PREab": (
        "tWR",
        lambda d: ([at(0, ACT), at(LATE, WR)], PREab, LATE + d.wl + d.burst + d["tWR"], {}),
    ),
    "tRP PREpb-ACT": ("tRP", lambda d: ([at(0, ACT), at(LATE, PREpb)], ACT, LATE + d["tRP"] - 2, {})),
    "tRP PREpb-REFpb": ("tRP", lambda d: ([at(0, ACT), at(LATE, PREpb)], REFpb, LATE + d["tRP"], {})),
    "tRP PREpb-RFMpb": ("tRP", lambda d: ([at(0, ACT), at(LATE, PREpb)], RFMpb, LATE + d["tRP"], {})),
    "tRP PREpb-REFab": ("tRP", lambda d: ([at(0, ACT), at(LATE, PREpb)], REFab, LATE + d["tRP"], {})),
    "tRP PREab-ACT": ("tRP", lambda d: ([at(0, ACT), at(LATE, PREab)], ACT, LATE + d["tRP"] - 2, {})),
    "tRP PREab-REFab": ("tRP", lambda d: ([at(0, ACT), at(LATE, PREab)], REFab, LATE + d["tRP"], {})),
    "tRP PREab-RFMab": ("tRP", lambda d: ([at(0, ACT), at(LATE, PREab)], RFMab, LATE + d["tRP"], {})),
    "tRP RDA-ACT": (
        "tRP",
        lambda d: ([at(0, ACT), at(LATE, RDA)], ACT, LATE + d["tRTP"] + d["tRP"] - 2, {}),
    ),
    "tRP RDA-REFpb": (
        "tRP",
        lambda d: ([at(0, ACT), at(LATE, RDA)], REFpb, LATE + d["tRTP"] + d["tRP"], {}),
    ),
    "tRP WRA-ACT": (
        "tRP",
        lambda d: (
            [at(0, ACT), at(LATE, WRA)],
            ACT,
            LATE + d.wl + d.burst + d["tWR"] + d["tRP"] - 2,
            {},
        ),
    ),
    "tRP WRA-REFab": (
        "tRP",
        lambda d: (
            [at(0, ACT), at(LATE, WRA)],
            REFab,
            LATE + d.wl + d.burst + d["tWR"] + d["tRP"],
            {},
        ),
    ),
    "tRFCpb REFpb-ACT": ("tRFCpb", lambda d: ([at(0, REFpb)], ACT, d["tRFCpb"] - 2, {})),
    "tRFCpb REFpb-RFMpb": ("tRFCpb", lambda d: ([at(0, REFpb)], RFMpb, d["tRFCpb"], {})),
    "tRFCpb REFpb-REFab": ("tRFCpb", lambda d: ([at(0, REFpb, OTHER_SID)], REFab, d["tRFCpb"], {})),
    "tRFMpb RFMpb-ACT": ("tRFMpb", lambda d: ([at(0, RFMpb)], ACT, d["tRFMpb"] - 2, {})),
    "tRFMpb RFMpb-REFpb": ("tRFMpb", lambda d: ([at(0, RFMpb)], REFpb, d["tRFMpb"], {})),
    "tRFMpb RFMpb-REFab": ("tRFMpb", lambda d: ([at(0, RFMpb)], REFab, d["tRFMpb"], {})),
    "tRFCab REFab-ACT": (
        "tRFCab",
        lambda d: ([at(0, REFab)], ACT, d["tRFCab"] - 2, {"bank": OTHER_SID}),
    ),
    "tRFCab REFab-PREab": ("tRFCab", lambda d: ([at(0, REFab)], PREab, d["tRFCab"], {})),
    "tRFCab REFab-REFab": ("tRFCab", lambda d: ([at(0, REFab)], REFab, d["tRFCab"], {})),
    "tRFCab REFab-REFpb": ("tRFCab", lambda d: ([at(0, REFab)], REFpb, d["tRFCab"], {})),
    "tRFCab REFab-RFMab": ("tRFCab", lambda d: ([at(0, REFab)], RFMab, d["tRFCab"], {})),
    "tRFCab REFab-RFMpb": ("tRFCab", lambda d: ([at(0, REFab)], RFMpb, d["tRFCab"], {})),
    "tRFMab RFMab-ACT": ("tRFMab", lambda d: ([at(0, RFMab)], ACT, d["tRFMab"] - 2, {})),
    "tRFMab RFMab-REFab": ("tRFMab", lambda d: ([at(0, RFMab)], REFab, d["tRFMab"], {})),
    "tRRDL ACT-ACT": ("tRRDL", lambda d: ([at(0, ACT)], ACT, d["tRRDL"], {"bank": SAME_GROUP})),
    "tRRDL ACT-REFpb": ("tRRDL", lambda d: ([at(0, ACT)], REFpb, 2 + d["tRRDL"], {"bank": SAME_GROUP})),
    "tRRDL ACT-RFMpb": ("tRRDL", lambda d: ([at(0, ACT)], RFMpb, 2 + d["tRRDL"], {"bank": SAME_GROUP})),
    "tRRDS ACT-ACT": ("tRRDS", lambda d: ([at(0, ACT)], ACT, d["tRRDS"], {"bank": OTHER_GROUP})),
    "tRRDS ACT-ACT other SID": ("tRRDS", lambda d: ([at(0, ACT)], ACT, d["tRRDS"], {"bank": OTHER_SID})),
    "tRRDS ACT-REFpb": ("tRRDS", lambda d: ([at(0, ACT)], REFpb, 2 + d["tRRDS"], {"bank": OTHER_GROUP})),
    "tRREFD REFpb-ACT": ("tRREFD", lambda d: ([at(0, REFpb)], ACT, d["tRREFD"] - 2, {"bank": SAME_GROUP})),
    "tRREFD REFpb-REFpb": ("tRREFD", lambda d: ([at(0, REFpb)], REFpb, d["tRREFD"], {"bank": OTHER_SID})),
    "tRREFD REFpb-RFMpb": ("tRREFD", lambda d: ([at(0, REFpb)], RFMpb, d["tRREFD"], {"bank": OTHER_GROUP})),
    "tRREFD RFMpb-ACT": ("tRREFD", lambda d: ([at(0, RFMpb)], ACT, d["tRREFD"] - 2, {"bank": SAME_GROUP})),
    "tPPD PREpb-PREpb": ("tPPD", lambda d: ([at(0, PREpb)], PREpb, d["tPPD"], {"bank": SAME_GROUP})),
    "tPPD PREpb-PREab": ("tPPD", lambda d: ([at(0, PREpb)], PREab, d["tPPD"], {})),
    "tCCDL RD-RD": (
        "tCCDL",
        lambda d: ([*two_open(SAME_GROUP), at(LATE, RD)], RD, LATE + d["tCCDL"], {"bank": SAME_GROUP}),
    ),
    "tCCDL RD-RD same bank": (
        "tCCDL",
        lambda d: ([at(0, ACT), at(LATE, RD)], RD, LATE + d["tCCDL"], {}),
    ),
    "tCCDL WR-WR": (
        "tCCDL",
        lambda d: ([*two_open(SAME_GROUP), at(LATE, WR)], WR, LATE + d["tCCDL"], {"bank": SAME_GROUP}),
    ),
    "tCCDR RD-RD": (
        "tCCDR",
        lambda d: ([*two_open(OTHER_SID), at(LATE, RD)], RD, LATE + d["tCCDR"], {"bank": OTHER_SID}),
    ),
    "tRTW RD-WR": ("tRTW", lambda d: ([at(0, ACT), at(LATE, RD)], WR, LATE + d["tRTW"], {})),
    "tRTW RD-WR other SID": (
        "tRTW",
        lambda d: ([*two_open(OTHER_SID), at(LATE, RD)], WR, LATE + d["tRTW"], {"bank": OTHER_SID}),
    ),
    "tWTRL WR-RD": (
        "tWTRL",
        lambda d: ([at(0, ACT), at(LATE, WR)], RD, LATE + d.wl + d.burst + d["tWTRL"], {}),
    ),
    "tWTRS WR-RD": (
        "tWTRS",
        lambda d: (
            [*two_open(OTHER_GROUP), at(LATE, WR)],
            RD,
            LATE + d.wl + d.burst + d["tWTRS"],
            {"bank": OTHER_GROUP},
        ),
    ),
    "tWTRS WR-RD other SID": (
        "tWTRS",
        lambda d: (
            [*two_open(OTHER_SID), at(LATE, WR)],
            RD,
            LATE + d.wl + d.burst + d["tWTRS"],
            {"bank": OTHER_SID},
        ),
    ),
}


# HBM2E defines no tPPD
RUNS = [
    pytest.param(case, spec, id="_".join((case, *spec)))
    for case, (rule, _) in CASES.items()
    for spec in logs.DEVICES
    if (rule, spec) != ("tPPD", logs.HBM2E)
]


@pytest.mark.parametrize(("case", "spec"), RUNS)
def test_earliest_start_is_legal_and_the_one_before_is_not(case: str, spec: tuple[str, str]) -> None:
    rule, make = CASES[case]
    made = logs.Made(*spec)
    if rule == "tRC":  # beyond tRAS + tRP, so that the two can be told apart
        made.lengthen("tRC", 60)
    before, command, earliest, place = make(made)
    start = made.first_start(command, earliest)
    too_early = made.before_edge(command, start)

    assert logs.rules(made.device, [*before, at(start, command, **place)]) == []
    violations = check(made.device, command_log([*before, at(too_early, command, **place)]))
    assert [violation.rule for violation in violations] == [rule]
    (violation,) = violations
    assert violation.index == len(before)
    assert violation.previous_index is not None and violation.previous_index < len(before)
    assert violation.required_ps is not None and violation.actual_ps is not None
    assert violation.actual_ps < violation.required_ps == made.ns(rule) * 1000
    assert (violation.required_ps - violation.actual_ps) <= 4 * made.half_ps


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
@pytest.mark.parametrize(("command", "second"), [(RD, OTHER_GROUP), (WR, OTHER_GROUP), (WR, OTHER_SID)])
def test_bursts_of_other_groups_follow_back_to_back(
    command: Command, second: tuple[int, int, int], spec: tuple[str, str]
) -> None:
    """tCCDS is the burst itself: one clock less and the bursts collide as well."""
    made = logs.Made(*spec)
    before = [*two_open(second), at(LATE, command)]
    assert logs.rules(made.device, [*before, at(LATE + 4, command, second)]) == []
    assert set(logs.rules(made.device, [*before, at(LATE + 2, command, second)])) == {"tCCDS", "bus.data"}


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
def test_internal_precharge_waits_for_tras(spec: tuple[str, str]) -> None:
    """An RDA right behind tRCD precharges when tRAS is over, not tRTP after the read."""
    made = logs.Made(*spec)
    read = up(2 + made["tRCDRD"])
    assert read + made["tRTP"] < 2 + made["tRAS"]
    before = [at(0, ACT), at(read, RDA)]
    start = up(2 + made["tRAS"] + made["tRP"])
    assert logs.rules(made.device, [*before, at(start, REFab)]) == []
    broken = logs.rules(made.device, [*before, at(up(read + made["tRTP"] + made["tRP"]), REFab)])
    assert "tRP" in broken


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
@pytest.mark.parametrize("fifth", [ACT, REFpb])
@pytest.mark.parametrize("second", [ACT, REFpb, RFMpb])
def test_four_activates_fill_the_window(second: Command, fifth: Command, spec: tuple[str, str]) -> None:
    """REFpb takes a place in the window of tFAW, RFMpb takes none."""
    made = logs.Made(*spec, tFAW_ns=60)
    apart = up(max(made["tRRDL"], made["tRREFD"]) + 2)
    banks = [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3)]
    before = [at(apart * n, second if n == 1 else ACT, bank) for n, bank in enumerate(banks)]
    edge = 2 if fifth == ACT else 0
    start = up(2 + made["tFAW"] - edge)
    if second == RFMpb:
        soon = apart * 4
        assert soon < start
        assert logs.rules(made.device, [*before, at(soon, fifth, (0, 0, 3))]) == []
        return
    assert logs.rules(made.device, [*before, at(start, fifth, (0, 0, 3))]) == []
    assert logs.rules(made.device, [*before, at(start - 2, fifth, (0, 0, 3))]) == ["tFAW"]


def test_window_counts_across_sids_but_not_across_pseudo_channels() -> None:
    made = logs.Made(*logs.HBM4_12H, tFAW_ns=60)
    apart = up(made["tRRDL"])
    before = [at(apart * n, ACT, (n % 3, 0, n)) for n in range(4)]
    assert logs.rules(made.device, [*before, at(apart * 4, ACT, (0, 1, 0))]) == ["tFAW"]
    assert logs.rules(made.device, [*before, at(apart * 4, ACT, (0, 1, 0), pc=1)]) == []


def test_an_older_read_of_another_sid_still_counts() -> None:
    """tCCDR is measured from the latest read of *another* SID, even when the same SID was read since."""
    made = logs.Made(*logs.HBM4_12H, tCCDR_ck=8)
    opened = [at(0, ACT), at(100, ACT, OTHER_SID), at(200, ACT, (1, 1, 0))]
    reads = [at(LATE, RD), at(LATE + 8, RD, OTHER_SID), at(LATE + 12, RD, (1, 1, 0))]
    violations = check(made.device, command_log([*opened, *reads]))
    assert [(v.rule, v.index, v.previous_index) for v in violations] == [("tCCDR", 4, 3), ("tCCDR", 5, 3)]


def test_writes_of_another_sid_need_no_tccdr() -> None:
    made = logs.Made(*logs.HBM4_12H, tCCDR_ck=8)
    writes = [at(LATE, WR), at(LATE + 4, WR, OTHER_SID)]
    assert logs.rules(made.device, [*two_open(OTHER_SID), *writes]) == []


def test_clock_only_values_are_compared_in_clocks() -> None:
    """The sets that repeat another simulator state clocks: 31 nCK for tRCDRD, whatever that is in ns."""
    made = logs.Made("X_RAMULATOR21_HBM3_6400", "16Gb_8H")
    assert logs.rules(made.device, [at(0, ACT), at(2 + 62, RD)]) == []
    assert logs.rules(made.device, [at(0, ACT), at(2 + 60, RD)]) == ["tRCDRD"]


def test_exact_time_decides_not_the_rounded_clocks() -> None:
    """15.625 ns are exactly 50 half clocks of HBM3_6400; a femtosecond more needs one clock more."""
    exact = logs.Made(*logs.HBM3, tRCDRD_ns=15.625)
    longer = logs.Made(*logs.HBM3, tRCDRD_ns=15.625001)
    rows = [at(0, ACT), at(2 + 50, RD)]
    assert logs.rules(exact.device, rows) == []
    assert logs.rules(longer.device, rows) == ["tRCDRD"]


def test_row_side_of_columns_counts_from_the_reference_edge_of_the_device() -> None:
    made = logs.Made("X_RAMULATOR21_HBM3_6400", "16Gb_8H")
    assert made.device.command_bus.column_reference == 1
    before = [at(0, ACT), at(LATE, RD)]
    assert logs.rules(made.device, [*before, at(LATE + 1 + made["tRTP"], PREpb)]) == []
    assert logs.rules(made.device, [*before, at(LATE + made["tRTP"], PREpb)]) == ["tRTP"]
