"""The C API through cffi: property tests of functions that have no Python face of their own."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbmmodel.capi import ffi, lib
from hbmmodel.device import device as preset
from hbmmodel.system import System

FIELDS = [ffi.string(lib.hbm_device_field_name(i)).decode() for i in range(lib.hbm_device_n_fields())]


def create(values: dict[str, int]) -> Any:
    """A C device that is freed with the returned object."""
    out, bad = ffi.new("hbm_device_t **"), ffi.new("int32_t *")
    code = lib.hbm_device_create([values[name] for name in FIELDS], len(FIELDS), out, bad)
    assert code == 0, FIELDS[bad[0]]
    return ffi.gc(out[0], lib.hbm_device_free)


@pytest.fixture(scope="module")
def ticks() -> dict[str, int]:
    return preset("HBM4_8000").ticks()


def test_presets_speak_of_exactly_the_fields_of_the_core(ticks: dict[str, int]) -> None:
    assert list(ticks) == FIELDS


@given(code=st.integers(-(2**31), 2**31 - 1))
def test_every_number_has_an_error_message(code: int) -> None:
    text = ffi.string(lib.hbm_strerror(code)).decode()
    assert text.isprintable() and len(text) > 1
    known = -lib.hbm_error_count() <= code <= 0
    assert (ffi.string(lib.hbm_error_name(code)) == b"UNKNOWN") == (not known)


@given(value=st.integers(0, 2**46))
def test_a_latency_lies_within_its_bucket(value: int) -> None:
    edges = lib.hbm_histogram_lower_edge
    low, high = 0, lib.hbm_histogram_n_buckets()
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if edges(middle) <= value else (low, middle)
    assert edges(low) <= value < edges(low + 1)
    assert edges(low + 1) - edges(low) <= max(1, value / 64)


# ---- address maps ----

NAMES = ("stack", "channel", "pseudo_channel", "sid", "bank_group", "bank", "row", "column")
ROW = NAMES.index("row")
SIZES = st.fixed_dictionaries(
    {
        "stack": st.integers(1, 6),
        "channel": st.integers(1, 6),
        "pseudo_channel": st.integers(1, 2),
        "sid": st.integers(1, 4),
        "bank_group": st.sampled_from([1, 2, 4]),
        "bank": st.sampled_from([1, 2, 3, 4]),
        "row": st.integers(1, 50),
        "column": st.integers(1, 40),
    }
)


def factors(draw: st.DrawFn, size: int) -> list[int]:
    """The size as a product, in a drawn order."""
    found, rest = [], size
    for p in (2, 3, 5, 7):
        while rest % p == 0:
            found.append(p)
            rest //= p
    found += [rest] if rest > 1 else []
    return draw(st.permutations(found))


@st.composite
def maps(draw: st.DrawFn) -> tuple[dict[str, int], list[tuple[int, int, int]], list[tuple[int, ...]]]:
    """Sizes of the fields, the digits of the address from its low end, and XOR terms onto fields of 2^n."""
    sizes = draw(SIZES)
    pieces = []
    for number, name in enumerate(NAMES):
        multiplier = 1
        for radix in factors(draw, sizes[name]):
            pieces.append((number, radix, multiplier))
            multiplier *= radix
    xors = [
        (NAMES.index(name), ROW, draw(st.integers(0, 5)), draw(st.integers(0, sizes[name] - 1)))
        for name in ("stack", "channel", "pseudo_channel", "bank")
        if sizes[name] & (sizes[name] - 1) == 0 and draw(st.booleans())
    ]
    return sizes, list(draw(st.permutations(pieces))), xors


def decode(burst: int, pieces: list[tuple[int, int, int]], xors: list[tuple[int, ...]]) -> list[int]:
    """The definition of a map, as the header words it."""
    c = [0] * 8
    for field, radix, multiplier in pieces:
        c[field] += burst % radix * multiplier
        burst //= radix
    for target, source, shift, mask in xors:
        c[target] ^= (c[source] >> shift) & mask
    return c


@pytest.fixture(scope="module")
def base(ticks: dict[str, int]) -> dict[str, int]:
    return {**ticks, "burst_bytes": 64}


@given(case=maps(), data=st.data())
def test_maps_decode_by_definition_and_encode_back(
    base: dict[str, int], case: tuple[dict[str, int], Any, Any], data: st.DataObject
) -> None:
    sizes, pieces, xors = case
    names = {"channel": "channels", "pseudo_channel": "pseudo_channels", "sid": "sids", "row": "rows"}
    names |= {"bank_group": "bank_groups", "bank": "banks_per_group", "column": "columns"}
    device = create({**base, **{names[n]: sizes[n] for n in NAMES if n != "stack"}})
    out, bad = ffi.new("hbm_map_t **"), ffi.new("int64_t *")
    digits, flips = [list(p) for p in pieces], [list(x) for x in xors]
    code = lib.hbm_map_create(device, sizes["stack"], digits, len(digits), flips, len(flips), out)
    assert code == 0
    made = ffi.gc(out[0], lib.hbm_map_free)
    n_bursts = prod(sizes.values())
    assert lib.hbm_map_capacity_bytes(made) == n_bursts * 64

    bursts = data.draw(st.lists(st.integers(0, n_bursts - 1), min_size=1, max_size=20))
    addresses = [b * 64 + data.draw(st.integers(0, 63)) for b in bursts]
    coordinates, back = ffi.new("int32_t[]", 8 * len(bursts)), ffi.new("uint64_t[]", len(bursts))
    assert lib.hbm_map_decode(made, addresses, len(bursts), False, coordinates, bad) == 0
    for i, burst in enumerate(bursts):
        assert list(coordinates[8 * i : 8 * i + 8]) == decode(burst, pieces, xors)
    assert lib.hbm_map_encode(made, coordinates, len(bursts), back, bad) == 0
    assert list(back) == [b * 64 for b in bursts]
    assert lib.hbm_map_decode(made, [n_bursts * 64], 1, False, coordinates, bad) == lib.HBM_ERR_ADDRESS


# ---- timing ----


@pytest.fixture()
def probe(ticks: dict[str, int]) -> Iterator[Any]:
    device = create(ticks)
    out = ffi.new("hbm_probe_t **")
    assert lib.hbm_probe_create(device, out) == 0
    yield out[0]
    lib.hbm_probe_free(out[0])


def earliest(probe: Any, command: int, bank: int) -> int:
    tick = ffi.new("int64_t *")
    assert lib.hbm_probe_earliest(probe, 0, command, bank, False, tick) == 0
    return int(tick[0])


def test_a_preset_reads_a_row_after_its_own_trcd(probe: Any, ticks: dict[str, int]) -> None:
    first = ticks["act_reference"] + ticks["RCDRD"]
    assert lib.hbm_probe_issue(probe, 0, lib.HBM_CMD_ACT, 0, 0) == 0
    assert earliest(probe, lib.HBM_CMD_RD, 0) == first
    assert lib.hbm_probe_issue(probe, 0, lib.HBM_CMD_RD, 0, first - 1) == lib.HBM_ERR_ILLEGAL_COMMAND
    assert lib.hbm_probe_issue(probe, 0, lib.HBM_CMD_RD, 0, first) == 0
    assert earliest(probe, lib.HBM_CMD_RD, 0) == first + ticks["CCDL"]


def test_a_function_pointer_works_like_the_function() -> None:
    pointer = ffi.addressof(lib, "hbm_error_name")
    assert ffi.string(pointer(-1)) == ffi.string(lib.hbm_error_name(-1))


@pytest.mark.parametrize("mapping", ["row-bank-column-channel", "row-bank-column-channel-hashed"])
def test_the_digits_of_a_map_make_the_same_map_in_c(ticks: dict[str, int], mapping: str) -> None:
    addresses = [32 * (k * 2654435761 % (1 << 30)) for k in range(200)]
    known = System(preset("HBM4_8000"), stacks=2, mapping=mapping).map
    out = ffi.new("hbm_map_t **")
    pieces, flips = known.pieces, known.flips
    assert lib.hbm_map_create(create(ticks), 2, pieces, len(pieces), flips, len(flips), out) == 0
    made = ffi.gc(out[0], lib.hbm_map_free)
    coordinates = ffi.new("int32_t[]", 8 * len(addresses))
    assert lib.hbm_map_decode(made, addresses, len(addresses), False, coordinates, ffi.new("int64_t *")) == 0
    assert list(coordinates) == known.decode(addresses).ravel().tolist()
