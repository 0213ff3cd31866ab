"""The reference of the command line, ``docs/cli.md``, made from the commands themselves.

``python -m hbmmodel.cli.reference > docs/cli.md`` writes it anew; a test compares. Owns its form alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from hbmmodel.cli.commands import COMMANDS, cli
from hbmmodel.cli.examples import EXAMPLES

__all__ = ["render"]

HEAD = """# The command line

    hbmmodel COMMAND [OPTIONS] [ARGUMENTS]

`hbmmodel --help` lists the commands, `hbmmodel COMMAND --help` shows one with examples, and `hbmmodel doctor` says
whether the installation works. This page is made from the commands
(`python -m hbmmodel.cli.reference > docs/cli.md`).

## What all commands share

| exit code | meaning |
|---|---|
| 0 | ok |
| 1 | a fault of hbmmodel, or `doctor` found the installation broken |
| 2 | bad input or usage, told in one line on standard error that says what to do |
| 3 | `check` found protocol violations |
| 130 | interrupted; `run` says whether it saved what had ended |

* `--json` prints JSON instead of text, and nothing else, on standard output. `-q`, `--quiet` prints nothing but errors.
* Notes, progress and errors go to standard error. Progress is shown on a terminal only.
* Colours and bold are for terminals. `NO_COLOR=1` turns them off, `FORCE_COLOR=1` on; `NO_COLOR` wins.
* Files and saved results appear when they are complete, or not at all.
* `HBMMODEL_TRACEBACK=1` adds the traceback to an error.

**Ctrl-C during `run`**: the first one lets what is in flight end; that part of the trace is saved and reported, its
first line says that it was interrupted and after which operation, and the exit code is 130. A second one stops at once
and writes nothing. With `--thermal steady` or `transient`, which repeat the trace, the first one does. The bar shows
bytes and bursts simulated per second and the time left; it moves when operations end.

**Completion** of commands, options, devices and systems: `eval "$(hbmmodel completion bash)"` in `~/.bashrc` (bash 4.4
or newer), `hbmmodel completion zsh > ~/.zfunc/_hbmmodel` with that folder in `fpath`, or
`hbmmodel completion fish > ~/.config/fish/completions/hbmmodel.fish`.
"""


def render() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    context = click.Context(cli, info_name="hbmmodel")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        parts += _section(name, command, "##")
        for below, sub in getattr(command, "commands", {}).items():
            parts += _section(f"{name} {below}", sub, "###")
    return "\n".join(parts)


def _section(name: str, command: click.Command, level: str) -> Iterator[str]:
    yield f"{level} hbmmodel {name}\n"
    yield inspect.cleandoc(command.help or "").replace("\b\n", "") + "\n"
    arguments = [str(p.metavar or p.name) for p in command.params if isinstance(p, click.Argument)]
    if arguments:
        yield f"    hbmmodel {name} {' '.join(arguments)} [OPTIONS]\n"
    options = [p for p in command.params if isinstance(p, click.Option)]
    if options:
        yield "| option | meaning |\n|---|---|"
        yield from (_row(option) for option in options)
        yield ""
    lines = EXAMPLES.get(name, ())
    if lines:
        yield "\n".join(f"    {line}" if '"' in line else f"    hbmmodel {line}" for line in lines) + "\n"


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    if isinstance(option.type, click.Choice):
        value = " " + "\\|".join(option.type.choices)
    else:
        value = "" if option.is_flag else f" {option.metavar or option.type.name.upper()}"
    told = (option.help or "").replace("|", "\\|")
    shown = f" [default: {option.default}]" if option.show_default else ""
    return f"| {names}{value} | {told}{shown} |"


if __name__ == "__main__":
    print(render(), end="")
