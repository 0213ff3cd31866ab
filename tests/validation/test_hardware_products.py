"""Loads that were measured on products: how they are imitated, and how near ours comes."""

from __future__ import annotations

import pytest

from hbmmodel import Controller, System, device, simulate
from hbmmodel.validate import hardware
from hbmmodel.validate.hardware import EfficiencyRow
from hbmmodel.validate.traffic import bank_rotation_bytes, stream


@pytest.fixture(scope="module")
def default() -> dict[tuple[str, str], EfficiencyRow]:
    return {(row["platform"], row["mix"]): row for row in hardware.efficiency()}


def test_every_target_is_compared(default: dict[tuple[str, str], EfficiencyRow]) -> None:
    assert set(default) == {(target.platform, target.mix) for target in hardware.TARGETS}
    for row in default.values():
        assert 0 < row["ours_min"] <= row["ours"] <= row["ours_max"] <= 1
        assert 0.5 < row["measured_low"] <= row["measured_high"] < 1
        assert row["ours"] + sum(row["lost"].values()) <= 1 + 1e-9


def test_mixes_come_within_a_twentieth_of_the_measurements(default: dict[tuple[str, str], EfficiencyRow]) -> None:
    mixes = [row for (_, mix), row in default.items() if mix.startswith(("triad", "copy"))]
    assert len(mixes) == 8
    for row in mixes:
        assert not hardware.unlike(row, 0.05), row
        assert max(row["lost"], key=lambda cause: row["lost"][cause]) == "turnaround"


def test_reads_alone_are_too_fast_and_that_is_told(default: dict[tuple[str, str], EfficiencyRow]) -> None:
    """A known miss: if it disappears, the words of the validation page are wrong."""
    for (_, mix), row in default.items():
        if mix == "read only":
            assert hardware.unlike(row) == "above"


def test_most_single_directions_lie_between_the_refresh_policies(
    default: dict[tuple[str, str], EfficiencyRow],
) -> None:
    between = []
    for row in hardware.efficiency("REFab"):
        if row["mix"] in ("read only", "write only"):
            other = default[row["platform"], row["mix"]]
            between.append(row["ours"] <= row["measured_high"] and row["measured_low"] <= other["ours"])
    assert sum(between) >= len(between) - 1


def test_a_deeper_write_queue_turns_the_bus_less_often(default: dict[tuple[str, str], EfficiencyRow]) -> None:
    targets = tuple(target for target in hardware.TARGETS if target.platform == "H100 SXM")
    for row in hardware.efficiency("write queue 256", targets=targets):
        same = default[row["platform"], row["mix"]]
        if row["mix"] in ("triad 2R:1W", "copy 1R:1W"):
            assert row["lost"]["turnaround"] < 0.5 * same["lost"]["turnaround"]
            assert row["ours"] > same["ours"] + 0.03


@pytest.mark.parametrize("refresh", ["per_bank", "all_bank"])
def test_one_channel_stands_for_all(refresh: str) -> None:
    """A triad on the five stacks of an H100, and its share of it on one channel."""
    platform = hardware.PLATFORMS[0]
    controller = Controller(refresh=refresh)
    whole = System(device(platform.preset, platform.variant), stacks=platform.stacks, controller=controller)
    one = platform.system(controller=controller)
    assert whole.window_bursts == one.window_bursts
    share = {}
    for system, per_operand in ((one, 1 << 18), (whole, (1 << 18) * whole.n_channels)):
        rotation = bank_rotation_bytes(system)
        bases = [i * (per_operand // rotation + 1) * rotation + i * rotation // 4 for i in range(3)]
        summary = simulate(system, stream("rrw", per_operand, bases=bases)).summary
        share[system.n_channels] = summary["fraction_of_peak"]
    assert share[1] == pytest.approx(share[whole.n_channels], rel=0.005)


def test_unlike_says_which_way() -> None:
    row = EfficiencyRow(
        platform="", mix="", measured_low=0.8, measured_high=0.9, source="", ours=0.85, ours_min=0, ours_max=1, lost={}
    )
    assert hardware.unlike(row) == ""
    assert hardware.unlike({**row, "ours": 0.94}) == "above"
    assert hardware.unlike({**row, "ours": 0.76}) == "below"


def test_unloaded_latency_with_the_default_host_path_is_sensible() -> None:
    rows = list(hardware.idle_latency(500))
    assert len(rows) == len(hardware.IDLE)
    for row in rows:
        assert row["measured_low"] <= row["ours_mean_ns"] <= row["measured_high"]
        assert row["device_p50_ns"] < row["device_mean_ns"]  # a few reads meet a refresh
        assert row["ours_mean_ns"] == pytest.approx(row["device_mean_ns"] + row["host_ns"])


def test_the_curve_of_a_reading_load_is_flat_and_then_rises() -> None:
    rows = hardware.load_curve(0.98)
    ours = [row["ours_ns"] for row in rows]
    assert None not in ours and ours == sorted(ours)
    assert rows[0]["reached"] > 0.85
    flat, knee = ours[2] - ours[0], ours[-1]
    assert flat < 50 < knee


def test_a_map_that_spreads_lines_over_banks_ends_the_curve_early() -> None:
    spread = hardware.load_curve(0.98, n=6_000, mapping="row-bank-column-channel")
    assert spread[0]["reached"] < 0.6
    assert spread[-1]["ours_ns"] is None
