"""Files of baselines: written whole, read strictly; a damaged one is refused in one line with the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbmmodel.baselines import Baseline, compare, read, table, write
from hbmmodel.errors import HbmArgumentError

NUMBERS = st.none() | st.integers(0, 2**60) | st.floats(0, 1e300)


def baseline(**summary: Any) -> Baseline:
    return Baseline("0.1.0", "1 x HBM4_8000 24Gb_12H", "s", "t.hbmop.zst", "h", summary)


def test_a_missing_file_has_no_runs(tmp_path: Path) -> None:
    assert read(tmp_path / "none.json") == {}


@given(summary=st.dictionaries(st.text(max_size=8), NUMBERS, max_size=5))
def test_what_is_written_is_read_back_to_the_bit(
    summary: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("b") / "b.hbm.json"
    write(path, {"b": baseline(**summary), "a": baseline()})
    found = read(path)
    assert list(found) == ["a", "b"]
    assert found["b"] == baseline(**summary) and compare(found["b"], baseline(**summary)) == []
    assert [p.name for p in path.parent.iterdir()] == ["b.hbm.json"]


GOOD = {"format": "hbmmodel-baselines", "version": 1, "runs": {}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 100_000, "Expected `object`"),
        (json.dumps({**GOOD, "runs": {"t": 3}}).encode(), "$.runs[...]"),
        (json.dumps({**GOOD, "runs": {"t": {"summary": {"time_ns": "1"}}}}).encode(), "$.runs[...].summary[...]"),
        (b'{"format": "hbmmodel-baselines", "version": 1, "runs": {"t": {"summary": {"a": NaN}}}}', "malformed"),
        (json.dumps({**GOOD, "extra": 1}).encode(), "unknown field `extra`"),
        (json.dumps({**GOOD, "version": 2}).encode(), "says format 'hbmmodel-baselines', version 2"),
        (json.dumps({**GOOD, "format": "x" * 999}).encode(), "says format 'xxx"),
        (b" " * (17 << 20), "more than 16 MiB"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "t.hbm.json"
    path.write_bytes(content)
    with pytest.raises(HbmArgumentError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message and said in message and "--hbm-update" in message
    assert "\n" not in message and len(message) < 500


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.hbm.json").mkdir()
    with pytest.raises(HbmArgumentError, match="cannot be read: Is a directory"):
        read(tmp_path / "t.hbm.json")


def test_numbers_that_came_or_went_have_moved() -> None:
    moved = compare(baseline(a=None, b=2.0, c=None), baseline(a=1.0, b=None, c=None, d=4), 1.0)
    assert [(m.key, m.recorded) for m in moved] == [("a", True), ("b", True), ("d", False)]
    told = table("t", baseline(), baseline(a=1, b=2, c=3, d=4), moved)
    assert told.splitlines()[-2].split() == ["d", "not", "recorded", "4", "-", "100.000%"]


@given(old=st.floats(1e-3, 1e9), share=st.floats(0, 0.99), tolerance=st.floats(0, 1))
def test_a_tolerance_is_a_share_of_the_baseline(old: float, share: float, tolerance: float) -> None:
    new = old * (1 + share)
    assert (compare(baseline(a=old), baseline(a=new), tolerance) == []) == (new - old <= tolerance * old)


@pytest.mark.parametrize("tolerance", [float("nan"), float("inf"), -0.1, True, "1", {"a": 2.0}])
def test_a_tolerance_that_is_no_share_is_refused(tolerance: Any) -> None:
    with pytest.raises(HbmArgumentError, match="tolerance"):
        compare(baseline(a=1), baseline(a=1), tolerance)


def test_the_name_of_a_file_that_is_no_utf_8_can_be_recorded(tmp_path: Path) -> None:
    import os
    from dataclasses import replace

    import hbmmodel as hbm

    result = hbm.simulate(hbm.System(hbm.device("HBM4_8000")), hbm.Trace.from_requests([0], [False]))
    odd = Baseline.of(replace(result, trace={**result.trace, "name": os.fsdecode(b"a\xff.trace")}))
    write(tmp_path / "t.hbm.json", {"run": odd})
    assert read(tmp_path / "t.hbm.json") == {"run": odd}
