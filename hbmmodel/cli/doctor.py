"""``hbmmodel doctor``: what is installed, what is missing, and whether the core works. Exit code 1 when it does not."""

from __future__ import annotations

import shutil
import sys
import textwrap
from dataclasses import asdict

import click

from hbmmodel.cli import EXIT_INTERNAL, EXIT_OK
from hbmmodel.cli.common import echo_json, json_option, quiet_option, say

__all__ = ["command"]

COLORS = {"ok": "green", "absent": "yellow", "note": "yellow", "broken": "red"}


@click.command("doctor")
@quiet_option
@json_option
def command(as_json: bool) -> int:
    """Examine the installation: versions, core, machine, packages, and a test of a second.

    Exit code 0: it works; 1: something is broken, and the line says what to do.
    """
    from hbmmodel.doctor import examine

    found = examine()
    broken = [finding for finding in found if finding.state == "broken"]
    if as_json:
        echo_json({"ok": not broken, "findings": [asdict(finding) for finding in found]})
        return EXIT_INTERNAL if broken else EXIT_OK
    width = max(len(finding.name) for finding in found)
    # on a terminal lines are broken below the text; elsewhere one finding is one line
    room = shutil.get_terminal_size().columns - width - 11 if sys.stdout.isatty() else 0
    for finding in found:
        state = click.style(f"{finding.state:<6}", fg=COLORS[finding.state])
        lines = textwrap.wrap(finding.text, max(room, 30), break_on_hyphens=False) if room else [finding.text]
        say(f"{state}  {finding.name.ljust(width)}  " + f"\n{'':{width + 10}}".join(lines))
    say("" if broken else "\nThis installation works.")
    for finding in broken:
        click.echo(f"hbmmodel: {finding.name} is broken: {finding.text}", err=True)
    return EXIT_INTERNAL if broken else EXIT_OK
