"""The core's logs pass the checker, and a core with one wrong number does not.

The checker gets the true device; the core gets its ticks with one of them changed, as a slip in a preset, in
rounding or in a rule would do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hbmmodel.check import check
from hbmmodel.commands import COMMAND_DTYPE
from hbmmodel.device import Device, device, devices
from hbmmodel.system import Controller, System

_core = pytest.importorskip("hbmmodel._core")

TRAFFIC = {
    # name: (banks in use, rows in use, percent of writes, requests per pseudo-channel)
    "random": (64, 1 << 30, 30, 1000),
    "few rows": (6, 3, 50, 1000),
    "reads of few banks": (12, 2, 0, 600),
}


def requests(target: Device, traffic: str, seed: int) -> list[list[Any]]:
    """Arrival, write flag, bank, row and column of every pseudo-channel."""
    org = target.organisation
    banks, rows, writes, count = TRAFFIC[traffic]
    rng = np.random.default_rng(seed)
    columns: list[list[Any]] = [[], [], [], [], []]
    for _ in range(org.pseudo_channels):
        spread = rng.permutation(org.banks)[: min(banks, org.banks)]
        made = (
            np.full(count, -1),
            rng.integers(0, 100, count) < writes,
            spread[rng.integers(0, len(spread), count)],
            rng.integers(0, min(rows, org.rows), count),
            rng.integers(0, org.columns, count),
        )
        for column, values in zip(columns, made, strict=True):
            column.append(values)
    return columns


def run(system: System, traffic: str, ticks: dict[str, int], seed: int = 0) -> Any:
    """The command log of one channel."""
    org = system.device.organisation
    outcome = _core.run_channel(
        ticks, system.policy(), *requests(system.device, traffic, seed), command_log=True
    )
    commands = outcome["commands"]
    log = np.zeros(len(commands), COMMAND_DTYPE)
    for name in ("tick", "pseudo_channel", "command", "row", "column"):
        log[name] = commands[name]
    flat = np.maximum(commands["bank"].astype(np.int64), 0)
    log["bank"] = flat % org.banks_per_group
    log["bank_group"] = flat // org.banks_per_group % org.bank_groups
    log["sid"] = flat // org.banks_per_group // org.bank_groups
    return log


@pytest.mark.parametrize("name", devices())
@pytest.mark.parametrize(
    "controller",
    [
        Controller(),
        Controller(refresh="all_bank", scheduler="frfcfs_cap", cap=2),
        Controller(page_policy="closed", scheduler="fcfs"),
        Controller(page_policy="timeout", refresh="none"),
    ],
    ids=lambda c: f"{c.scheduler}-{c.page_policy}-{c.refresh}",
)
def test_log_of_the_core_is_legal(name: str, controller: Controller) -> None:
    system = System(device(name, channels=1), controller=controller, refresh_multiplier=0.5)
    for traffic in TRAFFIC:
        log = run(system, traffic, system.device.ticks())
        assert len(log) > 500
        assert check(system, log) == []


FAULTS = {
    # field of the core: (half clocks taken away, rules of which one at least must be broken)
    "RCDRD": (2, {"tRCDRD"}),
    "RCDWR": (2, {"tRCDWR"}),
    "RP": (2, {"tRP"}),
    "RAS": (2, {"tRAS"}),
    "WR": (2, {"tWR", "tRP"}),
    "RTP": (2, {"tRTP", "tRP"}),
    "RRDS": (2, {"tRRDS"}),
    "RRDL": (2, {"tRRDL"}),
    "FAW": (2, {"tFAW"}),
    "CCDL": (2, {"tCCDL"}),
    "CCDR": (2, {"tCCDR"}),
    "WTRS": (2, {"tWTRS"}),
    "WTRL": (2, {"tWTRL"}),
    "RTW": (2, {"tRTW"}),
    "PPD": (2, {"tPPD"}),
    "RREFD": (2, {"tRREFD"}),
    "RFCab": (2, {"tRFCab"}),
    "RFCpb": (2, {"tRFCpb"}),
    "act_ticks": (1, {"bus.row"}),
    "act_reference": (2, {"tRCDRD", "tRAS"}),
    "sids": (-1, {"address.sid"}),
}


@pytest.mark.parametrize("preset", [("HBM3_6400", "16Gb_12H"), ("HBM4_8000", "24Gb_12H")], ids="_".join)
@pytest.mark.parametrize("field", FAULTS)
def test_one_wrong_number_in_the_core_is_seen(field: str, preset: tuple[str, str]) -> None:
    less, expected = FAULTS[field]
    true = device(*preset, channels=1)
    broken: set[str] = set()
    for controller in (Controller(), Controller(refresh="all_bank"), Controller(page_policy="closed")):
        system = System(true, controller=controller, refresh_multiplier=0.25)
        ticks = true.ticks()
        ticks[field] -= less
        for traffic in TRAFFIC:
            broken |= {violation.rule for violation in check(system, run(system, traffic, ticks), limit=None)}
            if broken & expected:
                return
    assert broken & expected
