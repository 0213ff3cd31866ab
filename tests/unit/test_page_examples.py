"""Every example of the documentation runs as printed, and every command that a page names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_examples import PAGES, ROOT, RUN, SHOWN, blocks, named_commands, needs_torch, run_page, unknown_words

SOURCE_FOLDERS = {"hbmmodel", "csrc", "tests", "bench", "docs"}
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


@each_page
def test_files_that_a_page_names_exist(page: Path, checkout: Path) -> None:
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S))
    folders = "|".join(entry.name for entry in checkout.iterdir() if entry.is_dir() and entry.name in SOURCE_FOLDERS)
    named = {span for span in spans if re.fullmatch(rf"(?:{folders})/[\w./*\[\]-]+", span)}
    made = {"tests/c/build", "build/docs/index.html", "docs/formats/NAME.md"}
    missing = {span for span in named - made if not any(checkout.glob(span.rstrip("/")))}
    assert not {span for span in missing if "[" not in span and "<" not in span}


def test_every_page_is_in_the_table_of_contents(checkout: Path) -> None:
    """A page that nothing leads to is not read; the build of the site says so too, but not everybody builds it."""
    pages = {p.relative_to(checkout / "docs").with_suffix("").as_posix() for p in (checkout / "docs").rglob("*.md")}
    listed = {"index"}
    for page in sorted(pages):
        path = checkout / "docs" / f"{page}.md"
        for block in blocks(path.read_text(encoding="utf-8")):
            if block.language == "{toctree}":
                for row in block.text.splitlines():
                    if row and not row.startswith(":"):
                        found = path.parent.glob(f"{row}.md") if "*" in row else [path.parent / f"{row}.md"]
                        listed |= {f.relative_to(checkout / "docs").with_suffix("").as_posix() for f in found}
    assert pages == listed


def test_names_of_the_c_api_on_its_page_are_in_the_header(checkout: Path) -> None:
    text = (checkout / "docs" / "capi.md").read_text(encoding="utf-8")
    header = (checkout / "csrc" / "hbm.h").read_text(encoding="utf-8")
    named = set(re.findall(r"`(hbm_\w+)", text)) - {"hbm_X_create", "hbm_X_free"}
    assert len(named) > 15 and not {name for name in named if not re.search(rf"\b{name}\b", header)}


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
