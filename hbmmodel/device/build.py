"""`device()`: a preset, a variant, and what the user changed, made into a `Device`.

This file owns the spelling of overrides and the checks of what a user types. It must not know the format of
preset files or how clocks are rounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

from hbmmodel.device.derive import Grid, Requirement, resolve, tck_ps
from hbmmodel.device.model import Device, Organisation, Rfm, Timing, Value
from hbmmodel.device.presets import Preset, Variant, load_any, names
from hbmmodel.errors import HbmDeviceError
from hbmmodel.shelf import did_you_mean

_ORGANISATION = ("rows", "sids", "channels")
_COUNTS = ("RAAIMT", "RAAMMT", "RAADEC")
_SWITCHES = ("strict_tccdl", "rfm")
_FIXED = {
    "nBL": "the burst length follows from the data pins",
    "tCK": "tCK follows from the data rate; choose another preset",
}


def devices() -> list[str]:
    """Names of all presets.

    Returns
    -------
    list of str
        Oldest standard first; the sets that repeat other simulators' inputs (``X_...``) last. A file added to the
        preset directory is among them.

    Examples
    --------
    >>> devices()[0], devices()[-1]
    ('HBM2E_3200', 'X_RAMULATOR21_HBM4_16000')
    """
    return list(names())


def device(name: str, variant: str | None = None, **overrides: Any) -> Device:
    """Make a device from a preset.

    Parameters
    ----------
    name : str
        A preset; `devices` lists them. Or the path of a preset file of your own, ending in ``.toml``.
    variant : str, optional
        Stack variant, e.g. ``"24Gb_12H"``. The preset's own default if not given.
    **overrides
        * A time by its JEDEC symbol with the unit in the name: ``tRCDRD_ns=14`` (ns, rounded to clocks as the
          standard says) or ``tCCDL_ck=5`` (CK; halves only for symbols on the half-CK grid). Times that
          follow from a changed one (tRC, tRTW, tREFIpb, tRFMab, tXS, ...) change with it unless they are
          given too. The ``X_`` sets state every time outright; in them only tRC follows.
        * ``rows``, ``sids``, ``channels``: organisation of the stack. Times that depend on the dies (tRFCab)
          stay.
        * ``strict_tccdl=True``: HBM4 with the literal rule tCCDL = max(4 nCK, 2.5 ns).
        * ``rfm=True``: the device needs refresh management, with the preset's estimates; ``RAAIMT``,
          ``RAAMMT``
          and ``RAADEC`` replace them.

    Returns
    -------
    Device
        Immutable; every overridden value has confidence ``"user"``.

    Raises
    ------
    HbmDeviceError
        Unknown preset, variant or override; a value that is not finite, negative, of the wrong type or off
        the clock grid; values that contradict each other. The message is one line that names the value and
        the remedy.

    Examples
    --------
    >>> hbm4 = device("HBM4_8000", variant="24Gb_12H")
    >>> hbm4.peak_gb_per_s, float(hbm4.timing["tRCDRD"].ns), int(hbm4.timing["tRCDRD"].ck)
    (2048.0, 16.0, 32)
    >>> device("HBM4_8000", tRCDRD_ns=14).timing["tRCDRD"].confidence
    'user'
    """
    if not isinstance(name, str):
        raise HbmDeviceError(f"device name {name!r} is not a string; devices: {', '.join(names())}")
    preset = load_any(name)
    stack = _choose(preset, variant)
    where = f"device {preset.name} {stack.name}"
    needs = {**preset.timing, **stack.timing}
    given = _Overrides.of(overrides, needs, where)
    organisation = _organisation(preset, stack, given.organisation)
    needs = _apply_times(needs, given, preset, where)
    grid = Grid(tck_ps(preset.data_rate_mbps, preset.bits_per_ck), preset.half_ck, organisation.banks)
    timing = resolve(needs, grid, where)
    _check_row_cycle(timing, given, where)
    _check_refresh_times(timing, given, organisation.banks, where)
    return Device(
        name=preset.name,
        variant=stack.name,
        standard=preset.standard,
        family=preset.family,
        data_rate_mbps=preset.data_rate_mbps,
        tck_ps=grid.tck,
        organisation=organisation,
        timing=Timing(timing.values()),
        command_bus=preset.command_bus,
        rfm=_rfm(preset, given, where),
        postpone_max=preset.postpone_max,
        notes=preset.notes,
        overrides=tuple(f"{key}={value}" for key, value in sorted(overrides.items())),
    )


def _choose(preset: Preset, variant: object) -> Variant:
    key = preset.default_variant if variant is None else variant
    if isinstance(key, str) and key in preset.variants:
        return preset.variants[key]
    raise HbmDeviceError(
        f"device {preset.name} has no variant {key!r}; variants: {', '.join(preset.variants)}"
    )


@dataclass(frozen=True, slots=True)
class _Overrides:
    """What the user gave, sorted by kind and with types checked."""

    ns: Mapping[str, Fraction]
    ck: Mapping[str, Fraction]
    organisation: Mapping[str, int]
    counts: Mapping[str, int]
    switches: Mapping[str, bool]

    @classmethod
    def of(cls, raw: Mapping[str, Any], needs: Mapping[str, Requirement], where: str) -> _Overrides:
        ns: dict[str, Fraction] = {}
        ck: dict[str, Fraction] = {}
        organisation: dict[str, int] = {}
        counts: dict[str, int] = {}
        switches: dict[str, bool] = {}
        for key, value in raw.items():
            symbol, _, unit = key.rpartition("_")
            if key in _ORGANISATION:
                organisation[key] = _count(key, value, 1, where)
            elif key in _COUNTS:
                counts[key] = _count(key, value, 0, where)
            elif key in _SWITCHES:
                if not isinstance(value, bool):
                    raise HbmDeviceError(f"{where}: {key} = {value!r} is not True or False")
                switches[key] = value
            elif symbol in needs and unit in ("ns", "ck") and symbol not in _FIXED:
                (ns if unit == "ns" else ck)[symbol] = _time(key, value, where)
            else:
                raise HbmDeviceError(f"{where}: {_unknown(key, needs)}")
        for symbol in ns:
            if symbol in ck:
                raise HbmDeviceError(
                    f"{where}: {symbol} is given as {symbol}_ns and as {symbol}_ck; give one of them"
                )
        return cls(ns, ck, organisation, counts, switches)


def _unknown(key: str, needs: Mapping[str, Requirement]) -> str:
    """Why an override's name is refused, and what was probably meant."""
    symbol = key.rpartition("_")[0] if key.endswith(("_ns", "_ck")) else key
    if symbol in _FIXED:
        return f"{key} cannot be overridden: {_FIXED[symbol]}"
    if key in needs:
        return f"override {key!r} lacks its unit; write {key}_ns=... or {key}_ck=..."
    symbols = ", ".join(name for name in needs if name not in _FIXED)
    others = ", ".join((*_ORGANISATION, *_COUNTS, *_SWITCHES))
    hint = did_you_mean(key, _settable(needs))
    return f"unknown override {key!r}; {hint}with _ns or _ck: {symbols}; others: {others}"


def _settable(needs: Mapping[str, Requirement]) -> list[str]:
    times = [f"{name}_{unit}" for name in needs if name not in _FIXED for unit in ("ns", "ck")]
    return [*times, *_ORGANISATION, *_COUNTS, *_SWITCHES]


def override_names(name: str, variant: str | None = None) -> list[str]:
    """What `device` takes as overrides of a preset.

    Raises
    ------
    HbmDeviceError
        Unknown preset or variant.

    Examples
    --------
    >>> "tRCDRD_ns" in override_names("HBM4_8000")
    True
    """
    preset = load_any(name)
    return _settable({**preset.timing, **_choose(preset, variant).timing})


def _count(key: str, value: object, low: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise HbmDeviceError(f"{where}: {key} = {value!r} is not an integer")
    if value < low:
        raise HbmDeviceError(f"{where}: {key} = {value} is below {low}; give {low} or more")
    return int(value)


def _time(key: str, value: object, where: str) -> Fraction:
    """A user's number as an exact rational. A float means the decimal that it prints as: 16.4 is 164/10."""
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise HbmDeviceError(f"{where}: {key} = {value!r} is not a number")
    if not math.isfinite(value):
        raise HbmDeviceError(f"{where}: {key} = {value} is not finite")
    if value < 0:
        raise HbmDeviceError(f"{where}: {key} = {value} is negative; give 0 or more, or leave it out for the preset's")
    if isinstance(value, Fraction | Decimal | int):
        return Fraction(value)
    return Fraction(int(value)) if isinstance(value, Integral) else Fraction(repr(float(value)))


def _organisation(preset: Preset, stack: Variant, given: Mapping[str, int]) -> Organisation:
    channels = given.get("channels", preset.channels)
    return Organisation(
        channels=channels,
        pseudo_channels=preset.pseudo_channels,
        sids=given.get("sids", stack.sids),
        bank_groups=preset.bank_groups,
        banks_per_group=preset.banks_per_group,
        rows=given.get("rows", stack.rows),
        columns=preset.columns,
        burst_bytes=preset.burst_bytes,
        page_bytes=preset.page_bytes,
        dq_per_stack=channels * preset.pseudo_channels * preset.dq_per_pseudo_channel,
        die_density_gb=stack.die_density_gb,
        stack_height=stack.stack_height,
        confidence="user" if given else preset.organisation_confidence,
        source=() if given else preset.organisation_source,
    )


def _apply_times(
    needs: Mapping[str, Requirement], given: _Overrides, preset: Preset, where: str
) -> dict[str, Requirement]:
    changed = dict(needs)
    if given.switches.get("strict_tccdl", False):
        if "tCCDL_strict" not in needs:
            raise HbmDeviceError(
                f"{where}: strict_tccdl applies to HBM4 presets only, whose default tCCDL departs from the"
                " standard's literal rule; drop it"
            )
        if "tCCDL" in given.ns or "tCCDL" in given.ck:
            raise HbmDeviceError(f"{where}: tCCDL and strict_tccdl=True are both given; give one of them")
        strict = needs["tCCDL_strict"]
        changed["tCCDL"] = replace(strict, value=replace(strict.value, name="tCCDL"))
    for symbol, ns in given.ns.items():
        changed[symbol] = Requirement(_users(symbol, "ns"), ns=ns)
    for symbol, ck in given.ck.items():
        grid = 2 if symbol in preset.half_ck or symbol == "tRC" else 1
        if (ck * grid).denominator != 1:
            allowed = "halves" if grid == 2 else "whole clocks"
            raise HbmDeviceError(
                f"{where}: {symbol}_ck = {float(ck):g} is off the clock grid; give {allowed}"
            )
        changed[symbol] = Requirement(_users(symbol, "nCK"), nck=ck)
    user = {*given.ns, *given.ck}
    if user & {"tRAS", "tRP"} and "tRC" not in user:
        base = needs["tRC"].value
        changed["tRC"] = Requirement(replace(base, formula="tRAS + tRP"), rule="tRAS + tRP")
    return changed


def _users(symbol: str, unit: str) -> Value:
    return Value(name=symbol, ns=None, ck=Fraction(0), unit=unit, confidence="user")


def _check_row_cycle(timing: Mapping[str, Value], given: _Overrides, where: str) -> None:
    """An explicit tRC must be the sum of tRAS and tRP, in the unit in which it is given."""
    rc, ras, rp = timing["tRC"], timing["tRAS"], timing["tRP"]
    if "tRC" in given.ns and ras.ns is not None and rp.ns is not None:
        if given.ns["tRC"] != ras.ns + rp.ns:
            raise HbmDeviceError(
                f"{where}: tRC_ns = {float(given.ns['tRC']):g} is not tRAS + tRP = {float(ras.ns):g} +"
                f" {float(rp.ns):g} ns; change tRAS_ns or tRP_ns and leave tRC out"
            )
    if "tRC" in given.ck and rc.ck != ras.ck + rp.ck:
        raise HbmDeviceError(
            f"{where}: tRC_ck = {float(rc.ck):g} is not tRAS + tRP = {float(ras.ck):g} + {float(rp.ck):g} CK;"
            " change tRAS_ck or tRP_ck and leave tRC out"
        )


def _check_refresh_times(timing: Mapping[str, Value], given: _Overrides, banks: int, where: str) -> None:
    """A user's tREFIpb refreshes every bank in time; a user's tRASmax leaves the time that a late refresh may take."""
    ns = {name: value.ns for name, value in timing.items() if name in given.ns or name in given.ck}
    interval = timing["tREFI"].ns or Fraction(0)
    per_bank, open_at_most = ns.get("tREFIpb"), ns.get("tRASmax")
    if per_bank is not None and per_bank * banks > interval:
        raise HbmDeviceError(
            f"{where}: tREFIpb = {float(per_bank):g} ns is longer than tREFI / banks = {float(interval / banks):g} ns:"
            " a bank would be refreshed too late; change tREFI_ns and leave tREFIpb out"
        )
    if open_at_most is not None and open_at_most < 9 * interval:
        raise HbmDeviceError(
            f"{where}: tRASmax = {float(open_at_most):g} ns is shorter than 9 * tREFI = {float(9 * interval):g} ns:"
            " rows are closed for a refresh, which may be that late; change tREFI_ns and leave tRASmax out"
        )


def _rfm(preset: Preset, given: _Overrides, where: str) -> Rfm:
    counts = given.counts
    if "rfm" in given.switches and not given.switches["rfm"] and counts:
        raise HbmDeviceError(f"{where}: {', '.join(counts)} given with rfm=False; drop one of them")
    if not given.switches.get("rfm", bool(counts)):
        return Rfm()
    if preset.rfm is None:
        raise HbmDeviceError(
            f"{where}: {preset.standard} defines no refresh management; drop {', '.join(counts) or 'rfm'}"
        )
    raaimt = counts.get("RAAIMT", preset.rfm.raaimt)
    if raaimt == 0:
        raise HbmDeviceError(
            f"{where}: RAAIMT = 0 means that no refresh management is needed; use rfm=False instead"
        )
    factor = Fraction(preset.rfm.raammt, preset.rfm.raaimt)
    return Rfm(
        raaimt=raaimt,
        raammt=counts.get("RAAMMT", math.ceil(factor * raaimt)),
        raadec=counts.get("RAADEC", raaimt if preset.rfm.raadec == preset.rfm.raaimt else preset.rfm.raadec),
        confidence="user" if counts else preset.rfm.confidence,
        source=() if counts else preset.rfm.source,
        note=None if counts else preset.rfm.note,
    )
