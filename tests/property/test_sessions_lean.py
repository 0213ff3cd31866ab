"""Sessions with the core, lean and with a command log: operations of all sizes join others in flight, and ends are
awaited or not.  What the lean run takes on the way (see `test_log_changes_nothing`) may change nothing there either."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import hbmmodel as hbm
from hbmmodel import _core

SEEDS = [299, *range(150)]
"""With 299 a bound in the past once hid a column command; with 134 a read was once taken before its time."""


def session(seed: int, log: bool) -> dict[str, Any]:
    """Ends of operations, and all that was counted."""
    chance = random.Random(seed)
    device = hbm.device("HBM4_8000", "24Gb_12H", channels=chance.choice([1, 2]))
    capacity = hbm.System(device).capacity_bytes
    steps: list[tuple[str, Any]] = []
    for number in range(chance.randint(1, 12)):
        operands = chance.randint(1, 4)
        tile, later = chance.choice([0, 1, 4, 32, 32, 64]), chance.choice([0, 0, 0, 2, 100, 1001])
        accesses = []
        for _ in range(operands):
            base = chance.randrange(0, capacity // chance.choice([1, 1, 64, 4096]))
            run = chance.choice([32, 64, 256, 1024, 8192, 65536, 1 << 18, chance.randrange(1, 1 << 18)])
            dims: tuple[tuple[int, int], ...] = ()
            is_write = chance.random() < 0.35
            if chance.random() < 0.2:
                dims, run = ((chance.randint(1, 40), chance.choice([4096, 8192, 1 << 20, 12345])),), min(run, 4096)
            accesses.append((base, run, dims, None, is_write))
        steps.append(("submit", (accesses, number, later, tile)))
        steps += [("end", None)] * (chance.random() < 0.6) + [("accept", None)] * (chance.random() < 0.1)
    read_queue, write_queue = chance.choice([4, 8, 16, 64, 64, 64]), chance.choice([8, 16, 64, 64])
    high = chance.randint(2, write_queue)
    low, postpone, pull_in = chance.randint(0, high - 1), chance.choice([1, 4, 24, 24]), chance.choice([0, 0, 4])
    refresh = chance.choice(["per_bank", "per_bank", "per_bank", "all_bank", "none"])
    system = hbm.System(device)
    policy = system.policy() | {
        "read_queue": read_queue,
        "write_queue": write_queue,
        "write_high": high,
        "write_low": low,
        "postpone": postpone if refresh != "all_bank" else min(postpone, 4),
        "pull_in": pull_in,
        "refresh": refresh,
    }
    core = _core.CoreSystem(
        system.map.core,
        policy,
        window=chance.choice([0, 512, 64]),
        host_ticks=chance.choice([2, 40, 240]),
        epoch_ticks=chance.choice([100, 4000]),
        threads=1,
        command_log=log,
    )
    return told(core, steps)


def told(core: Any, steps: list[tuple[str, Any]]) -> dict[str, Any]:
    """Runs a session."""
    ends: list[tuple[int, int]] = []
    in_flight = 0
    for step, given in steps:
        if step == "submit":
            accesses, number, later, tile = given
            start = core.next_start() + later
            while not core.submit(accesses, number, max(start, core.next_start()), tile, True):
                ends.append(core.next_end())
                in_flight -= 1
            in_flight += 1
        elif step == "accept":
            core.accept()
            in_flight = 0
        elif in_flight:
            ends.append(core.next_end())
            in_flight -= 1
    core.finish()
    counted = {"counters": core.counters(), "banks": core.bank_counters(), "reads": {"histogram": core.histogram()}}
    plain = {k: {name: np.asarray(v).tolist() for name, v in table.items()} for k, table in counted.items()}
    return {"ends": ends, **plain}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lean_session_counts_what_one_with_a_log_counts(seed: int) -> None:
    assert session(seed, log=False) == session(seed, log=True)
