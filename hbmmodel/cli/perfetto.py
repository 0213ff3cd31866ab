"""``hbmmodel perfetto``: a window of a saved run for ui.perfetto.dev."""

from __future__ import annotations

from fractions import Fraction

import click

from hbmmodel.cli.common import echo_json, json_option, quiet_option, say
from hbmmodel.cli.window import WINDOW, exported

__all__ = ["command"]


@click.command("perfetto")
@click.argument("directory", metavar="DIR")
@click.option("--window", type=WINDOW, default=None, metavar="A:B", help="As 20us:25us [default: all of the log].")
@click.option("--stack", "stacks", multiple=True, type=int, metavar="N", help="Only this stack; may be repeated.")
@click.option("--channel", "channels", multiple=True, type=int, metavar="N", help="Only this one; may be repeated.")
@click.option("-o", "--output", required=True, metavar="FILE", help="The trace, as cmds.perfetto-trace.")
@quiet_option
@json_option
def command(
    directory: str,
    window: tuple[Fraction, Fraction] | None,
    stacks: tuple[int, ...],
    channels: tuple[int, ...],
    output: str,
    as_json: bool,
) -> None:
    """Write the commands of the saved run in DIR for ui.perfetto.dev.

    Tracks: command buses, data buses, open rows of every bank, refreshes and power states, operations; bandwidth, and
    temperature and power where the run followed them. One nanosecond on the screen is one picosecond of the memory.
    Needs the package perfetto: pip install 'hbmmodel[perfetto]'.
    """
    from hbmmodel.export import write_perfetto

    result, commands = exported(directory)
    path = write_perfetto(
        result, output, window, stacks=list(stacks) or None, channels=list(channels) or None, commands=commands
    )
    facts = {"path": str(path), "bytes": path.stat().st_size}
    if as_json:
        echo_json(facts)
    else:
        say(f"{path}: {facts['bytes']:,} bytes; open it in https://ui.perfetto.dev (1 ns there is 1 ps here)")
