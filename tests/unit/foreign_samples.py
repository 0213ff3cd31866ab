"""Small files of the formats that other programs write, for the tests of several readers."""

from __future__ import annotations

import json
import pickle
from typing import Any

MIB = 1 << 20


def tensor(storage: int, shape: list[int], itemsize: int = 4, offset: int = 0, device: str = "cpu") -> dict[str, Any]:
    """A tensor of an ET, contiguous."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    n = 1
    for count in shape:
        n *= count
    kind = {4: "Tensor(float)", 8: "Tensor(long int)", 2: "Tensor(c10::BFloat16)"}[itemsize]
    value = [storage + 100, storage, offset, n, itemsize, device]
    return {"value": value, "shape": shape, "type": kind, "stride": strides}


def side(*values: Any) -> dict[str, Any]:
    """Inputs or outputs of an ET node; numbers stand for themselves."""
    columns: dict[str, list[Any]] = {"values": [], "shapes": [], "types": [], "strides": []}
    for value in values:
        one = value if isinstance(value, dict) else {"value": value, "shape": [], "type": "Int", "stride": []}
        for column, key in (("values", "value"), ("shapes", "shape"), ("types", "type"), ("strides", "stride")):
            columns[column].append(one[key])
    return columns


def node(
    number: int, parent: int, name: str, schema: str, inputs: list[Any], outputs: list[Any], scope: int = 0
) -> dict[str, Any]:
    """A node of an ET; its ``rf_id`` is its number plus 1000."""
    attrs = [
        {"name": "rf_id", "type": "uint64", "value": number + 1000},
        {"name": "scope", "type": "uint64", "value": scope},
        {"name": "op_schema", "type": "string", "value": schema},
    ]
    return {
        **{"id": number, "name": name, "ctrl_deps": parent},
        **{"inputs": side(*inputs), "outputs": side(*outputs), "attrs": attrs},
    }


MM = "aten::mm(Tensor self, Tensor mat2) -> Tensor"
ADD_ = "aten::add_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)"
T = "aten::t(Tensor(a) self) -> Tensor(a)"
LINEAR = "aten::linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor"
RELU = "aten::relu(Tensor self) -> Tensor"


def et_nodes() -> list[dict[str, Any]]:
    """Of x (1) and w (2) mm makes 3 inside linear, relu of it 4; 3 dies, a new 3 is made and added to half of 4."""
    x, w = tensor(1, [64, 64]), tensor(2, [64, 64])
    y, z, again = tensor(3, [64, 64]), tensor(4, [64, 64]), tensor(3, [32, 64])
    half = {**tensor(4, [32, 64]), "value": [104, 4, 0, 2048, 4, "cpu"]}
    return [
        node(1, 1, "[pytorch|profiler|execution_trace|process]", "", [], [], 7),
        node(4, 3, "aten::t", T, [w], [w]),
        node(5, 3, "aten::mm", MM, [x, w], [y]),
        node(3, 1, "aten::linear", LINEAR, [x, w, "<None>"], [y]),
        node(7, 6, "aten::relu", RELU, [y], [z]),
        node(6, 1, "my range", "", [], [], 7),
        node(9, 8, "aten::mm", MM, [x, w], [again]),
        node(10, 8, "aten::add_", ADD_, [half, again, 1], [half]),
        node(8, 1, "autograd::engine::evaluate_function: MmBackward0", "", [], []),
    ]


def et() -> dict[str, Any]:
    """The file of `et_nodes`."""
    return {"schema": "1.1.1-chakra.0.0.4", "pid": 1, "nodes": et_nodes(), "finish_ts": 9}


def kineto(shift: int = 0, record: bool = False) -> dict[str, Any]:
    """Kineto's side of `et`: calls 10 us apart, 4 us long; memory of 3, 4 and 3'; 3 is freed before 3' is taken."""
    events: list[dict[str, Any]] = [{"ph": "M", "name": "process_name", "ts": 0, "pid": 1, "tid": 0, "args": {}}]
    for i, (number, name) in enumerate(
        [(3, "aten::linear"), (4, "aten::t"), (5, "aten::mm"), (7, "aten::relu"), (9, "aten::mm"), (10, "aten::add_")]
    ):
        rf_id = number + 1000
        args = {"External id": i if record else rf_id + shift, "Record function id": rf_id if record else 0}
        times = {"ts": 100.0 + 10 * i, "dur": 25.0 if number == 3 else 4.0}
        events.append({"ph": "X", "cat": "cpu_op", "name": name, "pid": 1, "tid": 1, **times, "args": args})
    for ts, address, n_bytes in (
        *((121.0, 0x1000, 16384), (131.0, 0x9000, 16384), (132.0, 0xF000, 64), (133.0, 0xF000, -64)),
        *((139.0, 0x1000, -16384), (141.0, 0x1000, 8192), (160.0, 0x1000, -8192)),
    ):
        args = {"Addr": address, "Bytes": n_bytes, "Device Type": 0, "Device Id": -1}
        events.append({"ph": "i", "cat": "cpu_instant_event", "name": "[memory]", "ts": ts, "args": args})
    return {"schemaVersion": 1, "deviceProperties": [], "traceEvents": events, "traceName": "a.json"}


CUTRACER = [
    {"type": "kernel_metadata", "mangled_name": "k", "instructions": {"3": {"sass": "LDG.E.128 R4, [R2.64]"},
     "4": {"sass": "STG.E [R2.64], R4"}, "5": {"sass": "LDS R0, [R1]"}, "6": {"sass": "RED.E.ADD [R2.64], R4"}}},
    {"type": "mem_trace", "ctx": "0x1", "trace_index": 0, "cta": [0, 0, 0], "warp": 0,
     "opcode_id": 3, "pc": "0x10", "addrs": [0x7000 + 16 * lane for lane in range(32)]},
    {"type": "mem_trace", "ctx": "0x1", "trace_index": 1, "cta": [0, 0, 0], "warp": 0,
     "opcode_id": 4, "pc": "0x20", "addrs": [0x9000 + 4 * lane if lane < 8 else 0 for lane in range(32)]},
    {"type": "mem_trace", "ctx": "0x1", "trace_index": 2, "cta": [0, 0, 0], "warp": 0,
     "opcode_id": 5, "pc": "0x30", "addrs": [4 * lane for lane in range(32)]},
    {"type": "mem_trace", "ctx": "0x1", "trace_index": 3, "cta": [0, 0, 0], "warp": 1,
     "opcode_id": 6, "pc": "0x40", "addrs": [0xA000] * 32},
    {"type": "capture_completion", "records": 4},
]  # fmt: skip


def cutracer(records: list[Any] | None = None) -> bytes:
    """A CUTracer file."""
    return "".join(json.dumps(record) + "\n" for record in (CUTRACER if records is None else records)).encode()


TRACEG = b"""-kernel name = _Z6kernelv
-kernel id = 1
-grid dim = (1,1,1)
-block dim = (64,1,1)
-nvbit version = 1.5.5
-accelsim tracer version = 4
-enable lineinfo = 0
-shmem base_addr = 0x00007f0000000000
-future thing = 7

#traces format = PC mask dest_num [reg_dests] opcode src_num [reg_srcs] mem_width [mem_addresses] immediate

#BEGIN_TB

thread block = 0,0,0

warp = 0
insts = 3
0100 ffffffff 1 R24 LDG.E.128 1 R44 16 1 0x7f1000000000 16 0
0110 00000003 1 R2 LDG.E 1 R4 4 0 0x1000 0x2000 0
0120 ffffffff 0 EXIT 0 0 0

warp = 1
insts = 3
0100 00000007 0 STG.E 2 R2 R4 4 2 0x3000 4 -8 0
0110 ffffffff 1 R2 LD.E 1 R4 4 1 0x7f0000000100 4 0
0120 00000001 1 R2 LDS 1 R4 4 1 0x10 4 0

#END_TB

#BEGIN_TB
thread block = 1,0,0
warp = 0
insts = 1
0100 00000001 0 RED.E.ADD 2 R2 R4 4 1 0x4004 0 0
#END_TB
"""


def snapshot() -> dict[str, Any]:
    """A snapshot with a history that our allocator repeats: two small blocks, one freed and taken again."""
    base, large = 0x7F0000000000, 0x7F0000800000

    def event(action: str, address: int, size: int) -> dict[str, Any]:
        return {"action": action, "addr": address, "size": size, "stream": 0, "time_us": 1, "frames": []}

    history = [
        event("segment_alloc", base, 2 * MIB), event("alloc", base, 1000), event("alloc", base + 1024, 8),
        event("free_requested", base, 1000), event("free_completed", base, 1000), event("alloc", base, 600),
        event("segment_alloc", large, 20 * MIB), event("alloc", large, 3 * MIB), event("snapshot", 0, 0),
    ]  # fmt: skip
    frames = [{"filename": "a.py", "name": "f", "line": 3}]
    small = [
        {"size": 1024, "requested_size": 600, "state": "active_allocated", "frames": frames},
        {"size": 512, "requested_size": 8, "state": "active_allocated", "frames": frames},
        {"size": 2 * MIB - 1536, "requested_size": 0, "state": "inactive", "frames": []},
    ]
    big = [
        {"address": large, "size": 3 * MIB, "requested_size": 3 * MIB, "state": "active_allocated"},
        {"address": large + 3 * MIB, "size": 17 * MIB, "requested_size": 0, "state": "inactive"},
    ]
    segments = [
        {"device": 0, "address": base, "total_size": 2 * MIB, "stream": 0, "segment_type": "small", "blocks": small},
        {"device": 0, "address": large, "total_size": 20 * MIB, "stream": 0, "segment_type": "large", "blocks": big},
    ]
    return {"segments": segments, "device_traces": [history], "allocator_settings": {"roundup": {}}, "later": [None]}


def snapshot_bytes(content: Any = None) -> bytes:
    """The pickle of a snapshot."""
    return pickle.dumps(snapshot() if content is None else content)


def delimited(*messages: bytes) -> bytes:
    """Messages of less than 128 bytes behind their lengths."""
    return b"".join(bytes([len(message)]) + message for message in messages)


def varint(value: int) -> bytes:
    """A number as protocol buffers write it."""
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def message(**numbers: Any) -> bytes:
    """A message: ``f1=5, f2=b"text"``."""
    out = b""
    for field, value in numbers.items():
        number = int(field[1:])
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        else:
            out += varint(number << 3) + varint(value)
    return out


def gem5(*packets: bytes) -> bytes:
    """A packet trace of 1 THz ticks."""
    chosen = packets or (message(f1=10, f2=1, f3=0x40, f4=64), message(f1=20, f2=4, f3=0x80, f4=8, f5=1, f9=7))
    return b"gem5" + delimited(message(f1=b"system.monitor", f3=10**12), *chosen)


def chakra(*nodes: bytes) -> bytes:
    """A Chakra trace of one load and one store."""
    size = message(f1=b"tensor_size", f13=4096)
    chosen = nodes or (
        message(f1=1, f2=b"load w", f3=2, f6=3, f7=4, f10=size),
        message(f1=2, f2=b"store y", f3=3, f4=1, f10=size),
    )
    return delimited(message(f1=b"0.0.4"), *chosen)
