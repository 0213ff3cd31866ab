"""``hbmmodel thermal``: how warm a power map makes a stack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hbmmodel.cli.common import echo_json, json_option, parse_settings

if TYPE_CHECKING:
    from hbmmodel.thermal import Model

__all__ = ["command"]

FILE_MAX_BYTES = 64 << 20


@click.command("thermal")
@click.argument("stack", metavar="[STACK]", required=False)
@click.option(
    "--power",
    "powers",
    multiple=True,
    metavar="DIE=WATTS",
    help="Power of a die, spread evenly; DIE is BASE, DRAM0 to the top, or DRAM for each of them. May be repeated.",
)
@click.option(
    "--power-map",
    "maps",
    multiple=True,
    metavar="DIE=FILE",
    help="Watts per cell as CSV, a line per row of cells, y = 0 first; all maps have the same size. May be repeated.",
)
@click.option("--seconds", type=float, default=None, metavar="S", help="That long after power-on [default: steady].")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A field of the stack, as h_top_w_m2k=40000."
)
@json_option
def command(
    stack: str | None,
    powers: tuple[str, ...],
    maps: tuple[str, ...],
    seconds: float | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show how warm every die of STACK gets; without STACK, list the stacks."""
    from hbmmodel.errors import HbmArgumentError
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid
    from hbmmodel.thermal import Model, Trips, stacks
    from hbmmodel.thermal import stack as make_stack

    if stack is None:
        if powers or maps or settings or seconds is not None:
            raise click.UsageError("name a STACK")
        if as_json:
            echo_json(list(stacks()))
        else:
            click.echo("\n".join(stacks()))
        return
    made = make_stack(stack).replace(**parse_settings(settings))
    grids = {die: _read_map(file) for die, file in _pairs("--power-map", maps)}
    shapes = {(len(rows), len(rows[0])) for rows in grids.values()}
    if len(shapes) > 1:
        raise HbmArgumentError("the power maps differ in size: " + ", ".join(f"{y} x {x}" for y, x in sorted(shapes)))
    ny, nx = next(iter(shapes), (22, 22))
    model = Model(made, nx, ny)
    watts = _watts(model, powers, grids)
    state = model.steady(watts) if seconds is None else model.state().advance(watts, seconds)
    total_w = model.power(watts).total_w
    rows = zip(model.sources, state.mean_c(), state.min_c(), state.max_c(), strict=True)
    if as_json:
        dies = {name: {"mean_c": float(a), "min_c": float(b), "max_c": float(c)} for name, a, b, c in rows}
        echo_json({"stack": made.name, "total_w": total_w, "seconds": seconds, "grid": [ny, nx], "dies": dies})
        return
    when = "steady state" if seconds is None else f"{seconds:g} s after power-on"
    click.echo(f"{made.name}, {total_w:g} W, coolant {made.coolant_c:g} degC: {when}")
    header = ("die", "mean degC", "min", "max")
    trips = Trips()
    if float(state.max_c().max()) >= trips.cattrip_c:
        click.echo(f"hbmmodel: note: above {trips.cattrip_c:g} degC, where a stack shuts down", err=True)
    lines = tuple((name, f"{mean:.2f}", f"{low:.2f}", f"{high:.2f}") for name, mean, low, high in rows)
    click.echo("\n".join(render_grid(Grid(header, lines, left=(0,)))))


def _pairs(option: str, given: Sequence[str]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for text in given:
        die, equals, value = text.partition("=")
        if not equals or not die.strip() or not value.strip():
            raise click.UsageError(f"{option} {text!r} is not DIE=VALUE, as in {option} BASE=8")
        if die.strip() in found:
            raise click.UsageError(f"{option} {die.strip()} is given twice")
        found[die.strip()] = value.strip()
    return list(found.items())


def _watts(model: Model, powers: Sequence[str], grids: dict[str, Any]) -> dict[str, Any]:
    from hbmmodel.errors import HbmArgumentError

    watts: dict[str, Any] = {}
    for die, text in _pairs("--power", powers):
        try:
            value = float(text)
        except ValueError:
            raise HbmArgumentError(f"--power {die}: {text!r} is no number of watts") from None
        for name in [s for s in model.sources if s.startswith("DRAM")] if die == "DRAM" else [die]:
            watts[name] = value
    for die, grid in grids.items():
        if die in watts:
            raise HbmArgumentError(f"{die} has both a --power and a --power-map; give one")
        watts[die] = grid
    return watts


def _read_map(file: str) -> list[list[float]]:
    import csv

    from hbmmodel.errors import HbmArgumentError

    path = Path(file)
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise HbmArgumentError(f"{file}: larger than {FILE_MAX_BYTES} bytes; this is no power map")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise HbmArgumentError(f"{file}: not UTF-8 text; give CSV") from None
    rows: list[list[float]] = []
    for number, line in enumerate(csv.reader(text.splitlines()), 1):
        if not line:
            continue
        try:
            rows.append([float(cell) for cell in line])
        except ValueError:
            raise HbmArgumentError(f"{file}: line {number} holds something that is no number") from None
        if len(rows[-1]) != len(rows[0]):
            raise HbmArgumentError(f"{file}: line {number} has {len(rows[-1])} cells, the first has {len(rows[0])}")
    if not rows:
        raise HbmArgumentError(f"{file}: no cells")
    return rows
