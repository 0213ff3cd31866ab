"""Logs of the core with power states are legal, and every change that must break them is seen."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import hbmmodel as hbm
from hbmmodel.check import check
from hbmmodel.commands import COLUMN_COMMANDS, Command, Log, command_log

ACT, PREpb, PREab, RD, WR, RDA, WRA, REFab, REFpb = (Command(code) for code in range(9))
PDE, PDX, SRE, SRX = Command.PDE, Command.PDX, Command.SRE, Command.SRX
DEVICES = (("HBM4_8000", "24Gb_12H"), ("HBM3_6400", "16Gb_8H"), ("HBM2E_3200", "16Gb_8H"))
TICK, PC, COMMAND = 0, 3, 4
Row = tuple[int, ...]
Case = tuple[hbm.System, list[Row], int]
Changed = tuple[list[Row], set[str]] | None
"""The changed log, and rules of which at least one must be broken."""


@functools.cache
def run(device: tuple[str, str], power: str, refresh: str, page: str, seed: int) -> Case:
    """Bursts of traffic with gaps, many of them longer than nine tREFI."""
    rng = np.random.default_rng(seed)
    controller = hbm.Controller(
        power=power,
        refresh=refresh,
        page_policy=page,
        timeout_ns=300,
        power_down_after_ns=50,
        self_refresh_after_ns=3000,
    )
    system = hbm.System(hbm.device(*device, channels=1), controller=controller)
    gaps = np.where(rng.random(60) < 0.2, rng.integers(1_000_000, 45_000_000, 60), rng.integers(0, 200_000, 60))
    bursts = rng.integers(0, 4096, 60) * 17
    trace = hbm.Trace.from_requests(bursts * 32, rng.random(60) < 0.4, time_ps=np.cumsum(gaps))
    result = hbm.simulate(system, trace, command_log=True)
    log = result.command_log
    assert log is not None
    return system, [tuple(row) for row in log.tolist()], int(result.summary["time_ticks"] or 0)


@st.composite
def cases(draw: st.DrawFn, powers: tuple[str, ...] = hbm.system.POWER_POLICIES[1:]) -> Case:
    return run(
        draw(st.sampled_from(DEVICES)),
        draw(st.sampled_from(powers)),
        draw(st.sampled_from(["per_bank", "all_bank"])),
        draw(st.sampled_from(["open", "closed", "timeout"])),
        draw(st.integers(0, 9)),
    )


def as_log(rows: list[Row]) -> Log:
    return command_log(rows)


def found(case: Case, rows: list[Row]) -> set[str]:
    system, _, end = case
    return {violation.rule for violation in check(system, as_log(rows), limit=None, end_tick=end)}


@settings(max_examples=40, deadline=None)
@given(cases())
def test_logs_of_the_core_are_legal(case: Case) -> None:
    assert found(case, case[1]) == set()


def changed(row: Row, *, tick: int | None = None, command: Command | None = None) -> Row:
    values = list(row)
    values[TICK] = row[TICK] if tick is None else tick
    values[COMMAND] = row[COMMAND] if command is None else command
    return tuple(values)


def places(rows: list[Row], *commands: Command) -> list[int]:
    return [at for at, row in enumerate(rows) if row[COMMAND] in commands]


def pick(rng: random.Random, chosen: list[int]) -> int | None:
    return rng.choice(chosen) if chosen else None


def without(rows: list[Row], at: int) -> list[Row]:
    return rows[:at] + rows[at + 1 :]


def replaced(rows: list[Row], at: int, row: Row) -> list[Row]:
    return [*rows[:at], row, *rows[at + 1 :]]


def forgets_to_wake(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    at = pick(rng, places(rows[:-1], PDX, SRX))
    return None if at is None else (without(rows, at), {"state.power_down", "state.self_refresh"})


def wakes_what_is_awake(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    at = pick(rng, [at for at in places(rows, PDE, SRE) if at + 1 < len(rows)])
    return None if at is None else (without(rows, at), {"state.PDX_not_down", "state.SRX_not_refreshing"})


def speaks_to_a_sleeper(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    at = pick(rng, places(rows, PDE, SRE))
    if at is None:
        return None
    until = rows[at + 1][TICK] if at + 1 < len(rows) else case[2]
    tick = rng.randrange(rows[at][TICK] + 2, until, 2)
    intruder = (tick, 0, 0, rng.randrange(2), rng.choice((ACT, PREpb, REFpb)), 0, 0, rng.randrange(4), 0, 0)
    return [*rows, intruder], {"state.power_down", "state.self_refresh"}


def leaves_too_early(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    at = pick(rng, places(rows, PDX, SRX))
    if at is None:
        return None
    return replaced(rows, at, changed(rows[at], tick=rows[at - 1][TICK] + 4)), {"tCPDED"}


def forgets_how_long_waking_takes(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    at = pick(rng, [at for at in places(rows, PDX, SRX) if at + 1 < len(rows)])
    if at is None:
        return None
    ticks = case[0].device.ticks()
    name = "XP" if rows[at][COMMAND] == PDX else "XS"
    late = rows[at + 1][TICK] - ticks[name] + 2
    return replaced(rows, at, changed(rows[at], tick=late + late % 2)), {f"t{name}"}


def refreshes_itself_with_an_open_bank(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    """The last commands that closed a bank before an SRE are forgotten."""
    for at in places(rows, SRE):
        opened = max((n for n in places(rows[:at], ACT)), default=-1)
        closers = [n for n in places(rows[:at], PREpb, PREab) if n > opened and rows[n][PC] == rows[opened][PC]]
        if opened >= 0 and closers and not any(rows[n][COMMAND] in (RDA, WRA) for n in range(opened, at)):
            return [row for n, row in enumerate(rows) if n not in closers], {"state.SRE_open_bank"}
    return None


def refreshes_itself_too_early(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    ahead = (PREpb, PREab, REFpb, REFab)
    late = [at for at in places(rows, SRE) if at and rows[at][TICK] > rows[at - 1][TICK] + 4]
    at = pick(rng, [at for at in late if rows[at - 1][COMMAND] in ahead])
    if at is None:
        return None
    early = rows[at - 1][TICK] + 2
    return replaced(rows, at, changed(rows[at], tick=early + early % 2)), {"tRP", "tRFCpb", "tRFCab"}


def sleeps_on_data_in_flight(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    at = pick(rng, [at for at in places(rows, PDE) if at and rows[at - 1][COMMAND] in COLUMN_COMMANDS])
    if at is None:
        return None
    early = rows[at - 1][TICK] + rng.choice((2, 8))
    return replaced(rows, at, changed(rows[at], tick=early)), {"tRDPDE", "tWRPDE"}


def enters_on_a_falling_edge(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    at = pick(rng, places(rows, PDE, SRE))
    return None if at is None else (replaced(rows, at, changed(rows[at], tick=rows[at][TICK] + 1)), {"bus.edge"})


def mistakes_the_state(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    at = pick(rng, places(rows, PDX, SRX))
    if at is None:
        return None
    other = SRX if rows[at][COMMAND] == PDX else PDX
    return replaced(rows, at, changed(rows[at], command=other)), {"state.PDX_not_down", "state.SRX_not_refreshing"}


def takes_power_down_for_self_refresh(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    """Longer than nine tREFI without any refresh."""
    interval = case[0].device.ticks()["REFI"]
    for at in places(rows, SRE):
        until = rows[at + 1][TICK] if at + 1 < len(rows) else case[2]
        if until - rows[at][TICK] > 9 * interval:
            made = replaced(rows, at, changed(rows[at], command=PDE))
            if at + 1 < len(rows):
                made = replaced(made, at + 1, changed(rows[at + 1], command=PDX))
            return made, {"refresh.gap"}
    return None


def sleeps_through_its_refreshes(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    """One long power-down takes the place of several with refreshes between them."""
    interval = case[0].device.ticks()["REFI"]
    downs = places(rows, PDE)
    for n, at in enumerate(downs):
        for until in downs[n + 1 :]:
            inside = rows[at + 1 : until]
            if any(row[COMMAND] not in (PDE, PDX, REFpb, REFab, PREab, PREpb) for row in inside):
                break
            if rows[until][TICK] - rows[at][TICK] > 10 * interval:
                return [*rows[: at + 1], *rows[until + 1 :]], {"refresh.gap"}
    return None


def goes_back_without_a_refresh(case: Case, rows: list[Row], rng: random.Random) -> Changed:
    entries = places(rows, SRE)
    if len(entries) < 2:
        return None
    n = rng.randrange(1, len(entries))
    kept = [row for at, row in enumerate(rows)
            if not (entries[n - 1] < at < entries[n] and row[COMMAND] in (REFpb, REFab) and row[PC] == 1)]  # fmt: skip
    return kept, {"refresh.self"}


CHANGES: list[Callable[[Case, list[Row], random.Random], Changed]] = [
    forgets_to_wake,
    wakes_what_is_awake,
    speaks_to_a_sleeper,
    leaves_too_early,
    forgets_how_long_waking_takes,
    refreshes_itself_with_an_open_bank,
    refreshes_itself_too_early,
    sleeps_on_data_in_flight,
    enters_on_a_falling_edge,
    mistakes_the_state,
    takes_power_down_for_self_refresh,
    sleeps_through_its_refreshes,
    goes_back_without_a_refresh,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(case=cases(), seed=st.integers(0, 1 << 30))
def test_change_that_must_break_the_log_is_seen(change: Callable[..., Changed], case: Case, seed: int) -> None:
    result = change(case, case[1], random.Random(seed))
    assume(result is not None)
    assert result is not None
    rows, broken = result
    assert found(case, rows) & broken


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_change_finds_logs_to_change(change: Callable[..., Changed]) -> None:
    """Without it the test above could pass by never changing anything."""
    rng = random.Random(1)
    made: Any = (
        change(case, case[1], rng)
        for power in ("power_down_idle", "self_refresh_idle")
        for page in ("open", "timeout")
        for seed in range(4)
        for case in [run(DEVICES[0], power, "per_bank", page, seed)]
    )
    assert any(result is not None for result in made)
