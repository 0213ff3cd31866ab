"""Files of arrivals: what is read from each format, what is left out, and how a bad record is told."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.serving import Arrivals, poisson, read_arrivals

DATA = Path(__file__).parent / "data" / "serving"


@pytest.mark.parametrize(
    ("name", "times", "inputs", "outputs"),
    [
        ("azure_2023.csv", [0.0, 4.314579], [374, 396], [44, 109]),
        ("azure_2024.csv", [0.0, 0.99007, 1.49007], [2162, 2399, 76], [5, 6, 15]),
        ("burstgpt.csv", [0.0, 113.0], [472, 417], [18, 276]),
        ("mooncake.jsonl", [0.0, 1.5, 3.0], [1030, 1024, 1100], [26, 52, 9]),
        ("llmservingsim.jsonl", [0.0, 0.5], [128, 6], [64, 3]),
    ],
)
def test_every_format_is_recognised_and_read(
    name: str, times: list[float], inputs: list[int], outputs: list[int]
) -> None:
    found = read_arrivals(DATA / name)
    assert found.time_s.tolist() == pytest.approx(times, abs=1e-6)
    assert (found.input_tokens.tolist(), found.output_tokens.tolist()) == (inputs, outputs)


def test_failures_are_counted_and_left_out() -> None:
    assert read_arrivals(DATA / "burstgpt.csv").left_out == {"failed: no answer": 1}
    assert read_arrivals(DATA / "azure_2023.csv").left_out == {"failed: no answer": 1}
    assert read_arrivals(DATA / "mooncake.jsonl").left_out == {}


def test_hashes_follow_their_requests_when_these_are_sorted() -> None:
    found = read_arrivals(DATA / "mooncake.jsonl")
    assert found.block_tokens == 512
    assert [found.hashes(row) for row in range(3)] == [[0, 1, 2], [0, 1], [0, 1, 3]]


def test_a_hash_that_repeats_within_a_prompt_ends_its_known_prefix() -> None:
    one = np.array([1])
    assert Arrivals("x", [0.0], one, one, 512, [4, 5, 4, 6], [0, 4]).hashes(0) == [4, 5]  # type: ignore[arg-type]


def test_compressed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(gzip.compress((DATA / "mooncake.jsonl").read_bytes()))
    assert read_arrivals(path).hash_ids.tolist() == read_arrivals(DATA / "mooncake.jsonl").hash_ids.tolist()


AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BAD = {
    "": "no request",
    "hello\n": "line 1: no file of arrivals",
    "{}\n": "line 1: no file of arrivals",
    "[1]\n": "line 1: no file of arrivals",
    AZURE: "no request",
    AZURE + "2024-05-10 00:00:00,1,0\n": "1 failed",
    AZURE + "2024-05-10 00:00:00,1\n": "line 2: 2 columns",
    AZURE + "2024-13-10 00:00:00,1,1\n": "line 2: field TIMESTAMP",
    AZURE + "2024-05-10 00:00:00,-1,1\n": "line 2: field ContextTokens",
    AZURE + "2024-05-10 00:00:00,1,99999999999999999999\n": "line 2: field GeneratedTokens",
    '{"input_length": 1, "output_length": 1, "timestamp": -1, "hash_ids": [0]}': "line 1: field timestamp",
    '{"input_length": 1, "output_length": 1, "timestamp": 1e999, "hash_ids": [0]}': "line 1",
    '{"input_length": 1, "output_length": 1, "timestamp": 1, "hash_ids": [0, 1]}': "2 hashes; give 1",
    '{"input_length": 1, "output_length": 1, "timestamp": 1, "hash_ids": 7}': "field hash_ids",
    '{"input_length": 1.5, "output_length": 1, "timestamp": 1, "hash_ids": []}': "field input_length",
    '{"input_toks": 1, "output_toks": 1}': "field arrival_time_ns",
    '{"sub_requests": []}': "field sub_requests",
    "{" * 100_000: "line 1: not a JSON object",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_a_bad_file_is_refused_in_one_line_that_names_the_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(HbmTraceError) as told:
        read_arrivals(path)
    message = str(told.value)
    assert message.startswith(str(path)) and BAD[text] in message and "\n" not in message and len(message) < 1000


def test_poisson_arrivals_are_those_of_the_seed() -> None:
    first, again, other = (poisson(requests=5000, per_second=4.0, seed=s) for s in (1, 1, 2))
    assert first.time_s.tolist() == again.time_s.tolist() != other.time_s.tolist()
    assert first.time_s[-1] == pytest.approx(1250.0, rel=0.06)
    gaps = np.diff(first.time_s)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.06)  # exponential
    assert first.input_tokens.mean() == pytest.approx(1024, rel=0.06)


@pytest.mark.parametrize(
    ("column", "values"),
    [("time_s", [1.0, 0.0]), ("time_s", [0.0, float("nan")]), ("input_tokens", [0, 1]), ("output_tokens", [1])],
)
def test_columns_that_are_no_arrivals_are_refused(column: str, values: list[float]) -> None:
    columns = {"time_s": [0.0, 1.0], "input_tokens": [1, 1], "output_tokens": [1, 1], column: values}
    with pytest.raises(HbmArgumentError):
        Arrivals("x", **columns)  # type: ignore[arg-type]
