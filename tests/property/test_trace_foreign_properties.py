"""What holds of the parts of foreign formats whatever they are given: coalescing, pickles, JSON, protocol buffers."""

from __future__ import annotations

import json
import pickle
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from foreign_samples import et, kineto, message
from hypothesis import given, settings
from hypothesis import strategies as st

from hbmmodel.trace import HbmTraceWarning, json_items, read_trace
from hbmmodel.trace.json_items import json_members
from hbmmodel.trace.protowire import fields
from hbmmodel.trace.records import Alloc, Free, OpRecord
from hbmmodel.trace.safe_pickle import load_plain
from hbmmodel.trace.sass import sectors


@given(st.lists(st.integers(0, 2**63), max_size=32), st.sampled_from([1, 2, 4, 8, 12, 16, 32, 33, 64]))
def test_sectors_are_the_bytes_rounded_each_once_and_ascending(addresses: list[int], lane_bytes: int) -> None:
    found = list(sectors(addresses, lane_bytes))
    touched = {(address + i) // 32 for address in addresses for i in range(lane_bytes)}
    covered = [sector for address, size in found for sector in range(address // 32, (address + size) // 32)]
    assert covered == sorted(touched)
    assert all(a + size < b for (a, size), (b, _) in zip(found, found[1:], strict=False))


KEYS = st.one_of(st.text(max_size=5), st.integers(-(2**40), 2**40))
PLAIN = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(-(2**300), 2**300), st.floats(allow_nan=False), st.text(max_size=9)),
        st.binary(max_size=300),
    ),
    lambda inner: st.one_of(
        *(st.lists(inner, max_size=5), st.dictionaries(KEYS, inner, max_size=4)),
        st.lists(inner, max_size=5).map(tuple),
    ),
    max_leaves=15,
)


@given(PLAIN, st.integers(3, 5))
def test_a_pickle_of_plain_data_is_read_as_python_reads_it(value: Any, protocol: int) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(pickle.dumps(value, protocol))
        file.flush()
        assert load_plain(file.name) == value


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5), st.integers(1, 7), st.sampled_from([None, 1]), st.data())
def test_json_in_pieces_is_json(content: dict[str, Any], size: int, indent: int | None, data: st.DataObject) -> None:
    lists = [key for key, value in content.items() if isinstance(value, list)]
    arrays = frozenset(data.draw(st.sets(st.sampled_from(lists)))) if lists else frozenset()
    text = json.dumps(content, indent=indent, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:  # half of a surrogate pair is no text
        return

    def cut(_: str) -> Iterator[bytes]:
        return (text[low : low + size] for low in range(0, len(text), size))

    with mock.patch.object(json_items, "pieces", cut):
        found: dict[str, Any] = {key: [] for key in arrays}
        for key, value in json_members("x", arrays):
            if key in arrays:
                found[key].append(value)
            else:
                found[key] = value
    assert found == content


@given(st.dictionaries(st.integers(1, 500), st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=200)), max_size=8))
def test_fields_come_back(content: dict[int, int | bytes]) -> None:
    assert dict(fields(message(**{f"f{number}": value for number, value in content.items()}))) == content


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(90, 200), st.integers(0, 3), st.integers(-1, 1)), max_size=30))
def test_whatever_the_memory_events_storages_are_live_while_used(events: list[tuple[float, int, int]]) -> None:
    content = kineto()
    content["traceEvents"] = [event for event in content["traceEvents"] if event["name"] != "[memory]"]
    for ts, place, sign in events:
        args = {"Addr": 4096 * place, "Bytes": sign * (8192 << place % 2), "Device Type": 0}
        content["traceEvents"].append({"ph": "i", "name": "[memory]", "ts": ts, "args": args})
    with tempfile.TemporaryDirectory() as folder:
        a, b = Path(folder) / "a", Path(folder) / "b"
        a.write_text(json.dumps(et()))
        b.write_text(json.dumps(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbmTraceWarning)
            records = list(read_trace(a, with_=b).records())  # type: ignore[union-attr]
    live: dict[int, int] = {}
    seen = set()
    for record in records:
        if isinstance(record, Alloc):
            assert record.storage not in seen
            seen.add(record.storage)
            live[record.storage] = record.n_bytes
        elif isinstance(record, Free):
            del live[record.storage]
        elif isinstance(record, OpRecord):
            assert all(o.storage in live and o.offset < live[o.storage] for o in record.operands)
