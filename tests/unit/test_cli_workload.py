"""``workload:`` in place of a trace, the lists of ``hbmmodel workload``, and ``hbmmodel bandwidth``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_cases import fails, told

import hbmmodel as hbm
from hbmmodel.workload.spec import GENERATORS

Capture = pytest.CaptureFixture[str]

SMALL = "workload:dlrm,batch=16,tables=2,rows=1000,dim=16,pooling=4,bottom=8,top=8"


def test_generators_and_models_are_listed(capsys: Capture) -> None:
    text = told(capsys, "workload")
    assert all(f"workload:{name}," in text for name in GENERATORS)
    assert all(name in text for name in hbm.workload.models())
    listed = json.loads(told(capsys, "workload", "--json"))
    assert set(listed["generators"]) == set(GENERATORS)
    assert {m["name"] for m in listed["models"]} == set(hbm.workload.models())
    assert listed["generators"]["decode"]["context"] == 8192


def test_a_model_is_shown_with_its_sources(capsys: Capture) -> None:
    shown = json.loads(told(capsys, "workload", "show", "deepseek-v3", "--json"))
    assert sum(shown["parameters_by_tensor"].values()) == shown["parameters"] == 671_026_419_200
    assert shown["source"]
    assert "kv_bytes_per_token: 70272" in told(capsys, "workload", "show", "deepseek-v3")
    assert "did you mean 'deepseek-v3'" in fails(capsys, "workload", "show", "deepseek-v4")
    assert "belongs behind the subcommand" in fails(capsys, "workload", "--json", "show", "deepseek-v3")


def test_a_workload_runs_where_a_trace_does(capsys: Capture, tmp_path: Path) -> None:
    run = json.loads(told(capsys, "run", SMALL, "--json", "-q", "-o", str(tmp_path / "run")))
    assert run["workload"]["unit"] == "sample" and run["workload"]["tokens"] == 16
    assert run["workload"]["tokens_per_s"] == pytest.approx(16e9 / run["summary"]["time_ns"])
    text = told(capsys, "run", SMALL)
    assert "What the workload got" in text and "samples/s" in text and "per sample" in text
    saved = told(capsys, "report", str(tmp_path / "run"))
    assert "What the workload got" in saved
    again = hbm.workload.metrics(hbm.Result.load(tmp_path / "run"))
    assert again.to_dict()["classes"] == run["workload"]["classes"]


def test_a_trace_without_a_workload_has_no_such_section(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "a.trace").write_text("LD 0\nLD 64\n")
    argv = ["run", str(tmp_path / "a.trace"), "--request-bytes", "32"]
    assert "What the workload got" not in told(capsys, *argv)
    assert "workload" not in json.loads(told(capsys, *argv, "--json"))


def test_phases_of_a_workload_are_selected(capsys: Capture) -> None:
    run = json.loads(told(capsys, "run", f"{SMALL},training=true", "--phase", "backward", "--json"))
    assert list(run["workload"]["phases"]) == ["backward"]
    assert "its phases are" in fails(capsys, "run", SMALL, "--phase", "decode")


def test_a_workload_is_described_and_converted(capsys: Capture, tmp_path: Path) -> None:
    shown = json.loads(told(capsys, "info", SMALL, "--json"))
    assert shown["workload"]["kind"] == "dlrm" and shown["format"] == "workload"
    assert "workload" in told(capsys, "info", SMALL)
    target = tmp_path / "dlrm.dramsim3.trace"
    told(capsys, "convert", SMALL, str(target))
    assert target.read_text().startswith("0x")


def test_bad_workloads_are_refused_in_one_line(capsys: Capture) -> None:
    assert "did you mean 'decode'" in fails(capsys, "run", "workload:decod,model=llama-3.1-8b")
    assert "batch is 'x'" in fails(capsys, "info", "workload:decode,model=llama-3.1-8b,batch=x")
    assert "is no file" in fails(capsys, "run", SMALL, "--format", "hbmop")
    assert "is no file" in fails(capsys, "convert", SMALL, "x.stl", "--clock-ns", "2")
    assert "use more stacks" in fails(capsys, "run", "workload:decode,model=llama-3.1-405b")


def test_bandwidths_are_measured_and_saved(capsys: Capture, tmp_path: Path) -> None:
    options = ["--class", "read", "--class", "gather_64", "--size", "4096", "--size", "65536"]
    text = told(capsys, "bandwidth", *options, "-o", str(tmp_path / "b.csv"))
    assert text.count("gather_64") == 2 and "Saved in" in text
    content = json.loads(told(capsys, "bandwidth", *options, "--json"))
    assert len(content["rows"]) == 4 and content["astra_sim"]["local-mem-bw"] > 0
    assert len((tmp_path / "b.csv").read_text().splitlines()) == 5
    assert "as .csv or .json" in fails(capsys, "bandwidth", "-o", str(tmp_path / "b.txt"))
    assert "size is 1;" in fails(capsys, "bandwidth", "--size", "1")
    assert "'scatter' is unknown" in fails(capsys, "bandwidth", "--class", "scatter")
