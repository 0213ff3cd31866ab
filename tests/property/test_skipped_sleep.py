"""Skipping the repeating sleeps of an idle channel changes nothing that is counted, nor the time series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm


def run(system: hbm.System, address: Any, is_write: Any, tick: Any, skip: bool) -> tuple[Any, ...]:
    core = cases.core_of(system, log=False, skip=skip)
    half = len(address) // 2
    for part in (slice(0, half), slice(half, None)):
        core.requests(address[part], is_write[part], tick[part], False)
    end = core.finish()
    counters = {name: values.tolist() for name, values in core.counters().items()}
    counters |= {f"bank {name}": values.tolist() for name, values in core.bank_counters().items()}
    epochs = {name: np.asarray(values).tolist() for name, values in core.epochs().items()}
    return end, counters, epochs


@pytest.mark.parametrize("power", ["power_down_idle", "self_refresh_idle", "aggressive"])
@pytest.mark.parametrize("refresh", ["per_bank", "all_bank"])
@pytest.mark.parametrize(
    ("postpone", "pull_in", "multiplier"), [(0, 0, 1.0), (3, 0, 0.5), (5, 2, 0.25), (None, 0, 1.0)]
)
@pytest.mark.parametrize("variant", ["24Gb_8H", "24Gb_12H"])
def test_counters_and_time_series_are_those_of_every_tick(
    power: str, refresh: str, postpone: int | None, pull_in: int, multiplier: float, variant: str
) -> None:
    controller = hbm.Controller(
        power=power,
        refresh=refresh,
        refresh_postpone=postpone,
        refresh_pull_in=pull_in,
        page_policy="timeout",
        self_refresh_after_ns=90_000,
    )
    device = hbm.device("HBM4_6400", variant, channels=1)
    system = hbm.System(device, controller=controller, refresh_multiplier=multiplier)
    rng = np.random.default_rng(postpone or 9)
    tick = np.cumsum(np.array([5, 1, 40, 150_000, 3, 2, 9, 90_000, 1_200_000], dtype=np.int64))
    address = rng.integers(0, 4096, len(tick)).astype(np.uint64) * np.uint64(32 * 77)
    is_write = (rng.random(len(tick)) < 0.4).astype(np.uint8)
    skipped, visited = (run(system, address, is_write, tick, skip) for skip in (True, False))
    assert skipped == visited
    assert skipped[1]["n_pde"][0] > 3
