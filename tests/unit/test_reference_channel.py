"""Small scenarios of one channel, worked out by hand from ``docs/model/controller.md``, against the Python
twin.

The numbers of the device below are chosen for easy sums.  With A = 2, an ACT at t lets a RD come at t + 2 +
20 and a PRE at t + 2 + 40; data are complete 20 + 4 after a RD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hbmmodel.reference import (
    ChannelOutcome,
    ChannelPolicy,
    Command,
    DeadlockError,
    Request,
    RowStatistics,
    simulate_channel,
)

DEVICE: Mapping[str, int] = {
    "channels": 1, "pseudo_channels": 2, "sids": 2, "bank_groups": 2, "banks_per_group": 2,
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


def write(bank: int, row: int, column: int = 0, arrival: int = -1) -> Request:
    return Request(arrival, True, bank, row, column)


def run(
    *inputs: Sequence[Request],
    device: Mapping[str, int] | None = None,
    host_ticks: int = 0,
    window: int = 0,
    **policy: Any,
) -> ChannelOutcome:
    """Run on the device above with changes; pseudo-channels without an input get an empty one; no refresh."""
    ticks = {**DEVICE, **(device or {})}
    policy = {"refresh": "none", **policy}
    padded = [*inputs, *([[]] * (ticks["pseudo_channels"] - len(inputs)))]
    return simulate_channel(
        ticks, ChannelPolicy(**policy), padded, max_ticks=5000, host_ticks=host_ticks, window=window
    )


def log(outcome: ChannelOutcome, pc: int | None = 0) -> list[tuple[int, Command, int]]:
    """(tick, command, bank) of one pseudo-channel."""
    return [(c.tick, c.command, c.bank) for c in outcome.commands if pc is None or c.pc == pc]


def done(outcome: ChannelOutcome, pc: int = 0) -> list[int]:
    return [c.done for c in outcome.completions[pc]]


# Rows and columns -----------------------------------------------------------------------------------------


def test_read_of_a_closed_bank_activates_then_reads_then_waits_for_the_data() -> None:
    outcome = run([read(3, 7, 5)])
    assert log(outcome) == [(0, ACT, 3), (22, RD, 3)]
    assert [(c.row, c.column) for c in outcome.commands] == [(7, 0), (7, 5)]
    assert outcome.completions[0][0].accept == 0
    assert done(outcome) == [46]
    assert outcome.end_tick == 46
    assert outcome.rows == [RowStatistics(0, 1, 0), RowStatistics(0, 0, 0)]
    assert outcome.counts[0][ACT] == 1 and outcome.counts[0][RD] == 1 and sum(outcome.counts[1].values()) == 0


def test_column_command_waits_for_the_next_rising_edge() -> None:
    assert log(run([read(0, 1)], device={"RCDRD": 21})) == [(0, ACT, 0), (24, RD, 0)]


def test_write_completes_when_its_data_is_in_the_array() -> None:
    # WR at 2 + RCDWR 12; data until WL 8 + BL 4 later.
    outcome = run([write(0, 1)])
    assert log(outcome) == [(0, ACT, 0), (14, WR, 0)]
    assert done(outcome) == [26]
    assert outcome.end_tick == 26


def test_hits_of_one_group_follow_at_ccdl_and_of_two_groups_at_ccds() -> None:
    assert log(run([read(0, 1, c) for c in range(3)])) == [(0, ACT, 0), (22, RD, 0), (30, RD, 0), (38, RD, 0)]
    # Bank 2 is in the other group: its ACT comes RRDS later, its RD CCDS later.
    assert log(run([read(0, 1), read(2, 1)])) == [(0, ACT, 0), (4, ACT, 2), (22, RD, 0), (26, RD, 2)]


def test_read_of_another_sid_waits_ccdr() -> None:
    # Bank 4 is the first of SID 1; its ACT at 4 would allow a RD at 26, CCDR after the RD at 22 only at 28.
    assert log(run([read(0, 1), read(4, 1)])) == [(0, ACT, 0), (4, ACT, 4), (22, RD, 0), (28, RD, 4)]


def test_conflict_precharges_after_ras_and_activates_after_rp() -> None:
    outcome = run([read(0, 1), read(0, 2)])
    assert log(outcome) == [(0, ACT, 0), (22, RD, 0), (42, PREpb, 0), (56, ACT, 0), (78, RD, 0)]
    assert outcome.rows[0] == RowStatistics(0, 1, 1)
    assert done(outcome) == [46, 102]


@pytest.mark.parametrize(("any_edge", "pre"), [(1, 43), (0, 44)])
def test_precharge_uses_the_falling_edge_only_where_allowed(any_edge: int, pre: int) -> None:
    outcome = run([read(0, 1), read(0, 2)], device={"RAS": 41, "RC": 50, "pre_any_edge": any_edge})
    assert log(outcome)[2:4] == [(pre, PREpb, 0), (58, ACT, 0)]


def test_precharge_after_a_write_waits_for_write_recovery() -> None:
    # WR at 14; PRE at 14 + WL 8 + BL 4 + WR 18 = 44, later than 42 by tRAS.
    assert log(run([write(0, 1), write(0, 2)]))[1:3] == [(14, WR, 0), (44, PREpb, 0)]


def test_column_reference_delays_the_row_side_of_a_column_command() -> None:
    assert log(run([write(0, 1), write(0, 2)], device={"column_reference": 2}))[2] == (46, PREpb, 0)


def test_fifth_activate_waits_for_the_four_activate_window() -> None:
    # RRDS 4 puts ACTs at 0, 4, 8, 12; the fifth edge may come at 2 + 24, the ACT itself at 24.
    outcome = run([read(bank, 1) for bank in (0, 2, 4, 6, 1)])
    assert [c.tick for c in outcome.commands if c.command is ACT] == [0, 4, 8, 12, 24]


def test_oldest_hit_wins_and_hits_overtake_misses() -> None:
    outcome = run([read(0, 1, 0), read(0, 2, 0), read(0, 1, 1)])
    assert log(outcome) == [
        (0, ACT, 0), (22, RD, 0), (30, RD, 0), (42, PREpb, 0), (56, ACT, 0), (78, RD, 0),
    ]  # fmt: skip
    assert done(outcome) == [46, 102, 54]
    assert outcome.rows[0] == RowStatistics(1, 1, 1)


# Two pseudo-channels --------------------------------------------------------------------------------------


def test_pseudo_channels_share_the_row_bus_and_keep_their_own_timings() -> None:
    outcome = run([read(0, 1)], [read(0, 1)])
    # The first ACT occupies ticks 0..2; the second starts on the next rising edge.
    assert log(outcome, 0) == [(0, ACT, 0), (22, RD, 0)]
    assert log(outcome, 1) == [(4, ACT, 0), (26, RD, 0)]


def test_column_bus_alternates_between_the_pseudo_channels() -> None:
    # Each pseudo-channel may send a RD every 4 ticks, two groups in turn; together they fill the bus.
    requests = [read(bank, 1, column, 100) for column in range(2) for bank in (0, 2)]
    warm = [read(0, 1, 9), read(2, 1, 9)]
    outcome = run([*warm, *requests], [*warm, *requests])
    # Rows: ACT at 0 (pc 0), 4 (pc 1), 8 (pc 0), 12 (pc 1); the last of the first RDs is pc 1's, at 34.
    reads = [(c.tick, c.pc, c.bank) for c in outcome.commands if c.command is RD]
    assert reads[:4] == [(22, 0, 0), (26, 1, 0), (30, 0, 2), (34, 1, 2)]
    assert reads[4:] == [
        (100, 0, 0), (102, 1, 0), (104, 0, 2), (106, 1, 2), (108, 0, 0), (110, 1, 0), (112, 0, 2),
        (114, 1, 2),
    ]  # fmt: skip


def test_precharge_slips_in_behind_an_activate() -> None:
    # The ACT of pc 1 at 40 occupies 40..42, so the PRE of pc 0 that is legal at 42 takes the odd tick 43.
    outcome = run([read(0, 1), read(0, 2)], [read(0, 1, arrival=40)])
    assert log(outcome, None)[2:5] == [(40, ACT, 0), (43, PREpb, 0), (58, ACT, 0)]


def test_row_and_column_command_may_share_a_tick() -> None:
    outcome = run([read(0, 1)], [read(0, 1, arrival=22)])
    assert [(c.tick, c.pc, c.command) for c in outcome.commands[1:3]] == [(22, 0, RD), (22, 1, ACT)]


# Acceptance, direction, forwarding, window ----------------------------------------------------------------


def test_request_is_accepted_at_the_first_even_tick_from_its_arrival() -> None:
    outcome = run([read(0, 1, arrival=5)])
    assert outcome.completions[0][0].accept == 6
    assert log(outcome)[0] == (6, ACT, 0)


def test_full_read_queue_stops_the_input_until_the_next_even_tick() -> None:
    outcome = run([read(0, 1, 0), read(0, 1, 1), write(0, 1, 2)], read_queue=1)
    # The RD at 22 frees the slot; the write behind the waiting read enters with it.
    assert [c.accept for c in outcome.completions[0]] == [0, 24, 24]


def test_reads_go_first_until_the_high_watermark_then_writes_drain_to_the_low_one() -> None:
    reads = [read(0, 1, c) for c in range(6)]
    early = [write(0, 1, 8), write(0, 1, 9)]
    late = [write(0, 1, 10, arrival=32)]
    outcome = run([*reads, *early, *late], write_queue=8, write_high=3, write_low=1)
    # RD 22, 30; at 32 the third write turns the direction: WR at 30 + RTW 20 = 50, 58; one write is left
    # and reads wait, so the direction turns back: RD at 58 + WL 8 + BL 4 + WTRL 10 = 80, 88, 96, 104; the
    # last write at 124.
    assert [(t, c) for t, c, _ in log(outcome)] == [
        (0, ACT), (22, RD), (30, RD), (50, WR), (58, WR), (80, RD), (88, RD), (96, RD), (104, RD), (124, WR),
    ]  # fmt: skip


def test_read_is_forwarded_from_the_write_queue() -> None:
    outcome = run([write(0, 1, 4), read(0, 1, 4), read(0, 1, 5)], read_queue=1)
    assert [c.forwarded for c in outcome.completions[0]] == [False, True, False]
    assert (outcome.completions[0][1].accept, outcome.completions[0][1].done) == (0, 0)
    # Two entries were counted: the write that opened the row, and the read that found it open.
    assert sum((outcome.rows[0].hits, outcome.rows[0].misses, outcome.rows[0].conflicts)) == 2


def test_forwarding_ends_when_the_write_has_issued() -> None:
    # WR at 14; a read that arrives at 16 is no longer answered by the queue: RD at 14 + 8 + 4 + 10.
    outcome = run([write(0, 1, 4), read(0, 1, 4, arrival=16)])
    assert log(outcome)[1:] == [(14, WR, 0), (36, RD, 0)]
    assert not outcome.completions[0][1].forwarded


def test_window_counts_queued_reads_and_data_not_yet_at_the_host() -> None:
    outcome = run([read(0, 1, 0), read(0, 1, 1)], host_ticks=10, window=1)
    # RD at 22, data at the host at 22 + 20 + 4 + 10 = 56: only then the second read is accepted.
    assert [c.accept for c in outcome.completions[0]] == [0, 56]
    assert done(outcome) == [46, 80]


# Schedulers and page policies -----------------------------------------------------------------------------


def test_cap_stops_hits_from_overtaking() -> None:
    outcome = run([read(0, 1, 0), read(0, 2, 0), read(0, 1, 1)], scheduler="frfcfs_cap", cap=1)
    assert log(outcome) == [
        (0, ACT, 0), (22, RD, 0), (42, PREpb, 0), (56, ACT, 0), (78, RD, 0), (98, PREpb, 0),
        (112, ACT, 0), (134, RD, 0),
    ]  # fmt: skip
    assert outcome.rows[0] == RowStatistics(0, 1, 2)


def test_fcfs_serves_one_request_after_the_other() -> None:
    # The ACT of bank 2 comes in the tick in which the older read leaves the queue.
    assert log(run([read(0, 1), read(2, 1)], scheduler="fcfs")) == [
        (0, ACT, 0), (22, RD, 0), (22, ACT, 2), (44, RD, 2),
    ]  # fmt: skip


def test_closed_page_precharges_with_the_last_hit() -> None:
    outcome = run([read(0, 1, 0), read(0, 1, 1), read(0, 2, 0)], page_policy="closed")
    # RDA at 30; its precharge at max(30 + 6, 2 + 40) = 42, so the ACT at 42 + 16 - 2.
    assert log(outcome) == [(0, ACT, 0), (22, RD, 0), (30, RDA, 0), (56, ACT, 0), (78, RDA, 0)]
    assert outcome.rows[0] == RowStatistics(1, 2, 0)


def test_closed_page_writes_precharge_after_write_recovery() -> None:
    # WRA at 14: p = 14 + 8 + 4 + 18 = 44, ACT at 44 + 16 - 2 = 58.
    assert log(run([write(0, 1), write(0, 2)], page_policy="closed"))[1:3] == [(14, WRA, 0), (58, ACT, 0)]


def test_closed_page_closes_a_bank_whose_hits_belong_to_the_other_direction() -> None:
    # A read opens bank 0; three writes turn the direction before its RD, and bank 0 is closed at 2 + tRAS
    # 30. The read activates again at tRC; it counts once.
    requests = [read(0, 1), write(2, 1, 0, 10), write(2, 1, 1, 10), write(2, 1, 2, 10)]
    outcome = run(
        requests,
        page_policy="closed",
        write_queue=4,
        write_high=3,
        write_low=0,
        device={"RCDRD": 60, "RAS": 30},
    )
    assert log(outcome) == [
        (0, ACT, 0), (10, ACT, 2), (24, WR, 2), (32, WR, 2), (32, PREpb, 0), (40, WRA, 2), (56, ACT, 0),
        (118, RDA, 0),
    ]  # fmt: skip
    assert outcome.rows[0] == RowStatistics(2, 2, 0)


def test_timeout_closes_an_idle_bank() -> None:
    outcome = run([read(0, 1), read(0, 2, arrival=200)], page_policy="timeout", timeout_ticks=30)
    assert log(outcome) == [(0, ACT, 0), (22, RD, 0), (52, PREpb, 0), (200, ACT, 0), (222, RD, 0)]
    assert outcome.rows[0] == RowStatistics(0, 2, 0)


def test_timeout_closes_the_bank_whose_time_ran_out_first() -> None:
    # tRAS ends at 102, 106, 110 for banks 4, 0, 2; PPD holds the second PRE back to 122, when both others
    # are legal. Bank 2 was last read at 32, bank 0 at 44.
    requests = [read(4, 1), read(0, 1), read(2, 1), read(0, 1, 1), read(0, 1, 2), read(0, 2, arrival=200)]
    outcome = run(
        requests, page_policy="timeout", timeout_ticks=30, device={"RAS": 100, "RC": 120, "PPD": 20}
    )
    assert [x for x in log(outcome) if x[1] is RD][:5] == [
        (22, RD, 4), (28, RD, 0), (32, RD, 2), (36, RD, 0), (44, RD, 0),
    ]  # fmt: skip
    assert [x for x in log(outcome) if x[1] is PREpb] == [(102, PREpb, 4), (122, PREpb, 2), (142, PREpb, 0)]


# End of the run -------------------------------------------------------------------------------------------


def test_nothing_is_issued_after_the_last_column_command() -> None:
    outcome = run(
        [read(0, 1)], refresh="per_bank", device={"REFIpb": 30}, page_policy="timeout", timeout_ticks=0
    )
    assert log(outcome, None)[-1] == (22, RD, 0)
    assert outcome.end_tick == 46


def test_run_without_requests_is_empty() -> None:
    outcome = run([], [])
    assert (outcome.commands, outcome.completions, outcome.end_tick) == ([], [[], []], 0)


def test_run_that_does_not_end_is_reported() -> None:
    # No RFM is ever issued without refresh, so the bank cannot be activated a second time.
    with pytest.raises(DeadlockError, match="1 requests are still unserved after 5000 ticks"):
        run([read(0, 1), read(0, 2)], device={"RAAIMT": 1, "RAAMMT": 1})


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (read(8, 0), "input 0, request 0: bank is 8; use 0 to 7"),
        (read(0, 100), "row is 100; use 0 to 99"),
        (read(0, 0, 16), "column is 16; use 0 to 15"),
    ],
)
def test_request_outside_the_device_is_refused(request_: Request, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run([request_])


@pytest.mark.parametrize(
    ("field", "value"),
    [("scheduler", "magic"), ("page_policy", "ajar"), ("refresh", "never"), ("cap", 0), ("write_high", 65)],
)
def test_policy_out_of_range_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"ChannelPolicy.{field} is"):
        ChannelPolicy(**{field: value})
