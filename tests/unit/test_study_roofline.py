"""Rooflines: bandwidths are those of simulated operations, losses add up, FLOPs are what the models' sizes say."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import fails, told

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import LOST, Result
from hbmmodel.study import Roofline, roofline

SYSTEM = hbm.System(hbm.device("HBM4_8000"))
SMALL = {"kinds": ["read", "gather_64"], "bytes_per_stack": 1 << 20}


@pytest.fixture(scope="module")
def decoded() -> Result:
    tiny = hbm.workload.model("llama-3.1-8b").replace(layers=1, vocab=2048)
    return hbm.simulate(SYSTEM, hbm.workload.decode(tiny, batch=8, context=256))


@pytest.fixture(scope="module")
def found(decoded: Result) -> Roofline:
    return roofline(SYSTEM, flops_per_s=1e14, runs={"decode": decoded}, **SMALL)


def test_a_ceiling_is_what_the_operation_gets_and_its_losses_add_up(found: Roofline) -> None:
    rows = {row["kind"]: row for row in found.ceilings.rows()}
    for row in rows.values():
        assert sum(row[f"lost_share_{cause}"] for cause in LOST) == pytest.approx(1.0)
        assert row["ridge_flops_per_byte"] * row["bandwidth_gb_per_s"] * 1e9 == pytest.approx(1e14)
        assert row["lost_share_data"] == pytest.approx(row["fraction_of_peak"], abs=1e-3)
    assert rows["read"]["fraction_of_peak"] > 2 * rows["gather_64"]["fraction_of_peak"]


def test_a_ceiling_of_a_large_operation_is_its_effective_bandwidth() -> None:
    size = 1 << 26  # from here on one place in memory is measured there, as here
    (row,) = roofline(SYSTEM, kinds=["read"], bytes_per_stack=size).ceilings.rows()
    measured = hbm.workload.effective_bandwidth(SYSTEM, classes=["read"], sizes=[size])
    assert row["bandwidth_gb_per_s"] == pytest.approx(measured.gb_per_s("read", size))


def test_flops_of_a_decode_follow_from_the_sizes_of_the_model(found: Roofline, decoded: Result) -> None:
    points = {row["name"]: row for row in found.points.rows()}
    facts = decoded.trace["workload"]
    assert points[""]["flops"] == 2 * facts["active_parameters"] * 8
    table = decoded.operations
    sizes = {"qkv_proj": 4096 * (4096 + 2048), "gate_up_proj": 4096 * 2 * 14336, "lm_head": 4096 * 2048}
    for name, weights in sizes.items():
        p = points[name]
        assert p["flops"] == pytest.approx(2 * 8 * weights, rel=1e-3)
        mine = table["name"] == name
        assert p["n_bytes"] == int((table["bytes_read"] + table["bytes_written"])[mine].sum())
        assert p["flops_per_byte"] == pytest.approx(p["flops"] / p["n_bytes"]) and p["bound"] == "memory"
        assert p["flops_per_s"] == pytest.approx(p["flops"] / p["time_ns"] * 1e9)
    assert "attention" not in points and "rms_norm" not in points  # the model was changed, so its heads are not known


def test_attention_of_a_known_model_makes_two_flops_per_query_head_and_cached_element(decoded: Result) -> None:
    whole = hbm.workload.decode("llama-3.1-8b", batch=8, context=256).workload
    # one layer was simulated, and the whole model is told: as a run of it, but for the other layers' time
    run = replace(decoded, trace={**decoded.trace, "workload": whole})
    found = roofline(SYSTEM, runs=[run], **SMALL)
    attention = next(row for row in found.points.rows() if row["name"] == "attention")
    queries, head_dim, tokens = 32, 128, 256 + 1
    assert attention["flops"] == pytest.approx(8 * 2 * 2 * queries * head_dim * tokens, rel=2e-3)
    assert attention["bound"] == ""


def test_training_counts_six_and_devices_share(decoded: Result) -> None:
    def told_as(**facts: Any) -> Result:
        return replace(decoded, trace={**decoded.trace, "workload": {**decoded.trace["workload"], **facts}})

    train = told_as(kind="train_step", parameters=1000, active_parameters=1000, tokens=64)
    shared = told_as(devices_alike=2, pipeline_stages=4)
    found = roofline(SYSTEM, runs={"train": train, "shared": shared, "whole": decoded}, **SMALL)
    flops = {row["run"]: row["flops"] for row in found.points.rows() if not row["name"]}
    assert flops["train"] == 6 * 1000 * 64 and flops["whole"] == 8 * flops["shared"]
    assert any("train" in note and "single operations" in note for note in found.notes)


def test_a_run_of_something_else_is_noted_and_not_placed() -> None:
    run = hbm.simulate(SYSTEM, hbm.Trace.from_requests([0], [False]))
    found = roofline(SYSTEM, runs=[run], **SMALL)
    assert len(found.points) == 0 and "FLOPs are not known" in found.notes[0]
    broken = replace(run, trace={**run.trace, "workload": {"kind": "decode", "tokens": "many"}})
    with pytest.raises(HbmArgumentError, match="tokens"):
        roofline(SYSTEM, runs=[broken], **SMALL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flops_per_s": float("nan")}, "flops_per_s"),
        ({"kinds": ["swim"]}, "choose of read"),
        ({"kinds": "read"}, "give a list"),
        ({"bytes_per_stack": 3}, "bytes_per_stack"),
        ({"runs": [3]}, "is no Result"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(HbmArgumentError, match=message):
        roofline(SYSTEM, **arguments)


def test_files_and_pictures(found: Roofline, tmp_path: Path) -> None:
    from hbmmodel.study.picture import draw_roofline

    assert json.loads(found.save(tmp_path / "r.json").read_text())["ceilings"][0]["kind"] == "read"
    assert found.save(tmp_path / "r.csv").read_text().startswith("kind,bandwidth_gb_per_s")
    assert found.save(tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    (axes,) = draw_roofline(found).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0].startswith("pins") and labels[1].startswith("read") and labels[-1] == "decode"
    roof = next(line for line in axes.get_lines() if str(line.get_label()).startswith("read"))
    bandwidth = found.ceilings["bandwidth_gb_per_s"][0]
    np.testing.assert_allclose(np.asarray(roof.get_ydata()) / np.asarray(roof.get_xdata()), bandwidth * 1e9)
    draw_roofline(replace(found, flops_per_s=None, points=found.points.head(0)))


def test_names_are_no_formulas_in_a_picture(decoded: Result, tmp_path: Path) -> None:
    found = roofline(SYSTEM, runs={"$\\frac{$": decoded}, **SMALL)
    assert found.save(tmp_path / "r.png").stat().st_size > 0


def test_the_command_takes_the_system_of_the_run(
    decoded: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hbmmodel.study import rooflines

    monkeypatch.setattr(rooflines, "CEILINGS", ("read",))
    monkeypatch.setattr(rooflines.roofline, "__kwdefaults__", {**rooflines.roofline.__kwdefaults__, **SMALL})
    saved = str(decoded.save(tmp_path / "run"))
    printed = told(capsys, "roofline", saved, "--flops-per-s", "1e14", "-o", str(tmp_path / "r.svg"))
    assert "1 x HBM4_8000" in printed and "gate_up_proj" in printed and "bound by" in printed
    assert (tmp_path / "r.svg").is_file()
    content = json.loads(told(capsys, "roofline", "HBM3_6400", "--json"))
    assert content["peak_gb_per_s"] == hbm.device("HBM3_6400").peak_gb_per_s and content["points"] == []


def test_the_command_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is no saved result" in fails(capsys, "roofline", "HBM4_8000", "nowhere")
    assert "result.json" in fails(capsys, "roofline", str(tmp_path))
    assert "did you mean" in fails(capsys, "roofline", "HBM4_80000")
    assert ".png" in fails(capsys, "roofline", "-o", "r.gif")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "hbmmodel[plot]" in fails(capsys, "roofline", "-o", str(tmp_path / "r.png"))
