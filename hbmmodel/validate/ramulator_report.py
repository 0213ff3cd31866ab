"""The comparison with Ramulator 2.1 as Markdown tables.

``python -m hbmmodel.validate.ramulator_report DIR [--phases]`` prints them; those in
``docs/model/ramulator_policies.md`` are its output. It owns how results of ``ramulator`` and ``constraints``
are summed up; it must not know how they are computed.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hbmmodel.errors import HbmError
from hbmmodel.validate import constraints, ramulator
from hbmmodel.validate.ramulator_inputs import Requests, RunName, device_ticks, read_requests

__all__ = ["PHASES", "constraint_tables", "is_identical", "main", "phase_table", "run_tables"]

PHASES = 16
"""Positions of a trace against the refresh clock in `phase_table`, over two intervals of per-bank refresh."""


def is_identical(values: Mapping[str, Any]) -> bool:
    """Whether every recorded number of a run, its times and its command log are the same in ours.

    Parameters
    ----------
    values : mapping
        One run of `hbmmodel.validate.ramulator.validate`; False if nothing was recorded.
    """
    difference = values.get("difference", {})
    mismatches = [values.get(part, {}).get("mismatches", 0) for part in ("accept_and_done", "command_log")]
    return bool(difference) and not any(_numbers(difference)) and not any(mismatches)


def _numbers(values: Mapping[str, Any]) -> Iterable[float]:
    for value in values.values():
        if isinstance(value, Mapping):
            yield from _numbers(value)
        else:
            yield value


def run_tables(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Runs by device, map, refresh and scheduler.

    Parameters
    ----------
    runs : mapping
        As `hbmmodel.validate.ramulator.validate` gives it.
    """
    groups: dict[str, list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
    for name, values in runs.items():
        group, _, trace = name.rpartition("|")
        groups[group].append((trace, values))
    rows = []
    for group, members in groups.items():
        own = [
            (values["without_relaxations"]["cycles_difference_percent"], trace) for trace, values in members
        ]
        changed = sum(percent != 0 for percent, _ in own)
        percent, trace = max(own, key=lambda pair: abs(pair[0]))
        worst = max((abs(values.get("difference", {}).get("cycles", 0)) for _, values in members), default=0)
        rows.append(
            (
                group.replace("|", " "),
                len(members),
                sum(is_identical(values) for _, values in members),
                worst,
                changed,
                f"{percent:+.2f} % ({trace})" if changed else "0",
            )
        )
    identical = sum(is_identical(values) for values in runs.values())
    rows.append(("all", len(runs), identical, "", sum(row[4] for row in rows), ""))
    head = ("device, map, refresh, scheduler", "runs", "identical", "largest difference of cycles, ticks")
    return _markdown(
        (*head, "changed without relaxations", "largest change of cycles without relaxations"), rows
    )


def phase_table(directory: str, runs: Iterable[str]) -> str:
    """How much of a change of cycles is chance: every trace begun at `PHASES` positions of the refresh clock.

    Parameters
    ----------
    directory : str
        As for `hbmmodel.validate.ramulator.validate`.
    runs : iterable of str
        Names of runs.
    """
    folder = Path(directory)
    traces = read_requests(folder / "requests.npz")
    rows = []
    for run in runs:
        name = RunName.parse(run, "runs")
        ticks, requests = device_ticks(folder, name.device), traces[name.trace]
        cycles = []
        for i in range(PHASES):
            late = 2 * ticks["REFIpb"] * i // PHASES
            case = ramulator.Case(
                name, ticks, Requests(requests.address, requests.is_write, requests.tick + late)
            )
            cycles.append([case.run(relaxed=rules).counters["cycles"] - late for rules in (None, ())])
        relaxed, own = np.array(cycles).T
        change, spread = 100 * (own / relaxed[0] - 1), 100 * (relaxed / relaxed[0] - 1)
        mean = 100 * (own.mean() / relaxed.mean() - 1)
        rows.append(
            (
                run.replace("|", " "),
                f"{change[0]:+.2f} %",
                f"{spread.min():+.2f} to {spread.max():+.2f} %",
                f"{mean:+.2f} %",
            )
        )
    return _markdown(
        ("run", "change as recorded", "spread of the relaxed run over phases", "mean change over phases"),
        rows,
    )


def constraint_tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the simulator's tables by outcome, then what only our tables have, by reason.

    Parameters
    ----------
    rows : sequence of mapping
        As `hbmmodel.validate.constraints.compare` gives it.
    """
    tables = list(dict.fromkeys(row["table"] for row in rows))
    theirs = [row for row in rows if row["expr"] is not None]
    counted = []
    for table in tables:
        own = [row for row in theirs if row["table"] == table]
        same = [row for row in own if row["status"] == "same"]
        equal = sum(not row["reason"] for row in same)
        counted.append((table.replace("|", " + "), len(own), len(same), equal, len(own) - len(same)))
    reasons = Counter((row["reason"], row["table"]) for row in rows if row["expr"] is None)
    only_ours = [
        (reason, *(reasons[reason, table] for table in tables))
        for reason in dict.fromkeys(reason for reason, _ in reasons)
    ]
    head = ("rules that only our tables have", *(table.replace("|", " + ") for table in tables))
    return "\n".join(
        (
            _markdown(("table", "rows", "same", "of these, equal in number", "deviations"), counted),
            _markdown(head, only_ours),
        )
    )


def _markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def main(arguments: Sequence[str]) -> int:
    """Print the tables for a directory of recorded files; the exit code of the program.

    Parameters
    ----------
    arguments : sequence of str
        The directory; then ``--phases`` for the table of `phase_table` too (some 700 runs more).
    """
    if not arguments or list(arguments[1:]) not in ([], ["--phases"]):
        print("usage: python -m hbmmodel.validate.ramulator_report DIR [--phases]", file=sys.stderr)
        return 2
    folder = arguments[0]
    try:
        results = ramulator.validate(folder)
        print(run_tables(results))
        if arguments[1:]:
            changed = [
                run
                for run, values in results.items()
                if values["without_relaxations"]["cycles_difference_percent"]
            ]
            print(phase_table(folder, changed))
        path = Path(folder, "timing_constraints.json")
        path = path if path.exists() else path.with_suffix(".json.xz")
        if path.exists():
            print(constraint_tables(constraints.compare(constraints.read_tables(path))), end="")
    except HbmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
