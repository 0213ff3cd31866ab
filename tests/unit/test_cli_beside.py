"""``hbmmodel run`` with programs side by side and quotas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_cases import fails, told

import hbmmodel as hbm
from hbmmodel.cli import run_cli
from hbmmodel.report.units import time_text

MAIN = "workload:synthetic,pattern=stream,total_bytes=1048576"
"""A short stream of reads."""


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "requests.txt"
    path.write_text("0x40 READ 10\n", encoding="utf-8")
    return str(path)


def test_programs_side_by_side_are_told_class_by_class(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    beside = ("--as", "decode", "--background", f"bulk={MAIN}", "--beside", f"other={MAIN}")
    quotas = ("--quota", "decode:reserved=0.5,priority=1", "--quota", "bulk:cap=0.2")
    text = told(capsys, "run", MAIN, *beside, *quotas, "-o", str(tmp_path / "run"))
    assert "Classes of traffic" in text and "Repeated until the others had ended: bulk." in text
    rows = {row["traffic_class"]: row for row in hbm.Result.load(tmp_path / "run").traffic_classes.rows()}
    assert list(rows) == ["decode", "other", "bulk"]
    assert rows["decode"]["reserved_share"] == 0.5 and rows["bulk"]["cap_share"] == 0.2
    assert 0 < rows["bulk"]["fraction_of_peak"] < 0.25
    for name, row in rows.items():
        told_of = next(line for line in text.splitlines() if line.startswith(f"of {name} "))
        assert time_text(row["read_latency_ns_p99"]) in told_of and time_text(row["read_latency_ns_p999"]) in told_of
    described = told(capsys, "info", str(tmp_path / "run")).splitlines()
    tail = next(line.split() for line in described if line.startswith("class_bulk_read_latency_ns_p99 "))
    assert float(tail[1]) == pytest.approx(rows["bulk"]["read_latency_ns_p99"], rel=1e-5)


def test_json_says_which_classes_there_were(capsys: pytest.CaptureFixture[str]) -> None:
    said = json.loads(told(capsys, "run", MAIN, "--beside", f"bulk={MAIN}", "--json"))
    assert said["trace"]["traffic_classes"] == ["main", "bulk"] and said["trace"]["background"] == []
    assert [row["traffic_class"] for row in said["traffic_classes"]] == ["main", "bulk"]
    assert all(0 < row["read_latency_ns_p50"] <= row["read_latency_ns_p999"] for row in said["traffic_classes"])
    assert "traffic_classes" not in json.loads(told(capsys, "run", MAIN, "--json"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--beside", "bulk"), "is not CLASS=TRACE"),
        (("--beside", f"={MAIN}"), "is not CLASS=TRACE"),
        (("--beside", f"main={MAIN}"), "class main has a program already"),
        (("--beside", f"a b={MAIN}"), "a class of traffic is called 'a b'"),
        (("--beside", "bulk=nowhere.hbmop"), "nowhere.hbmop"),
        (("--quota", "bulk:cap=0.5"), "quota for 'bulk', and it has no classes"),
        (("--as", "main", "--quota", "bulk:cap=0.5"), "its classes are main"),
        (("--as", "main", "--quota", "main:cap=2"), "cap_share is 2"),
        (("--as", "main", "--quota", "main"), "is not CLASS:FIELD=VALUE"),
        (("--as", "a", "--quota", "a:cap=0.5", "--quota", "a:cap=0.4"), "--quota a is given twice"),
        (("--as", "a", "--mode", "asap"), "leave mode out"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert message in fails(capsys, "run", MAIN, "-q", *options)


def test_requests_do_not_stand_side_by_side(capsys: pytest.CaptureFixture[str], trace: str) -> None:
    assert "only traces of operations" in fails(capsys, "run", MAIN, "-q", "--beside", f"bulk={trace}")


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(("run", MAIN, "-q", "--as", "a", "--quota", "a:cap=0.5")) == 0
    assert capsys.readouterr() == ("", "")
