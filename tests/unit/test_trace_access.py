"""Shapes and strides collapse to runs of unique bytes, at no cost that depends on the shape."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.access import Access, collapse, extent_bytes


@pytest.mark.parametrize(
    ("shape", "stride", "itemsize", "expected"),
    [
        ([], [], 4, (4, ())),  # a scalar
        ([0, 3], [3, 1], 4, (0, ())),  # empty
        ([4, 8], [8, 1], 2, (64, ())),  # contiguous
        ([8, 4], [1, 8], 2, (64, ())),  # its transpose
        ([2, 3, 4], [12, 4, 1], 8, (192, ())),
        ([4, 8], [16, 1], 2, (16, ((4, 32),))),  # a slice of columns
        ([2, 3, 4], [100, 8, 1], 1, (4, ((2, 100), (3, 8)))),
        ([2, 3, 4], [24, 8, 1], 1, (4, ((6, 8),))),  # the outer dimension continues the inner one
        ([5, 4], [0, 1], 4, (16, ())),  # expanded: the same bytes five times
        ([1, 7], [99, 1], 4, (28, ())),  # a dimension of one element
        ([10, 3], [1, 1], 4, (48, ())),  # overlapping windows: 12 distinct elements
        ([10**9], [2], 4, (4, ((10**9, 8),))),
    ],
)
def test_runs_of_a_strided_tensor(
    shape: list[int], stride: list[int], itemsize: int, expected: tuple[int, object]
) -> None:
    assert collapse(shape, stride, itemsize) == expected


def test_a_hostile_shape_costs_nothing() -> None:
    begin = time.perf_counter()
    run, dims = collapse([10**9, 10**6], [2 * 10**6, 2], 4)
    access = Access(False, 0, 0, run, dims)
    assert access.n_bytes == 4 * 10**15
    assert access.span == (0, 4 * (2 * 10**15 - 1))
    assert time.perf_counter() - begin < 0.1


def test_2_to_the_62_bytes_are_refused() -> None:
    with pytest.raises(HbmTraceError, match=r"2\^62 bytes"):
        collapse([2**31, 2**30], [2**31, 2], 2)


def test_more_than_eight_strided_dimensions_are_refused() -> None:
    shape = [2] * 9
    stride = [3**k for k in range(9, 0, -1)]
    with pytest.raises(HbmTraceError, match="9 strided dimensions are left; at most 8"):
        collapse(shape, stride, 1)
    assert len(collapse(shape[1:], stride[1:], 1)[1]) == 8


@pytest.mark.parametrize(("shape", "stride"), [([-1], [1]), ([2], [-1])])
def test_negative_shapes_and_strides_are_refused(shape: list[int], stride: list[int]) -> None:
    with pytest.raises(HbmTraceError, match="negative"):
        collapse(shape, stride, 1)


def test_shape_and_stride_must_be_equally_long() -> None:
    with pytest.raises(HbmTraceError, match="2 dimensions has 1 strides"):
        collapse([2, 2], [1], 1)


def test_extent_reaches_from_the_first_to_the_last_element() -> None:
    assert extent_bytes([3, 4], [8, 1], 2) == (2 * 8 + 3 + 1) * 2
    assert extent_bytes([3, 0], [8, 1], 2) == 0
    assert extent_bytes([], [], 8) == 8


def test_gathered_rows_have_a_span_and_bytes() -> None:
    access = Access(True, 3, 1000, 16, row_offsets=np.array([64, 0, 640, 0], np.int64))
    assert access.n_runs == 4
    assert access.n_bytes == 64
    assert access.span == (1000, 1000 + 640 + 16)
    assert Access(True, 3, 0, 16).n_runs == 1
