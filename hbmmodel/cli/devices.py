"""``hbmmodel devices``: the presets, and where each number of one comes from."""

from __future__ import annotations

from typing import Any

import click

from hbmmodel.cli.common import device_names, echo_json, json_option, listing_group

__all__ = ["command"]


def _list(as_json: bool) -> None:
    from hbmmodel.device import device, devices
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid

    presets: list[dict[str, Any]] = []
    for name in devices():
        preset = device(name)
        presets.append(
            {
                "name": name,
                "standard": preset.standard,
                "default_variant": preset.variant,
                "variants": list(_variants(name)),
                "data_rate_mbps": preset.data_rate_mbps,
                "peak_gb_per_s": preset.peak_gb_per_s,
                "capacity_bytes": preset.organisation.capacity_bytes,
            }
        )
    if as_json:
        echo_json(presets)
        return
    rows = tuple(
        (
            p["name"],
            p["standard"],
            f"{p['data_rate_mbps']}",
            f"{p['peak_gb_per_s']:g}",
            f"{p['capacity_bytes'] / 2**30:g}",
            " ".join(v + "*" * (v == p["default_variant"] and len(p["variants"]) > 1) for v in p["variants"]),
        )
        for p in presets
    )
    header = ("name", "standard", "Mb/s per pin", "GB/s per stack", "GiB per stack", "variants (* default)")
    click.echo("\n".join(render_grid(Grid(header, rows, left=(0, 1, 5)))))


command = listing_group(
    "devices",
    text="List the device presets, or show one with its sources.",
    list_text="List the presets.",
    show=_list,
)


@command.command("show")
@click.argument("name", metavar="NAME", shell_complete=device_names)
@click.option("--variant", default=None, metavar="NAME", help="Density and height, e.g. 24Gb_12H.")
@click.option("--sources", is_flag=True, help="Show formula, note and citation of every value.")
@click.option("--toml", is_flag=True, help="Print the preset's file, to copy and edit.")
@json_option
def show_command(name: str, variant: str | None, sources: bool, toml: bool, as_json: bool) -> None:
    """Show one preset: organisation, times, confidence."""
    from hbmmodel.device import describe, device, to_dict

    if toml:
        from hbmmodel.device.presets import toml_text

        if variant is not None or sources or as_json:
            raise click.UsageError("--toml prints the whole file; leave out --variant, --sources and --json")
        click.echo(toml_text(name), nl=False)
        return
    shown = device(name, variant)
    if as_json:
        echo_json(to_dict(shown))
    else:
        click.echo(describe(shown, sources=sources))


def _variants(name: str) -> tuple[str, ...]:
    from hbmmodel.device.presets import load

    return tuple(load(name).variants)
