"""``hbmmodel systems``: the memory systems of products."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from hbmmodel.cli.common import echo_json, json_option, listing_group, product_names

__all__ = ["command"]


def _list(as_json: bool) -> None:
    from hbmmodel.products import product, product_info, products
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid

    if as_json:
        echo_json({name: _plain(name) for name in products()})
        return
    found = [(name, product_info(name), product(name)) for name in products()]
    rows = tuple(
        (
            name.lower(),
            f"{info.stacks} x {info.device} {info.variant}",
            f"{system.peak_gb_per_s / 1000:.2f}",
            f"{info.peak_tb_per_s:g}",
            f"{system.capacity_bytes / 2**30:g}",
            info.cooling,
        )
        for name, info, system in found
    )
    header = ("name", "stacks", "TB/s of the model", "of the vendor", "GiB", "cooling (estimate)")
    click.echo("\n".join(render_grid(Grid(header, rows, left=(0, 1, 5)))))


def _plain(name: str) -> dict[str, Any]:
    from hbmmodel.products import product, product_info

    system = product(name)
    return {
        **asdict(product_info(name)),
        "peak_gb_per_s": system.peak_gb_per_s,
        "capacity_bytes": system.capacity_bytes,
        "h_top_w_m2k": system.cooling.h_top_w_m2k,
        "coolant_c": system.cooling.coolant_c,
    }


command = listing_group(
    "systems",
    text="List the memory systems of products, or show one with its source.",
    list_text="List the products whose memory --system names.",
    show=_list,
)


@command.command("show")
@click.argument("name", metavar="NAME", shell_complete=product_names)
@json_option
def show_command(name: str, as_json: bool) -> None:
    """Show one product: stacks, bandwidth, cooling, and where that is from."""
    shown = _plain(name)
    if as_json:
        echo_json(shown)
        return
    width = max(map(len, shown))
    for key, value in shown.items():
        click.echo(f"{key.ljust(width)}  {value}")
