"""The checker on power-down and self-refresh: the earliest legal start passes, the one before breaks just that rule."""

from __future__ import annotations

from typing import Any

import check_logs as logs
import pytest
from check_logs import ACT, RD, RDA, WR, PREab, PREpb, REFab, REFpb, RFMab, RFMpb, at, rules, up

from hbmmodel.commands import Command
from hbmmodel.system import Controller, System

PDE, PDX, SRE, SRX = Command.PDE, Command.PDX, Command.SRE, Command.SRX
MADE = {spec: logs.Made(*spec) for spec in logs.DEVICES}
EVERY_COMMAND = [ACT, PREpb, PREab, REFab, REFpb, RFMab, RFMpb, PDE, SRE]
FAR = 4000


@pytest.fixture(params=logs.DEVICES, ids=lambda spec: spec[0])
def made(request: pytest.FixtureRequest) -> Any:
    return MADE[request.param]


def check_edge(made: Any, before: list[Any], command: Command, tick: int, rule: str, **place: Any) -> None:
    """`command` at the first edge from `tick` on is legal, and not one edge earlier."""
    first = made.first_start(command, tick)
    assert rules(made.device, [*before, at(first, command, **place)]) == []
    assert set(rules(made.device, [*before, at(made.before_edge(command, first), command, **place)])) == {rule}


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda c: c.name)
@pytest.mark.parametrize("pc", [0, 1])
@pytest.mark.parametrize(("entry", "leave", "rule"), [(PDE, PDX, "tXP"), (SRE, SRX, "tXS")])
def test_nothing_goes_on_either_pseudo_channel_until_the_channel_is_awake(
    made: Any, entry: Command, leave: Command, rule: str, command: Command, pc: int
) -> None:
    before = [at(0, entry), at(FAR, leave)]
    check_edge(made, before, command, FAR + made[rule], rule, pc=0 if command in (PDE, SRE) else pc)


def test_column_commands_wait_for_txp_too(made: Any) -> None:
    before = [at(0, ACT), at(FAR, PDE), at(2 * FAR, PDX)]
    check_edge(made, before, RD, 2 * FAR + made["tXP"], "tXP")
    check_edge(made, before, WR, 2 * FAR + made["tXP"], "tXP")


@pytest.mark.parametrize(("entry", "leave"), [(PDE, PDX), (SRE, SRX)])
def test_a_sleep_lasts_tcpded_and_tpd(made: Any, entry: Command, leave: Command) -> None:
    stay = up(made["tCPDED"])
    assert rules(made.device, [at(0, entry), at(stay, leave)]) == []
    assert set(rules(made.device, [at(0, entry), at(stay - 2, leave)])) == {"tCPDED", "tPDmin"}


@pytest.mark.parametrize("entry", [PDE, SRE])
@pytest.mark.parametrize("pc", [0, 1])
def test_entry_waits_for_the_data_of_both_pseudo_channels(made: Any, entry: Command, pc: int) -> None:
    read = [at(0, ACT, pc=pc), at(FAR, RDA, pc=pc)]
    write = [at(0, ACT, pc=pc), at(FAR, Command.WRA, pc=pc)]
    if entry is PDE:
        check_edge(made, read, entry, FAR + made.rl + made.burst + 2, "tRDPDE")
        check_edge(made, write, entry, FAR + made.wl + made.burst + made["tWR"] + 2, "tWRPDE")
    else:  # self-refresh waits for the precharge too
        assert "tRDPDE" in rules(made.device, [*read, at(FAR + made.rl, SRE)])
        assert "tWRPDE" in rules(made.device, [*write, at(FAR + made.wl, SRE)])


@pytest.mark.parametrize(
    ("command", "time"),
    [(REFab, "tRFCab"), (REFpb, "tRFCpb"), (RFMab, "tRFMab"), (RFMpb, "tRFMpb"), (PREpb, "tRP"), (PREab, "tRP")],
)
@pytest.mark.parametrize("pc", [0, 1])
def test_self_refresh_waits_until_the_banks_of_both_pseudo_channels_are_ready(
    made: Any, command: Command, time: str, pc: int
) -> None:
    check_edge(made, [at(0, command, pc=pc)], SRE, made[time], time)


def test_power_down_may_follow_a_row_command_at_once(made: Any) -> None:
    for command in (PREpb, REFpb, REFab):
        assert rules(made.device, [at(0, command), at(2, PDE)]) == []
    assert rules(made.device, [at(0, ACT), at(4, PDE)]) == []
    assert rules(made.device, [at(0, ACT), at(2, PDE)]) == ["bus.row"]


@pytest.mark.parametrize("pc", [0, 1])
def test_self_refresh_needs_every_bank_of_both_pseudo_channels_closed(made: Any, pc: int) -> None:
    rows = [at(0, ACT, (1, 1, 2), pc=pc), at(FAR, SRE)]
    assert rules(made.device, rows) == ["state.SRE_open_bank"]
    assert rules(made.device, [rows[0], at(2000, PREpb, (1, 1, 2), pc=pc), rows[1]]) == []


@pytest.mark.parametrize(("entry", "rule"), [(PDE, "state.power_down"), (SRE, "state.self_refresh")])
@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda c: c.name)
def test_a_sleeping_channel_is_left_alone(made: Any, entry: Command, rule: str, command: Command) -> None:
    assert rules(made.device, [at(0, entry), at(FAR, command)]) == [rule]
    assert rules(made.device, [at(0, entry), at(FAR, command, channel=1)]) == []


def test_an_exit_needs_its_entry(made: Any) -> None:
    assert rules(made.device, [at(0, PDX)]) == ["state.PDX_not_down"]
    assert rules(made.device, [at(0, SRX)]) == ["state.SRX_not_refreshing"]
    assert rules(made.device, [at(0, SRE), at(FAR, PDX)]) == ["state.PDX_not_down"]
    assert rules(made.device, [at(0, PDE), at(FAR, SRX)]) == ["state.SRX_not_refreshing"]


def test_entries_and_exits_take_one_ck_on_a_rising_edge(made: Any) -> None:
    assert rules(made.device, [at(1, PDE)]) == ["bus.edge"]
    early = [at(0, PDE), at(FAR, PDX), at(FAR + 1, PREpb)]
    assert "bus.row" in rules(made.device, early)


def system(made: Any, refresh: str = "all_bank") -> System:
    one = type(made)(made.device.name, made.device.variant, channels=1)
    return System(one.device, controller=Controller(refresh=refresh))


def refreshes(made: Any, start: int, stop: int) -> list[Any]:
    step = made["tREFI"]
    return [at(up(tick) + 2 * pc, REFab, pc=pc) for tick in range(start, stop, step) for pc in (0, 1)]


def test_self_refresh_stops_the_clock_of_refresh_and_power_down_does_not(made: Any) -> None:
    interval = made["tREFI"]
    early = refreshes(made, interval, 4 * interval)
    down, awake = 4 * interval, 40 * interval
    late = refreshes(made, awake + interval, awake + 3 * interval)
    end = awake + 3 * interval
    deep = [*early, at(up(down), SRE), at(up(awake), SRX), *late]
    assert rules(system(made), deep, end_tick=end) == []
    light = [*early, at(up(down), PDE), at(up(awake), PDX), *late]
    assert {"refresh.gap", "refresh.rate"} <= set(rules(system(made), light, end_tick=end))
    assert rules(system(made), [*early, at(up(down), SRE)], end_tick=end) == []
    assert {"refresh.gap"} <= set(rules(system(made), [*early, at(up(down), PDE)], end_tick=end))


def test_what_was_owed_before_self_refresh_is_owed_after_it(made: Any) -> None:
    interval = made["tREFI"]
    sleep = [at(up(5 * interval), SRE), at(up(105 * interval), SRX)]
    in_time = [at(up(109 * interval) - 4 + 2 * pc, REFab, pc=pc) for pc in (0, 1)]
    too_late = [at(up(110 * interval) + 2 * pc, REFab, pc=pc) for pc in (0, 1)]
    assert rules(system(made), [*sleep, *in_time]) == []
    assert set(rules(system(made), [*sleep, *too_late])) == {"refresh.gap", "refresh.rate"}


@pytest.mark.parametrize("pc", [0, 1])
def test_self_refresh_is_entered_again_only_after_a_round_of_refreshes(made: Any, pc: int) -> None:
    first = [at(0, SRE), at(FAR, SRX)]
    other = at(2 * FAR, REFab, pc=1 - pc)
    banks = [(s, g, b) for s in range(made.device.organisation.sids)
             for g in range(made.device.organisation.bank_groups)
             for b in range(made.device.organisation.banks_per_group)]  # fmt: skip
    step = up(made["tRFCpb"])
    single = [at(2 * FAR + 2 + step * i, REFpb, bank, pc=pc) for i, bank in enumerate(banks)]
    again = at(4 * FAR + step * len(banks), SRE)
    assert rules(system(made), [*first, other, *single, again]) == []
    assert rules(system(made), [*first, other, at(2 * FAR + 2, REFab, pc=pc), again]) == []
    assert "refresh.self" in rules(system(made), [*first, other, *single[:-1], again])
    assert rules(system(made, "none"), [*first, other, again]) == []
