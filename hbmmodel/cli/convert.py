"""``hbmmodel convert``: a trace in another format."""

from __future__ import annotations

import click

from hbmmodel.cli.common import echo_json, json_option

__all__ = ["command"]


@click.command("convert")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option(
    "--from", "source_format", default=None, metavar="NAME", help="Format of SRC [default: by content]."
)
@click.option(
    "--format", "target_format", default=None, metavar="NAME", help="Format of DST [default: by its name]."
)
@json_option
def command(
    source: str, target: str, source_format: str | None, target_format: str | None, as_json: bool
) -> None:
    """Convert the trace SRC to DST."""
    from hbmmodel.trace import read_trace, write_trace

    write_trace(read_trace(source, format=source_format), target, format=target_format)
    if as_json:
        echo_json({"source": source, "target": target, "format": target_format})
