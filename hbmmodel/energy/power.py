"""Where the power goes: per bank, per die, base die, as a thermal model needs it.

Owns the split of components over places; must not know temperatures' equations or floorplans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.energy.components import per_bank_pj
from hbmmodel.energy.counts import Counts
from hbmmodel.energy.model import EnergySet
from hbmmodel.errors import HbmArgumentError

__all__ = ["PowerMap", "power_w"]

IN_BANKS = ("activate", "column", "refresh", "leakage")
TSV_IN_DIE = 0.5
"""Share of the TSV energy that becomes heat in the DRAM die; the rest does in the base die.  Estimate."""


@dataclass(frozen=True, eq=False)
class PowerMap:
    """Mean power over a stretch of time [W].

    Attributes
    ----------
    bank_w : float64 array, shape (stacks, channels, pseudo-channels, banks)
        In the bank itself: rows, cell array, refresh, leakage.
    die_w : float64 array, shape (stacks, dies)
        In the rest of each DRAM die, die 0 next to the base die: data buses, half of the TSVs, background.
    base_w : float64 array, shape (stacks,)
        In the base die: data across it, half of the TSVs, pins.
    die_of : int64 array, shape (channels, banks)
        Die of every bank.
    """

    bank_w: NDArray[np.float64]
    die_w: NDArray[np.float64]
    base_w: NDArray[np.float64]
    die_of: NDArray[np.int64]

    @property
    def total_w(self) -> float:
        """Power of all stacks."""
        return float(self.bank_w.sum() + self.die_w.sum() + self.base_w.sum())


def power_w(counts: Counts, energies: EnergySet, *, leakage: bool = True, **options: Any) -> PowerMap:
    """Mean power of every bank, die and base die.

    Parameters
    ----------
    counts : Counts
        Of a stretch of time that is not empty.
    energies : EnergySet
    leakage : bool
        Whether leakage is in it; without, no temperature matters.
    **options
        As in `hbmmodel.energy.per_bank_pj`; a thermal loop gives ``temperature_c`` per die or per bank.

    Returns
    -------
    PowerMap
        Its parts add up to the energy of all components over the elapsed time.

    Raises
    ------
    HbmArgumentError
        No time passed.

    Source
    ------
    The split of TSV energy in halves is an estimate: a wire with a driver at one end and a load at the other.
    """
    if counts.elapsed_ticks == 0:
        raise HbmArgumentError("no time passed; there is no mean power")
    g = counts.geometry
    watts = {name: pj / (1e12 * counts.elapsed_s) for name, pj in per_bank_pj(counts, energies, **options).items()}
    shared = watts["die_bus"] + watts["background"] + TSV_IN_DIE * watts["tsv"]
    die_w = np.zeros((g.stacks, g.dies))
    for die in range(g.dies):
        die_w[:, die] = shared.sum(axis=2)[:, g.die_of == die].sum(axis=1)
    base = watts["base_die"] + watts["phy"] + (1 - TSV_IN_DIE) * watts["tsv"]
    return PowerMap(
        bank_w=np.asarray(sum(watts[name] for name in IN_BANKS if leakage or name != "leakage")),
        die_w=die_w,
        base_w=base.sum(axis=(1, 2, 3)),
        die_of=g.die_of,
    )
