"""The C core issues exactly the commands of the Python twin, with and without skipping of idle ticks."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from hbmmodel.reference import ChannelOutcome, Command, simulate_channel

_core = pytest.importorskip("hbmmodel._core")

_spec = importlib.util.spec_from_file_location(
    "strategies_channel", Path(__file__).with_name("strategies_channel.py")
)
assert _spec is not None and _spec.loader is not None
strategies: Any = sys.modules.setdefault(_spec.name, importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(strategies)

CommandRow = tuple[int, int, int, int, int, int]


def run_core(case: Any, skip: bool) -> dict[str, Any]:
    """Pass a case to the core in its own form: arrays per pseudo-channel."""

    def arrays(field: str, dtype: str) -> list[np.ndarray[Any, Any]]:
        return [np.array([getattr(r, field) for r in requests], dtype=dtype) for requests in case.inputs]

    policy = asdict(case.policy)
    assert policy.pop("refresh_scale_num") == 1
    policy["refresh_scale"] = policy.pop("refresh_scale_den")  # the core takes the divisor
    result: dict[str, Any] = _core.run_channel(
        case.ticks,
        policy,
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
    assert core["end_tick"] == twin.end_tick


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=strategies.cases())
def test_core_issues_the_commands_of_the_reference(case: Any) -> None:
    """Identical commands, completions and row statistics, whether idle ticks are skipped or visited."""
    assert_same(case, skip=True)
    assert_same(case, skip=False)


def test_a_difference_is_shown_with_its_surroundings() -> None:
    a: list[CommandRow] = [(t, 0, 3, 0, 1, t) for t in range(0, 40, 2)]
    b = [*a[:15], (31, 0, 3, 0, 1, 30), *a[16:]]
    text = first_difference(a, b)
    assert text is not None
    assert text.startswith("command 15 differs")
    assert len(text.splitlines()) == 1 + 10 + 1 + 4
    assert first_difference(a, a) is None
    assert "-- end --" in str(first_difference(a, a[:-1]))
