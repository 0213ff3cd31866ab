"""Energy: counts of commands and times in states to picojoules, per bank, with named sources and spans.

Owns the public names of the room; must not know the scheduler or traces.
"""

from hbmmodel.energy.components import (
    COMPONENTS,
    TEMPERATURE_C,
    background_pj,
    energy_pj,
    leakage_per_bank_w,
    leakage_w,
    per_bank_pj,
    per_event_pj,
)
from hbmmodel.energy.counts import Counts, Geometry
from hbmmodel.energy.model import LEVELS, VALUES, EnergySet, EnergyValue
from hbmmodel.energy.power import PowerMap, power_w
from hbmmodel.energy.presets import choose, energy_set, energy_sets, parse
from hbmmodel.energy.toggling import TOGGLE_RATE, transitions

__all__ = [
    "COMPONENTS",
    "LEVELS",
    "TEMPERATURE_C",
    "TOGGLE_RATE",
    "VALUES",
    "Counts",
    "EnergySet",
    "EnergyValue",
    "Geometry",
    "PowerMap",
    "background_pj",
    "choose",
    "energy_pj",
    "energy_set",
    "energy_sets",
    "leakage_per_bank_w",
    "leakage_w",
    "parse",
    "per_bank_pj",
    "per_event_pj",
    "power_w",
    "transitions",
]
