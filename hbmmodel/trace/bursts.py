"""Byte runs to bursts, lazily and in blocks: for conversion, counting and tests.

Owns the enumeration in numpy (the simulator's own is in C); must not know files. A run touches every burst
that it overlaps, lowest first; within one access, a burst equal to the one right before it is touched once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.access import Access
from hbmmodel.trace.model import Operation

__all__ = ["BLOCK_BURSTS", "access_bursts", "check_burst", "count_transactions", "run_bursts", "run_starts"]

BLOCK_BURSTS = 1 << 18


def check_burst(burst_bytes: int) -> int:
    """Burst size, if it is a power of two in 1..4096; HbmArgumentError otherwise."""
    if type(burst_bytes) is not int or not 0 < burst_bytes <= 4096 or burst_bytes & (burst_bytes - 1):
        raise HbmArgumentError(f"burst_bytes is {burst_bytes!r}; give 32, 64 or another power of two up to 4096")
    return burst_bytes


def run_starts(access: Access, block: int = BLOCK_BURSTS) -> Iterator[NDArray[np.int64]]:
    """Start addresses of the runs of an access, in order, in blocks of at most `block`.

    Examples
    --------
    >>> [starts.tolist() for starts in run_starts(Access(False, 0, 1000, 8, ((2, 100), (2, 10))))]
    [[1000, 1010, 1100, 1110]]
    """
    for first in range(0, access.n_runs, block):
        if access.row_offsets is not None:
            yield access.base_address + access.row_offsets[first : first + block]
            continue
        rest = np.arange(first, min(first + block, access.n_runs), dtype=np.int64)
        start = np.full(len(rest), access.base_address, np.int64)
        for count, stride in reversed(access.dims):
            rest, digit = np.divmod(rest, count)
            start += digit * stride
        yield start


def run_bursts(
    start: NDArray[Any], last: NDArray[Any], burst_bytes: int, block: int = BLOCK_BURSTS
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Bursts of runs: blocks of (number of the run, burst address), in order.

    Parameters
    ----------
    start, last : ndarray of int64 or uint64
        First and last byte of every run.
    burst_bytes : int
        Bytes per burst.
    block : int
        Most bursts per block; runs may be longer than that.
    """
    low = start // burst_bytes
    n = (last // burst_bytes - low).astype(np.int64) + 1
    behind = np.cumsum(n)
    total = int(behind[-1]) if len(behind) else 0
    for first in range(0, total, block):
        end = min(first + block, total)
        head = int(np.searchsorted(behind, first, side="right"))
        tail = int(np.searchsorted(behind, end, side="left")) + 1
        share = n[head:tail].copy()
        share[0] = behind[head] - first
        share[-1] -= behind[tail - 1] - end
        run = np.repeat(np.arange(head, tail), share)
        step = np.arange(first, end, dtype=np.int64) - (behind - n)[run]
        yield run, (low[run] + step.astype(low.dtype)) * burst_bytes


def access_bursts(access: Access, burst_bytes: int, block: int = BLOCK_BURSTS) -> Iterator[NDArray[np.int64]]:
    """Burst addresses of an access, in order, in blocks; the rule of repetitions applied.

    Examples
    --------
    >>> access = Access(False, 0, 0, 16, ((4, 48),))          # bytes 0, 48, 96, 144
    >>> [bursts.tolist() for bursts in access_bursts(access, 64)]
    [[0, 64, 128]]
    """
    before = -1
    for start in run_starts(access, block):
        for _, burst in run_bursts(start, start + (access.run_bytes - 1), burst_bytes, block):
            fresh = np.empty(len(burst), bool)
            fresh[0] = burst[0] != before
            np.not_equal(burst[1:], burst[:-1], out=fresh[1:])
            before = int(burst[-1])
            if fresh.all():
                yield burst
            elif fresh.any():
                yield burst[fresh]


def count_transactions(operations: Iterable[Operation], burst_bytes: int) -> dict[str, int]:
    """Bursts that operations move, without listing them.

    Parameters
    ----------
    operations : iterable of Operation
        For instance ``trace.operations()``.
    burst_bytes : int
        Bytes per burst.

    Returns
    -------
    dict
        ``reads``, ``writes`` and their sum ``transactions``.

    Examples
    --------
    >>> op = Operation(0, 0, "x", "", 0, 0, (Access(False, 0, 60, 8), Access(True, 1, 256, 128)))
    >>> count_transactions([op], 64)
    {'reads': 2, 'writes': 2, 'transactions': 4}
    """
    burst_bytes = check_burst(burst_bytes)
    count = [0, 0]
    for operation in operations:
        for access in operation.accesses:
            count[access.is_write] += _n_bursts(access, burst_bytes)
    return {"reads": count[0], "writes": count[1], "transactions": sum(count)}


def _n_bursts(access: Access, burst_bytes: int) -> int:
    total = 0
    before = -1
    for start in run_starts(access):
        low, high = start // burst_bytes, (start + (access.run_bytes - 1)) // burst_bytes
        total += int((high - low + 1).sum()) - int((low[1:] == high[:-1]).sum()) - int(low[0] == before)
        before = int(high[-1])
    return total
