"""Borders change nothing by themselves; conditions set at one act from there on, in the core as in the twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import sim_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sim_in_flight import PROGRAMS, SYSTEMS, Program, rows_of_core, rows_of_twin

import hbmmodel as hbm
from hbmmodel.sim.replay import WHOLE_LOG, Replay, count
from hbmmodel.trace import Operation

EVERY = st.sampled_from([2, 10, 64, 200, 1000])
CHANGES = st.lists(
    st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([0, 0, 700, 2048, 6000])), min_size=1, max_size=6
)


def replay_of(system: hbm.System, trace: Any, threads: int = 1, log: bool = True, mode: str = "closed") -> Replay:
    return Replay(
        system=system,
        trace=trace,
        mode=mode,
        order="tile",
        tile_bytes=1024,
        cache=None,
        threads=threads,
        command_log=log,
        log_window_ticks=WHOLE_LOG,
        epoch_ticks=400,
        wrap=False,
        request_bytes=None,
        progress=False,
    )


def same(a: Any, b: Any) -> None:
    for name in ("counters", "histogram", "operations", "epochs", "command_log", "end_tick"):
        left, right = a.raw[name], b.raw[name]
        if isinstance(left, dict):
            assert set(left) == set(right)
            for key in left:
                assert np.array_equal(left[key], right[key]), (name, key)
        else:
            assert np.array_equal(left, right), name
    for name in ("n_act", "n_rd", "n_wr", "active_ticks", "any_active_ticks", "self_refresh_ticks"):
        assert np.array_equal(getattr(a.counts, name), getattr(b.counts, name)), name


@given(SYSTEMS, PROGRAMS, EVERY, st.sampled_from(["closed", "asap"]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_run_with_borders_is_the_run_without(
    system: hbm.System, operations: list[Operation], every: int, mode: str, log: bool
) -> None:
    trace = cases.trace_of(*operations)
    plain = replay_of(system, trace, log=log, mode=mode).run()
    for threads in (1, 2):
        ticks: list[int] = []
        bordered = replay_of(system, trace, threads, log, mode).run(
            every_ticks=every, observer=lambda _, tick, ticks=ticks: ticks.append(tick)
        )
        same(plain, bordered)
        assert ticks == [every * (i + 1) for i in range(len(ticks))]


@given(SYSTEMS, PROGRAMS, EVERY)
@settings(max_examples=40, deadline=None)
def test_counts_at_borders_add_up_to_those_of_the_run(
    system: hbm.System, operations: list[Operation], every: int
) -> None:
    seen = []
    trace = cases.trace_of(*operations)
    ran = replay_of(system, trace).run(
        every_ticks=every, observer=lambda core, tick: seen.append(count(core, system, tick))
    )
    seen.append(ran.counts)
    total = seen[0]
    for before, after in zip(seen, seen[1:], strict=False):
        total = total + (after - before)  # every difference is checked: no count and no time in a state is negative
    assert total.elapsed_ticks == ran.counts.elapsed_ticks
    assert np.array_equal(total.active_ticks, ran.counts.active_ticks)


@given(SYSTEMS, PROGRAMS, EVERY.filter(lambda every: every >= 64), CHANGES)
@settings(max_examples=60, deadline=None)
def test_conditions_set_at_borders_act_as_in_the_twin(
    system: hbm.System, operations: list[Operation], every: int, changes: list[tuple[int, int]]
) -> None:
    if system.controller.refresh == "all_bank":
        changes = [(min(scale, 2), gap) for scale, gap in changes]
    at = {every * (i + 1): change for i, change in enumerate(changes)}

    def run(threads: int, log: bool) -> tuple[Any, dict[int, tuple[int, int]]]:
        set_at = {}

        def observer(core: Any, tick: int) -> None:
            if tick in at:
                core.set_conditions(0, *at[tick])
                set_at[tick] = at[tick]

        replay = replay_of(system, cases.trace_of(*operations), threads, log)
        return replay.run(every_ticks=every, observer=observer), set_at

    applied = run(1, True)[1]  # when all is taken in, no border follows: the queues drain
    program = Program(system, operations, 1024 // 32)
    program.run(applied)
    last = max(i.tick for log in program.logs for i in log)
    expected = rows_of_twin(program, last)
    taken = max(tick for pcs in program.channels for pc in pcs for tick in pc.accept)
    assert {tick for tick in at if tick <= taken} <= set(applied)

    for threads, log in ((1, True), (2, True), (2, False)):
        ran, again = run(threads, log)
        assert again == applied
        found = ran.raw["operations"]
        assert (found["start_tick"].tolist(), found["end_tick"].tolist()) == (program.start, program.end)
        if log:
            assert rows_of_core(system, ran.raw["command_log"], last) == expected


@given(SYSTEMS, st.lists(st.tuples(st.integers(0, 4000), st.booleans(), st.integers(0, 4000)), min_size=1), EVERY)
@settings(max_examples=60, deadline=None)
def test_requests_with_borders_are_those_without(
    system: hbm.System, requests: list[tuple[int, bool, int]], every: int
) -> None:
    address = np.array([32 * burst for burst, _, _ in requests], dtype=np.uint64)
    is_write = np.array([write for _, write, _ in requests])
    time_ps = np.cumsum([gap for _, _, gap in requests])
    for mode, times in (("asap", None), ("paced", time_ps)):
        trace = hbm.Trace.from_requests(address, is_write, time_ps=times)
        plain = replay_of(system, trace, mode=mode).run()
        same(plain, replay_of(system, trace, mode=mode).run(every_ticks=every, observer=lambda *_: None))


def test_what_a_border_allows_does_not_reach_back_before_it() -> None:
    """A host that stops waiting at a border offers what waited from there on, not from where it began to wait."""
    system = cases.small(host_latency_ns=60.0, window_bytes=0)
    operations = [cases.operation(0, cases.writes(0, 1)), cases.operation(1, cases.reads(0, 6000))]
    at = {192: (1, 6000), 256: (1, 0)}
    program = Program(system, operations, 1024 // 32)
    program.run(at)
    last = max(i.tick for log in program.logs for i in log)

    def observer(core: Any, tick: int) -> None:
        if tick in at:
            core.set_conditions(0, *at[tick])

    ran = replay_of(system, cases.trace_of(*operations)).run(every_ticks=64, observer=observer)
    assert rows_of_core(system, ran.raw["command_log"], last) == rows_of_twin(program, last)
