"""Temperatures of the hottest stack: its dies over time, and a cut through it at the end.

Owns which stack and which cut; must not know how temperatures were computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["CrossSection", "DieTemperatures", "cross_section", "die_temperatures"]

TIMES_MAX = 300


@dataclass(frozen=True, eq=False)
class DieTemperatures:
    """Temperatures of every die of one stack over time [deg C].

    Attributes
    ----------
    stack : int
        The hottest one.
    dies : tuple of str
        From the base die upwards.
    time_s : float64 array, shape (n,)
    mean_c, max_c : float64 arrays, shape (dies, n)
    power_w : float64 array, shape (dies, n)
    """

    stack: int
    dies: tuple[str, ...]
    time_s: NDArray[np.float64]
    mean_c: NDArray[np.float64]
    max_c: NDArray[np.float64]
    power_w: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CrossSection:
    """Last temperatures of one stack in the plane through its hottest cell [deg C].

    Attributes
    ----------
    stack, y : int
        Stack and row of cells.
    dies : tuple of str
        From the base die upwards.
    temperature_c : float64 array, shape (dies, nx)
    """

    stack: int
    y: int
    dies: tuple[str, ...]
    temperature_c: NDArray[np.float64]


def die_temperatures(result: Result) -> DieTemperatures | None:
    """Temperatures over time; None if none were computed."""
    table = result.temperature
    if not len(table):
        return None
    stack = int(table["stack"][int(np.argmax(table["max_c"]))])
    mine = table.take(table["stack"] == stack)
    time, at = np.unique(mine["time_s"], return_inverse=True)
    dies = tuple(dict.fromkeys(mine["die"].tolist()))
    row = np.array([dies.index(die) for die in mine["die"].tolist()])

    def laid(column: str) -> NDArray[np.float64]:
        values = np.full((len(dies), len(time)), np.nan)
        values[row, at] = mine[column]
        return values[:, kept]

    kept = np.arange(len(time))
    if len(time) > TIMES_MAX:
        kept = np.unique(np.linspace(0, len(time) - 1, TIMES_MAX).round().astype(np.int64))
    return DieTemperatures(stack, dies, time[kept], laid("mean_c"), laid("max_c"), laid("power_w"))


def cross_section(result: Result) -> CrossSection | None:
    """A cut through the hottest cell at the end; None if no temperatures were computed."""
    cells = result.temperature_cells
    if not len(cells):
        return None
    hottest = int(np.argmax(cells["temperature_c"]))
    stack, y = int(cells["stack"][hottest]), int(cells["y"][hottest])
    mine = cells.take((cells["stack"] == stack) & (cells["y"] == y))
    dies = tuple(dict.fromkeys(mine["die"].tolist()))
    rows = [mine["temperature_c"][mine["die"] == die][np.argsort(mine["x"][mine["die"] == die])] for die in dies]
    return CrossSection(stack, y, dies, np.array(rows, dtype=np.float64))
