"""``thermal="transient"``: a workload repeated for some time, from a given temperature.

Owns the steps in time: device time is micro- to milliseconds and heat takes seconds, so power is that of a replay at
the levels in force, measured once, and leakage follows the temperature of every step.
"""

from __future__ import annotations

from typing import Any

from hbmmodel.result.temperature import Warmth
from hbmmodel.sim.heat import Heat, Levels
from hbmmodel.sim.replay import Ran, Replay
from hbmmodel.sim.warmth import Record, Runs, conditions, dissipated_pj, refresh_pj
from hbmmodel.thermal import State

__all__ = ["Transient", "run_transient"]


class Transient:
    """Stacks that run, warm up and change levels, step by step.

    Parameters
    ----------
    heat, runs
        Power by levels.
    levels : Levels
        In force at the start.
    states : list of State
        Temperatures at the start; they are moved.
    """

    def __init__(self, heat: Heat, runs: Runs, levels: Levels, states: list[State]) -> None:
        self.heat, self.runs, self.levels, self.states = heat, runs, levels, states
        self.dt_s = heat.trips.poll_s
        self.time_s = self.since_s = 0.0
        self._bytes = 0.0
        self.record = Record.of(heat)
        self._energies: dict[Levels, Any] = {}
        self.ran = runs.at(levels).ran

    def step(self, dt_s: float | None = None) -> None:
        """Run for one look of the host at the temperature, then let it act."""
        dt_s = self.dt_s if dt_s is None else dt_s
        stretch = self.runs.at(self.levels)
        told = conditions(self.heat, self.levels)
        self.time_s += dt_s
        self._bytes += stretch.bytes_per_s * dt_s
        powers = []
        for stack, state in enumerate(self.states):
            power_w = self.heat.with_leakage(stretch.fixed_w[stack], self.heat.factor(state))
            state.step(power_w, dt_s)
            powers.append(power_w)
            total_pj = dissipated_pj(self.heat, power_w, dt_s)
            self.record.spend(stack, dt_s, told[stack], self._refresh_pj_per_s(stack) * dt_s, total_pj)
        hottest = self.record.look(self.time_s, self.states, powers)
        self.ran = stretch.ran
        self.levels = self.levels.stepped(self.heat.trips, hottest)

    def _refresh_pj_per_s(self, stack: int) -> float:
        if self.levels not in self._energies:
            stretch = self.runs.at(self.levels)
            self._energies[self.levels] = refresh_pj(self.heat, stretch.ran.counts) / stretch.seconds
        return float(self._energies[self.levels][stack])

    def forget(self) -> None:
        """Begin the record anew; temperatures and time go on."""
        self.record = Record.of(self.heat)
        self.since_s = self.time_s
        self._bytes = 0.0

    def finish(self, model: dict[str, Any]) -> Warmth:
        """Everything for the result."""
        seconds = max(self.time_s - self.since_s, 1e-300)
        return self.record.finish(self.states, self._bytes / seconds / 1e9, model)


def run_transient(replay: Replay, seconds: float, start_c: float | None) -> tuple[Ran, Warmth]:
    """Repeat the trace for some seconds.

    Returns
    -------
    (Ran, Warmth)
        The replay at the last levels, and the temperatures over time.
    """
    heat = Heat(replay.system)
    runs = Runs(replay, heat)
    states = [heat.model.state(start_c) for _ in range(replay.system.stacks)]
    levels = Levels.cold(replay.system.stacks).stepped(heat.trips, [heat.hottest(state) for state in states])
    transient = Transient(heat, runs, levels, states)
    while transient.time_s < seconds * (1 - 1e-12) and transient.record.cattrip is None:
        transient.step(min(transient.dt_s, seconds - transient.time_s))
    tripped = transient.record.cattrip is not None
    text = f"{transient.time_s:g} s of the workload repeated" + (
        ", up to the catastrophic trip, at which the stack shuts down" if tripped else ""
    )
    model = {
        "mode": "transient",
        "outcome": "cattrip" if tripped else "completed",
        "text": text,
        "runs": len(runs),
        "seconds": transient.time_s,
        "start_c": heat.model.reference_c if start_c is None else start_c,
    }
    return transient.ran, transient.finish(model)
