"""``hbmmodel check``: a command log against the protocol of a device. Exit code 3 when it breaks a rule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hbmmodel.cli.common import build_system, echo_json, json_option, system_options

if TYPE_CHECKING:
    from hbmmodel.check import Violation

__all__ = ["command"]


@click.command("check")
@click.argument("log", metavar="LOG")
@system_options(device_help="Device preset of a log in a file, or instead of a result's own.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    metavar="N",
    help="Violations to find at most.",
)
@json_option
def command(log: str, limit: int, as_json: bool, **options: Any) -> int:
    """Check LOG, a command log (CSV or Parquet) or a saved result that holds one.

    A saved result brings its own system. A file does not: give --device, and what else differs from the defaults.
    With --device, the options replace a result's system as well.
    Exit code 0: legal; 3: violations were found; 2: the log cannot be read.
    """
    from hbmmodel.check import check
    from hbmmodel.commands import read_log
    from hbmmodel.errors import HbmArgumentError
    from hbmmodel.result import Result

    if not Path(log).exists():
        raise HbmArgumentError(f"{log}: no such file or directory; name a command log or a saved result")
    if options["device"] is None and any(options.values()):
        raise click.UsageError("options of a system need --device NAME; without it a saved result's own system is used")
    end_tick = None
    if Path(log).is_dir():
        result = Result.load(log)
        if result.command_log is None:
            raise HbmArgumentError(f"{log} holds no command log; record one with hbmmodel run --command-log")
        if "command_log_window_ticks" in result.trace:
            raise HbmArgumentError(
                f"{log} holds the commands of a window alone, and what a command may do depends on all before it; "
                "record a whole log with hbmmodel run --command-log"
            )
        commands, system = result.command_log, result.system
        end_tick = round(result.summary["time_ticks"] or 0)
        if options["device"] is not None:
            system = build_system(**options)
    else:
        if options["device"] is None:
            raise click.UsageError("a log in a file does not say its device; give --device NAME (and --variant)")
        commands, system = read_log(log), build_system(**options)
    violations = check(system, commands, limit=limit, end_tick=end_tick)
    if as_json:
        echo_json(
            {
                "log": log,
                "device": system.device.name,
                "variant": system.device.variant,
                "commands": len(commands),
                "legal": not violations,
                "violations": [_plain(violation) for violation in violations],
            }
        )
    else:
        for violation in violations:
            click.echo(str(violation))
        found = f"{limit} or more" if len(violations) >= limit else str(len(violations))
        click.echo(
            f"{len(commands)} commands on {system.device.name} {system.device.variant}: "
            + (f"{found} violations" if violations else "legal")
        )
    return 3 if violations else 0


def _plain(violation: Violation) -> dict[str, Any]:
    return {
        "index": violation.index,
        "rule": violation.rule,
        "command": violation.command,
        "previous_index": violation.previous_index,
        "time_ps": violation.time_ps,
        "required_ps": violation.required_ps,
        "actual_ps": violation.actual_ps,
        "location": violation.location,
        "detail": violation.detail,
    }
