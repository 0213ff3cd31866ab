"""Latency under load: rises with it, starts at the sum of the device's times, ends where the pattern saturates."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from cli_cases import fails, told

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.study import Curves, curve
from hbmmodel.study.latency import PATTERNS, traffic

SYSTEM = hbm.System(hbm.device("HBM4_8000", channels=1), controller=hbm.Controller(refresh="none"))


@pytest.fixture(scope="module")
def found() -> Curves:
    return curve(SYSTEM, read_shares=[1.0, 0.5], loads=[0.9, 0.02, 0.5], requests=6000)


def test_latency_rises_with_the_load_and_bandwidth_is_what_was_offered(found: Curves) -> None:
    assert found.table.n_rows == 2 * 2 * 4
    for pattern in PATTERNS:
        for share in (1.0, 0.5):
            rows = found.of(pattern, share)
            offered = np.ma.getdata(rows["offered_gb_per_s"])[:3]
            assert (np.diff(offered) > 0).all() and np.ma.getmaskarray(rows["offered_gb_per_s"]).tolist()[-1]
            np.testing.assert_allclose(rows["bandwidth_gb_per_s"][:3], offered, rtol=0.06)
            assert (np.diff(rows["load_to_use_ns_mean"][:3]) > 0).all()
            assert (np.diff(rows["bandwidth_gb_per_s"]) > 0).all()
            np.testing.assert_allclose(rows["load_to_use_ns_mean"] - rows["read_latency_ns_mean"], 60.0)
    assert (found.table["fraction_of_peak"] <= 1).all()
    of = {(r["pattern"], r["read_share"]): r["bandwidth_gb_per_s"] for r in found.saturation().rows()}
    assert of["stream", 1.0] > of["stream", 0.5] > of["random", 0.5] and of["stream", 1.0] > 2 * of["random", 1.0]


def test_an_idle_memory_answers_random_reads_in_the_sum_of_its_times(found: Curves) -> None:
    # ACT's lead-in of 1 CK, tRCD, RL, one burst; the second burst of a line waits one tCCDS more, and a row that was
    # left open costs tRP first, which at 2 % of the load is seldom
    least = hbm.simulate(SYSTEM, hbm.Trace.from_requests([0], [False])).summary["read_latency_ns_max"]
    assert least is not None
    assert least < found.of("random", 1.0)["read_latency_ns_mean"][0] < least + 16.0 + 2.0
    assert found.of("random", 1.0)["row_hit_rate"][0] < 0.01 < found.of("stream", 1.0)["row_hit_rate"][0]


def test_many_stacks_have_the_curve_of_one() -> None:
    shape = {"patterns": ["random"], "read_shares": [1.0], "loads": [0.5], "requests": 3000}
    device = hbm.device("HBM4_8000", channels=1)
    one, many = (curve(hbm.System(device, stacks=n), **shape).table for n in (1, 16))
    np.testing.assert_allclose(many["fraction_of_peak"], one["fraction_of_peak"], rtol=0.05)
    np.testing.assert_allclose(many["load_to_use_ns_mean"], one["load_to_use_ns_mean"], rtol=0.05)


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_traffic_has_the_share_of_reads_and_the_rate_it_is_asked_for(pattern: str) -> None:
    trace = traffic(SYSTEM, pattern, 0.75, 100.0, requests=20_000, line_bytes=128)
    (chunk,) = trace.chunks()
    assert chunk.time_ps is not None and chunk.size_bytes is not None
    assert chunk.is_write.mean() == pytest.approx(0.25, abs=0.02)
    assert int(chunk.size_bytes.sum()) / (chunk.time_ps[-1] / 1000) == pytest.approx(100.0, rel=0.03)
    assert (chunk.address % 128 == 0).all() and chunk.address.max() < SYSTEM.capacity_bytes
    sequential = np.isin(chunk.address + np.uint64(128), chunk.address).mean()
    assert sequential > 0.9 if pattern == "stream" else sequential < 0.1
    gaps = np.diff(chunk.time_ps)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as of a Poisson process


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patterns": ["zigzag"]}, "choose of stream, random"),
        ({"patterns": "random"}, "give a list"),
        ({"loads": []}, "loads: give a list"),
        ({"loads": [1.0]}, "load is 1.0"),
        ({"read_shares": [0.0]}, "read share is 0.0"),
        ({"requests": 3}, "requests is 3"),
        ({"line_bytes": 96}, "power of two"),
        ({"line_bytes": 16}, "line_bytes is 16"),
        ({"system": 3}, "must be a System"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(HbmArgumentError, match=message):
        curve(**{"system": SYSTEM, **arguments})


def test_a_curve_that_was_not_measured_is_refused_with_those_that_were(found: Curves) -> None:
    with pytest.raises(HbmArgumentError, match=r"there are .*'random', 0\.5"):
        found.of("random", 0.9)


def test_every_form_of_file_is_written(found: Curves, tmp_path: Path) -> None:
    assert found.save(tmp_path / "c.csv").read_text().startswith("pattern,read_share,offered_gb_per_s")
    assert pq.read_table(found.save(tmp_path / "c.parquet")).num_rows == 16
    content = json.loads(found.save(tmp_path / "c.json").read_text())
    assert content["rows"][3]["offered_gb_per_s"] is None and content["patterns"]["random"]
    assert found.save(tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    drawn = found.save(tmp_path / "c.svg").read_text()
    assert "</svg>" in drawn
    with pytest.raises(HbmArgumentError, match=r"\.png"):
        found.save(tmp_path / "c.gif")
    assert len(list(tmp_path.iterdir())) == 5


def test_the_picture_shows_every_curve_and_its_end(found: Curves) -> None:
    from hbmmodel.study.picture import draw_curves

    panels = draw_curves(found).axes
    assert [axes.get_title() for axes in panels] == ["stream", "random"]
    for axes, pattern in zip(panels, PATTERNS, strict=True):
        lines = [line for line in axes.get_lines() if line.get_label().endswith("% reads")]
        assert [line.get_label() for line in lines] == ["100 % reads", "50 % reads"]
        want = found.of(pattern, 1.0)["load_to_use_ns_mean"][:3]
        assert np.asarray(lines[0].get_ydata()).tolist() == want.tolist()


def test_without_matplotlib_a_picture_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    told_line = fails(capsys, "curve", "HBM4_8000", "--requests", "100000000", "-o", str(tmp_path / "c.png"))
    assert "pip install 'hbmmodel[plot]'" in told_line


def test_the_command_prints_a_row_per_point(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["curve", "HBM4_8000", "--set", "channels=1", "--pattern", "random", "--read-share", "100"]
    argv += ["--requests", "500"]
    printed = told(capsys, *argv, "-o", str(tmp_path / "c.csv")).splitlines()
    assert len(printed) == 1 + 11 + 2 and "all at once" in printed[11] and (tmp_path / "c.csv").is_file()
    rows = json.loads(told(capsys, *argv, "--json"))["rows"]
    for row, line in zip(rows, printed[1:12], strict=True):
        assert f"{row['bandwidth_gb_per_s']:.1f}" in line.split()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["HBM4_8000", "--device", "HBM3_6400"], "leave out --device"),
        (["HBM4_800"], "did you mean"),
        (["-o", "x.gif"], ".png"),
        (["--line-bytes", "7"], "line_bytes is 7"),
        (["--read-share", "0"], "read-share"),
    ],
)
def test_the_command_refuses_in_one_line(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in fails(capsys, "curve", *argv)
