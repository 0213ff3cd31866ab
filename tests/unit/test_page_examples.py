"""Every example of the documentation runs as printed, and every command that a page names exists."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_examples import PAGES, ROOT, RUN, SHOWN, blocks, named_commands, needs_torch, run_page, unknown_words

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())


@each_page
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if needs_torch(page):  # tests/torch runs it where there is PyTorch
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    run_page(page)


@each_page
def test_a_fenced_block_says_what_it_is(page: Path) -> None:
    """A misspelt language would be an example that never runs."""
    for block in blocks(page.read_text(encoding="utf-8")):
        assert block.language in RUN | SHOWN, f"{page.name}:{block.line}: ```{block.language}"


@each_page
def test_commands_and_options_that_a_page_names_exist(page: Path) -> None:
    wrong = {c: unknown_words(c) for c in named_commands(page.read_text(encoding="utf-8"))}
    assert not {command: words for command, words in wrong.items() if words}


def test_an_example_that_does_not_hold_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text, said in (
        ("```pycon\n>>> 1 + 1\n3\n```\n", "Expected:"),
        ("```console\n$ hbmmodel devices show NONE\n```\n", "ends with exit code 2"),
        ("```console\n$ hbmmodel --version\nhbmmodel, version x\n```\n", "page.md:2: hbmmodel --version"),
        ("```python\n# a/b.py\nx = 1\n```\n```console\n$ cat a/b.py && false\n```\n", "x = 1"),
    ):
        (tmp_path / "page.md").write_text(text, encoding="utf-8")
        with pytest.raises(AssertionError, match=said):
            run_page(tmp_path / "page.md")


def test_a_command_that_does_not_exist_is_found() -> None:
    text = "`hbmmodel run T --device D`, `hbmmodel fly`\n\n    hbmmodel devices show X --sauces  # why\n"
    found = {command: unknown_words(command) for command in named_commands(text)}
    assert found == {
        "hbmmodel run T --device D": set(),
        "hbmmodel fly": {"fly"},
        "hbmmodel devices show X --sauces": {"--sauces"},
    }
