"""Files by name or path in all three rooms that have them: read anew, bounded, refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hbmmodel as hbm
from hbmmodel.device import presets as devices
from hbmmodel.energy import presets as energies
from hbmmodel.errors import HbmError
from hbmmodel.thermal import presets as stacks

ROOMS: dict[str, tuple[Any, Callable[[str], Any], str]] = {
    "device": (devices, hbm.device, "HBM4_8000"),
    "energy set": (energies, hbm.energy_set, "HBM3E_RECOMMENDED"),
    "currents": (energies, hbm.energy_set, "HBM2_DRAMSIM3_IDD"),
    "stack": (stacks, hbm.thermal.stack, "HBM4_12H"),
}


def text_of(room: str) -> str:
    module, _, name = ROOMS[room]
    return str(module._SHELF.shipped(f"{name}.toml"))


def refusal(load: Callable[[str], Any], path: Path) -> str:
    with pytest.raises(HbmError) as caught:
        load(str(path))
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("room", ROOMS)
def test_a_misspelt_name_is_answered_with_the_names(room: str) -> None:
    module, load, name = ROOMS[room]
    with pytest.raises(HbmError, match=f"did you mean '{name}'.*{name}.*path of a preset file"):
        load(name[:-1] + "x")
    for odd in (3, None, b"HBM4"):
        with pytest.raises(HbmError, match="not a "):
            load(odd)  # type: ignore[arg-type]
    assert name in module._SHELF.names() and "sources" not in module._SHELF.names()


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff", "UTF-8"),
        (b"x = " + b"[" * 100_000, "TOML"),
        (b"x = " + b"9" * 10_000, "TOML"),
        (b"#" * (1 << 21), "larger than"),
        (b"", "required field"),
        (b"schema = 2", "schema|required field"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_line(tmp_path: Path, room: str, data: bytes, said: str) -> None:
    path = tmp_path / "MINE.toml"
    path.write_bytes(data)
    assert any(word in refusal(ROOMS[room][1], path) for word in said.split("|"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path: Path, room: str) -> None:
    (tmp_path / "FOLDER.toml").mkdir()
    for name in ("NONE.toml", "FOLDER.toml", "A\0B.toml"):
        assert "give the path" in refusal(ROOMS[room][1], tmp_path / name)


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "MINE.toml"
    path.write_text(text_of("energy set"))
    assert hbm.energy_set(str(path)).get("column") == 0.3
    path.write_text(text_of("energy set").replace("typical = 0.3\n", "typical = 0.25\n"))
    assert hbm.energy_set(str(path)).get("column") == 0.25
    path.write_text(text_of("stack"))
    before = hbm.thermal.stack(str(path))
    path.write_text(text_of("stack").replace("dies = 12", "dies = 11"))
    assert (before.dies, hbm.thermal.stack(str(path)).dies) == (12, 11)


@pytest.mark.parametrize("room", ["energy set", "currents", "stack"])
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_line_gives_a_value_or_one_clear_line(tmp_path: Path, room: str, data: Any) -> None:
    lines = text_of(room).splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    name = lines[at].partition("=")[0]
    odd = st.sampled_from(["nan", "-inf", "1e400", "-1", "0", "1e308", "true", "[]", "{}", "9" * 400, '""'])
    line = data.draw(st.one_of(st.text(max_size=30), st.sampled_from(lines), odd.map(lambda text: f"{name}= {text}\n")))
    path = tmp_path / "MINE.toml"
    path.write_text("".join((*lines[:at], line, *lines[at + 1 :])), encoding="utf-8")
    try:
        ROOMS[room][1](str(path))
    except HbmError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
