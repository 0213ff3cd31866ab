"""``hbmmodel bandwidth``: effective bandwidths for simulators that know memory as one number."""

from __future__ import annotations

from typing import Any

import click

from hbmmodel.cli.common import build_system, echo_json, json_option, quiet_option, say, system_options

__all__ = ["command"]


@click.command("bandwidth")
@system_options()
@click.option(
    "--class", "classes", multiple=True, metavar="NAME", help="Only this kind of operation; may be repeated."
)
@click.option(
    "--size", "sizes", multiple=True, type=int, metavar="BYTES", help="Only this size; may be repeated [4 KiB-64 MiB]."
)
@click.option(
    "--threads", type=click.IntRange(1), default=None, metavar="N", help="Threads [default: all cores]."
)
@click.option("-o", "--output", default=None, metavar="FILE", help="Write FILE, .csv or .json.")
@quiet_option
@json_option
def command(
    classes: tuple[str, ...],
    sizes: tuple[int, ...],
    threads: int | None,
    output: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure bandwidth by kind and size of operation, for other simulators.

    Every operation runs alone on idle memory. The JSON holds the keys that ASTRA-sim and LLMServingSim read.
    """
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid
    from hbmmodel.workload.bandwidth import check_target, effective_bandwidth

    system = build_system(**options)
    if output is not None:
        check_target(output)
    found = effective_bandwidth(system, classes=classes or None, sizes=sizes or None, threads=threads)
    if output is not None:
        found.save(output)
    if as_json:
        echo_json(found.to_dict())
        return
    rows = tuple(
        (
            row["operation_class"],
            f"{row['size_bytes']}",
            f"{row['time_ns']:.1f}",
            f"{row['gb_per_s']:.1f}",
            f"{100 * row['fraction_of_peak']:.1f} %",
            f"{row['energy_pj_per_bit']:.2f}",
        )
        for row in found.table.rows()
    )
    header = ("operation", "bytes", "ns", "GB/s", "of peak", "pJ/bit")
    say("\n".join(render_grid(Grid(header, rows))))
    if output is not None:
        say(f"\nSaved in {output}")
