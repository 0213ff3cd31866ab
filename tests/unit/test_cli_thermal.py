"""``hbmmodel thermal``: a tool of its own, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_cases import fails, told

import hbmmodel as hbm

Capture = pytest.CaptureFixture[str]


def test_even_power_gives_the_temperatures_of_the_model(capsys: Capture) -> None:
    shown = json.loads(told(capsys, "thermal", "HBM4_12H", "--power", "BASE=8", "--power", "DRAM=1.5", "--json"))
    model = hbm.thermal.Model(hbm.thermal.stack("HBM4_12H"))
    hot = model.steady({"BASE": 8.0} | {f"DRAM{i}": 1.5 for i in range(12)})
    assert shown["total_w"] == pytest.approx(26)
    assert shown["dies"]["BASE"]["max_c"] == pytest.approx(hot.max_c("BASE"))
    assert len(shown["dies"]) == 13


def test_a_map_heats_where_it_says_and_time_can_be_given(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("4,0\n0,0\n")
    options = ["HBM3E_8H", "--power-map", f"BASE={tmp_path / 'map.csv'}", "--set", "coolant_c=30"]
    steady = json.loads(told(capsys, "thermal", *options, "--json"))
    assert steady["grid"] == [2, 2] and steady["total_w"] == 4
    assert steady["dies"]["BASE"]["max_c"] > steady["dies"]["BASE"]["min_c"] > 30
    early = json.loads(told(capsys, "thermal", *options, "--seconds", "0.01", "--json"))
    assert 30 < early["dies"]["BASE"]["max_c"] < steady["dies"]["BASE"]["max_c"]
    assert "0.01 s after power-on" in told(capsys, "thermal", *options, "--seconds", "0.01")


def test_without_a_stack_the_stacks_are_listed(capsys: Capture) -> None:
    assert "HBM4_16H" in told(capsys, "thermal")
    assert "HBM4_16H" in json.loads(told(capsys, "thermal", "--json"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["HBM9"], "HBM4_12H"),
        (["--power", "BASE=8"], "name a STACK"),
        (["HBM4_12H", "--power", "BASE"], "DIE=VALUE"),
        (["HBM4_12H", "--power", "BASE=hot"], "no number"),
        (["HBM4_12H", "--power", "BASE=nan"], "finite"),
        (["HBM4_12H", "--power", "BASE=-1"], "zero or more"),
        (["HBM4_12H", "--power", "GPU=1"], "no such source"),
        (["HBM4_12H", "--power", "BASE=1", "--power", "BASE=2"], "twice"),
        (["HBM4_12H", "--set", "dies=0"], "dies"),
        (["HBM4_12H", "--set", "colour=3"], "colour"),
        (["HBM4_12H", "--seconds", "-1"], "seconds"),
        (["HBM4_12H", "--power-map", "BASE=missing.csv"], "missing.csv"),
        (["HBM4_12H", "--power-map", "BASE={ragged}"], "line 2"),
        (["HBM4_12H", "--power-map", "BASE={words}"], "line 1"),
        (["HBM4_12H", "--power-map", "BASE={empty}"], "no cells"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    capsys: Capture, tmp_path: Path, arguments: list[str], said: Any
) -> None:
    files = {"ragged": "1,2\n3\n", "words": "a,b\n", "empty": ""}
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    made = [a.format(**{name: tmp_path / f"{name}.csv" for name in files}) for a in arguments]
    assert said in fails(capsys, "thermal", *made)
