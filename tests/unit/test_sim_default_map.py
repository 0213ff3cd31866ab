"""The map and the policies that a user gets without asking: streams run at the pins' rate on every device."""

from __future__ import annotations

from typing import Any

import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.sim import simulate

MIB = 1 << 20
# Not the X_ sets: they are another program's numbers, some of them (tRCD 39 ns at 16 Gb/s) beyond any queue.
PRESETS = [(name, variant) for name, variant in cases.PRESETS if not name.startswith("X_")]


def stream(system: hbm.System, is_write: bool, mib: int = 16) -> Any:
    operand = (cases.writes if is_write else cases.reads)(0, mib * MIB * system.stacks)
    return simulate(system, cases.trace_of([operand])).summary


@pytest.mark.parametrize("is_write", [False, True], ids=["read", "write"])
@pytest.mark.parametrize("name, variant", PRESETS)
def test_stream_reaches_nine_tenths_of_the_pin_rate(name: str, variant: str, is_write: bool) -> None:
    summary = stream(hbm.System(hbm.device(name, variant)), is_write)
    assert summary["fraction_of_peak"] >= 0.9
    assert summary["fraction_of_peak"] <= 1.0
    assert summary["row_hit_rate"] > 0.95


@pytest.mark.parametrize("name, variant", PRESETS)
def test_stream_hardly_ever_waits_for_another_sid(name: str, variant: str) -> None:
    summary = stream(hbm.System(hbm.device(name, variant), controller=cases.NO_REFRESH), False, mib=4)
    assert summary["lost_share_sid"] < 0.002
    assert summary["lost_share_bank_group"] < 0.002


@pytest.mark.parametrize("stacks", [2, 3, 8])
def test_stream_over_several_stacks_reaches_the_rate_of_all(stacks: int) -> None:
    system = hbm.System(hbm.device("HBM3_6400", "16Gb_12H"), stacks=stacks)
    summary = stream(system, False, mib=8)
    assert summary["fraction_of_peak"] >= 0.9
    assert summary["bandwidth_gb_per_s"] > 0.9 * stacks * 819.2


def test_strict_tccdl_limits_the_streams_of_hbm4_and_the_account_says_so() -> None:
    # Two bank groups, tCCDL = 5 CK: four fifths of the rate is all there is.
    system = hbm.System(hbm.device("HBM4_8000", "24Gb_12H", strict_tccdl=True), controller=cases.NO_REFRESH)
    summary = stream(system, False, mib=4)
    assert 0.72 <= summary["fraction_of_peak"] <= 0.8
    assert summary["lost_share_bank_group"] == pytest.approx(0.2, abs=0.03)


def test_map_with_sids_lowest_pays_for_every_change() -> None:
    device = hbm.device("HBM3_6400", "16Gb_8H")
    # Another SID with every burst: tCCDR 3 CK instead of tCCDS 2 CK, and a scheduler that cannot help it.
    system = hbm.System(
        device,
        controller=hbm.Controller(scheduler="fcfs", refresh="none"),
        mapping="row bank column bank_group stack channel pseudo_channel sid",
    )
    summary = stream(system, False, mib=4)
    assert summary["fraction_of_peak"] < 0.68
    assert summary["lost_share_sid"] > 0.2
