"""The runs of a strided tensor are exactly its distinct bytes; its bursts are those that they touch."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from hbmmodel.trace.access import Access, collapse, extent_bytes
from hbmmodel.trace.bursts import access_bursts, run_starts

SHAPES = st.lists(
    st.tuples(st.integers(0, 4), st.one_of(st.integers(0, 40), st.sampled_from([1, 2, 4, 8, 16, 32]))),
    max_size=4,
)


def bytes_of(shape: list[int], stride: list[int], itemsize: int) -> set[int]:
    found = set()
    for index in itertools.product(*(range(n) for n in shape)):
        element = sum(k * s for k, s in zip(index, stride, strict=True)) * itemsize
        found.update(range(element, element + itemsize))
    return found


@settings(deadline=None)
@given(SHAPES, st.sampled_from([1, 2, 4, 8]))
def test_runs_cover_exactly_the_bytes_of_the_tensor(dims: list[tuple[int, int]], itemsize: int) -> None:
    shape, stride = [n for n, _ in dims], [s for _, s in dims]
    expected = bytes_of(shape, stride, itemsize)
    run, left = collapse(shape, stride, itemsize)
    if run == 0:
        assert expected == set()
        return
    access = Access(False, 0, 0, run, left)
    starts = [start for block in run_starts(access) for start in block.tolist()]
    assert len(starts) == access.n_runs
    assert {start + k for start in starts for k in range(run)} == expected
    assert access.span == (0, max(expected) + 1) == (0, extent_bytes(shape, stride, itemsize))
    # Dimensions are outermost first, and no two neighbours could be one.
    assert all(outer[1] >= inner[1] for outer, inner in itertools.pairwise(left))
    assert all(outer[1] != inner[0] * inner[1] for outer, inner in itertools.pairwise(left))
    assert all(step > run for _, step in left)


@settings(deadline=None)
@given(SHAPES, st.integers(0, 200), st.sampled_from([16, 32, 64]), st.integers(1, 20))
def test_bursts_are_those_that_the_runs_touch_in_order(
    dims: list[tuple[int, int]], base: int, burst_bytes: int, block: int
) -> None:
    run, left = collapse([n for n, _ in dims], [s for _, s in dims], 2)
    if run == 0:
        return
    access = Access(False, 0, base, run, left)
    expected: list[int] = []
    for index in itertools.product(*(range(count) for count, _ in left)):
        start = base + sum(k * step for k, (_, step) in zip(index, left, strict=True))
        for burst in range(start // burst_bytes, (start + run - 1) // burst_bytes + 1):
            if not expected or expected[-1] != burst * burst_bytes:
                expected.append(burst * burst_bytes)
    found = [address for part in access_bursts(access, burst_bytes, block) for address in part.tolist()]
    assert found == expected
