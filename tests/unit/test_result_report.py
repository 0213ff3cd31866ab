"""A report says what the result says, fits its width, and is written whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.report import print_text, render_html, render_markdown, render_text
from hbmmodel.report.content import CAUSES, HALF_BUCKET, Grid
from hbmmodel.report.text import render_grid
from hbmmodel.report.units import bytes_text, share_text
from hbmmodel.result import COUNTERS, LOST, Result
from hbmmodel.system import Controller, System

Make = Callable[..., Any]


def test_every_cause_of_lost_time_has_words() -> None:
    assert set(CAUSES) == set(LOST)


def test_the_headline_has_time_bytes_bandwidth_and_peak(eight_stacks: System, make_result: Make) -> None:
    result = make_result(eight_stacks)
    text = render_text(result)
    s = result.summary
    assert text.startswith("8 x HBM4_8000 24Gb_12H: step.hbmop.jsonl.gz\n")
    assert f"{bytes_text(s['bytes_read'] + s['bytes_written'])} moved in 25 us" in text
    assert f"{share_text(s['fraction_of_peak'])} of the 16.38 TB/s peak" in text
    assert "\nWhat the data buses did\n" in text
    for cause in LOST:
        (line,) = [line for line in text.splitlines() if line.startswith(CAUSES[cause] + "  ")]
        assert share_text(s[f"lost_share_{cause}"]) in line


def test_losses_are_drawn_from_the_largest_down(one_channel: System, make_result: Make) -> None:
    lines = render_text(make_result(one_channel, seed=5), unicode=False).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("moving data"))
    bars = [line.count("#") for line in lines[start + 1 : start + len(LOST)]]
    assert bars == sorted(bars, reverse=True) and bars[0] > 0


@pytest.mark.parametrize("width", [72, 88, 120])
@pytest.mark.parametrize("unicode", [False, True])
def test_no_line_is_longer_than_the_width(
    eight_stacks: System, make_result: Make, width: int, unicode: bool
) -> None:
    text = render_text(make_result(eight_stacks), width=width, unicode=unicode)
    assert max(map(len, text.splitlines())) <= width
    assert unicode or text.isascii()


def test_estimates_and_assumptions_are_named(make_result: Make, one_channel: System) -> None:
    system = System(
        one_channel.device, controller=Controller(refresh="none"), refresh_multiplier=0.5, window_bytes=0
    )
    text = " ".join(render_text(make_result(system)).split())
    estimates = [
        n for n, v in system.device.timing.items() if v.confidence == "estimate" and n in ("tCCDR", "tRTW")
    ]
    assert estimates and all(name in text.split("Estimates:")[1].split(".")[0] for name in estimates)
    assert "Refresh is off" in text and "Refresh interval x 0.5" in text
    assert "limited by the queues only" in text and "Trace mode closed" in text
    assert "128 B were moved only because bursts are whole" in text
    assert "Temperature is an input of leakage here" in text


def test_the_stated_error_of_percentiles_covers_that_of_every_result(one_channel: System, make_result: Make) -> None:
    import hbmmodel as hbm

    trace = hbm.Trace.from_requests(range(0, 1 << 16, 96), [False] * 683)
    result = hbm.simulate(one_channel, trace)
    assert 0 < result.histogram.relative_error <= HALF_BUCKET
    assert "Percentiles are within 0.78 %, half a bucket;" in " ".join(render_text(result).split())


@pytest.mark.parametrize(("alignment", "doubted"), [(None, False), (32, False), (64, True), (4096, True)])
def test_aligned_requests_without_sizes_raise_a_doubt(
    alignment: int | None, doubted: bool, one_channel: System, make_raw: Make
) -> None:
    trace = {"kind": "requests", "mode": "asap", "order": "tile", "address_alignment_bytes": alignment}
    text = " ".join(render_text(Result.from_raw(one_channel, trace, make_raw(one_channel), {})).split())
    assert "Operands interleaved" not in text
    doubt = (
        f"Every address is a multiple of {alignment}, and the trace gives no sizes: each request was taken as one "
        "burst of 32 bytes. If they are longer, say so (request_bytes, --request-bytes)."
    )
    assert (doubt in text) == doubted


def test_a_set_of_energies_is_called_recommended_once(one_channel: System) -> None:
    trace = hbm.Trace.from_requests([0], [False])
    told = " ".join(render_text(hbm.simulate(one_channel, trace)).split())
    assert "Energy set HBM4_RECOMMENDED, recommended for HBM4: the HBM3E set" in told
    other = hbm.System(one_channel.device, energy="HBM3E_RECOMMENDED")
    assert "Energy set HBM3E_RECOMMENDED" in " ".join(render_text(hbm.simulate(other, trace)).split())


def test_operations_say_how_their_operands_took_turns(one_channel: System, make_raw: Make) -> None:
    trace = {"kind": "operations", "mode": "closed", "order": "tile"}
    result = Result.from_raw(one_channel, trace, make_raw(one_channel), {})
    assert "Operands interleaved by tile." in render_text(result)


def test_a_run_without_reads_or_time_still_reports(one_channel: System, make_raw: Make) -> None:
    raw = make_raw(one_channel, reads=False)
    raw.update(
        end_tick=0, operations=None, epochs=None, counters={name: np.zeros(2, np.int64) for name in COUNTERS}
    )
    result = Result.from_raw(one_channel, {}, raw, {})
    text = render_text(result)
    assert (
        "No read reached a bank." in text and "No time passed." in text and "Longest operations" not in text
    )
    assert render_markdown(result).startswith("# 1 x HBM4")


def test_operations_are_summed_by_name_and_the_longest_come_first(
    one_channel: System, make_result: Make
) -> None:
    lines = render_text(make_result(one_channel)).splitlines()
    by_name = lines[lines.index("Operations by name (2 of 2)") + 4 :][:2]
    assert [line.split()[:2] for line in by_name] == [["aten::add", "1"], ["aten::mm", "2"]]
    assert by_name[1].split()[2:] == ["125", "ns", "64", "B", "0", "B", "512", "MB/s"]
    longest = lines[lines.index("Longest operations (3 of 3)") + 3 :][:3]
    assert [line.split()[0] for line in longest] == ["1", "0", "2"]


def test_markdown_escapes_names_and_keeps_tables_rectangular(one_channel: System, make_raw: Make) -> None:
    raw = make_raw(one_channel)
    raw["operations"]["name"] = ["a|b", "<c>", "_d_"]
    text = render_markdown(Result.from_raw(one_channel, {"name": "x_y|z"}, raw, {}))
    assert "a\\|b" in text and "\\<c\\>" in text and "x\\_y\\|z" in text
    tables: list[list[int]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            tables[-1].append(line.replace("\\|", "").count("|"))
        elif tables[-1]:
            tables.append([])
    assert all(len(set(counts)) == 1 for counts in tables if counts)


@pytest.mark.parametrize("render", [render_text, render_markdown, render_html])
def test_names_of_a_trace_can_neither_steer_a_terminal_nor_turn_the_text(
    render: Callable[[Result], str], one_channel: System, make_raw: Make
) -> None:
    raw = make_raw(one_channel)
    raw["operations"]["name"] = ["a\x1b[2Jb\u202ec\x00\u2028"] * len(raw["operations"]["name"])
    text = render(Result.from_raw(one_channel, {"name": "t\x1b[31m" + "x" * 10_000, "format": "hbmop"}, raw, {}))
    assert not {"\x1b", "\x00", "\u202e", "\u2028"} & set(text)
    assert "x1b" in text and "u202e" in text
    assert "x" * 100 not in text.split("Assumptions")[0].split("<style>")[0]


def test_a_wide_table_is_cut_in_its_text_columns_only() -> None:
    grid = Grid(("name", "n"), (("a very long name indeed", "123"),))
    assert render_grid(grid, 12) == ["name       n", "a very~  123"]
    assert render_grid(grid)[1].endswith("indeed  123")


def test_a_stream_without_block_characters_gets_hashes(one_channel: System, make_result: Make) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    print_text(make_result(one_channel), stream)
    stream.flush()
    assert b"#" in raw.getvalue() and b"\x1b" not in raw.getvalue()


def test_reports_are_written_by_suffix(one_channel: System, make_result: Make, tmp_path: Path) -> None:
    result = make_result(one_channel)
    assert result.report(tmp_path / "r.txt").read_text(encoding="utf-8") == render_text(result)
    assert result.report(tmp_path / "r.MD").read_text(encoding="utf-8") == render_markdown(result)
    assert result.report(tmp_path / "r.html").read_text(encoding="utf-8") == render_html(result)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.MD", "r.html", "r.txt"]
    for name in ("r.pdf", "r"):
        with pytest.raises(HbmArgumentError, match=r"choose one of \.txt, \.md, \.html"):
            result.report(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        result.report(tmp_path / "nowhere" / "r.txt")
