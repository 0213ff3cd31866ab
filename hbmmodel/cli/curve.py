"""``hbmmodel curve``: read latency against bandwidth, of a device or a system."""

from __future__ import annotations

from typing import Any

import click

from hbmmodel.cli.common import build_system, echo_json, json_option, system_options

__all__ = ["command", "device_argument"]


def device_argument(options: dict[str, Any], device: str | None) -> None:
    """Take a device that is named as an argument as if it were named by --device."""
    if device is None:
        return
    if options["device"] is not None or options["product"] is not None:
        raise click.UsageError(f"{device} names the device; leave out --device and --system")
    options["device"] = device


@click.command("curve")
@click.argument("device_name", metavar="[DEVICE]", required=False)
@system_options()
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    type=click.Choice(["stream", "random"]),
    help="Sequential streams side by side, or lines anywhere; may be repeated [default: both].",
)
@click.option(
    "--read-share",
    "shares",
    multiple=True,
    type=click.FloatRange(0.1, 100),
    metavar="PERCENT",
    help="Share of requests that read; may be repeated [default: 100, 75, 50].",
)
@click.option("--line-bytes", type=int, default=64, show_default=True, metavar="N", help="What a request moves.")
@click.option("--streams", type=int, default=64, show_default=True, metavar="N", help="Streams read, and written.")
@click.option(
    "--requests",
    type=int,
    default=300_000,
    show_default=True,
    metavar="N",
    help="Of every point, per stack; 66 points by default.",
)
@click.option("--threads", type=click.IntRange(1), default=None, metavar="N", help="Threads [default: all cores].")
@click.option(
    "-o", "--output", default=None, metavar="FILE", help="Write FILE: .png, .svg, .pdf, .csv, .parquet or .json."
)
@json_option
def command(
    device_name: str | None,
    patterns: tuple[str, ...],
    shares: tuple[float, ...],
    line_bytes: int,
    streams: int,
    requests: int,
    threads: int | None,
    output: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure the latency of reads under load, as the Mess benchmark draws it.

    Requests arrive at random times (Poisson), at rates up to 98 % of what the pattern gets when everything is offered
    at once; that is the last point of each curve.
    """
    device_argument(options, device_name)
    system = build_system(**options)

    from hbmmodel.result.table import SUFFIXES
    from hbmmodel.study.files import check_output
    from hbmmodel.study.latency import READ_SHARES, curve

    if output is not None:
        check_output(output, SUFFIXES, "a curve")
    found = curve(
        system,
        patterns=patterns or ("stream", "random"),
        read_shares=[share / 100 for share in shares] or READ_SHARES,
        requests=requests,
        line_bytes=line_bytes,
        streams=streams,
        threads=threads,
    )
    if output is not None:
        found.save(output)
    if as_json:
        echo_json(found.to_dict())
        return
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid

    rows = tuple(
        (
            row["pattern"],
            f"{100 * row['read_share']:g} %",
            "all at once" if row["offered_gb_per_s"] is None else f"{row['offered_gb_per_s']:.1f}",
            f"{row['bandwidth_gb_per_s']:.1f}",
            f"{100 * row['fraction_of_peak']:.1f} %",
            f"{row['load_to_use_ns_mean']:.1f}",
            f"{row['read_latency_ns_p99']:.1f}",
        )
        for row in found.table.rows()
    )
    header = ("pattern", "reads", "offered GB/s", "GB/s", "of peak", "load-to-use ns", "99 % at controller ns")
    click.echo("\n".join(render_grid(Grid(header, rows))))
    if output is not None:
        click.echo(f"\nSaved in {output}")
