"""`roofline`: the bandwidths that a system sustains, what they lose and to what, and where runs lie under them.

Owns the ceilings, the rules by which FLOPs of a run are known, and the shape of what is found; must not know how it is
drawn (`hbmmodel.study.picture`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hbmmodel.checks import check_real, check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import LOST, Result, Table
from hbmmodel.sim import simulate
from hbmmodel.study.files import check_output, save_study
from hbmmodel.system import System
from hbmmodel.workload.attribution import time_shares
from hbmmodel.workload.bandwidth import OPERATION_CLASSES
from hbmmodel.workload.configs import model, models
from hbmmodel.workload.model import Attention
from hbmmodel.workload.program import GeneratedTrace

__all__ = ["CEILINGS", "Roofline", "roofline"]

CEILINGS = ("read", "triad", "copy", "kv_pages", "gather_64")
"""Kinds of operations that are measured, of `hbmmodel.workload.bandwidth.OPERATION_CLASSES`."""

BYTES_PER_STACK = 32 << 20
"""What an operation moves per stack: filling and draining take less than one part in a hundred of the time."""


@dataclass(frozen=True)
class Roofline:
    """What bounds a system.

    Attributes
    ----------
    system : System
    flops_per_s : float or None
        Of the processor, as given [FLOP/s].
    ceilings : Table
        One row per kind of operation: ``kind, bandwidth_gb_per_s, fraction_of_peak``, ``ridge_flops_per_byte`` (where
        computing takes as long; empty without `flops_per_s`), ``energy_pj_per_bit``, and ``lost_share_CAUSE`` of every
        cause: with ``lost_share_data`` they sum to 1.
    points : Table
        One row per run (``name`` empty) and, where they are known, per name of operations: ``run, name, flops, n_bytes,
        flops_per_byte, time_ns`` (memory time), ``flops_per_s`` (as if computing took none), ``bound`` (``memory`` or
        ``compute``; empty without `flops_per_s`).
    notes : tuple of str
        What could not be placed, and why.
    """

    system: System
    flops_per_s: float | None
    ceilings: Table
    points: Table
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        from hbmmodel.provenance import collect

        return {
            "format": "hbmmodel-roofline",
            "format_version": 1,
            "peak_gb_per_s": float(self.system.peak_gb_per_s),
            "flops_per_s": self.flops_per_s,
            "ceilings": list(self.ceilings.rows()),
            "points": list(self.points.rows()),
            "notes": list(self.notes),
            "system": self.system.to_dict(),
            "provenance": collect(),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the ceilings (``.csv``), all of it (``.json``), or a picture (``.png``, ``.svg``, ``.pdf``).

        Raises
        ------
        HbmArgumentError
            The suffix is none of these, the file cannot be written, or matplotlib is not installed.
        """
        from hbmmodel.study.picture import draw_roofline

        target = check_output(path, (".csv", ".json"), "a roofline")
        return save_study(target, self.ceilings, lambda: draw_roofline(self), self.to_dict)


def roofline(
    system: System,
    *,
    flops_per_s: float | None = None,
    runs: Mapping[str, Result] | Sequence[Result] = (),
    kinds: Sequence[str] = CEILINGS,
    bytes_per_stack: int = BYTES_PER_STACK,
    threads: int | None = None,
) -> Roofline:
    """Bandwidths that a system sustains, with what they lose, and the runs under them.

    Parameters
    ----------
    system : System
    flops_per_s : float, optional
        What the processor computes at most [FLOP/s].
    runs : results, by name or in a row
        Of workloads (`hbmmodel.workload`): decode, prefill or train_step; others cannot be placed.
    kinds : sequence of str
        Operations that are measured, each alone on idle memory.
    bytes_per_stack : int
        What each moves, over the stacks.
    threads : int, optional
        See `simulate`.

    Raises
    ------
    HbmArgumentError
        An argument is out of range or a kind unknown.

    Notes
    -----
    Operands of an operation lie one behind the other, as an allocator places them. Where they begin in the same bank,
    rows are opened and closed in turn, and ``lost_share_activate_precharge`` says so: a ceiling of one placement, which
    another size or address map moves.

    FLOPs of a run: 2 per active parameter and token, 6 in training, over the devices that share the work; attention's
    own are left out. FLOPs of operations are known for decoding with dense models: every weight that is read serves
    each sequence of the batch with one multiplication and one addition; every element of the KV cache, where the model
    is one of `hbmmodel.workload.models` as it is, each query head of its group. Operations that mostly read something
    else (norms, activation functions) are left out.

    Source
    ------
    Williams, Waterman, Patterson, *Roofline* (CACM 52(4), 2009). 2 N and 6 N: Kaplan et al. (arXiv 2001.08361), section
    2.1. That the bandwidth is simulated and not the pins' is the point: other tools multiply by a guess.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> found = roofline(hbm.System(hbm.device("HBM4_8000", channels=1)), flops_per_s=1e12, kinds=["read"])
    >>> row = next(found.ceilings.rows())
    >>> 0.9 < row["fraction_of_peak"] < 1, row["ridge_flops_per_byte"] > 1e3 / found.system.peak_gb_per_s
    (True, True)
    """
    if not isinstance(system, System):
        raise HbmArgumentError(f"system must be a System, not {str(system)[:80]!r}")
    if flops_per_s is not None:
        flops_per_s = check_real("flops_per_s", flops_per_s, 1.0, 1e21)
    check_whole("bytes_per_stack", bytes_per_stack, 1 << 16, 1 << 30)
    given: object = kinds
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise HbmArgumentError(f"kinds: give a list of one or more, not {str(given)[:80]!r}")
    for kind in kinds:
        if kind not in OPERATION_CLASSES:
            raise HbmArgumentError(f"kind is {str(kind)[:80]!r}; choose of {', '.join(OPERATION_CLASSES)}")
    named = dict(runs) if isinstance(runs, Mapping) else {f"run {i + 1}": run for i, run in enumerate(runs)}
    for name, run in named.items():
        if not isinstance(run, Result):
            raise HbmArgumentError(f"{name} is no Result: {str(run)[:80]!r}")
    rows = [_ceiling(system, kind, bytes_per_stack * system.stacks, threads) for kind in dict.fromkeys(kinds)]
    bandwidth = np.array([row["bandwidth_gb_per_s"] for row in rows])
    ridge = np.full(len(rows), np.nan) if flops_per_s is None else flops_per_s / (bandwidth * 1e9)
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["ridge_flops_per_byte"] = np.ma.masked_invalid(ridge)
    notes: list[str] = []
    points = [point for name, run in named.items() for point in _points(name, run, flops_per_s, notes)]
    head = ("run", "name", "flops", "n_bytes", "flops_per_byte", "time_ns", "flops_per_s", "bound")
    kept = {"run": object, "name": object, "n_bytes": np.int64, "bound": object}
    table = Table({n: np.array([p[i] for p in points], dtype=kept.get(n, np.float64)) for i, n in enumerate(head)})
    return Roofline(system, flops_per_s, Table(columns), table, tuple(notes))


def _ceiling(system: System, kind: str, size: int, threads: int | None) -> dict[str, Any]:
    make = OPERATION_CLASSES[kind][1]
    trace = GeneratedTrace(f"<{kind}>", {"class": kind, "size": size}, {}, lambda program: make(program, size))
    result = simulate(system, trace, threads=threads)
    s = result.summary
    # what was asked for, as the requester sees it: padding of short rows is no use to it
    rate = int(result.trace["bytes_asked"]) / float(s["time_ns"] or 1.0)
    return {
        "kind": kind,
        "bandwidth_gb_per_s": rate,
        "fraction_of_peak": rate / system.peak_gb_per_s,
        "energy_pj_per_bit": float(s["energy_pj_per_bit"] or 0.0),
        **{f"lost_share_{cause}": float(s[f"lost_share_{cause}"] or 0.0) for cause in LOST},
    }


def _points(name: str, run: Result, peak: float | None, notes: list[str]) -> Iterator[tuple[Any, ...]]:
    facts = run.trace.get("workload")
    kind = facts.get("kind") if isinstance(facts, dict) else None
    if not isinstance(facts, dict) or kind not in ("decode", "prefill", "train_step"):
        notes.append(f"{name}: its FLOPs are not known; decode, prefill and train_step of hbmmodel.workload say them")
        return
    active = _fact(facts, "active_parameters" if "active_parameters" in facts else "parameters")
    share = max(1.0, _fact(facts, "devices_alike")) * max(1.0, _fact(facts, "pipeline_stages"))
    flops = (6 if kind == "train_step" else 2) * active * _fact(facts, "tokens") / share
    table = run.operations
    moved = (table["bytes_read"] + table["bytes_written"]).astype(np.float64)

    def point(label: str, flops: float, n_bytes: float, time_ns: float) -> tuple[Any, ...]:
        intensity = flops / n_bytes
        rate = flops / time_ns * 1e9
        return name, label, flops, int(n_bytes), intensity, time_ns, rate, "" if peak is None else _bound(rate, peak)

    time_ns = float(run.summary["time_ns"] or 0.0)
    if not flops or not moved.sum() or not time_ns:
        notes.append(f"{name}: nothing was computed or moved")
        return
    yield point("", flops, moved.sum(), time_ns)
    dense = _fact(facts, "parameters") == active
    if kind != "decode" or not dense or "weights_bytes_read" not in table:
        notes.append(f"{name}: FLOPs of single operations are known for decoding with dense models only")
        return
    bytes_per_weight = _fact(facts, "weight_bytes") * share / active
    known_bytes = table["weights_bytes_read"]
    per_operation = 2 * _fact(facts, "batch") * known_bytes / bytes_per_weight
    per_byte = _flops_per_kv_byte(facts, share)
    if per_byte is not None and "kv_bytes_read" in table:
        per_operation = per_operation + per_byte * table["kv_bytes_read"]
        known_bytes = known_bytes + table["kv_bytes_read"]
    times = time_shares(table["start_ns"], table["end_ns"], moved)
    for label in dict.fromkeys(table["name"].tolist()):
        mine = table["name"] == label
        if 2 * known_bytes[mine].sum() > table["bytes_read"][mine].sum():
            yield point(label, float(per_operation[mine].sum()), moved[mine].sum(), float(times[mine].sum()))


def _fact(facts: Mapping[str, Any], name: str) -> float:
    """A number of the description, which a saved result may have from anywhere; 0 if it lacks."""
    return check_real(f"the result's trace.workload.{name}", facts.get(name, 0), 0.0, 1e30)


def _flops_per_kv_byte(facts: Mapping[str, Any], share: float) -> float | None:
    """Of an element read from the cache, each query head of its group makes 2 FLOPs; None if the model is not known."""
    if facts.get("model") not in models():
        return None
    known = model(str(facts["model"]))
    if known.parameters != facts.get("parameters") or not isinstance(known.attention, Attention):
        return None
    elements = 2 * known.attention.kv_heads * known.attention.head_dim * known.layers
    element_bytes = _fact(facts, "kv_bytes_per_token") * share / elements
    return 2 * known.attention.heads / known.attention.kv_heads / element_bytes if element_bytes else None


def _bound(memory_flops_per_s: float, peak_flops_per_s: float) -> str:
    return "memory" if memory_flops_per_s <= peak_flops_per_s else "compute"
