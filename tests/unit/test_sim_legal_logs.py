"""Command logs of the simulator under every policy and kind of traffic, judged by the independent checker."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.sim import simulate
from hbmmodel.trace import Trace

DEVICES = [
    ("HBM2E_3200", "16Gb_8H"),
    ("HBM3_6400", "16Gb_12H"),
    ("HBM3E_9600", "24Gb_16H"),
    ("HBM4_8000", "24Gb_8H"),
    ("HBM4_10000", "32Gb_12H"),
    ("HBM4E_14000_projection", "32Gb_16H"),
]
CONTROLLERS = {
    "default": hbm.Controller(),
    "closed": hbm.Controller(page_policy="closed", refresh="all_bank"),
    "timeout": hbm.Controller(page_policy="timeout", timeout_ns=30.0, scheduler="frfcfs_cap", cap=2),
    "fcfs": hbm.Controller(scheduler="fcfs", refresh="all_bank", refresh_postpone=8),
    "short queues": hbm.Controller(read_queue=4, write_queue=4, refresh_postpone=0, refresh_pull_in=8),
    "no refresh": hbm.Controller(refresh="none"),
}
KINDS = ("random reads", "random", "stream", "copy", "hammer", "sparse")


def traffic(system: hbm.System, kind: str, n: int = 3000) -> Any:
    rng = np.random.default_rng(len(kind))
    anywhere = rng.integers(0, system.capacity_bytes // 32, n) * 32
    if kind == "random reads":
        return Trace.from_requests(anywhere, np.zeros(n, dtype=bool))
    if kind == "random":
        return Trace.from_requests(anywhere, rng.random(n) < 0.5, time_ps=np.arange(n) * 2_500)
    if kind == "stream":
        return cases.trace_of([cases.reads(0, 64 * n)])
    if kind == "copy":
        return cases.trace_of(
            [cases.reads(0, 20 * n), cases.writes(1 << 24, 20 * n)], [cases.reads(1 << 24, 10 * n)]
        )
    if kind == "hammer":
        places = np.zeros((n, 8), dtype=np.int64)
        places[:, 6] = np.arange(n) % 3
        places[:, 5] = np.arange(n) % 7 == 0
        return Trace.from_requests(system.map.encode(places), rng.random(n) < 0.2)
    return Trace.from_requests(anywhere[:40], rng.random(40) < 0.5, time_ps=np.arange(40) * 1_700_001)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("controller", CONTROLLERS)
@pytest.mark.parametrize("name, variant", DEVICES)
def test_log_is_legal(name: str, variant: str, controller: str, kind: str) -> None:
    system = cases.small(name, variant, controller=CONTROLLERS[controller])
    result = simulate(system, traffic(system, kind), command_log=True)
    assert result.summary["requests_out"] > 30
    assert hbm.check(system, result.command_log) == []


@pytest.mark.parametrize("kind", ["random reads", "hammer", "copy"])
@pytest.mark.parametrize("refresh", ["per_bank", "all_bank"])
@pytest.mark.parametrize("name, variant", DEVICES[1:])
def test_log_is_legal_with_refresh_management(name: str, variant: str, refresh: str, kind: str) -> None:
    system = cases.small(
        name,
        variant,
        controller=hbm.Controller(refresh=refresh, page_policy="closed", scheduler="fcfs"),
        overrides={"rfm": True, "RAAIMT": 6, "RAAMMT": 18, "RAADEC": 3},
    )
    result = simulate(system, traffic(system, kind), command_log=True)
    assert hbm.check(system, result.command_log) == []
    if kind == "hammer":
        assert result.summary["n_rfm_pb"] + result.summary["n_rfm_ab"] > 20


@pytest.mark.parametrize("multiplier", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("name, variant", DEVICES)
def test_saturated_random_traffic_does_not_keep_refresh_waiting(
    name: str, variant: str, multiplier: float
) -> None:
    # Activations fill the four-activate window; refreshes need a place in it.
    system = cases.small(name, variant, refresh_multiplier=multiplier)
    result = simulate(system, traffic(system, "random reads", n=40_000), command_log=True)
    due = 2 * (result.summary["time_ticks"] // int(system.device.ticks()["REFIpb"] * multiplier))
    banks = system.device.organisation.banks
    assert result.summary["n_ref_pb"] >= due - 2 * (banks // 2 + 16)
    assert hbm.check(system, result.command_log) == []


def test_logs_of_many_channels_and_stacks_are_legal_and_in_order() -> None:
    system = hbm.System(hbm.device("HBM4_8000", "24Gb_12H", channels=5), stacks=3)
    result = simulate(system, traffic(system, "random reads", 20_000), command_log=True, threads=3)
    log = result.command_log
    key = np.lexsort((log["tick"], log["channel"], log["stack"]))
    assert np.array_equal(key, np.arange(len(log)))
    assert hbm.check(system, log) == []
    assert set(log["stack"]) == {0, 1, 2} and set(log["channel"]) == set(range(5))
