"""The tutorial from a training loop to joules does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_examples import ROOT, run_page

pytest.importorskip("torch")

TUTORIAL = ROOT / "docs" / "tutorials" / "pytorch_to_joules.md"


def test_the_tutorial_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(TUTORIAL)
    said = capsys.readouterr().out
    joules = re.search(r"^(\S+) J and (\S+) us per step$", said, re.M)
    assert joules is not None and 1e-5 < float(joules[1]) < 1e-2 and 1 < float(joules[2]) < 1000
    shares = {phase: int(share) for phase, share in re.findall(r"^(\w+) +(\d+)% of the bytes$", said, re.M)}
    assert set(shares) == {"forward", "backward", "optimizer"} and 98 <= sum(shares.values()) <= 102
    assert shares["optimizer"] > 50
    saved = re.search(r"^a fused optimizer saves (\d+)% of the energy$", said, re.M)
    assert saved is not None and 20 < int(saved[1]) < 70
