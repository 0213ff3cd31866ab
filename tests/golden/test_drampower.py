"""Energies recorded with DRAMPower 6.2, computed again from commands and memspec alone."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from hbmmodel.errors import HbmTraceError
from hbmmodel.validate.drampower import compute, validate

DATA = sorted((Path(__file__).parent / "data" / "drampower").glob("*.json.gz"))


def content(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def numbers(value: Any, path: str = "") -> dict[str, float]:
    if isinstance(value, dict):
        return {k: v for name, item in value.items() for k, v in numbers(item, f"{path}.{name}").items()}
    if isinstance(value, list):
        return {k: v for i, item in enumerate(value) for k, v in numbers(item, f"{path}[{i}]").items()}
    return {path: float(value)} if isinstance(value, int | float) and not isinstance(value, bool) else {}


@pytest.mark.parametrize("path", DATA, ids=lambda p: p.name.split(".")[0])
def test_every_recorded_number_is_reproduced_from_the_inputs_alone(path: Path) -> None:
    recorded = content(path)
    stripped = copy.deepcopy(recorded)
    for trace in stripped["traces"]:
        trace.pop("result")
    ours = compute(stripped, path.name)
    compared = 0
    for trace, result in zip(recorded["traces"], ours, strict=True):
        want, got = numbers(trace["result"]), numbers(result)
        for name, value in want.items():
            if name in got:
                compared += 1
                assert got[name] == pytest.approx(value, rel=1e-9, abs=1e-21), (trace.get("name"), name)
    assert compared > 300


def test_a_malformed_file_is_refused_by_place(tmp_path: Path) -> None:
    broken = content(DATA[0])
    del broken["memspec"]
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(broken))
    with pytest.raises(HbmTraceError, match=r"broken\.json.*memspec"):
        validate([path])


def test_a_compressed_file_is_read_as_the_plain_one(tmp_path: Path) -> None:
    plain = tmp_path / "plain.json"
    plain.write_bytes(gzip.decompress(DATA[0].read_bytes()))
    compressed = validate([DATA[0]])
    assert list(compressed.values()) == list(validate([plain]).values())
