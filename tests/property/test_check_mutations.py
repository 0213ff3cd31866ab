"""A legal log stays legal, and every change that must break it is seen.

The logs come from a small generator that leaves generous room between commands, so that a change breaks the
log for the reason for which it was made.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import check_logs as logs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hbmmodel.check import check  # noqa: E402
from hbmmodel.check.limits import limits_of  # noqa: E402
from hbmmodel.check.rules import RULES, bits  # noqa: E402
from hbmmodel.commands import Command, command_log  # noqa: E402

ACT, PREpb, PREab, RD, WR, RDA, WRA, REFab, REFpb, RFMab, RFMpb = (Command(code) for code in range(11))
COLUMN = (RD, WR, RDA, WRA)
MADE = {spec: logs.Made(*spec) for spec in logs.DEVICES}
Row = tuple[int, ...]
TICK, STACK, CHANNEL, PC, COMMAND, SID, GROUP, BANK, ROW, COLUMN_FIELD = range(10)


@dataclass
class Generator:
    """Builds one legal log; knows the open rows and the sets of banks still to be refreshed."""

    made: Any
    rng: random.Random
    tick: int = 0
    rows: list[Row] = field(default_factory=list)
    open: dict[tuple[int, ...], int] = field(default_factory=dict)
    refreshed: dict[tuple[int, ...], set[tuple[int, ...]]] = field(default_factory=dict)

    def put(self, command: Command, place: tuple[int, ...], row: int = 0, column: int = 0) -> None:
        made = self.made
        self.rows.append((self.tick, *place[:3], command, *place[3:], row, column))
        if command == REFab or command == RFMab:
            gap = made["tRFCab"]
        elif command == REFpb or command == RFMpb:
            gap = made["tRFCpb"]
        else:
            gap = max(
                made["tRC"],
                made.wl + made.burst + max(made["tWR"], made["tWTRL"]) + made["tRP"],
                made["tFAW"],
            )
        self.tick += logs.up(gap + 8 + self.rng.randrange(40))

    def step(self) -> None:
        org, rng = self.made.device.organisation, self.rng
        home = (0, rng.randrange(2), rng.randrange(2))
        # few banks, so that they are used again
        place = (*home, rng.randrange(2), rng.randrange(2), org.banks_per_group - 1)
        mine = [bank for bank in self.open if bank[:3] == home]
        kind = rng.randrange(11)
        if kind < 5 and mine:
            place = rng.choice(mine)
            command = rng.choice(COLUMN)
            self.put(command, place, self.open[place], rng.randrange(org.columns))
            if command in (RDA, WRA):
                del self.open[place]
        elif kind < 6 and mine:
            place = rng.choice(mine)
            del self.open[place]
            self.put(PREpb, place)
        elif kind == 6:
            for bank in mine:
                del self.open[bank]
            self.put(PREab, (*home, 0, 0, 0))
            if rng.randrange(2):
                self.put(rng.choice((REFab, RFMab)), (*home, 0, 0, 0))
                if self.rows[-1][COMMAND] == REFab:
                    for sid in range(org.sids):
                        self.refreshed.pop((*home, sid), None)
        elif 7 <= kind < 9 and place not in self.open:
            done = self.refreshed.setdefault(place[:4], set())
            if place in done or rng.randrange(2):
                self.put(RFMpb, place)
                return
            done.add(place)
            if len(done) == org.bank_groups * org.banks_per_group:
                done.clear()
            self.put(REFpb, place)
        elif place not in self.open:
            self.open[place] = rng.randrange(org.rows)
            self.put(ACT, place, self.open[place])


@st.composite
def legal_logs(draw: st.DrawFn) -> tuple[Any, list[Row], random.Random]:
    made = MADE[draw(st.sampled_from(logs.DEVICES))]
    rng = random.Random(draw(st.integers(0, 1 << 30)))
    generator = Generator(made, rng)
    for _ in range(draw(st.integers(60, 120))):
        generator.step()
    return made, generator.rows, rng


def found(made: Any, rows: list[Row]) -> set[str]:
    return {violation.rule for violation in check(made.device, command_log(rows))}


@settings(max_examples=60, deadline=None)
@given(legal_logs())
def test_legal_log_has_no_violations(case: tuple[Any, list[Row], random.Random]) -> None:
    made, rows, _ = case
    assert check(made.device, command_log(rows)) == []


# ---- changes; each takes a log and returns the changed one and the rule that it must break ----

Changed = tuple[list[Row], str] | None
Change = Callable[[Any, list[Row], random.Random], Changed]


def changed(old: Row, /, **fields: int) -> Row:
    values = list(old)
    for name, value in fields.items():
        values[{"tick": TICK, "command": COMMAND, "sid": SID, "bank": BANK, "row": ROW}[name]] = value
    return tuple(values)


def place_of(row: Row) -> Row:
    return (*row[STACK:COMMAND], *row[SID:ROW])


def next_of_bank(rows: list[Row], at: int) -> int | None:
    """The next command that concerns the same bank, or one of the banks."""
    every = (PREab, REFab, RFMab)
    for later in range(at + 1, len(rows)):
        one, two = rows[at], rows[later]
        if one[STACK:COMMAND] == two[STACK:COMMAND] and (
            one[COMMAND] in every or two[COMMAND] in every or place_of(one) == place_of(two)
        ):
            return later
    return None


def pairs(rows: list[Row], first: tuple[Command, ...], second: tuple[Command, ...]) -> list[tuple[int, int]]:
    """Commands of a bank that follow each other directly."""
    result = []
    for at, row in enumerate(rows):
        later = next_of_bank(rows, at) if row[COMMAND] in first else None
        if later is not None and rows[later][COMMAND] in second:
            result.append((at, later))
    return result


def moved(rows: list[Row], which: int, tick: int) -> list[Row]:
    return [changed(row, tick=tick) if n == which else row for n, row in enumerate(rows)]


def drop_act(made: Any, rows: list[Row], rng: random.Random) -> Changed:
    chosen = pairs(rows, (ACT,), COLUMN)
    if not chosen:
        return None
    at, _ = rng.choice(chosen)
    return rows[:at] + rows[at + 1 :], "state.column_closed_bank"


def drop_precharge(made: Any, rows: list[Row], rng: random.Random) -> Changed:
    chosen = pairs(rows, (PREpb,), (ACT,))
    if not chosen:
        return None
    at, _ = rng.choice(chosen)
    return rows[:at] + rows[at + 1 :], "state.ACT_open_bank"


def forget_automatic_precharge(made: Any, rows: list[Row], rng: random.Random) -> Changed:
    chosen = pairs(rows, (RDA, WRA), (ACT,))
    if not chosen:
        return None
    at, _ = rng.choice(chosen)
    plain = RD if rows[at][COMMAND] == RDA else WR
    return [
        changed(row, command=plain) if n == at else row for n, row in enumerate(rows)
    ], "state.ACT_open_bank"


def other_row(made: Any, rows: list[Row], rng: random.Random) -> Changed:
    columns = [n for n, row in enumerate(rows) if row[COMMAND] in COLUMN]
    if not columns:
        return None
    at = rng.choice(columns)
    wrong = (rows[at][ROW] + 1) % made.device.organisation.rows
    return [*rows[:at], changed(rows[at], row=wrong), *rows[at + 1 :]], "state.column_wrong_row"


def row_that_does_not_exist(made: Any, rows: list[Row], rng: random.Random) -> Changed:
    acts = [n for n, row in enumerate(rows) if row[COMMAND] == ACT]
    if not acts:
        return None
    at = rng.choice(acts)
    return [*rows[:at], changed(rows[at], row=made.device.organisation.rows), *rows[at + 1 :]], "address.row"


def sid_that_does_not_exist(made: Any, rows: list[Row], rng: random.Random) -> Changed:
    ones = [n for n, row in enumerate(rows) if row[COMMAND] not in (PREab, REFab, RFMab)]
    if not ones:
        return None
    at = rng.choice(ones)
    return [*rows[:at], changed(rows[at], sid=made.device.organisation.sids), *rows[at + 1 :]], "address.sid"


def refresh_twice(made: Any, rows: list[Row], rng: random.Random) -> Changed:
    refreshes = [row for row in rows if row[COMMAND] in (REFpb, REFab)]
    if not refreshes or refreshes[-1][COMMAND] != REFpb:
        return None
    closing = (rows[-1][TICK] + 4000, *refreshes[-1][STACK:COMMAND], PREab, 0, 0, 0, 0, 0)
    last = refreshes[-1]
    at = [closing, changed(last, tick=closing[TICK] + 400), changed(last, tick=closing[TICK] + 4400)]
    return [*rows, *at], "refresh.set"


def refresh_open_bank(made: Any, rows: list[Row], rng: random.Random) -> Changed:
    acts = [n for n, row in enumerate(rows) if row[COMMAND] == ACT]
    if not acts:
        return None
    at = rng.choice(acts)
    refresh = changed(rows[at], tick=rows[at][TICK] + 40, command=REFpb, row=0)
    return [*rows[: at + 1], refresh, *rows[at + 1 :]], "state.REFpb_open_bank"


def fall_on_a_falling_edge(made: Any, rows: list[Row], rng: random.Random) -> Changed:
    rising = [n for n, row in enumerate(rows) if row[COMMAND] not in (PREpb, PREab)]
    if not rising:
        return None
    at = rng.choice(rising)
    return moved(rows, at, rows[at][TICK] + 1), "bus.edge"


def collide_on_a_bus(made: Any, rows: list[Row], rng: random.Random) -> Changed:
    for at in range(len(rows) - 1):
        one, two = rows[at], rows[at + 1]
        if one[STACK:PC] == two[STACK:PC] and (one[COMMAND] in COLUMN) == (two[COMMAND] in COLUMN):
            rule = "bus.column" if one[COMMAND] in COLUMN else "bus.row"
            return moved(rows, at + 1, one[TICK]), rule
    return None


def earlier(
    first: tuple[Command, ...], second: tuple[Command, ...], rule: str, edge: int, latency: bool = False
) -> Change:
    """Move a command to the last start at which the rule still forbids it."""

    def change(made: Any, rows: list[Row], rng: random.Random) -> Changed:
        chosen = pairs(rows, first, second)
        if not chosen:
            return None
        at, later = rng.choice(chosen)
        needed = made[rule] + edge + (made.wl + made.burst if latency else 0)
        start = made.first_start(rows[later][COMMAND], rows[at][TICK] + needed)
        return moved(rows, later, made.before_edge(rows[later][COMMAND], start)), rule

    change.__name__ = (
        f"earlier_than_{rule}_{'_'.join(c.name for c in first)}_{'_'.join(c.name for c in second)}"
    )
    return change


CHANGES: list[Change] = [
    drop_act,
    drop_precharge,
    forget_automatic_precharge,
    other_row,
    row_that_does_not_exist,
    sid_that_does_not_exist,
    refresh_twice,
    refresh_open_bank,
    fall_on_a_falling_edge,
    collide_on_a_bus,
    earlier((ACT,), (RD, RDA), "tRCDRD", 2),
    earlier((ACT,), (WR, WRA), "tRCDWR", 2),
    earlier((ACT,), (PREpb, PREab), "tRAS", 2),
    earlier((PREpb, PREab), (ACT,), "tRP", -2),
    earlier((PREpb, PREab), (REFpb, REFab, RFMpb, RFMab), "tRP", 0),
    earlier((RD,), (PREpb, PREab), "tRTP", 0),
    earlier((WR,), (PREpb, PREab), "tWR", 0, latency=True),
    earlier((WR,), (RD, RDA), "tWTRL", 0, latency=True),
    earlier((RD,), (WR, WRA), "tRTW", 0),
    earlier((RD,), (RD, RDA), "tCCDL", 0),
    earlier((WR,), (WR, WRA), "tCCDL", 0),
    earlier((REFpb,), (ACT,), "tRFCpb", -2),
    earlier((REFab,), (ACT,), "tRFCab", -2),
    earlier((RFMpb,), (ACT,), "tRFMpb", -2),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(case=legal_logs())
def test_change_that_must_break_the_log_is_seen(
    change: Change, case: tuple[Any, list[Row], random.Random]
) -> None:
    made, rows, rng = case
    result = change(made, rows, rng)
    assume(result is not None)
    assert result is not None
    broken, rule = result
    assert rule in found(made, broken)


# ---- against the plainest reading of the table ----


def by_the_table(made: Any, rows: list[Row]) -> set[tuple[str, int]]:
    """Every rule of the table for every command, looking back through the whole log."""
    limits = limits_of(made.device)
    org = made.device.organisation

    def banks(row: Row) -> list[tuple[int, ...]]:
        if row[COMMAND] in (PREab, REFab, RFMab):
            return [
                (s, g, b)
                for s in range(org.sids)
                for g in range(org.bank_groups)
                for b in range(org.banks_per_group)
            ]
        return [row[SID:ROW]]

    def member(scope: str, bank: tuple[int, ...]) -> tuple[int, ...]:
        return bank[: {"pseudo_channel": 0, "sid": 1, "group": 2, "bank": 3}[scope]]

    def edge(row: Row) -> int:
        return row[TICK] * limits.tick + (limits.act_edge if row[COMMAND] == ACT else 0)

    def since(name: str, at: int) -> int:
        row, start = rows[at], rows[at][TICK] * limits.tick
        data = start + limits.write_latency + limits.burst
        if name != "precharge":
            return {"edge": edge(row), "write_data": data, "column_edge": start, "write_recovery": data}[name]
        recovery = start + limits.times["tRTP"] if row[COMMAND] == RDA else data + limits.times["tWR"]
        for earlier_row in reversed(rows[:at]):
            if earlier_row[COMMAND] == ACT and place_of(earlier_row) == place_of(row):
                return max(recovery, edge(earlier_row) + limits.times["tRAS"])
        return recovery

    broken = set()
    for rule in RULES:
        first, second = bits(rule.previous), bits(rule.following)
        for n, row in enumerate(rows):
            if not second >> row[COMMAND] & 1:
                continue
            for bank in banks(row) if rule.scope == "bank" else [row[SID:ROW]]:
                left = rule.nth
                for at in range(n - 1, -1, -1):
                    if not first >> rows[at][COMMAND] & 1 or rows[at][STACK:COMMAND] != row[STACK:COMMAND]:
                        continue
                    theirs = banks(rows[at]) if rule.scope == "bank" else [rows[at][SID:ROW]]
                    if member(rule.scope, bank) not in [member(rule.scope, other) for other in theirs]:
                        continue
                    if rule.other is not None and member(rule.other, bank) == member(
                        rule.other, rows[at][SID:ROW]
                    ):
                        continue
                    left -= 1
                    if left == 0:
                        if edge(row) - since(rule.since, at) < limits.times[rule.name]:
                            broken.add((rule.name, n))
                        break
    return broken


@settings(max_examples=60, deadline=None)
@given(data=st.data(), spec=st.sampled_from(logs.DEVICES))
def test_any_log_is_judged_as_the_table_says(data: st.DataObject, spec: tuple[str, str]) -> None:
    """Logs of commands at random: the fast look-ups find what the slow reading finds, and nothing else."""
    made = MADE[spec]
    rng = random.Random(data.draw(st.integers(0, 1 << 30)))
    few = data.draw(st.integers(1, 4))
    tick, rows = 0, []
    for _ in range(data.draw(st.integers(1, 40))):
        tick += rng.choice((0, 1, 2, 4, 8, 20, 60, 200))
        command = Command(rng.randrange(11))
        every = command in (PREab, REFab, RFMab)
        bank = (0, 0, 0) if every else (rng.randrange(2), rng.randrange(2), rng.randrange(few) % 4)
        rows.append(logs.at(tick, command, bank, pc=rng.randrange(2), channel=rng.randrange(2)))
    rows.sort(key=lambda row: (row[STACK], row[CHANNEL], row[TICK]))
    names = {rule.name for rule in RULES}
    judged = {(v.rule, v.index) for v in check(made.device, command_log(rows), limit=None) if v.rule in names}
    assert judged == by_the_table(made, rows)
