"""One point of a sweep: what is simulated, under which key it is kept, and what came of it.

Owns the job that a worker gets and its work; must not know how points are chosen or gathered. A job can be sent to
another process.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hbmmodel
from hbmmodel.errors import HbmArgumentError, HbmError
from hbmmodel.result import Result
from hbmmodel.result.summary import Number
from hbmmodel.sim import simulate
from hbmmodel.system import System
from hbmmodel.trace import OpTrace, RequestTrace

__all__ = ["AnyTrace", "Job", "Point", "key_of", "open_trace", "run"]

AnyTrace = OpTrace | RequestTrace | str | Callable[[], OpTrace | RequestTrace]
"""A trace, the path of one, ``workload:GENERATOR,...``, or a function that makes one."""


@dataclass(frozen=True)
class Point:
    """What came of one point.

    Parameters
    ----------
    values : dict
        Axis to value.
    summary : dict or None
        Of the run; None if it failed.
    error : str or None
        Why it failed, in one line.
    key : str
        Name of its saved result; ``""`` if there was no system to simulate.
    kept : bool
        Whether it was found in the directory and not computed again.
    """

    values: dict[str, Any]
    summary: dict[str, Number] | None
    error: str | None = None
    key: str = ""
    kept: bool = False


@dataclass(frozen=True)
class Job:
    """What a worker needs.

    Parameters
    ----------
    values, key
        As of `Point`.
    system : dict
        `System.to_dict`.
    trace : AnyTrace
    options : dict
        Arguments of `simulate`.
    directory : str or None
        Where the result is saved.
    """

    values: dict[str, Any]
    key: str
    system: dict[str, Any]
    trace: AnyTrace
    options: dict[str, Any] = field(default_factory=dict)
    directory: str | None = None


def open_trace(trace: AnyTrace) -> OpTrace | RequestTrace:
    """The trace that is meant.

    Raises
    ------
    HbmError
        It cannot be read or made.
    """
    if isinstance(trace, str):
        if trace.startswith("workload:"):
            from hbmmodel.workload.spec import from_spec

            return from_spec(trace)
        from hbmmodel.trace import read_trace

        return read_trace(trace)
    made: object = trace() if callable(trace) else trace
    if not isinstance(made, OpTrace | RequestTrace):
        raise HbmArgumentError(f"a trace is a Trace, a path, workload:... or a function, not {str(made)[:80]!r}")
    return made


def key_of(system: System, digest: str, options: Mapping[str, Any]) -> str:
    """Under which name a result is kept: everything that can change it, the program included."""
    from hbmmodel.provenance import collect

    program = collect([])
    content = {
        "system": system.content_hash(),
        "energy": repr(system.energies()[0]),
        "thermal": repr(system.thermal_stack()) if options.get("thermal") else "",
        "trace": digest,
        "options": {k: repr(v) for k, v in options.items() if k != "threads"},
        "program": [hbmmodel.__version__, program["core_sha256"]],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def find(directory: Path, key: str) -> Result | None:
    """The kept result; None if there is none, or none that is whole."""
    if not (directory / key).is_dir():
        return None
    try:
        return Result.load(directory / key)
    except HbmError:
        return None


def run(job: Job) -> Point:
    """Simulate one point; whatever goes wrong is part of the answer."""
    try:
        result = simulate(System.from_dict(job.system), open_trace(job.trace), **job.options)
        if job.directory is not None:
            target = Path(job.directory) / job.key
            if target.exists():  # a damaged one
                shutil.rmtree(target)
            result.save(target)
    except Exception as error:
        return Point(job.values, None, told(error), job.key)
    return Point(job.values, dict(result.summary), None, job.key)


def told(error: BaseException) -> str:
    """An error in one line; one of the program's own says all that is to say, others are named."""
    text = " ".join(str(error).split())
    return text if isinstance(error, HbmError) and text else f"{type(error).__name__}: {text}"
