"""Sizes of requests: every burst that a request overlaps is moved once, however long the request is."""

from __future__ import annotations

import numpy as np
import pytest

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.sim import requests, simulate


@pytest.fixture(scope="module")
def system() -> hbm.System:
    return hbm.System(hbm.device("HBM3_6400", channels=1))


def bursts_of(result: hbm.Result, system: hbm.System) -> list[int]:
    log = result.command_log
    columns = log[np.isin(log["command"], [3, 4])]
    names = ("stack", "channel", "pseudo_channel", "sid", "bank_group", "bank", "row", "column")
    return sorted(int(a) // 32 for a in system.map.encode(np.stack([columns[n] for n in names], axis=1)))


def test_a_request_touches_every_burst_it_overlaps(system: hbm.System) -> None:
    trace = hbm.Trace.from_requests([0, 1000, 4095], [False, True, False], size=[1, 100, 2])
    result = simulate(system, trace, command_log=True)
    assert bursts_of(result, system) == [0, 31, 32, 33, 34, 127, 128]
    assert result.trace["bytes_asked"] == 103
    assert result.summary["padding_bytes"] == 7 * 32 - 103


def test_request_bytes_sets_the_size_where_the_trace_has_none(system: hbm.System) -> None:
    trace = hbm.Trace.from_requests([0, 64, 128], [False, False, False])
    assert simulate(system, trace, request_bytes=64).summary["bytes_read"] == 192
    assert simulate(system, trace).summary["bytes_read"] == 96
    sized = hbm.Trace.from_requests([0, 64], [False, False], size=[32, 32])
    assert simulate(system, sized, request_bytes=64).summary["bytes_read"] == 64
    with pytest.raises(HbmArgumentError, match="request_bytes is 0"):
        simulate(system, trace, request_bytes=0)


def test_long_requests_are_cut_into_blocks(system: hbm.System, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = hbm.Trace.from_requests([16, 5000, 1 << 20, 40], [False, False, True, False], size=[64, 5, 3000, 1])
    whole = bursts_of(simulate(system, trace, command_log=True), system)
    monkeypatch.setattr(requests, "BLOCK_REQUESTS", 7)
    assert bursts_of(simulate(system, trace, command_log=True), system) == whole
    assert len(whole) == 3 + 1 + 94 + 1


def test_one_request_of_gigabytes_stays_within_memory(system: hbm.System) -> None:
    trace = hbm.Trace.from_requests([0], [False], size=[(1 << 27) + 5])
    summary = simulate(system, trace).summary
    assert summary["requests_out"] == (1 << 22) + 1
