"""``docs/validation.md`` is what its command writes now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hbmmodel.validate import document

COMPUTED = (
    "Bounds from the device description",
    "Measurements of products",
    "Published figures of energy and heat",
    "Known limits",
)
OTHERS = ("Ramulator 2.1", "Speed")


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="module")
def now() -> str:
    return document.render(with_speed=False)


@pytest.fixture(scope="module")
def page(checkout: Path) -> str:
    return (checkout / "docs" / "validation.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("title", COMPUTED)
def test_the_page_is_up_to_date(page: str, now: str, title: str) -> None:
    """After a change of the model: make validation."""
    assert sections(page)[title].split() == sections(now)[title].split()


def test_the_page_was_made_with_recorded_runs_and_times(page: str) -> None:
    found = sections(page)
    assert set(found) == {*COMPUTED, *OTHERS}
    assert "recorded runs are identical" in found["Ramulator 2.1"]
    assert "| triad |" in found["Speed"]


def test_the_page_names_no_local_path(page: str) -> None:
    assert not re.search(r"(?<![\w.])/(?:home|tmp|work|root|Users|mnt)\b", page)


def test_tables_are_whole(page: str) -> None:
    """Every row of a table has as many cells as its head."""
    for table in re.findall(r"(?:^\|.*\|\n)+", page, flags=re.M):
        cells = {line.count("|") for line in table.splitlines()}
        assert len(cells) == 1, table.splitlines()[0]


def test_without_recorded_runs_the_section_says_so(now: str) -> None:
    assert sections(now)["Ramulator 2.1"].strip().startswith("Left out")
    assert sections(now)["Speed"].strip().startswith("Not measured")


def test_the_command_reports_a_bad_directory_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document.bounds, "rows", lambda presets: iter(()))
    target = tmp_path / "page.md"
    assert document.main([str(target), "--no-speed", "--recorded", str(tmp_path / "missing")]) == 2
    error = capsys.readouterr().err.strip()
    assert "missing" in error and "\n" not in error
    assert not target.exists()
