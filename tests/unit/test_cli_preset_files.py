"""``devices show --toml`` and ``energy show --toml``: the file behind a preset, as it is, to copy and edit."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from cli_cases import fails, told


@pytest.mark.parametrize(
    ("command", "package", "folder", "name"),
    [("devices", "device", "presets", "HBM4_8000"), ("energy", "energy", "sets", "HBM4_RECOMMENDED")],
)
def test_the_file_of_a_preset_is_printed_to_the_byte(
    command: str, package: str, folder: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = resources.files(f"hbmmodel.{package}") / folder / f"{name}.toml"
    assert told(capsys, command, "show", name, "--toml") == file.read_text(encoding="utf-8")
    mine = tmp_path / "MINE.toml"
    mine.write_text("x = 1\n", encoding="utf-8")
    assert told(capsys, command, "show", str(mine), "--toml") == "x = 1\n"
    assert "leave out" in fails(capsys, command, "show", name, "--toml", "--json")
    assert "did you mean" in fails(capsys, command, "show", name.lower(), "--toml")
