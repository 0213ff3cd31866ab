"""``hbmmodel systems``: the memory systems of products."""

from __future__ import annotations

import click

from hbmmodel.cli.common import echo_json, json_option

__all__ = ["command"]


@click.command("systems")
@json_option
def command(as_json: bool) -> None:
    """List the products whose memory --system names, with device, cooling and source."""
    from dataclasses import asdict

    from hbmmodel.products import product, product_info, products
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid

    found = {name: (product_info(name), product(name)) for name in products()}
    if as_json:
        echo_json(
            {
                name: {**asdict(info), "peak_gb_per_s": system.peak_gb_per_s, "capacity_bytes": system.capacity_bytes}
                for name, (info, system) in found.items()
            }
        )
        return
    rows = tuple(
        (
            name.lower(),
            f"{info.stacks} x {info.device} {info.variant}",
            f"{system.peak_gb_per_s / 1000:.2f}",
            f"{info.peak_tb_per_s:g}",
            f"{system.capacity_bytes / 2**30:g}",
            info.cooling,
        )
        for name, (info, system) in found.items()
    )
    header = ("name", "stacks", "TB/s of the model", "of the vendor", "GiB", "cooling (estimate)")
    click.echo("\n".join(render_grid(Grid(header, rows, left=(0, 1, 5)))))
