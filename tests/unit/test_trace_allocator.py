"""The allocator model places blocks as the caching allocator's published constants say."""

from __future__ import annotations

from hbmmodel.trace.allocator import PAGE_BYTES, CachingAllocator

KIB, MIB = 1 << 10, 1 << 20


def test_sizes_are_rounded_to_512_bytes() -> None:
    allocator = CachingAllocator()
    assert [allocator.allocate(n) for n in (1, 512, 513, 1)] == [0, 512, 1024, 2048]
    assert allocator.allocated_bytes == 512 + 512 + 1024 + 512


def test_small_requests_share_2_mib_segments() -> None:
    allocator = CachingAllocator()
    assert [allocator.allocate(MIB) for _ in range(3)] == [0, MIB, 2 * MIB]
    assert allocator.reserved_bytes == 4 * MIB


def test_medium_requests_share_20_mib_segments() -> None:
    allocator = CachingAllocator()
    assert allocator.allocate(MIB + 1) == 0
    assert allocator.allocate(9 * MIB) == MIB + 512
    assert allocator.reserved_bytes == 20 * MIB
    assert allocator.allocate(10 * MIB) == 20 * MIB  # from 10 MiB on: a segment of its own
    assert allocator.reserved_bytes == 30 * MIB


def test_large_requests_round_their_segment_to_2_mib() -> None:
    allocator = CachingAllocator()
    allocator.allocate(11 * MIB + 1)
    assert allocator.reserved_bytes == 12 * MIB
    # The remainder of less than 1 MiB is not split off: it stays part of the block.
    assert allocator.allocated_bytes == 12 * MIB


def test_a_large_remainder_of_exactly_1_mib_is_not_split() -> None:
    allocator = CachingAllocator()
    allocator.allocate(11 * MIB)
    assert allocator.allocated_bytes == 12 * MIB
    allocator = CachingAllocator()
    allocator.allocate(19 * MIB - 512)  # its own segment of 20 MiB: 1 MiB + 512 B are left
    assert allocator.allocated_bytes == 19 * MIB - 512


def test_small_and_large_requests_never_share_a_segment() -> None:
    allocator = CachingAllocator()
    assert allocator.allocate(512) == 0
    assert allocator.allocate(2 * MIB) == 2 * MIB
    assert allocator.allocate(512) == 512


def test_the_smallest_fitting_block_wins_then_the_lowest_address() -> None:
    allocator = CachingAllocator()
    blocks = [allocator.allocate(n * KIB) for n in (8, 1, 4, 1, 4, 1)]
    for i in (0, 2, 4):
        allocator.release(blocks[i])
    assert allocator.allocate(3 * KIB) == blocks[2]  # one of the two of 4 KiB, the lower one
    assert allocator.allocate(4 * KIB) == blocks[4]
    assert allocator.allocate(KIB) == blocks[2] + 3 * KIB  # the rest that was split off


def test_freed_neighbours_merge() -> None:
    allocator = CachingAllocator()
    a, b, c = (allocator.allocate(KIB) for _ in range(3))
    allocator.release(a)
    allocator.release(c)
    allocator.release(b)
    (segment,) = allocator.segments()
    assert [(block.address, block.size_bytes, block.free) for block in segment] == [(0, 2 * MIB, True)]
    assert allocator.allocate(MIB) == 0


def test_peak_and_reserved_do_not_shrink() -> None:
    allocator = CachingAllocator()
    a = allocator.allocate(64 * MIB)
    allocator.release(a)
    assert (allocator.allocated_bytes, allocator.peak_bytes, allocator.reserved_bytes) == (
        0,
        64 * MIB,
        64 * MIB,
    )
    assert allocator.allocate(64 * MIB) == a


def test_the_base_shifts_every_address() -> None:
    plain, shifted = CachingAllocator(), CachingAllocator(base=1 << 40)
    sizes = [100, 3 * MIB, 50 * MIB, 700]
    assert [shifted.allocate(n) - (1 << 40) for n in sizes] == [plain.allocate(n) for n in sizes]


def test_a_placement_puts_segments_where_it_wants() -> None:
    asked: list[int] = []

    def placement(size_bytes: int) -> int:
        asked.append(size_bytes)
        return (100 - len(asked)) << 30

    allocator = CachingAllocator(placement=placement)
    assert [allocator.allocate(n) for n in (512, 512, 3 * MIB, 64 * MIB)] == [
        99 << 30,
        (99 << 30) + 512,
        98 << 30,
        97 << 30,
    ]
    assert asked == [2 * MIB, 20 * MIB, 64 * MIB]
    assert all(size % PAGE_BYTES == 0 for size in asked)
