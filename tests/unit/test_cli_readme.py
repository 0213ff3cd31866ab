"""The README names only commands, options and functions that exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click

import hbmmodel
from hbmmodel.cli.commands import COMMANDS
from hbmmodel.result import KEYS

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_compiles_and_names_what_exists() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    compile(example, "README.md", "exec")
    assert set(re.findall(r"\bhbm\.(\w+)", example)) <= set(hbmmodel.__all__)
    assert set(re.findall(r's\["(\w+)"\]', example)) <= set(KEYS)


def test_every_command_is_in_the_readme_and_every_option_there_exists() -> None:
    rows = [row for row in README.splitlines() if row.startswith("| `hbmmodel ")]
    named = {match for row in rows for match in re.findall(r"hbmmodel ([a-z]+)", row)}
    assert named == set(COMMANDS) - {"info"} and "`info run`" in README
    for row in rows:
        name = re.findall(r"hbmmodel ([a-z]+)", row)[0]
        command = importlib.import_module(COMMANDS[name][0]).command
        commands = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
        options = {o for c in commands for p in c.params for o in (*p.opts, *p.secondary_opts)}
        if name == "report":
            options |= {p.opts[0] for p in importlib.import_module(COMMANDS["info"][0]).command.params}
        assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row)) <= options, row
