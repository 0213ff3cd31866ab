"""What a run's counts warm its stacks to: power per cell, leakage that follows temperature, trip levels.

Owns the way from counts to temperatures of all stacks; it must not know how counts came about or what a result holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hbmmodel.energy import Counts, Geometry, leakage_per_bank_w, power_w
from hbmmodel.errors import HbmInternalError
from hbmmodel.system import System
from hbmmodel.thermal import Floorplan, Level, Model, State, Trips
from hbmmodel.thermal.cooling import HOST

if TYPE_CHECKING:
    Array = NDArray[np.float64]

__all__ = ["RUNAWAY_C", "Heat", "Hottest", "Levels"]

RUNAWAY_C = 300.0
"""Leakage has no figure beyond; a stack whose steady state would lie there has none that matters."""
SETTLED_K = 1e-7
ROUNDS_MAX = 20_000


@dataclass(frozen=True)
class Hottest:
    """Of one stack [deg C].

    Attributes
    ----------
    dram_c, any_c : float
        Hottest cell of the DRAM dies; of all dies.
    """

    dram_c: float
    any_c: float


@dataclass(frozen=True, order=True)
class Levels:
    """How all stacks run: each has its own refresh rate, the host throttles for all of them.

    Attributes
    ----------
    refresh : tuple of int
        Trip points in force, per stack.
    throttle : int
        Trip points in force at the host.
    """

    refresh: tuple[int, ...]
    throttle: int = 0

    @classmethod
    def cold(cls, stacks: int) -> Levels:
        """No trip point in force."""
        return cls((0,) * stacks)

    def stepped(self, trips: Trips, hottest: list[Hottest]) -> Levels:
        """The levels at these temperatures, coming from these levels."""
        after = [
            trips.step(Level(refresh, self.throttle), h.dram_c, h.any_c)
            for refresh, h in zip(self.refresh, hottest, strict=True)
        ]
        return Levels(tuple(level.refresh for level in after), max(level.throttle for level in after))

    def approach(self, trips: Trips, hottest: list[Hottest]) -> Levels:
        """The levels after the first trip points on the way to these temperatures; the same when there are none."""
        next_c = [trips.refresh[r][0] if r < len(trips.refresh) else math.inf for r in self.refresh]
        up = [h.dram_c >= at_c for at_c, h in zip(next_c, hottest, strict=True)]
        any_c = max(h.any_c for h in hottest)
        throttles = self.throttle < len(trips.throttle) and any_c >= trips.throttle[self.throttle][0]
        first_c = min(at_c if rises else math.inf for at_c, rises in zip(next_c, up, strict=True))
        if throttles and trips.throttle[self.throttle][0] < first_c:
            return Levels(self.refresh, self.throttle + 1)
        if any(up):
            return Levels(tuple(r + rises for r, rises in zip(self.refresh, up, strict=True)), self.throttle)
        return self.stepped(trips, hottest)


class Heat:
    """Power and temperature of all stacks of a system.

    Parameters
    ----------
    system : System
        Its cooling says stack, grid and surroundings.

    Raises
    ------
    HbmArgumentError
        The thermal stack is unknown or does not fit the device.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.trips = system.cooling.trips
        cells = system.cooling.cells
        self.stack = system.thermal_stack()
        self.model = Model(self.stack, cells, cells)
        self.geometry = Geometry.of(system.device, system.stacks)
        self.energies, _ = system.energies()
        self.dies = self.stack.die_names
        g = self.geometry
        self._plan = Floorplan(g.die_of, g.pseudo_channels, cells, cells, g.dies)
        self._reference_c = self.energies.get("leakage_reference")
        self._doubling_k = self.energies.get("leakage_doubling")
        at_reference = leakage_per_bank_w(self.energies, g, self._reference_c)[0]
        self._leakage_w = self._plan.maps(at_reference, np.zeros(g.dies))

    # ---- power ----

    def fixed_w(self, counts: Counts) -> Array:
        """Watts per cell without leakage, shape (stacks, sources, cells, cells)."""
        system = self.system
        power = power_w(counts, self.energies, leakage=False, toggle_rate=system.toggle_rate, dbi=system.dbi)
        n = self.model.n_cells
        out = np.zeros((self.geometry.stacks, len(self.model.sources), self.model.ny, self.model.nx))
        for stack in range(self.geometry.stacks):
            out[stack, 0] = power.base_w[stack] / n
            out[stack, 1 : 1 + self.geometry.dies] = self._plan.maps(power.bank_w[stack], power.die_w[stack])
        if HOST in self.model.sources:
            out[:, self.model.sources.index(HOST)] = system.cooling.host_w / n
        return out

    def _factor(self, dram_maps_c: Array) -> Array:
        return np.asarray(np.exp2((np.minimum(dram_maps_c, RUNAWAY_C) - self._reference_c) / self._doubling_k))

    def dram_maps_c(self, state: State) -> Array:
        """Maps of the DRAM dies, shape (dies, cells, cells)."""
        return self.maps_c(state)[1:]

    def maps_c(self, state: State) -> Array:
        """Maps of the base die and the DRAM dies above it, shape (1 + dies, cells, cells)."""
        return state.temperature_c()[: len(self.dies)]  # sources begin with the dies

    def with_leakage(self, fixed_w: Array, factor: Array) -> Array:
        """The power of one stack with the leakage of every cell, `factor` times that at the reference."""
        out = fixed_w.copy()
        out[1 : 1 + self.geometry.dies] += self._leakage_w * factor
        return out

    def factor(self, state: State) -> Array:
        """Leakage of every cell of the DRAM dies, as a multiple of that at the reference of the energy set."""
        return self._factor(self.dram_maps_c(state))

    def bank_c(self, factors: list[Array]) -> Array:
        """The temperature of every bank at which it leaks as its cells do, shape ``geometry.shape``.

        factors: of every stack, as `factor` gives, or means of it over time.
        """
        means = np.stack([self._plan.of_banks(factor) for factor in factors])
        return np.asarray(np.minimum(self._reference_c + self._doubling_k * np.log2(means), RUNAWAY_C))

    # ---- temperature ----

    def hottest(self, state: State) -> Hottest:
        """The hottest cells of a stack."""
        per_die = self.maps_c(state).max(axis=(1, 2))
        return Hottest(float(per_die[1:].max()), float(per_die.max()))

    def steady(self, fixed_w: Array) -> tuple[State, bool]:
        """The steady state of one stack with leakage at its own temperature, and whether there is one.

        Notes
        -----
        The iteration starts from the coldest state there can be, without leakage.  Power grows with temperature and
        temperature with power, so every iterate is warmer than the one before and colder than any solution: it
        converges to the least solution (Knaster and Tarski), or leaves `RUNAWAY_C` when there is none below.
        """
        state = self.model.steady(fixed_w)
        for _ in range(ROUNDS_MAX):
            before = self.dram_maps_c(state)
            if float(before.max()) >= RUNAWAY_C:
                return state, False
            state = self.model.steady(self.with_leakage(fixed_w, self._factor(before)))
            if float(np.abs(self.dram_maps_c(state) - before).max()) < SETTLED_K:
                return state, True
        raise HbmInternalError("the leakage of a stack did not settle; please report this")

    def contraction(self, state: State) -> float:
        """Bound on how much an error of temperature shrinks from round to round at this state; below 1 it vanishes.

        Source
        ------
        `Model.resistance_k_per_w`: Banach's fixed-point theorem in the maximum norm.
        """
        slope = self._leakage_w * self.factor(state) * (math.log(2) / self._doubling_k)
        growth = np.zeros(len(self.model.sources))
        growth[1 : 1 + self.geometry.dies] = slope.max(axis=(1, 2)) * self.model.n_cells
        return float((self.model.resistance_k_per_w() @ growth).max())
