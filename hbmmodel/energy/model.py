"""What an energy set is: named values with unit, span and source, checked when made.

Owns the values that a set must have and the laws that they must obey; must not know files or counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from hbmmodel.device.model import CONFIDENCE
from hbmmodel.errors import HbmArgumentError

__all__ = ["LEVELS", "VALUES", "EnergySet", "EnergyValue", "Level"]

Level = Literal["low", "typical", "high"]
LEVELS: tuple[Level, ...] = ("low", "typical", "high")

VALUES: Mapping[str, tuple[str, str]] = {
    "row_array": ("pJ/KiB", "ACT and its precharge: bit lines, word lines, sense amplifiers, per KiB of row"),
    "row_command": ("pJ", "ACT and its precharge: the two commands on their way to the bank"),
    "column": ("pJ/bit", "cell array of a read: local and master data lines, column select"),
    "column_command": ("pJ", "a column command on its way to the bank"),
    "die_bus": ("pJ/bit", "data buses across the DRAM die"),
    "tsv": ("pJ/bit", "through-silicon vias"),
    "base_die": ("pJ/bit", "routing of data across the base die"),
    "phy": ("pJ/bit", "the stack's data pins"),
    "write_factor": ("1", "data path of a write over that of a read"),
    "refresh_bank": ("pJ/MiB", "one REF, per MiB of the bank; without it, that of the rows it refreshes"),
    "standby_precharged": ("W/die", "all banks precharged, leakage left out"),
    "standby_active": ("W/die", "some bank of every pseudo-channel open, leakage left out"),
    "down_precharged": ("W/die", "precharge power-down, leakage left out"),
    "down_active": ("W/die", "active power-down, leakage left out"),
    "self_refresh": ("W/die", "self refresh with its own refreshes, leakage left out"),
    "leakage": ("W/die", "leakage at leakage_reference"),
    "leakage_doubling": ("K", "rise of temperature that doubles leakage"),
    "leakage_reference": ("degC", "temperature at which leakage is given"),
}
"""Every value of a set: unit and meaning.  All but ``refresh_bank`` must be there."""

OPTIONAL = frozenset({"refresh_bank"})
FACTORS = frozenset({"leakage_doubling", "leakage_reference"})
"""Neither energies nor powers: their span is told, and not swept with the others."""

MONOTONE = (
    ("down_precharged", "down_active"),
    ("down_precharged", "standby_precharged"),
    ("down_active", "standby_active"),
    ("standby_precharged", "standby_active"),
    ("self_refresh", "standby_active"),
)
"""States in the order of their power."""

LARGEST = 1e9
"""Of any value, in its unit: beyond every memory, and small enough that no sum overflows."""

WIRES = ("die_bus", "tsv", "base_die")
"""Data wires inside a stack, whose coding is the set's own; the pins are ``phy``."""


@dataclass(frozen=True, slots=True)
class EnergyValue:
    """One number with its span and where it comes from.

    Attributes
    ----------
    name, unit : str
        As in `VALUES`.
    low, typical, high : float
        ``low <= typical <= high``; a single source gives three equal numbers.
    confidence : str
        A key of `hbmmodel.device.model.CONFIDENCE`.
    source : str
        Where it comes from, or how it is derived.
    """

    name: str
    unit: str
    low: float
    typical: float
    high: float
    confidence: str
    source: str

    def __post_init__(self) -> None:
        where = f"energy value {self.name}"
        if self.name not in VALUES:
            raise HbmArgumentError(f"{where} is unknown; choose one of {', '.join(VALUES)}")
        if self.unit != VALUES[self.name][0]:
            raise HbmArgumentError(f"{where}: unit is {self.unit!r}; it must be {VALUES[self.name][0]!r}")
        signed = self.name == "leakage_reference"
        for level in LEVELS:
            number = getattr(self, level)
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                raise HbmArgumentError(f"{where}: {level} is {number!r}; it must be a finite number")
            if number < 0 and not signed:
                raise HbmArgumentError(f"{where}: {level} is {number}; no energy is negative")
            if abs(number) > (300 if signed else LARGEST):
                raise HbmArgumentError(f"{where}: {level} is {number:g}; no {self.unit} is that large")
        if not self.low <= self.typical <= self.high:
            told = f"{self.low}, {self.typical}, {self.high}"
            raise HbmArgumentError(f"{where}: {told} are not in the order low, typical, high")
        if self.name == "leakage_doubling" and self.low < 1:
            raise HbmArgumentError(f"{where}: {self.low} must be at least 1 K")
        if self.confidence not in CONFIDENCE:
            raise HbmArgumentError(f"{where}: confidence is {self.confidence!r}; choose one of {', '.join(CONFIDENCE)}")
        if not self.source.strip():
            raise HbmArgumentError(f"{where} names no source")


@dataclass(frozen=True)
class EnergySet:
    """Energies of one kind of stack, with named sources.

    Attributes
    ----------
    name, title, notes : str
        Name, one line, derivation.
    kind : {"layered", "idd"}
        Components by themselves, or from currents of a data sheet.
    families : tuple of str
        Device families whose default it is.
    values : mapping of str to EnergyValue
        Keys of `VALUES`.
    toggle_rate : float
        Toggle rate at which the values of data wires hold.
    dbi_wires : tuple of str
        Those of ``die_bus, tsv, base_die`` whose values hold with DBI coding.

    Raises
    ------
    HbmArgumentError
        A value is missing, or powers of states are not in order.
    """

    name: str
    title: str
    notes: str
    kind: str
    families: tuple[str, ...]
    values: Mapping[str, EnergyValue]
    toggle_rate: float = 0.5
    dbi_wires: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"energy set {self.name}"
        missing = [name for name in VALUES if name not in self.values and name not in OPTIONAL]
        if missing:
            raise HbmArgumentError(f"{where} lacks {', '.join(missing)}")
        if not 0.01 <= self.toggle_rate <= 1:
            raise HbmArgumentError(f"{where}: toggle_rate is {self.toggle_rate}; it must be a number in 0.01..1")
        for name in self.dbi_wires:
            if name not in WIRES:
                raise HbmArgumentError(f"{where}: dbi_wires names {name!r}; choose from {', '.join(WIRES)}")
        for less, more in MONOTONE:
            for level in LEVELS:
                a, b = self.get(less, level), self.get(more, level)
                if a > b:
                    raise HbmArgumentError(f"{where}: {level} {less} ({a} W) is above {more} ({b} W)")

    def get(self, name: str, level: Level = "typical") -> float:
        """A value; factors are typical at every level."""
        value: float = getattr(self.values[name], "typical" if name in FACTORS else level)
        return value

    def __iter__(self) -> Iterator[EnergyValue]:
        return iter(self.values.values())
