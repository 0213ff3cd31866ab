"""Where the banks lie on a die, and watts per bank as maps of watts per cell.

Owns the geometry of a die's plan and the way from power of parts to maps; it must not know who dissipates or why.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError

__all__ = ["STRIPE", "Floorplan"]

Array = NDArray[np.float64]

STRIPE = 0.1
"""Share of a die's depth that its middle stripe of TSVs and buses takes.  Estimate; die photographs of HBM2 and HBM3
show a stripe of that order."""


class Floorplan:
    """The plan of every DRAM die of a stack, on a grid of cells.

    A die is cut into columns, one per pseudo-channel that has banks on it, and every column into rows, one per bank,
    half of them on each side of a middle stripe that holds no bank.

    Parameters
    ----------
    die_of : int array, shape (channels, banks)
        Die of every bank, 0 next to the base die; the same for all pseudo-channels of a channel.
    pseudo_channels : int
        Per channel.
    nx, ny : int
        Cells of the grid.
    dies : int, optional
        DRAM dies; None: up to the last that has a bank.

    Raises
    ------
    HbmArgumentError
        `die_of` is not a table of whole numbers, or the grid has no cell.

    Source
    ------
    Channels on dies as in `hbmmodel.energy.Geometry`.  The plan within a die is an estimate: HBM die photographs (ISSCC
    2014 to 2024) show bank columns on both sides of a stripe of TSVs; vendors publish no coordinates.

    Examples
    --------
    >>> plan = Floorplan(np.array([[0, 0, 1, 1], [0, 0, 1, 1]]), pseudo_channels=1, nx=4, ny=4)
    >>> maps = plan.maps(np.ones((2, 1, 4)), np.zeros(2))
    >>> maps.shape, maps.sum(axis=(1, 2)).round(12).tolist()
    ((2, 4, 4), [4.0, 4.0])
    """

    def __init__(
        self, die_of: NDArray[np.int64], pseudo_channels: int, nx: int, ny: int, dies: int | None = None
    ) -> None:
        table = np.asarray(die_of)
        if table.ndim != 2 or table.dtype.kind not in "iu" or not table.size or int(table.min()) < 0:
            raise HbmArgumentError("die_of must be a table of whole numbers, (channels, banks)")
        if nx < 1 or ny < 1 or pseudo_channels < 1:
            raise HbmArgumentError("a floorplan needs at least one cell and one pseudo-channel")
        self.die_of = table.astype(np.int64)
        self.dies = int(table.max()) + 1 if dies is None else dies
        self.pseudo_channels = pseudo_channels
        self.nx, self.ny = nx, ny

    @functools.cached_property
    def _spread(self) -> list[tuple[NDArray[np.bool_], Array, Array]]:
        """Per die: its banks, and how each of its pseudo-channels lies over x and each of its banks over y."""
        spread = []
        for die in range(self.dies):
            here = self.die_of == die
            channels = np.flatnonzero(here.any(axis=1))
            columns = max(len(channels) * self.pseudo_channels, 1)
            most = max(int(here.sum(axis=1).max(initial=0)), 1)
            x = np.zeros((self.die_of.shape[0], self.pseudo_channels, self.nx))
            y = np.zeros((*self.die_of.shape, self.ny))
            for place, channel in enumerate(channels):
                for pc in range(self.pseudo_channels):
                    left = (place * self.pseudo_channels + pc) / columns
                    x[channel, pc] = _overlap(left, left + 1 / columns, self.nx)
                for row, bank in enumerate(np.flatnonzero(here[channel])):
                    y[channel, bank] = _overlap(*_rows(row, most), self.ny)
            spread.append((here, x, y))
        return spread

    def maps(self, bank_w: Array, die_w: Array) -> Array:
        """Watts per cell of every DRAM die.

        Parameters
        ----------
        bank_w : float64 array, shape (channels, pseudo-channels, banks)
            Of one stack; each bank's power lies evenly on its rectangle.
        die_w : float64 array, shape (dies,)
            Of the rest of each die, spread evenly over it.

        Returns
        -------
        float64 array, shape (dies, ny, nx)
            Sums to the power given.
        """
        out = np.empty((self.dies, self.ny, self.nx))
        for die, (here, x, y) in enumerate(self._spread):
            mine = np.flatnonzero(here.any(axis=1))
            by_row = bank_w[mine] @ y[mine]  # (channels of the die, pseudo-channels, ny); no row of a bank elsewhere
            out[die] = (by_row.transpose(0, 2, 1) @ x[mine]).sum(axis=0)
            out[die] += die_w[die] / (self.nx * self.ny)
        return out

    def of_banks(self, maps_c: Array) -> Array:
        """Mean over the rectangle of every bank, of maps (dies, ny, nx): (channels, pseudo-channels, banks)."""
        channels, banks = self.die_of.shape
        out = np.zeros((channels, self.pseudo_channels, banks))
        for die, (here, x, y) in enumerate(self._spread):
            mine = np.flatnonzero(here.any(axis=1))
            rows = y[mine] @ maps_c[die]  # (channels of the die, banks, nx); no row of a bank elsewhere
            out[mine] += x[mine] @ rows.transpose(0, 2, 1)
        return out


def _rows(row: int, n: int) -> tuple[float, float]:
    """Extent in y of bank `row` of `n`: rows of one height, with the stripe after the first half."""
    height = (1 - STRIPE) / n
    below = (n + 1) // 2
    start = row * height + (STRIPE if row >= below else 0.0)
    return start, start + height


def _overlap(low: float, high: float, n: int) -> Array:
    """Share of the interval that lies in each of `n` equal cells of 0..1; sums to 1."""
    edges = np.arange(n + 1) / n
    cut: Array = np.clip(edges, low, high)
    share = np.diff(cut)
    return np.asarray(share / share.sum())
