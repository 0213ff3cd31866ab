"""``hbmmodel convert``: a trace in another format."""

from __future__ import annotations

import os

import click

from hbmmodel.cli.common import echo_json, json_option, open_trace, quiet_option, read_options, say

__all__ = ["command"]


@click.command("convert")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="[DST]", required=False)
@click.option("-o", "--output", default=None, metavar="DST", help="The same as the argument DST.")
@click.option(
    "--format", "target_format", default=None, metavar="NAME", help="Format of DST [default: by name]."
)
@click.option(
    "--from", "source_format", default=None, metavar="NAME", help="Format of SRC [default: by content]."
)
@read_options
@click.option(
    "--burst-bytes",
    type=int,
    default=32,
    show_default=True,
    help="Bytes of a written request. DRAMsim3 and Ramulator files do not say it: run a trace written with 64 with "
    "--request-bytes 64.",
)
@click.option(
    "--gb-per-s", type=float, default=None, help="Pace the bursts of operations [default: all at 0]."
)
@click.option(
    "--launch-ns", type=float, default=2000.0, show_default=True, help="Pause between paced operations."
)
@quiet_option
@json_option
def command(
    source: str,
    target: str | None,
    target_format: str | None,
    source_format: str | None,
    output: str | None,
    with_file: str | None,
    phases: tuple[str, ...],
    clock_ns: float | None,
    rewrites: tuple[str, ...],
    pages: str | None,
    burst_bytes: int,
    gb_per_s: float | None,
    launch_ns: float,
    as_json: bool,
) -> None:
    """Convert the trace SRC to DST, which appears only when complete.

    Operations are expanded to bursts, unless DST is .hbmop, which keeps them.
    """
    from hbmmodel.trace import convert

    if (target is None) == (output is None):
        raise click.UsageError("name one file to write, as DST or with -o")
    place = str(target or output)
    if any(_same(place, read) for read in (source, with_file) if read is not None):
        raise click.UsageError(f"{place} is read and would be replaced; name another DST")
    written = convert(
        open_trace(
            source,
            format=source_format,
            with_file=with_file,
            phases=phases,
            clock_ns=clock_ns,
            rewrites=rewrites,
            pages=pages,
        ),
        place,
        target_format,
        burst_bytes=burst_bytes,
        gb_per_s=gb_per_s,
        launch_ns=launch_ns,
        clock_ns=1.0 if clock_ns is None else clock_ns,
    )
    if as_json:
        echo_json(written)
    else:
        kind = "operations" if "operations" in written else "requests"
        say(f"{written['path']}: {written[kind]} {kind} as {written['format']}")


def _same(target: str, source: str) -> bool:
    """Whether both names lead to one file that exists."""
    try:
        return os.path.samefile(target, source)
    except (OSError, ValueError):
        return False
