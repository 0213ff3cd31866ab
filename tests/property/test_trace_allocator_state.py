"""Whatever is allocated and freed in whatever order, the allocator's map stays whole and its choices best."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from hbmmodel.trace.allocator import CachingAllocator

MIB = 1 << 20
SIZES = st.one_of(
    st.integers(1, 4096),
    st.integers(1, 3 * MIB),
    st.integers(MIB - 600, MIB + 600),
    st.integers(9 * MIB, 11 * MIB),
    st.integers(1, 64 * MIB),
)


class AllocatorMachine(RuleBasedStateMachine):
    """The invariants: segments tiled without gap or overlap, free neighbours merged, counters true."""

    blocks = Bundle("blocks")

    def __init__(self) -> None:
        super().__init__()
        self.allocator = CachingAllocator(base=4096)
        self.live: dict[int, int] = {}
        self.peak = 0

    def free_blocks(self) -> list[tuple[int, int]]:
        return [(b.size_bytes, b.address) for segment in self.allocator.segments() for b in segment if b.free]

    @rule(target=blocks, size=SIZES)
    def allocate(self, size: int) -> int:
        need = max(512, -(-size // 512) * 512)
        small = need <= MIB
        fitting = [
            (block.size_bytes, block.address)
            for segment in self.allocator.segments()
            for block in segment
            if block.free and block.size_bytes >= need and block.small == small
        ]
        reserved = self.allocator.reserved_bytes
        address = self.allocator.allocate(size)
        if fitting:
            assert address == min(fitting)[1]
            assert self.allocator.reserved_bytes == reserved
        else:
            assert address >= 4096 + reserved  # a new segment, behind all others
        assert address not in self.live
        self.live[address] = size
        return address

    @rule(address=consumes(blocks))
    def release(self, address: int) -> None:
        self.allocator.release(address)
        del self.live[address]

    @invariant()
    def segments_are_tiled_and_merged(self) -> None:
        live = reserved = 0
        before_segment = 0
        found = {}
        for segment in self.allocator.segments():
            first = segment[0].address
            assert first >= before_segment
            expected = first
            for left, right in zip([None, *segment], segment, strict=False):
                assert right.address == expected
                assert right.size_bytes > 0 and right.size_bytes % 512 == 0
                assert left is None or not (left.free and right.free)
                expected += right.size_bytes
                if not right.free:
                    live += right.size_bytes
                    found[right.address] = right.size_bytes
            before_segment = expected
            reserved += expected - first
            assert (expected - first) % (2 * MIB) == 0
        assert found.keys() == self.live.keys()
        assert all(found[address] >= size for address, size in self.live.items())
        self.peak = max(self.peak, live)
        assert self.allocator.allocated_bytes == live
        assert self.allocator.peak_bytes == self.peak
        assert self.allocator.reserved_bytes == reserved


TestAllocator = AllocatorMachine.TestCase
TestAllocator.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
