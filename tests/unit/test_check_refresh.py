"""Refresh bookkeeping: sets, rate, how long a row may stay open, activation counts."""

from __future__ import annotations

import importlib.util
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("check_logs", Path(__file__).with_name("check_logs.py"))
assert _spec is not None and _spec.loader is not None
logs: Any = sys.modules.setdefault(_spec.name, importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(logs)

from hbmmodel.check import check  # noqa: E402
from hbmmodel.commands import Command, command_log  # noqa: E402
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


def system(made: Any, refresh: str = "all_bank", **options: Any) -> System:
    return System(made.device, controller=Controller(refresh=refresh), **options)


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
@pytest.mark.parametrize("multiplier", [1.0, 0.5, 0.25])
def test_eight_refreshes_may_be_postponed(multiplier: float, spec: tuple[str, str]) -> None:
    made = logs.Made(*spec)
    interval = made.ns("tREFI") * Fraction(multiplier) * 1000 / made.half_ps
    target = system(made, refresh_multiplier=multiplier)
    last = int(9 * interval) // 2 * 2
    assert logs.rules(target, [at(last, REFab)]) == []
    violation, other = check(target, command_log([at(last + 2, REFab)]))
    assert "pseudo-channel 0" in violation.detail and "pseudo-channel 1" in other.detail
    assert (violation.rule, violation.index, violation.previous_index) == ("refresh.rate", 0, None)
    assert violation.required_ps == 9 * made.ns("tREFI") * 1000 * Fraction(multiplier)
    assert "at most" in str(violation)


def in_pc0(target: System, rows: list[Any]) -> list[tuple[str, int]]:
    """Breaches of pseudo-channel 0; these logs leave the other one without refreshes."""
    found = check(target, command_log(rows))
    return [(v.rule, v.index) for v in found if "pseudo-channel 1" not in v.detail]


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
    assert in_pc0(target, [*on_time, at(18 * interval + 1, PREab)]) == [("refresh.rate", 9)]
    assert in_pc0(target, [*on_time, at(18 * interval + 1, PREab, pc=1)]) == [("refresh.rate", 9)]


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
    late = [(row[0] + 9 * made["tREFI"] - up(each + 2), *row[1:]) for row in rows]
    assert in_pc0(target, late) == []
    # with one share unpaid the next REFpb comes too late
    behind = [found for found in in_pc0(target, late[:20] + late[21:]) if found[0] == "refresh.rate"]
    assert behind[0] == ("refresh.rate", 20)


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
