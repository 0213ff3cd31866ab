"""What the thermal modes have in common: runs by levels, records over time, and their wrapping for the result.

Owns the cache of replays and the tables of temperatures; it must not know when a mode steps or stops.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.energy import Counts, energy_pj
from hbmmodel.errors import HbmArgumentError
from hbmmodel.result.temperature import Spent, Warmth
from hbmmodel.sim.heat import Heat, Hottest, Levels
from hbmmodel.sim.replay import Condition, Ran, Replay
from hbmmodel.thermal import Level, State

__all__ = ["Record", "Runs", "Stretch", "conditions", "describe", "dissipated_pj", "refresh_pj"]

LOOKS_KEPT = 256
"""Points in time that the table of temperatures keeps; every other one goes when there are twice as many."""
RUNS_MAX = 64
"""Different conditions that one call simulates; more would be a system that flutters without end."""


def conditions(heat: Heat, levels: Levels) -> list[Condition]:
    """How every stack runs at these levels, on top of what the system asks for by itself."""
    base = round(1 / heat.system.refresh_multiplier)
    return [
        Condition(max(base, heat.trips.refresh_rate(level)), heat.trips.bandwidth_share(level))
        for level in (Level(refresh, levels.throttle) for refresh in levels.refresh)
    ]


@dataclass(frozen=True, eq=False)
class Stretch:
    """One replay as the thermal loop sees it: its counts, its power without leakage, its rates."""

    ran: Ran
    fixed_w: NDArray[np.float64]
    seconds: float

    @property
    def bytes_per_s(self) -> float:
        """Bytes over the data buses per second."""
        return self.ran.bus_bytes / self.seconds


class Runs:
    """Replays by levels, each simulated once."""

    def __init__(self, replay: Replay, heat: Heat) -> None:
        self._replay = replay
        self._heat = heat
        self._done: dict[Levels, Stretch] = {}

    def __len__(self) -> int:
        return len(self._done)

    def at(self, levels: Levels) -> Stretch:
        """The replay at these levels."""
        if levels not in self._done:
            if len(self._done) == RUNS_MAX:
                raise HbmArgumentError(
                    f"the stacks passed through {RUNS_MAX} different combinations of refresh rates and throttling; "
                    "widen cooling.trips.hysteresis_c, or take fewer stacks"
                )
            ran = self._replay.run(conditions(self._heat, levels))
            if ran.counts.elapsed_ticks == 0:
                raise HbmArgumentError("the trace takes no time; there is no power to warm anything")
            self._done[levels] = Stretch(ran, self._heat.fixed_w(ran.counts), ran.counts.elapsed_s)
        return self._done[levels]


@dataclass
class Record:
    """Temperatures over time and the times spent in conditions."""

    heat: Heat
    spent: Spent
    hottest_dram_c: float = -273.15
    hottest_c: float = -273.15
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    looks: int = 0
    every: int = 1
    latest: tuple[float, list[NDArray[np.float64]]] | None = None
    cattrip: dict[str, Any] | None = None

    @classmethod
    def of(cls, heat: Heat) -> Record:
        """An empty record."""
        return cls(heat, Spent(heat.geometry.stacks))

    def look(self, time_s: float, states: list[State], power_w: list[NDArray[np.float64]]) -> list[Hottest]:
        """Look at all stacks, and keep the look in the table, which stays short."""
        hottest = [self.heat.hottest(state) for state in states]
        self.hottest_dram_c = max(self.hottest_dram_c, *(h.dram_c for h in hottest))
        self.hottest_c = max(self.hottest_c, *(h.any_c for h in hottest))
        for stack, h in enumerate(hottest):
            if self.cattrip is None and h.any_c >= self.heat.trips.cattrip_c:
                self.cattrip = {"stack": stack, "time_s": time_s, "temperature_c": h.any_c}
        self.latest = (time_s, power_w)
        if self.looks % self.every == 0:
            self._keep(time_s, states, power_w)
        self.looks += 1
        block = len(self.heat.dies) * len(states)
        if len(self.rows) >= 2 * LOOKS_KEPT * block:
            self.rows = [row for i in range(0, len(self.rows), 2 * block) for row in self.rows[i : i + block]]
            self.every *= 2
        return hottest

    def _keep(self, time_s: float, states: list[State], power_w: list[NDArray[np.float64]]) -> None:
        dies = self.heat.dies
        for stack, (state, watts) in enumerate(zip(states, power_w, strict=True)):
            maps = self.heat.maps_c(state).reshape(len(dies), -1)
            looks = (look.tolist() for look in (maps.mean(axis=1), maps.min(axis=1), maps.max(axis=1)))
            per_die = watts.sum(axis=(1, 2))[: len(dies)].tolist()
            self.rows += [(time_s, stack, *row) for row in zip(dies, per_die, *looks, strict=True)]

    def spend(self, stack: int, seconds: float, condition: Condition, refresh_pj: float, total_pj: float) -> None:
        """A stack ran so for so long."""
        self.spent.add(stack, seconds, condition.refresh_rate, condition.bandwidth_share < 1, refresh_pj, total_pj)

    def finish(
        self,
        states: list[State],
        sustained_gb_per_s: float,
        model: dict[str, Any],
        factors: list[NDArray[np.float64]] | None = None,
    ) -> Warmth:
        """Everything for the result; `states` are the last ones.

        factors: of leakage (`Heat.factor`), means over the run; None: those of the last states.
        """
        if self.latest is not None and (not self.rows or self.rows[-1][0] != self.latest[0]):
            self._keep(self.latest[0], states, self.latest[1])  # the table ends with the last look
        names = ("time_s", "stack", "die", "power_w", "mean_c", "min_c", "max_c")
        columns = dict(zip(names, zip(*self.rows, strict=True), strict=True)) if self.rows else dict.fromkeys(names, ())
        seconds = max(float(self.spent.host_s.sum()), 1e-300)
        at_rate = self.spent.refresh_s.sum(axis=0) / seconds
        return Warmth(
            model={**describe(self.heat), **model, "cattrip": self.cattrip},
            summary={
                "temperature_c_max": self.hottest_c,
                "temperature_c_dram_max": self.hottest_dram_c,
                "sustained_gb_per_s": sustained_gb_per_s,
                "throttled_fraction": min(1.0, float(self.spent.host_s[:, 1].sum()) / seconds),
                "refresh_2x_fraction": min(1.0, float(at_rate[1])),
                "refresh_4x_fraction": min(1.0, float(at_rate[2])),
                "cattrip": int(self.cattrip is not None),
            },
            temperatures=columns,
            cells=_cells(self.heat, states),
            bank_c=self.heat.bank_c([self.heat.factor(state) for state in states] if factors is None else factors),
            spent=self.spent,
        )


def refresh_pj(heat: Heat, counts: Counts) -> NDArray[np.float64]:
    """Energy of the refreshes of every stack [pJ]."""
    return np.asarray(energy_pj(counts, heat.energies)["refresh"])


def dissipated_pj(heat: Heat, power_w: NDArray[np.float64], seconds: float) -> float:
    """What the dies of one stack dissipated [pJ], the processor's heat left out."""
    return 1e12 * seconds * float(power_w[: len(heat.dies)].sum())


def _cells(heat: Heat, states: list[State]) -> dict[str, Any]:
    ny, nx, n = heat.model.ny, heat.model.nx, len(heat.dies)
    one = ny * nx
    return {
        "stack": np.repeat(np.arange(len(states)), n * one),
        "die": np.tile(np.repeat(np.array(heat.dies, dtype=object), one), len(states)),
        "y": np.tile(np.repeat(np.arange(ny), nx), n * len(states)),
        "x": np.tile(np.arange(nx), ny * n * len(states)),
        "temperature_c": np.concatenate([heat.maps_c(state).reshape(-1) for state in states]),
    }


def describe(heat: Heat) -> dict[str, Any]:
    """Stack, cooling and trip points in JSON types."""
    stack = heat.stack
    return {
        "stack": stack.name,
        "cells": heat.model.nx,
        **{name: getattr(stack, name) for name in ("h_top_w_m2k", "coolant_c", "h_bottom_w_m2k", "bottom_c")},
        "host_w": heat.system.cooling.host_w,
        "trips": {
            name: [list(row) for row in value] if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(heat.trips).items()
        },
    }
