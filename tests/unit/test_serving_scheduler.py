"""The scheduler: every request served once, in turn, within the cache, and never idle while one waits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import Table
from hbmmodel.serving import Arrivals, Policy, poisson, schedule


class Linear:
    """A step takes a millisecond, and a little for every token."""

    def step_s(self, decoding: int, prompt_tokens: int, cached_tokens: int, attended: int) -> float:
        return 1e-3 + 1e-5 * (decoding + prompt_tokens) + 1e-7 * cached_tokens


def arrivals(rows: list[tuple[float, int, int]], hashes: list[list[int]] | None = None, block: int = 4) -> Arrivals:
    time_s, inputs, outputs = (np.array(column) for column in zip(*rows, strict=True))
    if hashes is None:
        return Arrivals("rows", time_s, inputs, outputs)
    start = np.cumsum([0, *map(len, hashes)])
    return Arrivals("rows", time_s, inputs, outputs, block, np.array(sum(hashes, [])), start)


def test_a_lone_request_takes_the_steps_that_its_tokens_need() -> None:
    requests, steps = schedule(arrivals([(2.0, 100, 4)]), Policy(1000, max_batch=8, token_budget=64), Linear())
    assert steps["prompt_tokens"].tolist() == [64, 36, 0, 0, 0]
    assert steps["decoding"].tolist() == [0, 0, 1, 1, 1]
    assert steps["cached_tokens"].tolist() == [0, 64, 100, 101, 102]
    times = [Linear().step_s(*row) for row in [(0, 64, 0, 0), (0, 36, 64, 0), (1, 0, 100, 0), (1, 0, 101, 0)]]
    assert requests["ttft_s"][0] == pytest.approx(sum(times[:2]))
    assert requests["finish_s"][0] == pytest.approx(2.0 + steps["time_s"].sum())
    assert requests["tpot_s"][0] == pytest.approx(steps["time_s"][2:].mean())


def test_pairs_that_attend_are_counted_once_whatever_the_chunks() -> None:
    seen = []

    class Counting(Linear):
        def step_s(self, decoding: int, prompt_tokens: int, cached_tokens: int, attended: int) -> float:
            seen.append(attended)
            return 1.0

    for budget in (8, 64, 1000):
        seen.clear()
        schedule(arrivals([(0.0, 100, 5)]), Policy(1000, max_batch=8, token_budget=budget), Counting())
        assert sum(seen) == sum(range(1, 105))


def test_a_prefix_in_the_cache_is_not_computed_again() -> None:
    rows = [(0.0, 10, 2), (1.0, 10, 2), (2.0, 8, 1)]
    hashes = [[1, 2, 3], [1, 2, 9], [1, 2]]
    requests, steps = schedule(arrivals(rows, hashes), Policy(100, 8, 8), Linear())
    # Of the third prompt the last token must be computed, so its second block is.
    assert requests["reused_tokens"].tolist() == [0, 8, 4]
    assert steps["prompt_tokens"].sum() == 28 - 12
    without, _ = schedule(arrivals(rows, hashes), Policy(100, 8, 8, prefix_cache=False), Linear())
    assert without["reused_tokens"].sum() == 0


def test_the_least_recently_used_prefix_goes_first() -> None:
    rows = [(float(i), 5, 1) for i in range(6)]
    first = [[1], [2], [1], [3], [1], [2]]  # two blocks per request, three in all: one can stay beside
    requests, _ = schedule(arrivals(rows, [[h, 100 + i] for i, h in enumerate(map(lambda x: x[0], first))]),
                           Policy(12, 8, 8), Linear())  # fmt: skip
    assert requests["reused_tokens"].tolist() == [0, 0, 4, 0, 4, 0]


def test_a_request_longer_than_the_cache_is_refused_and_the_others_are_served() -> None:
    requests, _ = schedule(arrivals([(0.0, 1000, 5), (0.0, 10, 5)]), Policy(512, 8, 64), Linear())
    assert np.isnan(requests["finish_s"]).tolist() == [True, False]


def test_a_budget_below_the_batch_is_refused() -> None:
    with pytest.raises(HbmArgumentError, match="token_budget is 4, less than max_batch, 8"):
        Policy(100, max_batch=8, token_budget=4)


ROWS = st.lists(
    st.tuples(st.floats(0, 0.2), st.integers(1, 60), st.integers(1, 12), st.lists(st.integers(0, 4), max_size=3)),
    min_size=1, max_size=25,
)  # fmt: skip


@given(rows=ROWS, batch=st.integers(1, 6), more=st.integers(0, 30), kv=st.integers(8, 200), hashed=st.booleans())
@settings(max_examples=300, deadline=None)
def test_laws(
    rows: list[tuple[float, int, int, list[int]]], batch: int, more: int, kv: int, hashed: bool
) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    made = arrivals([row[:3] for row in rows], [row[3][: row[1] // 4] for row in rows] if hashed else None)
    policy = Policy(kv, batch, batch + more, block_tokens=4)
    requests, steps = schedule(made, policy, Linear())
    again = schedule(made, policy, Linear())
    assert requests == again[0] and steps == again[1]
    served = np.isfinite(requests["finish_s"])
    fits = -(-(made.input_tokens + made.output_tokens - 1) // 4) <= kv // 4
    assert (served == fits).all()
    check_tokens(requests, steps, served)
    r = requests.take(served)
    # turn, place, room
    assert (np.diff(r["start_s"]) >= 0).all() and (np.diff(r["first_token_s"]) >= 0).all()
    for step in steps.rows():
        end = step["start_s"] + step["time_s"]
        running = ((r["start_s"] <= step["start_s"]) & (r["finish_s"] >= end)).sum()
        assert step["decoding"] <= running <= batch
        assert step["decoding"] + step["prompt_tokens"] <= policy.token_budget
        assert 0 < step["held_blocks"] <= step["held_blocks"] + step["idle_blocks"] <= kv // 4
    # nothing stands still while a request is here
    ends = steps["start_s"] + steps["time_s"]
    for end, following in zip(ends, steps["start_s"][1:], strict=False):
        assert following == end or not ((r["arrival_s"] < following) & (r["finish_s"] > end)).any()
    # nobody is faster than alone
    for row in np.flatnonzero(served):
        left = int(requests["input_tokens"][row] - requests["reused_tokens"][row])
        chunks = -(-left // policy.token_budget)
        assert requests["ttft_s"][row] >= 1e-3 * chunks + 1e-5 * left - 1e-12


def check_tokens(requests: Table, steps: Table, served: np.ndarray) -> None:
    """What the steps computed is what the requests asked for, less what was reused."""
    r = requests.take(served)
    assert steps["prompt_tokens"].sum() == (r["input_tokens"] - r["reused_tokens"]).sum()
    assert steps["decoding"].sum() == (r["output_tokens"] - 1).sum()
    assert (r["arrival_s"] <= r["start_s"]).all() and (r["start_s"] < r["first_token_s"]).all()
    assert (r["first_token_s"] <= r["finish_s"]).all()


def test_two_of_a_batch_share_blocks_and_each_gives_back_only_its_own() -> None:
    rows = [(0.0, 9, 3), (0.0, 9, 30), (0.02, 9, 30)]
    requests, steps = schedule(arrivals(rows, [[1, 2]] * 3), Policy(200, 8, 64), Linear())
    assert requests["reused_tokens"].tolist() == [0, 0, 8]  # the second began before the first had computed
    assert steps["held_blocks"][0] == 3 + 10
    assert steps["held_blocks"][-1] <= 10


def test_more_load_makes_nobody_wait_less() -> None:
    slow, fast = (
        schedule(poisson(requests=400, per_second=rate, seed=3), Policy(1 << 20, 16, 512), Linear())[0]
        for rate in (1.0, 50.0)
    )
    assert np.median(slow["ttft_s"]) < np.median(fast["ttft_s"])
