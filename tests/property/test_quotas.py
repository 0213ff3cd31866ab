"""Programs side by side, with quotas and without: the core against the twin, tick by tick, all channels in step."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import sim_cases as cases
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from test_borders import EVERY, replay_of, same
from test_sim_in_flight import SYSTEMS, Fed, Turns, access, rows_of_core, rows_of_twin

import hbmmodel as hbm
from hbmmodel.errors import HbmPolicyError
from hbmmodel.quotas import as_core
from hbmmodel.reference import ChannelPolicy, ClassQuota, GatedPseudoChannel, Request
from hbmmodel.reference.channel import Issued, _step
from hbmmodel.reference.power import PowerManager
from hbmmodel.reference.timing import Bus
from hbmmodel.sim.closed import run_closed
from hbmmodel.sim.interrupt import Stop
from hbmmodel.sim.operations import _loops
from hbmmodel.trace import Operation
from hbmmodel.trace.beside import Programs

ACCESSES = st.builds(
    access,
    st.booleans(),
    st.sampled_from([0, 32, 1000, 2048, 5000, 1 << 20]),
    st.sampled_from([32, 500, 1500]),
    st.lists(st.tuples(st.integers(1, 2), st.sampled_from([0, 100, 2048, 1 << 16])), max_size=1),
    st.none() | st.none() | st.lists(st.integers(0, 8000), min_size=1, max_size=2),
)
PROGRAMS = st.lists(st.lists(ACCESSES, min_size=1, max_size=2), min_size=1, max_size=4).map(
    lambda listed: [Operation(i, i, f"op{i}", "", 0, 0, tuple(a)) for i, a in enumerate(listed)]
)
COUNTS = ("bursts_read", "bursts_written", "reads_forwarded", "gate_ticks", "capped_ticks")


class ClassTurns(Turns):
    """The input of one class: what it has given is noted in `owners`, one list for the pseudo-channel."""

    def __init__(self, tile: int, owners: list[int], requests: list[Request]) -> None:
        super().__init__(tile)
        self.owners, self.requests = owners, requests

    def head(self) -> Request | None:
        return self.current()[1] if self.streams else None

    def take(self, index: int) -> None:
        owner, request = self.current()
        assert index == len(self.owners)
        self.owners.append(owner)
        self.requests.append(request)
        self.advance()


class Gated(GatedPseudoChannel):
    """A pseudo-channel of the twin with a gate, and the same lists as `Fed`."""

    def __init__(self, number: int, system: hbm.System, quotas: list[ClassQuota], tile: int, policy: Any) -> None:
        self.owners: list[int] = []
        taken: list[Request] = []
        self.inputs = [ClassTurns(tile, self.owners, taken) for _ in quotas]
        super().__init__(
            number, system.device.ticks(), policy, list(zip(quotas, self.inputs, strict=True)),
            system.host_ticks, system.window_bursts, system.quota_slack_ticks,
        )  # fmt: skip
        self.requests = taken

    def join(self, streams: list[deque[Any]], traffic_class: int) -> None:
        self.inputs[traffic_class].streams += streams


class Twin:
    """A system that `run_closed` drives in the place of the core."""

    def __init__(self, system: hbm.System, trace: Programs, tile: int) -> None:
        self.core, self.classes, self.stop = self, len(trace.classes), Stop()
        self.system, self.ticks = system, system.device.ticks()
        given = dict(system.policy())
        policy = ChannelPolicy(refresh_scale_den=given.pop("refresh_scale"), **given)
        c = system.controller
        quotas = [
            ClassQuota(*row)
            for row in as_core(c.quotas, trace.classes, self.ticks["BL"], c.read_queue, c.write_queue)
        ]

        def pc(number: int) -> Any:
            if c.quotas:
                return Gated(number, system, quotas, tile, policy)
            fed = Fed(tile, number, self.ticks, policy, [], system.host_ticks, system.window_bursts)
            fed.drain = policy.write_high - policy.write_low if self.classes > 1 else 0
            return fed

        self.channels = [
            [pc(number) for number in range(self.ticks["pseudo_channels"])]
            for _ in range(system.device.organisation.channels)
        ]
        self.shared = [(PowerManager(self.ticks, policy, pcs), Bus(), Bus()) for pcs in self.channels]
        self.logs: list[list[Issued]] = [[] for _ in self.channels]
        self.tick = 0
        self.reported = -max(2, system.host_ticks)
        self.queue: deque[tuple[int, int, Operation, int]] = deque()
        self.left: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.names: dict[int, tuple[str, int]] = {}
        self.spans: dict[int, list[int]] = {}

    # what run_closed asks for

    def submit(self, operation: Operation, number: int, start: int, traffic_class: int) -> bool:
        self.queue.append((start, number, operation, traffic_class))
        self.left[number] = 0
        self.last[number] = start
        return True

    def started(self, operation: Operation, number: int, start: int, name: str) -> None:
        self.names[number] = (name, operation.index)
        self.spans[number] = [start, -1]

    def bursts_taken(self) -> list[int]:
        raise AssertionError("no short run has so many operations")

    def ended(self, operation: Operation) -> None:
        pass

    def next_start(self) -> int:
        at = self.reported + max(2, self.system.host_ticks)
        return at + at % 2

    def next_end(self) -> tuple[int, int]:
        while True:
            waiting = {number for _, number, _, _ in self.queue}
            done = [n for n in self.left if self.left[n] == 0 and n not in waiting and self.last[n] < self.tick]
            if done:
                number = min(done, key=lambda n: (self.last[n], n))
                self.reported = self.spans[number][1] = self.last[number]
                del self.left[number]
                return number, self.reported
            self.step()

    # the ticks

    def step(self) -> None:
        while self.queue and self.queue[0][0] == self.tick:
            self.begin(*self.queue.popleft())
        for pcs, shared, log in zip(self.channels, self.shared, self.logs, strict=True):
            _step(self.tick, pcs, *shared, log, self.ticks)
            shared[0].spend(1)
        for pc in self.every_pc():
            for k in [k for k in range(len(pc.owners)) if pc.owners[k] >= 0]:
                write = pc.requests[k].is_write
                if (pc.accept[k] if write else pc.done[k]) >= 0:
                    owner, pc.owners[k] = pc.owners[k], -1
                    self.left[owner] -= 1
                    self.last[owner] = max(self.last[owner], pc.accept[k] + 2 if write else pc.done[k])
        self.tick += 1
        if self.tick == 5_000:
            reject()  # the twin is slow; there are enough short runs

    def begin(self, start: int, number: int, operation: Operation, traffic_class: int) -> None:
        streams: dict[tuple[int, int], list[deque[Any]]] = {}
        o = self.ticks
        for operand in operation.accesses:
            mine: dict[tuple[int, int], deque[Any]] = {}
            bursts = np.array(cases.bursts_of(operand), dtype=np.uint64) * 32
            for _, channel, pc, sid, group, bank, row, column in self.system.map.decode(bursts).tolist():
                flat = (sid * o["bank_groups"] + group) * o["banks_per_group"] + bank
                arrival = start if self.system.controller.quotas else -1
                request = Request(arrival, operand.is_write, flat, row, column)
                mine.setdefault((channel, pc), deque()).append((number, request))
            for place, stream in mine.items():
                streams.setdefault(place, []).append(stream)
                self.left[number] += len(stream)
        for (channel, pc), listed in streams.items():
            if self.system.controller.quotas:
                self.channels[channel][pc].join(listed, traffic_class)
            else:
                self.channels[channel][pc].join(listed)

    def every_pc(self) -> Iterator[Any]:
        return (pc for pcs in self.channels for pc in pcs)

    def run(self, trace: Programs) -> None:
        run_closed(self, _loops(trace))  # type: ignore[arg-type]
        while any(not pc.finished() for pc in self.every_pc()):
            self.step()

    def counted(self, name: str) -> list[list[int]]:
        """By pseudo-channel and class, as the core counts."""
        if name in COUNTS:
            return [[c.counts.get(name, 0) for c in pc.classes] for pc in self.every_pc()]
        fold = sum if name.endswith("sum") else lambda found: max(found, default=0)
        return [[fold(found) for found in row] for row in self.latencies()]

    def latencies(self) -> list[list[list[int]]]:
        """Of reads, by pseudo-channel and class [ticks]."""
        return [
            [
                [
                    pc.done[k] - pc.accept[k]
                    for k in range(len(pc.class_of))
                    if pc.class_of[k] is c and not pc.requests[k].is_write
                ]
                for c in pc.classes
            ]
            for pc in self.every_pc()
        ]

    def histograms(self, edges: np.ndarray[Any, Any]) -> list[list[int]]:
        """Of the latencies, by class and bucket."""
        of_classes = [sum(rows, []) for rows in zip(*self.latencies(), strict=True)]
        return [np.histogram(found, edges)[0].tolist() for found in of_classes]


@st.composite
def quotas(draw: st.DrawFn, names: list[str]) -> dict[str, hbm.Quota]:
    """Of some of the classes, or of all."""
    made = {}
    left = 1.0
    for name in names:
        reserved = draw(st.sampled_from([share for share in (0.0, 0.1, 0.3, 0.5) if share <= left]))
        left -= reserved
        made[name] = hbm.Quota(
            reserved_share=reserved,
            cap_share=draw(st.sampled_from([share for share in (0.05, 0.25, 0.4, 0.6, 1.0) if share >= reserved])),
            priority=draw(st.integers(0, 2)),
            queue_share=draw(st.sampled_from([0.01, 0.25, 0.5, 1.0, 1.0])),
        )
    return {name: made[name] for name in draw(st.permutations(names))[: draw(st.integers(1, len(names)))]}


@st.composite
def runs(draw: st.DrawFn) -> tuple[hbm.System, Programs]:
    """A small system with quotas, and one to three programs, the last of them perhaps in the background."""
    names = ["decode", "copy", "search"][: draw(st.sampled_from([1, 2, 2, 3]))]
    programs = {name: cases.trace_of(*draw(PROGRAMS)) for name in names}
    system = draw(SYSTEMS)
    controller = replace(
        system.controller, quotas=draw(quotas(names)), quota_slack_ns=draw(st.sampled_from([0.0, 5.0, 40.0, 1000.0]))
    )
    background = [names[-1]] if len(names) > 1 and draw(st.sampled_from([False, False, True])) else []
    return replace(system, controller=controller), hbm.side_by_side(programs, background=background)


def compare(system: hbm.System, trace: Programs, tile_bytes: int = 1024) -> None:
    twin = Twin(system, trace, tile_bytes // 32)
    twin.run(trace)
    last = max(i.tick for log in twin.logs for i in log)
    expected = rows_of_twin(twin, last)  # type: ignore[arg-type]
    for threads, log in ((1, True), (2, False)):
        ran = replace(replay_of(system, trace, threads, log), tile_bytes=tile_bytes).run()
        table = ran.raw["operations"]
        order = sorted(twin.spans)
        assert list(zip(table["traffic_class"], table["index"], strict=True)) == [twin.names[n] for n in order]
        assert table["start_tick"].tolist() == [twin.spans[n][0] for n in order]
        assert table["end_tick"].tolist() == [twin.spans[n][1] for n in order]
        if log:
            assert rows_of_core(system, ran.raw["command_log"], last) == expected
        if system.controller.quotas:
            for name, values in ran.raw["traffic"].items():
                assert values.tolist() == twin.counted(name), name
            assert ran.raw["traffic_histograms"].tolist() == twin.histograms(ran.raw["histogram_edges"])
        assert np.array_equal(ran.raw["traffic_histograms"].sum(axis=0), ran.raw["histogram"])


@given(runs(), st.sampled_from([32, 64, 1024]))
@settings(max_examples=30, deadline=None)
def test_core_keeps_quotas_as_the_twin_does(run: tuple[hbm.System, Programs], tile_bytes: int) -> None:
    compare(*run, tile_bytes)


@given(runs())
@settings(max_examples=20, deadline=None)
def test_core_runs_programs_side_by_side_as_the_twin_does(run: tuple[hbm.System, Programs]) -> None:
    system, trace = run
    compare(replace(system, controller=replace(system.controller, quotas={})), trace)


@given(runs(), EVERY)
@settings(max_examples=30, deadline=None)
def test_borders_and_threads_change_nothing(run: tuple[hbm.System, Programs], every: int) -> None:
    system, trace = run
    try:
        plain = replay_of(system, trace).run()
    except HbmPolicyError:
        reject()  # a background of higher priority leaves nothing
    bordered = replay_of(system, trace, threads=2).run(every_ticks=every, observer=lambda *_: None)
    same(plain, bordered)
    for name, values in plain.raw["traffic"].items():
        assert np.array_equal(values, bordered.raw["traffic"][name]), name
    assert np.array_equal(plain.raw["traffic_histograms"], bordered.raw["traffic_histograms"])


@given(PROGRAMS, SYSTEMS)
@settings(max_examples=30, deadline=None)
def test_one_class_without_a_quota_of_its_own_runs_as_if_there_were_no_gate(
    operations: list[Operation], system: hbm.System
) -> None:
    trace = cases.trace_of(*operations)
    gated = replace(system, controller=replace(system.controller, quotas={"all": hbm.Quota()}))
    plain = replay_of(system, trace).run()
    alone = replay_of(gated, hbm.side_by_side({"all": trace})).run()
    alone.raw["operations"].pop("traffic_class")
    same(plain, alone)
