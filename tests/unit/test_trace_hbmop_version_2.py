"""Version 2 of captures: contents of index tensors in line, an end, and what a cut leaves."""

from __future__ import annotations

import gzip
import json
import warnings
from pathlib import Path

import pytest

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace import HbmTraceWarning, RecordedTrace, read_trace
from hbmmodel.trace.capture.writer import CaptureFile

A, B = ["A", 0, 65536, 0, 0], ["A", 1, 65536, 0, 0]
TABLE = ["r", 0, 0, "f32", [64, 16], [16, 1]]
OUT = ["w", 1, 0, "f32", [2, 16], [16, 1]]
INDEX = ["r", 1, 4096, "i64", [2], [1], "i0", 0]
GATHER = ["O", 0, 0, 0, "aten.embedding.default", [TABLE, INDEX, OUT]]
RELU = ["O", 1, 0, 0, "aten.relu.default", [["r", 0, 0, "f32", [16], [1]], ["w", 1, 0, "f32", [16], [1]]]]


def text(*records: object, version: int = 2) -> str:
    return "\n".join(json.dumps(record) for record in ({"hbmop": version}, *records)) + "\n"


def opened(path: Path) -> RecordedTrace:
    trace = read_trace(path)
    assert isinstance(trace, RecordedTrace)
    return trace


def capture(tmp_path: Path, *records: object, version: int = 2) -> RecordedTrace:
    path = tmp_path / "x.hbmop"
    path.write_text(text(*records, version=version))
    return opened(path)


def rows(trace: RecordedTrace) -> list[int]:
    access = next(iter(trace.operations())).accesses[0]
    assert access.row_offsets is not None
    return access.row_offsets.tolist()


def failure(trace: RecordedTrace) -> str:
    with pytest.raises(HbmTraceError) as caught:
        list(trace.operations())
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(trace.name, "FILE")


def test_contents_of_index_tensors_come_from_the_records_before_the_operation(tmp_path: Path) -> None:
    trace = capture(tmp_path, A, B, ["I", "i0", [3, 1]], GATHER, ["E", 1])
    assert rows(trace) == [3 * 64, 64]
    assert trace.random_gathers == 0


def test_contents_may_come_in_several_records(tmp_path: Path) -> None:
    assert rows(capture(tmp_path, A, B, ["I", "i0", [3]], ["I", "i0", [1]], GATHER, ["E", 1])) == [192, 64]


def test_contents_belong_to_one_operation(tmp_path: Path) -> None:
    trace = capture(tmp_path, A, B, ["I", "i0", [3, 1]], GATHER, [*GATHER[:5], GATHER[5]], ["E", 2])
    assert "FILE: line 6: aten.embedding.default: index array 'i0' is needed, but" in failure(trace)


def test_an_index_selects_in_the_dimension_that_is_recorded(tmp_path: Path) -> None:
    index = ["r", 1, 4096, "i64", [2], [1], "i0", 1]
    pick = ["O", 0, 0, 0, "aten.index_select.default", [TABLE, index, ["w", 1, 0, "f32", [64, 2], [2, 1]]]]
    trace = capture(tmp_path, A, B, ["I", "i0", [0, 5]], pick, ["E", 1])
    access = next(iter(trace.operations())).accesses[0]
    assert access.row_offsets is not None
    assert access.run_bytes == 4
    assert access.row_offsets.tolist() == [64 * i for i in range(64)] + [20 + 64 * i for i in range(64)]


def test_two_indices_select_single_elements(tmp_path: Path) -> None:
    first, second = ([*INDEX[:6], key, dim] for key, dim in (("i0", 0), ("i1", 1)))
    pick = ["O", 0, 0, 0, "aten.index.Tensor", [TABLE, first, second, ["w", 1, 0, "f32", [2], [1]]]]
    trace = capture(tmp_path, A, B, ["I", "i0", [2, 3]], ["I", "i1", [7, 0]], pick, ["E", 1])
    assert rows(trace) == [2 * 64 + 28, 3 * 64]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([["I", 3, [1]]], "FILE: line 2: field key: bad key: got 3"),
        ([["I", "i0", "1"]], "line 2: field values: bad index values: got '1'; give an array of whole numbers"),
        ([["I", "i0", [1.5]]], "line 2: field values: bad index values"),
        ([["I", "i0", [True]]], "line 2: field values: bad index values"),
        ([["I", "i0", [2**70]]], "line 2: field values: bad index values"),
        ([["I", "i0"]], 'line 2: 2 fields: got [\'I\', \'i0\']; write ["I", key, values]'),
        ([A, B, RELU, ["E", 2]], "line 5: field operations: 1 operations are here: got 2; records are missing"),
        ([A, B, RELU, ["E", 1], RELU], "line 6: more records behind the end"),
        ([["X", 1]], "line 2: field tag: unknown record: got 'X'; A, F, P, I, O and E are known"),
        ([A, B, [*RELU[:5], [[*INDEX[:7], -1]]], ["E", 1]], "line 4: field tensors[0].dim: bad number: got -1"),
    ],
)
def test_malformed_records_are_named(tmp_path: Path, records: list[object], message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbmTraceWarning)
        assert message in failure(capture(tmp_path, *records))


def test_version_1_knows_neither_contents_nor_an_end(tmp_path: Path) -> None:
    for record in (["I", "i0", [1]], ["E", 1]):
        message = failure(capture(tmp_path, A, B, RELU, record, version=1))
        assert "line 5: field tag: unknown record" in message and "A, F, P and O are known" in message


# ---- captures that were cut off ----


def cut_off(path: Path, line: int, n: int) -> None:
    with pytest.warns(HbmTraceWarning, match=f"cut off behind line {line}; its {n} operations up to there are read"):
        found = list(opened(path).operations())
    assert len(found) == n


def test_a_capture_without_an_end_is_read_up_to_its_last_record(tmp_path: Path) -> None:
    path = tmp_path / "x.hbmop"
    path.write_text(text(A, B, RELU, RELU))
    cut_off(path, 5, 2)


def test_a_line_that_was_cut_in_the_middle_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.hbmop"
    path.write_text(text(A, B, RELU, RELU)[:-20])
    cut_off(path, 5, 1)


def test_a_bad_line_in_the_middle_is_still_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.hbmop"
    path.write_text(text(A, B, RELU)[:-20] + "\n" + text(RELU).split("\n", 1)[1])
    assert "FILE: line 4: not JSON" in failure(opened(path))


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed_data_may_end_anywhere(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbmmodel.trace.capture.writer.FLUSH_S", -1.0)  # every record can be read at once
    file = CaptureFile(tmp_path / f"whole.{suffix}", {})
    for record in (A, B, *([RELU] * 400)):
        file.write(record)
    file.finish(400)
    packed = (tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"x.hbmop.{suffix}"
    path.write_bytes(packed)
    assert sum(1 for _ in opened(path).operations()) == 400
    counts = []
    for length in range(len(packed) - 1, 60, -37):
        path.write_bytes(packed[:length])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                counts.append(sum(1 for _ in opened(path).operations()))
            except HbmTraceError as error:
                assert any(part in str(error) for part in ("holds no operations", "end in the middle", "is empty"))
                counts.append(0)
                continue
        assert counts[-1] == 400 or len(told) == 1
    assert counts == sorted(counts, reverse=True) and counts[0] > 0


def test_version_1_that_ends_in_the_middle_is_refused_as_before(tmp_path: Path) -> None:
    path = tmp_path / "x.hbmop.gz"
    path.write_bytes(gzip.compress(text(A, B, *([RELU] * 4000), version=1).encode())[:-50])
    assert "the gzip data end in the middle; copy the whole file again" in failure(opened(path))
