"""Byte runs of an operand: the algebra from shapes and strides to what is moved.

Owns `Access` and the collapse of strided tensors to runs of unique bytes; must not know operations, files or
how runs become bursts. Nothing here enumerates runs: a shape of 10^9 rows costs as much as one of 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hbmmodel.errors import HbmTraceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BYTES_MAX", "DIMS_MAX", "Access", "collapse", "extent_bytes"]

DIMS_MAX = 8
BYTES_MAX = 1 << 62


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """Bytes that one operation reads from, or writes to, one storage.

    The bytes are runs of `run_bytes`, each once. Without `row_offsets` they start at ``base_address +
    sum(k_j * stride_j)`` for ``0 <= k_j < count_j``, outermost dimension first; with `row_offsets` at
    ``base_address + row_offsets[i]`` in that order, and `dims` is empty.

    Parameters
    ----------
    is_write : bool
        Direction.
    storage : int
        The capture's number of the storage.
    base_address : int
        Where the storage was placed plus the operand's offset in it [bytes].
    run_bytes : int
        Length of every run (> 0).
    dims : tuple of (int, int)
        (count, stride in bytes), outermost first; at most 8.
    row_offsets : ndarray of int64, optional
        Offsets of gathered rows [bytes].
    tensor_class : str
        What the bytes are, such as ``"weights"`` or ``"kv"``; ``""`` where the trace does not say.
    unmapped : tuple of (int, int), optional
        Span before pages were laid elsewhere; None: they were not.

    Examples
    --------
    >>> a = Access(False, 0, 4096, 64, ((3, 256),))
    >>> a.n_bytes, a.n_runs, a.span
    (192, 3, (4096, 4672))
    """

    is_write: bool
    storage: int
    base_address: int
    run_bytes: int
    dims: tuple[tuple[int, int], ...] = ()
    row_offsets: NDArray[np.int64] | None = None
    tensor_class: str = ""
    unmapped: tuple[int, int] | None = None

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        if self.row_offsets is not None:
            return len(self.row_offsets)
        return math.prod(count for count, _ in self.dims)

    @property
    def n_bytes(self) -> int:
        """Bytes moved."""
        return self.n_runs * self.run_bytes

    @property
    def span(self) -> tuple[int, int]:
        """Lowest address, and one past the highest [bytes]."""
        low = high = self.base_address
        if self.row_offsets is not None:
            low += int(self.row_offsets.min())
            high += int(self.row_offsets.max())
        else:
            high += sum((count - 1) * stride for count, stride in self.dims)
        return low, high + self.run_bytes

    @property
    def program_span(self) -> tuple[int, int]:
        """Span in the addresses that the program knows: those before pages were laid elsewhere [bytes]."""
        return self.span if self.unmapped is None else self.unmapped

    def run_starts(self) -> NDArray[np.int64]:
        """Address of every run, in order [bytes]: as many numbers as there are runs."""
        import numpy as np

        starts = np.zeros(1, np.int64)
        for count, step in self.dims:
            starts = (starts[:, None] + np.arange(count, dtype=np.int64) * step).ravel()
        return self.base_address + (starts if self.row_offsets is None else self.row_offsets)


def extent_bytes(shape: Sequence[int], stride: Sequence[int], itemsize: int) -> int:
    """Bytes from a tensor's first element to one past its last; 0 for an empty tensor.

    Examples
    --------
    >>> extent_bytes([3, 4], [8, 1], 2)
    40
    >>> extent_bytes([0, 4], [8, 1], 2)
    0
    """
    if 0 in shape:
        return 0
    return (sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) + 1) * itemsize


def collapse(shape: Sequence[int], stride: Sequence[int], itemsize: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Run length and strided dimensions of the unique bytes of a tensor.

    Dimensions of one element and of stride 0 (expanded) are dropped: they repeat the same bytes. The rest is
    sorted by stride; from the inside out, a dimension whose stride does not exceed the run so far makes one
    longer run; what is left is merged where an outer dimension continues an inner one.

    Parameters
    ----------
    shape, stride : sequence of int
        Elements per dimension, and step in elements; equally long, not negative.
    itemsize : int
        Bytes per element.

    Returns
    -------
    run_bytes : int
        0 for an empty tensor.
    dims : tuple of (int, int)
        (count, stride in bytes), outermost first.

    Raises
    ------
    HbmTraceError
        A negative number, more than 8 dimensions left, or 2^62 bytes or more.

    Source
    ------
    Byte addressing of strided tensors: NumPy, *Internal memory layout of an ndarray*.

    Examples
    --------
    >>> collapse([4, 8], [8, 1], 2)            # contiguous
    (64, ())
    >>> collapse([8, 4], [1, 8], 2)            # its transpose moves the same bytes
    (64, ())
    >>> collapse([1, 8, 4096, 64], [2097152, 262144, 0, 1], 2)
    (128, ((8, 524288),))
    >>> collapse([10**9], [2], 4)              # every other element
    (4, ((1000000000, 8),))
    """
    if len(shape) != len(stride):
        raise HbmTraceError(f"a shape of {len(shape)} dimensions has {len(stride)} strides")
    for n, step in zip(shape, stride, strict=True):
        if n < 0 or step < 0:
            raise HbmTraceError("a shape or a stride is negative")
    if 0 in shape:
        return 0, ()
    dims = sorted(
        ((n, step * itemsize) for n, step in zip(shape, stride, strict=True) if n > 1 and step > 0),
        key=lambda dim: (-dim[1], dim[0]),
    )
    run = itemsize
    while dims and dims[-1][1] <= run:
        n, step = dims.pop()
        run += (n - 1) * step
    merged: list[tuple[int, int]] = []
    for n, step in dims:
        if merged and merged[-1][1] == n * step:
            n *= merged.pop()[0]
        merged.append((n, step))
    if len(merged) > DIMS_MAX:
        raise HbmTraceError(f"{len(merged)} strided dimensions are left; at most {DIMS_MAX} can be walked")
    if math.prod(n for n, _ in merged) * run >= BYTES_MAX:
        raise HbmTraceError("the operand moves 2^62 bytes or more")
    return run, tuple(merged)
