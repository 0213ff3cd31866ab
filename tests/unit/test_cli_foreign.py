"""Files of other programs from the command line: pairs, snapshots, notes on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_cases import fails, told
from foreign_samples import et, gem5, kineto, message, snapshot_bytes

from hbmmodel.cli import run_cli


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "run.et.json").write_text(json.dumps(et()))
    (tmp_path / "run.kineto.json").write_text(json.dumps(kineto()))
    return str(tmp_path / "run.kineto.json"), str(tmp_path / "run.et.json")


def test_a_pair_becomes_a_capture(pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(tmp_path / "run.hbmop.zst")
    assert told(capsys, "convert", pair[0], "--with", pair[1], "-o", target) == f"{target}: 5 operations as hbmop\n"
    found = json.loads(told(capsys, "info", target, "--json"))
    assert (found["format"], found["operations"]) == ("hbmop", 5)
    found = json.loads(told(capsys, "info", pair[0], "--with", pair[1], "--json"))
    assert (found["format"], found["operations"]) == ("pytorch-et", 5)
    told(capsys, "run", pair[1], "--with", pair[0], "--phase", "backward", "-q")


def test_kineto_alone_is_told_what_is_missing(pair: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, "info", pair[0])
    assert message.endswith("give the execution trace of the same run with it (--with FILE)")


def test_one_target_is_needed(pair: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "name one file to write, as DST or with -o" in fails(capsys, "convert", pair[1])
    assert "name one file to write" in fails(capsys, "convert", pair[1], "a.hbmop", "-o", "b.hbmop")


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.gem5"
    path.write_bytes(gem5())
    fails(capsys, "convert", str(path), str(tmp_path / "b.hbmop.zst"))
    broken = et()
    broken["nodes"][-2]["inputs"]["shapes"][0] = [2**61, 64]
    (tmp_path / "c.json").write_text(json.dumps(broken))
    fails(capsys, "convert", str(tmp_path / "c.json"), str(tmp_path / "d.dramsim3"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.gem5", "c.json"]


def test_a_snapshot_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "snapshot.pickle"
    path.write_bytes(snapshot_bytes())
    assert "allocator_agrees: True" in told(capsys, "info", str(path))
    assert "look at it with hbmmodel info" in fails(capsys, "run", str(path))


def test_what_is_left_out_is_one_line_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.gem5"
    path.write_bytes(gem5(message(f1=1, f2=1, f3=0, f4=4), message(f1=1, f2=5, f3=0, f4=4)))
    assert run_cli(["info", str(path), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["requests"] == 1
    assert captured.err.startswith("hbmmodel: note: ") and len(captured.err.splitlines()) == 1
