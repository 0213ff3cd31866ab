"""Random maps of random devices: decode and encode are inverse, stay in range, no two bursts share a place, and that is
where requests go."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_cases import READS, WRITES, addresses_moved

import hbmmodel as hbm
from hbmmodel.device.presets import load
from hbmmodel.mapping import FIELDS, NAMED_MAPS

DEVICES = [(name, variant) for name in hbm.devices() for variant in load(name).variants]
STACKS = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8])


def sizes_of(system: hbm.System) -> tuple[int, ...]:
    org = system.device.organisation
    return (
        *(system.stacks, org.channels, org.pseudo_channels, org.sids, org.bank_groups),
        *(org.banks_per_group, org.rows, org.columns),
    )


def bits(size: int) -> int | None:
    return size.bit_length() - 1 if size & (size - 1) == 0 else None


@st.composite
def expressions(draw: Any, sizes: tuple[int, ...]) -> str:
    """Pieces of all fields, those of powers of two cut into slices, in any order, and XOR terms that hold."""
    pieces = []
    for name, size in zip(FIELDS, sizes, strict=True):
        n = bits(size)
        if n is None or n == 0 or draw(st.booleans()):
            pieces.append(name)
            continue
        cuts = sorted(draw(st.sets(st.integers(1, n - 1), max_size=3))) if n > 1 else []
        pieces += [
            f"{name}[{high - 1}:{low}]" for low, high in zip([0, *cuts], [*cuts, n], strict=True)
        ]
    flips = []
    sources = draw(st.sets(st.sampled_from(FIELDS[3:]), max_size=3))
    for source in sorted(sources):
        if source != "row" and not bits(sizes[FIELDS.index(source)]):
            continue
        top = (sizes[FIELDS.index(source)] - 1).bit_length()
        targets = [
            name
            for name, size in zip(FIELDS[:6], sizes, strict=False)
            if name not in sources and bits(size)
        ]
        for target in draw(st.sets(st.sampled_from(targets), max_size=2)) if targets and top else ():
            width = draw(st.integers(1, min(top, bits(sizes[FIELDS.index(target)]) or 1)))
            low = draw(st.integers(0, top - width))
            flips.append(f"; {target} ^= {source}[{low + width - 1}:{low}]")
    return " ".join(draw(st.permutations(pieces))) + "".join(flips)


def check_bijection(system: hbm.System, seed: int) -> None:
    sizes = np.array(sizes_of(system))
    n = system.capacity_bytes // 32
    rng = np.random.default_rng(seed)
    near_ends = np.arange(min(n, 64))
    bursts = np.unique(np.concatenate([rng.integers(0, n, 400), near_ends, n - 1 - near_ends]))
    addresses = bursts.astype(np.uint64) * np.uint64(32)
    places = system.map.decode(addresses)
    assert (places >= 0).all() and (places < sizes).all()
    assert len(np.unique(places, axis=0)) == len(places)
    assert np.array_equal(system.map.encode(places), addresses)
    coordinates = rng.integers(0, sizes, (400, len(sizes))).astype(np.int32)
    coordinates[0], coordinates[1] = 0, sizes - 1
    back = system.map.encode(coordinates)
    assert (back < np.uint64(system.capacity_bytes)).all()
    assert np.array_equal(system.map.decode(back), coordinates)


@given(st.data(), st.sampled_from(DEVICES), STACKS, st.integers(0, 2**32))
@settings(max_examples=150)
def test_any_expression_of_any_preset_is_a_bijection(
    data: Any, preset: tuple[str, str], stacks: int, seed: int
) -> None:
    device = hbm.device(*preset)
    sizes = sizes_of(hbm.System(device, stacks=stacks))
    check_bijection(hbm.System(device, stacks=stacks, mapping=data.draw(expressions(sizes))), seed)


@given(
    st.sampled_from(DEVICES),
    STACKS,
    st.sampled_from(list(NAMED_MAPS)),
    st.sampled_from([32, 64, 128, 256, 512, 1024, 2048]),
    st.integers(0, 2**32),
)
@settings(max_examples=100)
def test_any_named_map_with_any_granule_is_a_bijection(
    preset: tuple[str, str], stacks: int, name: str, granule: int, seed: int
) -> None:
    check_bijection(hbm.System(hbm.device(*preset), stacks=stacks, mapping=name, granule_bytes=granule), seed)


@given(
    st.data(),
    st.sampled_from(["HBM2E_3200", "HBM3_6400", "HBM4_8000"]),
    st.sampled_from([1, 2, 3, 5, 6]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([1, 2, 3, 5, 8, 12]),
)
@settings(max_examples=80)
def test_no_two_bursts_of_a_small_system_share_a_place(
    data: Any, name: str, stacks: int, channels: int, sids: int, rows: int
) -> None:
    device = hbm.device(name, channels=channels, sids=sids, rows=rows)
    sizes = sizes_of(hbm.System(device, stacks=stacks))
    system = hbm.System(device, stacks=stacks, mapping=data.draw(expressions(sizes)))
    n = int(np.prod(sizes))
    addresses = np.arange(n, dtype=np.uint64) * np.uint64(32)
    number = np.ravel_multi_index(tuple(system.map.decode(addresses).T), sizes)
    assert np.array_equal(np.bincount(number, minlength=n), np.ones(n, dtype=np.int64))


@given(
    st.data(),
    st.sampled_from(["HBM2E_3200", "HBM3_6400", "HBM4_8000"]),
    st.sampled_from([1, 2, 3, 6]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([3, 12, 12288, 16384]),
    st.integers(0, 2**32),
)
@settings(max_examples=60)
def test_requests_go_where_any_map_puts_them(
    data: Any, name: str, stacks: int, channels: int, sids: int, rows: int, seed: int
) -> None:
    device = hbm.device(name, channels=channels, sids=sids, rows=rows)
    sizes = sizes_of(hbm.System(device, stacks=stacks))
    system = hbm.System(device, stacks=stacks, mapping=data.draw(expressions(sizes)))
    rng = np.random.default_rng(seed)
    address = rng.permutation(np.unique(rng.integers(0, int(np.prod(sizes)), 60))).astype(np.uint64) * np.uint64(32)
    is_write = rng.random(len(address)) < 0.4
    log = hbm.simulate(system, hbm.Trace.from_requests(address, is_write), command_log=True, threads=1).command_log
    assert addresses_moved(system, log, READS).tolist() == np.sort(address[~is_write]).tolist()
    assert addresses_moved(system, log, WRITES).tolist() == np.sort(address[is_write]).tolist()
