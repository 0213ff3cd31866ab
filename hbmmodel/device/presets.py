"""Reading preset files.

This file owns the checks that need no physics (types, units, labels, completeness), and the wording of errors
about them: one line that names file and field. It must not know clocks, which `derive` does, nor where files lie,
which `hbmmodel.shelf` does.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from typing import TYPE_CHECKING

from hbmmodel.device.derive import RULES, Requirement
from hbmmodel.device.model import MAXIMA, CommandBus, Rfm, Value
from hbmmodel.device.ticks import SYMBOLS
from hbmmodel.errors import HbmDeviceError
from hbmmodel.shelf import Shelf

if TYPE_CHECKING:
    from hbmmodel.device.schema import PresetRecord, ValueRecord

_ORDER: tuple[str, ...] = (
    "HBM2E_3200",
    "HBM3_5200",
    "HBM3_6400",
    "HBM3E_6400",
    "HBM3E_8000",
    "HBM3E_9200",
    "HBM3E_9600",
    "HBM4_6400",
    "HBM4_8000",
    "HBM4_10000",
    "HBM4_10700",
    "HBM4_11000",
    "HBM4E_14000_projection",
    "X_RAMULATOR21_HBM3_6400",
    "X_RAMULATOR21_HBM4_8000",
    "X_RAMULATOR21_HBM4_16000",
)
"""Where the presets that are known today stand in the list; a file that is not named here is found all the same."""

_SHELF = Shelf(resources.files("hbmmodel.device") / "presets", "device", HbmDeviceError)
_SOURCES = "sources.toml"


@dataclass(frozen=True, slots=True)
class Variant:
    """One stack of a preset: dies and the times that depend on them."""

    name: str
    die_density_gb: int
    stack_height: int
    sids: int
    rows: int
    timing: Mapping[str, Requirement]


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset file, validated, before a variant is chosen and times are rounded."""

    name: str
    standard: str
    family: str
    data_rate_mbps: int
    bits_per_ck: int
    default_variant: str
    notes: str
    half_ck: frozenset[str]
    command_bus: CommandBus
    rfm: Rfm | None
    postpone_max: int
    channels: int
    pseudo_channels: int
    dq_per_pseudo_channel: int
    bank_groups: int
    banks_per_group: int
    columns: int
    burst_bytes: int
    page_bytes: int
    organisation_confidence: str
    organisation_source: tuple[str, ...]
    timing: Mapping[str, Requirement]
    variants: Mapping[str, Variant]


def names() -> tuple[str, ...]:
    """Every preset: one for each file of the preset directory.

    Returns
    -------
    tuple of str
        Oldest standard first, then those that `_ORDER` does not know, by name; the sets for cross-validation with
        other simulators (``X_...``) last.
    """

    def place(name: str) -> tuple[bool, int, str]:
        return name.startswith("X_"), _ORDER.index(name) if name in _ORDER else len(_ORDER), name

    return tuple(sorted(_SHELF.names(), key=place))


def preset_text(file: str) -> str:
    """Text of one file of the preset directory."""
    return _SHELF.shipped(file)


def toml_text(name: str) -> str:
    """The file behind a name or a path, to be copied and edited.

    Raises
    ------
    HbmDeviceError
        There is no such preset, or the file cannot be read.

    Examples
    --------
    >>> toml_text("HBM4_8000").splitlines()[0]
    '# HBM4_8000: HBM4 (JESD270-4, JESD270-4A) at 8000 Mb/s per data pin.'
    """
    return _SHELF.text(name)[0]


@functools.lru_cache(maxsize=1)
def sources() -> Mapping[str, str]:
    """Full citation of every source label.

    Returns
    -------
    Mapping of str to str
        Label to citation.

    Raises
    ------
    HbmDeviceError
        The file is malformed.

    Examples
    --------
    >>> sources()["EST"]
    'estimate of this project'
    """
    raw = _SHELF.decode(preset_text(_SOURCES), _SOURCES)
    return _SHELF.convert(raw, dict[str, dict[str, str]], _SOURCES)["sources"]


class _Reader:
    """Turns the records of one file into requirements; remembers file and rounding for the error messages."""

    def __init__(self, file: str, record: PresetRecord) -> None:
        self.file = file
        self.half_ck = frozenset(record.rounding.half_ck)
        self.floor = frozenset(record.rounding.floor)
        self.standard = record.standard

    def fail(self, path: str, what: str) -> HbmDeviceError:
        return HbmDeviceError(f"{self.file}: {path}: {what}")

    def labels(self, labels: tuple[str, ...], path: str) -> tuple[str, ...]:
        if not labels:
            raise self.fail(f"{path}.source", "is empty; name at least one label of sources.toml")
        for label in labels:
            if label not in sources():
                raise self.fail(f"{path}.source", f"label {label!r} is not in sources.toml")
        return labels

    def number(self, value: int | float | None, path: str) -> Fraction | None:
        """A decimal of the file as an exact rational; ``repr`` gives back the digits that were written."""
        if value is None:
            return None
        if not math.isfinite(value):
            raise self.fail(path, f"{value} is not a finite number")
        if value < 0:
            raise self.fail(path, f"{value} is negative")
        return Fraction(repr(value))

    def requirement(self, name: str, raw: object, path: str) -> Requirement:
        from hbmmodel.device.schema import ValueRecord

        record = _SHELF.convert(raw, ValueRecord, self.file, path)
        self._check_unit(record, path)
        if name in MAXIMA and name not in self.floor:
            raise self.fail(path, f"{name} is a maximum; list it in rounding.floor")
        if record.rule is not None and record.rule not in RULES:
            raise self.fail(
                f"{path}.rule", f"{record.rule!r} is unknown; known: {', '.join(map(repr, RULES))}"
            )
        low, high = (
            self.number(record.low_ns, f"{path}.low_ns"),
            self.number(record.high_ns, f"{path}.high_ns"),
        )
        for field in ("low_nck", "high_nck"):
            self.number(getattr(record, field), f"{path}.{field}")
        if low is not None and high is not None and low > high:
            raise self.fail(f"{path}.low_ns", f"{record.low_ns} is above high_ns = {record.high_ns}")
        nck = self.number(record.nck, f"{path}.nck")
        value = Value(
            name=name,
            ns=None,
            ck=Fraction(0),
            unit=record.unit,
            confidence=record.confidence,
            source=self.labels(record.source, path),
            low_ns=low,
            high_ns=high,
            formula=record.formula or record.rule or _formula(record),
            note=record.note,
        )
        ns = self.number(record.ns, f"{path}.ns")
        return Requirement(value, ns, nck, record.rule, record.low_nck, record.high_nck)

    def _check_unit(self, record: ValueRecord, path: str) -> None:
        given = {key for key in ("ns", "nck", "rule") if getattr(record, key) is not None}
        wanted = {"ns": {"ns"}, "nCK": {"nck"}, "max(nCK, ns)": {"ns", "nck"}}[record.unit]
        if given not in (wanted, {"rule"}):
            fields = " and ".join(sorted(wanted))
            raise self.fail(
                path,
                f"unit {record.unit!r} wants {fields} (or a rule), got {', '.join(sorted(given)) or 'none'}",
            )


def _formula(record: ValueRecord) -> str | None:
    if record.unit == "nCK":
        return f"{record.nck} nCK"
    return f"max({record.nck} nCK, {record.ns:g} ns)" if record.unit == "max(nCK, ns)" else None


def parse(text: str, file: str) -> Preset:
    """Read a preset from its text.

    Parameters
    ----------
    text : str
        TOML.
    file : str
        File, for error messages; its name without folder and suffix must be the preset's name.

    Returns
    -------
    Preset

    Raises
    ------
    HbmDeviceError
        The text is not TOML, a field is missing, unknown, of the wrong type or unit, or contradicts another
        one. The message is one line that names file and field.
    """
    from hbmmodel.device.schema import PresetRecord

    record = _SHELF.convert(_SHELF.decode(text, file), PresetRecord, file)
    reader = _Reader(file, record)
    if f"{record.name}.toml" != os.path.basename(file):
        raise reader.fail("name", f"{record.name!r} is not the file's name")
    for name in record.rounding.floor:
        if name not in MAXIMA:
            raise reader.fail(
                "rounding.floor", f"{name!r} is not a maximum; maxima are {', '.join(sorted(MAXIMA))}"
            )
    for name in reader.half_ck:
        if name not in SYMBOLS.values():
            raise reader.fail("rounding.half_ck", f"{name!r} is not a timing symbol")
    _check_organisation(record, reader)
    timing = {name: reader.requirement(name, raw, f"timing.{name}") for name, raw in record.timing.items()}
    variants = {name: _variant(name, raw, reader) for name, raw in record.variants.items()}
    for variant in variants.values():
        _check_variant(record, variant, timing, reader)
    if record.default_variant not in variants:
        raise reader.fail(
            "default_variant", f"{record.default_variant!r} is not one of {', '.join(variants)}"
        )
    organisation, bus, rfm = record.organisation, record.command_bus, record.rfm
    return Preset(
        name=record.name,
        standard=record.standard,
        family=record.family,
        data_rate_mbps=record.data_rate_mbps,
        bits_per_ck=record.bits_per_ck,
        default_variant=record.default_variant,
        notes=re.sub(r"\s+", " ", record.notes).strip(),
        half_ck=reader.half_ck,
        command_bus=CommandBus(
            act_ticks=bus.act_ticks,
            act_reference=bus.act_reference,
            row_ticks=bus.row_ticks,
            column_ticks=bus.column_ticks,
            column_reference=bus.column_reference,
            pre_any_edge=bus.pre_any_edge,
            confidence=bus.confidence,
            source=reader.labels(bus.source, "command_bus"),
            note=bus.note,
        ),
        rfm=None
        if rfm is None
        else Rfm(
            rfm.raaimt, rfm.raammt, rfm.raadec, rfm.confidence, reader.labels(rfm.source, "rfm"), rfm.note
        ),
        postpone_max=record.refresh.postpone_max,
        channels=organisation.channels,
        pseudo_channels=organisation.pseudo_channels,
        dq_per_pseudo_channel=organisation.dq_per_pseudo_channel,
        bank_groups=organisation.bank_groups,
        banks_per_group=organisation.banks_per_group,
        columns=organisation.columns,
        burst_bytes=organisation.burst_bytes,
        page_bytes=organisation.page_bytes,
        organisation_confidence=organisation.confidence,
        organisation_source=reader.labels(organisation.source, "organisation"),
        timing=timing,
        variants=variants,
    )


def _variant(name: str, raw: object, reader: _Reader) -> Variant:
    from hbmmodel.device.schema import VariantRecord

    path = f"variants.{name}"
    if not isinstance(raw, dict):
        raise reader.fail(path, "is not a table")
    plain = {key: value for key, value in raw.items() if not isinstance(value, dict)}
    times = {key: value for key, value in raw.items() if isinstance(value, dict)}
    record = _SHELF.convert({**plain, "timing": times}, VariantRecord, reader.file, path)
    timing = {key: reader.requirement(key, value, f"{path}.{key}") for key, value in record.timing.items()}
    return Variant(name, record.die_density_gb, record.stack_height, record.sids, record.rows, timing)


def _check_organisation(record: PresetRecord, reader: _Reader) -> None:
    organisation = record.organisation
    for field in organisation.__struct_fields__:
        value = getattr(organisation, field)
        if isinstance(value, int) and value < 1:
            raise reader.fail(f"organisation.{field}", f"{value} is not positive")
    if record.data_rate_mbps < 1:
        raise reader.fail("data_rate_mbps", f"{record.data_rate_mbps} is not positive")
    bits = organisation.dq_per_pseudo_channel * organisation.burst_length
    if bits != 8 * organisation.burst_bytes:
        raise reader.fail(
            "organisation.burst_bytes",
            f"{organisation.burst_bytes} bytes are not dq x burst_length = {bits} bits",
        )
    if organisation.page_bytes != organisation.columns * organisation.burst_bytes:
        raise reader.fail(
            "organisation.page_bytes", f"{organisation.page_bytes} is not columns x burst_bytes"
        )


def _check_variant(
    record: PresetRecord, variant: Variant, timing: Mapping[str, Requirement], reader: _Reader
) -> None:
    path = f"variants.{variant.name}"
    organisation = record.organisation
    for field in ("die_density_gb", "stack_height", "sids", "rows"):
        if getattr(variant, field) < 1:
            raise reader.fail(f"{path}.{field}", f"{getattr(variant, field)} is not positive")
    for symbol in SYMBOLS.values():
        if symbol not in timing and symbol not in variant.timing:
            raise reader.fail(f"{path}.{symbol}", "is missing, here and in timing")
        if symbol in timing and symbol in variant.timing:
            raise reader.fail(f"{path}.{symbol}", "is given here and in timing; keep one")
    banks = variant.sids * organisation.bank_groups * organisation.banks_per_group
    row_bytes = organisation.channels * organisation.pseudo_channels * organisation.page_bytes
    stack = banks * variant.rows * row_bytes
    if stack * 8 != variant.die_density_gb * variant.stack_height * 2**30:
        raise reader.fail(
            f"{path}.rows",
            f"{stack / 2**30:g} GiB from rows and banks are not {variant.stack_height} dies of"
            f" {variant.die_density_gb} Gb",
        )


@functools.cache
def load(name: str) -> Preset:
    """The preset of a name.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Preset

    Raises
    ------
    HbmDeviceError
        There is no such preset, or its file is malformed.

    Examples
    --------
    >>> load("HBM4_8000").default_variant
    '24Gb_12H'
    """
    return parse(*_SHELF.text(name))


def load_file(path: str) -> Preset:
    """The preset of a file outside the package.

    Parameters
    ----------
    path : str
        A file in the format of the shipped presets. Its name may not be that of a shipped one, so that a result's
        device name says which of the two it was.

    Returns
    -------
    Preset

    Raises
    ------
    HbmDeviceError
        The file cannot be read, is malformed, or has the name of a shipped preset.
    """
    name = os.path.basename(path).removesuffix(".toml")
    if name in names():
        raise HbmDeviceError(f"{path}: {name} is the name of a shipped preset; rename file and field name")
    return parse(*_SHELF.text(path))


def load_any(name: str) -> Preset:
    """`load_file` for a name that ends with ``.toml``, `load` for any other."""
    return load_file(name) if name.endswith(".toml") else load(name)
