"""Temperatures of a run: its tables, its keys of the summary, its rows among the power states.

Owns columns and names; the loop that found the numbers is `hbmmodel.sim`, the equations are `hbmmodel.thermal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.result.table import Table

__all__ = ["CELL_COLUMNS", "TEMPERATURE_COLUMNS", "THERMAL_KEYS", "Spent", "Warmth", "cells_table", "temperature_table"]

TEMPERATURE_COLUMNS = ("time_s", "stack", "die", "power_w", "mean_c", "min_c", "max_c")
CELL_COLUMNS = ("stack", "die", "y", "x", "temperature_c")

THERMAL_KEYS = {
    "temperature_c_max": "hottest cell of any die at any time [deg C]; None unless temperature was computed",
    "temperature_c_dram_max": "the same of DRAM dies alone [deg C]",
    "sustained_gb_per_s": "bandwidth over the time that the thermal mode covers [GB/s]",
    "throttled_fraction": "share of that time in which the host throttled",
    "refresh_2x_fraction": "share of that time, mean over stacks, at twice the refresh rate",
    "refresh_4x_fraction": "the same at four times the refresh rate",
    "cattrip": "1 if a stack reached its catastrophic trip point, else 0",
}
"""Keys of the summary that are None unless a run computed temperatures."""


class Spent:
    """Time and energy of every stack at each refresh rate, and with and without a throttling host.

    Attributes
    ----------
    refresh_s, refresh_pj : float64 arrays, shape (stacks, 3)
        At 1x, 2x, 4x: time, and energy of refreshes.
    host_s, host_pj : float64 arrays, shape (stacks, 2)
        Unthrottled, throttled: time, and energy of everything.
    """

    RATES = (1, 2, 4)

    def __init__(self, stacks: int) -> None:
        self.refresh_s = np.zeros((stacks, 3))
        self.refresh_pj = np.zeros((stacks, 3))
        self.host_s = np.zeros((stacks, 2))
        self.host_pj = np.zeros((stacks, 2))

    def add(self, stack: int, seconds: float, rate: int, throttled: bool, refresh_pj: float, total_pj: float) -> None:
        """A stretch of time of one stack."""
        place = self.RATES.index(rate)
        self.refresh_s[stack, place] += seconds
        self.refresh_pj[stack, place] += refresh_pj
        self.host_s[stack, int(throttled)] += seconds
        self.host_pj[stack, int(throttled)] += total_pj

    def rows(self, stack: int) -> list[tuple[str, str, float, float, float]]:
        """(kind, state, time in ns, share, energy in pJ) of a stack; the shares of a kind sum to 1."""
        refresh = [(f"refresh_{rate}x", i) for i, rate in enumerate(self.RATES)]
        host = [("unthrottled", 0), ("throttled", 1)]
        found = []
        for kind, names, time_s, pj in (
            ("refresh", refresh, self.refresh_s[stack], self.refresh_pj[stack]),
            ("host", host, self.host_s[stack], self.host_pj[stack]),
        ):
            total = float(time_s.sum()) or 1.0
            found += [(kind, name, float(time_s[i]) * 1e9, float(time_s[i]) / total, float(pj[i])) for name, i in names]
        return found


@dataclass(frozen=True, eq=False)
class Warmth:
    """What the thermal loop found.

    Attributes
    ----------
    model : dict
        Mode, outcome, stack, cooling, trip points, in JSON types.
    summary : dict
        Keys of `THERMAL_KEYS`.
    temperatures, cells : mapping of str to array
        Columns of `TEMPERATURE_COLUMNS` and `CELL_COLUMNS`.
    bank_c : float64 array, shape (stacks, channels, pseudo-channels, banks)
        For the leakage in the energy of the run.
    spent : Spent
        Over the time that the mode covers.
    """

    model: dict[str, Any]
    summary: dict[str, Any]
    temperatures: Mapping[str, Any]
    cells: Mapping[str, Any]
    bank_c: NDArray[np.float64]
    spent: Spent = field(default_factory=lambda: Spent(1))


def _table(columns: tuple[str, ...], given: Mapping[str, Any] | None) -> Table:
    kinds = {"stack": np.int64, "y": np.int64, "x": np.int64, "die": object}
    return Table(
        {name: np.array([] if given is None else given[name], dtype=kinds.get(name, np.float64)) for name in columns}
    )


def temperature_table(given: Mapping[str, Any] | None = None) -> Table:
    """Columns of `TEMPERATURE_COLUMNS`; without anything given, no rows."""
    return _table(TEMPERATURE_COLUMNS, given)


def cells_table(given: Mapping[str, Any] | None = None) -> Table:
    """Columns of `CELL_COLUMNS`; without anything given, no rows."""
    return _table(CELL_COLUMNS, given)
