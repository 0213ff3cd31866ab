"""The table of commands. Owns their names and order; the module of each is imported only when it is used."""

from __future__ import annotations

import importlib

import click

import hbmmodel

__all__ = ["COMMANDS", "cli"]

COMMANDS = {
    "devices": ("hbmmodel.cli.devices", "List the device presets, or show one with its sources."),
    "systems": ("hbmmodel.cli.systems", "List the memory systems of products, or show one with its source."),
    "energy": ("hbmmodel.cli.energy", "List the energy sets, or show one with its sources."),
    "thermal": ("hbmmodel.cli.thermal", "Show how warm a power map makes a stack."),
    "workload": ("hbmmodel.cli.workload", "List the workloads and models that need no trace, or show a model."),
    "bandwidth": ("hbmmodel.cli.bandwidth", "Measure bandwidth by kind and size of operation, for other simulators."),
    "serve": ("hbmmodel.cli.serve", "Serve requests as they arrive with a model: TTFT, time per token."),
    "run": ("hbmmodel.cli.run", "Simulate a trace and report what it took."),
    "info": ("hbmmodel.cli.info", "Describe a trace, a saved result, or the policies."),
    "report": ("hbmmodel.cli.report", "Print or write the report of a saved result."),
    "curve": ("hbmmodel.cli.curve", "Measure the latency of reads under load."),
    "roofline": ("hbmmodel.cli.roofline", "Measure sustained bandwidths with their losses; place runs under them."),
    "sweep": ("hbmmodel.cli.sweep", "Simulate a trace on every combination of some settings."),
    "compare": ("hbmmodel.cli.compare", "Compare saved results: what was changed, by how much, and why."),
    "perfetto": ("hbmmodel.cli.perfetto", "Write the commands of a saved run for ui.perfetto.dev."),
    "vcd": ("hbmmodel.cli.vcd", "Write one channel of a saved run for waveform viewers."),
    "capture": ("hbmmodel.cli.capture", "Capture a step of a full-size model: no weights, no GPU."),
    "convert": ("hbmmodel.cli.convert", "Convert a trace to another format."),
    "check": ("hbmmodel.cli.check", "Check a command log against the protocol of a device."),
    "explain": ("hbmmodel.cli.explain", "Say where an address lies: stack, channel, bank, row, column."),
    "doctor": ("hbmmodel.cli.doctor", "Examine the installation: versions, core, packages, and a test of itself."),
    "completion": ("hbmmodel.cli.completion", "Print the completion script of bash, zsh or fish."),
    "validate": ("hbmmodel.cli.validate", "Repeat recorded runs of other programs and compare."),
}
"""Command to (module, help); the module's attribute ``command`` is the click command."""


class LazyGroup(click.Group):
    """A group that knows its commands by name only."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        from hbmmodel.cli.examples import epilog

        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        command.epilog = epilog(cmd_name)
        for name, sub in getattr(command, "commands", {}).items():
            sub.epilog = epilog(f"{cmd_name} {name}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from hbmmodel.shelf import did_you_mean

            hint = did_you_mean(args[0][:80], COMMANDS)
            ctx.fail(f"No such command {args[0]!r}{f'; {hint.strip()}' if hint else ''}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # From the table, so that help imports no command.
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


HELP = """What an AI run does to high-bandwidth memory: how fast, at what energy, and why.

\b
Exit codes:
  0    ok
  1    a fault of hbmmodel, or doctor found the installation broken
  2    bad input or usage, told in one line
  3    check found protocol violations
  130  interrupted; run says whether it saved what had ended

\b
Environment:
  NO_COLOR=1, FORCE_COLOR=1  never, or always, colours [default: on terminals]
  HBMMODEL_TRACEBACK=1       the traceback with an error
"""


@click.group(cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(hbmmodel.__version__, prog_name="hbmmodel")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """All commands."""
    from hbmmodel.terminal import wanted

    ctx.color = wanted()
