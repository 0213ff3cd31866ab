"""The energy of a run: the table of components and what was assumed for it.

Owns the columns of the table and the words of the assumptions; the equations are `hbmmodel.energy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hbmmodel.energy import COMPONENTS, LEVELS, Counts, energy_pj
from hbmmodel.result.table import Table
from hbmmodel.system import System

__all__ = ["ENERGY_COLUMNS", "energy_model", "energy_table", "no_energy"]

ENERGY_COLUMNS = ("stack", "component", "pj_low", "pj", "pj_high")


def no_energy() -> Table:
    """The table of a result without energy."""
    kinds = {"stack": np.int64, "component": object}
    return Table({name: np.empty(0, dtype=kinds.get(name, np.float64)) for name in ENERGY_COLUMNS})


def energy_table(system: System, counts: Counts, temperature_c: Any = None) -> Table:
    """Energy of every component of every stack [pJ], with its span: columns of `ENERGY_COLUMNS`.

    temperature_c: of every die or bank, as in `hbmmodel.energy.per_bank_pj`; None: the system's.  ``pj_low`` and
    ``pj_high`` take every value of the set at the same end of its span: the widest that the set admits.
    """
    energies, _ = system.energies()
    of = {
        level: energy_pj(
            counts,
            energies,
            level=level,
            toggle_rate=system.toggle_rate,
            dbi=system.dbi,
            temperature_c=system.temperature_c if temperature_c is None else temperature_c,
        )
        for level in LEVELS
    }
    n = counts.geometry.stacks

    def column(level: str) -> Any:
        return np.stack([of[level][name] for name in COMPONENTS], axis=1).reshape(-1)  # type: ignore[index]

    return Table(
        {
            "stack": np.repeat(np.arange(n, dtype=np.int64), len(COMPONENTS)),
            "component": np.array(list(COMPONENTS) * n, dtype=object),
            "pj_low": column("low"),
            "pj": column("typical"),
            "pj_high": column("high"),
        }
    )


def energy_model(system: System, temperature_c: Any = None) -> dict[str, Any]:
    """What was assumed, in JSON types: the set, how it was chosen, and the options.

    temperature_c: as in `energy_table`; of an array, its mean is told.
    """
    energies, chosen = system.energies()
    return {
        "set": energies.name,
        "title": energies.title,
        "kind": energies.kind,
        "notes": energies.notes,
        "chosen": chosen,
        "toggle_rate": system.toggle_rate,
        "dbi": system.dbi,
        "temperature_c": system.temperature_c if temperature_c is None else float(np.mean(temperature_c)),
    }
