"""Low-power states as a user sees them: when channels sleep, what waking costs, and that all time is accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.commands import Command
from hbmmodel.result import LOST, POWER_STATES
from hbmmodel.result.result import Result

SLEEPING = ("power_down_idle", "self_refresh_idle", "aggressive")
WITH_POWER_STATES = [spec for spec in cases.PRESETS if not spec[0].startswith("X_")]


def single_reads(*times_ns: int) -> Any:
    """One read of the same burst at each time."""
    return hbm.Trace.from_requests(
        [0] * len(times_ns), [False] * len(times_ns), time_ps=[1000 * t for t in times_ns]
    )


def sparse(system: hbm.System, n: int, gap_ns: int, seed: int = 3) -> Any:
    """Requests in clusters, with gaps of which some are very long."""
    rng = np.random.default_rng(seed)
    gaps = np.where(rng.random(n) < 0.3, rng.integers(0, 4000 * gap_ns, n), rng.integers(0, 20 * gap_ns, n))
    bursts = rng.integers(0, system.capacity_bytes // 32, n)
    return hbm.Trace.from_requests(bursts * 32, rng.random(n) < 0.3, time_ps=np.cumsum(gaps))


def stamps(result: Result, command: Command) -> list[int]:
    log = result.command_log
    assert log is not None
    return [int(tick) for tick in log["tick"][log["command"] == command]]


def test_an_idle_channel_enters_power_down_after_the_stated_time_with_both_pseudo_channels() -> None:
    controller = hbm.Controller(refresh="none", power="power_down_idle", power_down_after_ns=100)
    system = cases.small(controller=controller)
    result = hbm.simulate(system, single_reads(0, 1000), command_log=True)
    first_read = stamps(result, Command.RD)[0]
    after = int(100_000 / system.tick_ps)
    assert stamps(result, Command.PDE) == [first_read + after]
    assert stamps(result, Command.PDX) == [int(1_000_000 / system.tick_ps)]
    down = result.channels["ticks_active_power_down"]
    assert down.tolist() == [stamps(result, Command.PDX)[0] - stamps(result, Command.PDE)[0]] * 2
    assert result.channels["n_act"].tolist() == [1, 0]  # the row stayed open


@pytest.mark.parametrize(
    ("power", "name"), [("power_down_idle", "tXP"), ("aggressive", "tXP"), ("self_refresh_idle", "tXS")]
)
def test_waking_adds_its_time_to_the_latency_and_is_charged(power: str, name: str) -> None:
    trace = single_reads(5000)
    deep = name == "tXS"
    base = cases.small(controller=cases.NO_REFRESH)
    awake = hbm.simulate(base, trace)
    controller = hbm.Controller(refresh="none", power=power, self_refresh_after_ns=1000 if deep else 1e6)
    system = cases.small(controller=controller)
    result = hbm.simulate(system, trace)
    wake_ns = float(system.device.timing[name].ns)
    assert result.summary["read_latency_ns_max"] == pytest.approx(awake.summary["read_latency_ns_max"] + wake_ns)
    assert result.summary["lost_ticks_power_state"] == round(wake_ns * 1000 / float(system.tick_ps))
    assert result.summary["n_sre"] == int(deep)
    assert result.summary["lost_ticks_activate_precharge"] == awake.summary["lost_ticks_activate_precharge"]


@pytest.mark.parametrize("power", ["never", *SLEEPING])
@pytest.mark.parametrize("refresh", ["per_bank", "all_bank", "none"])
def test_all_time_is_in_one_state_and_all_shares_sum_to_one(power: str, refresh: str) -> None:
    controller = hbm.Controller(power=power, refresh=refresh, page_policy="timeout", self_refresh_after_ns=2000)
    system = cases.small(channels=3, stacks=2, controller=controller)
    result = hbm.simulate(system, sparse(system, 400, 500))
    channels, summary = result.channels, result.summary
    spent = sum(channels[counter] for counter in POWER_STATES.values())
    assert (spent == summary["time_ticks"]).all()
    assert sum(summary[f"lost_share_{cause}"] or 0 for cause in LOST) == 1.0
    table = result.power_states
    assert table.n_rows == 2 * (len(POWER_STATES) + 3 + 2)
    for stack in (0, 1):
        for kind in ("refresh", "host"):
            kept = (table["stack"] == stack) & (table["kind"] == kind)
            assert table["share"][kept].tolist() == [1.0] + [0.0] * (int(kept.sum()) - 1)
            assert table["time_ns"][kept].sum() == pytest.approx(summary["time_ns"])
        energy = result.energy
        background = energy["pj"][(energy["stack"] == stack) & (energy["component"] == "background")]
        mine = (table["stack"] == stack) & (table["kind"] == "power")
        assert table["energy_pj"][mine].sum() == pytest.approx(background.sum(), rel=1e-12)
        assert table["state"][mine].tolist() == list(POWER_STATES)
        assert table["share"][mine].sum() == 1.0
        assert table["time_ns"][mine].sum() == pytest.approx(summary["time_ns"])
    timeline = result.timeline
    lengths = timeline["end_ns"] - timeline["start_ns"]
    for state, counter in POWER_STATES.items():
        spent_ns = channels[counter].mean() * float(system.tick_ps) / 1000
        assert np.dot(timeline[f"share_{state}"], lengths) == pytest.approx(spent_ns, rel=1e-9, abs=1e-6)
    asleep = channels["ticks_active_power_down"] + channels["ticks_precharged_power_down"]
    assert (asleep > 0).all() == (power != "never")
    assert (channels["ticks_self_refresh"] > 0).all() == (power in ("self_refresh_idle", "aggressive"))
    assert (channels["lost_power_state"] > 0).all() == (power != "never")


@pytest.mark.parametrize(("name", "variant"), WITH_POWER_STATES)
@pytest.mark.parametrize("power", SLEEPING)
def test_logs_with_power_states_are_legal_on_every_preset(name: str, variant: str, power: str) -> None:
    for refresh in ("per_bank", "all_bank"):
        controller = hbm.Controller(power=power, refresh=refresh, self_refresh_after_ns=5000)
        system = cases.small(name, variant, controller=controller)
        result = hbm.simulate(system, sparse(system, 150, 3000), command_log=True)
        assert result.summary["n_pde"] > 10
        assert hbm.check(system, result.command_log, end_tick=result.summary["time_ticks"]) == []


@pytest.mark.parametrize("postpone", [0, 1, 8, 24, 100, 336])
def test_power_down_sleeps_for_as_many_refreshes_as_may_be_postponed(postpone: int) -> None:
    controller = hbm.Controller(power="power_down_idle", refresh_postpone=postpone)
    system = cases.small(variant="24Gb_12H", controller=controller)
    result = hbm.simulate(system, single_reads(0, 400_000), command_log=True)
    never = hbm.simulate(cases.small(variant="24Gb_12H"), single_reads(0, 400_000))
    assert hbm.check(system, result.command_log, end_tick=result.summary["time_ticks"]) == []
    assert abs(result.summary["n_ref_pb"] - never.summary["n_ref_pb"]) <= 2 * max(postpone, 1)
    longest = max(
        wake - down for down, wake in zip(stamps(result, Command.PDE), stamps(result, Command.PDX), strict=True)
    )
    interval = system.device.ticks()["REFIpb"]
    assert (max(postpone, 1) - 1) * interval <= longest <= (max(postpone, 1) + 1) * interval


def test_self_refresh_is_reached_between_per_bank_refreshes_and_needs_none_itself() -> None:
    controller = hbm.Controller(power="self_refresh_idle", self_refresh_after_ns=20_000)
    system = cases.small(variant="24Gb_16H", controller=controller)
    result = hbm.simulate(system, single_reads(0, 1_000_000), command_log=True)
    assert result.summary["n_sre"] == 1
    share = dict(zip(result.power_states["state"], result.power_states["share"], strict=True))
    assert share["self_refresh"] > 0.97
    assert result.summary["n_ref_pb"] * system.device.ticks()["REFIpb"] < 0.03 * 2 * result.summary["time_ticks"]


@pytest.mark.parametrize("power", SLEEPING)
@pytest.mark.parametrize("mode", ["asap", "paced", "closed"])
def test_operations_are_served_whole_by_channels_that_sleep_between_them(power: str, mode: str) -> None:
    controller = hbm.Controller(power=power, self_refresh_after_ns=3000)
    system = cases.small(channels=4, controller=controller)
    made = [
        cases.operation(i, cases.reads(4096 * i, 3000), cases.writes(1 << 20, 500), time_ns=9000 * i) for i in range(20)
    ]
    trace = cases.trace_of(*made)
    result = hbm.simulate(system, trace, mode=mode, command_log=True)
    base = hbm.simulate(cases.small(channels=4), trace, mode=mode)
    for name in ("bytes_read", "bytes_written", "requests_out"):
        assert result.summary[name] == base.summary[name]
    assert hbm.check(system, result.command_log, end_tick=result.summary["time_ticks"]) == []


def test_a_channel_that_never_has_time_to_sleep_does_what_it_does_without_power_states() -> None:
    n = 20_000
    trace = hbm.Trace.from_requests(np.arange(n) * 32, np.arange(n) % 7 == 0)
    logs = [
        hbm.simulate(cases.small(controller=hbm.Controller(power=power)), trace, command_log=True).command_log
        for power in ("never", "self_refresh_idle")
    ]
    assert logs[0] is not None and np.array_equal(logs[0], logs[1])


def test_the_table_of_power_states_is_saved(tmp_path: Path) -> None:
    system = cases.small(controller=hbm.Controller(power="aggressive"))
    result = hbm.simulate(system, sparse(system, 100, 500))
    again = Result.load(result.save(tmp_path / "run"))
    assert again.power_states == result.power_states
    assert again.system == system
