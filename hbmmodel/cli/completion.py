"""``hbmmodel completion``: a script that lets a shell complete commands, options and names."""

from __future__ import annotations

import click

__all__ = ["command"]

VARIABLE = "_HBMMODEL_COMPLETE"


@click.command("completion")
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL: bash (4.4 or newer), zsh or fish."""
    from click.shell_completion import get_completion_class

    from hbmmodel.cli.commands import cli

    found = get_completion_class(shell)
    assert found is not None
    made = found(cli, {}, "hbmmodel", VARIABLE)
    # not source(), which runs bash to ask for its version
    click.echo(made.source_template % made.source_vars())
