"""The table of states: how long each stack was in which power state, at which refresh rate, under which host.

Owns the rows and their shares; it must not know how times were counted.
"""

from __future__ import annotations

import numpy as np

from hbmmodel.energy import Counts, background_pj
from hbmmodel.result.summary import POWER_STATES, exact_shares
from hbmmodel.result.table import Table
from hbmmodel.result.temperature import Spent
from hbmmodel.system import System

__all__ = ["POWER_STATE_COLUMNS", "counts_power", "power_states"]

POWER_STATE_COLUMNS = ("stack", "kind", "state", "time_ns", "share", "energy_pj")

_BACKGROUND = {
    "active_standby": "standby_active",
    "precharged_standby": "standby_precharged",
    "active_power_down": "down_active",
    "precharged_power_down": "down_precharged",
    "self_refresh": "self_refresh",
}


def counts_power(channels: Table) -> bool:
    """Whether the counters hold times in power states."""
    return set(POWER_STATES.values()) <= set(channels.names)


def power_states(
    system: System,
    channels: Table,
    energy: Table | None = None,
    counts: Counts | None = None,
    spent: Spent | None = None,
) -> Table:
    """Make the table from the counters of all pseudo-channels; no rows if they are missing.

    Parameters
    ----------
    system, channels
        As in the result.
    energy, counts
        For the energies; None: they are not a number (NaN).
    spent : Spent, optional
        Of a run with temperatures; None: all time at the system's refresh rate, unthrottled.
    """
    rows: list[tuple[object, ...]] = []
    tick_ns = float(system.tick_ps / 1000)
    background = {} if counts is None else background_pj(counts, system.energies()[0])
    for stack in range(system.stacks) if counts_power(channels) else ():
        mine = channels["stack"] == stack
        ticks = [int(channels[counter][mine].sum()) for counter in POWER_STATES.values()]
        shares = exact_shares(ticks) if sum(ticks) else [0.0] * len(ticks)
        n = int(mine.sum())
        for state, time, share in zip(POWER_STATES, ticks, shares, strict=True):
            pj = float(background[_BACKGROUND[state]][stack].sum()) if background else np.nan
            rows.append((stack, "power", state, time / n * tick_ns, share, pj))
        if spent is None:
            spent_here = Spent(system.stacks)
            total, refresh = _energies(energy, stack)
            seconds = sum(ticks) / n * tick_ns * 1e-9
            spent_here.add(stack, seconds, round(1 / system.refresh_multiplier), False, refresh, total)
        rows += [(stack, *row) for row in (spent or spent_here).rows(stack)]
    kinds = (np.int64, object, object, np.float64, np.float64, np.float64)
    columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
    return Table(
        {
            name: np.array(column, dtype=kind)
            for name, column, kind in zip(POWER_STATE_COLUMNS, columns, kinds, strict=True)
        }
    )


def _energies(energy: Table | None, stack: int) -> tuple[float, float]:
    """(all, refresh) energies of a stack in the table of energies [pJ]."""
    if energy is None or not energy.n_rows:
        return np.nan, np.nan
    mine = energy["stack"] == stack
    return float(energy["pj"][mine].sum()), float(energy["pj"][mine & (energy["component"] == "refresh")].sum())
