"""Recorded energies of DRAMPower, computed again from their inputs: commands and memspec.

Owns the walk over traces and the form of the results; the memspec is `drampower_inputs`, the states are
`drampower_states`, the equations `hbmmodel.energy.idd`.  No recorded result is looked at before ours is complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hbmmodel.validate.drampower_inputs import CYCLES_MAX, Spec, read_spec
from hbmmodel.validate.drampower_states import COMMANDS, Rank
from hbmmodel.validate.recorded import differences, read_json, refuse, short, sub_object, whole

__all__ = ["compute", "validate"]

SUMS = ("E_act", "E_pre", "E_bg_act", "E_bg_pre", "E_RD", "E_WR", "E_RDA", "E_WRA", "E_pre_RDA", "E_pre_WRA",
        "E_ref_AB", "E_ref_SB", "E_ref_PB")  # fmt: skip
DOUBLES = ("E_pre_RDA", "E_pre_WRA")
"""Told beside E_pre, which holds them already; not part of a total."""
BANK_KEYS = ("E_act", "E_pre", "E_bg_act", "E_bg_pre", "E_RD", "E_WR")


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
        ``difference`` is added (see `hbmmodel.validate.recorded.differences`).

    Raises
    ------
    HbmTraceError
        A file cannot be read or is malformed; the message names file, trace and field.
    """
    return {str(path): compute(read_json(Path(path)), str(path)) for path in paths}


def compute(content: Any, where: str) -> list[dict[str, Any]]:
    """The results of one file's content; `where` begins every message."""
    if not isinstance(content, Mapping):
        refuse(where, "not an object with 'memspec' and 'traces'")
    spec = read_spec(sub_object(content, "memspec", where), f"{where}: memspec")
    traces = content.get("traces")
    if not isinstance(traces, list) or not traces:
        refuse(where, "'traces' must be a list with at least one trace")
    results = []
    for number, trace in enumerate(traces):
        at = f"{where}: traces[{number}]"
        if not isinstance(trace, Mapping):
            refuse(at, "is not an object")
        name = trace.get("name", f"{number}")
        if not isinstance(name, str):
            refuse(at, f"'name' is {short(name)}; it must be text")
        at = f"{at} ({name[:40]})"
        result = {"name": name, **_trace(spec, trace.get("commands"), at)}
        recorded = trace.get("result")
        if recorded is not None:
            if not isinstance(recorded, Mapping):
                refuse(at, "'result' is not an object")
            result["difference"] = differences(result, recorded)
        results.append(result)
    return results


# ---- one trace ----


def _trace(spec: Spec, commands: Any, where: str) -> dict[str, Any]:
    ranks = [Rank(spec.banks, spec.groups, spec.timing) for _ in range(spec.ranks)]
    end = -1
    before = 0
    if not isinstance(commands, list) or not commands:
        refuse(where, "'commands' must be a list that ends with END")
    for number, command in enumerate(commands):
        at = f"{where}: commands[{number}]"
        if not isinstance(command, Mapping):
            refuse(at, "is not an object with t, cmd and bank")
        if end >= 0:
            refuse(at, "comes after END; END must be the last command")
        t = whole(command, "t", at, 0, CYCLES_MAX)
        if t < before:
            refuse(at, f"'t' is {t}, before the command before it ({before}); commands come in the order of time")
        before = t
        name = command.get("cmd")
        if name == "END":
            end = t
            continue
        if not isinstance(name, str) or name not in COMMANDS:
            refuse(at, f"'cmd' is {short(name)}; choose one of {', '.join(COMMANDS)}, END")
        bank = whole(command, "bank", at, 0, spec.banks - 1)
        rank = whole(command, "rank", at, 0, spec.ranks - 1) if "rank" in command else 0
        try:
            ranks[rank].command(t, name, bank)
        except ValueError as error:
            refuse(at, str(error))
    if end < 0:
        refuse(where, "'commands' has no END; it says how long the trace lasts")
    try:
        cycles = [rank.finish(end) for rank in ranks]
    except ValueError as error:
        refuse(where, str(error))
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
            refuse(where, f"the memspec's currents give a negative energy: {key} is {value:g} J; {_ADVICE[key]}")
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
