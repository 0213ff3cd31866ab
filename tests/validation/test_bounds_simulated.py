"""Simulation respects every bound that follows from the device, and comes near those that its traffic aims at."""

from __future__ import annotations

import pytest

from hbmmodel import Controller, System, device, simulate
from hbmmodel.validate import bounds
from hbmmodel.validate.traffic import stream

NAMES = ("HBM2E_3200", "HBM3_6400", "HBM3E_9600", "HBM4_8000", "HBM4_11000")
REFPB = "read stream: REFpb costs no more than REFab"


@pytest.fixture(scope="module")
def rows() -> list[bounds.Row]:
    return list(bounds.rows(NAMES))


def of(rows: list[bounds.Row], start: str) -> list[bounds.Row]:
    found = [row for row in rows if row["quantity"].startswith(start)]
    assert found
    return found


def test_every_bound_holds(rows: list[bounds.Row]) -> None:
    wrong = [row for row in rows if row["status"] not in ("same", "holds") and row["quantity"] != REFPB]
    assert not wrong


def test_unloaded_latency_is_exact(rows: list[bounds.Row]) -> None:
    for row in of(rows, "latency"):
        assert row["ours"] == pytest.approx(row["expected"], abs=1e-9), row


def test_a_stream_reaches_the_pins(rows: list[bounds.Row]) -> None:
    for row in of(rows, "read stream without refresh"):
        assert row["ours"] > 0.99 * row["expected"], row


def test_banks_in_turn_come_near_the_activation_bound(rows: list[bounds.Row]) -> None:
    for row in (row for row in rows if row["quantity"].endswith("banks in turn")):
        assert row["ours"] > (0.99 if row["source"] != "pins" else 0.95) * row["expected"], row


def test_random_banks_come_within_a_tenth_of_the_bound(rows: list[bounds.Row]) -> None:
    for row in (row for row in rows if row["quantity"].endswith("random banks")):
        assert row["ours"] > 0.9 * row["expected"], row


def test_the_bank_cycle_is_used(rows: list[bounds.Row]) -> None:
    for row in of(rows, "32 B per ACT, bound of the banks"):
        assert row["ours"] > 0.9 * row["expected"], row


def test_refab_costs_its_time_and_closing_and_opening_of_rows(rows: list[bounds.Row]) -> None:
    for row in of(rows, "REFab"):
        extra_ns = (row["ours"] - row["expected"]) * 3900
        assert 0 < extra_ns < 80, row


def test_refpb_hides_behind_other_banks_in_hbm3() -> None:
    for name, variant in (("HBM3_5200", "16Gb_8H"), ("HBM3_6400", "16Gb_16H"), ("HBM3E_6400", "24Gb_12H")):
        assert bounds.stream_share(name, variant) > 0.98
        assert bounds.stream_share(name, variant, refresh="all_bank") < 0.91


@pytest.mark.parametrize("row", list(bounds.ccdl_rows(1 << 20)), ids=lambda row: row["quantity"][7:])
def test_the_best_schedule_under_tccdl_is_found(row: bounds.Row) -> None:
    assert row["status"] == "holds"
    assert row["ours"] > 0.99 * row["expected"]


def test_writes_are_not_bound_by_tccdr() -> None:
    """Four groups of two SIDs let writes reach the pins even with tCCDL 7, where reads stop at two thirds."""
    slow = device("HBM4_8000", channels=1, sids=2, tCCDL_ck=7, tCCDR_ck=4)
    mapping = "row bank column channel pseudo_channel sid bank_group"
    system = System(slow, controller=Controller(refresh="none"), window_bytes=0, mapping=mapping)
    share = {kind: simulate(system, stream(kind, 1 << 20)).summary["fraction_of_peak"] for kind in "rw"}
    assert share["w"] > 0.99
    assert share["r"] == pytest.approx(2 / 3, rel=0.01)


def test_a_changed_device_changes_what_is_measured() -> None:
    """With tFAW doubled, half as many rows can be opened."""
    slow = next(bounds.random_rows(device("HBM4_8000", tFAW_ns=32), 1000, random_banks=False))
    assert slow["expected"] == 0.125
    assert slow["ours"] == pytest.approx(0.125, rel=0.01)
