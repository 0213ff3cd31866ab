"""Stack presets: ``presets/*.toml`` to `Stack`.

This file owns the form of a stack file; a file of the user's own is read in the same way. It must not know layers
or temperatures.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any, Literal, TypeVar

import msgspec

from hbmmodel.device.schema import Confidence
from hbmmodel.errors import HbmArgumentError
from hbmmodel.shelf import Shelf
from hbmmodel.thermal.layers import Material
from hbmmodel.thermal.stack import Stack

__all__ = ["Provenance", "ValueRecord", "provenance", "stack", "stacks"]

_T = TypeVar("_T")
_SHELF = Shelf(resources.files("hbmmodel.thermal") / "presets", "stack", HbmArgumentError)


class ValueRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One number of a file with where it comes from; ``low`` and ``high`` span what is plausible."""

    value: float
    unit: str
    confidence: Confidence
    source: tuple[str, ...]
    low: float | None = None
    high: float | None = None
    note: str | None = None


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
    schema: Literal[1]
    name: str
    dies: int
    notes: str
    geometry: _Geometry
    use: _Use
    boundary: _Boundary
    materials: dict[str, _Material] = {}
    sources: dict[str, str] = {}


_UNITS = {"um": "um", "mm": "mm", "mk": "W/(m K)", "m3k": "J/(m3 K)", "m2k": "W/(m2 K)", "c": "degC"}


def _shared(file: str, kind: type[_T]) -> _T:
    return _SHELF.convert(_SHELF.decode(_SHELF.shipped(file), file), kind, file)


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
    return _SHELF.names()


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
    return _parse(*_SHELF.text(name))


@functools.lru_cache(maxsize=64)
def _parse(text: str, file: str) -> tuple[Stack, Provenance]:
    record = _SHELF.convert(_SHELF.decode(text, file), _File, file)
    sources = {**_shared("sources.toml", dict[str, str]), **record.sources}
    known = {**_shared("materials.toml", dict[str, _Material]), **record.materials}
    origin: Provenance = {}

    def number(path: str, value: ValueRecord) -> float:
        origin[path] = value
        _check(value, _UNITS[path.rpartition("_")[2]], f"{file}: {path}", sources)
        return value.value

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
    try:
        values |= {name: material(getattr(record.use, name), f"use.{name}") for name in record.use.__struct_fields__}
        return Stack(name=record.name, dies=record.dies, **values), origin
    except HbmArgumentError as error:
        raise HbmArgumentError(str(error) if str(error).startswith(file) else f"{file}: {error}") from None


def _check(record: ValueRecord, unit: str, where: str, sources: dict[str, str]) -> None:
    if record.unit != unit:
        raise HbmArgumentError(f"{where}.unit: {record.unit!r} is not {unit!r}")
    if not record.source:
        raise HbmArgumentError(f"{where}.source: is empty; name at least one source")
    for label in record.source:
        if label not in sources:
            raise HbmArgumentError(f"{where}.source: label {label!r} is not in sources.toml or [sources]")
    for end in ("low", "high"):
        limit = getattr(record, end)
        if limit is not None and not (limit <= record.value if end == "low" else limit >= record.value):
            raise HbmArgumentError(f"{where}.{end}: {limit:g} does not enclose the value {record.value:g}")
