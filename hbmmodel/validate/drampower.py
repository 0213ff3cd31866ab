"""Recorded energies of DRAMPower, computed again from their inputs: commands and memspec.

Owns the form of the recorded files, how bad input is refused, and the form of the results; the states are
`drampower_states`, the equations `hbmmodel.energy.idd`.  No recorded result is looked at before ours is complete.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hbmmodel.energy.idd import Currents, Derived, Shape, Times, derived
from hbmmodel.errors import HbmError, HbmTraceError
from hbmmodel.validate.drampower_states import COMMANDS, Rank, Timing

__all__ = ["compute", "differences", "validate"]

CYCLES_MAX = 1 << 62
BANKS_MAX = 1 << 16
"""Of all ranks and devices together."""

SUMS = ("E_act", "E_pre", "E_bg_act", "E_bg_pre", "E_RD", "E_WR", "E_RDA", "E_WRA", "E_pre_RDA", "E_pre_WRA",
        "E_ref_AB", "E_ref_SB", "E_ref_PB")  # fmt: skip
DOUBLES = ("E_pre_RDA", "E_pre_WRA")
"""Told beside E_pre, which holds them already; not part of a total."""
BANK_KEYS = ("E_act", "E_pre", "E_bg_act", "E_bg_pre", "E_RD", "E_WR")


@dataclass(frozen=True)
class Spec:
    """A memspec as far as core energy needs it."""

    ranks: int
    devices: int
    banks: int
    groups: int
    timing: Timing
    tck: float
    supplies: tuple[Derived, ...]


def validate(paths: Sequence[str | Path]) -> dict[str, list[dict[str, Any]]]:
    """Every trace of every file.

    Parameters
    ----------
    paths : sequence of str or Path
        Files of the recorded form.

    Returns
    -------
    dict
        ``{path: [result of each trace]}`` with DRAMPower's names, energies in joules; where the file holds a result,
        ``difference`` is added (see `differences`).

    Raises
    ------
    HbmTraceError
        A file is malformed; the message names file, trace and field.
    OSError
        A file cannot be read.
    """
    return {str(path): compute(_read(Path(path)), str(path)) for path in paths}


def compute(content: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The results of one file's content; `where` begins every message."""
    spec = _spec(_object(content, "memspec", where), f"{where}: memspec")
    traces = content.get("traces")
    if not isinstance(traces, list) or not traces:
        _refuse(where, "'traces' must be a list with at least one trace")
    results = []
    for number, trace in enumerate(traces):
        at = f"{where}: traces[{number}]"
        if not isinstance(trace, Mapping):
            _refuse(at, "is not an object")
        name = trace.get("name", f"{number}")
        if not isinstance(name, str):
            _refuse(at, f"'name' is {name!r}; it must be text")
        at = f"{at} ({name[:40]})"
        result = {"name": name, **_trace(spec, trace.get("commands"), at)}
        recorded = trace.get("result")
        if recorded is not None:
            if not isinstance(recorded, Mapping):
                _refuse(at, "'result' is not an object")
            result["difference"] = differences(result, recorded)
        results.append(result)
    return results


def differences(ours: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What differs: ``largest_relative`` (0 to 1, of the larger of the two numbers), ``where``, and ``values``, every
    number as ours minus recorded, by its path.

    Examples
    --------
    >>> differences({"total_J": 2.0}, {"total_J": 1.0})
    {'largest_relative': 0.5, 'where': 'total_J', 'values': {'total_J': 1.0}}
    """
    mine = dict(_numbers(ours))
    largest, place, values = 0.0, "", {}
    for path, value in _numbers(recorded):
        if path not in mine:
            largest, place, values[path] = 1.0, path, None
            continue
        values[path] = mine[path] - value
        # Differences of currents cancel: what is 1e-24 J or less is no energy.
        scale = max(abs(mine[path]), abs(value))
        relative = abs(values[path]) / scale if scale > 1e-24 else 0.0
        if relative > largest:
            largest, place = relative, path
    return {"largest_relative": largest, "where": place, "values": values}


def _numbers(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key != "difference":
                yield from _numbers(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _numbers(inner, f"{path}[{i}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


# ---- one trace ----


def _trace(spec: Spec, commands: Any, where: str) -> dict[str, Any]:
    ranks = [Rank(spec.banks, spec.groups, spec.timing) for _ in range(spec.ranks)]
    end = -1
    before = 0
    if not isinstance(commands, list) or not commands:
        _refuse(where, "'commands' must be a list that ends with END")
    for number, command in enumerate(commands):
        at = f"{where}: commands[{number}]"
        if not isinstance(command, Mapping):
            _refuse(at, "is not an object with t, cmd and bank")
        if end >= 0:
            _refuse(at, "comes after END; END must be the last command")
        t = _whole(command, "t", at, 0, CYCLES_MAX)
        if t < before:
            _refuse(at, f"'t' is {t}, before the command before it ({before}); commands come in the order of time")
        before = t
        name = command.get("cmd")
        if name == "END":
            end = t
            continue
        if not isinstance(name, str) or name not in COMMANDS:
            _refuse(at, f"'cmd' is {name!r}; choose one of {', '.join(COMMANDS)}, END")
        bank = _whole(command, "bank", at, 0, spec.banks - 1)
        rank = _whole(command, "rank", at, 0, spec.ranks - 1) if "rank" in command else 0
        try:
            ranks[rank].command(t, name, bank)
        except ValueError as error:
            _refuse(at, str(error))
    if end < 0:
        _refuse(where, "'commands' has no END; it says how long the trace lasts")
    try:
        cycles = [rank.finish(end) for rank in ranks]
    except ValueError as error:
        _refuse(where, str(error))
    return _result(spec, ranks, cycles, end, where)


def _bank(spec: Spec, counts: Mapping[str, int], active: int, precharged: int) -> dict[str, float]:
    """Energies of one bank of one device [J]: the sums over its supplies."""
    total = dict.fromkeys(SUMS, 0.0)
    for e in spec.supplies:
        total["E_act"] += e.act * counts["act"]
        total["E_pre"] += e.pre * counts["pre"]
        total["E_bg_act"] += e.bg_act_bank * (active * spec.tck)
        total["E_bg_pre"] += e.bg_pre_per_bank * (precharged * spec.tck)
        total["E_RD"] += e.rd * counts["rd"]
        total["E_WR"] += e.wr * counts["wr"]
        total["E_RDA"] += e.rd * counts["rda"]
        total["E_WRA"] += e.wr * counts["wra"]
        total["E_pre_RDA"] += e.pre * counts["rda"]
        total["E_pre_WRA"] += e.pre * counts["wra"]
        total["E_ref_AB"] += e.ref_ab_per_bank * counts["ref_ab"]
        total["E_ref_SB"] += e.ref_sb_per_bank * counts["ref_sb"]
    return total


def _result(
    spec: Spec, ranks: Sequence[Rank], cycles: Sequence[Mapping[str, int]], end: int, where: str
) -> dict[str, Any]:
    banks: list[dict[str, Any]] = []
    sums = dict.fromkeys(SUMS, 0.0)
    shared = dict.fromkeys(("E_bg_act_shared", "E_sref", "E_PDNA", "E_PDNP"), 0.0)
    for rank, spent in zip(ranks, cycles, strict=True):
        for _ in range(spec.devices):
            for bank in rank.banks:
                active = bank.active.total(end)
                energies = _bank(spec, bank.counts, active, spent["rank_pre"])
                for key, value in energies.items():
                    sums[key] += value
                banks.append({**{key: energies[key] for key in BANK_KEYS}, "act_cycles": active})
        for e in spec.supplies:
            for key, power, state in (
                ("E_bg_act_shared", e.bg_act_shared, "rank_act"),
                ("E_sref", e.self_refresh, "sref"),
                ("E_PDNA", e.power_down_active, "pdna"),
                ("E_PDNP", e.power_down_precharged, "pdnp"),
            ):
                shared[key] += power * (spent[state] * spec.tck) * spec.devices
    for key, value in sums.items():
        if value < -1e-24:
            _refuse(where, f"the memspec's currents give a negative energy: {key} is {value:g} J; {_ADVICE[key]}")
    total = sum(value for key, value in sums.items() if key not in DOUBLES)
    return {
        "t_end_cycles": end,
        "total_J": total + sum(shared.values()),
        **shared,
        "sum": sums,
        "cycles": {key: sum(spent[key] for spent in cycles) for key in cycles[0]},
        "banks": banks,
    }


_ADVICE = {
    **dict.fromkeys(("E_act",), "idd0 must exceed the standby currents"),
    **dict.fromkeys(("E_pre", *DOUBLES), "iBeta must be at least idd2n"),
    **dict.fromkeys(("E_bg_act", "E_bg_pre"), "idd3n must be at least idd2n"),
    **dict.fromkeys(("E_RD", "E_RDA"), "idd4r must be at least idd3n"),
    **dict.fromkeys(("E_WR", "E_WRA"), "idd4w must be at least idd3n"),
    "E_ref_AB": "idd5b (idd5f) must be at least idd3n",
    "E_ref_SB": "idd5c must be at least the background current",
    "E_ref_PB": "",
}


# ---- the memspec ----


def _spec(memspec: Mapping[str, Any], where: str) -> Spec:
    kind = memspec.get("memoryType", "DDR5")
    if kind != "DDR5":
        _refuse(where, f"'memoryType' is {kind!r}; recorded energies are those of the DDR5 schema")
    architecture = _object(memspec, "memarchitecturespec", where)
    clocks = _object(memspec, "memtimingspec", where)
    power = _object(memspec, "mempowerspec", where)
    at = f"{where}.memarchitecturespec"
    banks = _whole(architecture, "nbrOfBanks", at, 1, BANKS_MAX)
    groups = _whole(architecture, "nbrOfBankGroups", at, 1, banks)
    if banks % groups:
        _refuse(at, f"'nbrOfBanks' {banks} is no multiple of 'nbrOfBankGroups' {groups}")
    ranks, devices = (
        _whole(architecture, name, at, 1, BANKS_MAX) if name in architecture else 1
        for name in ("nbrOfRanks", "nbrOfDevices")
    )
    if banks * ranks * devices > BANKS_MAX:
        _refuse(at, f"{ranks} ranks of {devices} devices with {banks} banks are more than {BANKS_MAX} banks")
    burst = _whole(architecture, "burstLength", at, 1, 1 << 20)
    rate = _whole(architecture, "dataRate", at, 1, 1 << 20)
    normal = (_whole(architecture, "RefMode", at, 0, 1 << 20) if "RefMode" in architecture else 1) == 1
    bankwise = memspec.get("bankwisespec")
    rho = 1.0
    if bankwise is not None:
        bankwise = _object(memspec, "bankwisespec", where)
        if bankwise.get("factRho") is not None:
            rho = _real(bankwise, "factRho", f"{where}.bankwisespec")
        if rho > 1:
            _refuse(f"{where}.bankwisespec", f"'factRho' is {rho}; it is a share, 0 to 1")

    at = f"{where}.memtimingspec"

    def cycles(*names: str) -> int:
        """The first of the names that is there."""
        name = next((n for n in names if n in clocks), names[-1])
        return _whole(clocks, name, at, 0, 1 << 40)

    tck = _real(clocks, "tCK", at)
    ras = cycles("RAS")
    if tck <= 0 or ras == 0:
        _refuse(at, "'tCK' and 'RAS' must be above 0")
    refresh = "1" if normal else "2"
    timing = Timing(
        ras=ras,
        rcd=cycles("RCD"),
        rp=cycles("RP"),
        rfc=cycles(f"RFC{refresh}_slr", f"RFC{refresh}"),
        rfcsb=cycles("RFCsb_slr", "RFCsb"),
        rda_to_pre=cycles("RTP"),
        wra_to_pre=cycles("WL") + burst // rate + cycles("WR"),
    )
    times = Times(
        tck=tck,
        tras=timing.ras * tck,
        trp=timing.rp * tck,
        trfc=timing.rfc * tck,
        trfcsb=timing.rfcsb * tck,
    )
    shape = Shape(banks, groups, burst, rate, rho)
    letter = "b" if normal else "f"
    supplies = tuple(
        derived(_currents(power, prefix, letter, f"{where}.mempowerspec"), times, shape) for prefix in ("dd", "pp")
    )
    return Spec(ranks, devices, banks, groups, timing, tck, supplies)


def _currents(power: Mapping[str, Any], prefix: str, refresh: str, where: str) -> Currents:
    """Of the supply VDD (every value must be there) or VPP (what is missing is 0)."""

    def value(name: str) -> float:
        return 0.0 if prefix == "pp" and name not in power else _real(power, name, where)

    named = {
        "i5b" if name == f"5{refresh}" else f"i{name}": value(f"i{prefix}{name}")
        for name in ("0", "2n", "3n", "4r", "4w", f"5{refresh}", "5c", "6n", "2p", "3p")
    }
    beta = f"iBeta_v{prefix}"
    known = power.get(beta) is not None
    return Currents(v=value(f"v{prefix}"), i_beta=_real(power, beta, where) if known else named["i0"], **named)


# ---- reading ----


def _read(path: Path) -> Mapping[str, Any]:
    def constant(text: str) -> NoReturn:
        _refuse(str(path), f"{text} is not a finite number")

    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=constant)
    except HbmError:
        raise
    except RecursionError:
        _refuse(str(path), "not JSON of the recorded form: nested too deeply")
    except ValueError as error:
        _refuse(str(path), f"not JSON: {error}")
    if not isinstance(content, Mapping):
        _refuse(str(path), "not an object with 'memspec' and 'traces'")
    return content


def _refuse(where: str, message: str) -> NoReturn:
    raise HbmTraceError(f"{where}: {message}")


def _object(content: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    value = content.get(name)
    if not isinstance(value, Mapping):
        _refuse(where, f"{name!r} is missing or not an object")
    return value


def _whole(content: Mapping[str, Any], name: str, where: str, low: int, high: int) -> int:
    value = content.get(name)
    if type(value) is not int or not low <= value <= high:
        _refuse(where, f"{name!r} is {_short(value)}; it must be a whole number in {low}..{high}")
    return value


def _real(content: Mapping[str, Any], name: str, where: str) -> float:
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e30 or not math.isfinite(value):
        _refuse(where, f"{name!r} is {_short(value)}; it must be a finite number, 0 or more")
    return float(value)


def _short(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:40]}..."
