"""Files that other programs write, broken in any way, get nothing but `HbmTraceError` out of their readers."""

from __future__ import annotations

import copy
import gzip
import io
import json
import pickle
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_samples import CUTRACER, TRACEG, chakra, cutracer, et, gem5, kineto, snapshot
from fuzzing import SECONDS_MAX, exhaust, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace import read_snapshot


def hbmarr() -> bytes:
    records = np.array(
        [(0, 0, 0, 0, 64, 0), (0, 1, 0, 32, 64, 1)],
        [("query", "u4"), ("step", "u1"), ("obj", "u4"), ("off", "u8"), ("size", "u4"), ("rw", "u1")],
    )
    objects = np.array([("a", 0, 4096)], [("name", "U24"), ("base", "u8"), ("bytes", "u8")])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, records=records, objects=objects, meta="{}")
    return buffer.getvalue()


SAMPLES: dict[str, bytes] = {
    "pytorch-et": json.dumps(et()).encode(),
    "cutracer": cutracer(),
    "accelsim": TRACEG,
    "gem5": gem5(),
    "chakra": chakra(),
    "hbmarr": hbmarr(),
}
SNAPSHOT = pickle.dumps(snapshot())

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, 10**400, "", "x", "a" * 5000, [], {}]),
    st.sampled_from(["Tensor(float)", "GenericList[Tensor(float)]", "Tensor(nullptr (uninitialized))", "aten::mm"]),
    st.sampled_from([1e300, -0.5, float("inf"), float("nan")]),
    st.lists(st.integers(-1, 70), max_size=4),
    st.just([[[[[1]]]]]),
)


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything in nested lists and dicts."""
    found = [path] if path else []
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        found += places(value, (*path, key))
    return found


@st.composite
def altered(draw: st.DrawFn, content: Any) -> Any:
    """The content with one to three values replaced, doubled or gone."""
    result = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        known = places(result)
        if not known:
            break
        *path, key = draw(st.sampled_from(known))
        holder = result
        for step in path:
            holder = holder[step]
        action = draw(st.sampled_from(["replace", "remove", "double"]))
        if action == "replace":
            holder[key] = copy.deepcopy(draw(ODD))  # a list that is altered next must not be the sample
        elif action == "remove":
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
    return result


def write_and_exhaust(data: bytes, fmt: str | None, other: bytes | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, second = Path(folder) / "sample.a", Path(folder) / "sample.b"
        path.write_bytes(data)
        if other is not None:
            second.write_bytes(other)
        exhaust(path, fmt, None if other is None else second)


@pytest.mark.parametrize("fmt", SAMPLES)
def test_the_samples_are_recognised_and_read(fmt: str) -> None:
    write_and_exhaust(SAMPLES[fmt], None)


@pytest.mark.parametrize("forced", [True, False])
@pytest.mark.parametrize("fmt", SAMPLES)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_files(fmt: str, forced: bool, data: st.DataObject) -> None:
    content = data.draw(mutated(SAMPLES[fmt]))
    if data.draw(st.booleans()) and fmt != "hbmarr":
        content = gzip.compress(content)
    write_and_exhaust(content, fmt if forced else None)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(altered(et()), st.booleans())
def test_execution_traces_with_odd_values(content: Any, joined: bool) -> None:
    other = json.dumps(kineto()).encode() if joined else None
    write_and_exhaust(json.dumps(content).encode(), "pytorch-et", other)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(altered(kineto()))
def test_kineto_files_with_odd_values(content: Any) -> None:
    write_and_exhaust(SAMPLES["pytorch-et"], "pytorch-et", json.dumps({"schemaVersion": 1, **content}).encode())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_kineto_files(data: st.DataObject) -> None:
    text = data.draw(mutated(json.dumps(kineto()).encode()))
    write_and_exhaust(SAMPLES["pytorch-et"], "pytorch-et", text)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(altered(CUTRACER))
def test_instruction_records_with_odd_values(records: Any) -> None:
    write_and_exhaust(cutracer(records), "cutracer")


def read_or_refuse(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.pickle"
        path.write_bytes(data)
        begin = time.perf_counter()
        try:
            read_snapshot(path).info()
        except HbmTraceError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000 and "sample" in str(error)
        assert time.perf_counter() - begin < SECONDS_MAX


@pytest.mark.parametrize("wrap", [bytes, gzip.compress])
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_pickles(wrap: Callable[[bytes], bytes], data: st.DataObject) -> None:
    read_or_refuse(wrap(data.draw(mutated(SNAPSHOT))))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_opcode_soup(data: bytes) -> None:
    read_or_refuse(b"\x80\x04" + data)


@settings(max_examples=150, deadline=None)
@given(altered(snapshot()))
def test_snapshots_with_odd_values(content: Any) -> None:
    read_or_refuse(pickle.dumps(content))
