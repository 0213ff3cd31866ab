"""Operations in flight: the core against the twin, tick by tick, all channels side by side, an operation begun when
those it depends on have ended.

Here every tick of every channel is walked in step, so nothing has to be bounded, guessed or rerun, as the core must.
"""

from __future__ import annotations

from collections import deque
from itertools import combinations
from typing import Any

import numpy as np
import sim_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st

import hbmmodel as hbm
from hbmmodel.commands import Command
from hbmmodel.reference import ChannelPolicy, Request
from hbmmodel.reference.channel import Issued, PseudoChannel, _step
from hbmmodel.reference.power import PowerManager
from hbmmodel.reference.timing import Bus
from hbmmodel.sim import IN_FLIGHT_MAX, Dependences, simulate
from hbmmodel.trace import Access, Operation

Burst = tuple[int, Request]
"""The number of its operation, and where it goes."""


class Turns:
    """Streams of bursts that take turns of `tile` bursts (0: one after the other); new ones join behind the others."""

    def __init__(self, tile: int) -> None:
        self.tile = tile
        self.streams: list[deque[Burst]] = []
        self.turn = self.given = 0

    def current(self) -> Burst:
        return self.streams[self.turn][0]

    def advance(self) -> None:
        self.streams[self.turn].popleft()
        self.given += 1
        if not self.streams[self.turn]:
            del self.streams[self.turn]
            self.given = 0
        elif self.given == self.tile:
            self.turn += 1
            self.given = 0
        if self.turn >= len(self.streams):
            self.turn = 0


class Fed(PseudoChannel):
    """A pseudo-channel whose input is made while it runs: the next burst is chosen when the one before is accepted."""

    def __init__(self, tile: int, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.turns = Turns(tile)
        self.owners: list[int] = []

    def join(self, streams: list[deque[Burst]]) -> None:
        self.turns.streams += streams
        self.load()

    def load(self) -> None:
        if self.next == len(self.requests) and self.turns.streams:
            owner, request = self.turns.current()
            self.owners.append(owner)
            self.requests = [*self.requests, request]
            self.accept.append(-1)
            self.done.append(-1)
            self.forwarded.append(False)

    def accept_requests(self, tick: int) -> None:
        while True:
            before = self.next
            super().accept_requests(tick)
            if self.next == before:
                return
            self.turns.advance()
            self.load()


class Program:
    """A system and a program, run by the twin."""

    def __init__(self, system: hbm.System, operations: list[Operation], tile: int) -> None:
        self.ticks = system.device.ticks()
        self.operations = operations
        self.delay = max(2, system.host_ticks)
        settings = dict(system.policy())
        policy = ChannelPolicy(refresh_scale_den=settings.pop("refresh_scale"), **settings)
        self.channels = [
            [
                Fed(tile, pc, self.ticks, policy, [], system.host_ticks, system.window_bursts)
                for pc in range(self.ticks["pseudo_channels"])
            ]
            for _ in range(system.device.organisation.channels)
        ]
        self.shared = [(PowerManager(self.ticks, policy, pcs), Bus(), Bus()) for pcs in self.channels]
        self.logs: list[list[Issued]] = [[] for _ in self.channels]
        self.system = system
        self.start = [-1] * len(operations)
        self.end = [-1] * len(operations)
        self.left = [0] * len(operations)
        self.last = [-1] * len(operations)

    def waits_for(self, number: int) -> list[int]:
        return [i for i in range(number) if depend(self.operations[i], self.operations[number])]

    def begin(self, number: int) -> None:
        streams: dict[tuple[int, int], list[deque[Burst]]] = {}
        o = self.ticks
        for access in self.operations[number].accesses:
            mine: dict[tuple[int, int], deque[Burst]] = {}
            bursts = np.array(cases.bursts_of(access), dtype=np.uint64) * 32
            for _, channel, pc, sid, group, bank, row, column in self.system.map.decode(bursts).tolist():
                flat = (sid * o["bank_groups"] + group) * o["banks_per_group"] + bank
                request = Request(-1, access.is_write, flat, row, column)
                mine.setdefault((channel, pc), deque()).append((number, request))
            for place, stream in mine.items():
                streams.setdefault(place, []).append(stream)
                self.left[number] += len(stream)
        for (channel, pc), listed in streams.items():
            self.channels[channel][pc].join(listed)
        self.last[number] = self.start[number]

    def note(self, tick: int) -> None:
        """Which bursts got done with in this tick, and when they end."""
        for pcs in self.channels:
            for pc in pcs:
                for k in [k for k in range(len(pc.owners)) if pc.owners[k] >= 0]:
                    write = pc.requests[k].is_write
                    if (pc.accept[k] if write else pc.done[k]) >= 0:
                        owner, pc.owners[k] = pc.owners[k], -1
                        self.left[owner] -= 1
                        self.last[owner] = max(self.last[owner], pc.accept[k] + 2 if write else pc.done[k])

    def set_conditions(self, scale: int, gap_256: int) -> None:
        for pc in (pc for pcs in self.channels for pc in pcs):
            pc.refresh.rescale(scale)
            pc.pace(gap_256)

    def run(self, changes: dict[int, tuple[int, int]] | None = None) -> None:
        n = len(self.operations)
        running: set[int] = set()
        pending = {i: set(self.waits_for(i)) for i in range(n)}
        queue: list[int] = []  # whose start is set, in order

        def release(at: int) -> None:
            for i in [i for i in sorted(pending) if not pending[i]]:
                del pending[i]
                self.start[i] = at + at % 2
                queue.append(i)

        release(0)
        tick = 0
        while running or queue or any(not pc.finished() for pcs in self.channels for pc in pcs):
            if changes and tick in changes:
                self.set_conditions(*changes[tick])
            while queue and self.start[queue[0]] == tick:
                running.add(queue[0])
                self.begin(queue.pop(0))
            for pcs, shared, log in zip(self.channels, self.shared, self.logs, strict=True):
                _step(tick, pcs, *shared, log, self.ticks)
                shared[0].spend(1)
            self.note(tick)
            for i in sorted((i for i in running if self.left[i] == 0 and self.last[i] <= tick), key=self.order):
                running.remove(i)
                self.end[i] = self.last[i]
                for waits in pending.values():
                    waits.discard(i)
                release(self.end[i] + self.delay)
            tick += 1
            assert tick < 200_000

    def order(self, number: int) -> tuple[int, int]:
        return self.last[number], number


def touched(operation: Operation, is_write: bool) -> set[int]:
    """Every byte from the lowest to the highest of every operand of one direction."""
    spans = [a.span for a in operation.accesses if a.is_write == is_write]
    return {byte for low, high in spans for byte in range(low, high)}


def depend(first: Operation, second: Operation) -> bool:
    written, read = touched(first, True), touched(first, False)
    return bool(written & (touched(second, True) | touched(second, False)) or read & touched(second, True))


def access(is_write: bool, base: int, run: int, dims: list[tuple[int, int]], rows: list[int] | None) -> Access:
    if rows is not None:
        return Access(is_write, 0, base, run, (), np.array(rows, dtype=np.int64))
    return Access(is_write, 0, base, run, tuple(dims))


ACCESSES = st.builds(
    access,
    st.booleans(),
    st.sampled_from([0, 32, 1000, 2048, 4096, 5000, 9000, 1 << 20, (1 << 20) + 700]),
    st.sampled_from([1, 32, 64, 500, 2048, 6000]),
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from([0, 32, 100, 2048, 1 << 16])), max_size=1),
    st.none() | st.none() | st.lists(st.integers(0, 8000), min_size=1, max_size=4),
)
PROGRAMS = st.lists(st.lists(ACCESSES, min_size=1, max_size=3), min_size=1, max_size=7).map(
    lambda listed: [Operation(i, i, f"op{i}", "", 0, 0, tuple(a)) for i, a in enumerate(listed)]
)
SYSTEMS = st.builds(
    lambda name, channels, host_ns, window, controller: cases.small(
        name, channels=channels, host_latency_ns=host_ns, window_bytes=window, controller=controller
    ),
    st.sampled_from(["HBM4_8000", "HBM3_6400", "HBM2E_3200"]),
    st.sampled_from([1, 2, 2, 4]),
    st.sampled_from([0.0, 0.6, 5.0, 60.0]),
    st.sampled_from([0, 0, 4096]),
    st.sampled_from(
        [
            hbm.Controller(),
            hbm.Controller(read_queue=8, write_queue=8),
            hbm.Controller(scheduler="frfcfs_cap", cap=2, refresh="all_bank"),
            hbm.Controller(scheduler="fcfs", page_policy="closed", write_queue=4),
            hbm.Controller(page_policy="timeout", refresh="none"),
            hbm.Controller(power="aggressive", page_policy="closed"),
            hbm.Controller(power="self_refresh_idle", power_down_after_ns=10, self_refresh_after_ns=100),
        ]
    ),
)

ALL_BANKS = (Command.PREab, Command.REFab, Command.RFMab)


def rows_of_twin(program: Program, last: int) -> list[tuple[int, ...]]:
    return sorted(
        (c, i.tick, i.pc, int(i.command), 0 if i.command in ALL_BANKS else i.bank, i.row, i.column)
        for c, log in enumerate(program.logs)
        for i in log
        if i.tick <= last
    )


def rows_of_core(system: hbm.System, log: Any, last: int) -> list[tuple[int, ...]]:
    o = system.device.organisation
    flat = (log["sid"].astype(int) * o.bank_groups + log["bank_group"]) * o.banks_per_group + log["bank"]
    flat[np.isin(log["command"], [int(c) for c in ALL_BANKS])] = 0
    keep = log["tick"] <= last
    columns = [log["channel"], log["tick"], log["pseudo_channel"], log["command"], flat, log["row"], log["column"]]
    return sorted(zip(*(column[keep].tolist() for column in columns), strict=True))


@given(SYSTEMS, PROGRAMS, st.sampled_from([32, 64, 1024, None]))
@settings(max_examples=60, deadline=None)
def test_core_runs_a_program_as_the_twin_does(
    system: hbm.System, operations: list[Operation], tile: int | None
) -> None:
    program = Program(system, operations, 0 if tile is None else tile // 32)
    program.run()
    last = max(i.tick for log in program.logs for i in log)
    expected = rows_of_twin(program, last)
    trace = cases.trace_of(*operations)
    options: dict[str, Any] = {"order": "stream"} if tile is None else {"tile_bytes": tile}
    for threads, log in ((1, True), (2, True), (2, False)):  # without a log the lean step runs
        result = simulate(system, trace, threads=threads, command_log=log, **options)
        tick_ns = float(system.tick_ps) / 1000
        starts = np.rint(result.operations["start_ns"] / tick_ns).astype(int).tolist()
        ends = np.rint(result.operations["end_ns"] / tick_ns).astype(int).tolist()
        assert (starts, ends) == (program.start, program.end)
        if log:
            assert rows_of_core(system, result.command_log, last) == expected


# ---- the window of dependences ----

SMALL = st.lists(
    st.lists(
        st.builds(access, st.booleans(), st.integers(0, 600), st.integers(1, 80), st.just([]), st.none()), max_size=3
    ),
    max_size=25,
).map(lambda listed: [Operation(i, i, f"op{i}", "", 0, 0, tuple(a)) for i, a in enumerate(listed)])


@given(SMALL, st.sampled_from([1, 2, 3, IN_FLIGHT_MAX]), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_an_operation_is_ready_exactly_when_what_it_depends_on_has_ended(
    operations: list[Operation], limit: int, random: Any
) -> None:
    program = Dependences(limit)
    ended: set[int] = set()
    running: set[int] = set()
    added = 0
    while len(ended) < len(operations):
        while program.has_room() and added < len(operations):
            assert program.add(operations[added]) == added
            added += 1
        oldest = min(i for i in range(len(operations)) if i not in ended)
        assert added == min(len(operations), oldest + limit)
        expected = [
            j
            for j in range(added)
            if j not in ended | running
            and all(i in ended for i in range(j) if depend(operations[i], operations[j]))
        ]
        assert program.ready() == expected
        for number in expected:
            program.start(number)
            running.add(number)
        assert not any(depend(operations[a], operations[b]) for a, b in combinations(sorted(running), 2))
        number = random.choice(sorted(running))
        running.remove(number)
        ended.add(number)
        program.end(number)
