"""``hbmmodel run``: simulate a trace, report, save."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from hbmmodel.cli import EXIT_INTERRUPTED, EXIT_OK
from hbmmodel.cli.beside import beside_options, classes_of, put_beside, with_quotas
from hbmmodel.cli.common import (
    build_system,
    check_writable,
    echo_json,
    json_option,
    open_trace,
    read_options,
    system_options,
)
from hbmmodel.cli.window import WINDOW

if TYPE_CHECKING:
    from fractions import Fraction

    from hbmmodel.result import Result

__all__ = ["command"]

DEMO_SYSTEM = {"device": "HBM4_8000", "variant": "24Gb_12H", "stacks": 8}


@click.command("run")
@click.argument("trace", metavar="[TRACE]", required=False)
@click.option(
    "--demo",
    is_flag=True,
    help="Run the shipped capture, one token of Llama-3.1-8B, on 8 stacks of HBM4_8000.",
)
@click.option(
    "--format", "format_name", default=None, metavar="NAME", help="Trace format [default: by content]."
)
@system_options()
@click.option(
    "--mode", type=click.Choice(["asap", "paced", "closed"]), default=None, help="How operations are issued."
)
@click.option(
    "--order",
    type=click.Choice(["tile", "stream"]),
    default="tile",
    show_default=True,
    help="Operands of an operation by turns, or one after the other.",
)
@click.option(
    "--l2-bytes",
    type=click.IntRange(1),
    default=None,
    metavar="N",
    help="Put an on-chip filter of N bytes before the stacks.",
)
@click.option(
    "--request-bytes",
    type=click.IntRange(1),
    default=None,
    metavar="N",
    help="Size of requests whose trace does not say; a DRAMsim3 line for HBM is 64 [default: one burst].",
)
@read_options
@beside_options
@click.option(
    "--wrap", is_flag=True, help="Fold addresses beyond the capacity back into it instead of refusing them."
)
@click.option(
    "--threads", type=click.IntRange(1), default=None, metavar="N", help="Threads [default: all cores]."
)
@click.option(
    "--thermal",
    type=click.Choice(["steady", "transient", "coupled"]),
    default=None,
    help="Let temperature act back: repeated for ever, for some seconds, or in this one run.",
)
@click.option("--thermal-seconds", type=float, default=None, metavar="S", help="Of a transient [default: 10].")
@click.option(
    "--thermal-start-c",
    type=float,
    default=None,
    metavar="C",
    help="Temperature at the start, transient or coupled [default: the coolant's].",
)
@click.option(
    "--thermal-epoch-ns",
    type=float,
    default=None,
    metavar="NS",
    help="Time from one look at the temperature to the next, coupled [default: 10000].",
)
@click.option("--command-log", is_flag=True, help="Record every command (for check): 27 bytes each, for short runs.")
@click.option(
    "--command-log-window",
    type=WINDOW,
    default=None,
    metavar="A:B",
    help="Record the commands of this window alone, as 20us:25us (for perfetto and vcd).",
)
@click.option("-o", "--output", default=None, metavar="DIR", help="Save the result in DIR.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no report; only errors.")
@json_option
def command(
    trace: str | None,
    demo: bool,
    format_name: str | None,
    mode: str | None,
    order: str,
    l2_bytes: int | None,
    request_bytes: int | None,
    with_file: str | None,
    phases: tuple[str, ...],
    clock_ns: float | None,
    rewrites: tuple[str, ...],
    pages: str | None,
    beside: tuple[str, ...],
    background: tuple[str, ...],
    class_name: str | None,
    quotas: tuple[str, ...],
    wrap: bool,
    threads: int | None,
    thermal: str | None,
    thermal_seconds: float | None,
    thermal_start_c: float | None,
    thermal_epoch_ns: float | None,
    command_log: bool,
    command_log_window: tuple[Fraction, Fraction] | None,
    output: str | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Simulate TRACE on a memory system, print what it took and why, and save the result with -o.

    TRACE is a file, or workload:GENERATOR,ARGUMENT=VALUE,... (hbmmodel workload lists the generators), as in
    workload:decode,model=llama-3.1-70b,batch=16,tensor_parallel=8.

    With --beside or --background other programs run at the same time, and --quota gives each class of traffic its part
    of the memory.

    Ctrl-C lets what is in flight end, saves and reports that part, marked as such, and leaves with exit code 130; a
    second Ctrl-C stops at once and writes nothing.

    With --json the summary, the trace's identity, the classes of traffic if there are any, and the provenance are
    printed as JSON instead of the report.
    """
    if thermal_seconds is not None and thermal != "transient":
        raise click.UsageError("--thermal-seconds is the length of a transient; give --thermal transient with it")
    if thermal_start_c is not None and thermal not in ("transient", "coupled"):
        raise click.UsageError("--thermal-start-c begins a transient or a coupled run; give --thermal with it")
    if thermal_epoch_ns is not None and thermal != "coupled":
        raise click.UsageError("--thermal-epoch-ns is of a coupled run; give --thermal coupled with it")
    if demo == (trace is not None):
        raise click.UsageError("name one TRACE, or give --demo for the shipped capture")
    if demo:
        from hbmmodel.trace.shipped import demo_capture

        trace = str(demo_capture())
        for name, value in DEMO_SYSTEM.items() if options["product"] is None else ():
            if options[name] is None and (name != "variant" or options["device"] == DEMO_SYSTEM["device"]):
                options[name] = value
    system = with_quotas(build_system(**options), quotas)
    if output is not None:
        check_writable(output)

    from hbmmodel.sim import simulate

    assert trace is not None
    loaded = open_trace(
        trace,
        format=format_name,
        with_file=with_file,
        phases=phases,
        clock_ns=clock_ns,
        rewrites=rewrites,
        pages=pages,
    )
    loaded = put_beside(loaded, open_trace, class_name=class_name, beside=beside, background=background)
    result = simulate(
        system,
        loaded,
        mode=mode,
        order=order,
        l2=l2_bytes,
        threads=threads,
        progress=not quiet and sys.stderr.isatty(),
        command_log=command_log,
        command_log_window_ns=command_log_window,
        wrap=wrap,
        request_bytes=request_bytes,
        thermal=thermal,
        thermal_seconds=10.0 if thermal_seconds is None else thermal_seconds,
        thermal_start_c=thermal_start_c,
        thermal_epoch_ns=10_000.0 if thermal_epoch_ns is None else thermal_epoch_ns,
        on_interrupt="raise" if thermal in ("steady", "transient") else "keep",
    )
    if output is not None:
        result.save(output)
    from hbmmodel.report.content import size_doubt

    if not quiet and (doubt := size_doubt(result)):
        click.echo(f"hbmmodel: note: {doubt}", err=True)
    if as_json:
        echo_json(
            {
                "summary": result.summary,
                "system": system.to_dict(),
                "trace": result.trace,
                **classes_of(result),
                "thermal_model": result.thermal_model,
                "provenance": result.provenance,
                "saved": output,
                **_metrics(result),
            }
        )
    elif not quiet:
        from hbmmodel.report import print_text

        print_text(result)
        if output is not None:
            click.echo(f"\nSaved in {output}")
    return EXIT_INTERRUPTED if result.interrupted else EXIT_OK


def _metrics(result: Result) -> dict[str, Any]:
    """What the run was to its workload, where the trace says what it was for."""
    if "workload" not in result.trace:
        return {}
    from hbmmodel.workload.metrics import metrics

    return {"workload": metrics(result).to_dict()}
