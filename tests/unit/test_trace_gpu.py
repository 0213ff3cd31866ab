"""Instruction traces of GPUs: which instructions reach memory, in which sectors, in which order."""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import Any

import pytest
from foreign_samples import CUTRACER, TRACEG, cutracer

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace import HbmTraceWarning, RequestTrace, read_trace
from hbmmodel.trace.sass import moves_of, sectors


def requests(path: Path, format: str | None = None) -> list[tuple[int, int, int]]:
    trace = read_trace(path, format=format)
    assert isinstance(trace, RequestTrace)
    found = []
    for chunk in trace.chunks(max_records=2):
        assert chunk.size_bytes is not None and chunk.time_ps is None and chunk.first_record == len(found)
        found += list(zip(chunk.address.tolist(), chunk.is_write.tolist(), chunk.size_bytes.tolist(), strict=True))
    return found


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_sectors_of_a_scattered_warp() -> None:
    assert list(sectors([], 4)) == []
    assert list(sectors([0x20 * 2 * lane for lane in range(32)], 4)) == [(0x40 * lane, 32) for lane in range(32)]
    assert list(sectors([62], 4)) == [(32, 64)]  # two sectors, for it is not aligned


@pytest.mark.parametrize(
    ("sass", "reads", "writes", "lane_bytes"),
    [
        ("LDG.E.64.CONSTANT R2, [R4]", True, False, 8),
        ("@P0 STG.E.128 [R2], R4", False, True, 16),
        ("@!UP1 LD.E.S8 R0, [R1]", True, False, 1),
        ("ATOMG.E.ADD.STRONG.GPU PT, R2, [R4], R6", True, True, 4),
        ("RED.E.ADD.F16x2.RN [R2], R4", True, True, 4),
        ("LDGSTS.E.BYPASS.128 [R1], [R2.64]", True, False, 16),
    ],
)
def test_instructions_that_reach_global_memory(sass: str, reads: bool, writes: bool, lane_bytes: int) -> None:
    found = moves_of(sass)
    assert found is not None and (found.reads, found.writes, found.lane_bytes) == (reads, writes, lane_bytes)


@pytest.mark.parametrize("sass", ["LDS R0, [R1]", "STL [R1], R0", "LDC R0, c[0][0]", "FFMA R0, R1, R2, R3", "", "123"])
def test_instructions_that_do_not(sass: str) -> None:
    assert moves_of(sass) is None


def test_cutracer_loads_stores_and_atomics(tmp_path: Path) -> None:
    path = put(tmp_path / "a.ndjson", cutracer())
    assert read_trace(path).format == "cutracer"
    assert requests(path) == [(0x7000, 0, 512), (0x9000, 1, 32), (0xA000, 0, 32), (0xA000, 1, 32)]


def test_cutracer_masks_spaces_and_values(tmp_path: Path) -> None:
    base = {key: value for key, value in CUTRACER[1].items() if key != "type"}
    records: list[Any] = [
        {"type": "mem_value_trace", **base, "is_load": False, "access_size": 8, "mem_space": 3, "active_mask": "0x3"},
        {"type": "mem_value_trace", **base, "is_load": True, "access_size": 4, "mem_space": 4},  # shared
        {"type": "mem_addr_trace", **base},  # the same accesses, recorded a second time
        {"type": "surprise"},
    ]
    path = put(tmp_path / "a", cutracer(records))
    with pytest.warns(HbmTraceWarning, match="records of type mem_addr_trace, surprise are left out"):
        assert requests(path) == [(0x7000, 1, 32)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"addrs": [0] * 31}, "line 1: field addrs: not one address for each lane"),
        ({"addrs": [-1] * 32}, "line 1: field addrs: bad address: got -1"),
        ({"addrs": [2**64] * 32}, "field addrs: bad address"),
        ({"opcode_id": 99}, "field sass: the instruction is not known; keep the kernel_metadata record"),
        ({"active_mask": "zz", "sass": "LDG R0, [R1]"}, "field active_mask: bad mask"),
        ({"is_load": True, "access_size": 0}, "field access_size: bad size"),
        ({"type": 3}, "field type: no object with a type"),
    ],
)
def test_malformed_cutracer_records_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    sass = {} if "opcode_id" in change else {"sass": "LDG.E R0, [R1]"}
    path = put(tmp_path / "a", cutracer([{**CUTRACER[1], **sass, **change}]))
    with pytest.raises(HbmTraceError) as caught:
        requests(path, "cutracer")
    assert message in str(caught.value)


def test_accelsim_kernels_turn_by_turn(tmp_path: Path) -> None:
    """Warps take turns; shared memory, by opcode or by address, is left out; the copy formats give the lanes."""
    path = put(tmp_path / "kernel-1.traceg", TRACEG)
    assert read_trace(path).format == "accelsim"
    assert requests(path) == [
        (0x7F1000000000, 0, 512),  # warp 0: base and stride, 16 bytes each
        (0x2FE0, 1, 64),  # warp 1: 0x3000, 0x3004, 0x2ffc
        (0x1000, 0, 32),  # warp 0: two listed lanes
        (0x2000, 0, 32),
        (0x4000, 0, 32),
        (0x4000, 1, 32),
    ]


def test_a_list_of_kernels_with_copies(tmp_path: Path) -> None:
    (tmp_path / "kernel-1.traceg.xz").write_bytes(lzma.compress(TRACEG))
    text = b"MemcpyHtoD,0x00007f2000000000,3221225472\nkernel-1.traceg\nMemcpyDtoH,0x1,4\n\nkernel-1.traceg.xz\n"
    path = put(tmp_path / "kernelslist.g", text)
    found = requests(path)
    assert found[:3] == [(0x7F2000000000 + (i << 30), 1, 1 << 30) for i in range(3)]
    assert len(found) == 3 + 2 * 6
    before = read_trace(path).content_hash()
    (tmp_path / "kernel-1.traceg.xz").write_bytes(lzma.compress(TRACEG + b"\n"))
    assert read_trace(path).content_hash() != before


def test_older_tracers_and_line_information(tmp_path: Path) -> None:
    old = TRACEG.replace(b"version = 4", b"version = 2").replace(b"lineinfo = 0", b"lineinfo = 1")
    lines = [b"0 0 0 1 77 " + line if line[:3] in (b"010", b"011", b"012") else line for line in old.split(b"\n")]
    new = requests(put(tmp_path / "a", TRACEG))
    assert requests(put(tmp_path / "b", b"\n".join(lines))) == new


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    text = TRACEG.replace(b"version = 4", b"version = 9").replace(
        b"0120 ffffffff 0 EXIT 0 0 0", b"0120 1 0 UTMALDG.2D 1 R2 16 1 0x10 2 3 0"
    )
    with pytest.warns(HbmTraceWarning) as caught:
        requests(put(tmp_path / "a", text))
    assert [str(one.message).split(": ", 1)[1] for one in caught] == [
        "tracer version 9 is not known; it is read as version 5",
        "1 bulk copies (TMA) are left out",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"ffffffff 1 R24", b"1ffffffff 1 R24", "line 19: field mask"),
        (b"1 R44 16", b"9999 R44 16", "field src_num: not a number"),
        (b"16 1 0x7f1000000000 16 0", b"16 7 0x7f1000000000 16 0", "field addr_format"),
        (b"16 1 0x7f1000000000 16 0", b"16 1", "the line is too short"),
        (b"0x7f1000000000 16", b"0x7f1000000000 -99999999999999", "field address: an address outside"),
        (b"0x7f1000000000 16", b"0x" + b"f" * 400 + b" 16", "field address: not a number"),
        (b"warp = 0\ninsts = 3\n", b"", "an instruction before the first warp"),
        (b"#END_TB\n\n#BEGIN", b"#BEGIN", "a thread block inside another"),
        (b"insts = 1\n0100 00000001 0 RED.E.ADD 2 R2 R4 4 1 0x4004 0 0\n#END_TB\n", b"", "ends inside a thread block"),
        (b"#BEGIN_TB\n\nthread", b"thread", "no thread block has begun: got 'thread block = 0,0,0'; give"),
        (b"tracer version = 4", b"tracer version = x", "field accelsim tracer version"),
    ],
)
def test_malformed_kernels_are_named(tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    assert old in TRACEG
    path = put(tmp_path / "a", TRACEG.replace(old, new, 1))
    with pytest.raises(HbmTraceError) as caught:
        requests(path, "accelsim")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"kernel-9.traceg\n", "line 1: the kernel's file does not exist: got 'kernel-9.traceg'"),
        (b"MemcpyHtoD,0x10,9999999999999\n", "line 1: the copy is too large"),
        (b"MemcpyHtoD,0x10,4\nkernel/../../etc/passwd\n", "line 2: neither a kernel nor a copy"),
    ],
)
def test_malformed_lists_are_named(tmp_path: Path, text: bytes, message: str) -> None:
    path = put(tmp_path / "kernelslist.g", text)
    with pytest.raises(HbmTraceError) as caught:
        requests(path, "accelsim")
    assert message in str(caught.value)
