"""`sweep`: one trace, or several, on every combination of settings.

Owns the choice of points, the order in which they run, and what is kept of them; must not know how one is simulated
(`hbmmodel.study.point`) or how a study is looked at (`hbmmodel.study.study`).
"""

from __future__ import annotations

import itertools
import math
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import hbmmodel
from hbmmodel.checks import check_whole
from hbmmodel.device import Device
from hbmmodel.errors import HbmArgumentError, HbmError
from hbmmodel.shelf import did_you_mean
from hbmmodel.study.digest import trace_digest
from hbmmodel.study.files import json_text
from hbmmodel.study.point import AnyTrace, Job, Point, find, key_of, open_trace, run, told
from hbmmodel.study.study import Study
from hbmmodel.system import System
from hbmmodel.trace.target import replace_text
from hbmmodel.vary import place_of, vary

__all__ = ["POINTS_MAX", "RUN_OPTIONS", "run_points", "sweep"]

POINTS_MAX = 100_000
IN_FLIGHT = 64
"""Points that are handed to an executor at once: a bound of memory."""

RUN_OPTIONS = (
    *("mode", "order", "tile_bytes", "l2", "request_bytes", "wrap"),
    *("thermal", "thermal_seconds", "thermal_start_c", "thermal_epoch_ns"),
)
"""Arguments of `simulate` that a sweep takes, and that an axis names as ``run.mode``."""

Progress = bool | Callable[[int, int], None]


def sweep(
    system: System,
    trace: AnyTrace | Mapping[str, AnyTrace],
    axes: Mapping[str, Sequence[Any]],
    *,
    directory: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    threads: int | None = None,
    progress: Progress = False,
    **options: Any,
) -> Study:
    """Simulate a trace on every combination of some settings.

    Parameters
    ----------
    system : System
        What is varied.
    trace : Trace, str, callable, or mapping of names to them
        A trace, its path, ``workload:GENERATOR,...``, or a function that makes one; several by name make one axis
        more, ``trace``. For executors of other processes give paths, specifications or picklable functions.
    axes : mapping of str to sequence
        Setting to its values: as `hbmmodel.study.vary` names them, or ``run.`` and an argument of `simulate`, as
        ``run.mode``. The last axis changes fastest.
    directory : path, optional
        Where every result is kept as soon as it is finished, with the table. The same sweep goes on from what is there;
        a result is kept under a hash of everything that can change it, so sweeps may share a directory.
    executor : concurrent.futures.Executor, optional
        Runs the points; any that keeps to that protocol. None: one after the other, in this process.
    threads : int, optional
        Of every run; default: all cores without an executor, one with it.
    progress : bool or callable
        Show a bar on standard error, or call ``progress(done, total)`` after every point.
    **options
        Arguments of `simulate`: those of `RUN_OPTIONS`.

    Returns
    -------
    Study
        A point that fails is recorded with its error; the others go on.

    Raises
    ------
    HbmArgumentError
        An axis or an option is unknown, has no values or the same twice, there are too many points, or the directory
        holds something else.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> trace = hbm.Trace.from_requests(range(0, 1 << 18, 32), [False] * (1 << 13))
    >>> found = hbm.sweep(hbm.System(hbm.device("HBM4_8000", channels=1)), trace, {"read_queue": [4, 64, 5000]})
    >>> [point.error for point in found.points]
    [None, None, 'read_queue is 5000; it must be in 1..1024']
    >>> bandwidth = found.table["bandwidth_gb_per_s"]
    >>> bool(bandwidth[0] < bandwidth[1])
    True
    """
    if not isinstance(system, System):
        raise HbmArgumentError(f"system must be a System, not {str(system)[:80]!r}")
    traces = dict(trace) if isinstance(trace, Mapping) else {"": trace}
    if not traces or not isinstance(axes, Mapping):
        raise HbmArgumentError("sweep takes a trace, or several by name, and axes: a mapping of settings to values")
    _check_options(options)
    grid = {str(name): _values(str(name), values) for name, values in axes.items()}
    for name in grid:
        if name.startswith("run."):
            _check_options({name[4:]: None})
        elif name == "trace":
            raise HbmArgumentError("axis trace: give several traces as a mapping of names instead")
        else:
            place_of(name, system.device)
    if isinstance(trace, Mapping):
        grid = {"trace": [str(name) for name in traces], **grid}
        traces = {str(name): one for name, one in traces.items()}
    total = math.prod(map(len, grid.values()))
    if total > POINTS_MAX:
        raise HbmArgumentError(f"{total} points are too many; give axes of at most {POINTS_MAX} combinations")

    def points() -> Iterator[tuple[dict[str, Any], AnyTrace, Callable[[], System], dict[str, Any]]]:
        for combination in itertools.product(*grid.values()):
            values = dict(zip(grid, combination, strict=True))
            own = {k[4:]: v for k, v in values.items() if k.startswith("run.")}
            changed = {k: v for k, v in values.items() if k != "trace" and not k.startswith("run.")}
            shown = {k: _shown(v) for k, v in values.items()}
            yield shown, traces[values.get("trace", "")], partial(vary, system, changed), {**options, **own}

    return run_points(
        {name: [_shown(v) for v in values] for name, values in grid.items()},
        points(),
        directory=directory,
        executor=executor,
        threads=threads,
        progress=progress,
        told_about={"system": system.to_dict(), "options": {k: repr(v) for k, v in options.items()}},
    )


def run_points(
    axes: Mapping[str, Sequence[Any]],
    points: Iterator[tuple[dict[str, Any], AnyTrace, Callable[[], System], dict[str, Any]]],
    *,
    directory: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    threads: int | None = None,
    progress: Progress = False,
    told_about: Mapping[str, Any] | None = None,
) -> Study:
    """Run points that someone else has chosen: values, trace, a function that makes the system, options of the run.

    Parameters
    ----------
    axes : mapping
        Names and values, the last changing fastest; `points` yields their product in order.
    points : iterator
    directory, executor, threads, progress
        As of `sweep`.
    told_about : mapping, optional
        What the study's file says besides, in JSON types.
    """
    if threads is not None:
        check_whole("threads", threads, 1, 1024)
    threads = threads if executor is None or threads is not None else 1
    home = None if directory is None else _home(Path(directory))
    total = math.prod(len(values) for values in axes.values())
    about = {"version": hbmmodel.__version__, **(told_about or {})}
    done: dict[int, Point] = {}

    def study() -> Study:
        return Study(dict(axes), tuple(done[i] for i in sorted(done)), about, None if home is None else str(home))

    if home is not None:
        _write(home, study())
    digests: dict[int, str] = {}

    def jobs() -> Iterator[tuple[int, Job]]:
        for number, (values, trace, make, options) in enumerate(points):
            key = ""
            try:
                system = make()
                if home is not None:
                    if id(trace) not in digests:
                        digests[id(trace)] = trace_digest(open_trace(trace))
                    key = key_of(system, digests[id(trace)], options)
                    if (kept := find(home / "points", key)) is not None:
                        done[number] = Point(values, dict(kept.summary), None, key, kept=True)
                        continue
            except (HbmError, OSError) as error:
                done[number] = Point(values, None, told(error), key)
                continue
            where = None if home is None else str(home / "points")
            yield number, Job(values, key, system.to_dict(), trace, {**options, "threads": threads}, where)

    try:
        with _Steps(progress, total) as step:
            for number, point in _run_all(jobs(), executor):
                done[number] = point
                step(len(done))
            step(len(done))
    finally:
        # also of an interrupted sweep: its table holds what is finished
        found = study()
        if home is not None:
            _write(home, found)
    return found


def _run_all(jobs: Iterator[tuple[int, Job]], executor: Executor | None) -> Iterator[tuple[int, Point]]:
    if executor is None:
        for number, job in jobs:
            yield number, run(job)
        return
    futures: dict[Future[Point], tuple[int, Job]] = {}
    checked: set[int] = set()
    try:
        more = True
        while more or futures:
            while more and len(futures) < IN_FLIGHT:
                entry = next(jobs, None)
                if entry is None:
                    more = False
                    break
                if id(entry[1].trace) not in checked:
                    _check_portable(entry[1].trace, executor)
                    checked.add(id(entry[1].trace))
                futures[executor.submit(run, entry[1])] = entry
            finished, _ = wait(futures, return_when=FIRST_COMPLETED) if futures else (set(), None)
            for future in finished:
                number, job = futures.pop(future)
                error = future.exception()
                if isinstance(error, BrokenExecutor):
                    why = "a process that computed points was killed, for want of memory perhaps"
                    error = HbmArgumentError(f"{why}; take fewer (-j), and give the same command again to go on")
                yield number, future.result() if error is None else Point(job.values, None, told(error), job.key)
    finally:
        for future in futures:
            future.cancel()


def _check_portable(trace: AnyTrace, executor: Executor) -> None:
    if isinstance(executor, ThreadPoolExecutor):
        return
    try:
        pickle.dumps(trace)
    except Exception as error:
        raise HbmArgumentError(
            f"the trace {getattr(trace, 'name', trace)} cannot be sent to another process ({error}); give its path, or "
            "workload:GENERATOR,..., as text"
        ) from None


def _check_options(options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in RUN_OPTIONS:
            hint = did_you_mean(name, RUN_OPTIONS)
            raise HbmArgumentError(f"a run has no option {name!r}; {hint}options are {', '.join(RUN_OPTIONS)}")


def _values(name: str, given: object) -> list[Any]:
    """The values of an axis, as plain numbers, words, or devices."""
    plain = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(plain, str | bytes) or not isinstance(plain, Sequence | range) or not len(plain):
        raise HbmArgumentError(f"axis {name}: give a list of one value or more, not {str(given)[:80]!r}")
    values = [value.item() if hasattr(value, "item") else value for value in plain]
    for value in values:
        if value is not None and not isinstance(value, str | int | float | Device):
            raise HbmArgumentError(f"axis {name}: {str(value)[:80]!r} is no number, word or device")
        if isinstance(value, float) and not math.isfinite(value):
            raise HbmArgumentError(f"axis {name}: {value} is not finite")
    shown = [_shown(value) for value in values]
    if len(set(map(repr, shown))) < len(shown):
        raise HbmArgumentError(f"axis {name}: the same value is given twice; leave one out")
    return values


def _shown(value: Any) -> Any:
    if isinstance(value, Device):
        return " ".join((value.name, value.variant, *value.overrides))
    return value


class _Steps:
    """Tells how far a sweep is: a bar, a function of the caller's, or nobody."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._bar: Any = None

    def __enter__(self) -> Callable[[int], None]:
        if self._progress is True:
            from tqdm import tqdm

            self._bar = tqdm(total=self._total, unit="point", dynamic_ncols=True)
        return self._step

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _step(self, done: int) -> None:
        if done == self._done:
            return
        if self._bar is not None:
            self._bar.update(done - self._done)
        elif not isinstance(self._progress, bool):
            self._progress(done, self._total)
        self._done = done


def _home(directory: Path) -> Path:
    """The directory of a study, made if it is not there."""
    from hbmmodel.study.study import is_study

    try:
        if directory.exists() and (not directory.is_dir() or (any(directory.iterdir()) and not is_study(directory))):
            raise HbmArgumentError(f"{directory} exists and is no study; it is left as it is: name another directory")
        (directory / "points").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or error
        raise HbmArgumentError(f"{directory} cannot be written: {why}; name another place") from None
    return directory


def _write(home: Path, study: Study) -> None:
    replace_text(home / "study.json", json_text(study.to_dict()))
    if study.points:
        study.table.save(home / "table.parquet")
        study.table.save(home / "table.csv")
