"""``hbmmodel compare``: saved results side by side, and why they differ."""

from __future__ import annotations

import shutil
import sys

import click

from hbmmodel.cli.common import echo_json, json_option

__all__ = ["command"]


@click.command("compare")
@click.argument("directories", metavar="RUN RUN...", nargs=-1)
@click.option("--markdown", is_flag=True, help="Print Markdown, as for a pull request.")
@click.option("-o", "--output", default=None, metavar="FILE", help="Write FILE, .txt, .md or .json.")
@json_option
def command(directories: tuple[str, ...], markdown: bool, output: str | None, as_json: bool) -> None:
    """Compare saved results with the first of them: what was changed, by how much, and why.

    The difference of times is attributed to what the data buses did and to operations, that of energies to components;
    every table adds up exactly. The first line says whether the runs did the same work.
    """
    if len(directories) < 2:
        raise click.UsageError("name two or more saved results, the one to compare with first")
    if markdown and as_json:
        raise click.UsageError("give one of --markdown and --json")
    from hbmmodel.result.table import check_file
    from hbmmodel.study.comparison import compare

    target = None if output is None else check_file(output, (".txt", ".md", ".json"), "a comparison")
    found = compare([directory.rstrip("/") or directory for directory in directories])
    if target is not None:
        from hbmmodel.study.files import json_text
        from hbmmodel.trace.target import replace_text

        forms = {".json": lambda: json_text(found.to_dict()), ".txt": found.text, ".md": found.markdown}
        replace_text(target, forms[target.suffix.lower()]())
    if as_json:
        echo_json(found.to_dict())
    elif markdown:
        click.echo(found.markdown(), nl=False)
    elif target is not None:
        click.echo(f"Comparison written to {target}")
    else:
        width = shutil.get_terminal_size((100, 24)).columns - 1 if sys.stdout.isatty() else 100
        click.echo(found.text(width=width), nl=False)
