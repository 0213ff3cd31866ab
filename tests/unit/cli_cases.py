"""What the tests of the command line share: commands that must work, and commands that must fail in one line."""

from __future__ import annotations

import pytest

from hbmmodel.cli import run_cli


def fails(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 2) -> str:
    """Run a command that must fail, and return its one line."""
    assert run_cli(argv) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("hbmmodel: ") and "Traceback" not in lines[0]
    return lines[0]


def told(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run a command that must work, and return what it prints."""
    assert run_cli(argv) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out
