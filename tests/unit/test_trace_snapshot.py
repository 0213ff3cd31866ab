"""Memory snapshots: plain data only, true addresses, and our allocator beside PyTorch's."""

from __future__ import annotations

import gzip
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from foreign_samples import MIB, snapshot, snapshot_bytes

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace import compare_allocator, read_snapshot, read_trace
from hbmmodel.trace.safe_pickle import load_plain
from hbmmodel.trace.snapshot import Snapshot

PLAIN = {"a": [1, -1, 2**70, -(2**63), 1.5, None, True, False, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
         "long": "x" * 300, "bytes": [b"ab", b"c" * 300], "numbers": [255, 256, 65535, 65536, -70000], 7: [{}, []],
         "é": list(range(3000))}  # fmt: skip


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_data_of_any_protocol(tmp_path: Path, protocol: int) -> None:
    assert load_plain(str(put(tmp_path / "a", pickle.dumps(PLAIN, protocol)))) == PLAIN
    assert load_plain(str(put(tmp_path / "a", gzip.compress(pickle.dumps(PLAIN, protocol))))) == PLAIN


def test_shared_values_stay_shared(tmp_path: Path) -> None:
    frames = [{"name": "f"}]
    found = load_plain(str(put(tmp_path / "a", pickle.dumps([frames, frames]))))
    assert found[0] is found[1]


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (f"{os.environ['HBM_TEST_EVIL']}",)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("what", [Evil, OrderedDict, set, complex, Path])
def test_nothing_is_ever_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: Any, protocol: int) -> None:
    monkeypatch.setenv("HBM_TEST_EVIL", str(tmp_path / "made"))
    path = put(tmp_path / "a", pickle.dumps({"segments": [what()]}, protocol))
    with pytest.raises(HbmTraceError, match="not plain data|damaged"):
        read_snapshot(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x04}", "the file ends in the middle"),
        (b"\x80\x09}.", "unknown protocol"),
        (b"\x80\x04]r\xff\xff\xff\xff.", None),  # a memo of 4 G entries is no list of 4 G entries
        (b"\x80\x04\x8e" + b"\xff" * 8, "bytes in one value"),
        (b"\x80\x04\x8b\xff\xff\xff\x7f", "bytes in one value"),
        (b"\x80\x04(]u.", "damaged"),
        (b"\x80\x04h\x05.", "damaged"),
        (b"\x80\x04}]]s.", "neither text nor a whole number"),
        (b"\x80\x04K\x01K\x02a.", "damaged"),
        (b"\x80\x04(.", "damaged"),
        (b"\x80\x04\x8c\x01\xff.", "damaged"),
        (b"\x80\x04cos\nsystem\n.", "not plain data"),
        (b"\x80\x04" + b")" + b"\x85" * 1000 + b".", None),
    ],
)
def test_hostile_pickles(tmp_path: Path, data: bytes, message: str | None) -> None:
    path = put(tmp_path / "a", data)
    if message is None:
        load_plain(str(path))
        return
    with pytest.raises(HbmTraceError) as caught:
        load_plain(str(path))
    assert message in str(caught.value) and "of the pickle" in str(caught.value)


def test_nesting_and_repetition_without_end(tmp_path: Path) -> None:
    """A list in a list in a list ..., and one that holds itself twice at each of 60 levels, in places that are told."""
    deep = b"]" * 1_000_000 + b"a" * 999_999
    laughs = b"]"
    for level in range(60):
        laughs += b"q" + bytes([level]) + b"0](h" + bytes([level]) + b"h" + bytes([level]) + b"e"
    for value in (deep, laughs):
        body = b"\x80\x04}\x8c\x08segments]}(\x8c\x07address" + value + b"\x8c\x04size" + b"K\x01" + b"uas."
        with pytest.raises(HbmTraceError, match="record 0: field segments.address: not a whole number") as caught:
            read_snapshot(put(tmp_path / "a", body))
        assert len(str(caught.value)) < 500


def test_segments_blocks_and_events(tmp_path: Path) -> None:
    found = read_snapshot(put(tmp_path / "a.pickle", snapshot_bytes()))
    assert [segment.pool for segment in found.segments] == ["small", "large"]
    first = found.segments[0]
    assert [block.address - first.address for block in first.blocks] == [0, 1024, 1536]
    assert (found.reserved_bytes, found.allocated_bytes) == (22 * MIB, 3 * MIB + 1536)
    assert [event.action for event in found.events][:2] == ["segment_alloc", "alloc"]
    assert found.info()["allocator_agrees"] is True and found.info()["allocations"] == 4


def test_our_allocator_repeats_the_history_address_by_address(tmp_path: Path) -> None:
    found = compare_allocator(read_snapshot(put(tmp_path / "a", snapshot_bytes())))
    assert found.agrees and (found.n_compared, found.n_same, found.first_difference) == (4, 4, None)


def test_a_difference_is_found_where_it_begins(tmp_path: Path) -> None:
    content = snapshot()
    history = content["device_traces"][0]
    history[5] = {**history[5], "addr": history[5]["addr"] + 2048}  # the freed block is not taken again
    history.insert(3, {"action": "free_completed", "addr": 1, "size": 4, "stream": 0})
    history.append({"action": "segment_free", "addr": 1, "size": 2 * MIB, "stream": 0})
    history.append({"action": "segment_alloc", "addr": 2, "size": 2 * MIB, "stream": 0})
    history.append({"action": "oom", "device_free": 1, "size": 4, "stream": 0, "addr": None})
    found = compare_allocator(read_snapshot(put(tmp_path / "a", snapshot_bytes(content))))
    base = 0x7F0000000000
    assert not found.agrees and found.n_same == 3 and found.first_difference == (6, base + 2048, base)
    assert (found.n_unknown_frees, found.n_segments_returned, found.n_segments_differ) == (1, 1, 1)


def test_streams_have_pools_of_their_own(tmp_path: Path) -> None:
    content = snapshot()
    history = content["device_traces"][0]
    other = 0x7F9000000000
    history.append({"action": "segment_alloc", "addr": other, "size": 2 * MIB, "stream": 9})
    history.append({"action": "alloc", "addr": other, "size": 8, "stream": 9})
    found = compare_allocator(read_snapshot(put(tmp_path / "a", snapshot_bytes(content))))
    assert found.agrees and found.n_compared == 5


def test_without_history_there_is_nothing_to_compare() -> None:
    with pytest.raises(HbmArgumentError, match="_record_memory_history"):
        compare_allocator(Snapshot("a", (), ()))


def test_a_snapshot_is_no_trace(tmp_path: Path) -> None:
    path = put(tmp_path / "a", snapshot_bytes())
    with pytest.raises(HbmTraceError, match="says where blocks lie, not what is read or written; look at it with"):
        read_trace(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("segments"), "no memory snapshot"),
        (lambda c: c.update(segments=3), "field segments: not a list"),
        (lambda c: c["segments"].insert(0, []), "record 0: field segments: not a dict"),
        (lambda c: c["segments"][0].pop("address"), "record 0: field segments.address: not a whole number"),
        (lambda c: c["segments"][1].update(total_size=-1), "record 1: field segments.total_size"),
        (lambda c: c["segments"][0].update(total_size=512), "the blocks are longer than the segment"),
        (lambda c: c["segments"][0]["blocks"][1].update(size="x"), "record 1: field segments[0].blocks.size"),
        (lambda c: c["segments"][0]["blocks"][1].update(state=None), "segments[0].blocks.state: not a short text"),
        (lambda c: c["device_traces"].append(5), "field device_traces[1]: not a list"),
        (lambda c: c["device_traces"][0][1].update(size=2**63), "record 1: field device_traces.size"),
        (lambda c: c["device_traces"][0][1].pop("action"), "record 1: field device_traces.action"),
    ],
)
def test_malformed_snapshots_are_named(tmp_path: Path, change: Any, message: str) -> None:
    content = snapshot()
    change(content)
    with pytest.raises(HbmTraceError) as caught:
        read_snapshot(put(tmp_path / "a", snapshot_bytes(content)))
    assert message in str(caught.value)
