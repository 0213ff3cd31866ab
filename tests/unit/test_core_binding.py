"""The binding: what it lists, what it checks, and which class of error each fault of the core becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hbmmodel as hbm
from hbmmodel import _core
from hbmmodel.commands import COMMAND_DTYPE
from hbmmodel.errors import (
    HbmAddressError,
    HbmArgumentError,
    HbmDeviceError,
    HbmError,
    HbmMapError,
    HbmPolicyError,
)
from hbmmodel.result import COUNTERS
from hbmmodel.system import PAGE_POLICIES, REFRESH_POLICIES, SCHEDULERS

SYSTEM = hbm.System(hbm.device("HBM4_8000", channels=1))
TICKS = SYSTEM.device.ticks()
FIELDS_IN_ORDER = ("stack", "channel", "pseudo_channel", "sid", "bank_group", "bank", "row", "column")
SIZES = (1, 1, 2, 3, 2, 8, 12288, 32)
PIECES = [(field, SIZES[field], 1) for field in (4, 7, 2, 5, 3, 6)]


def one_line(error: BaseException) -> bool:
    return len(str(error).splitlines()) == 1


def core(**options: Any) -> Any:
    given = {"host_ticks": 240, "window": 0, "threads": 1, "command_log": True, "epoch_ticks": 400, **options}
    return _core.CoreSystem(SYSTEM.map.core, given.pop("policy", SYSTEM.policy()), **given)


# ---- what the core says of itself ----


def test_policies_are_those_that_the_system_offers() -> None:
    listed = _core.policies()
    assert tuple(p["name"] for p in listed["scheduler"]) == SCHEDULERS
    assert tuple(p["name"] for p in listed["page_policy"]) == PAGE_POLICIES
    assert tuple(p["name"] for p in listed["refresh"]) == REFRESH_POLICIES
    for policies in listed.values():
        assert all(set(p) == {"name", "doc", "parameters"} and len(p["doc"]) > 10 for p in policies)


def test_counters_are_those_that_results_need() -> None:
    assert set(COUNTERS) <= set(_core.counter_names())
    assert len(set(_core.counter_names())) == len(_core.counter_names())


def test_device_fields_are_those_of_a_device() -> None:
    assert _core.device_fields() == list(TICKS)


def test_histogram_buckets_are_at_most_a_64th_wide() -> None:
    edges = _core.histogram_edges()
    assert edges.dtype == np.int64 and edges[0] == 0
    width = np.diff(edges)
    assert (width >= 1).all()
    assert (width <= np.maximum(1, edges[:-1] / 64)).all()
    assert edges[-1] > 1 << 46


# ---- devices ----


def test_device_without_a_value_is_refused() -> None:
    with pytest.raises(HbmArgumentError, match="device lacks the value RL"):
        _core.CoreDevice({k: v for k, v in TICKS.items() if k != "RL"})


@pytest.mark.parametrize(
    "field, value", [("RL", 0), ("RL", 5000), ("banks_per_group", 16), ("CCDS", 2), ("RC", 100), ("RRDL", 9)]
)
def test_inconsistent_device_names_the_value(field: str, value: int) -> None:
    with pytest.raises(HbmDeviceError, match=f"{field} = {value} ") as caught:
        _core.CoreDevice({**TICKS, field: value})
    assert one_line(caught.value)


# ---- maps ----


def test_map_of_pieces_is_a_bijection() -> None:
    device = _core.CoreDevice(TICKS)
    built = _core.CoreMap(device, 1, PIECES)
    assert built.device is device and built.stacks == 1
    assert built.capacity_bytes == SYSTEM.capacity_bytes
    addresses = np.arange(0, built.capacity_bytes, 32 * 99_991, dtype=np.uint64)
    assert np.array_equal(built.encode(built.decode(addresses)), addresses)


@pytest.mark.parametrize(
    "pieces, xors",
    [
        (PIECES[:-1], ()),
        ([*PIECES, (6, 2, 1)], ()),
        ([*PIECES[:-1], (6, 12287, 1)], ()),
        ([*PIECES[:-1], (8, 12288, 1)], ()),
        ([*PIECES[:-1], (-1, 12288, 1)], ()),
        ([*PIECES[:-1], (6, 0, 1)], ()),
        ([*PIECES[:-1], (6, 12288, 2)], ()),
        (PIECES, [(6, 5, 0, 1)]),
        (PIECES, [(3, 6, 0, 1)]),  # 3 SIDs
        (PIECES, [(5, 6, 0, 8)]),
        (PIECES, [(5, 6, -1, 1)]),
        (PIECES, [(5, 6, 25, 1)]),
        (PIECES, [(5, 5, 0, 1)]),
        (PIECES, [(5, 0, 0, 1)]),
    ],
)
def test_map_that_is_no_bijection_is_refused(pieces: list[Any], xors: list[Any]) -> None:
    with pytest.raises(HbmMapError):
        _core.CoreMap(_core.CoreDevice(TICKS), 1, pieces, xors)


@pytest.mark.parametrize("stacks", [0, -1, 5000])
def test_map_of_no_stacks_is_refused(stacks: int) -> None:
    with pytest.raises(HbmArgumentError):
        _core.CoreMap(_core.CoreDevice(TICKS), stacks, PIECES)


def test_map_of_too_many_pieces_is_refused() -> None:
    with pytest.raises(HbmArgumentError, match="at most 64 pieces and 32 XOR terms"):
        _core.CoreMap(_core.CoreDevice(TICKS), 1, PIECES * 20)


def test_map_outlives_the_names_of_its_device() -> None:
    built = _core.CoreMap(_core.CoreDevice(TICKS), 1, PIECES)
    assert built.decode(np.zeros(1, dtype=np.uint64)).tolist() == [[0] * 8]
    with pytest.raises(HbmArgumentError, match="8 columns"):
        built.encode(np.zeros((1, 7), dtype=np.int32))
    with pytest.raises(HbmAddressError):
        built.encode(np.full((1, 8), 40000, dtype=np.int32))


# ---- systems ----


@pytest.mark.parametrize(
    "change", [{"scheduler": "lifo"}, {"page_policy": "ajar"}, {"refresh": "sometimes"}], ids=str
)
def test_unknown_policy_lists_the_known_ones(change: dict[str, str]) -> None:
    with pytest.raises(HbmArgumentError, match="choose one of") as caught:
        core(policy={**SYSTEM.policy(), **change})
    assert next(iter(change.values())) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"read_queue": 0},
        {"read_queue": 1025},
        {"write_queue": 1025},
        {"write_high": 3, "write_low": 3},
        {"write_high": 65},
        {"cap": 0},
        {"timeout_ticks": -1},
        {"refresh_scale": 3},
        {"postpone": 10_000},
        {"pull_in": -1},
    ],
    ids=str,
)
def test_inconsistent_policy_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(HbmPolicyError) as caught:
        core(policy={**SYSTEM.policy(), **change})
    assert one_line(caught.value)


@pytest.mark.parametrize("change", [{"epoch_ticks": 1}, {"window": -1}, {"host_ticks": -1}, {"host_ticks": 1 << 40}])
def test_impossible_run_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(HbmError):
        core(**change)


def test_arrays_of_different_lengths_are_refused() -> None:
    address, is_write = np.zeros(3, dtype=np.uint64), np.zeros(2, dtype=np.uint8)
    with pytest.raises(HbmArgumentError, match="differ in length"):
        core().requests(address, is_write, None, False)
    with pytest.raises(HbmArgumentError, match="differ in length"):
        core().requests(address, np.zeros(3, dtype=np.uint8), np.zeros(2, dtype=np.int64), False)


def test_request_outside_is_named_by_its_record_and_nothing_has_begun() -> None:
    system = core()
    address = np.array([0, SYSTEM.capacity_bytes], dtype=np.uint64)
    with pytest.raises(HbmAddressError, match=f"record 101: address {SYSTEM.capacity_bytes:#x}"):
        system.requests(address, np.zeros(2, dtype=np.uint8), None, False, 100)
    assert system.finish() == 0
    assert len(system.commands()) == 0


@pytest.mark.parametrize(
    "access",
    [(0, 0, (), None, False), (0, 64, ((0, 64),), None, False), (0, 64, ((2, -64),), None, False),
     (0, 64, ((1, 1),) * 9, None, False), (0, 64, (), np.zeros(0, dtype=np.int64), False)],
)  # fmt: skip
def test_malformed_access_is_refused(access: Any) -> None:
    with pytest.raises(HbmArgumentError):
        core().submit([access], 0, 0, 8, False)


@pytest.mark.parametrize(
    "access", [(-64, 64, (), None, False), (SYSTEM.capacity_bytes - 32, 64, (), None, False),
               (0, 64, (), np.array([-64]), False), (0, 64, ((2, SYSTEM.capacity_bytes),), None, False)],
)  # fmt: skip
def test_access_outside_is_named_by_its_index(access: Any) -> None:
    with pytest.raises(HbmAddressError) as caught:
        core().submit([(0, 64, (), None, False), access], 0, 0, 8, False)
    assert caught.value.args[1] == 1


@pytest.mark.parametrize("number, start, tile", [(0, -2, 8), (0, 0, -1), (0, 1 << 62, 8), (-1, 0, 8)])
def test_operation_at_an_impossible_time_is_refused(number: int, start: int, tile: int) -> None:
    with pytest.raises(HbmArgumentError):
        core().submit([(0, 64, (), None, False)], number, start, tile, False)


def test_operation_of_nothing_ends_when_it_starts() -> None:
    system = core()
    assert system.submit([], 0, 1000, 8, False)
    assert system.next_end() == (0, 1000)
    assert system.finish() == 0


def test_operation_too_far_from_the_oldest_in_flight_has_to_wait() -> None:
    system = core()
    read = [(0, 64, (), None, False)]
    assert system.submit(read, 0, 0, 8, False)
    assert not system.submit(read, 64, 0, 8, False)
    number, end = system.next_end()
    assert number == 0
    assert system.submit(read, 64, end + SYSTEM.host_ticks + 2, 8, False)
    with pytest.raises(HbmArgumentError):  # before the ends that were reported can have had an effect
        system.submit(read, 65, end, 8, False)


def test_end_of_nothing_is_refused() -> None:
    with pytest.raises(HbmArgumentError):
        core().next_end()


def test_operations_beyond_those_seen_are_refused() -> None:
    system = core()
    system.submit([(0, 64, (), None, False)], 4, 0, 8, False)
    system.accept()
    assert system.operations(5)["bursts_read"].tolist() == [0, 0, 0, 0, 2]
    with pytest.raises(HbmArgumentError):
        system.operations(6)


def test_filter_is_set_once() -> None:
    system = core()
    system.set_l2(1 << 16, 128, 16)
    with pytest.raises(HbmArgumentError):
        system.set_l2(1 << 16, 128, 16)


def test_log_has_the_packed_type_of_the_package() -> None:
    system = core()
    n = 70_000  # more than one block of the copy
    system.requests(
        np.arange(n, dtype=np.uint64) * np.uint64(32), np.zeros(n, dtype=np.uint8), None, False
    )
    system.finish()
    log = system.commands()
    assert log.dtype == COMMAND_DTYPE
    assert np.count_nonzero(log["command"] == 3) == n
    order = np.lexsort((log["tick"], log["channel"], log["stack"]))
    assert np.array_equal(order, np.arange(len(log)))


def test_run_of_one_channel_needs_one_input_per_pseudo_channel() -> None:
    with pytest.raises(HbmArgumentError, match="one input per pseudo-channel is needed: 2, got 1"):
        _core.run_channel(TICKS, SYSTEM.policy(), [[0]], [[0]], [[0]], [[0]], [[0]])
    with pytest.raises(HbmArgumentError, match="inputs of pseudo-channel 1 differ in length"):
        _core.run_channel(TICKS, SYSTEM.policy(), [[], [0]], [[], []], [[], [0]], [[], [0]], [[], [0]])
    with pytest.raises(HbmArgumentError):
        _core.run_channel(TICKS, SYSTEM.policy(), [[0], []], [[0], []], [[48], []], [[0], []], [[0], []])


def test_extension_lies_beside_its_stub() -> None:
    assert Path(_core.__file__).with_name("_core.pyi").is_file()
