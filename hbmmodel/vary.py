"""A system with some of its settings changed, by the names that a person types.

Owns which name belongs to which part of a system; must not know what is done with the systems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

from hbmmodel.device import Device, device, devices
from hbmmodel.device.build import override_names
from hbmmodel.errors import HbmArgumentError
from hbmmodel.shelf import did_you_mean
from hbmmodel.system import Controller, System
from hbmmodel.thermal.cooling import Cooling

__all__ = ["place_of", "settings", "vary"]


def settings() -> dict[str, set[str]]:
    """Part of a system -> the names of its fields; the device's times have names of their own."""
    return {
        "controller": {f.name for f in fields(Controller)},
        "system": {f.name for f in fields(System)} - {"device", "controller", "cooling"},
        "cooling": {f.name for f in fields(Cooling)} - {"trips"},
        "trips": {"hysteresis_c", "cattrip_c", "poll_s"},
    }


def place_of(key: str, of: Device) -> tuple[str, str]:
    """(part, name) of a setting, as ``read_queue``, ``controller.read_queue``, ``tFAW_ns`` or ``device``.

    Raises
    ------
    HbmArgumentError
        Nothing of a system is called so.
    """
    own = settings()
    if key in ("device", "variant"):
        return "preset", key
    place, _, name = key.rpartition(".")
    if not place:
        place = next((part for part, names in own.items() if name in names), "device")
    known = own[place] if place in own else set(override_names(of.name, of.variant)) if of.name in devices() else set()
    if place not in (*own, "device"):
        parts = "system., controller., cooling., trips., device."
        raise HbmArgumentError(f"{key}: a setting begins with {parts} or nothing")
    stem = name.removesuffix("_ns").removesuffix("_ck")
    if name not in known and not (place == "device" and (not known or f"{stem}_ns" in known)):
        every = set().union(*own.values(), known, ("device", "variant"))
        hint = did_you_mean(name, sorted(every if place == "device" else known))
        raise HbmArgumentError(f"{key}: a system has no {name!r}; {hint}as in controller.read_queue, tFAW_ns")
    return place, name


def vary(system: System, values: Mapping[str, Any]) -> System:
    """The system with some settings changed.

    Parameters
    ----------
    system : System
    values : mapping
        Setting to value: fields of the system, its controller, cooling or trip points, times and options of its device
        as `hbmmodel.device` takes them, ``device`` (a preset's name, or a `Device`) and ``variant``. The part may be
        named (``controller.read_queue``) or left out.

    Raises
    ------
    HbmError
        Nothing is called so, a value is refused, or the device cannot be made anew: it is not of a shipped preset.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> other = vary(hbm.System(hbm.device("HBM4_8000")), {"controller.read_queue": 32, "tFAW_ns": 14, "stacks": 2})
    >>> other.controller.read_queue, float(other.device.timing["tFAW"].ns), other.stacks
    (32, 14.0, 2)
    """
    chosen: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        place, name = place_of(key, system.device)
        chosen.setdefault(place, {})[name] = value
    made = _device(system.device, chosen.get("preset", {}), chosen.get("device", {}))
    trips = replace(system.cooling.trips, **chosen.get("trips", {}))
    return replace(
        system,
        device=made,
        controller=replace(system.controller, **chosen.get("controller", {})),
        cooling=replace(system.cooling, trips=trips, **chosen.get("cooling", {})),
        **chosen.get("system", {}),
    )


def _device(base: Device, preset: Mapping[str, Any], changed: Mapping[str, Any]) -> Device:
    if not preset and not changed:
        return base
    other = preset.get("device")
    if isinstance(other, Device):
        base, preset = other, {key: value for key, value in preset.items() if key != "device"}
        if not preset and not changed:
            return base
    if "device" in preset:
        # another preset: what was changed about the first does not carry over
        return device(preset["device"], preset.get("variant"), **changed)
    given = dict(_typed(text) for text in base.overrides)
    if base.name not in devices() or device(base.name, base.variant, **given) != base:
        raise HbmArgumentError(
            f"device {base.name} {base.variant} is not of a shipped preset, so {next(iter({**preset, **changed}))} "
            "cannot be changed here; give the devices themselves as values of 'device'"
        )
    return device(base.name, preset.get("variant", base.variant), **{**given, **changed})


def _typed(text: str) -> tuple[str, Any]:
    """An override as the device tells it, ``tFAW_ns=14`` or ``rfm=True``."""
    key, _, value = text.partition("=")
    if value in ("True", "False"):
        return key, value == "True"
    if "/" in value:
        return key, Fraction(value)
    try:
        return key, int(value)
    except ValueError:
        return key, float(value)
