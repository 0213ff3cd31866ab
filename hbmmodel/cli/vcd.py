"""``hbmmodel vcd``: a window of one channel of a saved run for waveform viewers."""

from __future__ import annotations

from fractions import Fraction

import click

from hbmmodel.cli.common import echo_json, json_option, quiet_option, say
from hbmmodel.cli.window import WINDOW, exported

__all__ = ["command"]


@click.command("vcd")
@click.argument("directory", metavar="DIR")
@click.option("--window", type=WINDOW, default=None, metavar="A:B", help="As 20us:25us [default: all of the log].")
@click.option("--stack", type=int, default=0, show_default=True, metavar="N", help="Which stack.")
@click.option("--channel", type=int, default=0, show_default=True, metavar="N", help="Which channel.")
@click.option("-o", "--output", required=True, metavar="FILE", help="The dump, as cmds.vcd.")
@quiet_option
@json_option
def command(
    directory: str,
    window: tuple[Fraction, Fraction] | None,
    stack: int,
    channel: int,
    output: str,
    as_json: bool,
) -> None:
    """Write one channel of the saved run in DIR as a value change dump, for GTKWave and other waveform viewers.

    Signals: the command buses, and of every pseudo-channel the data bus, refresh, power state and the open row of every
    bank. Needs the package pyvcd: pip install 'hbmmodel[vcd]'.
    """
    from hbmmodel.export import write_vcd

    result, commands = exported(directory)
    path = write_vcd(result, output, window, stack=stack, channel=channel, commands=commands)
    facts = {"path": str(path), "bytes": path.stat().st_size}
    if as_json:
        echo_json(facts)
    else:
        say(f"{path}: {facts['bytes']:,} bytes, times in ps")
