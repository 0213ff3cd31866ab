"""From ns to clocks.

This file owns the arithmetic: exact rationals, rounding up for minima and down for maxima, the half-CK grid,
and the rules by which one time follows from others. It must not know files or the user's spelling of a value.

Source
------
Rounding: JESD238B.01 and JESD270-4, as quoted by third parties (labels J3 and J4 of
``presets/sources.toml``): clocks are ``ceil(t / tCK)``; tRAS, tRTP, tWR and tRP are ``0.5 * ceil(2 t /
tCK)``, because precharge may use either clock edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from hbmmodel.device.model import MAXIMA, Value
from hbmmodel.errors import HbmDeviceError

HALF = Fraction(1, 2)


def tck_ps(data_rate_mbps: int, bits_per_ck: int) -> Fraction:
    """Period of CK in ps.

    Parameters
    ----------
    data_rate_mbps : int
        Mb/s per data pin.
    bits_per_ck : int
        Bits that one pin moves in one CK: 4 for HBM3 and HBM4 (the strobe runs at twice CK), 2 for HBM2E.

    Returns
    -------
    Fraction
        Picoseconds.

    Examples
    --------
    >>> tck_ps(6400, 4)
    Fraction(625, 1)
    """
    return Fraction(bits_per_ck * 1_000_000, data_rate_mbps)


def to_ck(ns: Fraction, tck: Fraction, *, half: bool = False, down: bool = False) -> Fraction:
    """Clocks of a time: the smallest number that is not shorter, or the largest that is not longer.

    Parameters
    ----------
    ns : Fraction
        Time in ns.
    tck : Fraction
        Period of CK in ps.
    half : bool
        Whether half clocks are allowed.
    down : bool
        Whether the time is a maximum, to be rounded down.

    Returns
    -------
    Fraction
        Clocks; whole, or a multiple of one half.

    Source
    ------
    JESD238B.01, JESD270-4 (second-hand, labels J3, J4).

    Examples
    --------
    >>> to_ck(Fraction(29), Fraction(625), half=True)
    Fraction(93, 2)
    >>> to_ck(Fraction(3900), Fraction(4000, 11), down=True)
    Fraction(10725, 1)
    """
    grid = 2 if half else 1
    steps = ns * 1000 * grid / tck
    return Fraction(math.floor(steps) if down else math.ceil(steps), grid)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One time before rounding.

    Attributes
    ----------
    value : Value
        Name and provenance; its ``ns`` and ``ck`` are not looked at.
    ns : Fraction or None
        Requirement in ns.
    nck : Fraction or None
        Requirement in clocks. With both, the larger holds.
    rule : str or None
        Key of `RULES`, instead of numbers.
    low_nck, high_nck : int or None
        Range in clocks, where it is not known in ns.
    """

    value: Value
    ns: Fraction | None = None
    nck: Fraction | None = None
    rule: str | None = None
    low_nck: int | None = None
    high_nck: int | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """What rounding needs to know of a device.

    Attributes
    ----------
    tck : Fraction
        Period of CK in ps.
    half_ck : frozenset of str
        Symbols on the half-CK grid.
    banks : int
        Banks per pseudo-channel.
    """

    tck: Fraction
    half_ck: frozenset[str]
    banks: int

    def round(self, name: str, ns: Fraction) -> Fraction:
        """Clocks of the time ``name``."""
        return to_ck(ns, self.tck, half=name in self.half_ck, down=name in MAXIMA)

    def ns_of(self, ck: Fraction) -> Fraction:
        """Time in ns of a number of clocks."""
        return ck * self.tck / 1000


Resolved = Mapping[str, Value]


def _ns(values: Resolved, name: str) -> Fraction:
    value = values[name]
    assert value.ns is not None, f"{name} was resolved without ns"
    return value.ns


def _row_cycle(values: Resolved, grid: Grid) -> tuple[Fraction, Fraction]:
    """TRC = tRAS + tRP, the sum taken on the half-CK grid."""
    return _ns(values, "tRAS") + _ns(values, "tRP"), values["tRAS"].ck + values["tRP"].ck


def _copy_of(name: str) -> Callable[[Resolved, Grid], tuple[Fraction, Fraction]]:
    return lambda values, grid: (_ns(values, name), values[name].ck)


def _refresh_interval_per_bank(values: Resolved, grid: Grid) -> tuple[Fraction, Fraction]:
    ns = _ns(values, "tREFI") / grid.banks
    return ns, to_ck(ns, grid.tck, down=True)


def _refresh_intervals(values: Resolved, grid: Grid) -> tuple[Fraction, Fraction]:
    ns = 9 * _ns(values, "tREFI")
    return ns, to_ck(ns, grid.tck, down=True)


def _self_refresh_exit(values: Resolved, grid: Grid) -> tuple[Fraction, Fraction]:
    ns = max(grid.ns_of(Fraction(10)), _ns(values, "tRFCab") + 10)
    return ns, to_ck(ns, grid.tck)


def _self_refresh_exit_hbm2(values: Resolved, grid: Grid) -> tuple[Fraction, Fraction]:
    ns = _ns(values, "tRFCab") + 10
    return ns, to_ck(ns, grid.tck)


def _read_to_write(values: Resolved, grid: Grid) -> tuple[Fraction, Fraction]:
    """RD to WR: the write data may not meet the read data on the bus, whatever the strobe skew."""
    spread_ck = _ns(values, "tWDQS2DQ_spread") * 1000 / grid.tck
    ck = max(values["RL"].ck + values["nBL"].ck - values["WL"].ck + HALF + spread_ck, Fraction(0))
    return grid.ns_of(ck), Fraction(math.ceil(ck))


@dataclass(frozen=True, slots=True)
class Rule:
    """A derivation: the symbols it needs, and the function that gives (ns, clocks)."""

    needs: tuple[str, ...]
    apply: Callable[[Resolved, Grid], tuple[Fraction, Fraction]]


RULES: Mapping[str, Rule] = {
    "tRAS + tRP": Rule(("tRAS", "tRP"), _row_cycle),
    "tRFCab": Rule(("tRFCab",), _copy_of("tRFCab")),
    "tRFCpb": Rule(("tRFCpb",), _copy_of("tRFCpb")),
    "tCPDED": Rule(("tCPDED",), _copy_of("tCPDED")),
    "tREFI / banks": Rule(("tREFI",), _refresh_interval_per_bank),
    "9 * tREFI": Rule(("tREFI",), _refresh_intervals),
    "max(10 nCK, tRFCab + 10 ns)": Rule(("tRFCab",), _self_refresh_exit),
    "tRFCab + 10 ns": Rule(("tRFCab",), _self_refresh_exit_hbm2),
    "ceil(RL + nBL - WL + 0.5 + tWDQS2DQ_spread / tCK)": Rule(
        ("RL", "nBL", "WL", "tWDQS2DQ_spread"), _read_to_write
    ),
}
"""Derivations that a preset may name in a value's ``rule``."""


def _plain(need: Requirement, grid: Grid) -> Value:
    name = need.value.name
    ns = need.ns
    if need.nck is not None:
        in_ns = grid.ns_of(need.nck)
        if ns is None or in_ns > ns:
            return replace(need.value, ns=in_ns, ck=need.nck)
    assert ns is not None, f"{name} has neither ns, nck nor rule"
    return replace(need.value, ns=ns, ck=grid.round(name, ns))


def resolve(needs: Mapping[str, Requirement], grid: Grid, where: str) -> dict[str, Value]:
    """Round every requirement and apply the rules.

    A value that follows by rule from one that the user gave becomes the user's too.

    Parameters
    ----------
    needs : Mapping of str to Requirement
        By symbol.
    grid : Grid
        tCK and grid of the device.
    where : str
        Start of an error message.

    Returns
    -------
    dict of str to Value
        In the order of `needs`.

    Raises
    ------
    HbmDeviceError
        A rule needs a symbol that is missing, or rules form a circle.
    """
    done: dict[str, Value] = {}

    def settle(name: str, path: tuple[str, ...]) -> None:
        if name in done:
            return
        if name in path:
            raise HbmDeviceError(
                f"{where}: timing.{name}.rule depends on itself ({' -> '.join((*path, name))})"
            )
        need = needs.get(name)
        if need is None:
            raise HbmDeviceError(f"{where}: timing.{path[-1]}.rule needs {name}, which is missing")
        if need.rule is None:
            value = _plain(need, grid)
        else:
            rule = RULES[need.rule]
            for base in rule.needs:
                settle(base, (*path, name))
            ns, ck = rule.apply(done, grid)
            value = replace(need.value, ns=ns, ck=ck)
            given = [base for base in rule.needs if done[base].confidence == "user"]
            if given:
                value = replace(
                    value, confidence="user", low_ns=None, high_ns=None, note=f"follows {', '.join(given)}"
                )
        if need.low_nck is not None and value.confidence != "user":
            value = replace(value, low_ns=grid.ns_of(Fraction(need.low_nck)))
        if need.high_nck is not None and value.confidence != "user":
            value = replace(value, high_ns=grid.ns_of(Fraction(need.high_nck)))
        done[name] = value

    for name in needs:
        settle(name, ())
    return {name: done[name] for name in needs}
