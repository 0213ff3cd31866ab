"""The table of banks: what each was asked to do, and what that cost.

Owns its columns; the counts are the core's, the equations `hbmmodel.energy`'s.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hbmmodel.energy import Counts, per_bank_pj
from hbmmodel.result.table import Table
from hbmmodel.system import System

__all__ = ["BANK_COLUMNS", "bank_table"]

BANK_COLUMNS = ("stack", "channel", "pseudo_channel", "bank", "n_act", "n_rd", "n_wr", "energy_pj")


def bank_table(system: System | None = None, counts: Counts | None = None, temperature_c: Any = None) -> Table:
    """One row per bank of every stack: columns of `BANK_COLUMNS`; without counts, no rows.

    temperature_c: of every die or bank, as in `hbmmodel.energy.per_bank_pj`; None: the system's.
    """
    if system is None or counts is None:
        kinds = {"energy_pj": np.float64}
        return Table({name: np.empty(0, dtype=kinds.get(name, np.int64)) for name in BANK_COLUMNS})
    parts = per_bank_pj(
        counts,
        system.energies()[0],
        toggle_rate=system.toggle_rate,
        dbi=system.dbi,
        temperature_c=system.temperature_c if temperature_c is None else temperature_c,
    )
    place = np.indices(counts.geometry.shape).reshape(4, -1)
    return Table(
        {
            **dict(zip(BANK_COLUMNS[:4], place, strict=True)),
            **{name: getattr(counts, name).reshape(-1) for name in ("n_act", "n_rd", "n_wr")},
            "energy_pj": np.sum(list(parts.values()), axis=0).reshape(-1),
        }
    )
