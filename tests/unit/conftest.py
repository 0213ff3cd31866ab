"""Fixtures of the unit tests: raw arrays as of the core, made up but obeying every conservation law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hbmmodel.device import device
from hbmmodel.result import COUNTERS, LOST, POWER_STATES, Result
from hbmmodel.system import Controller, System

LOG_DTYPE = np.dtype(
    [
        *(("tick", "<i8"), ("stack", "<u2"), ("channel", "<u2"), ("pseudo_channel", "u1"), ("command", "u1")),
        *(("sid", "u1"), ("bank_group", "u1"), ("bank", "u1"), ("row", "<u4"), ("column", "<u2")),
    ]
)


def synthetic_raw(system: System, seed: int = 0, reads: bool = True, log: bool = False) -> dict[str, Any]:
    """Random counters of every pseudo-channel, whose data-bus account sums to the run time."""
    rng = np.random.default_rng(seed)
    n = system.n_pseudo_channels
    end_tick = 100_003
    cuts = np.sort(rng.integers(0, end_tick + 1, (n, len(LOST) - 1)), axis=1)
    parts = np.diff(np.hstack([np.zeros((n, 1), dtype=np.int64), cuts, np.full((n, 1), end_tick)]), axis=1)
    counters = {name: rng.integers(1, 1000, n) for name in COUNTERS}
    counters.update({name: parts[:, i].copy() for i, name in enumerate(LOST.values())})
    counters.update(n_pde=rng.integers(0, 9, n), n_sre=rng.integers(0, 9, n))
    cuts = np.sort(rng.integers(0, end_tick + 1, (n, len(POWER_STATES) - 1)), axis=1)
    parts = np.diff(np.hstack([np.zeros((n, 1), dtype=np.int64), cuts, np.full((n, 1), end_tick)]), axis=1)
    counters.update({name: parts[:, i].copy() for i, name in enumerate(POWER_STATES.values())})
    counters["requests_out"] = counters["requests_in"].copy()
    counters["bytes_read"] += 32 * counters["reads_forwarded"]
    edges = np.concatenate([np.arange(64), 64 + 2 * np.arange(512)]).astype(np.int64)
    latency = rng.integers(40, 1000, 7 * n) if reads else np.empty(0, dtype=np.int64)
    counters["reads_timed"] = np.full(n, 7 if reads else 0)
    counters["read_latency_ticks_sum"] = latency.reshape(n, -1).sum(axis=1)
    counters["read_latency_ticks_max"] = (
        latency.reshape(n, -1).max(axis=1) if reads else np.zeros(n, dtype=np.int64)
    )
    raw: dict[str, Any] = {
        "end_tick": end_tick,
        "tick_ps": system.tick_ps,
        "counters": counters,
        "histogram": np.histogram(latency, edges)[0].astype(np.uint64),
        "histogram_edges": edges,
        "operations": {
            "index": np.arange(3),
            "name": ["aten::mm", "aten::add", "aten::mm"],
            "phase": ["decode0", "decode0", "decode1"],
            "start_tick": np.array([0, 500, 60_000]),
            "end_tick": np.array([500, 60_000, 60_000]),
            "bytes_read": np.array([64, 3200, 0]),
            "bytes_written": np.array([0, 320, 0]),
            "row_hits": np.array([1, 2, 0]),
            "row_misses": np.array([1, 1, 0]),
            "row_conflicts": np.array([0, 1, 0]),
        },
        "epochs": {
            "epoch_ticks": 40_000,
            **{
                name: rng.integers(0, 1000, 3).astype(np.uint64)
                for name in ("bytes_read", "bytes_written", "n_act", "n_ref")
            },
        },
        "command_log": None,
    }
    if log:
        raw["command_log"] = np.zeros(50, dtype=LOG_DTYPE)
        raw["command_log"]["tick"] = np.arange(50) * 8
        raw["command_log"]["row"] = np.arange(50)
    return raw


@pytest.fixture(scope="session")
def one_channel() -> System:
    """One stack reduced to one channel."""
    return System(device("HBM4_8000", channels=1))


@pytest.fixture(scope="session")
def eight_stacks() -> System:
    """8 stacks of 32 channels: 512 pseudo-channels."""
    return System(
        device("HBM4_8000", variant="24Gb_12H"), stacks=8, controller=Controller(refresh="all_bank")
    )


@pytest.fixture(scope="session")
def make_raw() -> Callable[..., dict[str, Any]]:
    """`synthetic_raw`."""
    return synthetic_raw


@pytest.fixture(scope="session")
def make_result() -> Callable[..., Result]:
    """A result of synthetic raw arrays: ``make_result(system, seed=0, reads=True, log=False)``."""

    def make(system: System, **options: Any) -> Result:
        trace = {"name": "step.hbmop.jsonl.gz", "padding_bytes": 128, "random_gathers": 0, "mode": "closed"}
        provenance = {"version": "0.1.0", "command_line": ["hbmmodel", "run"], "host": "h"}
        return Result.from_raw(system, trace, synthetic_raw(system, **options), provenance)

    return make
