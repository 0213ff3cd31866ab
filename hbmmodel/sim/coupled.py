"""``thermal="coupled"``: temperature follows one run in real time, and acts back on it at borders.

Owns what happens at a border; it must not know how channels come to stand there.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.energy import Counts
from hbmmodel.result.temperature import Warmth
from hbmmodel.sim.heat import Heat, Levels
from hbmmodel.sim.replay import Ran, Replay, count, set_condition
from hbmmodel.sim.warmth import Record, conditions, dissipated_pj, refresh_pj

if TYPE_CHECKING:
    from hbmmodel._core import CoreSystem

__all__ = ["run_coupled"]


class _Coupling:
    """Looks at the counters at every border, warms the stacks, and sets the conditions of what follows."""

    def __init__(self, replay: Replay, start_c: float | None) -> None:
        self.heat = Heat(replay.system)
        self.system = replay.system
        self.states = [self.heat.model.state(start_c) for _ in range(self.system.stacks)]
        self.record = Record.of(self.heat)
        hottest = [self.heat.hottest(state) for state in self.states]
        self.levels = Levels.cold(self.system.stacks).stepped(self.heat.trips, hottest)
        self.changes = 0
        self._counts: Counts | None = None
        self._factor_s = [np.zeros_like(self.heat.factor(state)) for state in self.states]

    def look(self, core: CoreSystem, tick: int) -> None:
        """All channels stand at `tick`."""
        before = self.levels
        self.pass_time(count(core, self.system, tick))
        if self.levels != before:
            self.changes += 1
            for stack, condition in enumerate(conditions(self.heat, self.levels)):
                set_condition(core, self.system, stack, condition)

    def pass_time(self, counts: Counts) -> None:
        """The stacks have come to these counts since the start."""
        stretch = counts if self._counts is None else counts - self._counts
        self._counts = counts
        if stretch.elapsed_ticks == 0:
            return
        heat, seconds = self.heat, stretch.elapsed_s
        told = conditions(heat, self.levels)
        fixed_w = heat.fixed_w(stretch)
        of_refresh_pj = refresh_pj(heat, stretch)
        time_s = float(Fraction(counts.elapsed_ticks) * counts.tick_ps) * 1e-12
        powers = []
        for stack, state in enumerate(self.states):
            factor = heat.factor(state)
            power_w = heat.with_leakage(fixed_w[stack], factor)
            self._factor_s[stack] += factor * seconds
            state.step(power_w, seconds)
            powers.append(power_w)
            total_pj = dissipated_pj(heat, power_w, seconds)
            self.record.spend(stack, seconds, told[stack], float(of_refresh_pj[stack]), total_pj)
        hottest = self.record.look(time_s, self.states, powers)
        self.levels = self.levels.stepped(heat.trips, hottest)

    def mean_factors(self) -> list[NDArray[np.float64]] | None:
        """Mean leakage of every cell over the run, so that its energy is what warmed the stacks."""
        seconds = 0.0 if self._counts is None else self._counts.elapsed_s
        return None if seconds == 0 else [factor_s / seconds for factor_s in self._factor_s]


def run_coupled(replay: Replay, every_ticks: int, start_c: float | None) -> tuple[Ran, Warmth]:
    """Run the trace once, with temperatures that follow it.

    Returns
    -------
    (Ran, Warmth)
    """
    coupling = _Coupling(replay, start_c)
    start = conditions(coupling.heat, coupling.levels)
    ran = replay.run(start, every_ticks=every_ticks, observer=coupling.look)
    coupling.pass_time(ran.counts)
    heat = coupling.heat
    model: dict[str, Any] = {
        "mode": "coupled",
        "outcome": "completed" if coupling.record.cattrip is None else "cattrip",
        "text": f"one run in real time, {coupling.changes} changes of levels",
        "runs": 1,
        "start_c": heat.model.reference_c if start_c is None else start_c,
        "epoch_ns": float(every_ticks * replay.system.tick_ps / 1000),
    }
    gb_per_s = ran.bus_bytes / max(ran.counts.elapsed_s, 1e-300) / 1e9
    return ran, coupling.record.finish(coupling.states, gb_per_s, model, coupling.mean_factors())
