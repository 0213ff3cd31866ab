"""Examples of a documentation page, run from top to bottom as a reader would, in one folder and one Python session.

A fenced block is, by its language: ``pycon`` a session whose output must be as printed; ``python`` a program;
``console`` commands behind ``$`` that must succeed, with the output below them as printed where there is any (``...``
stands for anything). A block whose first line is a comment that names a file (``# mine.toml``, ``/* first.c */``) is
that file. Other fenced blocks (``text``, ``sh``) and indented ones are shown, not run.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from hbmmodel.cli import run_cli
from hbmmodel.cli.commands import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(p for p in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUN = {"pycon", "python", "console"}
SHOWN = {
    *("text", "sh", "toml", "c", "json", "yaml"),
    *("{toctree}", "{eval-rst}", "{literalinclude}", "{include}"),
}
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.M | re.S)
_FILE = re.compile(r"^(?:#|//|/\*) ([\w./-]+\.\w+)(?: \*/)?\n")


class Block(NamedTuple):
    """One fenced block: its language, its text, the line where it begins."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that it is, if it names one."""
        found = _FILE.match(self.text)
        return found[1] if found else None


def blocks(text: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 2) for m in _FENCE.finditer(text)]


def needs_torch(page: Path) -> bool:
    """Whether a page's programs import PyTorch, which most environments of the tests lack."""
    programs = [b.text for b in blocks(page.read_text(encoding="utf-8")) if b.language in ("python", "pycon")]
    return any(re.search(r"^(?:>>> )?import torch\b", text, re.M) for text in programs)


def run_page(page: Path) -> dict[str, Any]:
    """Run what a page shows, in the current folder; what its programs defined."""
    names: dict[str, Any] = {"__name__": "example"}
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.file is not None:
            path = Path(block.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)
        elif block.language == "pycon":
            test = doctest.DocTestParser().get_doctest(block.text, names, page.name, str(page), block.line - 1)
            test.globs = names
            said = io.StringIO()
            failed = doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=said.write, clear_globs=False).failed
            assert not failed, said.getvalue()
        elif block.language == "console":
            for command, wanted in commands(block.text):
                _run_command(command, wanted, f"{page.name}:{block.line}")
    return names


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Commands of a ``console`` block, each with the output shown below it."""
    text = text.replace("\\\n", " ")
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, wanted = part.partition("\n")
        yield command.partition("  #")[0].strip(), wanted


def _run_command(command: str, wanted: str, where: str) -> None:
    argv = shlex.split(command)
    if argv[0] == "hbmmodel" and not set(command) & set("|;&<>$*"):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = run_cli(argv[1:])
        got = said.getvalue()
    else:
        here = os.path.dirname(sys.executable)
        path = f"{here}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "CHECKOUT": str(ROOT), "PATH": path, "COLUMNS": "120"}
        run = subprocess.run(
            command, shell=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        code, got = run.returncode, run.stdout
    assert code == 0, f"{where}: {command} ends with exit code {code}:\n{got}"
    if wanted.strip():
        example = doctest.Example(command, wanted)
        if not doctest.OutputChecker().check_output(wanted, got, OPTIONS):
            difference = doctest.OutputChecker().output_difference(example, got, OPTIONS)
            raise AssertionError(f"{where}: {command}\n{difference}")


# ---- commands that a page names without running them ----


def named_commands(text: str) -> set[str]:
    """What a page writes as an hbmmodel command: in code spans, in blocks, behind ``$`` or indented."""
    spans = re.findall(r"`(hbmmodel [^`]+)`", text)
    lines = re.findall(r"^(?:\$ | {4})(hbmmodel .+)$", text.replace("\\\n", " "), re.M)
    bare = [line for block in blocks(text) for line in re.findall(r"^(hbmmodel .+)$", block.text, re.M)]
    return {re.split(r"  #| \| | > |; ", found)[0] for found in (*spans, *lines, *bare)}


def unknown_words(command: str) -> set[str]:
    """Subcommands and options in a command that do not exist."""
    words = re.findall(r"(?<![^\s\[|])-{0,2}[A-Za-z][\w-]*", command.partition(" ")[2])
    group: click.Command = cli
    context = click.Context(cli)
    if re.match(r"[a-z-]+$", words[0] if words else "") and not words[0].startswith("-"):
        found = cli.get_command(context, words[0])
        if found is None:
            return {words[0]}
        group = found
    known = {"-h", "--help", *(o for p in group.params for o in (*p.opts, *p.secondary_opts))}
    if isinstance(group, click.Group):
        for sub in group.commands.values():
            known |= {o for p in sub.params for o in (*p.opts, *p.secondary_opts)}
    return {word for word in words if word.startswith("-")} - known
