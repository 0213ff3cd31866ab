"""``hbmmodel validate``: recorded runs of other programs, computed again from their inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import click

from hbmmodel.cli.common import echo_json, json_option

__all__ = ["command"]


@click.group("validate")
def command() -> None:
    """Repeat recorded runs of other programs and compare."""


@command.command("ramulator")
@click.argument("directory", metavar="DIR")
@json_option
def ramulator_command(directory: str, as_json: bool) -> None:
    """Compute every run recorded in DIR from its inputs; beside a recorded number, show the difference."""
    from hbmmodel.validate import ramulator

    computed = ramulator.validate(directory)
    if as_json:
        echo_json(computed)
        return
    for run, values in computed.items():
        click.echo(run)
        for name, value in values.items():
            click.echo(f"  {name}: {_text(value)}")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    return str(value)
