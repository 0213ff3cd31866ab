"""``hbmmodel report``: a saved result as text, on the terminal or in a file."""

from __future__ import annotations

import click

from hbmmodel.cli.common import echo_json, json_option, quiet_option, say

__all__ = ["command"]


@click.command("report")
@click.argument("directory", metavar="DIR")
@click.option(
    "-o", "--output", default=None, metavar="FILE", help="Write to FILE (.txt, .md or .html) instead of printing."
)
@quiet_option
@json_option
def command(directory: str, output: str | None, as_json: bool) -> None:
    """Print or write the report of a saved result."""
    from hbmmodel.result import Result

    result = Result.load(directory)
    if output is not None:
        path = result.report(output)
        if as_json:
            echo_json({"report": str(path)})
        else:
            say(f"Report written to {path}")
    elif as_json:
        echo_json({"summary": result.summary, "trace": result.trace, "provenance": result.provenance})
    else:
        from hbmmodel.report import print_text

        print_text(result)
