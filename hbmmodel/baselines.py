"""Baselines: numbers of simulated runs that a project keeps beside its tests, and how a new run compares with them.

Owns the baseline file, the comparison and the table that tells of it; must not know pytest, nor how a run is made.

A file is JSON: ``format``, ``version`` and ``runs``, by name of the run; each has the version of hbmmodel, system and
trace with the hashes of their content, and ``summary``: key to number or null.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hbmmodel.checks import check_choice, check_real
from hbmmodel.errors import HbmArgumentError
from hbmmodel.result.summary import KEYS, Number
from hbmmodel.terminal import printable

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["DEFAULT_KEYS", "Baseline", "Moved", "Tolerance", "compare", "read", "table", "write"]

FORMAT, VERSION = "hbmmodel-baselines", 1
SIZE_MAX_BYTES = 16 << 20
"""Of a baseline file; one run takes less than 1 kB."""

DEFAULT_KEYS = (
    *("time_ns", "bytes_read", "bytes_written", "bandwidth_gb_per_s", "read_latency_ns_mean", "read_latency_ns_p99"),
    *("row_hits", "row_misses", "row_conflicts", "energy_pj"),
)
"""Keys of the summary that are kept unless others are named."""

Tolerance = float | Mapping[str, float]
"""Relative: 0.01 lets a number move by 1 % of the baseline; one for all keys, or by key."""


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of one run.

    Attributes
    ----------
    hbmmodel : str
        Version that made it.
    system, system_hash : str
        In words, and `System.content_hash`.
    trace, trace_hash : str
        Name of the trace without its folder, and hash of its content.
    summary : dict of str to int, float or None
        Some keys of `Result.summary`.
    """

    hbmmodel: str
    system: str
    system_hash: str
    trace: str
    trace_hash: str
    summary: dict[str, int | float | None]

    @classmethod
    def of(cls, result: Result, keys: Sequence[str] = DEFAULT_KEYS) -> Baseline:
        """What a result says under `keys`.

        Raises
        ------
        HbmArgumentError
            There is no such key.

        Examples
        --------
        >>> import hbmmodel as hbm
        >>> result = hbm.simulate(hbm.System(hbm.device("HBM4_8000")), hbm.Trace.from_requests([0], [False]))
        >>> Baseline.of(result, ["row_misses", "read_latency_ns_max"]).summary
        {'row_misses': 1, 'read_latency_ns_max': 33.5}
        """
        for key in keys:
            if key not in KEYS:
                raise HbmArgumentError(f"a summary has no key {str(key)[:80]!r}; hbmmodel info --keys lists them")
        system = result.system
        return cls(
            hbmmodel=str(result.provenance.get("version")),
            system=f"{system.stacks} x {system.device.name} {system.device.variant}",
            system_hash=system.content_hash(),
            trace=printable(os.path.basename(str(result.trace.get("name")))),
            trace_hash=str(result.trace.get("hash")),
            summary={key: result.summary[key] for key in keys},
        )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: int
    runs: dict[str, Baseline]


def read(path: Path) -> dict[str, Baseline]:
    """All runs of a file by name; none if there is no such file.

    Raises
    ------
    HbmArgumentError
        The file is not one of baselines, or of a newer version, or damaged.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(SIZE_MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise HbmArgumentError(f"{path} cannot be read: {error.strerror or error}") from None
    remedy = "restore it, or remove it and record it anew with --hbm-update"
    if len(data) > SIZE_MAX_BYTES:
        raise HbmArgumentError(f"{path} is no file of baselines: more than {SIZE_MAX_BYTES >> 20} MiB; {remedy}")
    try:
        found = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise HbmArgumentError(f"{path} is no file of baselines: {str(error)[:200]}; {remedy}") from None
    if found.format != FORMAT or found.version != VERSION:
        raise HbmArgumentError(
            f"{path} says format {found.format[:80]!r}, version {found.version}; this hbmmodel reads {FORMAT!r}, "
            f"version {VERSION}; {remedy}"
        )
    return found.runs


def write(path: Path, runs: Mapping[str, Baseline]) -> None:
    """Write all runs, in order of name; the file is the old one or the new one, never a part.

    Raises
    ------
    HbmArgumentError
        The file cannot be written.
    """
    from hbmmodel.trace.target import replacing

    content = _File(FORMAT, VERSION, dict(sorted(runs.items())))
    with replacing(str(path)) as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


@dataclass(frozen=True)
class Moved:
    """A number that is not what it was.

    Attributes
    ----------
    key : str
    baseline, now : int, float or None
    tolerance : float
        By how much of the baseline it may differ.
    recorded : bool
        Whether the baseline has the key at all.
    """

    key: str
    baseline: Number
    now: Number
    tolerance: float
    recorded: bool = True


def compare(baseline: Baseline, now: Baseline, tolerance: Tolerance = 0.0) -> list[Moved]:
    """Which numbers of `now` are not those of the baseline; empty if all are.

    Raises
    ------
    HbmArgumentError
        A tolerance is no number in 0..1, or for a key that is not compared.

    Examples
    --------
    >>> old = Baseline("0.1.0", "1 x HBM4_8000", "", "t", "", {"time_ns": 100.0, "row_hits": 7})
    >>> new = Baseline("0.1.0", "1 x HBM4_8000", "", "t", "", {"time_ns": 101.0, "row_hits": 7})
    >>> [moved.key for moved in compare(old, new)]
    ['time_ns']
    >>> compare(old, new, {"time_ns": 0.01})
    []
    """
    allowed = _tolerances(now.summary, tolerance)
    moved = []
    for key, value in now.summary.items():
        if key not in baseline.summary:
            moved.append(Moved(key, None, value, allowed[key], recorded=False))
        elif not _same(baseline.summary[key], value, allowed[key]):
            moved.append(Moved(key, baseline.summary[key], value, allowed[key]))
    return moved


def _tolerances(keys: Mapping[str, Number], tolerance: Tolerance) -> dict[str, float]:
    if not isinstance(tolerance, Mapping):
        return dict.fromkeys(keys, check_real("tolerance", tolerance, 0.0, 1.0))
    for key in tolerance:
        check_choice("a key of tolerance", key, tuple(keys))
    return {key: check_real(f"tolerance of {key}", tolerance.get(key, 0.0), 0.0, 1.0) for key in keys}


def _same(old: Number, new: Number, tolerance: float) -> bool:
    if old is None or new is None:
        return old is new
    return abs(new - old) <= tolerance * abs(old)


def table(name: str, baseline: Baseline, now: Baseline, moved: Sequence[Moved]) -> str:
    """What moved, by how much, and what else is not the same; one line per key.

    Examples
    --------
    >>> old = Baseline("0.1.0", "1 x HBM4_8000", "", "t", "", {"time_ns": 100.0})
    >>> new = Baseline("0.1.0", "2 x HBM4_8000", "x", "t", "", {"time_ns": 50.0})
    >>> print(table("test_step", old, new, compare(old, new)))
    test_step: 1 of 1 numbers moved
    key      baseline  now  change   tolerance
    time_ns       100   50  -50.00%      exact
    trace: the same; system: 1 x HBM4_8000 before, 2 x HBM4_8000 now; hbmmodel: the same
    """
    rows = [("key", "baseline", "now", "change", "tolerance")]
    for m in moved:
        before = _number(m.baseline) if m.recorded else "not recorded"
        rows.append((m.key, before, _number(m.now), _change(m), f"{m.tolerance:.3%}" if m.tolerance else "exact"))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [f"{name}: {len(moved)} of {len(now.summary)} numbers moved"]
    lines += ["  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
              for row in rows]  # fmt: skip
    causes = (
        ("trace", baseline.trace, now.trace, baseline.trace_hash == now.trace_hash),
        ("system", baseline.system, now.system, baseline.system_hash == now.system_hash),
        ("hbmmodel", baseline.hbmmodel, now.hbmmodel, baseline.hbmmodel == now.hbmmodel),
    )
    return "\n".join([*lines, "; ".join(_cause(*cause) for cause in causes)])


def _cause(what: str, before: str, now: str, same: bool) -> str:
    if same:
        return f"{what}: the same"
    return f"{what}: {before} before, {now} now" if before != now else f"{what}: another content under the same name"


def _number(value: Number) -> str:
    return "none" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)


def _change(m: Moved) -> str:
    if m.baseline is None or m.now is None or not m.baseline:
        return "-"
    return f"{(m.now - m.baseline) / abs(m.baseline):+.2%}"
