"""``hbmmodel explain``: where an address lies."""

from __future__ import annotations

from typing import Any

import click

from hbmmodel.cli.common import build_system, echo_json, json_option, system_options

__all__ = ["command"]


@click.command("explain")
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@system_options()
@json_option
def command(addresses: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Say where each ADDRESS (decimal, or hexadecimal with 0x) lies in the system."""
    from hbmmodel.mapping import FIELDS

    system = build_system(**options)
    told = []
    for text in addresses:
        try:
            address = int(text, 0)
        except ValueError:
            raise click.UsageError(f"address {text!r} is not a number; write 4096 or 0x1000") from None
        if address < 0:
            raise click.UsageError(f"address {text} is negative; addresses count bytes from 0")
        explanation = system.explain(address)
        place = [int(number) for number in system.map.decode([address])[0]]
        told.append({"address": address, **dict(zip(FIELDS, place, strict=True)), "explanation": explanation})
    if as_json:
        echo_json(told)
    else:
        click.echo("\n\n".join(str(entry["explanation"]) for entry in told))
