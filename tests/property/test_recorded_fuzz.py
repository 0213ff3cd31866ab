"""Recorded files with anything in them: a result, or one line that names the file; never anything else."""

from __future__ import annotations

import copy
import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hbmmodel.errors import HbmTraceError
from hbmmodel.validate import drampower, thermal

GOLDEN = Path(__file__).parent.parent / "golden" / "data"

STACK: dict[str, Any] = {
    "side_m": 0.01,
    "layers_top_to_bottom": [
        {"name": "LID", "element": "LID", "material": "CU", "t_um": 100, "source": None},
        {"name": "D.src", "element": "D", "material": "SI", "t_um": 2, "source": "D"},
        {"name": "D.beol", "element": "D", "material": "SI", "t_um": 5, "source": None},
    ],
    "materials": {"SI": {"k": 120.0, "cv": 1.66e6}, "CU": {"k": 400.0, "cv": 3.4e6}},
}
STEADY = STACK | {
    "grid": [2, 3],
    "row_order": "row 0 is y = 0",
    "boundary": {"top_h_W_m2K": 2e4, "top_ambient_K": 300.0, "bottom_h_W_m2K": 10, "sides": "adiabatic"},
    "power": {"total_W": 3.0, "blocks_um_x_y_w_h_W": {"D": [[0, 0, 5000, 5000, 2.0], [5000, 0, 5000, 10000, 1]]}},
}
STEP = STEADY | {
    "initial_K": 300.0, "dt_s": 0.002, "sample_every_s": 0.004, "scheme": "backward (implicit) Euler",
    "samples": {"t_s": [0.0, 0.004, 0.014]},
}  # fmt: skip
MATRIX = STACK | {"h_top": 2e4, "dies": ["D"]}


def with_results(content: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(content | {k: v for k, v in thermal.compute(content, "x").items() if k != "assumed"})


def energies() -> dict[str, Any]:
    found = json.loads(gzip.decompress((GOLDEN / "drampower" / "hbm2like_rho1.json.gz").read_bytes()))
    return {"memspec": found["memspec"], "traces": found["traces"][1:3]}


CASES = {
    "steady": (thermal.validate, with_results(STEADY)),
    "step": (thermal.validate, with_results(STEP)),
    "matrix": (thermal.validate, with_results(MATRIX)),
    "energies": (drampower.validate, energies()),
}
ODD = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(-3, 70), st.text(max_size=3), st.just([]), st.just({}),
    st.sampled_from([10**400, -(10**400), 10**20, 1e300, -0.0, 5e-324, [[[]]], {"a": 1}, "BASE", [1, 2], [10**400]]),
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [place for key, item in inner for place in places(item, (*path, key))]


def told(validate: Any, path: Path, text: str) -> Any:
    path.write_text(text, encoding="utf-8")
    try:
        return validate([path])[str(path)]
    except HbmTraceError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error) and len(str(error)) < 1000
        return None


@pytest.mark.parametrize("case", CASES)
@given(data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_anywhere_is_computed_or_refused(tmp_path: Path, case: str, data: Any) -> None:
    validate, content = CASES[case]
    content = copy.deepcopy(content)
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(places(content)[1:]))
        holder: Any = content
        for key in way:
            holder = holder[key]
        if data.draw(st.booleans()) or not isinstance(holder, dict):
            holder[last] = copy.deepcopy(data.draw(ODD))
        else:
            del holder[last]
        if not content:
            break
    told(validate, tmp_path / "case.json", json.dumps(content))


@pytest.mark.parametrize("case", CASES)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_text_is_refused(tmp_path: Path, case: str, data: Any) -> None:
    validate, content = CASES[case]
    text = json.dumps(content)
    cut = data.draw(st.integers(0, len(text) - 1))
    assert told(validate, tmp_path / "case.json", text[:cut]) is None
    told(validate, tmp_path / "case.json", text[:cut] + data.draw(st.text(max_size=3)) + text[cut + 1 :])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, '{"side_m": 1e999}', "NaN", "null", "3"]
)
def test_monstrous_texts_are_refused(tmp_path: Path, case: str, text: str) -> None:
    assert told(CASES[case][0], tmp_path / "case.json", text) is None


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    text = json.dumps(STEADY)
    path = tmp_path / "case.json"
    path.write_text(text[:-1] + ', "side_m": 0.02}')
    with pytest.raises(HbmTraceError, match="side_m.*twice"):
        thermal.validate([path])


@pytest.mark.parametrize(
    ("base", "change", "said"),
    [
        (STEADY, {"boundary": STEADY["boundary"] | {"sides": "h = 10"}}, "sides"),
        (STEADY, {"row_order": "row 0 is y = max"}, "row_order"),
        (STEADY, {"power": STEADY["power"] | {"total_W": 4.0}}, "total_W"),
        (STEADY, {"side_m": 10**400}, "side_m"),
        (STEADY, {"layers": {"D": {"grid_K": [[300.0, 301.0, 300.0]]}}}, "layers.D.grid_K"),
        (STEADY, {"layers": {"D": {"grid_K": [[300.0, 301.0], [1.0, 2.0], [1.0, 2.0]]}}}, "layers.D.grid_K"),
        (STEADY, {"layers": {"E": {"mean_K": 300.0}}}, "layers.E"),
        (STEADY, {"layers": {"D": {"mean_K": "300"}}}, "layers.D.mean_K"),
        (STEADY, {"layers": [1.0]}, "layers"),
        (STEP, {"samples": {"t_s": [0.004, 0.008], "mean_K": {"D": [300.0]}}}, "samples.mean_K.D"),
        (STEP, {"samples": {"t_s": [0.004, 0.004]}}, "not after"),
        (STEP, {"samples": {"t_s": [0.005]}}, "whole number of steps"),
        (STEP, {"samples": {"t_s": [-0.002]}}, "no time"),
        (STEP, {"samples": {"t_s": [1e9]}}, "no time"),
        (STEP, {"samples": {"t_s": []}}, "list of times"),
        (STEP, {"scheme": "trapezoidal"}, "scheme"),
        (MATRIX, {"R_K_per_W": [[1.0, 2.0]]}, "R_K_per_W"),
        (MATRIX, {"dies": [["D"]]}, "dies"),
    ],
)
def test_what_cannot_be_met_is_refused_by_its_field(base: dict[str, Any], change: dict[str, Any], said: str) -> None:
    with pytest.raises(HbmTraceError, match=said):
        thermal.compute(base | change, "case.json")


def test_samples_are_compared_at_the_times_that_they_have() -> None:
    """Unevenly spaced samples: those of the even times among them are the same numbers."""
    even = thermal.compute(STEP | {"samples": {"t_s": [0.002 * i for i in range(1, 11)]}}, "x")["samples"]
    picked = [0.002, 0.006, 0.02]
    recorded = {"t_s": picked, "mean_K": {"D": [even["mean_K"]["D"][i] for i in (0, 2, 9)]}}
    found = thermal.compute(STEP | {"samples": recorded}, "x")
    assert found["max_abs_difference"] < 1e-12
    assert found["samples"]["t_s"] == pytest.approx(picked)
    assert thermal.compute(STEP, "x")["samples"]["mean_K"]["D"][0] == pytest.approx(300.0)  # the sample at 0 s


def test_an_ambient_below_that_is_not_given_is_stated() -> None:
    open_one = thermal.compute(STEADY, "x")
    assert "bottom_ambient_K" in open_one["assumed"][0]
    closed = thermal.compute(STEADY | {"boundary": STEADY["boundary"] | {"bottom_ambient_K": 300.0}}, "x")
    assert "assumed" not in closed
    assert closed["layers"] == open_one["layers"]
    cooler = thermal.compute(STEADY | {"boundary": STEADY["boundary"] | {"bottom_ambient_K": 280.0}}, "x")
    assert cooler["layers"]["D"]["mean_K"] < closed["layers"]["D"]["mean_K"]
    assert math.isfinite(cooler["layers"]["D"]["mean_K"])
