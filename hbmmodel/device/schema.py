"""The shape of a preset file, as strict records.

This file owns which keys a preset file may hold and of which type; anything else is refused. It must not know
what the values mean. It imports msgspec, therefore only `presets` imports it, and only when a preset is read.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Confidence = Literal["spec", "vendor", "paper", "measured", "simulator", "estimate"]
Unit = Literal["ns", "nCK", "max(nCK, ns)"]


class ValueRecord(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One time: a number in ns, in clocks, the larger of both, or a rule that derives it from other times."""

    unit: Unit
    confidence: Confidence
    source: tuple[str, ...]
    ns: int | float | None = None
    nck: int | None = None
    rule: str | None = None
    low_ns: int | float | None = None
    high_ns: int | float | None = None
    low_nck: int | None = None
    high_nck: int | None = None
    formula: str | None = None
    note: str | None = None


class RoundingRecord(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which times lie on the half-CK grid, and which are maxima."""

    half_ck: tuple[str, ...]
    floor: tuple[str, ...]


class OrganisationRecord(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The part of the organisation that all variants share."""

    channels: int
    pseudo_channels: int
    dq_per_pseudo_channel: int
    bank_groups: int
    banks_per_group: int
    columns: int
    burst_length: int
    burst_bytes: int
    page_bytes: int
    confidence: Confidence
    source: tuple[str, ...]


class CommandBusRecord(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Command lengths in ticks of half a CK."""

    act_ticks: int
    act_reference: int
    row_ticks: int
    column_ticks: int
    column_reference: int
    pre_any_edge: bool
    confidence: Confidence
    source: tuple[str, ...]
    note: str | None = None


class RefreshRecord(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Refresh rules that are not times."""

    postpone_max: int
    confidence: Confidence
    source: tuple[str, ...]


class RfmRecord(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Refresh management counts, used when a device is made with ``rfm=True``."""

    raaimt: int
    raammt: int
    raadec: int
    confidence: Confidence
    source: tuple[str, ...]
    note: str | None = None


class PresetRecord(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A preset file. Times and variants stay raw here, so that an error can name the value it is about."""

    schema: Literal[1]
    name: str
    standard: str
    family: str
    data_rate_mbps: int
    bits_per_ck: Literal[2, 4]
    default_variant: str
    notes: str
    rounding: RoundingRecord
    command_bus: CommandBusRecord
    organisation: OrganisationRecord
    refresh: RefreshRecord
    timing: dict[str, Any]
    variants: dict[str, Any]
    rfm: RfmRecord | None = None


class VariantRecord(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One stack: its dies, and the times that depend on them (kept raw, as above)."""

    die_density_gb: int
    stack_height: int
    sids: int
    rows: int
    timing: dict[str, Any]
