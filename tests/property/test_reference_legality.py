"""Whatever the Python twin issues obeys the tables, checked on every pair of commands, not just the last."""

from __future__ import annotations

from typing import Any

import strategies_channel as strategies
from hypothesis import HealthCheck, given, settings

from hbmmodel.reference import Command, Issued, simulate_channel
from hbmmodel.reference.timing import ALL_BANK_COMMANDS, COLUMN_COMMANDS, EVENT_OF, Banks, timing_rules

PRE = (Command.PREpb, Command.PREab)
POWER = (Command.PDE, Command.PDX, Command.SRE, Command.SRX)


def check_pairs(ticks: dict[str, int], commands: list[Issued]) -> None:
    """Every rule for every two commands of one pseudo-channel."""
    banks = Banks(ticks)
    rules = timing_rules(ticks)
    concerned = [range(banks.count) if c.command in ALL_BANK_COMMANDS else (c.bank,) for c in commands]
    for i, later in enumerate(commands):
        for j, earlier in enumerate(commands[:i]):
            for rule in rules:
                if rule.later is not later.command or rule.earlier is not EVENT_OF[earlier.command]:
                    continue
                near = any(x in banks.in_scope(rule.scope, y) for y in concerned[i] for x in concerned[j])
                assert not near or later.tick - earlier.tick >= rule.ticks, (rule, earlier, later)


def check_window_of_activates(ticks: dict[str, int], commands: list[Issued]) -> None:
    edges = [
        c.tick + (ticks["act_reference"] if c.command is Command.ACT else 0)
        for c in commands
        if c.command in (Command.ACT, Command.REFpb)
    ]
    for first, fifth in zip(edges, edges[4:], strict=False):
        assert fifth - first >= ticks["FAW"]


def check_states(ticks: dict[str, int], commands: list[Issued]) -> None:
    """Rows are opened before they are used, and auto-precharge ends before the bank is used again."""
    k = ticks
    row: dict[int, int] = {}
    activated: dict[int, int] = {}
    precharged: dict[int, int] = {}
    refreshed: list[int] = []
    for c in commands:
        if c.command is Command.ACT:
            assert c.bank not in row
            assert c.tick + k["act_reference"] >= precharged.get(c.bank, -k["RP"]) + k["RP"]
            row[c.bank] = c.row
            activated[c.bank] = c.tick
        elif c.command in COLUMN_COMMANDS:
            assert row[c.bank] == c.row
            if c.command in (Command.RDA, Command.WRA):
                write = k["WL"] + k["BL"] + k["WR"]
                recovery = k["RTP"] if c.command is Command.RDA else write
                after_column = c.tick + k["column_reference"] + recovery
                precharged[c.bank] = max(after_column, activated[c.bank] + k["act_reference"] + k["RAS"])
                del row[c.bank]
        elif c.command in PRE:
            closing = [c.bank] if c.command is Command.PREpb else list(row)
            assert closing and all(bank in row for bank in closing)
            for bank in closing:
                precharged[bank] = c.tick
                del row[bank]
        else:
            named = c.command in (Command.REFpb, Command.RFMpb)
            assert c.bank not in row if named else not row
            for bank, p in precharged.items():
                if bank == c.bank or not named:
                    assert c.tick >= p + k["RP"]
            if c.command is Command.REFpb:
                refreshed.append(c.bank)
    banks = k["sids"] * k["bank_groups"] * k["banks_per_group"]
    for start in range(0, len(refreshed), banks):
        turn = refreshed[start : start + banks]
        assert len(set(turn)) == len(turn), "a bank was refreshed twice before all were refreshed once"


def check_buses(ticks: dict[str, int], commands: list[Issued]) -> None:
    for bus in (True, False):
        free_at = 0
        for c in commands:
            if (c.command in COLUMN_COMMANDS) is not bus:
                continue
            assert c.tick >= free_at
            assert c.tick % 2 == 0 or (c.command in PRE and ticks["pre_any_edge"] == 1)
            if bus:
                free_at = c.tick + ticks["column_ticks"]
            else:
                taken = ticks["act_ticks" if c.command is Command.ACT else "row_ticks"]
                free_at = c.tick + (2 if c.command in POWER else taken)


def check_power(ticks: dict[str, int], commands: list[Issued]) -> None:
    """Silence while the channel sleeps and until it is awake, and what an entry asks for, over both pseudo-channels."""
    k = ticks
    entered: Issued | None = None
    awake = 0
    for i, c in enumerate(commands):
        if c.command in (Command.PDX, Command.SRX):
            entry = Command.PDE if c.command is Command.PDX else Command.SRE
            assert entered is not None and entered.command is entry
            assert c.tick - entered.tick >= max(k["CPDED"], k["PDmin"])
            entered, awake = None, c.tick + k["XP" if c.command is Command.PDX else "XS"]
            continue
        assert entered is None and c.tick >= awake, c
        if c.command not in POWER:
            continue
        entered = c
        for earlier in commands[:i]:
            if earlier.command in COLUMN_COMMANDS:
                write = earlier.command in (Command.WR, Command.WRA)
                after = k["column_reference"] + k["WL"] + k["WR"] if write else k["RL"]
                assert c.tick - earlier.tick >= after + k["BL"] + 2
        if c.command is Command.SRE:
            check_entry_to_self_refresh(ticks, commands[:i], c)


def check_entry_to_self_refresh(ticks: dict[str, int], commands: list[Issued], entry: Issued) -> None:
    """The banks of both pseudo-channels are closed, and what closed or refreshed them is over."""
    k = ticks
    over = {Command.PREpb: k["RP"], Command.PREab: k["RP"], Command.REFab: k["RFCab"], Command.REFpb: k["RFCpb"],
            Command.RFMpb: k["RFMpb"], Command.ACT: k["act_reference"] + k["RC"]}  # fmt: skip
    is_open: set[tuple[int, int]] = set()
    for c in commands:
        assert entry.tick - c.tick >= over.get(c.command, 0), c
        if c.command is Command.ACT:
            is_open.add((c.pc, c.bank))
        elif c.command is Command.PREab:
            is_open = {(pc, bank) for pc, bank in is_open if pc != c.pc}
        elif c.command in (Command.PREpb, Command.RDA, Command.WRA):
            is_open.discard((c.pc, c.bank))
    assert not is_open


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=strategies.cases())
def test_reference_obeys_every_rule_and_serves_every_request(case: Any) -> None:
    outcome = simulate_channel(
        case.ticks,
        case.policy,
        case.inputs,
        max_ticks=100_000,
        host_ticks=case.host_ticks,
        window=case.window,
    )
    check_buses(case.ticks, outcome.commands)
    check_power(case.ticks, outcome.commands)
    for pc, requests in enumerate(case.inputs):
        own = [c for c in outcome.commands if c.pc == pc and c.command not in POWER]
        check_pairs(case.ticks, own)
        check_window_of_activates(case.ticks, own)
        check_states(case.ticks, own)
        columns = [c for c in own if c.command in COLUMN_COMMANDS]
        served = sorted((c.bank, c.row, c.column, c.command in (Command.WR, Command.WRA)) for c in columns)
        forwarded = [c.forwarded for c in outcome.completions[pc]]
        asked = sorted(
            (r.bank, r.row, r.column, r.is_write) for r, f in zip(requests, forwarded, strict=True) if not f
        )
        assert served == asked
        rows = outcome.rows[pc]
        assert rows.hits + rows.misses + rows.conflicts == len(served)
        for request, completion in zip(requests, outcome.completions[pc], strict=True):
            assert max(request.arrival, 0) <= completion.accept <= completion.done
