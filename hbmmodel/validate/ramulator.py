"""Recorded runs of Ramulator 2.1, repeated with its policies on our timing tables.

It owns the recorded form of a result and the comparison with it; it must not know the policies (they are
the C core's ``r21.c``) or how input files are read (``ramulator_inputs``). Times are in ticks of half a CK,
as recorded.
"""

from __future__ import annotations

import csv
import lzma
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hbmmodel.commands import Command
from hbmmodel.errors import HbmDeviceError, HbmTraceError
from hbmmodel.validate.ramulator_core import RELAXED, Outcome, core_device, run
from hbmmodel.validate.ramulator_inputs import (
    DEVICES,
    Places,
    Requests,
    RunName,
    decode,
    device_ticks,
    read_arrays,
    read_requests,
    read_runs,
)

__all__ = ["LOGGED_REQUESTS", "Case", "command_rows", "read_log", "recorded_form", "validate"]

LOGGED_REQUESTS = 4000
"""Requests in the runs whose command logs were recorded: the head of the trace."""

LOG_COLUMNS = (
    *("clock", "command", "Channel", "PseudoChannel", "Sid", "BankGroup", "Bank", "Row", "Column"),
    *("type", "source"),
)

_LOGGED = "RoBaRaCoCh|pb|FRFCFS"
"""Map, refresh and scheduler of the runs with a recorded command log."""

_COUNTERS = (
    *("cycles", "row_hits", "row_misses", "row_conflicts", "num_read_reqs", "num_write_reqs"),
    *("num_maintenance_reqs", "num_read_reqs_served", "num_write_reqs_served", "num_read_reqs_forwarded"),
    "num_write_reqs_coalesced",
)

_CLOCK_OFFSET = 1
"""That simulator stamps commands with a clock that counts from 1; ours counts from 0."""


def validate(
    directory: str | PathLike[str],
    *,
    runs: Iterable[str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Compute recorded runs of Ramulator 2.1 again, from their inputs alone.

    Parameters
    ----------
    directory : path
        Holds ``requests.npz`` and, each if it is there, ``presets.json`` (device numbers; else our
        presets), ``runs.json`` (names of the runs, else all combinations; recorded values, which may have
        been stripped), ``accept_and_done_ticks.npz`` and ``commands_DEVICE_TRACE.csv.xz``.
    runs : iterable of str, optional
        Compute these only; names as in ``runs.json``.
    progress : callable, optional
        Called as ``progress(run, number, total)`` before each run.

    Returns
    -------
    dict
        For every run our values under the recorded names; ``cycles`` and all latencies in ticks. Beside
        them ``without_relaxations`` (cycles with our timing tables as they are, and by how many percent
        they differ) and, where something was recorded, ``difference`` (ours - recorded, by name),
        ``accept_and_done`` and ``command_log`` (numbers of entries that differ, and the first).

    Raises
    ------
    HbmTraceError
        A file is missing or malformed, or a run cannot be computed from the inputs.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise HbmTraceError(f"{folder}: not a directory; give the one that holds requests.npz")
    traces = read_requests(folder / "requests.npz")
    recorded = read_runs(folder, list(traces))
    selected = list(recorded) if runs is None else list(runs)
    where = str(folder / "runs.json") if runs is None else "runs"
    names = {name: RunName.parse(name, where) for name in selected}
    for name, parts in names.items():
        if parts.trace not in traces:
            raise HbmTraceError(
                f"{folder / 'requests.npz'}: trace {parts.trace!r} of run {name} is missing;"
                f" the file has {', '.join(traces)}"
            )
    ticks = {device: device_ticks(folder, device) for device in {parts.device for parts in names.values()}}
    path = folder / "accept_and_done_ticks.npz"
    ticks_of_requests = read_arrays(path) if path.exists() else {}
    result: dict[str, dict[str, Any]] = {}
    for i, (name, parts) in enumerate(names.items()):
        if progress is not None:
            progress(name, i, len(names))
        case = Case(parts, ticks[parts.device], traces[parts.trace])
        outcome = case.run()
        values = recorded_form(outcome, case.requests)
        own = case.run(relaxed=()).counters["cycles"]
        result[name] = {
            **values,
            "without_relaxations": {
                "cycles": own,
                "cycles_difference_percent": _percent(own, values["cycles"]),
            },
        }
        expected = recorded.get(name, {})
        if expected:
            result[name]["difference"] = _difference(values, expected, f"{folder / 'runs.json'}: run {name}")
        key = name.replace("|", "__")
        if key in ticks_of_requests:
            result[name]["accept_and_done"] = _compare_ticks(outcome, ticks_of_requests[key], key)
        log = folder / f"commands_{parts.device}_{parts.trace}.csv.xz"
        if f"{parts.mapping}|{parts.refresh}|{parts.scheduler}" == _LOGGED and log.exists():
            result[name]["command_log"] = _compare_log(case, log)
    return result


class Case:
    """One run's inputs, ready for the core.

    Parameters
    ----------
    name : RunName
        Says which policies, and which address map.
    ticks : mapping of str to int
        The device, as from `device_ticks`.
    requests : Requests
        The stream.

    Raises
    ------
    HbmTraceError
        The core refuses the device's numbers.
    """

    def __init__(self, name: RunName, ticks: Mapping[str, int], requests: Requests) -> None:
        self.name = name
        self.ticks = ticks
        self.requests = requests
        try:
            self.device = core_device(ticks)
        except HbmDeviceError as error:
            raise HbmTraceError(f"presets.json: device {name.device}: {error}") from None
        self.places = decode(name.mapping, requests.address, ticks)

    def head(self, n: int) -> Case:
        """The same with the first n requests only."""
        return Case(self.name, self.ticks, self.requests.head(n))

    def run(self, relaxed: tuple[str, ...] | None = None, log: bool = False, skip: bool = True) -> Outcome:
        """Run it; ``relaxed`` None: with the relaxations of the device's standard."""
        return run(
            self.device,
            self.requests,
            self.places,
            scheduler=self.name.scheduler,
            refresh=self.name.refresh,
            relaxed=RELAXED[DEVICES[self.name.device][0]] if relaxed is None else relaxed,
            log=log,
            skip=skip,
        )


def recorded_form(outcome: Outcome, requests: Requests) -> dict[str, Any]:
    """Our result under the recorded names.

    Averages are rounded as that simulator prints them: computed in single precision, six significant
    digits. Its average latency divides by the reads that a RD served, and counts one tick more than done -
    accept; percentiles are entries of the sorted list of latencies, at the truncated position.

    Parameters
    ----------
    outcome : Outcome
        Of the run.
    requests : Requests
        Its input.
    """
    counters = outcome.counters
    values: dict[str, Any] = {name: counters[name] for name in _COUNTERS}
    values["avg_read_latency"] = _single(counters["read_latency"], counters["num_read_reqs_served"])
    values["queue_len_avg"] = _single(counters["queue_len"], counters["cycles"])
    values["ticks_total"] = counters["cycles"]
    latency = np.sort((outcome.done - outcome.accept)[requests.is_write == 0])
    n = latency.size
    values["read_latency_ticks"] = {
        "mean": float(latency.mean()) if n else 0.0,
        "p50": int(latency[int(0.5 * n)]) if n else 0,
        "p99": int(latency[int(0.99 * n)]) if n else 0,
        "max": int(latency[-1]) if n else 0,
    }
    return values


def _single(total: int, count: int) -> float:
    if count == 0:
        return 0.0
    return float(f"{np.float32(total) / np.float32(count):.6g}")


def _percent(value: int, base: int) -> float:
    return round(100 * (value - base) / base, 4) if base else 0.0


def _difference(ours: Mapping[str, Any], recorded: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Ours - recorded, for every number that both have."""
    found: dict[str, Any] = {}
    for name, value in ours.items():
        expected = recorded.get(name)
        if expected is None:
            continue
        if isinstance(value, Mapping):
            if not isinstance(expected, Mapping):
                raise HbmTraceError(f"{where}: {name} must be an object")
            found[name] = _difference(value, expected, f"{where}: {name}")
        elif isinstance(expected, bool) or not isinstance(expected, int | float):
            raise HbmTraceError(f"{where}: {name} = {expected!r} is not a number")
        else:
            found[name] = value - expected
    return found


def _compare_ticks(outcome: Outcome, recorded: npt.NDArray[Any], key: str) -> dict[str, Any]:
    ours = np.stack([outcome.accept, outcome.done])
    if recorded.shape != ours.shape or recorded.dtype.kind not in "iu":
        raise HbmTraceError(
            f"accept_and_done_ticks.npz: {key}: expected integers of shape {ours.shape}, found"
            f" {recorded.dtype}{recorded.shape}"
        )
    wrong = np.flatnonzero((recorded != ours).any(axis=0))
    return {
        "requests": int(ours.shape[1]),
        "mismatches": int(wrong.size),
        "first_mismatch": int(wrong[0]) if wrong.size else None,
    }


def _compare_log(case: Case, path: Path) -> dict[str, Any]:
    recorded = read_log(path)
    head = case.head(LOGGED_REQUESTS)
    ours = command_rows(head.run(log=True), head.requests, head.places, head.ticks)
    common = min(len(recorded), len(ours))
    wrong = np.flatnonzero((recorded[:common] != ours[:common]).any(axis=1))
    first = int(wrong[0]) if wrong.size else common
    same = len(recorded) == len(ours) and not wrong.size
    return {
        "commands": len(recorded),
        "mismatches": int(wrong.size) + abs(len(recorded) - len(ours)),
        "first_mismatch": None if same else first,
    }


def command_rows(
    outcome: Outcome, requests: Requests, places: Places, ticks: Mapping[str, int]
) -> npt.NDArray[np.int64]:
    """A command log in the recorded form: one row of integers per command, -1 where a field does not apply.

    Parameters
    ----------
    outcome : Outcome
        Of a run with its log.
    requests, places : Requests, Places
        Inputs of the run.
    ticks : mapping of str to int
        The device.

    Returns
    -------
    int64 array, (commands, 11)
        Columns of `LOG_COLUMNS`, the command by its code.
    """
    log = outcome.commands
    request = log["request"]
    serves = request >= 0
    whole = np.isin(log["command"], (Command.PREab, Command.REFab))

    def of_request(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        found = np.full(log.size, -1, np.int64)
        found[serves] = values[request[serves]]
        return found

    group = log["bank"] // ticks["banks_per_group"]
    columns = (
        log["tick"] + _CLOCK_OFFSET,
        log["command"],
        np.zeros(log.size, np.int64),
        log["pc"],
        np.where(whole, -1, group // ticks["bank_groups"]),
        np.where(whole, -1, group % ticks["bank_groups"]),
        np.where(whole, -1, log["bank"] % ticks["banks_per_group"]),
        of_request(places.row),
        of_request(places.column),
        of_request(requests.is_write),
        np.where(serves, 0, -1),
    )
    return np.stack([column.astype(np.int64) for column in columns], axis=1)


def read_log(path: Path) -> npt.NDArray[np.int64]:
    """A recorded command log as rows of integers, as `command_rows` gives them.

    Parameters
    ----------
    path : Path
        A ``commands_*.csv.xz``.

    Raises
    ------
    HbmTraceError
        It is not such a file.
    """
    rows: list[list[int]] = []
    line = 1
    try:
        with lzma.open(path, "rt", encoding="ascii", newline="") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != LOG_COLUMNS:
                raise HbmTraceError(f"{path}: line 1: expected the header {','.join(LOG_COLUMNS)}")
            for line, row in enumerate(reader, start=2):
                if len(row) != len(LOG_COLUMNS) or row[1] not in Command.__members__:
                    raise HbmTraceError(f"{path}: line {line}: not a command: {','.join(row)}")
                rows.append([int(row[0]), int(Command[row[1]]), *map(int, row[2:])])
    except ValueError as error:
        if isinstance(error, HbmTraceError):
            raise
        raise HbmTraceError(f"{path}: line {line}: {error}") from None
    except (lzma.LZMAError, EOFError, OSError) as error:
        raise HbmTraceError(f"{path}: not a readable .xz file: {error}") from None
    return np.array(rows, np.int64).reshape(-1, len(LOG_COLUMNS))
