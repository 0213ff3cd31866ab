"""The recorded files of Ramulator 2.1 runs: names of runs, requests, device numbers, address maps.

It owns what is read from a directory and how bad input is refused; it must not know how a run is computed,
nor look at any recorded result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hbmmodel.device import device
from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.index import NPZ_FAULTS
from hbmmodel.validate.recorded import read_json

__all__ = [
    "DEVICES",
    "MAPS",
    "REFRESHES",
    "SCHEDULERS",
    "Places",
    "Requests",
    "RunName",
    "decode",
    "device_ticks",
    "read_arrays",
    "read_requests",
    "read_runs",
    "resolved_ticks",
]

DEVICES: Mapping[str, tuple[str, str]] = {
    "HBM3_6400": ("HBM3", "HBM3_16Gb_8hi|HBM3_6400Mbps"),
    "HBM4_8000": ("HBM4", "HBM4_32Gb_8Hi|HBM4_8000Mbps"),
    "HBM4_16000": ("HBM4", "HBM4_32Gb_8Hi|HBM4_16000Mbps"),
}
"""Standard and resolved preset (organisation, timing) behind each device name of a run."""

MAPS = ("RoBaRaCoCh", "MOP4CLXOR")
REFRESHES = ("none", "ab", "pb")
SCHEDULERS = ("FRFCFS", "FRFCFSRowHit")

_ADDRESS_END = 2**46
"""Rows are 32-bit numbers in that simulator; the bits above the other coordinates must fit."""

_FIELDS: Mapping[str, str] = {
    "RL": "nCL",
    "WL": "nCWL",
    "RFCab": "nRFC",
    **{
        name: f"n{name}"
        for name in (
            *("BL", "RCDRD", "RCDWR", "RP", "RAS", "RC", "WR", "RTP", "RRDS", "RRDL", "FAW", "CCDS", "CCDL"),
            *("CCDR", "WTRS", "WTRL", "RTW", "PPD", "RREFD", "REFI", "REFIpb", "RFCpb", "RFMab", "RFMpb"),
        )
    },
}
"""That simulator's name of each timing of the core."""

_ORGANISATION: Mapping[str, str] = {
    "pseudo_channels": "pseudochannel",
    "sids": "sid",
    "bank_groups": "bankgroup",
    "banks_per_group": "bank",
    "rows": "row",
}


@dataclass(frozen=True)
class RunName:
    """The five parts of a run's name, ``device|map|refresh|scheduler|trace``.

    Examples
    --------
    >>> RunName.parse("HBM4_8000|RoBaRaCoCh|pb|FRFCFS|rand_rd", "runs.json").trace
    'rand_rd'
    """

    device: str
    mapping: str
    refresh: str
    scheduler: str
    trace: str

    @classmethod
    def parse(cls, text: str, where: str) -> RunName:
        """Split and check a name.

        Parameters
        ----------
        text : str
            The name.
        where : str
            Where it was found, for the message.

        Raises
        ------
        HbmTraceError
            A part is missing or unknown.
        """
        parts = text.split("|")
        if len(parts) != 5:
            raise HbmTraceError(f"{where}: run {text!r}: expected device|map|refresh|scheduler|trace")
        name = cls(*parts)
        for what, value, known in (
            ("device", name.device, tuple(DEVICES)),
            ("map", name.mapping, MAPS),
            ("refresh", name.refresh, REFRESHES),
            ("scheduler", name.scheduler, SCHEDULERS),
        ):
            if value not in known:
                raise HbmTraceError(
                    f"{where}: run {text!r}: {what} {value!r} is unknown; use {', '.join(known)}"
                )
        return name


@dataclass(frozen=True)
class Requests:
    """One in-order stream of requests, one entry per request.

    Attributes
    ----------
    address : uint64 array
        Bytes.
    is_write : uint8 array
        0 or 1.
    tick : int64 array
        Earliest tick (half CK) at which the request may be offered.
    """

    address: npt.NDArray[np.uint64]
    is_write: npt.NDArray[np.uint8]
    tick: npt.NDArray[np.int64]

    def head(self, n: int) -> Requests:
        """The first n requests."""
        return Requests(self.address[:n], self.is_write[:n], self.tick[:n])


@dataclass(frozen=True)
class Places:
    """Where requests go within the channel; ``bank`` is flat within the pseudo-channel."""

    pseudo_channel: npt.NDArray[np.int32]
    bank: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    column: npt.NDArray[np.int32]


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of a ``.npz`` archive, by name.

    Raises
    ------
    HbmTraceError
        The file is missing, no such archive, or holds objects instead of numbers.
    """
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it is a single array")
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise HbmTraceError(f"{path}: not found; the directory of recorded runs must hold it") from None
    except NPZ_FAULTS as error:
        reason = str(error).splitlines()[0] if str(error) else "it is empty"
        raise HbmTraceError(f"{path}: not a readable .npz archive: {reason}") from None


def read_requests(path: Path) -> dict[str, Requests]:
    """All traces of a ``requests.npz``.

    Parameters
    ----------
    path : Path
        The archive; arrays ``T__address``, ``T__is_write``, ``T__tick`` for each trace T.

    Raises
    ------
    HbmTraceError
        The file or an array is missing or malformed.
    """
    arrays = read_arrays(path)
    traces = sorted({name.rpartition("__")[0] for name in arrays if "__" in name})
    if not traces:
        raise HbmTraceError(f"{path}: holds no trace; expected arrays like 'seq_rd__address'")
    return {trace: _requests(arrays, trace, f"{path}: trace {trace}") for trace in traces}


def _requests(arrays: Mapping[str, npt.NDArray[Any]], trace: str, where: str) -> Requests:
    found = {}
    for field, end in (("address", _ADDRESS_END), ("is_write", 2), ("tick", 2**60)):
        values = arrays.get(f"{trace}__{field}")
        if values is None:
            raise HbmTraceError(f"{where}: array {trace}__{field} is missing")
        if values.ndim != 1 or values.dtype.kind not in "iub":
            kind = f"{values.dtype}, {values.ndim}-dimensional"
            raise HbmTraceError(f"{where}: {field} must be a list of integers, not {kind}")
        bad = np.flatnonzero((values < 0) | (values >= end))
        if bad.size:
            first = int(bad[0])
            raise HbmTraceError(f"{where}: request {first}: {field} {values[first]} is outside 0..{end - 1}")
        found[field] = values
    if len({values.size for values in found.values()}) != 1:
        raise HbmTraceError(f"{where}: address, is_write and tick differ in length")
    return Requests(
        np.ascontiguousarray(found["address"], np.uint64),
        np.ascontiguousarray(found["is_write"], np.uint8),
        np.ascontiguousarray(found["tick"], np.int64),
    )


def read_runs(directory: Path, traces: list[str]) -> dict[str, Mapping[str, Any]]:
    """Names of the runs to compute and, where recorded, their values.

    Without a ``runs.json``: every combination of device, map, refresh, scheduler and the given traces. A
    run whose values were stripped has an empty mapping.

    Raises
    ------
    HbmTraceError
        ``runs.json`` is malformed.
    """
    path = directory / "runs.json"
    if not path.exists():
        combinations = product(DEVICES, MAPS, REFRESHES, SCHEDULERS, traces)
        return {"|".join(parts): {} for parts in combinations}
    content = read_json(path)
    runs = content.get("runs", content) if isinstance(content, dict) else content
    if isinstance(runs, list):
        runs = dict.fromkeys(runs) if all(isinstance(name, str) for name in runs) else None
    if not isinstance(runs, dict):
        raise HbmTraceError(f"{path}: expected an object of runs, by name")
    if not runs:
        raise HbmTraceError(f"{path}: holds no runs; name some, or remove the file to compute all combinations")
    for name, values in runs.items():
        if values is not None and not isinstance(values, dict):
            raise HbmTraceError(f"{path}: run {name}: expected an object of values or null")
    return {name: values or {} for name, values in runs.items()}


def resolved_ticks(base: Mapping[str, int], entry: Any, where: str) -> dict[str, int]:
    """The core's numbers of a device, with those that the simulator resolved put in.

    Parameters
    ----------
    base : mapping of str to int
        Fields of the core; keeps what the simulator does not have (command lengths, for one).
    entry : mapping
        ``org`` and ``timing_CK`` as in ``presets.json`` and ``timing_constraints.json``; times in CK.
    where : str
        Where the entry was found, for messages.

    Returns
    -------
    dict of str to int
        Times in ticks of half a CK.

    Raises
    ------
    HbmTraceError
        A number is missing or not a multiple of half a CK.
    """
    ticks = dict(base)
    organisation, timing = _part(entry, "org", where), _part(entry, "timing_CK", where)
    for field, name in _ORGANISATION.items():
        ticks[field] = _integer(organisation, name, 1, f"{where}: org")
    ticks["columns"] = _integer(organisation, "column", 1, f"{where}: org") // 8  # bursts of 8
    for field, name in _FIELDS.items():
        ticks[field] = _integer(timing, name, 2, f"{where}: timing_CK")
    return ticks


def _part(entry: Any, key: str, where: str) -> Mapping[str, Any]:
    part = entry.get(key) if isinstance(entry, Mapping) else None
    if not isinstance(part, Mapping):
        raise HbmTraceError(f"{where}: object {key} is missing")
    return part


def _integer(values: Mapping[str, Any], name: str, scale: int, where: str) -> int:
    value = values.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value < 2**40 and value * scale % 1 == 0:
            return int(value * scale)
    raise HbmTraceError(f"{where}: {name} = {value!r} is not a positive multiple of 1/{scale}")


def device_ticks(directory: Path, name: str) -> dict[str, int]:
    """The core's numbers of a run's device: from ``presets.json`` if there is one, else from our presets.

    Raises
    ------
    HbmTraceError
        ``presets.json`` is malformed or lacks the device.
    """
    base = device(f"X_RAMULATOR21_{name}").ticks()
    path = directory / "presets.json"
    if not path.exists():
        return base
    standard, key = DEVICES[name]
    entry = read_json(path)
    for step in ("standards", standard, "resolved", key):
        entry = entry.get(step) if isinstance(entry, dict) else None
        if entry is None:
            raise HbmTraceError(f"{path}: standards.{standard}.resolved['{key}'] is missing (at {step!r})")
    return resolved_ticks(base, entry, f"{path}: {key}")


def decode(mapping: str, address: npt.NDArray[np.uint64], ticks: Mapping[str, int]) -> Places:
    """Coordinates of byte addresses under one of that simulator's address maps.

    ``RoBaRaCoCh``, from the low end of address / 32: column, pseudo-channel, SID, bank group, bank, row.
    ``MOP4CLXOR``: 2 column bits, pseudo-channel, SID, bank group, bank, the other column bits, row; then
    pseudo-channel, SID, bank group and bank are XORed with successive column bits, low bits first.

    Parameters
    ----------
    mapping : str
        One of `MAPS`.
    address : uint64 array, (n,)
        Bytes.
    ticks : mapping of str to int
        Organisation of the device (fields of the core); every size a power of two.

    Returns
    -------
    Places
        int32 arrays, (n,).

    Raises
    ------
    HbmTraceError
        A size of the organisation is not a power of two.

    Source
    ------
    Ramulator 2.1 (commit c5b1c3a), address mappers of the same names.

    Examples
    --------
    >>> ticks = device("X_RAMULATOR21_HBM4_8000").ticks()
    >>> places = decode("RoBaRaCoCh", np.array([32 * 33], np.uint64), ticks)
    >>> int(places.column[0]), int(places.pseudo_channel[0]), int(places.bank[0])
    (1, 1, 0)
    """
    names = ("pseudo_channels", "sids", "bank_groups", "banks_per_group")
    bits = {name: _bits(ticks, name) for name in (*names, "columns", "rows")}
    rest = (address // np.uint64(ticks["burst_bytes"])).astype(np.int64)

    def take(n: int) -> npt.NDArray[np.int64]:
        nonlocal rest
        digit = rest & ((1 << n) - 1)
        rest = rest >> n
        return digit

    low_bits = 2 if mapping == "MOP4CLXOR" else bits["columns"]
    column = take(low_bits)
    at = {name: take(bits[name]) for name in names}
    if mapping == "MOP4CLXOR":
        column |= take(bits["columns"] - low_bits) << low_bits
        row = rest
        shift = 0
        for name in names:
            at[name] ^= (column >> shift) & ((1 << bits[name]) - 1)
            shift += bits[name]
    else:
        row = take(bits["rows"])  # what lies above is dropped, as there
    group = at["sids"] * ticks["bank_groups"] + at["bank_groups"]
    bank = group * ticks["banks_per_group"] + at["banks_per_group"]
    return Places(
        at["pseudo_channels"].astype(np.int32),
        bank.astype(np.int32),
        row.astype(np.int32),
        column.astype(np.int32),
    )


def _bits(ticks: Mapping[str, int], name: str) -> int:
    size = ticks[name]
    if size & (size - 1):
        raise HbmTraceError(f"{name} = {size} is not a power of two; these address maps take whole bits")
    return size.bit_length() - 1
