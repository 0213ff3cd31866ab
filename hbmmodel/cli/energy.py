"""``hbmmodel energy``: the energy sets, and where each number of one comes from."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hbmmodel.cli.common import echo_json, json_option, listing_group

if TYPE_CHECKING:
    from hbmmodel.energy import EnergySet

__all__ = ["command"]


def _list(as_json: bool) -> None:
    from hbmmodel.energy import energy_set, energy_sets
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid

    found = [energy_set(name) for name in energy_sets()]
    if as_json:
        echo_json([{k: v for k, v in _plain(s).items() if k != "values"} for s in found])
        return
    rows = tuple((s.name, s.kind, _families(s), s.title) for s in found)
    click.echo("\n".join(render_grid(Grid(("name", "kind", "recommended for", "title"), rows, left=(0, 1, 2, 3)))))


command = listing_group(
    "energy",
    text="List the energy sets, or show one with its sources.",
    list_text="List the energy sets.",
    show=_list,
)


@command.command("show")
@click.argument("name", metavar="NAME")
@click.option("--toml", is_flag=True, help="Print the set's file, to copy and edit.")
@json_option
def show_command(name: str, toml: bool, as_json: bool) -> None:
    """Show one set, by name or as a TOML file: every value with its span and source."""
    from hbmmodel.energy import energy_set

    if toml:
        from hbmmodel.energy.presets import toml_text

        if as_json:
            raise click.UsageError("--toml prints the file as it is; leave out --json")
        click.echo(toml_text(name), nl=False)
        return
    shown = energy_set(name)
    if as_json:
        echo_json(_plain(shown))
    else:
        _show(shown)


def _plain(shown: EnergySet) -> dict[str, Any]:
    head = ("name", "kind", "title", "notes", "families", "toggle_rate", "dbi_wires")
    return {**{name: getattr(shown, name) for name in head}, "values": {v.name: asdict(v) for v in shown}}


def _show(shown: EnergySet) -> None:
    from hbmmodel.energy import VALUES
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid

    click.echo(f"{shown.name}: {shown.title}\n\n{shown.notes}\n")
    coded = ", ".join(shown.dbi_wires) or "none"
    click.echo(f"holds at toggle rate {shown.toggle_rate:g}; with DBI: {coded}; recommended for {_families(shown)}\n")
    rows = tuple((v.name, f"{v.low:.4g}", f"{v.typical:.4g}", f"{v.high:.4g}", v.unit, v.confidence) for v in shown)
    header = ("value", "low", "typical", "high", "unit", "confidence")
    click.echo("\n".join(render_grid(Grid(header, rows, left=(0, 4, 5)))))
    for value in shown:
        click.echo(f"\n{value.name}: {VALUES[value.name][1]}\n  source: {value.source}")


def _families(shown: EnergySet) -> str:
    return ", ".join(shown.families) or "-"
