"""``hbmmodel roofline``: the bandwidths that a system sustains, with what they lose, and runs under them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hbmmodel.cli.common import build_system, echo_json, json_option, system_options
from hbmmodel.cli.curve import device_argument

if TYPE_CHECKING:
    from hbmmodel.study.rooflines import Roofline

__all__ = ["command"]

LOSSES = 3


@click.command("roofline")
@click.argument("names", metavar="[DEVICE] [RUN...]", nargs=-1)
@system_options(device_help="Device preset, or the path of a preset file [default: the first RUN's, or HBM4_8000].")
@click.option("--flops-per-s", type=float, default=None, metavar="X", help="What the processor computes, as 2.25e15.")
@click.option("--threads", type=click.IntRange(1), default=None, metavar="N", help="Threads [default: all cores].")
@click.option("-o", "--output", default=None, metavar="FILE", help="Write FILE: .png, .svg, .pdf, .csv or .json.")
@json_option
def command(
    names: tuple[str, ...],
    flops_per_s: float | None,
    threads: int | None,
    output: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure the bandwidths that a system sustains, say what they lose, and place runs of workloads under them.

    RUN is a saved result; without options that describe a system, the first one's is measured.
    """
    from hbmmodel.result import Result
    from hbmmodel.result.table import check_file
    from hbmmodel.study.rooflines import PICTURES, roofline

    devices = [name for name in names if not Path(name).is_dir()]
    if len(devices) > 1:
        raise click.UsageError(f"{devices[1]} is no saved result; name one DEVICE and any number of directories")
    device_argument(options, devices[0] if devices else None)
    if output is not None and check_file(output, (".csv", ".json", *PICTURES), "a roofline").suffix.lower() in PICTURES:
        from hbmmodel.study.picture import new_figure

        new_figure(1, 1)  # a missing package is told before the work
    runs = {name.rstrip("/") or name: Result.load(name) for name in names if Path(name).is_dir()}
    described = any(value not in (None, ()) for value in options.values())
    system = next(iter(runs.values())).system if runs and not described else build_system(**options)
    found = roofline(system, flops_per_s=flops_per_s, runs=runs, threads=threads)
    if output is not None:
        found.save(output)
    if as_json:
        echo_json(found.to_dict())
        return
    _show(found)
    if output is not None:
        click.echo(f"\nSaved in {output}")


def _show(found: Roofline) -> None:
    from hbmmodel.report.content import CAUSES, Grid, describe_system
    from hbmmodel.report.text import render_grid
    from hbmmodel.report.units import bytes_text, share_text, time_text

    click.echo(f"{describe_system(found.system)}\n")
    rows = []
    for row in found.ceilings.rows():
        lost = sorted(((row[f"lost_share_{c}"], c) for c in CAUSES if c != "data"), reverse=True)[:LOSSES]
        told = ", ".join(f"{CAUSES[cause]} {share_text(share)}" for share, cause in lost if share >= 0.001)
        ridge = row["ridge_flops_per_byte"]
        numbers = (f"{row['bandwidth_gb_per_s']:.1f}", share_text(row["fraction_of_peak"]))
        at = "-" if ridge is None else f"{ridge:.4g}"
        rows.append((row["kind"], *numbers, f"{row['energy_pj_per_bit']:.2f}", at, told))
    header = ("operation", "GB/s", "of peak", "pJ/bit", "ridge FLOP/B", "most of the rest goes to")
    click.echo("\n".join(render_grid(Grid(header, tuple(rows), left=(0, 5)))))
    if len(found.points):
        cells_of = tuple(
            (
                p["run"],
                p["name"] or "(all)",
                f"{p['flops_per_byte']:.4g}",
                bytes_text(p["n_bytes"]),
                time_text(p["time_ns"]),
                f"{p['flops_per_s']:.3g}",
                p["bound"] or "-",
            )
            for p in found.points.rows()
        )
        titles = ("run", "operation", "FLOP/B", "moved", "memory time", "FLOP/s", "bound by")
        click.echo("\n" + "\n".join(render_grid(Grid(titles, cells_of, left=(0, 1, 6)))))
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
