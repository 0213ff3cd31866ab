"""The eager training step of the generator is the captured one: operators, bytes, and how long activations live."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbmmodel.trace import RecordedTrace, read_trace
from hbmmodel.trace.allocator import CachingAllocator
from hbmmodel.trace.expand import moves_nothing
from hbmmodel.trace.records import Alloc, Free, OpRecord, PhaseMark
from hbmmodel.workload import train_step
from hbmmodel.workload.program import GeneratedTrace, Program

TRAIN = Path(__file__).parent / "data" / "llama31_8b_train_b1_s4096.hbmop.jsonl.gz"
Row = tuple[str, str, int, int]


@pytest.fixture(scope="module")
def captured() -> RecordedTrace:
    trace = read_trace(TRAIN)
    assert isinstance(trace, RecordedTrace)
    return trace


@pytest.fixture(scope="module")
def generated() -> GeneratedTrace:
    return train_step("llama-3.1-8b", tokens=4096, precision="bf16", first_step=True, fusion="eager")


def rows(trace: RecordedTrace | GeneratedTrace) -> list[Row]:
    found = []
    for op in trace.operations():
        name = op.name.removeprefix("aten.").partition(".")[0].replace("_for_cpu", "")
        if op.phase != "optimizer":
            found.append((op.phase, name, op.bytes_read, op.bytes_written))
    return found


def test_every_operator_of_both_passes_moves_what_was_captured(
    captured: RecordedTrace, generated: GeneratedTrace
) -> None:
    ours, theirs = rows(generated), rows(captured)
    assert ours == theirs
    forward = [sum(row[i] for row in ours if row[0] == "forward") for i in (2, 3)]
    backward = [sum(row[i] for row in ours if row[0] == "backward") for i in (2, 3)]
    assert (forward, backward) == ([80_863_343_025, 54_109_147_313], [170_931_167_240, 103_727_833_092])


class _Counting(CachingAllocator):
    """Knows the bytes that were asked for, not those that blocks take."""

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self._asked: dict[int, int] = {}

    def allocate(self, size_bytes: int) -> int:
        address = super().allocate(size_bytes)
        self._asked[address] = size_bytes
        self.live += size_bytes
        return address

    def release(self, address: int) -> None:
        self.live -= self._asked[address]
        super().release(address)


def captured_activations(trace: RecordedTrace) -> list[int]:
    """Bytes of live activations at every operator of both passes."""
    (fused,) = [op for op in trace.select("optimizer").operations() if "_fused_adamw_" in op.name]
    trained = {a.storage for a in fused.accesses}
    size: dict[int, int] = {}
    live, found = 0, []
    for record in trace.records():
        if isinstance(record, PhaseMark) and record.label == "optimizer":
            break
        if isinstance(record, Alloc) and record.storage not in trained:
            size[record.storage] = record.n_bytes
            live += record.n_bytes
        elif isinstance(record, Free):
            live -= size.get(record.storage, 0)
        elif isinstance(record, OpRecord) and not moves_nothing(record.name, record.operands):
            found.append(live)
    return found


def test_activations_live_as_long_as_in_the_capture(captured: RecordedTrace) -> None:
    theirs = captured_activations(captured)
    trace = train_step("llama-3.1-8b", tokens=4096, precision="bf16", fusion="eager")
    program, counting = Program(), _Counting()
    program.progress.allocator = counting
    ours: list[int] = []
    for op in trace._make(program):
        if op.phase == "optimizer":
            break
        ours.append(counting.live)
    states = ours[0] - theirs[0]  # weights, gradients and moments, which here have their place from the start
    assert states == 4 * 2 * 8_030_261_248
    ours = [live - states for live in ours]
    assert len(ours) == len(theirs) == 3812
    # angles are freed with the last layer that uses them, at the end of the backward pass, and there a little later
    difference = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    assert max(difference[:3700]) <= 256 and max(difference) <= 2 << 20
    assert max(ours) == pytest.approx(35_449_258_248, rel=1e-7) and max(theirs) == 35_449_258_248
