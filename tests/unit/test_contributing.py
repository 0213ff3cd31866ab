"""What a contributor is told holds: hooks are those of ``make lint``, templates name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_examples import named_commands, unknown_words

TOOL = re.compile(r"\b(ruff|mypy|cython-lint|lint-imports)\b")


def test_hooks_are_local_and_those_of_make_lint(checkout: Path) -> None:
    text = (checkout / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"- repo: (\S+)", text) == ["local"]
    entries = re.findall(r"entry: (.+)", text)
    assert re.findall(r"language: (\S+)", text) == ["system"] * len(entries)
    lint = (checkout / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    assert {tool for entry in entries for tool in TOOL.findall(entry)} == set(TOOL.findall(lint))
    assert all(".venv/bin" in entry for entry in entries)


@pytest.mark.parametrize("name", ["bug", "model_question", "device_data"])
def test_templates_name_commands_and_files_that_exist(name: str, checkout: Path) -> None:
    text = (checkout / ".github" / "ISSUE_TEMPLATE" / f"{name}.md").read_text(encoding="utf-8")
    assert re.match(r"---\nname: .+\nabout: .+\nlabels: .+\n---\n", text)
    commands = named_commands(text)
    assert commands and not {word for command in commands for word in unknown_words(command)}
    assert all((checkout / path).is_file() for path in re.findall(r"`(docs/[\w/.]+)`", text))


def test_the_changelog_says_what_a_version_must(checkout: Path) -> None:
    """Every version says what its model changes are, or that there are none."""
    text = (checkout / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.split(r"^## (?=\d)", text, flags=re.M)[1:]
    assert versions and all("**Model changes**" in version for version in versions)
