"""Byte runs become bursts, in blocks of bounded size whatever the runs are like."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace import Access, Operation, count_transactions
from hbmmodel.trace.bursts import access_bursts, run_bursts


def bursts(access: Access, burst_bytes: int = 64, block: int = 1 << 18) -> list[int]:
    return [address for part in access_bursts(access, burst_bytes, block) for address in part.tolist()]


def test_a_run_touches_every_burst_that_it_overlaps() -> None:
    assert bursts(Access(False, 0, 60, 8)) == [0, 64]
    assert bursts(Access(False, 0, 64, 64)) == [64]
    assert bursts(Access(False, 0, 65, 128), 32) == [64, 96, 128, 160, 192]


def test_a_burst_equal_to_the_one_before_is_touched_once() -> None:
    rows = np.array([0, 16, 32, 0, 0, 640, 0], np.int64)
    assert bursts(Access(False, 0, 0, 16, row_offsets=rows)) == [0, 640, 0]
    assert bursts(Access(False, 0, 0, 16, ((3, 32),))) == [0, 64]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1000])
def test_the_block_size_changes_nothing(block: int) -> None:
    accesses = [
        Access(False, 0, 40, 200, ((3, 1000), (4, 210))),
        Access(True, 0, 8, 16, row_offsets=np.array([0, 16, 100, 90, 90, 5000], np.int64)),
        Access(True, 0, 0, 1000),
    ]
    for access in accesses:
        assert bursts(access, 64, block) == bursts(access)
        assert all(len(part) <= block for part in access_bursts(access, 64, block))


def test_huge_accesses_stream() -> None:
    for access in (Access(False, 0, 0, 1 << 60), Access(False, 0, 0, 4, ((10**9, 10**6), (10**6, 128)))):
        first = list(islice(access_bursts(access, 64), 2))
        assert len(first) == 2 and all(len(part) <= 1 << 18 for part in first)


def test_runs_name_their_bursts() -> None:
    start = np.array([0, 2**64 - 64], np.uint64)
    last = np.array([64, 2**64 - 1], np.uint64)
    ((run, burst),) = run_bursts(start, last, 64)
    assert run.tolist() == [0, 0, 1]
    assert burst.tolist() == [0, 64, 2**64 - 64]


def test_counting_equals_listing() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        dims = tuple((int(rng.integers(1, 5)), int(rng.integers(0, 300))) for _ in range(rng.integers(0, 4)))
        access = Access(bool(rng.integers(2)), 0, int(rng.integers(0, 1000)), int(rng.integers(1, 300)), dims)
        count = count_transactions([Operation(0, 0, "x", "", 0, 0, (access,))], 64)
        assert count["writes" if access.is_write else "reads"] == len(bursts(access)) == count["transactions"]


@pytest.mark.parametrize("burst_bytes", [0, -64, 48, 8192, 64.0, True])
def test_bursts_are_powers_of_two(burst_bytes: int) -> None:
    with pytest.raises(HbmArgumentError, match="burst_bytes is"):
        count_transactions([], burst_bytes)
