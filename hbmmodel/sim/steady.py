"""``thermal="steady"``: what a workload that is repeated for ever comes to.

Owns the search for levels that hold themselves; it must not know how a replay or a temperature is computed.
"""

from __future__ import annotations

from typing import Any

from hbmmodel.result.temperature import Warmth
from hbmmodel.sim.heat import Heat, Levels
from hbmmodel.sim.replay import Ran, Replay
from hbmmodel.sim.transient import Transient
from hbmmodel.sim.warmth import Record, Runs, Stretch, conditions, energies_of
from hbmmodel.thermal import State

__all__ = ["run_steady"]

CYCLES = 4
"""Cycles after which an oscillation is taken to have forgotten its start."""
CYCLE_MAX_S = 600.0


def run_steady(replay: Replay) -> tuple[Ran, Warmth]:
    """Follow the stacks from cold through their trip points until a level holds itself, or levels come back.

    Returns
    -------
    (Ran, Warmth)
        The replay at the levels that hold; where they oscillate, the one with the most throttling of the cycle.
    """
    heat = Heat(replay.system)
    runs = Runs(replay, heat)
    levels = Levels.cold(replay.system.stacks)
    path: list[Levels] = []
    while levels not in path:
        path.append(levels)
        stretch = runs.at(levels)
        settled = [heat.steady(maps) for maps in stretch.fixed_w]
        states = [state for state, _ in settled]
        hottest = [heat.hottest(state) for state in states]
        after = levels.approach(heat.trips, hottest)
        if after == levels:
            outcome = "converged" if all(there for _, there in settled) else "runaway"
            model = {"contraction": max(heat.contraction(state) for state in states), "path": _told(heat, path)}
            return _result(heat, runs, levels, states, outcome, model)
        levels = after
    return _oscillation(heat, runs, path[path.index(levels) :], path)


def _result(
    heat: Heat, runs: Runs, levels: Levels, states: list[State], outcome: str, model: dict[str, Any]
) -> tuple[Ran, Warmth]:
    stretch = runs.at(levels)
    record = Record.of(heat)
    _note(record, stretch, states, levels)
    if record.cattrip is not None and outcome == "converged":
        outcome = "cattrip"
    told = {
        "converged": "the levels hold themselves",
        "cattrip": "a stack would reach its catastrophic trip point; this state is not reached in operation",
        "runaway": "leakage outgrows cooling: there is no steady state",
    }[outcome]
    model = {"mode": "steady", "outcome": outcome, "text": told, "runs": len(runs), **model}
    return stretch.ran, record.finish(states, stretch.bytes_per_s / 1e9, model)


def _note(record: Record, stretch: Stretch, states: list[State], levels: Levels) -> None:
    heat = record.heat
    bank_c = heat.bank_c(states)
    refresh_pj, total_pj = energies_of(heat, stretch.ran.counts, bank_c)
    powers = [
        heat.with_leakage(stretch.fixed_w[stack], heat.dram_maps_c(state)) for stack, state in enumerate(states)
    ]
    record.look(0.0, states, powers)
    for stack, condition in enumerate(conditions(heat, levels)):
        record.spend(stack, stretch.seconds, condition, float(refresh_pj[stack]), float(total_pj[stack]))


def _oscillation(heat: Heat, runs: Runs, cycle: list[Levels], path: list[Levels]) -> tuple[Ran, Warmth]:
    """Time shares of the levels that follow each other, from stepping through some of their cycles."""
    start = runs.at(cycle[0])
    states = [heat.steady(maps)[0] for maps in start.fixed_w]
    transient = Transient(heat, runs, cycle[0], states)
    returns = 0
    while returns < CYCLES and transient.time_s < CYCLE_MAX_S:
        before = transient.levels
        transient.step()
        if transient.levels != before and transient.levels == cycle[0]:
            returns += 1
            if returns == CYCLES - 1:
                transient.forget()
    most = max(cycle, key=lambda levels: (levels.throttle, levels.refresh))
    text = "oscillates between " + " and ".join(_told(heat, sorted(set(cycle))))
    model = {
        "mode": "steady",
        "outcome": "oscillates",
        "text": text,
        "runs": len(runs),
        "period_s": transient.time_s - transient.since_s,
        "path": _told(heat, path),
    }
    return runs.at(most).ran, transient.finish(model)


def _told(heat: Heat, levels: list[Levels]) -> list[str]:
    """Levels in words."""
    words = []
    for one in levels:
        told = conditions(heat, one)
        rates = sorted({condition.refresh_rate for condition in told})
        share = told[0].bandwidth_share
        words.append(
            "refresh " + "/".join(f"{rate}x" for rate in rates) + (f", throttled to {share:.0%}" if share < 1 else "")
        )
    return words
