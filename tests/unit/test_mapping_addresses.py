"""Addresses through maps: every byte of a small device has its own place, and what is no address is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hbmmodel as hbm
from hbmmodel.errors import HbmAddressError
from hbmmodel.mapping import FIELDS, NAMED_MAPS

SLICED = "row column[4:3] sid bank column[2:1] stack channel pseudo_channel column[0:0] bank_group; bank ^= row[2:0]"


def tiny(mapping: str, variant: str = "24Gb_12H") -> hbm.System:
    """3 stacks, 2 channels, 3 SIDs, 6 rows: every radix, and small enough to walk through."""
    device = hbm.device("HBM4_8000", variant, channels=2, rows=6)
    return hbm.System(device, stacks=3, mapping=mapping)


@pytest.mark.parametrize("mapping", [*NAMED_MAPS, SLICED])
def test_every_burst_of_a_small_system_has_its_own_place_and_every_place_is_used(mapping: str) -> None:
    system = tiny(mapping)
    n = system.capacity_bytes // 32
    places = system.map.decode(np.arange(n, dtype=np.uint64) * np.uint64(32))
    sizes = (3, 2, 2, 3, 2, 8, 6, 32)
    number = np.ravel_multi_index(tuple(places.T), sizes)
    assert np.array_equal(np.sort(number), np.arange(n))
    assert np.array_equal(system.map.encode(places), np.arange(n, dtype=np.uint64) * np.uint64(32))


def test_bytes_of_one_burst_share_their_place() -> None:
    address_map = tiny("row-bank-column-channel").map
    places = address_map.decode(np.arange(4096, dtype=np.uint64)).reshape(-1, 32, len(FIELDS))
    assert (places == places[:, :1]).all()
    assert int(address_map.encode(address_map.decode([4095]))[0]) == 4095 // 32 * 32


def test_capacity_is_that_of_all_stacks() -> None:
    system = hbm.System(hbm.device("HBM4_8000", "24Gb_12H"), stacks=8)
    assert system.map.capacity_bytes == system.capacity_bytes == 8 * 36 * 2**30


def test_last_address_of_a_12_high_stack_of_24_gb_dies_is_in_its_third_sid_and_last_row() -> None:
    system = hbm.System(hbm.device("HBM3E_8000", "24Gb_12H"), mapping="channel-row-bank-column")
    place = dict(zip(FIELDS, system.map.decode([system.capacity_bytes - 1])[0].tolist(), strict=True))
    assert place == {
        "stack": 0, "channel": 15, "pseudo_channel": 1, "sid": 2, "bank_group": 3, "bank": 3, "row": 24575,
        "column": 31,
    }  # fmt: skip


def test_first_address_outside_is_named() -> None:
    address_map = tiny("row-bank-column-channel").map
    capacity = address_map.capacity_bytes
    assert len(address_map.decode([capacity - 1])) == 1
    with pytest.raises(HbmAddressError) as caught:
        address_map.decode([0, 64, capacity, capacity + 1])
    assert f"address {capacity:#x} (entry 2) is not below the capacity {capacity:#x}" in str(caught.value)


def test_wrap_takes_addresses_modulo_the_capacity() -> None:
    address_map = tiny("row-bank-column-channel").map
    capacity = address_map.capacity_bytes
    far = [capacity, 5 * capacity + 4096, 2**64 - 1]
    assert np.array_equal(address_map.decode(far, wrap=True), address_map.decode([a % capacity for a in far]))


def test_addresses_may_come_in_any_form_of_whole_numbers() -> None:
    address_map = tiny("row-bank-column-channel").map
    want = address_map.decode(np.array([4096], dtype=np.uint64))
    for form in ([4096], (4096,), 4096, np.uint64(4096), np.array([4096], dtype=np.int32), np.array([[4096]])[0]):
        assert np.array_equal(address_map.decode(form), want)
    assert address_map.decode([]).shape == (0, 8)
    assert address_map.encode(np.zeros((0, 8), dtype=np.int64)).shape == (0,)
    many = np.arange(0, 1 << 16, 32)[::2]
    assert np.array_equal(address_map.decode(many), address_map.decode(list(map(int, many))))


@pytest.mark.parametrize(
    "bad", [[-1], [1.0], [True], ["1"], [None], [[0, 1]], [2**64], [2**63, -1], np.array([-5], dtype=np.int64)]
)
def test_what_is_no_address_is_refused(bad: Any) -> None:
    with pytest.raises(HbmAddressError, match="whole numbers") as caught:
        tiny("row-bank-column-channel").map.decode(bad)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "field, value",
    [("stack", 3), ("channel", 2), ("pseudo_channel", 2), ("sid", 3), ("bank_group", 2), ("bank", 8)]
    + [("row", 6), ("column", 32), ("row", -1), ("row", 2**31), ("row", 2**32), ("column", 2**63)],
)
def test_coordinates_outside_the_device_are_named(field: str, value: int) -> None:
    rows = np.zeros((3, 8), dtype=np.uint64 if value >= 2**63 else np.int64)
    rows[1, FIELDS.index(field)] = value
    with pytest.raises(HbmAddressError, match=rf"entry 1\): {field} {value} is outside 0\.\.\d+") as caught:
        tiny("row-bank-column-channel").map.encode(rows)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("bad", [[[0] * 7], [[0] * 9], [[0] * 8, [0] * 7], [[[0] * 8]], [[0.5] + [0] * 7], 3])
def test_what_are_no_coordinates_is_refused(bad: Any) -> None:
    with pytest.raises(HbmAddressError, match="coordinates must"):
        tiny("row-bank-column-channel").map.encode(bad)


@pytest.mark.parametrize("bad", [-1, 1.5, 2**64, "0x10"])
def test_explanation_of_what_is_no_address_is_refused(bad: Any) -> None:
    with pytest.raises(HbmAddressError):
        tiny("row-bank-column-channel").map.explain(bad)


def test_explanation_of_an_address_outside_is_refused() -> None:
    system = tiny("row-bank-column-channel")
    with pytest.raises(HbmAddressError, match="capacity"):
        system.explain(system.capacity_bytes)
