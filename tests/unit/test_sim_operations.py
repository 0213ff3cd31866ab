"""Operations: their tables, runs that share bursts, turns between operands, ends of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.errors import HbmAddressError
from hbmmodel.mapping import FIELDS
from hbmmodel.sim import simulate
from hbmmodel.trace import Trace

reads, writes, trace_of = cases.reads, cases.writes, cases.trace_of


def mixed_program(n: int = 40) -> Any:
    rng = np.random.default_rng(17)
    made = []
    for i in range(n):
        accesses = [reads(int(rng.integers(0, 1 << 20)), int(rng.integers(1, 9000))) for _ in range(2)]
        accesses.append(writes(int(rng.integers(0, 1 << 20)), 96, [(int(rng.integers(1, 30)), 224)]))
        made.append(cases.operation(i, *accesses, phase=f"step{i // 10}", time_ns=100 * i))
    return trace_of(*made)


@pytest.mark.parametrize("mode", ["asap", "paced", "closed"])
@pytest.mark.parametrize("order", ["tile", "stream"])
def test_operations_sum_to_the_totals(mode: str, order: str) -> None:
    system = cases.small(channels=2, stacks=2)
    result = simulate(system, mixed_program(), mode=mode, order=order)
    table, summary = result.operations, result.summary
    forwarded = summary["reads_forwarded"]
    assert table["bytes_written"].sum() == summary["bytes_written"] == 32 * summary["n_wr"]
    assert table["bytes_read"].sum() == 32 * (summary["n_rd"] + forwarded)
    assert table["row_misses"].sum() == summary["row_misses"] > 0
    assert table["row_conflicts"].sum() == summary["row_conflicts"] > 0
    assert table["row_hits"].sum() == summary["row_hits"] + forwarded
    assert (table["end_ns"] >= table["start_ns"]).all()
    assert table["end_ns"].max() <= summary["time_ns"]
    assert table["index"].tolist() == list(range(40))
    assert list(table["name"]) == [f"op{i}" for i in range(40)]
    assert list(table["phase"]) == [f"step{i // 10}" for i in range(40)]
    assert (result.trace["kind"], result.trace["records"], result.trace["order"]) == ("operations", 40, order)


def test_bandwidth_of_an_operation_is_its_bytes_over_its_time() -> None:
    table = simulate(cases.small(), mixed_program()).operations
    want = (table["bytes_read"] + table["bytes_written"]) / table["duration_ns"]
    assert np.allclose(table["bandwidth_gb_per_s"], want)
    assert np.array_equal(table["duration_ns"], table["end_ns"] - table["start_ns"])


@pytest.mark.parametrize(
    "access, n_bursts",
    [
        (reads(0, 8, [(16, 8)]), 4),  # elements side by side
        (reads(0, 8, [(16, 16)]), 8),  # every other one
        (reads(0, 8, [(16, 40)]), 16),
        (reads(4, 32), 2),
        (reads(31, 2), 2),
        (reads(30, 36, [(4, 36)]), 6),  # each begins in the burst in which the one before ends
        (reads(0, 32, rows=[0, 0, 0, 32, 0]), 3),  # the same burst again, at once and later
        (reads(0, 64, rows=[0, 32]), 3),
        (writes(5, 10, [(2, 4096), (3, 10)]), 4),  # bytes 5..35 of two rows
    ],
)
def test_runs_of_one_operand_that_meet_inside_a_burst_move_it_once(access: Any, n_bursts: int) -> None:
    summary = simulate(cases.small(), trace_of([access])).summary
    assert summary["requests_out"] == n_bursts
    assert summary["padding_bytes"] == 32 * n_bursts - access.n_bytes


def test_two_operands_do_not_share_bursts() -> None:
    summary = simulate(cases.small(), trace_of([reads(0, 8), reads(8, 8)])).summary
    assert summary["n_rd"] == 2


def test_scalar_operands_of_many_operations_cost_one_burst_each() -> None:
    result = simulate(cases.small(), trace_of(*([reads(4096 * i, 1)] for i in range(200))))
    assert result.summary["n_rd"] == 200
    assert result.summary["padding_bytes"] == 200 * 31


def order_of_operands(system: hbm.System, trace: Any, **options: Any) -> list[int]:
    """Which operand (by megabyte) each read of pseudo-channel 0 belongs to, in order of acceptance."""
    log = simulate(system, trace, command_log=True, **options).command_log
    rows = log[(log["pseudo_channel"] == 0) & np.isin(log["command"], [int(c) for c in cases.READS])]
    return [int(a) >> 20 for a in system.map.encode(cases.coordinates_of(rows))]


def test_stream_order_takes_one_operand_after_the_other_and_tile_order_takes_turns() -> None:
    # First come, first served: commands come in the order in which the bursts were offered.
    system = cases.small(controller=hbm.Controller(scheduler="fcfs", refresh="none"))
    trace = trace_of([reads(0, 4096), reads(1 << 20, 4096), reads(2 << 20, 2048)])
    stream = order_of_operands(system, trace, order="stream")
    assert stream == [0] * 64 + [1] * 64 + [2] * 32
    tile = order_of_operands(system, trace, tile_bytes=512)
    assert tile == [0] * 16 + [1] * 16 + [2] * 16 + [0] * 16 + [1] * 16 + [2] * 16 + 2 * ([0] * 16 + [1] * 16)
    assert order_of_operands(system, trace) == order_of_operands(system, trace, tile_bytes=1024)
    single = order_of_operands(system, trace, tile_bytes=32)
    assert single == [0, 1, 2] * 32 + [0, 1] * 32


def test_turns_change_the_order_and_never_the_bytes() -> None:
    system = cases.small(channels=2)
    trace = trace_of([reads(0, 50_000), reads(1 << 20, 70_001), writes(2 << 20, 30_000)])
    runs = [simulate(system, trace, **o) for o in ({"order": "stream"}, {"tile_bytes": 32}, {"tile_bytes": 4096})]
    for key in ("bytes_read", "bytes_written", "requests_out"):
        assert len({run.summary[key] for run in runs}) == 1
    assert len({run.summary["time_ticks"] for run in runs}) > 1


def test_operand_beyond_the_capacity_is_named() -> None:
    system = cases.small()
    end = system.capacity_bytes
    good = trace_of([reads(end - 64, 64)])
    assert simulate(system, good).summary["n_rd"] == 2
    bad = trace_of([reads(0, 64)], [reads(0, 64), writes(128, 64, [(3, end // 2)])])
    with pytest.raises(HbmAddressError) as caught:
        simulate(system, bad)
    text = str(caught.value)
    for part in ("<operations>", "operation 1 (op1)", "operand 1", f"{128:#x}..{end + 192:#x}", f"{end:#x}"):
        assert part in text
    assert "wrap=True" in text and len(text.splitlines()) == 1
    assert simulate(system, bad, wrap=True).summary["n_wr"] == 6


def test_request_beyond_the_capacity_is_named_by_its_record() -> None:
    system = cases.small()
    end = system.capacity_bytes
    with pytest.raises(HbmAddressError, match=rf"<requests>: record 2: bytes {end:#x}\.\."):
        simulate(system, Trace.from_requests([0, end - 1, end], [0, 0, 0]))
    sizes = [320, 64, 64]  # the first takes ten bursts: records are not bursts
    with pytest.raises(HbmAddressError, match=rf"record 2: bytes {end - 32:#x}\.\.{end + 32:#x}") as caught:
        simulate(system, Trace.from_requests([0, 0, end - 32], [0, 0, 0], size=sizes))
    assert len(str(caught.value).splitlines()) == 1
    n = 300_000  # more than one chunk
    with pytest.raises(HbmAddressError, match=f"record {n}:"):
        simulate(system, Trace.from_requests([*range(0, 32 * n, 32), end], [0] * (n + 1)))


def test_request_at_the_top_of_64_bits_is_refused_or_wraps() -> None:
    system = cases.small()
    trace = Trace.from_requests([0, 2**64 - 1], [0, 0], size=[100, 2])
    with pytest.raises(HbmAddressError, match=r"record 1: bytes 0xf{16}\.\.0x10{15}1"):
        simulate(system, trace)
    # The capacity, 3 * 2**n, does not divide 2**64.
    assert simulate(system, trace, wrap=True).summary["requests_out"] == 4 + len(
        {((2**64 - 1) % system.capacity_bytes + i) // 32 for i in (0, 1)}
    )


@pytest.mark.parametrize("mapping", ["row-bank-column-channel", "channel-row-bank-column"])
def test_third_sid_and_last_row_of_24_gb_dies_are_reached(mapping: str) -> None:
    system = hbm.System(hbm.device("HBM3E_8000", "24Gb_12H"), mapping=mapping)
    n = system.capacity_bytes
    log = simulate(system, trace_of([reads(n - 4096, 4096)]), command_log=True).command_log
    rows = log[np.isin(log["command"], [int(c) for c in cases.READS])]
    assert len(rows) == 128
    assert set(rows["sid"]) == {2} and set(rows["row"]) == {24575}
    assert np.array_equal(np.sort(system.map.encode(cases.coordinates_of(rows))), np.arange(n - 4096, n, 32))


def test_every_field_of_a_strided_walk_is_visited() -> None:
    system = hbm.System(hbm.device("HBM4_8000", "24Gb_12H"), stacks=5)
    step = (system.capacity_bytes // 9973 // 32 - 1 | 1) * 32  # an odd number of bursts
    log = simulate(system, trace_of([reads(0, 32, [(9973, step)])]), command_log=True).command_log
    rows = cases.coordinates_of(log[np.isin(log["command"], [int(c) for c in cases.READS])])
    assert len(rows) == 9973
    sizes = {"stack": 5, "channel": 32, "pseudo_channel": 2, "sid": 3, "bank_group": 2, "bank": 8, "column": 32}
    for name, size in sizes.items():
        assert len(set(rows[:, FIELDS.index(name)])) == size


def test_progress_goes_to_standard_error_and_counts_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    plain = simulate(cases.small(), trace_of([reads(0, 4096)], [writes(0, 4096)])).summary
    assert capsys.readouterr().err == ""
    shown = simulate(cases.small(), trace_of([reads(0, 4096)], [writes(0, 4096)]), progress=True).summary
    assert "100%" in capsys.readouterr().err
    assert shown == plain
    simulate(cases.small(), Trace.from_requests([0, 64], [0, 0]), progress=True)
    assert "100%" in capsys.readouterr().err
