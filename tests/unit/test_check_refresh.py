"""Refresh bookkeeping: sets, rate, how long a row may stay open, activation counts."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import check_logs as logs
import pytest

from hbmmodel.check import check  # noqa: E402
from hbmmodel.commands import Command, command_log  # noqa: E402
from hbmmodel.errors import HbmArgumentError, HbmOverflowError  # noqa: E402
from hbmmodel.system import Controller, System  # noqa: E402

ACT, PREpb, PREab, RD, WR, RDA, WRA, REFab, REFpb, RFMab, RFMpb = (Command(code) for code in range(11))
at, up = logs.at, logs.up


def all_banks(made: Any, sid: int = 0) -> list[tuple[int, int, int]]:
    org = made.device.organisation
    return [(sid, g, b) for g in range(org.bank_groups) for b in range(org.banks_per_group)]


def in_a_row(
    made: Any, banks: list[tuple[int, int, int]], command: Command = REFpb, start: int = 0
) -> list[Any]:
    """The command to one bank after the other, far enough apart for anything."""
    apart = up(made["tRFCab"] + 4)
    return [at(start + n * apart, command, bank) for n, bank in enumerate(banks)]


# ---- the set ----


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
def test_every_bank_of_a_sid_before_any_again(spec: tuple[str, str]) -> None:
    made = logs.Made(*spec)
    banks = all_banks(made)
    backwards = banks[::-1]
    assert logs.rules(made.device, in_a_row(made, banks + backwards + banks)) == []
    violations = check(made.device, command_log(in_a_row(made, [*banks[:-1], banks[0], banks[-1]])))
    assert [(v.rule, v.index, v.previous_index) for v in violations] == [("refresh.set", len(banks) - 1, 0)]


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
def test_sids_and_pseudo_channels_keep_their_own_sets(spec: tuple[str, str]) -> None:
    made = logs.Made(*spec)
    rows = in_a_row(made, all_banks(made) + all_banks(made)[:1] + all_banks(made, 1))
    assert logs.rules(made.device, rows) == []
    assert logs.rules(made.device, [at(0, REFpb), at(4, REFpb, pc=1)]) == []


def test_rfmpb_is_exempt_from_the_set() -> None:
    made = logs.Made(*logs.HBM4_12H)
    banks = all_banks(made)
    mixed = in_a_row(made, banks[:2]) + in_a_row(made, [banks[0]] * 3, RFMpb, start=10_000)
    assert logs.rules(made.device, mixed) == []


def test_refab_begins_new_sets() -> None:
    made = logs.Made(*logs.HBM4_12H)
    banks = all_banks(made)
    first = in_a_row(made, banks[:3])
    again = in_a_row(made, banks, start=20_000)
    assert logs.rules(made.device, [*first, at(10_000, REFab), *again]) == []
    assert logs.rules(made.device, [*first, at(10_000, REFab, pc=1), *again]) == ["refresh.set"] * 3
    assert logs.rules(made.device, [*first, at(10_000, RFMab), *again]) == ["refresh.set"] * 3


# ---- the rate ----


def system(made: Any, refresh: str = "all_bank", channels: int = 1, **options: Any) -> System:
    few = replace(made.device, organisation=replace(made.device.organisation, channels=channels))
    return System(few, controller=Controller(refresh=refresh), **options)


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
@pytest.mark.parametrize("multiplier", [1.0, 0.5, 0.25])
def test_eight_refreshes_may_be_postponed(multiplier: float, spec: tuple[str, str]) -> None:
    made = logs.Made(*spec)
    interval = made.ns("tREFI") * Fraction(multiplier) * 1000 / made.half_ps
    target = system(made, refresh_multiplier=multiplier)
    last = int(9 * interval) // 2 * 2
    assert logs.rules(target, [at(last, REFab)]) == []
    found = check(target, command_log([at(last + 2, REFab)]))
    assert [(v.rule, v.index, v.command, v.previous_index) for v in found] == [
        ("refresh.rate", 0, "REFab", None),
        ("refresh.gap", 0, "REFab", None),
        ("refresh.rate", 1, "end", None),
        ("refresh.gap", 1, "end", None),
    ]
    for violation, pc in zip(found, (0, 0, 1, 1), strict=True):
        assert violation.required_ps == 9 * made.ns("tREFI") * 1000 * Fraction(multiplier)
        assert violation.actual_ps == (last + 2) * made.half_ps
        assert f"channel 0 pc {pc}" in violation.location
        assert "at most" in str(violation)


def in_pc0(target: System, rows: list[Any]) -> list[tuple[str, int]]:
    """Breaches of pseudo-channel 0; these logs leave the other one without refreshes."""
    found = check(target, command_log(rows))
    return [(v.rule, v.index) for v in found if "pc 1" not in v.location]


def test_every_refresh_pays_for_one_interval() -> None:
    made = logs.Made(*logs.HBM4_12H)
    interval = made["tREFI"]
    target = system(made)
    # the kth refresh has time until (k + 8) tREFI
    assert in_pc0(target, [at((k + 8) * interval, REFab) for k in range(1, 30)]) == []
    rows = [at((k + 8) * interval + (2 if k == 20 else 0), REFab) for k in range(1, 30)]
    assert in_pc0(target, rows) == [("refresh.rate", 19)]


def test_a_refab_too_few_shows_at_the_end() -> None:
    made = logs.Made(*logs.HBM4_12H)
    interval = made["tREFI"]
    target = system(made)
    on_time = [at(k * interval, REFab) for k in range(1, 10)]
    assert in_pc0(target, [*on_time, at(18 * interval, PREab)]) == []
    assert in_pc0(target, [*on_time, at(18 * interval + 1, PREab)]) == [("refresh.rate", 10), ("refresh.gap", 10)]
    assert in_pc0(target, [*on_time, at(18 * interval + 1, PREab, pc=1)]) == [
        ("refresh.rate", 10),
        ("refresh.gap", 10),
    ]


def test_pseudo_channels_pay_for_themselves() -> None:
    made = logs.Made(*logs.HBM4_12H)
    interval = made["tREFI"]
    one = [at(k * interval, REFab) for k in range(1, 12)]
    both = [*one, *(at(k * interval + 4, REFab, pc=1) for k in range(1, 12))]
    assert logs.rules(system(made), both) == []
    assert "refresh.rate" in logs.rules(system(made), [*one, at(11 * interval + 4, PREab, pc=1)])


@pytest.mark.parametrize("spec", [logs.HBM3, logs.HBM4_16H], ids="_".join)
def test_refpb_pays_for_its_share(spec: tuple[str, str]) -> None:
    made = logs.Made(*spec)
    org = made.device.organisation
    banks = [bank for sid in range(org.sids) for bank in all_banks(made, sid)]
    each = made["tREFI"] // org.banks // 2 * 2
    rows = [at((n + 1) * each, REFpb, banks[n % len(banks)]) for n in range(12 * org.banks)]
    target = system(made, "per_bank")
    assert in_pc0(target, rows) == []
    slack = made["tREFI"] - each * org.banks
    late = [(row[0] + 8 * made["tREFI"] + slack, *row[1:]) for row in rows]
    late = [(row[0] // 2 * 2, *row[1:]) for row in late]
    assert in_pc0(target, late) == []
    too_late = [(row[0] + 2, *row[1:]) for row in late]
    assert ("refresh.rate", org.banks - 1) in in_pc0(target, too_late)
    assert ("refresh.rate", org.banks - 2) not in in_pc0(target, too_late)
    # left out once, the bank is too late when it comes again
    behind = [found for found in in_pc0(target, late[:20] + late[21:]) if found[0] == "refresh.rate"]
    assert behind[0] == ("refresh.rate", org.banks + 19)


def of(target: System, rows: list[Any], end_tick: int | None = None) -> list[tuple[str, str]]:
    return [(v.rule, v.command) for v in check(target, command_log(rows), end_tick=end_tick)]


def both(tick: int) -> list[Any]:
    return [at(tick, REFab), at(tick + 2, REFab, pc=1)]


def test_eight_refreshes_may_be_ahead_and_more_buy_nothing() -> None:
    made = logs.Made(*logs.HBM4_12H)
    interval = made["tREFI"]
    target = system(made)
    apart = up(made["tRFCab"] + 2)
    for ahead in (30, 200):
        burst = [row for k in range(ahead) for row in both(k * apart)]
        last = (ahead - 1) * apart
        # paid up to last + 8 tREFI; one more at +9 pays up to +9, so the next may come at +18
        first, second = both(last + 9 * interval), both(last + 18 * interval)
        assert of(target, burst + first + second) == []
        late = [(tick + 2 if tick >= last + 18 * interval else tick, *rest) for tick, *rest in first + second]
        assert ("refresh.rate", "REFab") in of(target, burst + late)
        # without the ones ahead it would be too late by far
        assert ("refresh.rate", "REFab") in of(target, burst[: 2 * ahead - 2 * 29] + first + second)


def test_refreshes_ahead_do_not_lengthen_the_gap() -> None:
    made = logs.Made(*logs.HBM4_12H)
    interval, apart = made["tREFI"], up(made["tRFCab"] + 2)
    target = system(made)
    ahead = [row for k in range(9) for row in both(k * apart)]
    last = 8 * apart
    assert of(target, [*ahead, *both(last + 9 * interval)]) == []
    violations = check(target, command_log([*ahead, at(last + 9 * interval + 2, REFab)]))
    assert [(v.rule, v.command, v.previous_index) for v in violations] == [("refresh.gap", "REFab", 16)]
    assert "after row 16, at most 35100 ns allowed" in str(violations[0])


def test_every_channel_and_stack_is_judged_up_to_the_end() -> None:
    made = logs.Made(*logs.HBM4_12H)
    interval = made["tREFI"]
    target = system(made, channels=4, stacks=2)
    one = [row for k in range(20) for row in both(k * interval)]
    everywhere = [(row[0], stack, channel, *row[3:]) for stack in (0, 1) for channel in range(4) for row in one]
    assert of(target, everywhere) == []
    for stack in (0, 1):
        for channel in range(4):
            rest = [row for row in everywhere if row[1:3] != (stack, channel)]
            found = check(target, command_log(rest))
            assert [(v.rule, v.command, v.index) for v in found] == [
                ("refresh.rate", "end", len(rest)),
                ("refresh.gap", "end", len(rest)),
            ] * 2
            assert {v.location[:20] for v in found} == {f"stack {stack} channel {channel} pc"}
    assert of(target, everywhere, end_tick=19 * interval) == []
    assert of(target, everywhere, end_tick=28 * interval) == []
    assert len(of(target, everywhere, end_tick=28 * interval + 3)) == 2 * 4 * 2 * 1
    assert of(target, everywhere, end_tick=5) == []  # the log itself goes on
    assert check(target, command_log(everywhere), end_tick=50 * interval, limit=7)[6].index == len(everywhere)


def test_an_empty_log_is_judged_up_to_the_end() -> None:
    made = logs.Made(*logs.HBM4_12H)
    interval = made["tREFI"]
    target = system(made, "per_bank")
    assert of(target, []) == []
    assert of(target, [], end_tick=9 * interval) == []
    assert of(target, [], end_tick=9 * interval + 1) == [("refresh.rate", "end"), ("refresh.gap", "end")] * 2
    assert of(system(made, "none"), [], end_tick=100 * interval) == []
    assert check(made.device, command_log([]), end_tick=100 * interval) == []
    text = str(check(target, command_log([]), end_tick=10 * interval)[0])
    assert text.startswith("end of the log at 39000 ns, stack 0 channel 0 pc 0 sid 0 bg 0 bank 0: refresh.rate: ")
    assert "of 48 of the pseudo-channel's 48 banks" in text
    with pytest.raises(HbmOverflowError):
        check(target, command_log([]), end_tick=1 << 62)


@pytest.mark.parametrize("end", [-1, 1.5, "10", True])
def test_an_end_that_is_no_tick_is_refused(end: Any) -> None:
    made = logs.Made(*logs.HBM4_12H)
    with pytest.raises(HbmArgumentError, match="end_tick is .*; it must be a whole number of half clocks"):
        check(made.device, command_log([]), end_tick=end)


def test_rfm_is_no_refresh() -> None:
    made = rfm_device()
    target = system(made)
    pulses = [at(k * made["tREFI"], RFMab) for k in range(1, 12)]
    assert ("refresh.gap", "end") in of(target, pulses)


def test_rate_is_judged_only_for_systems_that_refresh() -> None:
    made = logs.Made(*logs.HBM4_12H)
    rows = [at(0, PREab), at(20 * made["tREFI"], PREab)]
    assert "refresh.rate" in logs.rules(system(made), rows)
    assert "refresh.rate" in logs.rules(system(made, "per_bank"), rows)
    assert logs.rules(system(made, "none"), rows) == []
    assert logs.rules(made.device, rows) == []


# ---- tRAS(max) ----


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
@pytest.mark.parametrize("closing", [PREpb, PREab, RDA])
def test_row_may_stay_open_nine_intervals(closing: Command, spec: tuple[str, str]) -> None:
    made = logs.Made(*spec)
    last = int(9 * made.ns("tREFI") * 1000 / made.half_ps) // 2 * 2 + 2  # counted from the second edge of ACT
    if closing == RDA:  # the internal precharge comes tRTP later
        last = (last - made["tRTP"]) // 2 * 2
    assert logs.rules(made.device, [at(0, ACT), at(last, closing)]) == []
    violations = check(made.device, command_log([at(0, ACT), at(last + 4, closing)]))
    assert [(v.rule, v.index, v.previous_index) for v in violations] == [("tRASmax", 1, 0)]
    assert "at most 35100 ns" in str(violations[0])


def test_row_that_nobody_closes_is_reported_at_the_end() -> None:
    made = logs.Made(*logs.HBM4_12H)
    end = 9 * made["tREFI"] + 100
    violations = check(made.device, command_log([at(0, ACT), at(end, PREpb, (0, 0, 1))]))
    assert [(v.rule, v.index, v.previous_index) for v in violations] == [("tRASmax", 1, 0)]
    reopened = [at(0, ACT), at(1000, PREpb), at(2000, ACT), at(end, PREpb, (0, 0, 1))]
    assert logs.rules(made.device, reopened) == []


def test_row_may_stay_open_where_nothing_is_refreshed() -> None:
    made = logs.Made(*logs.HBM4_12H)
    rows = [at(0, ACT), at(20 * made["tREFI"], PREpb)]
    assert logs.rules(system(made, "none"), rows) == []
    assert logs.rules(made.device, rows) == ["tRASmax"]


# ---- activation counts ----


def cycles(made: Any, count: int, start: int = 0, bank: tuple[int, int, int] = (0, 0, 0)) -> list[Any]:
    """ACT and PREpb of one bank, `count` times, 400 ticks each."""
    return [
        row
        for n in range(count)
        for row in (at(start + 400 * n, ACT, bank), at(start + 400 * n + 200, PREpb, bank))
    ]


def rfm_device(**counts: int) -> Any:
    return logs.Made(*logs.HBM4_12H, rfm=True, **{"RAAIMT": 4, "RAAMMT": 8, "RAADEC": 3, **counts})


def test_act_is_illegal_at_raammt() -> None:
    made = rfm_device()
    assert logs.rules(made.device, cycles(made, 8)) == []
    violations = check(made.device, command_log(cycles(made, 9)))
    assert [(v.rule, v.index, v.command) for v in violations] == [("RAAMMT", 16, "ACT")]
    assert logs.rules(made.device, cycles(made, 8) + cycles(made, 8, start=5000, bank=(0, 1, 0))) == []


@pytest.mark.parametrize(("command", "credit"), [(RFMpb, 4), (RFMab, 4), (REFpb, 3), (REFab, 3)])
def test_refreshes_give_credit(command: Command, credit: int) -> None:
    made = rfm_device()
    before = [*cycles(made, 8), at(5000, command)]
    assert logs.rules(made.device, before + cycles(made, credit, start=8000)) == []
    assert logs.rules(made.device, before + cycles(made, credit + 1, start=8000)) == ["RAAMMT"]


def test_credit_does_not_go_below_zero() -> None:
    made = rfm_device()
    before = [at(0, RFMab), at(2000, RFMab)]
    assert logs.rules(made.device, before + cycles(made, 9, start=5000)) == ["RAAMMT"]


def test_credit_of_another_bank_does_not_count() -> None:
    made = rfm_device()
    before = [*cycles(made, 8), at(5000, RFMpb, (0, 1, 0))]
    assert logs.rules(made.device, [*before, at(8000, ACT)]) == ["RAAMMT"]


def test_devices_without_rfm_have_no_limit() -> None:
    made = logs.Made(*logs.HBM4_12H)
    assert logs.rules(made.device, cycles(made, 100)) == []
