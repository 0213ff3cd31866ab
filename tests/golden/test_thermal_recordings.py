"""Temperatures recorded with 3D-ICE and a matrix of resistances, computed again from their inputs alone."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from hbmmodel.errors import HbmTraceError
from hbmmodel.validate.thermal import compute, validate

DATA = Path(__file__).parent / "data" / "thermal"
NAMES = ("rmatrix_12h", "steady_12h_22x22_hotquad", "transient_12h_11x11_uniform")


def content(name: str) -> Any:
    return json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))


@pytest.mark.parametrize("name", NAMES)
def test_recorded_temperatures_are_reproduced_to_a_millikelvin(name: str) -> None:
    assert compute(content(name), name)["max_abs_difference"] < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_values_do_not_depend_on_what_was_recorded(name: str) -> None:
    whole, stripped = content(name), content(name)
    for key in ("layers", "samples", "R_K_per_W"):
        stripped.pop(key, None)
    ours = compute(whole, name)
    ours.pop("max_abs_difference")
    assert compute(stripped, name) == ours


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("side_m", None),
        ("side_m", float("nan")),
        ("grid", [0, 22]),
        ("grid", [22]),
        ("boundary", {"top_h_W_m2K": -1, "top_ambient_K": 300}),
        ("boundary", {"top_h_W_m2K": 0.0, "top_ambient_K": 300}),
        ("materials", {}),
        ("layers_top_to_bottom", []),
        ("power", {"blocks_um_x_y_w_h_W": {"BASE": [[0, 0, 20000, 10, 1]]}}),
        ("power", {"blocks_um_x_y_w_h_W": {"BASE": [[0, 0, 100, 100, float("inf")]]}}),
        ("power", {"blocks_um_x_y_w_h_W": {"DRAM99": []}}),
        ("power", {}),
    ],
)
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, key: str, value: Any) -> None:
    broken = content("steady_12h_22x22_hotquad")
    broken[key] = value
    path = tmp_path / "case.json"
    path.write_text(json.dumps(broken))
    with pytest.raises(HbmTraceError, match=r"case\.json"):
        validate([path])


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "case.json"
    path.write_text(text)
    with pytest.raises(HbmTraceError, match=r"case\.json"):
        validate([path])
