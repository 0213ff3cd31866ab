"""Refresh that leaves next to no time: what cannot go on is refused or ends with an error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import strategies_channel as strategies
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_core_equals_reference import core_rows, run_core, twin_rows

import hbmmodel as hbm
from hbmmodel import _core
from hbmmodel.errors import HbmPolicyError
from hbmmodel.reference import ChannelPolicy, DeadlockError, Request, simulate_channel
from hbmmodel.system import least_refresh_interval

FIELDS = {"per_bank": "REFIpb", "all_bank": "REFI"}


def with_interval(case: Any, beyond_least: int) -> Any:
    """The case, refreshed as often as is accepted, or `beyond_least` ticks less often."""
    least = _core.CoreDevice(case.ticks).least_refresh_interval(case.policy.refresh == "per_bank")
    interval = (least + beyond_least) * case.policy.refresh_scale_den
    return replace(case, ticks={**case.ticks, FIELDS[case.policy.refresh]: interval})


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=strategies.cases(), beyond_least=st.integers(0, 12))
def test_core_and_twin_get_through_or_give_up_alike(case: Any, beyond_least: int) -> None:
    assume(case.policy.refresh != "none")
    case = with_interval(case, beyond_least)
    try:
        twin = simulate_channel(
            case.ticks, case.policy, case.inputs, max_ticks=10**7, host_ticks=case.host_ticks, window=case.window
        )
    except DeadlockError:
        for skip in (True, False):
            with pytest.raises(HbmPolicyError, match="only refreshes"):
                run_core(case, skip)
        return
    for skip in (True, False):
        assert core_rows(run_core(case, skip)) == twin_rows(twin)


@given(ticks=strategies.devices(), per_bank=st.booleans())
def test_a_system_knows_the_least_interval_of_the_core(ticks: dict[str, int], per_bank: bool) -> None:
    banks = ticks["sids"] * ticks["bank_groups"] * ticks["banks_per_group"]
    core = _core.CoreDevice(ticks)
    assert least_refresh_interval(ticks, banks, per_bank) == core.least_refresh_interval(per_bank)


def starved() -> Any:
    """One bank group whose refreshes follow each other too closely for an ACT between them to be answered."""
    ticks = {
        **strategies.HBM4_LIKE, "RREFD": 16, "RFCpb": 90, "RRDS": 12, "RRDL": 40, "REFI": 2000, "RAAIMT": 0,
        "RAAMMT": 0, "RAADEC": 0, "channels": 1, "pseudo_channels": 2, "sids": 1, "bank_groups": 1,
        "banks_per_group": 16, "rows": 64, "columns": 8, "burst_bytes": 32, "XP": 12, "CPDED": 12, "PDmin": 12,
        "XS": 200, "postpone_max": 8, "REFIpb": 100,
    }  # fmt: skip
    requests = [Request(0, i % 3 == 0, i * 5 % 16, i % 64, 0) for i in range(60)]
    policy = ChannelPolicy(scheduler="fcfs", write_queue=1, write_high=1, write_low=0)
    return strategies.Case(ticks, policy, [requests, requests], host_ticks=0, window=0)


@pytest.mark.parametrize("refresh", ["per_bank", "all_bank"])
def test_an_interval_that_cannot_be_kept_is_refused(refresh: str) -> None:
    case = starved()
    case = with_interval(replace(case, policy=replace(case.policy, refresh=refresh)), -1)
    with pytest.raises(HbmPolicyError, match="policy"):
        run_core(case, skip=True)


def test_requests_that_refresh_leaves_no_time_for_end_with_an_error() -> None:
    case = with_interval(starved(), 0)
    with pytest.raises(DeadlockError, match="refreshes left no time"):
        simulate_channel(case.ticks, case.policy, case.inputs, max_ticks=10**7)
    for skip in (True, False):
        with pytest.raises(HbmPolicyError, match="only refreshes; lengthen tREFI"):
            run_core(case, skip)


@pytest.mark.parametrize(("refresh", "fields"), [("per_bank", {"tREFIpb_ck": 16}), ("all_bank", {"tREFI_ck": 910})])
def test_a_system_names_the_interval_and_the_remedy(refresh: str, fields: dict[str, int]) -> None:
    device = hbm.device("HBM4_8000", **fields)
    name = next(iter(fields)).removesuffix("_ck")
    with pytest.raises(HbmPolicyError, match=rf"{name} x 1 is .* ns, .*only refresh; refresh less often"):
        hbm.System(device, controller=hbm.Controller(refresh=refresh))
