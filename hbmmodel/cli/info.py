"""``hbmmodel info``: a trace, a saved result, the policies, or the keys of a summary, in words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hbmmodel.cli.beside import classes_of
from hbmmodel.cli.common import echo_json, json_option, open_trace
from hbmmodel.terminal import printable

if TYPE_CHECKING:
    from hbmmodel.result import Result, Table

__all__ = ["command"]

TABLES = (
    *("long", "summary", "channels", "operations", "timeline", "power_states", "energy", "histogram", "temperature"),
    *("temperature_cells", "banks", "traffic_classes", "commands"),
)


@click.command("info")
@click.argument("target", metavar="[TRACE|DIR]", required=False)
@click.option("--policies", is_flag=True, help="List the controller policies as the core describes them.")
@click.option("--keys", is_flag=True, help="List the keys of a summary and what each means.")
@click.option(
    "--format", "format_name", default=None, metavar="NAME", help="Trace format [default: by content]."
)
@click.option(
    "--with", "with_file", default=None, metavar="FILE", help="The other file of a pair, as of convert."
)
@click.option(
    "--table",
    "table_name",
    type=click.Choice(TABLES),
    default=None,
    help="Print this table of the result as CSV; long has everything, a row per place and quantity.",
)
@click.option("-o", "--output", default=None, metavar="FILE", help="Write the table to FILE, .csv, .parquet or .json.")
@json_option
def command(
    target: str | None,
    policies: bool,
    keys: bool,
    format_name: str | None,
    with_file: str | None,
    table_name: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Describe TRACE (or a memory snapshot), the saved result in DIR, the policies, or the keys of a summary.

    With --table a table of the saved result in DIR is printed or written instead.
    """
    if output is not None and table_name is None:
        raise click.UsageError("-o writes a table; name one with --table")
    if table_name is not None and (target is None or not Path(target).is_dir()):
        raise click.UsageError(f"--table is of a saved result; {target or 'nothing'} is none: give its directory")
    if (target is not None) + policies + keys != 1:
        raise click.UsageError("give one of TRACE, DIR, --policies or --keys")
    if policies:
        _policies(as_json)
    elif keys:
        _keys(as_json)
    else:
        assert target is not None
        if table_name is not None:
            _table(target, table_name, output, as_json)
        elif Path(target).is_dir():
            _result(target, as_json)
        else:
            _trace(target, format_name, with_file, as_json)


def _policies(as_json: bool) -> None:
    from hbmmodel import _core

    found = _core.policies()
    if as_json:
        echo_json(found)
        return
    for kind, entries in found.items():
        click.echo(kind)
        for entry in entries:
            parameters = f" [{entry['parameters']}]" if entry["parameters"] else ""
            click.echo(f"  {entry['name']:<12} {entry['doc']}{parameters}")


def _keys(as_json: bool) -> None:
    from hbmmodel.result import KEYS

    if as_json:
        echo_json(KEYS)
        return
    width = max(map(len, KEYS))
    for key, meaning in KEYS.items():
        click.echo(f"{key.ljust(width)}  {meaning}")


def _result(directory: str, as_json: bool) -> None:
    from hbmmodel.report.content import describe_system
    from hbmmodel.result import Result
    from hbmmodel.result.traffic import figures

    result = Result.load(directory)
    if as_json:
        echo_json(
            {
                "kind": "result",
                "summary": result.summary,
                "system": result.system.to_dict(),
                "trace": result.trace,
                **classes_of(result),
                "provenance": result.provenance,
                "commands": None if result.command_log is None else len(result.command_log),
            }
        )
        return
    click.echo(describe_system(result.system) + (f"; {result.interrupted}" if result.interrupted else ""))
    for title, fields in (("trace", result.trace), ("provenance", result.provenance)):
        for name, value in fields.items():
            click.echo(printable(f"{title}.{name}: {_in_words(value)}"))
    log = "none" if result.command_log is None else f"{len(result.command_log)} commands"
    click.echo(f"operations: {len(result.operations)}, epochs: {len(result.timeline)}, command log: {log}")
    numbers = {**result.summary, **{printable(key): value for key, _, value in figures(result.traffic_classes)}}
    width = max(map(len, numbers))
    for key, number in numbers.items():
        unknown = number is None or math.isnan(number)
        text = "-" if unknown else f"{number}" if isinstance(number, int) else f"{number:.6g}"
        click.echo(f"{key.ljust(width)}  {text}")


def _in_words(value: Any) -> str:
    """A field of any JSON type on one line; a dash where there is nothing."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_in_words(part)}" for key, part in value.items()) or "-"
    if isinstance(value, list):
        return " ".join(map(_in_words, value)) or "-"
    return "-" if value is None or value == "" else str(value)


def _table(directory: str, name: str, output: str | None, as_json: bool) -> None:
    from hbmmodel.result import Result
    from hbmmodel.result.table import check_file

    if output is not None:
        check_file(output)
    table = _table_of(Result.load(directory), name, directory)
    if output is not None:
        table.save(output)
        if as_json:
            echo_json({"table": name, "rows": len(table), "saved": output})
        else:
            click.echo(f"{len(table)} rows written to {output}")
    else:
        click.echo(table.to_json() if as_json else table.to_csv(), nl=False)


def _table_of(result: Result, name: str, directory: str) -> Table:
    from hbmmodel.result import Table

    if name == "long":
        return result.long()
    if name == "summary":
        keys = {key: [float("nan") if value is None else value] for key, value in result.summary.items()}
        return Table(keys)
    if name == "histogram":
        return result.histogram.to_table()
    if name == "commands":
        log = result.command_log
        if log is None:
            raise click.UsageError(f"{directory} has no command log; run with --command-log")
        return Table({field: log[field] for field in log.dtype.names or ()})
    table: Table = getattr(result, name)
    return table


def _trace(path: str, format_name: str | None, with_file: str | None, as_json: bool) -> None:
    from hbmmodel.trace import read_snapshot
    from hbmmodel.trace.detect import SNAPSHOT, detect

    if format_name is None and not path.startswith("workload:") and detect(path) == SNAPSHOT:
        described = read_snapshot(path).info()
    else:
        trace = open_trace(path, format=format_name, with_file=with_file)
        described = trace.info()
        if (workload := getattr(trace, "workload", None)) is not None:
            described["workload"] = dict(workload)
    if as_json:
        echo_json(described)
        return
    for name, value in described.items():
        if isinstance(value, dict):
            click.echo(f"{name}:")
            for part, inner in value.items():
                click.echo(printable(f"  {part or '(none)'}: {_in_words(inner)}"))
        else:
            click.echo(printable(f"{name}: {_in_words(value)}"))
