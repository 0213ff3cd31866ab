"""Requests go where the map says: every one is read at its own coordinates, whatever digits the map has."""

from __future__ import annotations

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.mapping import NAMED_MAPS
from hbmmodel.sim import simulate

#: SIDs (3, no power of two) and rows (12288) at other places than the top, and nothing but whole fields.
MIXED = "bank row channel sid column pseudo_channel stack bank_group"
N = 300


@pytest.mark.parametrize("mapping", [*NAMED_MAPS, MIXED])
@pytest.mark.parametrize(("name", "variant"), [("HBM4_8000", "24Gb_12H"), ("HBM3_6400", None), ("HBM2E_3200", None)])
@pytest.mark.parametrize("stacks", [1, 3])
def test_requests_are_read_where_the_map_puts_them(name: str, variant: str | None, mapping: str, stacks: int) -> None:
    system = cases.small(name, variant, channels=4, mapping=mapping, stacks=stacks)
    bursts = system.capacity_bytes // system.device.organisation.burst_bytes
    address = np.sort(np.random.default_rng(stacks).choice(bursts, N, replace=False).astype(np.uint64))
    address *= np.uint64(system.device.organisation.burst_bytes)
    result = simulate(system, hbm.Trace.from_requests(address, np.zeros(N, bool)), command_log=True)
    assert result.command_log is not None
    assert cases.addresses_moved(system, result.command_log, cases.READS).tolist() == address.tolist()
