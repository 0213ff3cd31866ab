"""Refresh scenarios of one channel, worked out by hand from ``docs/model/controller.md``, against the
Python twin.

REFI is 200 and REFIpb 100 ticks, so pseudo-channel 0 owes a REFpb at 100, 200, ... and pseudo-channel 1,
half an interval later, at 150, 250, ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hbmmodel.reference import ChannelOutcome, ChannelPolicy, Command, Request, simulate_channel
from hbmmodel.reference.timing import History

DEVICE: Mapping[str, int] = {
    "channels": 1, "pseudo_channels": 2, "sids": 1, "bank_groups": 2, "banks_per_group": 2,
    "rows": 100, "columns": 16, "burst_bytes": 32,
    "act_ticks": 3, "act_reference": 2, "row_ticks": 1, "column_ticks": 2, "column_reference": 0,
    "pre_any_edge": 1,
    "RL": 20, "WL": 8, "BL": 4, "RCDRD": 20, "RCDWR": 12, "RP": 16, "RAS": 40, "RC": 56, "WR": 18, "RTP": 6,
    "RRDS": 4, "RRDL": 6, "FAW": 24, "CCDS": 4, "CCDL": 8, "CCDR": 6, "WTRS": 6, "WTRL": 10, "RTW": 20,
    "PPD": 4, "RREFD": 16, "REFI": 200, "REFIpb": 100, "RFCab": 100, "RFCpb": 80, "RFMab": 90, "RFMpb": 70,
    "RAAIMT": 0, "RAAMMT": 0, "RAADEC": 0, "XP": 0, "CPDED": 0, "PDmin": 0, "XS": 0, "postpone_max": 8,
}  # fmt: skip

ACT, PREpb, PREab, RD, WR, RDA, WRA, REFab, REFpb, _, RFMpb = tuple(Command)[:11]


def read(bank: int, row: int, column: int = 0, arrival: int = -1) -> Request:
    return Request(arrival, False, bank, row, column)


def run(*inputs: Sequence[Request], device: Mapping[str, int] | None = None, **policy: Any) -> ChannelOutcome:
    padded = [*inputs, *([[]] * (2 - len(inputs)))]
    return simulate_channel({**DEVICE, **(device or {})}, ChannelPolicy(**policy), padded, max_ticks=20_000)


def log(outcome: ChannelOutcome, pc: int = 0) -> list[tuple[int, Command, int]]:
    return [(c.tick, c.command, c.bank) for c in outcome.commands if c.pc == pc]


# Per bank -------------------------------------------------------------------------------------------------


def test_idle_banks_are_refreshed_in_turn_when_due_each_pseudo_channel_at_its_phase() -> None:
    outcome = run([read(0, 1, arrival=620)])
    assert log(outcome, 0)[:6] == [
        (100, REFpb, 0), (200, REFpb, 1), (300, REFpb, 2), (400, REFpb, 3), (500, REFpb, 0), (600, REFpb, 1),
    ]  # fmt: skip
    assert log(outcome, 1) == [
        (150, REFpb, 0),
        (250, REFpb, 1),
        (350, REFpb, 2),
        (450, REFpb, 3),
        (550, REFpb, 0),
    ]


def test_bank_under_refresh_waits_for_rfcpb_and_others_for_rrefd() -> None:
    # REFpb of bank 0 at 100: the ACT of bank 0 at 100 + 80 - 2, of bank 2 at 100 + 16 - 2.
    assert (178, ACT, 0) in log(run([read(0, 1, arrival=102)]))
    assert (114, ACT, 2) in log(run([read(2, 1, arrival=102)]))


def test_refresh_within_a_group_delays_an_activate_by_the_longer_of_rrefd_and_rrdl() -> None:
    assert (128, ACT, 1) in log(run([read(1, 1, arrival=102)], device={"RRDL": 30}))


def test_refresh_due_at_an_odd_tick_is_seen_at_the_next_even_one() -> None:
    assert log(run([read(0, 1, arrival=200)], device={"REFIpb": 101}))[0] == (102, REFpb, 0)


def test_open_target_is_precharged_first() -> None:
    # Bank 0 is open and idle at 100: PREpb, and REFpb after RP.
    outcome = run([read(0, 1), read(1, 1, arrival=150)])
    assert log(outcome)[2:4] == [(100, PREpb, 0), (116, REFpb, 0)]


def test_request_that_arrives_for_a_chosen_target_waits() -> None:
    # At 100 the target is chosen before the request is accepted; PREpb, REFpb, then ACT after RFCpb - 2.
    # The next REFpb, due at 200, keeps RRDL from the edge of that ACT.
    outcome = run([read(0, 1), read(0, 1, 1, arrival=100)])
    assert log(outcome)[2:] == [
        (100, PREpb, 0),
        (116, REFpb, 0),
        (194, ACT, 0),
        (202, REFpb, 1),
        (216, RD, 0),
    ]


def test_postponed_refresh_passes_over_banks_with_requests() -> None:
    # With postpone 2, one owed REFpb takes only a bank without an entry: bank 1, while bank 0 is being read.
    requests = [read(0, 1, c % 16, arrival=90) for c in range(3)]
    outcome = run(requests, postpone=2)
    # ACT 90, RD at 112, 120, 128.  At 100 bank 0 has entries.  The ACT's edge is 92; RRDL after it is 98.
    assert log(outcome)[:2] == [(90, ACT, 0), (100, REFpb, 1)]


def test_refresh_is_forced_when_as_many_are_owed_as_may_be_postponed() -> None:
    # Every bank has a request all the time; one owed is tolerated, two are not.
    requests = [read(bank, row) for row in range(6) for bank in range(4)]
    outcome = run(requests, postpone=2)
    # Due at 100 and 200; no bank is free at 100, so the first command of the engine comes from 200 on.
    engine = [(t, c, b) for t, c, b in log(outcome) if c is REFpb]
    assert engine[0][0] >= 200
    assert engine[0][2] == 0


def test_refresh_may_be_pulled_in_while_nothing_waits() -> None:
    # One ahead: bank 0 at once, at tick 0; the next when the first falls due, at 100, and so on.
    outcome = run([read(0, 1, arrival=250)], pull_in=1)
    assert log(outcome)[:3] == [(0, REFpb, 0), (100, REFpb, 1), (200, REFpb, 2)]


@pytest.mark.parametrize(
    ("den", "ticks"), [(1, [100, 200]), (2, [50, 100, 150, 200]), (4, [26, 50, 76, 100])]
)
def test_temperature_multiplier_shortens_the_interval(den: int, ticks: list[int]) -> None:
    # 1/4 of 100 is 25: due at 25, 50, 75, seen on even ticks.
    device = {"RFCpb": 20, "RP": 10, "RREFD": 8}
    outcome = run([read(0, 1, arrival=230)], device=device, refresh_scale_den=den)
    assert [t for t, c, _ in log(outcome) if c is REFpb][: len(ticks)] == ticks


def test_refresh_takes_a_slot_of_the_four_activate_window() -> None:
    # ACTs at 80, 84, 88 (edges 82, 86, 90), REFpb at 100; the fifth edge may come at 82 + 60 = 142, the ACT
    # at 140. The REFpb alone would allow it at 100 + 16 - 2 = 114.
    requests = [*(read(bank, 1, arrival=80) for bank in (2, 4, 6)), read(5, 1, arrival=102)]
    outcome = run(requests, device={"sids": 2, "FAW": 60})
    assert [(t, c) for t, c, _ in log(outcome) if t < 200 and c in (ACT, REFpb)] == [
        (80, ACT), (84, ACT), (88, ACT), (100, REFpb), (140, ACT),
    ]  # fmt: skip


def test_no_refresh_without_a_policy() -> None:
    outcome = run([read(0, 1, arrival=1000)], refresh="none")
    assert log(outcome) == [(1000, ACT, 0), (1022, RD, 0)]


# All banks ------------------------------------------------------------------------------------------------


def test_all_bank_refresh_precharges_everything_and_then_blocks_the_pseudo_channel() -> None:
    outcome = run([read(0, 1), read(2, 1), read(1, 1, arrival=210)], refresh="all_bank")
    # PREab at 200, REFab at 216, ACT at 216 + 100 - 2.
    assert log(outcome)[4:] == [(200, PREab, 0), (216, REFab, 0), (314, ACT, 1), (336, RD, 1)]


def test_closed_banks_need_no_precharge_before_refresh_of_all() -> None:
    outcome = run([read(0, 1, arrival=260)], refresh="all_bank")
    assert log(outcome)[0] == (200, REFab, 0)


def test_all_bank_refresh_may_be_postponed_while_requests_wait() -> None:
    # A stream of row conflicts keeps the queue filled over tick 200; with postpone 1 refresh breaks in,
    # with 2 not.
    requests = [read(0, row) for row in range(6)]
    first = {
        postpone: next(
            (t for t, c, _ in log(run(requests, refresh="all_bank", postpone=postpone)) if c is REFab), None
        )
        for postpone in (1, 2)
    }
    # ACT every 56 ticks: 0, 56, 112, 168; at 200 bank 0 is open since 168 and tRAS ends at 210; REFab at 226.
    assert first == {1: 226, 2: None}


def test_refresh_after_an_auto_precharge_counts_from_the_internal_precharge() -> None:
    # ACT at 170, RDA at 192, p = 170 + 42 = 212, REFab at 212 + 16.
    outcome = run(
        [read(0, 1, arrival=170), read(0, 2, arrival=300)], refresh="all_bank", page_policy="closed"
    )
    assert log(outcome)[:3] == [(170, ACT, 0), (192, RDA, 0), (228, REFab, 0)]


def test_precharge_of_all_banks_waits_for_an_auto_precharge_that_has_not_begun() -> None:
    # Bank 2: ACT 150, RDA 150 + 42, internal precharge at 192 + 60 = 252.  Bank 0: ACT 158, tRAS over at 200,
    # when the pseudo-channel is blocked.  PREab is a command of every bank: RD -> PRE of bank 2 delays it.
    requests = [read(2, 1, arrival=150), read(0, 1, arrival=158)]
    device = {"RCDRD": 40, "RTP": 60}
    outcome = run(requests, refresh="all_bank", page_policy="closed", device=device)
    assert log(outcome)[:6] == [
        (150, ACT, 2), (158, ACT, 0), (192, RDA, 2), (252, PREab, 0), (268, REFab, 0), (366, ACT, 0),
    ]  # fmt: skip


# Refresh management ---------------------------------------------------------------------------------------


def test_bank_is_managed_after_raaimt_activations() -> None:
    device = {"RAAIMT": 2, "RAAMMT": 4, "RAADEC": 0, "REFIpb": 10_000}
    outcome = run([read(0, row) for row in range(2)], device=device)
    # The second ACT (56) makes the count 2: at 58 bank 0 becomes the target and is blocked, before its RD
    # at 78. PREpb at 56 + 42, RFMpb at +16, ACT at 114 + 70 - 2 = 182 for the row that lost its turn.
    assert log(outcome)[3:7] == [(56, ACT, 0), (98, PREpb, 0), (114, RFMpb, 0), (182, ACT, 0)]
    assert [c.command for c in outcome.commands].count(RFMpb) == 1


def test_refresh_lowers_the_activation_count() -> None:
    device = {"RAAIMT": 2, "RAAMMT": 4, "RAADEC": 1}
    # One ACT, then the REFpb of bank 0 at 100 takes it back, so the second ACT does not call for RFM.
    outcome = run([read(0, 1), read(0, 2, arrival=104), read(0, 2, arrival=300)], device=device)
    assert RFMpb not in [c for _, c, _ in log(outcome)]
    device["RAADEC"] = 0
    outcome = run([read(0, 1), read(0, 2, arrival=104), read(0, 2, arrival=300)], device=device)
    assert RFMpb in [c for _, c, _ in log(outcome)]


def test_activation_is_illegal_at_the_maximum_count() -> None:
    history = History({**DEVICE, "RAAIMT": 1, "RAAMMT": 2})
    for tick, legal in ((0, True), (100, True), (200, False)):
        assert history.legal(ACT, 0, tick) is legal
        if legal:
            history.record(ACT, 0, 1, tick)
            history.record(PREpb, 0, 0, tick + 42)
    assert history.legal(ACT, 1, 200)
    history.record(RFMpb, 0, 0, 200)
    assert history.raa[0] == 1
    assert history.legal(ACT, 0, 300)


# ACTs of bank 3 at 60 and 88; at 90 it is due for RFM and a REFpb falls due.
MANAGED: Mapping[str, int] = {
    "RAAIMT": 2, "RAAMMT": 4, "RCDRD": 10, "RAS": 12, "RC": 28, "RTP": 2, "RFMpb": 20, "REFIpb": 90,
}  # fmt: skip
TWO_ROWS = (read(3, 1, arrival=60), read(3, 2, arrival=60))


def test_management_of_a_bank_is_taken_before_a_refresh_that_may_wait() -> None:
    # PREpb at 88 + 2 + 12, RFMpb after RP 16, REFpb of bank 0 after RREFD 16.
    outcome = run(TWO_ROWS, device=MANAGED, page_policy="closed", postpone=2)
    assert log(outcome)[2:6] == [(88, ACT, 3), (102, PREpb, 3), (118, RFMpb, 3), (134, REFpb, 0)]


def test_a_refresh_that_may_wait_no_longer_is_taken_before_management() -> None:
    # REFpb of bank 0 RRDS after the ACT at 90; then bank 3 is closed and managed.
    outcome = run(TWO_ROWS, device=MANAGED, page_policy="closed")
    assert log(outcome)[2:6] == [(88, ACT, 3), (94, REFpb, 0), (102, PREpb, 3), (118, RFMpb, 3)]
