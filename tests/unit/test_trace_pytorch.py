"""Execution traces: which nodes count, which way their operands move, when storages live; the join with Kineto."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from foreign_samples import MM, et, kineto, node, side, tensor

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace import HbmTraceWarning, OpTrace, RecordedTrace, convert, read_trace
from hbmmodel.trace.et_trace import EtTrace
from hbmmodel.trace.op_schema import is_composite, parse_schema
from hbmmodel.trace.records import Alloc, Free, OpRecord, Record


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def read(path: Path, with_: Path | None = None, **options: Any) -> EtTrace:
    trace = read_trace(path, with_=with_, **options)
    assert isinstance(trace, EtTrace)
    return trace


def lives(records: list[Record]) -> list[str]:
    """``A`` and ``F`` with storages, and the operators between them."""
    names = {Alloc: "A", Free: "F"}
    return [
        r.name.split(".")[1] if isinstance(r, OpRecord) else f"{names[type(r)]}{r.storage}"  # type: ignore[union-attr]
        for r in records
        if isinstance(r, Alloc | Free | OpRecord)
    ]


def test_the_outermost_kernels_count_with_their_phases(tmp_path: Path) -> None:
    trace = read(write(tmp_path / "a", et()))
    found = [(op.name, op.phase, op.bytes_read, op.bytes_written) for op in trace.operations(all=True)]
    assert found == [
        ("aten.t.default", "forward", 0, 0),
        ("aten.mm.default", "forward", 32768, 16384),
        ("aten.relu.default", "my range", 16384, 16384),
        ("aten.mm.default", "backward", 32768, 8192),
        ("aten.add_.Tensor", "backward", 16384, 8192),
    ]
    assert trace.metadata["schema"] == "1.1.1-chakra.0.0.4"
    assert [op.name for op in trace.select("my range").operations()] == ["aten.relu.default"]


def test_a_trace_without_backward_has_no_forward(tmp_path: Path) -> None:
    content = et()
    content["nodes"] = content["nodes"][:4]
    assert {op.phase for op in read(write(tmp_path / "a", content)).operations(all=True)} == {""}


def test_alone_what_was_made_lives_until_its_last_use_and_numbers_may_come_again(tmp_path: Path) -> None:
    records = list(read(write(tmp_path / "a", et())).records())
    assert lives(records) == ["A0", "t", "A1", "A2", "mm", "A3", "relu", "F2", "A4", "mm", "add_"]
    assert [r.n_bytes for r in records if isinstance(r, Alloc)] == [16384, 16384, 16384, 16384, 8192]


@pytest.mark.parametrize("first", ["et", "kineto"])
@pytest.mark.parametrize(("shift", "record"), [(0, False), (0, True), (548, False)])
def test_joined_memory_is_what_the_profiler_saw(tmp_path: Path, first: str, shift: int, record: bool) -> None:
    a, b = write(tmp_path / "et", et()), write(tmp_path / "kineto", kineto(shift, record))
    trace = read(a, b) if first == "et" else read(b, a)
    with pytest.warns(HbmTraceWarning, match="548 apart") if shift else _nothing():
        records = list(trace.records())
    assert lives(records) == ["A0", "t", "A1", "A2", "mm", "A3", "relu", "F2", "A4", "mm", "add_"]
    assert [r.pointer for r in records if isinstance(r, Alloc)] == [0, 0, 0x1000, 0x9000, 0x1000]
    assert [(op.time_ns, op.duration_ns) for op in trace.operations(all=True)] == [
        (0, 4000), (10000, 4000), (20000, 4000), (30000, 4000), (40000, 4000)
    ]  # fmt: skip
    assert trace.notes == (("joined by numbers 548 apart: the files are of two runs of one step",) if shift else ())
    assert trace.content_hash() != read(a).content_hash()


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_memory_that_is_given_back_later_lives_longer(tmp_path: Path) -> None:
    content = kineto()
    for event in content["traceEvents"]:
        if event["args"].get("Addr") == 0x1000 and event["args"]["Bytes"] < 0 and event["ts"] == 139.0:
            event["ts"] = 148.0  # after the second mm has begun, in which another address is taken
        if event["args"].get("Addr") == 0x1000 and event["ts"] >= 141.0 and event["args"]["Bytes"] in (8192, -8192):
            event["args"]["Addr"] = 0x7000
    records = list(read(write(tmp_path / "a", et()), write(tmp_path / "b", content)).records())
    assert lives(records) == ["A0", "t", "A1", "A2", "mm", "A3", "relu", "A4", "mm", "F2", "add_"]


def test_a_kernels_time_replaces_that_of_its_launch(tmp_path: Path) -> None:
    content = kineto()
    for start, number in ((500.0, 1005), (510.0, 1005), (600.0, 1007)):
        event = {"ph": "X", "cat": "kernel", "name": "k", "ts": start, "dur": 3.0, "args": {"External id": number}}
        content["traceEvents"].append(event)
    trace = read(write(tmp_path / "a", et()), write(tmp_path / "b", content))
    times = {(op.name, op.phase): (op.time_ns, op.duration_ns) for op in trace.operations()}
    origin = 110_000  # ns: the start of aten::t, the first call
    assert times["aten.mm.default", "forward"] == (500_000 - origin, 13_000)
    assert times["aten.relu.default", "my range"] == (600_000 - origin, 3_000)
    assert times["aten.mm.default", "backward"] == (150_000 - 10_000 + 0 - origin, 4_000)


def test_storages_without_a_memory_event_are_noted(tmp_path: Path) -> None:
    content = kineto()
    content["traceEvents"] = [event for event in content["traceEvents"] if event["name"] != "[memory]"]
    trace = read(write(tmp_path / "a", et()), write(tmp_path / "b", content))
    with pytest.warns(HbmTraceWarning, match="3 of 3 storages have no memory event"):
        assert lives(list(trace.records()))[-4:] == ["F2", "A4", "mm", "add_"]
    assert "3 of 3 storages" in trace.notes[0]


def test_only_the_accelerators_operands_count(tmp_path: Path) -> None:
    content = et()
    gpu = [tensor(11, [64, 64], device="cuda:0"), tensor(12, [64, 64], device="cuda:0")]
    content["nodes"].append(node(20, 1, "aten::mm", MM, gpu, [tensor(13, [64, 64], device="cuda:0")]))
    trace = read(write(tmp_path / "a", content))
    with pytest.warns(HbmTraceWarning, match="operands on other devices than cuda:0 are left out"):
        assert [op.bytes_read for op in trace.operations()] == [32768]


def test_unknown_things_are_noted_once_and_read_on(tmp_path: Path) -> None:
    content = et()
    content["schema"] = "2.0"
    content["surprise"] = {"deep": [1]}
    content["nodes"][2]["inputs"]["types"][0] = "Tensor(c10::Float6)"
    content["nodes"][2]["new"] = None
    del content["nodes"][6]["inputs"]["strides"]
    kernel = node(30, 1, "triton_poi_fused_add_0", "", [tensor(1, [64, 64])], [])
    kernel["attrs"].append({"name": "kernel_backend", "value": "triton"})
    sparse = node(31, 1, "aten::mm", MM, [{**tensor(0, [8]), "value": [5, 0, 0, 0, 0, ""]}], [])
    content["nodes"] += [kernel, sparse]
    trace = read(write(tmp_path / "a", content))
    with pytest.warns(HbmTraceWarning) as caught:
        operations = list(trace.operations())
    assert len(caught) == len(trace.notes) == 5
    for words in ("schema '2.0'", "no strides", "sparse", "compiled kernels", "type 'c10::Float6'"):
        assert any(words in note for note in trace.notes)
    assert (operations[-1].name, operations[-1].bytes_read) == ("triton.triton_poi_fused_add_0.kernel", 16384)
    assert trace.info()["notes"] == list(trace.notes)


def test_a_conversion_to_hbmop_keeps_everything(tmp_path: Path) -> None:
    trace = read(write(tmp_path / "et", et()), write(tmp_path / "kineto", kineto()))
    written = convert(trace, tmp_path / "a.hbmop.zst")
    assert (written["format"], written["operations"]) == ("hbmop", 5)
    again = read_trace(tmp_path / "a.hbmop.zst")
    assert isinstance(again, RecordedTrace) and again.metadata["kineto"] is True  # type: ignore[attr-defined]
    for ours, theirs in zip(trace.operations(all=True), again.operations(all=True), strict=True):
        assert (ours.name, ours.phase, ours.time_ns, ours.duration_ns) == (
            *(theirs.name, theirs.phase, theirs.time_ns, theirs.duration_ns),
        )
        assert [(a.is_write, a.base_address, a.run_bytes, a.dims) for a in ours.accesses] == [
            (a.is_write, a.base_address, a.run_bytes, a.dims) for a in theirs.accesses
        ]


def test_a_trace_of_requests_is_no_capture(tmp_path: Path) -> None:
    with pytest.raises(HbmArgumentError, match="has no operands"):
        convert(OpTrace.from_requests([0], [0]), tmp_path / "a.hbmop")
    assert list(tmp_path.iterdir()) == []


def test_kineto_alone_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", kineto())
    with pytest.raises(HbmTraceError, match=r"give the execution trace of the same run with it \(with_="):
        read_trace(path)


def test_wrong_pairs_are_refused(tmp_path: Path) -> None:
    a, b = write(tmp_path / "et", et()), write(tmp_path / "kineto", kineto())
    (tmp_path / "c").write_text("0x40 READ 0\n")
    with pytest.raises(HbmTraceError, match="this is pytorch-et, and .*et is pytorch-et; give one file of each kind"):
        read_trace(a, with_=a)
    with pytest.raises(HbmTraceError, match="this is dramsim3"):
        read_trace(b, with_=tmp_path / "c")
    with pytest.raises(HbmArgumentError, match="option with_ has no meaning in dramsim3"):
        read_trace(tmp_path / "c", with_=a)
    with pytest.raises(HbmArgumentError, match="with_ is 3"):
        read_trace(a, with_=3)  # type: ignore[arg-type]
    content = kineto()
    for event in content["traceEvents"]:
        event["name"] = event["name"].replace("aten", "other")
    write(b, content)
    with pytest.raises(HbmTraceError, match="only 0 of the 5 operators of .* give two files of one run"):
        list(read(a, b).records())


def _set(path: str, value: Any) -> Callable[[Any], None]:
    keys: list[Any] = [int(key) if key.lstrip("-").isdigit() else key for key in path.split("/")]

    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("nodes/2/id", "5"), "record 4: field id: bad number: got '5'"),
        (_set("nodes/2/id", 10**400), "field id: bad number: got a number of 1329 bits"),
        (_set("nodes/2/id", 4), "record 4: field id: two nodes with this id"),
        (_set("nodes/2/name", None), "record 5: field name: bad name"),
        (_set("nodes/2/ctrl_deps", -1), "record 5: field ctrl_deps"),
        (_set("nodes/2/attrs", {}), "record 5: field attrs: bad attributes"),
        (_set("nodes/2/inputs", []), "field inputs: not an object: got []; record with PyTorch 2.1"),
        (_set("nodes/2/inputs/shapes", [[64]]), "field inputs.shapes: not one entry for each value"),
        (_set("nodes/2/inputs/types/0", 7), "field inputs.types: not a text"),
        (_set("nodes/2/inputs/values/0", [1, 2]), "field inputs.values: bad tensor"),
        (_set("nodes/2/inputs/values/0/1", -4), "field inputs.values.storage: bad number"),
        (_set("nodes/2/inputs/values/0/4", 3), "field inputs.values.itemsize: unknown size"),
        (_set("nodes/2/inputs/shapes/0", [64, -1]), "field inputs.shapes: bad number: got -1"),
        (_set("nodes/2/inputs/strides/0", [1]), "field inputs.strides: 1 strides for 2 dimensions"),
        (_set("nodes/2/inputs/types/0", "GenericList[Tensor(float)]"), "not the 1 entries that its type lists"),
        (_set("nodes/2", [1]), "field nodes: a node is no object"),
        (_set("nodes", []), "no nodes; give what ExecutionTraceObserver wrote"),
        (_set("nodes/2/inputs/shapes/0", [2**62, 2**62]), "2^62 bytes"),
    ],
)
def test_malformed_nodes_are_named(tmp_path: Path, change: Callable[[Any], None], message: str) -> None:
    content = et()
    change(content)
    with pytest.raises(HbmTraceError) as caught:
        list(read(write(tmp_path / "a", content)).operations())
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_nothing_but_ranges_is_no_trace(tmp_path: Path) -> None:
    content = et()
    for one in content["nodes"]:
        one["attrs"] = one["attrs"][:2]
    with pytest.raises(HbmTraceError, match="no operator with a schema; record with PyTorch 2.1 or later"):
        list(read(write(tmp_path / "a", content)).operations())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("traceEvents/1/args/External id", 1.5), "record 1: field args.External id: not a whole number"),
        (_set("traceEvents/1/args", None), "record 1: field args.External id"),
        (_set("traceEvents/1/ts", -1), "record 1: field ts: not a time in microseconds"),
        (_set("traceEvents/1/dur", 1e300), "record 1: field dur"),
        (_set("traceEvents/1/name", {}), "record 1: field name: not a text"),
        (_set("traceEvents/7/args/Bytes", "64"), "record 7: field args.Bytes"),
        (_set("traceEvents/7", 3), "record 7: an event is no object"),
        (_set("traceEvents", []), "no operators"),
        (_set("traceEvents", [{"cat": ["kernel"], "ph": {}}]), "no operators"),
    ],
)
def test_malformed_events_are_named(tmp_path: Path, change: Callable[[Any], None], message: str) -> None:
    content = kineto()
    change(content)
    trace = read(write(tmp_path / "et", et()), write(tmp_path / "kineto", content))
    with pytest.raises(HbmTraceError) as caught:
        list(trace.operations())
    assert message in str(caught.value) and "kineto: " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"schema": "1", "nodes": [', "the JSON text ends in the middle"),
        (b'{"schema": "1", "nodes": [{"id": 1', "not JSON"),
        (b'{"schema": "1", "pid": 1]', "not the , or } of a JSON object or array"),
        (b'{"schema": "1", "nodes": [' + b"[" * 200_000, "nested too deeply"),
        (b'{"schema": "1", "nodes": []} x', "something follows the JSON object"),
        (b'{"schema": "1", 3: 4}', "a key is no text"),
        (b'{"schema": NaN, "nodes": []}', "NaN is no number of JSON"),
        (b'{"schema": "1", "nodes": []}\xff', "not UTF-8 text"),
        (b'{"schema": "1", "pid": ' + b"9" * 5000 + b', "nodes": []}', "not JSON"),
    ],
)
def test_broken_json_is_told_in_one_line(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(text)
    with pytest.raises(HbmTraceError) as caught:
        list(read(path, format="pytorch-et").operations())
    assert message in str(caught.value) and "line 1" in str(caught.value) and "\n" not in str(caught.value)


def test_a_bomb_is_refused_after_a_bounded_amount(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b'{"schema": "1", "nodes": ["' + b"x" * (80 << 20)))
    with pytest.raises(HbmTraceError, match="longer than 16777216 characters"):
        list(read(path, format="pytorch-et").operations())


def test_values_that_straddle_pieces_are_whole(tmp_path: Path) -> None:
    content = et()
    content["nodes"] = [{**copy.deepcopy(one), "pad": "y" * 300_000} for one in content["nodes"]]
    assert len(list(read(write(tmp_path / "a", content)).operations(all=True))) == 5


def test_schemas() -> None:
    fused = parse_schema(
        "aten::_fused_adamw_(Tensor(a!)[] self, Tensor(b!)[] grads, *, float lr, "
        'str s="a, (b!)", int[2] p=[1, 1]) -> ()'
    )
    assert fused is not None and fused.roles == ("m", "m", "r", "r", "r")
    split = parse_schema("aten::split.Tensor(Tensor(a -> *) self, SymInt split_size, int dim=0) -> Tensor(a)[]")
    assert split is not None and split.roles == ("r", "r", "r") and split.views == (True,)
    pair = parse_schema("aten::native_x(Tensor self) -> (Tensor(a), Tensor)")
    assert pair is not None and pair.views == (True, False)
    assert parse_schema("") is None and parse_schema("no schema") is None and parse_schema("a::b(" * 20_000) is None
    assert not is_composite("other.reshape.default")


def test_lists_of_tensors(tmp_path: Path) -> None:
    parts = [tensor(1, [4, 4]), tensor(2, [4, 4])]
    listed = {
        "value": [part["value"] for part in parts], "shape": [part["shape"] for part in parts],
        "type": "GenericList[Tensor(float),Tensor(float)]", "stride": [part["stride"] for part in parts],
    }  # fmt: skip
    schema = "aten::cat(Tensor[] tensors, int dim=0) -> Tensor"
    one = node(2, 1, "aten::cat", schema, [listed, 0], [tensor(3, [8, 4])])
    assert one["inputs"] == side(listed, 0)
    (operation,) = read(write(tmp_path / "a", {"schema": "1.1", "nodes": [one]})).operations()
    assert (operation.bytes_read, operation.bytes_written) == (128, 128)
