"""Captures on their way to disk: readable at any time, under their name only when complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace import HbmTraceWarning, read_trace
from hbmmodel.trace.capture.writer import FLUSH_S, CaptureFile

ALLOC = ["A", 0, 4096, 0, 0]
OP = ["O", 0, 0, 0, "aten.relu.default", [["r", 0, 0, "f32", [16], [1]]]]
SUFFIXES = ["", ".gz", ".zst"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_finished_capture_has_its_name_and_nothing_is_left(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"step.hbmop{suffix}"
    file = CaptureFile(path, {"who": "a test"})
    file.write(ALLOC)
    file.write(OP)
    assert [p.name for p in tmp_path.iterdir()] == [f"step.partial.hbmop{suffix}"]
    file.finish(1)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    trace = read_trace(path)
    assert [op.bytes_read for op in trace.operations()] == [64]  # type: ignore[union-attr]
    assert trace.metadata == {"hbmop": 2, "who": "a test"}  # type: ignore[union-attr]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_so_far_can_be_read_at_any_time(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbmmodel.trace.capture.writer.FLUSH_S", -1.0)
    path = tmp_path / f"step.hbmop{suffix}"
    file = CaptureFile(path, {})
    file.write(ALLOC)
    for n in range(1, 20):
        file.write(OP)
        with pytest.warns(HbmTraceWarning, match=f"its {n} operations"):
            assert sum(1 for _ in read_trace(file.partial).operations()) == n  # type: ignore[union-attr]
    file.abandon(keep=True)
    assert Path(file.partial).exists() and not path.exists()


def test_records_are_held_back_for_half_a_second_at_most() -> None:
    assert 0 < FLUSH_S <= 0.5


def test_an_abandoned_capture_without_operations_goes(tmp_path: Path) -> None:
    file = CaptureFile(tmp_path / "step.hbmop", {})
    file.abandon(keep=False)
    assert not list(tmp_path.iterdir())


def test_long_index_arrays_are_split_into_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbmmodel.trace.capture.writer.INDEX_CHUNK", 3)
    path = tmp_path / "step.hbmop"
    file = CaptureFile(path, {})
    file.write_index("i0", list(range(7)))
    file.write_index("i1", [])
    file.finish(0)
    assert [line for line in path.read_text().splitlines() if line.startswith('["I"')] == [
        *('["I","i0",[0,1,2]]', '["I","i0",[3,4,5]]', '["I","i0",[6]]', '["I","i1",[]]')
    ]


@pytest.mark.parametrize(
    ("name", "metadata", "message"),
    [
        ("x.hbmop.xz", {}, "a capture is written plain, as .gz or as .zst; not as .xz"),
        ("none/x.hbmop", {}, "cannot be written: No such file or directory"),
        ("x.hbmop", {"a": object()}, "metadata cannot be written as JSON"),
        ("x.hbmop", {"a": "b" * 70000}, "metadata have 70"),
        (".", {}, "is not a regular file"),
    ],
)
def test_what_cannot_be_written_is_refused_at_once(
    tmp_path: Path, name: str, metadata: dict[str, object], message: str
) -> None:
    with pytest.raises(HbmArgumentError, match=message):
        CaptureFile(tmp_path / name, metadata)
    assert not list(tmp_path.iterdir())


def test_a_path_that_is_no_path_is_refused() -> None:
    with pytest.raises(HbmArgumentError, match="path is 3; give a file's path"):
        CaptureFile(3, {})  # type: ignore[arg-type]


def test_a_capture_is_not_begun_without_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hbmmodel import capture

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HbmArgumentError, match=r"torch, which recording needs, .* pip install 'hbmmodel\[capture\]'"):
        capture(tmp_path / "x.hbmop")
    assert not list(tmp_path.iterdir())
