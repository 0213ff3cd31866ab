"""Refreshes that keep every bank's data pass, and every way of losing data is seen.

The logs hold refreshes only, placed by hand as a controller would: REFpb in sets or REFab, postponed and pulled
in at random within what is allowed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbmmodel.check import check
from hbmmodel.commands import Command, command_log
from hbmmodel.device import device
from hbmmodel.system import Controller, System

Row = tuple[int, ...]
CHANNELS, INTERVALS = 2, 45
TICK, CHANNEL, PC, COMMAND, SID, GROUP, BANK = 0, 2, 3, 4, 5, 6, 7


@dataclass(frozen=True)
class Case:
    system: System
    rows: list[Row]
    interval: int
    end_tick: int
    rng: random.Random


def _system(name: str, refresh: str, multiplier: float) -> System:
    one = device(name)
    few = replace(one, organisation=replace(one.organisation, channels=CHANNELS))
    return System(few, controller=Controller(refresh=refresh), refresh_multiplier=multiplier)


@st.composite
def refreshes(draw: st.DrawFn) -> Case:
    """A legal log of every channel and pseudo-channel."""
    refresh = draw(st.sampled_from(["per_bank", "all_bank"]))
    name = draw(st.sampled_from(["HBM3_6400", "HBM4_8000", "HBM2E_3200"]))
    system = _system(name, refresh, draw(st.sampled_from([1.0, 0.5])))
    rng = random.Random(draw(st.integers(0, 1 << 30)))
    org = system.device.organisation
    interval = int(system.device.timing["tREFI"].ns * 1000 * system.refresh_multiplier / system.tick_ps)  # type: ignore[operator]
    postpone = draw(st.integers(0, 7))
    rows: list[Row] = []
    for channel in range(CHANNELS):
        for pc in range(org.pseudo_channels):
            for n in range(INTERVALS):
                # late by up to `postpone` intervals, slowly coming and going, so that commands keep apart
                wave = abs((n % 20) - 10) / 10
                start = int((n + postpone * (1 - wave) * 0.9) * interval) + 8 * pc
                if refresh == "all_bank":
                    rows.append((start // 2 * 2 + 2 * pc, 0, channel, pc, Command.REFab, 0, 0, 0, 0, 0))
                    continue
                banks = [
                    (sid, group, bank)
                    for sid in range(org.sids)
                    for group in range(org.bank_groups)
                    for bank in range(org.banks_per_group)
                ]
                rng.shuffle(banks)
                # the waves push sets together to a tenth of an interval
                step = interval * 8 // (10 * org.banks) // 4 * 4 if postpone == 0 else 0
                for at, place in enumerate(banks):
                    tick = start // 4 * 4 + at * (step or max(4, interval // (20 * org.banks) // 4 * 4)) + 2 * pc
                    rows.append((tick, 0, channel, pc, Command.REFpb, *place, 0, 0))
    rows.sort(key=lambda row: (row[CHANNEL], row[TICK]))
    return Case(system, rows, interval, max(row[TICK] for row in rows), rng)


def found(case: Case, rows: list[Row], end_tick: int | None = None) -> set[str]:
    """Breaches of the refresh account; refreshes this close break distances too."""
    end = case.end_tick if end_tick is None else end_tick
    rules = {v.rule for v in check(case.system, command_log(rows), limit=None, end_tick=end)}
    return rules & {"refresh.gap", "refresh.rate"}


@settings(max_examples=30, deadline=None)
@given(refreshes())
def test_every_bank_in_time_is_legal(case: Case) -> None:
    assert found(case, case.rows) == set()


def of_bank(case: Case, row: Row, place: Row) -> bool:
    """Whether the row refreshes this bank: (channel, pc, sid, group, bank)."""
    same = row[CHANNEL : PC + 1] == place[:2]
    return same and (row[COMMAND] == Command.REFab or row[SID : BANK + 1] == place[2:])


def any_bank(case: Case) -> Row:
    org, rng = case.system.device.organisation, case.rng
    return tuple(
        rng.randrange(n)
        for n in (CHANNELS, org.pseudo_channels, org.sids, org.bank_groups, org.banks_per_group)
    )


def forget_a_sid(case: Case) -> list[Row]:
    channel, pc, sid, *_ = any_bank(case)
    return [
        row
        for row in case.rows
        if row[CHANNEL : PC + 1] != (channel, pc) or (row[COMMAND] == Command.REFpb and row[SID] != sid)
    ]


def forget_a_bank(case: Case) -> list[Row]:
    place = any_bank(case)
    return [row for row in case.rows if not of_bank(case, row, place)]


def forget_a_bank_for_a_while(case: Case) -> list[Row]:
    place = any_bank(case)
    start = case.rng.randrange(30) * case.interval
    stop = start + 10 * case.interval
    return [row for row in case.rows if not (of_bank(case, row, place) and start <= row[TICK] < stop)]


def forget_a_pseudo_channel(case: Case) -> list[Row]:
    place = any_bank(case)
    return [row for row in case.rows if row[CHANNEL : PC + 1] != place[:2]]


def forget_a_channel(case: Case) -> list[Row]:
    place = any_bank(case)
    return [row for row in case.rows if row[CHANNEL] != place[0]]


def forget_every_channel(case: Case) -> list[Row]:
    return []


def stop_before_the_end(case: Case) -> list[Row]:
    return [row for row in case.rows if row[TICK] < case.end_tick - 10 * case.interval]


def all_at_the_beginning(case: Case) -> list[Row]:
    """As many refreshes as are due, four times as fast: no credit for more than eight of them."""
    return [(row[TICK] // 4 // 2 * 2, *row[1:]) for row in case.rows]


def one_in_two(case: Case) -> list[Row]:
    """Gaps stay short, but half the refreshes are missing."""
    place, count, kept = any_bank(case), 0, []
    for row in case.rows:
        if of_bank(case, row, place):
            count += 1
            if count % 2:
                continue
        kept.append(row)
    return kept


def rfm_instead(case: Case) -> list[Row]:
    swap = {Command.REFab: Command.RFMab, Command.REFpb: Command.RFMpb}
    return [(*row[:COMMAND], swap[Command(row[COMMAND])], *row[SID:]) for row in case.rows]


LOSSES: list[Callable[[Case], list[Row]]] = [
    forget_a_sid,
    forget_a_bank,
    forget_a_bank_for_a_while,
    forget_a_pseudo_channel,
    forget_a_channel,
    forget_every_channel,
    stop_before_the_end,
    all_at_the_beginning,
    one_in_two,
    rfm_instead,
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
@settings(max_examples=8, deadline=None)
@given(case=refreshes())
def test_lost_data_is_seen(loss: Callable[[Case], list[Row]], case: Case) -> None:
    rows = loss(case)
    expected = "refresh.rate" if loss is one_in_two else "refresh.gap"
    assert expected in found(case, rows)


def by_hand(times: list[int], interval: int, postpone_max: int, end: int) -> set[tuple[str, int]]:
    """The account of one bank, command by command: (rule, which refresh; their number for the end)."""
    broken, paid, last = set(), 0, 0
    allowed = (postpone_max + 1) * interval
    for n, time in enumerate([*times, end]):
        if time - paid > allowed:
            broken.add(("refresh.rate", n))
        if time - last > allowed:
            broken.add(("refresh.gap", n))
        paid, last = min(paid + interval, time + postpone_max * interval), time
    return broken


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30))
def test_account_is_kept_as_by_hand(seed: int) -> None:
    """Random REFab and REFpb of two banks: whole arrays find what the step-by-step account finds."""
    rng = random.Random(seed)
    system = _system("HBM4_8000", "per_bank", 1.0)
    interval, tick = 3900 * 4, 0
    rows: list[Row] = []
    of: dict[int, list[int]] = {0: [], 1: []}
    lines: dict[int, list[int]] = {0: [], 1: []}
    for n in range(rng.randrange(60)):
        tick += rng.choice((interval // 9, interval, 2 * interval, 9 * interval, rng.randrange(12 * interval)))
        kind: Any = rng.choice((0, 1, None))
        for bank in (0, 1) if kind is None else (kind,):
            of[bank].append(tick)
            lines[bank].append(n)
        command = Command.REFab if kind is None else Command.REFpb
        rows.append((tick, 0, 0, 0, command, 0, 0, kind or 0, 0, 0))
    end = tick + rng.randrange(12 * interval)
    judged = check(system, command_log(rows), limit=None, end_tick=end)
    mine = {(v.rule, v.index) for v in judged if v.rule in ("refresh.rate", "refresh.gap") and v.command != "end"}
    expected, every = set(), by_hand([r[TICK] for r in rows if r[COMMAND] == Command.REFab], interval, 8, end)
    ab = [n for n, r in enumerate(rows) if r[COMMAND] == Command.REFab]
    for bank in (0, 1):
        expected |= {(rule, lines[bank][n]) for rule, n in by_hand(of[bank], interval, 8, end) if n < len(of[bank])}
    # all other banks have the REFab only
    expected |= {(rule, ab[n]) for rule, n in every if n < len(ab)}
    assert mine == expected
    at_end = {v.rule for v in judged if v.command == "end" and "channel 0 pc 0" in v.location}
    ends = {rule for rule, n in every if n == len(ab)}
    for bank in (0, 1):
        ends |= {rule for rule, n in by_hand(of[bank], interval, 8, end) if n == len(of[bank])}
    assert at_end == ends
