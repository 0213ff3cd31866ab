"""From a device in clocks to the integers of the C core, and the rules that tie these integers together.

This file owns the list of the core's device fields (a mirror of ``csrc/device_fields.def``; a test compares
the two), how each is taken from a device, and which combinations no DRAM can have. It must not know presets,
ns or sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from hbmmodel.errors import HbmDeviceError

if TYPE_CHECKING:
    from hbmmodel.device.model import Device

TICKS_PER_CK = 2
"""The core counts in half clocks, because row commands of HBM3 and HBM4 use both edges of CK."""

MAX_BANKS = 64
"""Banks per pseudo-channel that the core can hold (16-high stacks have 64)."""

RANGES: Mapping[str, tuple[int, int]] = {
    "channels": (1, 4096),
    "pseudo_channels": (1, 2),
    "sids": (1, 4),
    "bank_groups": (1, 16),
    "banks_per_group": (1, 16),
    "rows": (1, 1048576),
    "columns": (1, 1024),
    "burst_bytes": (1, 4096),
    "act_ticks": (1, 8),
    "act_reference": (0, 8),
    "row_ticks": (1, 4),
    "column_ticks": (2, 4),
    "column_reference": (0, 2),
    "pre_any_edge": (0, 1),
    "RL": (1, 4096),
    "WL": (0, 4096),
    "BL": (2, 64),
    "RCDRD": (1, 65536),
    "RCDWR": (1, 65536),
    "RP": (1, 65536),
    "RAS": (1, 65536),
    "RC": (1, 65536),
    "WR": (0, 65536),
    "RTP": (0, 65536),
    "RRDS": (0, 65536),
    "RRDL": (0, 65536),
    "FAW": (0, 65536),
    "CCDS": (2, 4096),
    "CCDL": (2, 4096),
    "CCDR": (2, 4096),
    "WTRS": (0, 65536),
    "WTRL": (0, 65536),
    "RTW": (0, 65536),
    "PPD": (0, 4096),
    "RREFD": (0, 65536),
    "REFI": (16, 16777216),
    "REFIpb": (2, 16777216),
    "RFCab": (1, 1048576),
    "RFCpb": (1, 1048576),
    "RFMab": (1, 1048576),
    "RFMpb": (1, 1048576),
    "RAAIMT": (0, 1048576),
    "RAAMMT": (0, 16777216),
    "RAADEC": (0, 1048576),
    "XP": (0, 65536),
    "CPDED": (0, 65536),
    "PDmin": (0, 65536),
    "XS": (0, 1048576),
    "postpone_max": (0, 64),
}
"""Lowest and highest value of every field, in the order of ``csrc/device_fields.def``."""

SYMBOLS: Mapping[str, str] = {
    "RL": "RL",
    "WL": "WL",
    "BL": "nBL",
    **{
        field: f"t{field}"
        for field in (
            *(
                "RCDRD",
                "RCDWR",
                "RP",
                "RAS",
                "RC",
                "WR",
                "RTP",
                "RRDS",
                "RRDL",
                "FAW",
                "CCDS",
                "CCDL",
                "CCDR",
                "WTRS",
            ),
            *(
                "WTRL",
                "RTW",
                "PPD",
                "RREFD",
                "REFI",
                "REFIpb",
                "RFCab",
                "RFCpb",
                "RFMab",
                "RFMpb",
                "XP",
                "CPDED",
            ),
            *("PDmin", "XS"),
        )
    },
}
"""JEDEC symbol of every field that is a time."""

_NOT_BELOW = (
    ("tRC", "tRAS", "a bank is precharged no earlier than tRAS after its ACT"),
    ("tCCDS", "nBL", "bursts would overlap on the data bus"),
    ("tCCDL", "tCCDS", "the same bank group is never faster than another"),
    ("tCCDR", "tCCDS", "another SID is never faster than the same SID"),
    ("tRRDL", "tRRDS", "the same bank group is never faster than another"),
    ("tWTRL", "tWTRS", "the same bank group is never faster than another"),
    ("tRFCab", "tRFCpb", "refreshing all banks takes at least as long as one"),
    ("tRFMab", "tRFMpb", "managing all banks takes at least as long as one"),
    ("tREFI", "tREFIpb", "all banks of an interval share it"),
    ("tRFCpb", "tRP", "a refresh ends with a precharge"),
    ("tRFMpb", "tRP", "refresh management ends with a precharge"),
)


def to_ticks(device: Device) -> dict[str, int]:
    """Every field of the C core for one device.

    Parameters
    ----------
    device : Device
        Times on the half-CK grid.

    Returns
    -------
    dict of str to int
        Keys and order of ``csrc/device_fields.def``; times in ticks of half a CK.
    """
    organisation, bus, rfm = device.organisation, device.command_bus, device.rfm
    plain = {
        "channels": organisation.channels,
        "pseudo_channels": organisation.pseudo_channels,
        "sids": organisation.sids,
        "bank_groups": organisation.bank_groups,
        "banks_per_group": organisation.banks_per_group,
        "rows": organisation.rows,
        "columns": organisation.columns,
        "burst_bytes": organisation.burst_bytes,
        "act_ticks": bus.act_ticks,
        "act_reference": bus.act_reference,
        "row_ticks": bus.row_ticks,
        "column_ticks": bus.column_ticks,
        "column_reference": bus.column_reference,
        "pre_any_edge": int(bus.pre_any_edge),
        "RAAIMT": rfm.raaimt,
        "RAAMMT": rfm.raammt,
        "RAADEC": rfm.raadec,
        "postpone_max": device.postpone_max,
    }
    ticks = {}
    for field in RANGES:
        if field in SYMBOLS:
            ck = device.timing[SYMBOLS[field]].ck
            ticks[field] = int(ck * TICKS_PER_CK)
        else:
            ticks[field] = plain[field]
    return ticks


def _ck_text(ck: Fraction) -> str:
    return f"{float(ck):g} CK"


def check(device: Device) -> None:
    """Refuse a device that no DRAM can be or that the core cannot hold.

    Parameters
    ----------
    device : Device
        The device to look at.

    Raises
    ------
    HbmDeviceError
        A value is missing, off the half-CK grid, out of the core's range, or contradicts another one.
    """
    where = f"device {device.name} {device.variant}"
    for symbol in SYMBOLS.values():
        if symbol not in device.timing:
            raise HbmDeviceError(f"{where}: timing {symbol} is missing; every device needs it")
        ck = device.timing[symbol].ck
        if (ck * TICKS_PER_CK).denominator != 1:
            raise HbmDeviceError(f"{where}: {symbol} = {ck} CK is not a multiple of half a CK")
    for field, value in to_ticks(device).items():
        low, high = RANGES[field]
        if not low <= value <= high:
            name = SYMBOLS.get(field, field)
            half = " half CK" if field in SYMBOLS else ""
            raise HbmDeviceError(f"{where}: {name} = {value}{half} is outside {low}..{high}{half}")
    if device.organisation.banks > MAX_BANKS:
        raise HbmDeviceError(
            f"{where}: {device.organisation.banks} banks per pseudo-channel (sids x bank_groups x"
            f" banks_per_group) are more than {MAX_BANKS}; lower sids"
        )
    _check_times(device, where)


def _check_times(device: Device, where: str) -> None:
    timing = device.timing
    for longer, shorter, why in _NOT_BELOW:
        a, b = timing[longer].ck, timing[shorter].ck
        if a < b:
            raise HbmDeviceError(
                f"{where}: {longer} = {_ck_text(a)} is shorter than {shorter} = {_ck_text(b)}: {why};"
                " change one of them"
            )
    if timing["tREFI"].ck <= timing["tRFCab"].ck:
        raise HbmDeviceError(
            f"{where}: tREFI = {_ck_text(timing['tREFI'].ck)} is not longer than tRFCab ="
            f" {_ck_text(timing['tRFCab'].ck)}: the device would only refresh; raise tREFI or lower tRFCab"
        )
    turn, why = max((timing["RL"].ck + timing["nBL"].ck - timing["WL"].ck, "RL + nBL - WL"), (timing["nBL"].ck, "nBL"))
    if timing["tRTW"].ck < turn:
        raise HbmDeviceError(
            f"{where}: tRTW = {_ck_text(timing['tRTW'].ck)} is shorter than {why} ="
            f" {_ck_text(turn)}: read data and write data would meet on the bus; raise tRTW, or change RL or WL"
        )
    for shorter in ("tRFCpb", "tRFMpb"):
        if timing["tRREFD"].ck > timing[shorter].ck:
            raise HbmDeviceError(
                f"{where}: tRREFD = {_ck_text(timing['tRREFD'].ck)} is longer than {shorter} ="
                f" {_ck_text(timing[shorter].ck)}: a bank would be ready before its neighbours; change one of them"
            )
    bus, rfm = device.command_bus, device.rfm
    if bus.act_reference > bus.act_ticks:
        raise HbmDeviceError(f"{where}: act_reference {bus.act_reference} lies behind the ACT ({bus.act_ticks} ticks)")
    if timing["tRP"].ck * TICKS_PER_CK < bus.act_reference:
        raise HbmDeviceError(f"{where}: tRP = {_ck_text(timing['tRP'].ck)} is shorter than the ACT command itself")
    if timing["tCCDS"].ck * TICKS_PER_CK < bus.column_ticks:
        raise HbmDeviceError(f"{where}: tCCDS = {_ck_text(timing['tCCDS'].ck)} is shorter than a column command")
    if rfm.raaimt > 0 and rfm.raammt < rfm.raaimt:
        raise HbmDeviceError(f"{where}: RAAMMT = {rfm.raammt} is below RAAIMT = {rfm.raaimt}; give RAAMMT >= RAAIMT")
