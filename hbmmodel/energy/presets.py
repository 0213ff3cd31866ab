"""Energy sets as files: ``sets/*.toml``, or a file of the user.

Owns reading and the two forms, ``layered`` (values as they are) and ``idd`` (currents, from which values follow); must
not know counts.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from hbmmodel.device import Device
from hbmmodel.energy.idd import Currents, Shape, Times, check_derived, derived
from hbmmodel.energy.model import VALUES, EnergySet, EnergyValue
from hbmmodel.errors import HbmArgumentError, HbmError

__all__ = ["choose", "energy_set", "energy_sets", "parse"]

HEAD = ("schema", "name", "kind", "title", "notes", "families", "toggle_rate", "dbi_wires", "values", "idd")
IDD = ("v", "i0", "i2n", "i3n", "i4r", "i4w", "i5b", "i6n", "i2p", "i3p")
IDD_TIMES = ("tck", "tras", "trp", "trfc")
IDD_COUNTS = ("banks", "rows", "burst_length", "data_rate", "burst_bits", "page_bytes", "units_per_die")


@functools.cache
def _shipped() -> Mapping[str, str]:
    folder = resources.files("hbmmodel.energy") / "sets"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {name.removesuffix(".toml"): (folder / name).read_text(encoding="utf-8") for name in names}


def energy_sets() -> tuple[str, ...]:
    """Names of the energy sets that come with hbmmodel.

    Examples
    --------
    >>> energy_sets()
    ('HBM2_DRAMSIM3_IDD', 'HBM2_OCONNOR', 'HBM3E_RECOMMENDED', 'HBM3_DREAMRAM', 'HBM4_RECOMMENDED')
    """
    return tuple(_shipped())


@functools.lru_cache(maxsize=32)
def energy_set(name: str) -> EnergySet:
    """An energy set by its name, or by the path of a TOML file.

    Parameters
    ----------
    name : str
        One of `energy_sets`, or a path that ends in ``.toml``.

    Returns
    -------
    EnergySet

    Raises
    ------
    HbmArgumentError
        There is no such set, or it is malformed or contradicts itself: negative energies, states out of order.

    Examples
    --------
    >>> energy_set("HBM3_DREAMRAM").get("tsv")
    0.883
    """
    if not isinstance(name, str):
        raise HbmArgumentError(f"energy must be the name of a set, not {name!r}")
    if name in _shipped():
        return parse(_shipped()[name], name)
    if not name.endswith(".toml"):
        names = ", ".join(_shipped())
        raise HbmArgumentError(f"there is no energy set {name!r}; choose one of {names}, or name a .toml file")
    try:
        text = Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise HbmArgumentError(f"energy set {name} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise HbmArgumentError(f"energy set {name} is not UTF-8 text") from None
    return parse(text, name)


def choose(device: Device) -> tuple[EnergySet, str]:
    """The set recommended for a device, and in what words it was chosen."""
    for name in _shipped():
        found = energy_set(name)
        if device.family in found.families:
            return found, f"{name}, recommended for {device.family}"
    found = energy_set("HBM4_RECOMMENDED" if device.standard == "HBM4" else "HBM3E_RECOMMENDED")
    return found, f"{found.name}, the nearest to {device.family}, for which there is no set"


def parse(text: str, where: str) -> EnergySet:
    """An energy set from TOML; `where` begins every message."""
    try:
        content = tomllib.loads(text)
        return _set(content)
    except tomllib.TOMLDecodeError as error:
        raise HbmArgumentError(f"energy set {where}: not TOML: {error}") from None
    except RecursionError:
        raise HbmArgumentError(f"energy set {where}: nested too deeply") from None
    except HbmError as error:
        raise HbmArgumentError(f"energy set {where}: {error}") from None


def _set(content: Mapping[str, Any]) -> EnergySet:
    unknown = [key for key in content if key not in HEAD]
    if unknown:
        raise HbmArgumentError(f"field {unknown[0]!r} is unknown; the fields are {', '.join(HEAD)}")
    if content.get("schema") != 1:
        raise HbmArgumentError(f"field 'schema' is {content.get('schema')!r}; this program reads schema 1")
    for name in ("name", "title", "notes"):
        if not isinstance(content.get(name), str):
            raise HbmArgumentError(f"field {name!r} is missing or not text")
    kind = content.get("kind")
    if kind not in ("layered", "idd"):
        raise HbmArgumentError(f"field 'kind' is {kind!r}; choose layered or idd")
    table = content.get("values", {})
    if not isinstance(table, Mapping):
        raise HbmArgumentError("field 'values' is not a table")
    values = {name: _value(name, entry) for name, entry in table.items()}
    if kind == "idd":
        values = {**_from_currents(content.get("idd")), **values}
    elif "idd" in content:
        raise HbmArgumentError("table 'idd' belongs to kind = 'idd'")
    rate = content.get("toggle_rate", 0.5)
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise HbmArgumentError(f"field 'toggle_rate' is {rate!r}; it must be a number")
    return EnergySet(
        name=content["name"],
        title=content["title"],
        notes=content["notes"].strip(),
        kind=kind,
        families=_texts(content, "families"),
        values={name: values[name] for name in VALUES if name in values},
        toggle_rate=float(rate),
        dbi_wires=_texts(content, "dbi_wires"),
    )


def _texts(content: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = content.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise HbmArgumentError(f"field {name!r} is {value!r}; it must be a list of text")
    return tuple(value)


def _value(name: str, entry: Any) -> EnergyValue:
    if name not in VALUES:
        raise HbmArgumentError(f"energy value {name} is unknown; choose one of {', '.join(VALUES)}")
    wanted = ("unit", "low", "typical", "high", "confidence", "source")
    if not isinstance(entry, Mapping) or set(entry) != set(wanted):
        raise HbmArgumentError(f"energy value {name}: it has the fields {', '.join(wanted)}")
    for field in ("unit", "confidence", "source"):
        if not isinstance(entry[field], str):
            raise HbmArgumentError(f"energy value {name}: {field} is {entry[field]!r}; it must be text")
    return EnergyValue(name, **entry)


def _from_currents(table: Any) -> dict[str, EnergyValue]:
    """Values that follow from currents of a unit (a channel, say): amperes, volts, seconds."""
    wanted = (*IDD, *IDD_TIMES, *IDD_COUNTS, "confidence", "source")
    if not isinstance(table, Mapping) or set(table) != set(wanted):
        raise HbmArgumentError(f"table 'idd' has the fields {', '.join(wanted)}")
    for name in (*IDD, *IDD_TIMES):
        if isinstance(table[name], bool) or not isinstance(table[name], int | float) or not 0 <= table[name] < 1e6:
            raise HbmArgumentError(f"idd.{name} is {table[name]!r}; it must be a number, 0 or more")
    for name in IDD_COUNTS:
        if type(table[name]) is not int or not 1 <= table[name] <= 1 << 20:
            raise HbmArgumentError(f"idd.{name} is {table[name]!r}; it must be a whole number above 0")
    if table["tck"] <= 0 or table["tras"] <= 0:
        raise HbmArgumentError("idd.tck and idd.tras must be above 0")
    current = {name: float(table[name]) for name in IDD}
    energies = derived(
        Currents(**current, i5c=0.0, i_beta=current["i0"]),
        Times(**{name: float(table[name]) for name in IDD_TIMES}, trfcsb=0.0),
        Shape(table["banks"], 1, table["burst_length"], table["data_rate"]),
    )
    check_derived("idd", energies)
    if energies.rd <= 0:
        raise HbmArgumentError("idd: IDD4R must exceed IDD3N")
    # A refresh is more than IDD5B - IDD3N here, since banks under refresh do not count as open: their standby is added.
    standby = current["v"] * (current["i3n"] - current["i2n"]) * table["trfc"] / table["banks"]
    per_die = table["units_per_die"]
    numbers = {
        "row_array": 1e12 * (energies.act + energies.pre) * 1024 / table["page_bytes"],
        "row_command": 0.0,
        "column": 1e12 * energies.rd / table["burst_bits"],
        **dict.fromkeys(("column_command", "die_bus", "tsv", "base_die", "phy"), 0.0),
        "write_factor": energies.wr / energies.rd,
        "refresh_bank": 1e12 * (energies.ref_ab_per_bank + standby) / (table["rows"] * table["page_bytes"] / 2**20),
        "standby_precharged": per_die * current["v"] * current["i2n"],
        "standby_active": per_die * current["v"] * current["i3n"],
        "down_precharged": per_die * energies.power_down_precharged,
        "down_active": per_die * energies.power_down_active,
        "self_refresh": per_die * energies.self_refresh,
        "leakage": 0.0,
        "leakage_doubling": 15.0,
        "leakage_reference": 85.0,
    }
    return {
        name: EnergyValue(name, VALUES[name][0], x, x, x, table["confidence"], table["source"])
        for name, x in numbers.items()
    }
