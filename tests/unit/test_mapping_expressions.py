"""Maps as text: named maps for every device, the grammar, and one clear line for every malformed expression."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import hbmmodel as hbm
from hbmmodel.device.presets import load
from hbmmodel.errors import HbmArgumentError, HbmMapError
from hbmmodel.mapping import FIELDS, NAMED_MAPS

PLAIN = "row sid bank column bank_group stack channel pseudo_channel"
EVERY_DEVICE = [(name, variant) for name in hbm.devices() for variant in load(name).variants]


def map_of(expression: str, **options: object) -> hbm.AddressMap:
    device = options.pop("device", None) or hbm.device("HBM4_8000", "24Gb_8H", channels=2)
    return hbm.System(device, mapping=expression, **options).map  # type: ignore[arg-type]


@pytest.mark.parametrize("mapping", NAMED_MAPS)
@pytest.mark.parametrize("name, variant", EVERY_DEVICE)
def test_every_named_map_is_a_bijection_of_every_device(name: str, variant: str, mapping: str) -> None:
    system = hbm.System(hbm.device(name, variant), stacks=3, mapping=mapping)
    rng = np.random.default_rng(7)
    n_bursts = system.capacity_bytes // 32
    bursts = np.concatenate([rng.integers(0, n_bursts, 500), np.arange(100), n_bursts - 1 - np.arange(100)])
    addresses = bursts.astype(np.uint64) * np.uint64(32)
    places = system.map.decode(addresses)
    org = system.device.organisation
    sizes = (3, org.channels, org.pseudo_channels, org.sids, org.bank_groups, org.banks_per_group, org.rows, 32)
    assert math.prod(sizes) == n_bursts
    assert (places >= 0).all() and (places < np.array(sizes)).all()
    assert np.array_equal(system.map.encode(places), addresses)
    assert len(np.unique(places, axis=0)) == len(np.unique(addresses))


@pytest.mark.parametrize("mapping", [name for name in NAMED_MAPS if name != "channel-row-bank-column"])
@pytest.mark.parametrize("granule", [32, 64, 256, 2048])
def test_granule_is_what_stays_in_one_pseudo_channel(mapping: str, granule: int) -> None:
    system = hbm.System(hbm.device("HBM4_8000"), stacks=2, mapping=mapping, granule_bytes=granule)
    n = 4 * system.n_pseudo_channels
    places = system.map.decode(np.arange(n * granule // 32, dtype=np.uint64) * np.uint64(32))[:, :3]
    whole = places.reshape(n, granule // 32, 3)
    assert (whole == whole[:, :1]).all()
    visits = np.unique(whole[: system.n_pseudo_channels, 0], axis=0)
    assert len(visits) == system.n_pseudo_channels  # one granule of each before any gets its second


def test_consecutive_bursts_of_a_pseudo_channel_alternate_between_bank_groups() -> None:
    system = hbm.System(hbm.device("HBM4_8000"))
    places = system.map.decode(np.arange(0, 1 << 20, 32, dtype=np.uint64))
    group = places[(places[:, 1] == 5) & (places[:, 2] == 1), FIELDS.index("bank_group")]
    assert len(group) == (1 << 20) // 64 // 32
    assert (group[1:] != group[:-1]).all()


def test_sid_changes_only_when_the_banks_and_columns_below_it_are_used_up() -> None:
    system = hbm.System(hbm.device("HBM3E_9200", "24Gb_12H", channels=1))
    places = system.map.decode(np.arange(0, 1 << 22, 32, dtype=np.uint64))
    sid = places[places[:, 2] == 0, FIELDS.index("sid")]
    changes = np.flatnonzero(np.diff(sid)) + 1
    assert set(np.diff(changes)) == {4 * 4 * 32}  # banks times columns
    assert set(sid) == {0, 1, 2}


def test_channel_first_map_fills_one_pseudo_channel_before_the_next() -> None:
    system = hbm.System(hbm.device("HBM3_6400", rows=16), mapping="channel-row-bank-column")
    per_pc = system.capacity_bytes // system.n_pseudo_channels
    ends = [0, per_pc - 32, per_pc, 2 * per_pc - 1, 2 * per_pc]
    assert system.map.decode(ends)[:, 1:3].tolist() == [[0, 0], [0, 0], [0, 1], [0, 1], [1, 0]]


def test_hashed_map_sends_equal_banks_of_consecutive_rows_to_different_banks_and_channels() -> None:
    system = hbm.System(hbm.device("HBM4_8000", "24Gb_8H"), mapping="row-bank-column-channel-hashed")
    per_row = system.capacity_bytes // system.device.organisation.rows
    places = system.map.decode([k * per_row for k in range(32)])
    assert sorted(places[:, FIELDS.index("channel")]) == list(range(32))
    assert sorted(places[:8, FIELDS.index("bank")]) == list(range(8))
    assert places[:, FIELDS.index("row")].tolist() == list(range(32))


@pytest.mark.parametrize(
    "expression",
    [
        PLAIN,
        PLAIN.replace(" ", "-"),
        PLAIN.replace(" ", "  -  "),
        "\t" + PLAIN + "\n",
        PLAIN + ";",
        PLAIN + " ; bank ^= row[2:0] ;bank^=row[5:3]",
        PLAIN.replace("stack ", ""),  # there is one stack
        PLAIN.replace("column", "column[4:4] column[3:1] column[0:0]"),
        PLAIN.replace("bank ", "bank[0:0] bank[2:1] "),
        "column bank pseudo_channel sid row channel bank_group",
    ],
)
def test_expression_is_read_whatever_its_spacing(expression: str) -> None:
    address_map = map_of(expression)
    addresses = np.arange(0, address_map.capacity_bytes, 32 * 1009, dtype=np.uint64)
    assert np.array_equal(address_map.encode(address_map.decode(addresses)), addresses)


def test_order_of_fields_is_most_significant_first() -> None:
    address_map = map_of(PLAIN)
    assert address_map.decode([32]).tolist() == [[0, 0, 1, 0, 0, 0, 0, 0]]
    assert address_map.decode([address_map.capacity_bytes - address_map.capacity_bytes // 12288])[0, 6] == 12287


MALFORMED = {
    "unknown name": ("nonsense", "unknown field 'nonsense'"),
    "no field": (";", "cannot read ''"),
    "dangling hyphen": (PLAIN + " -", "cannot read ''"),
    "capitals": (PLAIN.upper(), "cannot read"),
    "missing field": (PLAIN.replace("row ", ""), "row is covered 1 of 12288"),
    "field twice": (PLAIN + " row", "row is named twice"),
    "field of size one twice": (PLAIN + " stack", "stack is named twice"),
    "field and its slice": (PLAIN + " bank[0:0]", "bank is named twice"),
    "slice and its field": ("bank[0:0] " + PLAIN, "bank is named twice"),
    "slices that overlap": (PLAIN.replace("column", "column[4:2] column[2:0]"), "column is covered 64 of 32"),
    "slices that overlap evenly": (PLAIN.replace("column", "column[2:0] column[3:2]"), "bijection"),
    "slices with a hole": (PLAIN.replace("column", "column[4:3] column[1:0]"), "column is covered 16 of 32"),
    "slice too high": (PLAIN.replace("column", "column[5:0]"), "it has bits 4:0"),
    "slice upside down": (PLAIN.replace("column", "column[0:4]"), "it has bits 4:0"),
    "slice of no power of two": (PLAIN.replace("row", "row[13:0]"), "size 12288 is not sliceable"),
    "half a slice": (PLAIN.replace("column", "column[4]"), "cannot read 'column[4]'"),
    "negative slice": (PLAIN.replace("column", "column[-1:0]"), "cannot read"),
    "endless number": (PLAIN.replace("column", f"column[{'9' * 5000}:0]"), "cannot read"),
    "many pieces": ("stack " * 70 + PLAIN, "stack is named twice"),
    "flip without bits": (PLAIN + "; bank ^= row", "cannot read 'bank ^= row'"),
    "flip with equals only": (PLAIN + "; bank = row[0:0]", "cannot read"),
    "flip of an unknown field": (PLAIN + "; foo ^= row[0:0]", "unknown field 'foo'"),
    "flip by an unknown field": (PLAIN + "; bank ^= foo[0:0]", "unknown field 'foo'"),
    "flip too wide": (PLAIN + "; bank ^= row[3:0]", "more bits than bank (8 values)"),
    "flip upside down": (PLAIN + "; bank ^= row[0:2]", "row has bits 13:0"),
    "flip by bits that do not exist": (PLAIN + "; bank ^= row[14:12]", "row has bits 13:0"),
    "flip by astronomic bits": (PLAIN + "; bank ^= row[99999999999:0]", "cannot read"),
    "flip of a row": (PLAIN + "; row ^= bank[2:0]", "cannot be flipped"),
    "flip of a column": (PLAIN + "; column ^= row[2:0]", "cannot be flipped"),
    "flip by a channel": (PLAIN + "; bank ^= channel[0:0]", "channel cannot flip"),
    "flip of itself": (PLAIN + "; bank ^= bank[2:0]", "bank is flipped and flips others"),
    "flips in a chain": (
        PLAIN + "; bank ^= bank_group[0:0]; bank_group ^= row[0:0]",
        "bank_group is flipped and flips others",
    ),
    "more flips than the core holds": (PLAIN + "; bank ^= row[2:0]" * 40, "XOR terms"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_expression_gives_one_line_that_says_what_is_wrong(case: str) -> None:
    expression, told = MALFORMED[case]
    with pytest.raises(HbmMapError) as caught:
        map_of(expression)
    text = str(caught.value)
    assert told in text
    assert text.startswith("mapping ")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "flip, told",
    [("sid ^= row[0:0]", "sid has 3 values"), ("bank ^= sid[0:0]", "sid cannot flip")],
)
def test_three_sids_take_no_part_in_flips(flip: str, told: str) -> None:
    with pytest.raises(HbmMapError, match=re.escape(told)):
        map_of(f"{PLAIN}; {flip}", device=hbm.device("HBM4_8000", "24Gb_12H", channels=2))


def test_named_maps_that_need_powers_of_two_say_so() -> None:
    three = hbm.device("HBM4_8000", channels=3)
    assert map_of("row-bank-column-channel", device=three).capacity_bytes == three.organisation.capacity_bytes
    with pytest.raises(HbmMapError, match="powers of two of banks and channels"):
        map_of("row-bank-column-channel-hashed", device=three)


def test_granule_larger_than_a_row_of_all_groups_is_refused() -> None:
    with pytest.raises(HbmMapError, match="larger than a row of all bank groups"):
        map_of("row-bank-column-channel", granule_bytes=4096)


def test_empty_mapping_is_refused_by_the_system() -> None:
    with pytest.raises(HbmArgumentError, match="mapping must be the name of a map or an expression"):
        map_of("  ")


def test_explanation_names_every_digit_and_the_place() -> None:
    address_map = map_of(PLAIN.replace("column", "column[4:2]").replace("stack", "column[1:0] stack"))
    address = int(address_map.encode([[0, 1, 0, 1, 1, 6, 77, 13]])[0]) + 5
    lines = address_map.explain(address).splitlines()
    assert lines[0] == f"address {address:#x} = burst {address // 32}, byte 5 of 32"
    assert lines[1] == f"map: {address_map.expression}"
    assert [line.split() for line in lines[2:-1]] == [
        ["pseudo_channel", *"digit 0 of 2".split()],
        ["channel", *"digit 1 of 2".split()],
        ["stack", *"digit 0 of 1".split()],
        ["column", *"digit 1 of 4 (times 1)".split()],
        ["bank_group", *"digit 1 of 2".split()],
        ["column", *"digit 3 of 8 (times 4)".split()],
        ["bank", *"digit 6 of 8".split()],
        ["sid", *"digit 1 of 2".split()],
        ["row", *"digit 77 of 12288".split()],
    ]
    assert lines[-1] == (
        "-> stack 0, channel 1, pseudo_channel 0, sid 1, bank_group 1, bank 6, row 77, column 13"
    )


def test_explanation_shows_flips() -> None:
    address_map = map_of(PLAIN + "; bank ^= row[3:1]")
    lines = address_map.explain(0).splitlines()
    assert "  bank ^= (row >> 1) & 0x7" in lines
