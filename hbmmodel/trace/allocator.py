"""Where storages lie: a model of PyTorch's caching allocator.

Owns the replay of allocations and frees into addresses; must not know operations or files. Addresses are
those of one flat space that starts at `base`; the segments that the allocator asks the driver for are placed
by `placement`, the seam at which virtual and physical addresses may part (every segment is whole 2 MiB
pages).
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["PAGE_BYTES", "Block", "CachingAllocator"]

PAGE_BYTES = 2 << 20

# c10/core/AllocatorConfig.h and c10/cuda/CUDACachingAllocator.cpp of PyTorch 2.13 (defaults: no expandable
# segments, no max_split_size), under the names used there.
MIN_BLOCK_BYTES = 512
SMALL_BYTES = 1 << 20
SMALL_SEGMENT_BYTES = 2 << 20
LARGE_SEGMENT_BYTES = 20 << 20
MIN_LARGE_BYTES = 10 << 20
ROUND_LARGE_BYTES = 2 << 20


@dataclass(slots=True)
class Block:
    """A piece of a segment. Neighbours in the same segment are linked; the ends have none."""

    address: int
    size_bytes: int
    small: bool
    free: bool
    left: Block | None = None
    right: Block | None = None


class CachingAllocator:
    """Best-fit caching allocator over segments.

    Sizes are rounded up to 512 B. Requests up to 1 MiB come from 2 MiB segments, below 10 MiB from 20 MiB
    segments, larger ones from segments of their own size rounded up to 2 MiB. The smallest free block that
    fits wins, then the lowest address; it is split when the remainder is at least 512 B (small) or more
    than 1 MiB (large). Freed blocks merge with free neighbours. Segments are never given back.

    Parameters
    ----------
    base : int
        Address of the first segment [bytes]; used by the default placement.
    placement : callable, optional
        Segment size in bytes -> its address. Default: one segment behind the other from `base`.

    Attributes
    ----------
    allocated_bytes, peak_bytes, reserved_bytes : int
        Rounded bytes live now, at most so far, and bytes of all segments.

    Source
    ------
    PyTorch 2.13, ``c10/core/AllocatorConfig.h`` (constants) and ``c10/cuda/CUDACachingAllocator.cpp``
    (``round_size``, ``get_allocation_size``, ``should_split``).

    Examples
    --------
    >>> allocator = CachingAllocator()
    >>> [allocator.allocate(n) for n in (1000, 1, 3 << 20)]
    [0, 1024, 2097152]
    >>> allocator.release(0)
    >>> allocator.allocate(600)
    0
    >>> allocator.allocated_bytes, allocator.peak_bytes, allocator.reserved_bytes
    (3147264, 3147264, 23068672)
    """

    def __init__(self, base: int = 0, placement: Callable[[int], int] | None = None) -> None:
        self._next = base
        self._placement = placement if placement is not None else self._sequential
        self._pool: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
        self._block: dict[int, Block] = {}
        self._segments: list[Block] = []
        self.allocated_bytes = 0
        self.peak_bytes = 0
        self.reserved_bytes = 0

    def _sequential(self, size_bytes: int) -> int:
        address = self._next
        self._next += size_bytes
        return address

    def allocate(self, size_bytes: int) -> int:
        """Address of a new block of at least `size_bytes` (>= 1)."""
        need = max(MIN_BLOCK_BYTES, _round_up(size_bytes, MIN_BLOCK_BYTES))
        small = need <= SMALL_BYTES
        block = self._take(need, small)
        rest = block.size_bytes - need
        if rest >= MIN_BLOCK_BYTES if small else rest > SMALL_BYTES:
            self._split(block, need)
        block.free = False
        self.allocated_bytes += block.size_bytes
        self.peak_bytes = max(self.peak_bytes, self.allocated_bytes)
        return block.address

    def release(self, address: int) -> None:
        """Give back the block at `address`, which `allocate` returned."""
        block = self._block[address]
        self.allocated_bytes -= block.size_bytes
        block.free = True
        right, left = block.right, block.left
        if right is not None and right.free:
            self._unpool(right)
            self._absorb(block, right)
        if left is not None and left.free:
            self._unpool(left)
            self._absorb(left, block)
            block = left
        bisect.insort(self._pool[block.small], (block.size_bytes, block.address))

    def segments(self) -> Iterator[list[Block]]:
        """Blocks of every segment, in order of addresses: what a memory map would draw."""
        for first in self._segments:
            blocks = []
            block: Block | None = first
            while block is not None:
                blocks.append(block)
                block = block.right
            yield blocks

    def _take(self, need: int, small: bool) -> Block:
        pool = self._pool[small]
        i = bisect.bisect_left(pool, (need, -1))
        if i < len(pool):
            return self._block[pool.pop(i)[1]]
        if small:
            size = SMALL_SEGMENT_BYTES
        elif need < MIN_LARGE_BYTES:
            size = LARGE_SEGMENT_BYTES
        else:
            size = _round_up(need, ROUND_LARGE_BYTES)
        block = Block(self._placement(size), size, small, free=True)
        self._block[block.address] = block
        self._segments.append(block)
        self.reserved_bytes += size
        return block

    def _split(self, block: Block, need: int) -> None:
        rest = Block(block.address + need, block.size_bytes - need, block.small, True, block, block.right)
        if block.right is not None:
            block.right.left = rest
        block.right = rest
        block.size_bytes = need
        self._block[rest.address] = rest
        bisect.insort(self._pool[block.small], (rest.size_bytes, rest.address))

    def _unpool(self, block: Block) -> None:
        pool = self._pool[block.small]
        del pool[bisect.bisect_left(pool, (block.size_bytes, block.address))]

    def _absorb(self, block: Block, right: Block) -> None:
        del self._block[right.address]
        block.size_bytes += right.size_bytes
        block.right = right.right
        if right.right is not None:
            right.right.left = block


def _round_up(n: int, step: int) -> int:
    return -(-n // step) * step
