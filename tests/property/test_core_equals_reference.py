"""The C core issues exactly the commands of the Python twin, with and without skipping of idle ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, replace
from itertools import zip_longest
from typing import Any

import numpy as np
import pytest
import strategies_channel as strategies
from hypothesis import HealthCheck, given, settings

from hbmmodel.reference import ChannelOutcome, ChannelPolicy, Command, Request, simulate_channel

_core = pytest.importorskip("hbmmodel._core")

CommandRow = tuple[int, int, int, int, int, int]


def core_policy(case: Any) -> dict[str, Any]:
    """Name the policy's fields as the core does, which takes the divisor of the refresh interval."""
    policy = asdict(case.policy)
    assert policy.pop("refresh_scale_num") == 1
    policy["refresh_scale"] = policy.pop("refresh_scale_den")
    return policy


def run_core(case: Any, skip: bool) -> dict[str, Any]:
    """Pass a case to the core in its own form: arrays per pseudo-channel."""

    def arrays(field: str, dtype: str) -> list[np.ndarray[Any, Any]]:
        return [np.array([getattr(r, field) for r in requests], dtype=dtype) for requests in case.inputs]

    result: dict[str, Any] = _core.run_channel(
        case.ticks,
        core_policy(case),
        arrays("arrival", "int64"),
        arrays("is_write", "uint8"),
        arrays("bank", "int32"),
        arrays("row", "int32"),
        arrays("column", "int32"),
        host_ticks=case.host_ticks,
        window=case.window,
        skip=skip,
    )
    return result


def twin_rows(outcome: ChannelOutcome) -> list[CommandRow]:
    return [(c.tick, c.pc, int(c.command), c.bank, c.row, c.column) for c in outcome.commands]


def core_rows(result: dict[str, Any]) -> list[CommandRow]:
    log = result["commands"]
    fields = ("tick", "pseudo_channel", "command", "bank", "row", "column")
    return list(zip(*(log[field].tolist() for field in fields), strict=True))


def first_difference(twin: Sequence[CommandRow], core: Sequence[CommandRow], context: int = 10) -> str | None:
    """Describe the first command that differs, with those before it, or return None."""

    def text(row: CommandRow | None) -> str:
        if row is None:
            return "-- end --"
        tick, pc, command, bank, r, column = row
        return f"{tick:6d} pc{pc} {Command(command).name:5s} bank {bank:2d} row {r:3d} column {column:2d}"

    pairs = list(zip_longest(twin, core))
    for i, (a, b) in enumerate(pairs):
        if a != b:
            lines = [f"command {i} differs (reference | core):"]
            for k in range(max(0, i - context), min(len(pairs), i + context + 1)):
                mark = "*" if pairs[k][0] != pairs[k][1] else " "
                lines.append(f"{mark} {text(pairs[k][0]):46s} | {text(pairs[k][1])}")
            return "\n".join(lines)
    return None


def assert_same(case: Any, skip: bool) -> None:
    twin = simulate_channel(
        case.ticks,
        case.policy,
        case.inputs,
        max_ticks=100_000,
        host_ticks=case.host_ticks,
        window=case.window,
    )
    core = run_core(case, skip)
    difference = first_difference(twin_rows(twin), core_rows(core))
    if difference is not None:
        pytest.fail(f"skip={skip}\n{difference}\n{case}", pytrace=False)
    for pc, completions in enumerate(twin.completions):
        assert core["accept"][pc].tolist() == [c.accept for c in completions], f"accept, pc {pc}, skip={skip}"
        assert core["done"][pc].tolist() == [c.done for c in completions], f"done, pc {pc}, skip={skip}"
        assert core["forwarded"][pc].astype(bool).tolist() == [c.forwarded for c in completions]
        rows = tuple(int(core["counters"][name][pc]) for name in ("row_hits", "row_misses", "row_conflicts"))
        assert rows == (twin.rows[pc].hits, twin.rows[pc].misses, twin.rows[pc].conflicts), f"rows, pc {pc}"
        assert power_counters(core["counters"], pc) == twin_power(twin, pc), f"power, pc {pc}, skip={skip}"
    assert core["end_tick"] == twin.end_tick


POWER_COUNTERS = (
    "ticks_active_standby", "ticks_precharged_standby", "ticks_active_power_down", "ticks_precharged_power_down",
    "ticks_self_refresh", "lost_power_state", "n_pde", "n_sre",
)  # fmt: skip


def power_counters(counters: dict[str, list[int]], pc: int) -> list[int]:
    return [counters[name][pc] for name in POWER_COUNTERS]


def twin_power(twin: ChannelOutcome, pc: int) -> list[int]:
    counts = twin.counts[pc]
    return [*astuple(twin.power[pc]), twin.lost_power_state[pc], counts[Command.PDE], counts[Command.SRE]]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=strategies.cases())
def test_core_issues_the_commands_of_the_reference(case: Any) -> None:
    """Identical commands, completions and row statistics, whether idle ticks are skipped or visited."""
    assert_same(case, skip=True)
    assert_same(case, skip=False)


def test_precharge_of_all_banks_waits_for_an_auto_precharge_that_has_not_begun() -> None:
    """A rare meeting: the RDA of bank 2 has not begun its precharge when refresh closes all banks."""
    ticks = {
        **strategies.HBM3_LIKE, "RCDRD": 40, "RAS": 40, "RTP": 60, "REFI": 400, "REFIpb": 100, "RAAIMT": 0,
        "RAAMMT": 0, "RAADEC": 0, "channels": 1, "pseudo_channels": 1, "sids": 1, "bank_groups": 2,
        "banks_per_group": 2, "rows": 8, "columns": 8, "burst_bytes": 32, "XP": 12, "CPDED": 12, "PDmin": 12,
        "XS": 200, "postpone_max": 8,
    }  # fmt: skip
    policy = ChannelPolicy(page_policy="closed", refresh="all_bank")
    requests = [Request(350, False, 2, 1, 0), Request(358, False, 0, 1, 0)]
    case = strategies.Case(ticks, policy, [requests], host_ticks=0, window=0)
    for skip in (True, False):
        assert_same(case, skip)


def test_a_request_that_is_served_at_once_frees_what_was_held_for_self_refresh() -> None:
    """Accepted and read in one tick: at its end nothing waits, and yet refreshes may be chosen again."""
    ticks = {
        "act_ticks": 3, "act_reference": 2, "row_ticks": 1, "column_ticks": 2, "column_reference": 0,
        "pre_any_edge": 1, "RL": 24, "WL": 10, "BL": 4, "RCDRD": 26, "RCDWR": 13, "RP": 26, "RAS": 47, "RC":
        73, "WR": 26, "RTP": 8, "RRDS": 4, "RRDL": 5, "FAW": 26, "CCDS": 4, "CCDL": 8, "CCDR": 6, "WTRS": 7,
        "WTRL": 13, "RTW": 24, "PPD": 4, "RREFD": 13, "RFCab": 150, "RFCpb": 90, "RFMab": 150, "RFMpb": 90,
        "channels": 1, "pseudo_channels": 2, "sids": 1, "bank_groups": 3, "banks_per_group": 4, "rows": 3,
        "columns": 4, "burst_bytes": 32, "XP": 12, "CPDED": 12, "PDmin": 12, "XS": 200, "postpone_max": 8,
        "REFI": 2048, "REFIpb": 239, "RAAIMT": 0, "RAAMMT": 0, "RAADEC": 0,
    }  # fmt: skip
    policy = ChannelPolicy(
        postpone=0, pull_in=1, read_queue=1, write_queue=1, write_high=1, write_low=0, cap=1,
        power="self_refresh_idle", power_down_ticks=0, self_refresh_ticks=51,
    )  # fmt: skip
    first = [Request(40, False, 2, 1, 0), Request(40, False, 2, 2, 3)]
    rows = [(11, 1, 3), (11, 2, 1), (11, 2, 2), (6, 1, 1), (6, 1, 1)]
    second = [Request(-1, False, bank, row, column) for bank, row, column in rows]
    case = strategies.Case(ticks, policy, [first, second], host_ticks=60, window=1)
    for skip in (True, False):
        assert_same(case, skip)


def run_system(case: Any) -> tuple[int, dict[str, list[int]]]:
    """Run a case the way large runs go: by address, without a command log.  Return end tick and counters."""
    k = case.ticks
    # Column numbers of the coordinates, from the low end of the address: column, bank, group, SID, row, pc.
    radix = {7: k["columns"], 5: k["banks_per_group"], 4: k["bank_groups"], 3: k["sids"], 6: k["rows"]}
    radix[2] = k["pseudo_channels"]
    device_map = _core.CoreMap(_core.CoreDevice(k), 1, [(f, n, 1) for f, n in radix.items() if n > 1])
    system = _core.CoreSystem(
        device_map,
        core_policy(case),
        host_ticks=case.host_ticks,
        window=case.window,
        threads=1,
        command_log=False,
        epoch_ticks=1 << 20,
    )
    order = [(pc, r) for pc, requests in enumerate(case.inputs) for r in requests]
    coordinates = np.zeros((len(order), 8), dtype=np.int32)
    for i, (pc, r) in enumerate(order):
        group, in_group = divmod(r.bank, k["banks_per_group"])
        sid, group = divmod(group, k["bank_groups"])
        coordinates[i] = (0, 0, pc, sid, group, in_group, r.row, r.column)
    arrival = np.array([r.arrival for _, r in order], dtype=np.int64)
    system.requests(
        device_map.encode(coordinates),
        np.array([r.is_write for _, r in order], dtype=np.uint8),
        None if (arrival < 0).all() else arrival,
        False,
    )
    end = system.finish()
    return end, {name: values.tolist() for name, values in system.counters().items()}


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=strategies.cases())
def test_system_without_a_log_counts_what_the_reference_does(case: Any) -> None:
    """The core has leaner steps for runs that record nothing; they must do the same."""
    timed = any(r.arrival >= 0 for requests in case.inputs for r in requests)
    inputs = [[replace(r, arrival=max(r.arrival, 0)) if timed else r for r in rs] for rs in case.inputs]
    case = replace(case, inputs=inputs)
    twin = simulate_channel(
        case.ticks, case.policy, inputs, max_ticks=100_000, host_ticks=case.host_ticks, window=case.window
    )
    end, counters = run_system(case)
    assert end == twin.end_tick
    for pc, completions in enumerate(twin.completions):
        reads = [
            c.done - (r.arrival if timed else c.accept)
            for r, c in zip(inputs[pc], completions, strict=True)
            if not r.is_write
        ]
        expected = {
            "row_hits": twin.rows[pc].hits,
            "row_misses": twin.rows[pc].misses,
            "row_conflicts": twin.rows[pc].conflicts,
            "n_act": twin.counts[pc][Command.ACT],
            "n_rd": twin.counts[pc][Command.RD],
            "n_wr": twin.counts[pc][Command.WR],
            "n_rda": twin.counts[pc][Command.RDA],
            "n_wra": twin.counts[pc][Command.WRA],
            "reads_forwarded": sum(c.forwarded for c in completions),
            "read_latency_ticks_sum": sum(reads),
            "read_latency_ticks_max": max(reads, default=0),
        }
        assert {name: counters[name][pc] for name in expected} == expected, f"pc {pc}"
        # An idle row may be closed between the last column command and its data, which changes standby only.
        ours, theirs = power_counters(counters, pc), twin_power(twin, pc)
        assert ours[2:6] == theirs[2:6], f"power, pc {pc}"
        assert ours[6] >= theirs[6] and ours[7] >= theirs[7]
        assert sum(ours[:5]) == end
        # The system runs on to the end tick, so idle banks may see some more of these.
        for name, command in (
            ("n_pre_pb", Command.PREpb),
            ("n_ref_pb", Command.REFpb),
            ("n_ref_ab", Command.REFab),
        ):
            assert counters[name][pc] >= twin.counts[pc][command], f"{name}, pc {pc}"


def test_a_difference_is_shown_with_its_surroundings() -> None:
    a: list[CommandRow] = [(t, 0, 3, 0, 1, t) for t in range(0, 40, 2)]
    b = [*a[:15], (31, 0, 3, 0, 1, 30), *a[16:]]
    text = first_difference(a, b)
    assert text is not None
    assert text.startswith("command 15 differs")
    assert len(text.splitlines()) == 1 + 10 + 1 + 4
    assert first_difference(a, a) is None
    assert "-- end --" in str(first_difference(a, a[:-1]))
