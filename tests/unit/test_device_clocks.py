"""Every preset, rounded, gives exactly the clocks of the published fact tables."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hbmmodel.device import Device, Value, device, devices

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[1] / "golden" / "device_clocks.json").read_text()
)
VARIANTS = [(name, variant) for name, record in GOLDEN["presets"].items() for variant in record["variants"]]
RAMULATOR = {
    "nBL": "nBL",
    "RL": "nCL",
    "WL": "nCWL",
    "tRFCab": "nRFC",
    **{
        f"t{symbol}": f"n{symbol}"
        for symbol in (
            *("RCDRD", "RCDWR", "RP", "RAS", "RC", "WR", "RTP", "CCDS", "CCDL", "CCDR", "RRDS", "RRDL"),
            *("WTRS", "WTRL", "RTW", "FAW", "PPD", "RFCpb", "RFMab", "RFMpb", "RREFD", "REFI", "REFIpb"),
        )
    },
}


def agrees(device: Device, value: Value, record: list[Any]) -> None:
    ns, nck, half, confidence = record
    if half is not None:
        assert value.ck * 2 == half, value.name
    elif nck is not None:
        assert value.ck == nck, value.name
    assert value.ns is not None
    applied = value.ck * device.tck_ps / 1000
    assert ns == pytest.approx(float(value.ns), rel=1e-12) or ns == pytest.approx(float(applied), rel=1e-12)
    assert value.confidence == confidence, value.name


def test_every_preset_is_listed_and_cross_validation_sets_come_last() -> None:
    names = devices()
    assert set(names) == set(GOLDEN["presets"]) | set(GOLDEN["ramulator21"])
    assert [name.startswith("X_") for name in names] == sorted(name.startswith("X_") for name in names)


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_clocks_of_every_time(name: str, variant: str) -> None:
    expected = GOLDEN["presets"][name]
    one = device(name, variant)
    assert one.data_rate_mbps == expected["data_rate_mbps"]
    assert one.tck_ps == Fraction(expected["tck_ps"])
    assert one.peak_gb_per_s == pytest.approx(expected["peak_gb_per_s"], rel=1e-12)
    for symbol, record in expected["timing"].items():
        if symbol != "tCK":
            agrees(one, one.timing[symbol], record)


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_stack_of_every_variant(name: str, variant: str) -> None:
    expected = dict(GOLDEN["presets"][name]["variants"][variant])
    one = device(name, variant)
    organisation = one.organisation
    assert organisation.sids == expected.pop("sids")
    assert organisation.banks == expected.pop("banks")
    assert organisation.rows == expected.pop("rows")
    assert organisation.capacity_bytes == expected.pop("capacity_gib") * 2**30
    assert {"tRFCab", "tRFCpb", "tREFIpb", "tXS"} <= set(expected)
    for symbol, record in expected.items():
        agrees(one, one.timing[symbol], record)


@pytest.mark.parametrize("name", GOLDEN["presets"])
def test_default_variant(name: str) -> None:
    assert device(name).variant == GOLDEN["presets"][name]["default_variant"]


@pytest.mark.parametrize("name", GOLDEN["table"])
def test_clocks_of_the_printed_table(name: str) -> None:
    one = device(name)
    table = GOLDEN["table"][name]
    assert len(table) > 20
    for symbol, nck in table.items():
        assert float(one.timing[symbol].ck) == nck, symbol


@pytest.mark.parametrize("name", GOLDEN["presets"])
def test_ticks_are_two_per_clock(name: str) -> None:
    one = device(name)
    ticks = one.ticks()
    for symbol, (_, nck, half, _) in GOLDEN["presets"][name]["timing"].items():
        field = {"nBL": "BL"}.get(symbol, symbol.removeprefix("t"))
        if field in ticks:
            assert ticks[field] == (half if half is not None else 2 * nck), symbol


@pytest.mark.parametrize("name", GOLDEN["ramulator21"])
def test_cross_validation_sets_repeat_the_other_simulators_clocks(name: str) -> None:
    expected = GOLDEN["ramulator21"][name]
    one = device(name)
    theirs = expected["timing_CK"]
    assert one.tck_ps == theirs["tCK_ps"]
    for symbol, key in RAMULATOR.items():
        assert one.timing[symbol].ck == theirs[key], symbol
        assert (
            one.ticks()[{"nBL": "BL"}.get(symbol, symbol.removeprefix("t"))] == expected["timing_ticks"][key]
        )
    assert set(RAMULATOR.values()) == set(theirs) - {"rate", "tCK_ps"}
    org, organisation = expected["org"], one.organisation
    assert organisation.pseudo_channels == org["pseudochannel"]
    assert (organisation.sids, organisation.bank_groups, organisation.banks_per_group, organisation.rows) == (
        org["sid"],
        org["bankgroup"],
        org["bank"],
        org["row"],
    )
    assert organisation.capacity_bytes == organisation.channels * expected["channel_bytes"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HBM2E_3200", (4, 2, 2, 2, 0, 0)),
        ("HBM3_6400", (3, 2, 1, 2, 0, 1)),
        ("HBM3E_9600", (3, 2, 1, 2, 0, 1)),
        ("HBM4_8000", (3, 2, 1, 2, 0, 1)),
        ("X_RAMULATOR21_HBM3_6400", (3, 2, 1, 2, 1, 1)),
        ("X_RAMULATOR21_HBM4_16000", (3, 2, 1, 2, 1, 1)),
    ],
)
def test_command_bus(name: str, expected: tuple[int, ...]) -> None:
    ticks = device(name).ticks()
    fields = ("act_ticks", "act_reference", "row_ticks", "column_ticks", "column_reference", "pre_any_edge")
    assert tuple(ticks[field] for field in fields) == expected


def test_ranges_enclose_the_values() -> None:
    ranged = 0
    for name in devices():
        for value in device(name).timing.values():
            assert value.ns is not None
            if value.low_ns is not None:
                assert value.low_ns <= value.ns, (name, value.name)
                ranged += 1
            if value.high_ns is not None:
                assert value.ns <= value.high_ns, (name, value.name)
    assert ranged > 100
