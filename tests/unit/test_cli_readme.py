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


EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_python_examples_name_what_exists() -> None:
    assert len(EXAMPLES) == 2
    for example in EXAMPLES:
        assert set(re.findall(r"\bhbm\.(\w+)", example)) <= set(hbmmodel.__all__)
        assert set(re.findall(r's\["(\w+)"\]', example)) <= set(KEYS)


def test_its_first_screen_says_how_to_set_up_and_test() -> None:
    top = "\n".join(README.splitlines()[:20])
    assert "make demo" in top and "make test" in top


def test_every_command_is_in_the_readme_and_every_option_there_exists() -> None:
    rows = [row for row in README.splitlines() if row.startswith("| `hbmmodel ")]
    named = {match for row in rows for match in re.findall(r"hbmmodel ([a-z]+)", row)}
    assert named == set(COMMANDS)
    for row in rows:
        modules = {importlib.import_module(COMMANDS[name][0]) for name in re.findall(r"hbmmodel ([a-z]+)", row)}
        tops = [module.command for module in modules]
        commands = [c for top in tops for c in (top, *(top.commands.values() if isinstance(top, click.Group) else ()))]
        options = {o for c in commands for p in c.params for o in (*p.opts, *p.secondary_opts)}
        if "`info " in row:
            options |= {p.opts[0] for p in importlib.import_module(COMMANDS["info"][0]).command.params}
        assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row)) <= options, row
