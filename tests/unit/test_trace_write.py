"""Writing traces: the right lines, complete files or none, and clear refusals."""

from __future__ import annotations

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace import Access, Operation, RequestTrace, Trace, convert, read_trace, write_trace
from hbmmodel.trace.write import WRITABLE, requests_of

REQUESTS = Trace.from_requests([0x2000D5C0, 64, 128], [0, 1, 0], [0, 1500, 7999])
SIZED = Trace.from_requests([100, 256], [0, 1], [0, 1000], [200, 32])


def operations() -> Trace:
    """Two operations: 3 bursts read and 1 written, then 2 bursts read."""
    return Trace.from_operations(
        [
            Operation(0, 0, "a", "p", 0, 0, (Access(False, 0, 0, 192), Access(True, 1, 1024, 8))),
            Operation(1, 1, "b", "q", 0, 0, (Access(False, 0, 60, 8),)),
        ]
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.dramsim3", "0x2000D5C0 READ 0\n0x40 WRITE 1\n0x80 READ 7\n"),
        ("a.dramsim3.trace", "0x2000D5C0 READ 0\n0x40 WRITE 1\n0x80 READ 7\n"),
        ("a.ldst", "LD 0x2000d5c0\nST 0x40\nLD 0x80\n"),
        ("a.ramulator.txt", "LD 0x2000d5c0\nST 0x40\nLD 0x80\n"),
        ("a.stl", "0:\tread\t0x2000d5c0\n1:\twrite\t0x40\n7:\tread\t0x80\n"),
    ],
)
def test_lines_of_each_format(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    done = convert(REQUESTS, path)
    assert path.read_text() == text
    assert (done["requests"], done["bytes"], done["path"]) == (3, len(text), str(path))
    assert os.listdir(tmp_path) == [name]


def test_write_trace_is_convert() -> None:
    assert write_trace is convert


def test_the_clock_of_the_target_rounds_times_down(tmp_path: Path) -> None:
    convert(REQUESTS, tmp_path / "a.dramsim3", clock_ns=0.8)
    assert [line.split()[2] for line in (tmp_path / "a.dramsim3").read_text().splitlines()] == ["0", "1", "9"]


def test_clocks_of_part_of_a_picosecond_are_exact(tmp_path: Path) -> None:
    convert(Trace.from_requests([0] * 4, [0] * 4, [1, 2, 3, 10]), tmp_path / "a.dramsim3", clock_ns=0.0015)
    assert [line.split()[2] for line in (tmp_path / "a.dramsim3").read_text().splitlines()] == ["0", "1", "2", "6"]


def test_times_stay_exact_with_clocks_of_many_decimals(tmp_path: Path) -> None:
    late = Trace.from_requests([0, 0], [0, 0], [2**62, 2**62 + 10**6])
    for clock_ns in (1 / 3, 0.123456789012345):
        convert(late, tmp_path / "a.stl", clock_ns=clock_ns)
        trace = read_trace(tmp_path / "a.stl", clock_ns=clock_ns)
        assert isinstance(trace, RequestTrace)
        (chunk,) = trace.chunks()
        assert chunk.time_ps is not None
        assert (np.abs(chunk.time_ps - np.array([2**62, 2**62 + 10**6])) <= 1000 * clock_ns + 1).all()


def test_untimed_requests_are_written_at_cycle_0(tmp_path: Path) -> None:
    convert(Trace.from_requests([0, 64], [0, 0]), tmp_path / "a.dramsim3")
    assert (tmp_path / "a.dramsim3").read_text() == "0x0 READ 0\n0x40 READ 0\n"


def test_sizes_are_kept_where_the_format_has_them(tmp_path: Path) -> None:
    convert(SIZED, tmp_path / "a.stl")
    assert (tmp_path / "a.stl").read_text() == "0:\t(200)\tread\t0x64\n1:\t(32)\twrite\t0x100\n"


def test_sizes_become_bursts_where_it_has_none(tmp_path: Path) -> None:
    convert(SIZED, tmp_path / "a.dramsim3", burst_bytes=64)
    assert (tmp_path / "a.dramsim3").read_text() == (
        "0x40 READ 0\n0x80 READ 0\n0xC0 READ 0\n0x100 READ 0\n0x100 WRITE 1\n"
    )


def test_operations_are_expanded_reads_before_writes(tmp_path: Path) -> None:
    done = convert(operations(), tmp_path / "a.ldst", burst_bytes=64)
    assert (tmp_path / "a.ldst").read_text() == "LD 0x0\nLD 0x40\nLD 0x80\nST 0x400\nLD 0x0\nLD 0x40\n"
    assert done["requests"] == 6
    convert(operations(), tmp_path / "b.ldst")  # by default 32, what `simulate` takes a request without a size for
    assert len((tmp_path / "b.ldst").read_text().splitlines()) == 6 + 1 + 2


def test_pacing_spaces_bursts_and_operations() -> None:
    chunks = list(requests_of(operations(), burst_bytes=64, gb_per_s=32.0, launch_ns=10.0))
    times = [time for chunk in chunks if chunk.time_ps is not None for time in chunk.time_ps.tolist()]
    # 64 B at 32 GB/s take 2 ns; the second operation starts 4 * 2 + 10 ns after the first.
    assert times == [0, 2000, 4000, 6000, 18_000, 20_000]
    assert [chunk.first_record for chunk in chunks] == [0, 3, 4]


@pytest.mark.parametrize("rate", [3.0, 0.7, 1000 / 3])
def test_pacing_is_exact_however_the_blocks_fall(rate: float) -> None:
    from fractions import Fraction

    trace = Trace.from_operations([Operation(0, 0, "a", "", 0, 0, (Access(False, 0, 0, 64 * 300_000),))])
    times = np.concatenate([chunk.time_ps for chunk in requests_of(trace, burst_bytes=64, gb_per_s=rate)])  # type: ignore[misc]
    step = Fraction(64_000) / Fraction(repr(rate))
    for i in (0, 1, 2, 1000, 262_143, 262_144, 299_999):
        assert times[i] == (i * step).__floor__()


def test_without_a_rate_operations_are_written_at_time_0(tmp_path: Path) -> None:
    convert(operations(), tmp_path / "a.dramsim3")
    assert {line.split()[2] for line in (tmp_path / "a.dramsim3").read_text().splitlines()} == {"0"}


@pytest.mark.parametrize("suffix", ["gz", "xz", "zst"])
def test_the_suffix_chooses_the_compression(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.ldst.{suffix}"
    convert(REQUESTS, path)
    assert not path.read_bytes().startswith(b"LD")
    trace = read_trace(path)
    assert isinstance(trace, RequestTrace)
    assert [chunk.address.tolist() for chunk in trace.chunks()] == [[0x2000D5C0, 64, 128]]


def test_equal_traces_make_equal_files(tmp_path: Path) -> None:
    for name in ("a.ldst.gz", "b.ldst.gz"):
        convert(REQUESTS, tmp_path / name)
    assert (tmp_path / "a.ldst.gz").read_bytes() == (tmp_path / "b.ldst.gz").read_bytes()


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.ldst"
    path.write_text("LD 0x0\n")
    high = Trace.from_requests([0] * 10 + [2**63], [0] * 11)
    with pytest.raises(HbmTraceError, match="record 10: field address: Ramulator reads addresses below 2\\^63 only"):
        convert(high, path)
    assert path.read_text() == "LD 0x0\n"
    assert os.listdir(tmp_path) == ["a.ldst"]


def test_the_file_behind_a_link_is_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    real = tmp_path / "data" / "real.dramsim3"
    real.write_text("old")
    links = {"link.dramsim3": "data/real.dramsim3", "new.dramsim3": "data/fresh.dramsim3"}
    for name, to in links.items():
        (tmp_path / name).symlink_to(to)
        done = convert(REQUESTS, tmp_path / name)
        assert done["path"] == str(tmp_path / name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / to).read_text() == "0x2000D5C0 READ 0\n0x40 WRITE 1\n0x80 READ 7\n"
    assert sorted(os.listdir(tmp_path)) == ["data", *links]
    assert sorted(os.listdir(tmp_path / "data")) == ["fresh.dramsim3", "real.dramsim3"]


def test_what_is_not_a_regular_file_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.stl")
    (tmp_path / "to_pipe.stl").symlink_to("pipe.stl")
    (tmp_path / "to_full.stl").symlink_to("/dev/full")
    (tmp_path / "circle.stl").symlink_to("circle.stl")
    before = sorted(os.listdir(tmp_path))
    for name in before:
        with pytest.raises(HbmArgumentError) as caught:
            convert(REQUESTS, tmp_path / name)
        expected = f"{tmp_path / name} is not a regular file, and is left as it is; name a file"
        assert str(caught.value) == expected
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "pipe.stl").is_fifo() and (tmp_path / "to_full.stl").is_symlink()
    assert Path("/dev/full").is_char_device()


def test_a_file_can_be_converted_onto_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.dramsim3"
    convert(REQUESTS, path)
    convert(read_trace(path), path, format="dramsys-stl")
    assert path.read_text().startswith("0:\tread\t0x2000d5c0\n")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.trace", {}, "a.trace: the name does not tell the format; pass format= one of dramsim3, "),
        (
            "a.stl",
            {"format": "lackey"},
            "format is 'lackey'; dramsim3, ramulator-loadstore, dramsys-stl, parquet, hbmop can",
        ),
        ("a.parquet.gz", {}, "parquet compresses inside the file; leave .gz out of the name"),
        ("no/where/a.stl", {}, "cannot be written: No such file or directory; check the path"),
        ("", {"format": "dramsim3"}, "is a directory; name a file"),
        ("a.stl", {"burst_bytes": 48}, "burst_bytes is 48"),
        ("a.stl", {"gb_per_s": 1.0}, "gb_per_s paces operations; a trace of requests keeps its own times"),
        ("a.stl", {"clock_ns": 0.0}, "clock_ns is 0.0"),
    ],
)
def test_bad_targets_and_options(tmp_path: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(HbmArgumentError) as caught:
        convert(REQUESTS, tmp_path / name, **options)
    assert message in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("rate", [0, -1.0, float("nan"), float("inf"), "x"])
def test_bad_rates(tmp_path: Path, rate: Any) -> None:
    with pytest.raises(HbmArgumentError, match="gb_per_s is"):
        convert(operations(), tmp_path / "a.stl", gb_per_s=rate)
    with pytest.raises(HbmArgumentError, match="launch_ns is"):
        convert(operations(), tmp_path / "a.stl", gb_per_s=1.0, launch_ns=rate if rate != 0 else -1)


def test_coordinates_need_addresses(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("R 1,2,3\n")
    with pytest.raises(HbmTraceError, match="coordinates, not addresses; pass to_address="):
        convert(read_trace(tmp_path / "a"), tmp_path / "b.stl")
    assert os.listdir(tmp_path) == ["a"]


def test_a_capture_that_moves_nothing_cannot_be_written(tmp_path: Path) -> None:
    nothing = Trace.from_operations([Operation(0, 0, "a", "", 0, 0, ())])
    with pytest.raises(HbmTraceError, match="no operation moves a byte"):
        convert(nothing, tmp_path / "a.stl")


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HbmArgumentError, match="a trace is needed, not str"):
        convert("a.trace", tmp_path / "a.stl")  # type: ignore[arg-type]


def test_a_bad_record_of_the_source_is_reported_as_such(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(b"LD 0x0\nLD zz\n"))
    with pytest.raises(HbmTraceError, match="a: line 2: field address"):
        convert(read_trace(tmp_path / "a"), tmp_path / "b.stl")
    assert os.listdir(tmp_path) == ["a"]


def test_all_writable_formats_can_be_chosen_by_name(tmp_path: Path) -> None:
    for fmt in WRITABLE:
        assert convert(REQUESTS, tmp_path / "x", format=fmt)["format"] == fmt


def test_two_threads_that_write_one_target_leave_one_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "a.dramsim3.trace"
    traces = [Trace.from_requests(np.arange(20_000) * 64 + start, np.zeros(20_000, bool)) for start in (0, 1 << 30)]
    with ThreadPoolExecutor(2) as pool:
        told = [f.result() for f in [pool.submit(convert, trace, target) for trace in traces * 4]]
    assert {one["requests"] for one in told} == {20_000}
    assert len(target.read_text().splitlines()) == 20_000
    assert [file.name for file in tmp_path.iterdir()] == [target.name]
