"""The lost-cycle account names what would have made the run faster: known bottlenecks, and what removing them does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.result import Result
from hbmmodel.result.summary import LOST


def random_reads(system: hbm.System, n: int = 8000) -> Any:
    bursts = np.random.default_rng(5).integers(0, system.capacity_bytes // 32, n)
    return hbm.Trace.from_requests(bursts * 32, np.zeros(n, bool))


def stream(n: int = 20000, writes: int = 0, stride_bytes: int = 32) -> Any:
    return hbm.Trace.from_requests(np.arange(n) * stride_bytes, np.arange(n) % 3 < writes)


def shares(result: Result) -> dict[str, float]:
    return {cause: result.summary[f"lost_share_{cause}"] for cause in LOST if cause != "data"}


def worst(result: Result) -> str:
    of = shares(result)
    return max(of, key=lambda cause: of[cause])


@pytest.mark.parametrize("t_faw_ns", [8, 16, 24, 40])
def test_random_traffic_bound_by_the_activate_window_says_so(t_faw_ns: int) -> None:
    system = cases.small(overrides={"tFAW_ns": t_faw_ns}, controller=cases.NO_REFRESH)
    result = hbm.simulate(system, random_reads(system))
    assert worst(result) == "activate_window"
    assert shares(result)["activate_window"] > 0.7 * (1 - result.summary["fraction_of_peak"])


def test_all_bank_refresh_takes_its_duty_of_a_stream() -> None:
    system = cases.small(controller=hbm.Controller(refresh="all_bank"))
    ticks = system.device.ticks()
    result = hbm.simulate(system, stream(60000))
    assert worst(result) == "refresh"
    assert shares(result)["refresh"] == pytest.approx(ticks["RFCab"] / ticks["REFI"], rel=0.35)


def test_a_single_bank_loses_to_refresh_only_its_own() -> None:
    system = cases.small()
    fields = np.zeros((6000, len(cases.FIELDS)), dtype=np.int64)
    fields[:, cases.FIELDS.index("row")] = np.random.default_rng(6).integers(0, 9000, len(fields))
    addresses = system.map.encode(fields)
    result = hbm.simulate(system, hbm.Trace.from_requests(addresses, np.zeros(len(fields), bool)))
    ticks = system.device.ticks()
    duty = ticks["RFCpb"] / (ticks["REFIpb"] * system.device.organisation.banks)
    # Half of the account is that of the pseudo-channel without requests.
    assert 2 * shares(result)["refresh"] == pytest.approx(duty, rel=0.35)
    assert 2 * shares(result)["activate_precharge"] > 0.8


def test_a_stride_within_one_bank_group_is_bound_by_it() -> None:
    assert worst(hbm.simulate(cases.small(), stream(stride_bytes=64))) == "bank_group"


def test_mixed_reads_and_writes_lose_to_turnaround() -> None:
    assert worst(hbm.simulate(cases.small(), stream(writes=1))) == "turnaround"


@pytest.mark.parametrize("rate_ns", [100, 1000])
def test_a_memory_that_waits_for_requests_says_so(rate_ns: int) -> None:
    n = 500
    times = np.arange(n) * rate_ns * 1000
    result = hbm.simulate(cases.small(), hbm.Trace.from_requests(np.arange(n) * 8192, np.zeros(n, bool), time_ps=times))
    assert worst(result) == "no_request"


def test_refresh_goes_on_while_one_pseudo_channel_saturates_a_bank_that_needs_management() -> None:
    system = cases.small(overrides={"RAAIMT": 2, "RAAMMT": 12, "rfm": True}, variant="24Gb_12H")
    fields = np.zeros((6000, len(cases.FIELDS)), dtype=np.int64)
    rng = np.random.default_rng(7)
    fields[:, cases.FIELDS.index("row")] = rng.integers(0, 9000, len(fields))
    fields[:, cases.FIELDS.index("bank")] = rng.integers(0, 4, len(fields))
    trace = hbm.Trace.from_requests(system.map.encode(fields), np.zeros(len(fields), bool))
    summary = hbm.simulate(system, trace).summary
    ticks = system.device.ticks()
    due = 2 * summary["time_ticks"] // ticks["REFIpb"]
    assert due - 2 * 25 <= summary["n_ref_pb"] <= due
    assert summary["n_rfm_pb"] > 100
