"""``hbmmodel sweep``: a trace on every combination of some settings."""

from __future__ import annotations

import itertools
import math
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hbmmodel.cli.common import (
    build_system,
    echo_json,
    json_option,
    open_trace,
    parse_settings,
    read_options,
    system_options,
)

if TYPE_CHECKING:
    from hbmmodel.study import Study
    from hbmmodel.system import System

__all__ = ["command"]

INTERRUPTED = 130
SHOWN = (
    ("time_ns", "time", "ns", 1.0),
    ("bandwidth_gb_per_s", "bandwidth", "GB/s", 1.0),
    ("fraction_of_peak", "of peak", "%", 100.0),
    ("read_latency_ns_mean", "read latency", "ns", 1.0),
    ("energy_pj_per_bit", "energy", "pJ/bit", 1.0),
    ("temperature_c_max", "hottest", "deg C", 1.0),
)


@click.command("sweep")
@click.argument("traces", metavar="TRACE...", nargs=-1)
@click.option(
    "--axis",
    "axes",
    multiple=True,
    metavar="KEY=V1,V2,...",
    help="What is varied: any KEY of run --set, a system option (stacks, device, mapping, ...), or run.mode, "
    "run.order, run.l2, run.thermal, ... May be repeated; the last changes fastest.",
)
@click.option(
    "--format", "format_name", default=None, metavar="NAME", help="Trace format [default: by content]."
)
@system_options()
@read_options
@click.option("--mode", type=click.Choice(["asap", "paced", "closed"]), default=None, help="How operations are issued.")
@click.option(
    "--thermal",
    type=click.Choice(["steady", "transient", "coupled"]),
    default=None,
    help="Let temperature act back, as of run.",
)
@click.option("--wrap", is_flag=True, help="Fold addresses beyond the capacity back into it.")
@click.option(
    "--request-bytes", type=click.IntRange(1), default=None, metavar="N", help="Size of requests whose trace lacks it."
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Processes, a point each."
)
@click.option("-o", "--output", default=None, metavar="DIR", help="Keep every result in DIR, and go on from there.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no table; only errors.")
@json_option
def command(
    traces: tuple[str, ...],
    axes: tuple[str, ...],
    format_name: str | None,
    with_file: str | None,
    phases: tuple[str, ...],
    clock_ns: float | None,
    rewrites: tuple[str, ...],
    pages: str | None,
    mode: str | None,
    thermal: str | None,
    wrap: bool,
    request_bytes: int | None,
    jobs: int,
    output: str | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Simulate TRACE (several make one axis more) on every combination of the axes' values.

    With -o every result is kept as soon as it is finished: the same command goes on where it was interrupted. DIR gets
    table.csv, table.parquet and study.json, and each result in points. A point that fails is told in its row; the
    others go on.
    """
    if not traces:
        raise click.UsageError("name a TRACE, a file or workload:GENERATOR,...")
    if not axes:
        raise click.UsageError("give an axis, as in --axis read_queue=16,32,64")
    grid = _axes(axes, options)
    opener = partial(
        open_trace,
        format=format_name,
        with_file=with_file,
        phases=phases,
        clock_ns=clock_ns,
        rewrites=rewrites,
        pages=pages,
    )
    opened = [opener(name) for name in traces]
    sources: Sequence[Any] = opened if jobs == 1 else [partial(opener, name) for name in traces]
    if len(traces) > 1:
        grid = {"trace": [(name, name) for name in dict.fromkeys(traces)], **grid}
    run_options = {"mode": mode, "thermal": thermal, "wrap": wrap or None, "request_bytes": request_bytes}
    fixed = {name: value for name, value in run_options.items() if value is not None}

    from hbmmodel.errors import HbmError
    from hbmmodel.study.sweeping import POINTS_MAX, RUN_OPTIONS, run_points

    for name in grid:
        if name.startswith("run.") and name[4:] not in RUN_OPTIONS:
            raise click.UsageError(f"--axis {name}: a run has no such option; it has {', '.join(RUN_OPTIONS)}")
    if (n := math.prod(map(len, grid.values()))) > POINTS_MAX:
        raise click.UsageError(f"{n} points are too many; give axes of at most {POINTS_MAX} combinations")
    try:  # a setting that does not exist is told now, a value that is refused is told in its row
        _system(options, {name: values[0] for name, values in grid.items()})
    except HbmError:
        pass

    def points() -> Iterator[tuple[dict[str, Any], Any, Any, dict[str, Any]]]:
        for combination in itertools.product(*grid.values()):
            chosen = dict(zip(grid, combination, strict=True))
            own = {name[4:]: value for name, (_, value) in chosen.items() if name.startswith("run.")}
            source = sources[traces.index(chosen["trace"][0])] if "trace" in chosen else sources[0]
            values = {name: value for name, (_, value) in chosen.items()}
            yield values, source, partial(_system, options, chosen, True), {**fixed, **own}

    with ExitStack() as stack:
        executor = None
        if jobs > 1:
            import multiprocessing

            executor = stack.enter_context(
                ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_leave_interrupts)
            )
        try:
            found = run_points(
                {name: [value for _, value in values] for name, values in grid.items()},
                points(),
                directory=output,
                executor=executor,
                progress=not quiet and sys.stderr.isatty(),
                told_about={"traces": list(traces), "axes": list(axes)},
            )
        except KeyboardInterrupt:
            _stop_workers()
            kept = f"finished points are kept in {output}; the same command goes on from there" if output else (
                "nothing kept; give -o DIR to keep finished points"
            )
            click.echo(f"hbmmodel: interrupted: {kept}", err=True)
            return INTERRUPTED
    if found.points and len(found.failures) == len(found.points):
        from hbmmodel.errors import HbmArgumentError

        raise HbmArgumentError(f"every point failed; the first: {found.points[0].error}")
    if as_json:
        echo_json(found.to_dict())
    elif not quiet:
        _show(found)
        if output is not None:
            click.echo(f"\nSaved in {output}")
    return 0


def _axes(given: tuple[str, ...], options: dict[str, Any]) -> dict[str, list[tuple[str, Any]]]:
    """Axis to (text, value) pairs."""
    grid: dict[str, list[tuple[str, Any]]] = {}
    for axis in given:
        key, equals, texts = axis.partition("=")
        key = key.strip().replace("-", "_")
        words = [word.strip() for word in texts.split(",")]
        if not equals or not key or not all(words):
            raise click.UsageError(f"--axis {axis!r} is not KEY=V1,V2,..., as in --axis read_queue=16,32,64")
        if key in grid:
            raise click.UsageError(f"--axis {key} is given twice")
        if options.get(key) is not None or any(s.partition("=")[0].strip() == key for s in options["settings"]):
            raise click.UsageError(f"--axis {key}: {key} is also given as an option")
        grid[key] = [(word, parse_settings([f"{key}={word}"])[key]) for word in words]
        if len({value for _, value in grid[key]}) < len(words):
            raise click.UsageError(f"--axis {key}: the same value is given twice; leave one out")
    return grid


def _system(options: dict[str, Any], chosen: dict[str, tuple[str, Any]], in_row: bool = False) -> System:
    """The system of one point, described as for ``run``."""
    from hbmmodel.errors import HbmArgumentError

    made, settings = dict(options), list(options["settings"])
    for name, (text, value) in chosen.items():
        option = "product" if name == "system" else name
        if option in made and option != "settings":
            made[option] = value if isinstance(value, int) else text
        elif name != "trace" and not name.startswith("run."):
            settings.append(f"{name}={text}")
    try:
        return build_system(**{**made, "settings": settings})
    except click.UsageError as error:
        if not in_row:
            raise
        raise HbmArgumentError(error.format_message()) from None


def _show(found: Study) -> None:
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid

    shown = [c for c in SHOWN if any(p.summary is not None and p.summary[c[0]] is not None for p in found.points)]
    rows = []
    for point in found.points:
        cells = [str(value) for value in point.values.values()]
        for key, _, _, scale in shown:
            value = None if point.summary is None else point.summary[key]
            cells.append("-" if value is None else f"{value * scale:.4g}")
        rows.append((*cells, point.error or ""))
    header = (*found.axes, *(f"{name} [{unit}]" for _, name, unit, _ in shown), "")
    click.echo("\n".join(render_grid(Grid(header, tuple(rows), left=(len(header) - 1,)))))


def _leave_interrupts() -> None:
    """An interrupt is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _stop_workers() -> None:
    """End processes that still work for a sweep that was interrupted."""
    import multiprocessing

    for child in multiprocessing.active_children():
        child.terminate()
