"""A device is immutable, hashable and picklable; the core's fields, the text and the JSON agree with it."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from hbmmodel.device import Device, Organisation, Timing, describe, device, devices, to_dict
from hbmmodel.device.presets import sources
from hbmmodel.device.ticks import RANGES
from hbmmodel.errors import HbmDeviceError

FIELDS = Path(__file__).resolve().parents[2] / "csrc" / "device_fields.def"


def test_ticks_are_exactly_the_fields_of_the_core() -> None:
    rows = re.findall(r"^HBM_FIELD\((\w+), (-?\d+), (-?\d+), ", FIELDS.read_text(), re.MULTILINE)
    assert len(rows) == FIELDS.read_text().count("\nHBM_FIELD(")
    assert {name: (int(low), int(high)) for name, low, high in rows} == dict(RANGES)
    assert list(device("HBM4_8000").ticks()) == [name for name, _, _ in rows]
    assert all(type(value) is int for value in device("HBM4_8000").ticks().values())


@pytest.mark.parametrize("name", devices())
def test_devices_are_hashable_and_survive_pickling(name: str) -> None:
    one = device(name)
    again = pickle.loads(pickle.dumps(one))
    assert again == one
    assert hash(again) == hash(one)
    assert again.content_hash() == one.content_hash()
    assert one.tick_ps == one.tck_ps / 2


def test_devices_are_frozen() -> None:
    one = device("HBM4_8000")
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.variant = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        one.timing["RL"] = one.timing["WL"]  # type: ignore[index]


def test_content_hash_tells_devices_apart_and_ignores_prose() -> None:
    hashes = {device(name).content_hash() for name in devices()}
    assert len(hashes) == len(devices())
    one = device("HBM4_8000")
    assert dataclasses.replace(one, notes="other words").content_hash() == one.content_hash()
    assert device("HBM4_8000", tRCDRD_ns=15.9).content_hash() != one.content_hash()
    assert device("HBM4_8000", "24Gb_8H").content_hash() != one.content_hash()
    assert re.fullmatch("[0-9a-f]{64}", one.content_hash())


def test_a_device_made_by_hand_is_validated() -> None:
    one = device("HBM4_8000")
    incomplete = Timing(value for value in one.timing.values() if value.name != "RL")
    with pytest.raises(HbmDeviceError, match="timing RL is missing"):
        dataclasses.replace(one, timing=incomplete)
    shifted = [
        dataclasses.replace(v, ck=Fraction(1, 3)) if v.name == "WL" else v for v in one.timing.values()
    ]
    with pytest.raises(HbmDeviceError, match="WL = 1/3 CK is not a multiple of half a CK"):
        dataclasses.replace(one, timing=Timing(shifted))
    with pytest.raises(HbmDeviceError, match="128 banks per pseudo-channel .* more than 64"):
        dataclasses.replace(
            one, organisation=dataclasses.replace(one.organisation, sids=4, banks_per_group=16)
        )
    plain: Device = dataclasses.replace(one, timing=dict(one.timing))
    assert plain == one and hash(plain) == hash(one)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 0}, r"organisation\.rows = 0"),
        ({"rows": 1.5}, r"organisation\.rows = 1\.5"),
        ({"rows": True}, r"organisation\.rows = True"),
        ({"columns": 64}, "page_bytes"),
        ({"dq_per_stack": 100}, "dq_per_stack = 100 does not divide"),
    ],
)
def test_organisation_is_validated(change: dict[str, int], message: str) -> None:
    organisation: Organisation = device("HBM4_8000").organisation
    with pytest.raises(HbmDeviceError, match=message):
        dataclasses.replace(organisation, **change)


@pytest.mark.parametrize("name", devices())
def test_text_shows_every_value(name: str) -> None:
    one = device(name)
    text = describe(one)
    assert text.splitlines()[0].startswith(f"{name} {one.variant} ")
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith("  ")}
    for symbol, value in one.timing.items():
        ticks = f"{float(value.ck * 2):g}" if value.ck < 10000 else str(int(value.ck * 2))
        assert ticks in rows[symbol], symbol
        assert value.confidence in rows[symbol]
    assert "JEDEC text itself was not read" in text or name.startswith("X_")


@pytest.mark.parametrize("name", devices())
def test_text_with_sources_cites_every_label_in_full(name: str) -> None:
    one = device(name)
    text = describe(one, sources=True)
    assert describe(one) != text
    labels = {label for value in one.timing.values() for label in value.source}
    assert labels
    for label in labels:
        assert sources()[label] in text


def test_text_of_a_changed_device_says_so() -> None:
    text = describe(device("HBM4_8000", tRCDRD_ns=14, rfm=True))
    assert "overrides: rfm=True, tRCDRD_ns=14" in text
    assert "RAAIMT 64, RAAMMT 384, RAADEC 64 (estimate)" in text
    assert re.search(r"tRCDRD +14 +28 +56 +user", text)


@pytest.mark.parametrize("name", devices())
def test_json_twin_is_plain_and_complete(name: str) -> None:
    one = device(name)
    record = json.loads(json.dumps(to_dict(one)))
    assert record["ticks"] == one.ticks()
    assert set(record["timing"]) == set(one.timing)
    for symbol, value in record["timing"].items():
        assert value["ck"] == float(one.timing[symbol].ck)
        assert set(value["source"]) <= set(record["sources"])
    assert record["organisation"]["capacity_bytes"] == one.organisation.capacity_bytes
    assert record["content_hash"] == one.content_hash()


def test_importing_the_room_is_light() -> None:
    code = "import sys, hbmmodel.device; print(sorted({'numpy', 'msgspec', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
