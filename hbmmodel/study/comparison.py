"""`compare`: two or more runs side by side - what was changed, what came of it, and why.

Owns which numbers are compared and how a difference is attributed: time by what the data buses did and by operation,
energy by component. Must not know how runs are made or how a comparison looks (`hbmmodel.study.wording`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import LOST, Result, Table
from hbmmodel.study.terms import Term, changes_of, exact_terms, magnitude, terms, total
from hbmmodel.terminal import printable
from hbmmodel.workload.attribution import time_shares

__all__ = ["FIGURES", "Change", "Comparison", "Difference", "compare"]

FIGURES = (
    *("time_ns", "bytes_read", "bytes_written", "bandwidth_gb_per_s", "peak_gb_per_s", "fraction_of_peak"),
    *("read_latency_ns_mean", "read_latency_ns_p99", "load_to_use_ns_mean", "row_hit_rate", "n_act"),
    *("energy_pj", "energy_pj_per_bit", "power_w_mean"),
    *("temperature_c_max", "sustained_gb_per_s", "throttled_fraction"),
)
"""Keys of a summary that are set side by side."""

SAME_WORK = ("kind", "hash", "records", "bytes_asked", "rewrites", "pages")
"""What two traces must have in common to be the same work."""

SAME_REPLAY = ("mode", "order", "tile_bytes")
OUTSIDE = "outside operations"
"""Time before the first operation, and after the end of the last: writes that are still drained."""

T = TypeVar("T")
_Pair = tuple[T, T]


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that is not the same in all runs.

    Parameters
    ----------
    field : str
        Its path, as ``system.controller.read_queue`` or ``trace.mode``.
    values : tuple
        Of every run; None where a run lacks it.
    """

    field: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Difference:
    """One run against the first.

    Parameters
    ----------
    name : str
        Of the run.
    same_work, same_replay : bool
        Whether it moved the same bytes for the same operations, and in the same way.
    time_ns : float
        Its time minus that of the first [ns].
    by_cause : tuple of Term
        Time by what the data buses did, mean over pseudo-channels [ns]; changes add up exactly to `time_ns`.
    data_by_amount_ns, data_by_rate_ns : float
        The change of ``data``, by the bytes that moved and by the time that a byte takes; they add up exactly to it.
    by_name, by_phase : tuple of Term
        Time by name and by phase of operations, dealt out so that nothing is counted twice (see `time_shares`), and
        time outside; changes add up exactly to `time_ns`. Empty if neither run has operations.
    by_operation : Table or None
        ``index, name, phase, before_ns, after_ns, change_ns`` where both runs have the same operations.
    energy_pj : float or None
        Its energy minus that of the first [pJ]; None if a run has none.
    by_component : tuple of Term
        Energy by component [pJ]; changes add up exactly to `energy_pj`.
    """

    name: str
    same_work: bool
    same_replay: bool
    time_ns: float
    by_cause: tuple[Term, ...]
    data_by_amount_ns: float
    data_by_rate_ns: float
    by_name: tuple[Term, ...]
    by_phase: tuple[Term, ...]
    by_operation: Table | None
    energy_pj: float | None
    by_component: tuple[Term, ...]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side; the first is what the others are compared with.

    Attributes
    ----------
    names : tuple of str
    labels : tuple of str
        What each run was, in a few words.
    changes : tuple of Change
        Settings, traces and versions that differ.
    figures : Table
        ``metric`` and a column per run: the keys of `FIGURES`; NaN where a run has none.
    differences : tuple of Difference
        Of every run but the first.
    interrupted : tuple of str
        Of every run, `Result.interrupted`: what it holds if Ctrl-C stopped it, else empty.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    changes: tuple[Change, ...]
    figures: Table
    differences: tuple[Difference, ...]
    interrupted: tuple[str, ...] = ()

    @property
    def like_for_like(self) -> bool:
        """Whether all runs did the same work in the same way."""
        return not any(self.interrupted) and all(d.same_work and d.same_replay for d in self.differences)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON; a figure without a value is None."""
        from hbmmodel.study.wording import verdict

        figures = [{k: None if v != v else v for k, v in row.items()} for row in self.figures.rows()]
        differences = []
        for d in self.differences:
            parts = {k: [asdict(t) for t in getattr(d, k)] for k in ("by_cause", "by_name", "by_phase", "by_component")}
            rows = None if d.by_operation is None else list(d.by_operation.rows())
            plain = ("name", "same_work", "same_replay", "time_ns", "data_by_amount_ns", "data_by_rate_ns", "energy_pj")
            differences.append({**{k: getattr(d, k) for k in plain}, **parts, "by_operation": rows})
        return {
            "format": "hbmmodel-comparison",
            "format_version": 1,
            "verdict": verdict(self),
            "like_for_like": self.like_for_like,
            "runs": list(self.names),
            "labels": list(self.labels),
            "interrupted": list(self.interrupted),
            "changes": [asdict(change) for change in self.changes],
            "figures": figures,
            "differences": differences,
        }

    def text(self, width: int = 100) -> str:
        """The comparison as text."""
        from hbmmodel.report.text import render_report
        from hbmmodel.study.wording import describe

        return render_report(describe(self), width=width)

    def markdown(self) -> str:
        """The comparison as Markdown."""
        from hbmmodel.report.markdown import render_report
        from hbmmodel.study.wording import describe

        return render_report(describe(self))

    def __repr__(self) -> str:
        return self.text()

    def _repr_markdown_(self) -> str:
        return self.markdown()


def compare(
    results: Sequence[Result | str | os.PathLike[str]] | Mapping[str, Result | str | os.PathLike[str]],
) -> Comparison:
    """Set runs side by side and attribute the differences to the first of them.

    Parameters
    ----------
    results : sequence or mapping of results, or of directories of saved ones
        Two or more; the names of a mapping name the runs.

    Returns
    -------
    Comparison

    Raises
    ------
    HbmArgumentError
        Fewer than two are given, or one is no result.

    Source
    ------
    Identities. Every pseudo-channel's time is the sum of what its data bus did (the lost-cycle account), so the time of
    a run is the sum of the means over pseudo-channels, and the difference of two runs that of the differences. The data
    part is bytes times time per byte; a product's change is dealt out evenly: d(b r) = db (r1 + r2)/2 + dr (b1 + b2)/2.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> trace = hbm.Trace.from_requests(range(0, 1 << 20, 32), [False] * 32768)
    >>> runs = {name: hbm.simulate(hbm.System(hbm.device(name)), trace) for name in ("HBM3E_8000", "HBM4_8000")}
    >>> found = hbm.compare(runs)
    >>> found.like_for_like, [c.values for c in found.changes if c.field == "device"]
    (True, [('HBM3E_8000 24Gb_12H', 'HBM4_8000 24Gb_12H')])
    >>> change = found.differences[0]
    >>> sum(term.change for term in change.by_cause) == change.time_ns < 0
    True
    """
    wanted: object = results
    if not isinstance(wanted, Mapping | Sequence) or isinstance(wanted, str | bytes):
        raise HbmArgumentError(f"compare takes two or more results, not {str(wanted)[:80]!r}")
    given = list(wanted.values()) if isinstance(wanted, Mapping) else list(wanted)
    if len(given) < 2:
        raise HbmArgumentError(f"compare takes two or more results, not {len(given)}")
    runs = [_result(run) for run in given]
    if isinstance(wanted, Mapping):
        names = [str(name) for name in wanted]
    else:
        names = [f"run {i + 1}" if isinstance(run, Result) else os.fspath(run) for i, run in enumerate(given)]
    figures: dict[str, Any] = {"metric": list(FIGURES)}
    names = [name if names.count(name) == 1 else f"{name} ({i + 1})" for i, name in enumerate(names)]
    for name, run in zip(names, runs, strict=True):
        found = [run.summary.get(key) for key in FIGURES]
        figures[name] = np.array([np.nan if value is None else float(value) for value in found])
    return Comparison(
        names=tuple(names),
        labels=tuple(_label(run) for run in runs),
        changes=tuple(_changes(runs)),
        figures=Table(figures),
        differences=tuple(_difference(name, runs[0], run) for name, run in zip(names[1:], runs[1:], strict=True)),
        interrupted=tuple(run.interrupted for run in runs),
    )


def _result(given: object) -> Result:
    if isinstance(given, Result):
        return given
    if isinstance(given, str | os.PathLike):
        return Result.load(given)
    raise HbmArgumentError(f"compare takes results or their directories, not {str(given)[:80]!r}")


def _label(run: Result) -> str:
    system = run.system
    name = printable(os.path.basename(str(run.trace.get("name") or "")), 80)
    return f"{system.stacks} x {system.device.name} {system.device.variant}" + (f", {name}" if name else "")


def _settings(run: Result) -> dict[str, Any]:
    """Everything that was chosen, flat, times of the device in ns."""
    content = run.system.to_dict()
    device = content.pop("device")
    flat: dict[str, Any] = {"device": f"{device['name']} {device['variant']}"}
    flat |= dict(_flat("system", content))
    flat["system.energy"] = run.energy_model.get("set", content["energy"])
    for name in ("data_rate_mbps", "overrides", "postpone_max"):
        flat[f"device.{name}"] = _plain(device[name])
    flat |= {f"device.{k}": v for k, v in device["organisation"].items() if isinstance(v, int)}
    flat |= {f"device.{k}": f"{float(Fraction(v['ns'])):g} ns" for k, v in device["timing"].items()}
    flat |= {f"device.rfm.{k}": v for k, v in device["rfm"].items() if isinstance(v, int)}
    for name in ("name", *SAME_WORK, *SAME_REPLAY):
        flat[f"trace.{name}"] = _plain(run.trace.get(name))
    flat |= {f"thermal.{k}": _plain(run.thermal_model.get(k)) for k in ("mode", "stack", "coolant_c", "h_top_w_m2k")}
    flat |= {f"hbmmodel.{k}": run.provenance.get(k) for k in ("version", "core_sha256")}
    return flat


def _flat(path: str, content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{path}.{name}", value)
        else:
            yield f"{path}.{name}", _plain(value)


def _plain(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _changes(runs: Sequence[Result]) -> Iterator[Change]:
    settings = [_settings(run) for run in runs]
    for name in dict.fromkeys(key for one in settings for key in one):
        values = tuple(one.get(name) for one in settings)
        if any(value != values[0] for value in values):
            yield Change(name, values)


def _difference(name: str, first: Result, run: Result) -> Difference:
    same = {key: first.trace.get(key) == run.trace.get(key) for key in (*SAME_WORK, *SAME_REPLAY)}
    aligned = _aligned(first.operations, run.operations)
    before, after = _account_ns(first), _account_ns(run)
    amount, rate = _data_parts(first, run, before["data"], after["data"])
    causes = [cause for cause in before if cause != "data"]
    parts = [amount, rate, *(after[cause] - before[cause] for cause in causes)]
    shares = (_shares_ns(first), _shares_ns(run))
    sides = _sides((first, run), shares)
    size = max(magnitude(parts), *(magnitude(changes_of(*pair)) for pair in sides.values()), Fraction(0))
    changes = exact_terms(parts, size)
    by_cause = tuple(
        Term(cause, float(before[cause]), float(after[cause]), change)
        for cause, change in zip(("data", *causes), (changes[0] + changes[1], *changes[2:]), strict=True)
    )
    labels = {f"by_{key}": terms(*pair, size) for key, pair in sides.items()}
    energies = [_energy(one) for one in (first, run)]
    has_energy = all(len(energy) for energy in energies)
    components = terms(energies[0], energies[1]) if has_energy else ()
    return Difference(
        name=name,
        same_work=aligned and all(same[key] for key in SAME_WORK),
        same_replay=all(same[key] for key in SAME_REPLAY),
        time_ns=total(by_cause),
        by_cause=by_cause,
        data_by_amount_ns=changes[0],
        data_by_rate_ns=changes[1],
        energy_pj=total(components) if has_energy else None,
        by_component=components,
        by_name=labels.get("by_name", ()),
        by_phase=labels.get("by_phase", ()),
        by_operation=_by_operation((first, run), shares) if aligned and sides else None,
    )


def _time_ns(run: Result) -> Fraction:
    return int(run.summary["time_ticks"] or 0) * run.system.tick_ps / 1000


def _account_ns(run: Result) -> dict[str, Fraction]:
    """Time by what the data buses did, mean over pseudo-channels [ns]; together the time of the run."""
    per_tick = run.system.tick_ps / 1000 / run.system.n_pseudo_channels
    counted = {cause: run.channels[counter] for cause, counter in LOST.items() if counter in run.channels}
    return {cause: int(counted[cause].sum()) * per_tick if cause in counted else Fraction(0) for cause in LOST}


def _data_parts(first: Result, run: Result, before: Fraction, after: Fraction) -> tuple[Fraction, Fraction]:
    """The change of the data time, by the bytes and by the time that one takes."""
    moved = []
    for one in (first, run):
        burst_bytes = one.system.device.organisation.burst_bytes
        s = one.summary
        whole = int(s["bytes_read"] or 0) + int(s["bytes_written"] or 0)
        moved.append(whole - int(s["reads_forwarded"] or 0) * burst_bytes)
    a, b = moved
    if a <= 0 or b <= 0:
        return after - before, Fraction(0)
    slow, fast = before / a, after / b
    return (b - a) * (slow + fast) / 2, (fast - slow) * Fraction(a + b) / 2


def _aligned(a: Table, b: Table) -> bool:
    return len(a) == len(b) and all(np.array_equal(a[key], b[key]) for key in ("index", "name", "phase"))


def _sides(runs: _Pair[Result], shares: _Pair[list[Fraction]]) -> dict[str, _Pair[dict[str, Fraction]]]:
    """Time by name and by phase of operations, and outside, in both runs [ns]; empty if neither has operations."""
    if not any(shares):
        return {}
    found: dict[str, list[dict[str, Fraction]]] = {"name": [], "phase": []}
    for one, times in zip(runs, shares, strict=True):
        for key, of_runs in found.items():
            sums: dict[str, Fraction] = {}
            for label, time_ns in zip(one.operations[key].tolist(), times, strict=True):
                sums[label] = sums.get(label, Fraction(0)) + time_ns
            # an operation may have that name too
            outside = _time_ns(one) - sum(times, Fraction(0)) + sums.pop(OUTSIDE, Fraction(0))
            of_runs.append({**sums, OUTSIDE: outside})
    return {key: (of_runs[0], of_runs[1]) for key, of_runs in found.items()}


def _by_operation(runs: _Pair[Result], shares: _Pair[list[Fraction]]) -> Table:
    outside = [_time_ns(one) - sum(times, Fraction(0)) for one, times in zip(runs, shares, strict=True)]
    changes = exact_terms([*(b - a for a, b in zip(*shares, strict=True)), outside[1] - outside[0]])
    columns: dict[str, Any] = {key: runs[1].operations[key] for key in ("index", "name", "phase")}
    columns |= {f"{side}_ns": [float(t) for t in ts] for side, ts in zip(("before", "after"), shares, strict=True)}
    return Table({**columns, "change_ns": changes[:-1]})


def _shares_ns(run: Result) -> list[Fraction]:
    table = run.operations
    moved = (table["bytes_read"] + table["bytes_written"]).astype(np.float64)
    return [Fraction(t) for t in time_shares(table["start_ns"], table["end_ns"], moved).tolist()]


def _energy(run: Result) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for name, pj in zip(run.energy["component"].tolist(), run.energy["pj"].tolist(), strict=True):
        found[name] = found.get(name, Fraction(0)) + Fraction(pj)
    return found
