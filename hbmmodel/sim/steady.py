"""``thermal="steady"``: what a workload that is repeated for ever comes to.

Owns the search for levels that hold themselves; it must not know how a replay or a temperature is computed.
"""

from __future__ import annotations

from hbmmodel.result.temperature import Warmth
from hbmmodel.sim.heat import RUNAWAY_C, Heat, Levels
from hbmmodel.sim.replay import Ran, Replay
from hbmmodel.sim.transient import Transient
from hbmmodel.sim.warmth import Record, Runs, Stretch, conditions, dissipated_pj, refresh_pj
from hbmmodel.thermal import State

__all__ = ["run_steady"]

CYCLES = 4
"""Entries of a level after which an oscillation is taken to have forgotten its start, and one whole cycle is seen."""
CYCLE_MAX_S = 600.0


class _Settled:
    """Steady states by levels, each computed once."""

    def __init__(self, heat: Heat, runs: Runs) -> None:
        self.heat, self.runs = heat, runs
        self._done: dict[Levels, tuple[list[State], bool]] = {}

    def at(self, levels: Levels) -> tuple[list[State], bool]:
        """The states of all stacks at these levels, and whether there are any; not to be moved."""
        if levels not in self._done:
            settled = [self.heat.steady(maps) for maps in self.runs.at(levels).fixed_w]
            self._done[levels] = [state for state, _ in settled], all(there for _, there in settled)
        return self._done[levels]

    def hold(self, levels: Levels) -> bool:
        """Whether stacks at these levels come to temperatures that change none."""
        states, _ = self.at(levels)
        return levels.stepped(self.heat.trips, [self.heat.hottest(state) for state in states]) == levels

    def hottest_c(self, levels: Levels) -> float:
        """The hottest cell at these levels."""
        return max(self.heat.hottest(state).any_c for state in self.at(levels)[0])


def run_steady(replay: Replay) -> tuple[Ran, Warmth]:
    """Follow the stacks from cold through their trip points until a level holds itself, or levels come back.

    Returns
    -------
    (Ran, Warmth)
        The replay at the levels that hold; where they oscillate, the one with the most throttling of the cycle.
    """
    heat = Heat(replay.system)
    settled = _Settled(heat, Runs(replay, heat))
    levels = Levels.cold(replay.system.stacks)
    path: list[Levels] = []
    while levels not in path:
        path.append(levels)
        after = levels.approach(heat.trips, [heat.hottest(state) for state in settled.at(levels)[0]])
        if after == levels:
            return _result(settled, levels, path)
        levels = after
    return _oscillation(settled, path[path.index(levels) :], path)


def _result(settled: _Settled, levels: Levels, path: list[Levels]) -> tuple[Ran, Warmth]:
    heat, stretch = settled.heat, settled.runs.at(levels)
    states, there = settled.at(levels)
    record = Record.of(heat)
    _note(record, stretch, states, levels)
    outcome = "converged" if there else "runaway"
    if record.cattrip is not None and there:
        outcome = "cattrip"
    told = {
        "converged": "the levels hold themselves",
        "cattrip": "a stack would reach its catastrophic trip point; this state is not reached in operation",
        "runaway": f"there is no steady state below {RUNAWAY_C:g} degC: leakage or heat from outside outgrows cooling",
    }[outcome]
    model = {
        "mode": "steady",
        "outcome": outcome,
        "text": told,
        "runs": len(settled.runs),
        "contraction": max(heat.contraction(state) for state in states),
        "path": _told(heat, path),
    }
    return stretch.ran, record.finish(states, stretch.bytes_per_s / 1e9, model)


def _note(record: Record, stretch: Stretch, states: list[State], levels: Levels) -> None:
    heat = record.heat
    of_refresh_pj = refresh_pj(heat, stretch.ran.counts)
    powers = [heat.with_leakage(stretch.fixed_w[stack], heat.factor(state)) for stack, state in enumerate(states)]
    record.look(0.0, states, powers)
    for stack, condition in enumerate(conditions(heat, levels)):
        total_pj = dissipated_pj(heat, powers[stack], stretch.seconds)
        record.spend(stack, stretch.seconds, condition, float(of_refresh_pj[stack]), total_pj)


def _oscillation(settled: _Settled, cycle: list[Levels], path: list[Levels]) -> tuple[Ran, Warmth]:
    """Time shares of the levels that follow each other, from stepping through one whole cycle of them.

    It starts from the coolest steady state of the cycle, below all trip points that lead round it: from above, a stack
    that leaks might never come down.
    """
    heat, runs = settled.heat, settled.runs
    start = min(cycle, key=settled.hottest_c)
    transient = Transient(heat, runs, start, [state.copy() for state in settled.at(start)[0]])
    entries: dict[Levels, int] = {}
    seen, mark = {start}, None
    while transient.time_s < CYCLE_MAX_S:
        before = transient.levels
        transient.step()
        levels = transient.levels
        if levels == before:
            continue
        if settled.hold(levels):
            return _result(settled, levels, [*path, levels])
        if levels == mark:
            break
        seen.add(levels)
        entries[levels] = entries.get(levels, 0) + 1
        if mark is None and entries[levels] == CYCLES - 1:
            transient.forget()
            seen, mark = {levels}, levels
    most = max(seen, key=lambda levels: (levels.throttle, levels.refresh))
    model = {
        "mode": "steady",
        "outcome": "oscillates",
        "text": "oscillates between " + " and ".join(dict.fromkeys(_told(heat, sorted(seen)))),
        "runs": len(runs),
        "period_s": None if mark is None else transient.time_s - transient.since_s,
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
