"""``hbmmodel validate``: recorded runs of other programs, computed again from their inputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from hbmmodel.cli.common import echo_json, json_option

__all__ = ["command"]


@click.group("validate")
def command() -> None:
    """Repeat recorded runs of other programs and compare."""


@command.command("ramulator")
@click.argument("directory", metavar="DIR")
@json_option
def ramulator_command(directory: str, as_json: bool) -> None:
    """Compute every run recorded in DIR from its inputs; beside a recorded number, show the difference."""
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid
    from hbmmodel.validate import ramulator

    computed = ramulator.validate(directory, progress=_progress if sys.stderr.isatty() else None)
    if as_json:
        echo_json(computed)
        return
    header = ("run", "cycles", "row hits", "misses", "conflicts", "difference from the recording")
    rows = []
    recorded = identical = 0
    for run, values in computed.items():
        differing = list(_differing(values))
        recorded += "difference" in values
        identical += "difference" in values and not differing
        told = "not recorded" if "difference" not in values else ", ".join(differing) or "none"
        counts = (str(values[name]) for name in ("cycles", "row_hits", "row_misses", "row_conflicts"))
        rows.append((run, *counts, told))
    click.echo("\n".join(render_grid(Grid(header, tuple(rows), left=(0, 5)))))
    click.echo(f"{len(computed)} runs, {recorded} recorded, {identical} of them identical in every number")


@command.command("drampower")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@json_option
def drampower_command(files: tuple[str, ...], as_json: bool) -> None:
    """Compute the energies of every trace in FILE from its commands and memspec; beside a recorded result, show the
    largest relative difference.
    """
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid
    from hbmmodel.validate import drampower

    computed = drampower.validate(files)
    if as_json:
        echo_json(computed)
        return
    rows = []
    for file, results in computed.items():
        for result in results:
            difference = result.get("difference")
            told = "not recorded" if difference is None else f"{difference['largest_relative']:.2g}"
            rows.append((os.path.basename(file), result["name"], f"{1e12 * result['total_J']:.6g}", told))
    header = ("file", "trace", "total pJ", "largest relative difference")
    click.echo("\n".join(render_grid(Grid(header, tuple(rows), left=(0, 1)))))


@command.command("thermal")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@json_option
def thermal_command(files: tuple[str, ...], as_json: bool) -> None:
    """Compute the temperatures of every FILE from its layers, boundary and power; beside recorded ones, show the
    largest difference.
    """
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid
    from hbmmodel.validate import thermal

    computed = thermal.validate(files)
    if as_json:
        echo_json(computed)
        return
    rows = []
    for file, values in computed.items():
        difference = values.get("max_abs_difference")
        kind = next(name for name in ("layers", "samples", "R_K_per_W") if name in values)
        rows.append((os.path.basename(file), kind, "not recorded" if difference is None else f"{difference:.3g}"))
    header = ("file", "what", "largest difference, K (K/W)")
    click.echo("\n".join(render_grid(Grid(header, tuple(rows), left=(0, 1)))))
    for file, values in computed.items():
        for sentence in values.get("assumed", ()):
            click.echo(f"{os.path.basename(file)}: {sentence}")


def _progress(run: str, number: int, total: int) -> None:
    end = "\n" if number + 1 == total else ""
    print(f"\r\x1b[K{number + 1}/{total} {run}", end=end, file=sys.stderr, flush=True)


def _differing(values: Mapping[str, Any]) -> Iterator[str]:
    """What differs from the recording, as ``name +n``."""
    for name, value in values.get("difference", {}).items():
        parts = value.items() if isinstance(value, Mapping) else ((None, value),)
        yield from (f"{name} {part or ''} {n:+g}".replace("  ", " ") for part, n in parts if n)
    for name in ("accept_and_done", "command_log"):
        mismatches = values.get(name, {}).get("mismatches", 0)
        if mismatches:
            yield f"{name} {mismatches} entries"
