"""Energy sets as files: ``sets/*.toml``, or a file of the user.

Owns the two forms, ``layered`` (values as they are) and ``idd`` (currents, from which values follow); must not know
counts, nor where files lie.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import Literal

import msgspec

from hbmmodel.device import Device
from hbmmodel.energy.idd import Currents, Shape, Times, check_derived, derived
from hbmmodel.energy.model import VALUES, EnergySet, EnergyValue
from hbmmodel.errors import HbmArgumentError
from hbmmodel.shelf import Shelf

__all__ = ["choose", "energy_set", "energy_sets", "parse", "toml_text"]

_SHELF = Shelf(resources.files("hbmmodel.energy") / "sets", "energy set", HbmArgumentError)


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    unit: str
    low: float
    typical: float
    high: float
    confidence: str
    source: str


class _Idd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Currents of a unit (a channel, say) in amperes, with volts and seconds."""

    v: float
    i0: float
    i2n: float
    i3n: float
    i4r: float
    i4w: float
    i5b: float
    i6n: float
    i2p: float
    i3p: float
    tck: float
    tras: float
    trp: float
    trfc: float
    banks: int
    rows: int
    burst_length: int
    data_rate: int
    burst_bits: int
    page_bytes: int
    units_per_die: int
    confidence: str
    source: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal[1]
    name: str
    kind: Literal["layered", "idd"]
    title: str
    notes: str
    families: tuple[str, ...] = ()
    toggle_rate: float = 0.5
    dbi_wires: tuple[str, ...] = ()
    values: dict[str, _Value] = {}
    idd: _Idd | None = None


def energy_sets() -> tuple[str, ...]:
    """Names of the energy sets that come with hbmmodel.

    Examples
    --------
    >>> energy_sets()
    ('HBM2_DRAMSIM3_IDD', 'HBM2_OCONNOR', 'HBM3E_RECOMMENDED', 'HBM3_DREAMRAM', 'HBM4_RECOMMENDED')
    """
    return _SHELF.names()


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
    return parse(*_SHELF.text(name))


def toml_text(name: str) -> str:
    """The file behind a name or a path, to be copied and edited.

    Raises
    ------
    HbmArgumentError
        There is no such set, or the file cannot be read.

    Examples
    --------
    >>> toml_text("HBM4_RECOMMENDED").splitlines()[0]
    '# Recommended values for HBM4, and how each was derived.'
    """
    return _SHELF.text(name)[0]


def choose(device: Device) -> tuple[EnergySet, str]:
    """The set recommended for a device, and in what words it was chosen."""
    return _recommended(device.family, device.standard)


@functools.lru_cache(maxsize=64)
def _recommended(family: str, standard: str) -> tuple[EnergySet, str]:
    for name in energy_sets():
        found = energy_set(name)
        if family in found.families:
            return found, f"{name}, recommended for {family}"
    found = energy_set("HBM4_RECOMMENDED" if standard == "HBM4" else "HBM3E_RECOMMENDED")
    return found, f"{found.name}, the nearest to {family}, for which there is no set"


@functools.lru_cache(maxsize=64)
def parse(text: str, where: str) -> EnergySet:
    """An energy set from TOML; `where` begins every message."""
    record = _SHELF.convert(_SHELF.decode(text, where), _File, where)
    if (record.kind == "idd") != (record.idd is not None):
        raise HbmArgumentError(f"{where}: idd: the table belongs to kind = 'idd', and to no other")
    try:
        given = {
            name: EnergyValue(name, **{field: getattr(value, field) for field in value.__struct_fields__})
            for name, value in record.values.items()
        }
        values = given if record.idd is None else {**_from_currents(record.idd), **given}
        return EnergySet(
            name=record.name,
            title=record.title,
            notes=record.notes.strip(),
            kind=record.kind,
            families=record.families,
            values={name: values[name] for name in VALUES if name in values},
            toggle_rate=record.toggle_rate,
            dbi_wires=record.dbi_wires,
        )
    except HbmArgumentError as error:
        raise HbmArgumentError(f"{where}: {error}") from None


def _from_currents(table: _Idd) -> dict[str, EnergyValue]:
    """Values that follow from currents."""
    for name in table.__struct_fields__:
        number = getattr(table, name)
        if isinstance(number, int) and not 1 <= number <= 1 << 20:
            raise HbmArgumentError(f"idd.{name} is {number}; it must be a whole number from 1 to {1 << 20}")
        if isinstance(number, float) and not 0 <= number < 1e6:
            raise HbmArgumentError(f"idd.{name} is {number}; it must be a number, 0 or more")
    if table.tck <= 0 or table.tras <= 0:
        raise HbmArgumentError("idd.tck and idd.tras must be above 0")
    energies = derived(
        Currents(
            v=table.v, i0=table.i0, i2n=table.i2n, i3n=table.i3n, i4r=table.i4r, i4w=table.i4w, i5b=table.i5b, i5c=0.0,
            i6n=table.i6n, i2p=table.i2p, i3p=table.i3p, i_beta=table.i0,
        ),
        Times(tck=table.tck, tras=table.tras, trp=table.trp, trfc=table.trfc, trfcsb=0.0),
        Shape(table.banks, 1, table.burst_length, table.data_rate),
    )  # fmt: skip
    check_derived("idd", energies)
    if energies.rd <= 0:
        raise HbmArgumentError("idd: IDD4R must exceed IDD3N")
    # A refresh is more than IDD5B - IDD3N here, since banks under refresh do not count as open: their standby is added.
    standby = table.v * (table.i3n - table.i2n) * table.trfc / table.banks
    per_die = table.units_per_die
    numbers = {
        "row_array": 1e12 * (energies.act + energies.pre) * 1024 / table.page_bytes,
        "row_command": 0.0,
        "column": 1e12 * energies.rd / table.burst_bits,
        **dict.fromkeys(("column_command", "die_bus", "tsv", "base_die", "phy"), 0.0),
        "write_factor": energies.wr / energies.rd,
        "refresh_bank": 1e12 * (energies.ref_ab_per_bank + standby) / (table.rows * table.page_bytes / 2**20),
        "standby_precharged": per_die * table.v * table.i2n,
        "standby_active": per_die * table.v * table.i3n,
        "down_precharged": per_die * energies.power_down_precharged,
        "down_active": per_die * energies.power_down_active,
        "self_refresh": per_die * energies.self_refresh,
        "leakage": 0.0,
        "leakage_doubling": 15.0,
        "leakage_reference": 85.0,
    }
    return {
        name: EnergyValue(name, VALUES[name][0], x, x, x, table.confidence, table.source)
        for name, x in numbers.items()
    }
