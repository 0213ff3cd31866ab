"""Stack presets: ``presets/*.toml`` to `Stack`.

This file owns the form of a stack file; a file of the user's own is read in the same way. It must not know layers
or temperatures.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import msgspec

from hbmmodel.errors import HbmArgumentError
from hbmmodel.thermal.layers import Material
from hbmmodel.thermal.records import ValueRecord, convert, decode, load_text, preset_names, value_of
from hbmmodel.thermal.stack import Stack

__all__ = ["Provenance", "provenance", "stack", "stacks"]

_FOLDER = "presets"

Provenance = dict[str, ValueRecord]
"""Dotted name of every number of a stack, and its record."""


class _Geometry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    width_mm: ValueRecord
    depth_mm: ValueRecord
    height_um: ValueRecord
    base_um: ValueRecord
    core_um: ValueRecord
    beol_um: ValueRecord
    bond_um: ValueRecord
    source_um: ValueRecord
    tim_um: ValueRecord
    lid_um: ValueRecord


class _Boundary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    h_top_w_m2k: ValueRecord
    coolant_c: ValueRecord
    h_bottom_w_m2k: ValueRecord
    bottom_c: ValueRecord


class _Use(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    silicon: str
    beol: str
    bond: str
    tim: str
    lid: str


class _Material(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    k_w_mk: ValueRecord
    cv_j_m3k: ValueRecord
    k_lateral_w_mk: ValueRecord | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: int
    name: str
    dies: int
    notes: str
    geometry: _Geometry
    use: _Use
    boundary: _Boundary
    materials: dict[str, _Material] = {}
    sources: dict[str, str] = {}


_UNITS = {"um": "um", "mm": "mm", "mk": "W/(m K)", "m3k": "J/(m3 K)", "m2k": "W/(m2 K)", "c": "degC"}


def _shared(file: str) -> dict[str, object]:
    text = resources.files("hbmmodel.thermal").joinpath(_FOLDER, file).read_text(encoding="utf-8")
    return decode(text, file)


def stacks() -> tuple[str, ...]:
    """Names of the stack presets.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> "HBM4_16H_HYBRID" in stacks()
    True
    """
    return preset_names(_FOLDER)


def stack(name: str) -> Stack:
    """A stack by the name of its preset, or from a file of your own.

    Parameters
    ----------
    name : str
        One of `stacks`, or the path of a ``.toml`` file of the same form.

    Returns
    -------
    Stack

    Raises
    ------
    HbmArgumentError
        Unknown name; a file that cannot be read, is malformed, or describes no possible stack. One line that names
        file and field.

    Examples
    --------
    >>> stack("HBM3E_12H").height_um
    720.0
    """
    return _load(name)[0]


def provenance(name: str) -> Provenance:
    """Where every number of a stack comes from.

    Parameters
    ----------
    name : str
        As for `stack`.

    Examples
    --------
    >>> provenance("HBM3E_12H")["geometry.height_um"].confidence
    'spec'
    """
    return dict(_load(name)[1])


def _load(name: str) -> tuple[Stack, Provenance]:
    asked: object = name
    if isinstance(asked, str) and not asked.endswith(".toml"):
        return _load_preset(name)
    return _parse(*load_text(_FOLDER, name, "stack"))


@functools.cache
def _load_preset(name: str) -> tuple[Stack, Provenance]:
    return _parse(*load_text(_FOLDER, name, "stack"))


def _parse(text: str, file: str) -> tuple[Stack, Provenance]:
    record = convert(decode(text, file), _File, file)
    if record.schema != 1:
        raise HbmArgumentError(f"{file}: schema: {record.schema} is not 1, the one this version reads")
    sources = {**convert(_shared("sources.toml"), dict[str, str], "sources.toml"), **record.sources}
    known = {**convert(_shared("materials.toml"), dict[str, _Material], "materials.toml"), **record.materials}
    origin: Provenance = {}

    def number(path: str, value: ValueRecord) -> float:
        origin[path] = value
        return value_of(value, _UNITS[path.rpartition("_")[2]], file, path, sources)

    def material(label: str, path: str) -> Material:
        if label not in known:
            raise HbmArgumentError(f"{file}: {path}: no material {label!r}; known: {', '.join(known)}")
        rows = {n: getattr(known[label], n) for n in ("k_w_mk", "cv_j_m3k", "k_lateral_w_mk")}
        given = {n: number(f"materials.{label}.{n}", row) for n, row in rows.items() if row is not None}
        return Material(label, **given)

    values: dict[str, Any] = {
        name: number(f"{table}.{name}", getattr(getattr(record, table), name))
        for table in ("geometry", "boundary")
        for name in getattr(record, table).__struct_fields__
    }
    values |= {name: material(getattr(record.use, name), f"use.{name}") for name in record.use.__struct_fields__}
    try:
        return Stack(name=record.name, dies=record.dies, **values), origin
    except HbmArgumentError as error:
        raise HbmArgumentError(f"{file}: {error}") from None
