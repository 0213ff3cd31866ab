"""Reading captures: replay of storages, phases, and one clear line for every malformed record."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace import OpTrace, read_trace

HEADER = {"hbmop": 1, "torch": "2.13.0"}
A, B = ["A", 0, 4096, 0, 0], ["A", 1, 4096, 0, 0]
READ = ["r", 0, 0, "f32", [256], [1]]
WRITE = ["w", 1, 512, "f32", [256], [1]]
OP = ["O", 0, 10, 5, "aten.relu.default", [READ, WRITE]]

Write = Callable[..., Path]


@pytest.fixture
def capture(tmp_path: Path) -> Write:
    def write(*records: object, header: object = HEADER, name: str = "x.hbmop.jsonl") -> Path:
        path = tmp_path / name
        lines = [json.dumps(header), *(r if isinstance(r, str) else json.dumps(r) for r in records)]
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def opened(path: Path, **options: Any) -> OpTrace:
    trace = read_trace(path, **options)
    assert isinstance(trace, OpTrace)
    return trace


def failure(path: Path, **options: Any) -> str:
    with pytest.raises(HbmTraceError) as caught:
        list(opened(path, **options).operations())
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(path), "FILE")


def test_storages_lie_in_order_of_their_allocation(capture: Write) -> None:
    path = capture(A, B, OP)
    (op,) = opened(path).operations()
    assert [(a.is_write, a.storage, a.base_address, a.run_bytes) for a in op.accesses] == [
        (False, 0, 0, 1024),
        (True, 1, 4096 + 512, 1024),
    ]
    assert (op.index, op.seq, op.name, op.phase, op.time_ns, op.duration_ns) == (
        *(0, 0, "aten.relu.default", "", 10, 5),
    )
    (moved,) = opened(path, base=1 << 30).operations()
    assert moved.accesses[0].base_address == 1 << 30


def test_a_freed_block_is_used_again(capture: Write) -> None:
    read_2 = ["O", 1, 0, 0, "aten.sum.default", [["r", 2, 0, "u8", [4096], [1]]]]
    path = capture(A, B, OP, ["F", 0, 1], ["A", 2, 4096, 0, 1], read_2)
    assert [op.accesses[0].base_address for op in opened(path).operations()] == [0, 0]


def test_a_trace_can_be_iterated_again(capture: Write) -> None:
    trace = opened(capture(A, B, OP))
    assert [op.index for op in trace.operations()] == [op.index for op in trace.operations()] == [0]


def test_operations_that_move_nothing_are_left_out_unless_asked_for(capture: Write) -> None:
    view = ["O", 0, 0, 0, "aten.view.default", [READ, ["v", 0, 0, "f32", [16, 16], [16, 1]]]]
    path = capture(A, B, view, ["O", 1, 0, 0, "aten.relu.default", [READ, WRITE]])
    assert [(op.index, op.seq) for op in opened(path).operations()] == [(0, 1)]
    assert [(op.index, op.seq) for op in opened(path).operations(all=True)] == [(0, 0), (1, 1)]


def test_phases_select_operations_but_not_storages(capture: Write) -> None:
    first, second = ["P", "warm", 0], ["P", "step", 1]
    path = capture(first, A, OP[:5] + [[READ]], second, B, ["O", 1, 0, 0, "aten.relu.default", [WRITE]])
    (op,) = opened(path, phase="step").operations()
    assert (op.index, op.seq, op.phase, op.accesses[0].base_address) == (0, 1, "step", 4096 + 512)
    assert [op.phase for op in opened(path).select(("warm", "step")).operations()] == ["warm", "step"]
    assert failure(path, phase="stop") == "FILE: no operation of phase 'stop'; its phases are: warm, step"
    with pytest.raises(HbmTraceError, match="phase 'warm' is not selected; selected are: step"):
        opened(path, phase="step").select("warm")
    with pytest.raises(HbmArgumentError, match="phase is 3"):
        read_trace(path, phase=3)  # type: ignore[arg-type]


def test_resize_gives_a_storage_a_new_block(capture: Write) -> None:
    resize = [
        "O",
        0,
        0,
        0,
        "aten.resize_.default",
        [["m", 0, 0, "u8", [0], [1]], ["v", 0, 0, "u8", [9000], [1]]],
    ]
    use = ["O", 1, 0, 0, "aten.sum.default", [["r", 0, 0, "u8", [9000], [1]]]]
    (op,) = opened(capture(A, B, resize, use)).operations()
    assert op.accesses[0].base_address == 8192
    assert op.bytes_read == 9000


def test_metadata_is_the_first_line(capture: Write) -> None:
    assert opened(capture(A, B, OP)).metadata == HEADER  # type: ignore[attr-defined]


def test_a_hostile_shape_costs_nothing(capture: Write) -> None:
    huge = ["A", 0, 2**60, 0, 0]
    op = ["O", 0, 0, 0, "aten.sum.default", [["r", 0, 0, "f32", [10**9], [2]]]]
    (found,) = opened(capture(huge, op)).operations()
    assert found.accesses[0].dims == ((10**9, 8),)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([A, A], "FILE: line 3: field storage: storage 0 is allocated twice (it is live): got 0; never use"),
        ([A, ["F", 0, 0], A], "line 4: field storage: storage 0 is allocated twice (it was freed)"),
        ([A, ["F", 0, 0], ["F", 0, 0]], "line 4: field storage: storage 0 is freed twice"),
        ([["F", 7, 0]], "line 2: field storage: storage 7 is freed but was never allocated"),
        ([OP], "line 2: field storage: storage 0 is used but was never allocated"),
        ([A, B, ["F", 1, 0], OP], "line 5: field storage: storage 1 is used after it was freed"),
        ([["A", 0, -1, 0, 0]], "line 2: field nbytes: bad number: got -1; give a whole number in 0.."),
        ([["A", -1, 1, 0, 0]], "line 2: field storage: bad number: got -1"),
        ([["A", 0, 2**63, 0, 0]], "line 2: field nbytes: bad number"),
        ([["A", 0, 1.5, 0, 0]], "line 2: field nbytes: bad number: got 1.5"),
        ([["A", True, 1, 0, 0]], "line 2: field storage: bad number: got True"),
        ([["A", 0, 4096]], '3 fields: got [\'A\', 0, 4096]; write ["A", storage, nbytes, pointer, seq]'),
        ([["A", i, 2**60, 0, 0] for i in range(5)], "brings the memory to 2^62 bytes"),
        ([["P", 3, 0]], "line 2: field label: bad label: got 3"),
        ([["X", 1]], "line 2: field tag: unknown record: got 'X'; A, F, P and O are known"),
        ([[["A"], 1]], "line 2: field tag: unknown record"),
        ([{"A": 1}], "line 2: not an array"),
        ([[]], "line 2: not an array"),
        (['["A", 0, '], "line 2: not JSON"),
        (["[" * 100_000], "line 2: not JSON"),
        ([A, ["O", 0, 0, 0, "aten.relu.default"]], "line 3: 5 fields"),
        ([A, ["O", 0, -5, 0, "x", []]], "line 3: field t_ns: bad number: got -5"),
        ([A, ["O", 0, 0, 0, "", []]], "line 3: field op: bad name: got ''"),
        ([A, ["O", 0, 0, 0, "x", {}]], "line 3: field tensors: not an array"),
        ([A, ["O", 0, 0, 0, "x", [[]]]], "line 3: field tensors[0]: bad operand: got []"),
    ],
)  # fmt: skip
def test_malformed_records_are_named(capture: Write, records: Sequence[object], message: str) -> None:
    assert message in failure(capture(*records))


@pytest.mark.parametrize(
    ("operand", "message"),
    [
        (
            ["x", 0, 0, "f32", [1], [1]],
            "field tensors[0].role: unknown role: got 'x'; r, w, m and v are known",
        ),
        (["r", 0, 0, "f99", [1], [1]], "field tensors[0].dtype: unknown dtype: got 'f99'; known are b1, u8"),
        (["r", 0, 0, ["f32"], [1], [1]], "field tensors[0].dtype: unknown dtype"),
        (["r", 0, -4, "f32", [1], [1]], "field tensors[0].offset: bad number: got -4"),
        (["r", 0, 0, "f32", [4], [-1]], "field tensors[0].stride: bad stride: got [-1]"),
        (["r", 0, 0, "f32", [-4], [1]], "field tensors[0].shape: bad shape: got [-4]"),
        (["r", 0, 0, "f32", [4], [1, 1]], "field tensors[0].stride: 2 strides for 1 dimensions"),
        (["r", 0, 0, "f32", "4", [1]], "field tensors[0].shape: bad shape"),
        (["r", 0, 0, "f32", [1] * 65, [1] * 65], "give at most 64 numbers"),
        (["r", 0, 0, "f32", [1], [1], 5], "field tensors[0].key: bad key: got 5"),
        (["r", 0, 0, "f32", [1025], [1]], "the operand ends at byte 4100 of storage 0, which has 4096"),
        (["r", 0, 4094, "f32", [1], [1]], "the operand ends at byte 4098 of storage 0, which has 4096"),
        (["r", 0, 0, "f32", [2, 2], [2**62, 1]], "of storage 0, which has 4096"),
    ],
)
def test_malformed_operands_are_named(capture: Write, operand: list[object], message: str) -> None:
    found = failure(capture(A, ["O", 0, 0, 0, "aten.sum.default", [operand]]))
    assert found.startswith("FILE: line 3: ")
    assert message in found


def test_too_many_dimensions_are_refused_with_their_line(capture: Write) -> None:
    operand = ["r", 0, 0, "u8", [2] * 9, [3**k for k in range(9, 0, -1)]]
    found = failure(capture(["A", 0, 2**20, 0, 0], ["O", 0, 0, 0, "aten.sum.default", [operand]]))
    assert "FILE: line 3: aten.sum.default: 9 strided dimensions are left" in found


def test_an_expanded_tensor_of_2_to_the_62_bytes_is_refused(capture: Write) -> None:
    operand = ["r", 0, 0, "f32", [2**31, 2**30], [2**30, 1]]
    records = (["A", 0, 2**62, 0, 0], ["O", 0, 0, 0, "aten.sum.default", [operand]])
    assert "line 2: field nbytes: storage 0 brings the memory to 2^62 bytes" in failure(capture(*records))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"hbmop": 3}, "FILE: line 1: field hbmop: unknown version: got 3; this release reads versions 1, 2"),
        ({"hbmop": "1"}, "unknown version: got '1'"),
        ({"hbmop": True}, "unknown version: got True"),
    ],
)
def test_other_versions_are_refused_on_opening(capture: Write, header: object, message: str) -> None:
    path = capture(A, header=header)
    with pytest.raises(HbmTraceError) as caught:
        read_trace(path)
    assert message in str(caught.value).replace(str(path), "FILE")


def test_a_capture_without_operations_is_refused(capture: Write) -> None:
    assert failure(capture(A)) == "FILE: trace holds no operations; capture again"


EMBED = [
    "O",
    0,
    0,
    0,
    "aten.embedding.default",
    [["r", 0, 0, "f32", [64, 16], [16, 1]], ["r", 1, 0, "i64", [2], [1], "i0"]],
]


def test_recorded_indices_come_from_the_file_beside_the_capture(capture: Write, tmp_path: Path) -> None:
    path = capture(A, B, EMBED, name="x.hbmop.jsonl")
    np.savez(tmp_path / "x.idx.npz", i0=np.array([[3], [1]]))
    (op,) = opened(path).operations()
    assert op.accesses[0].row_offsets is not None
    assert op.accesses[0].row_offsets.tolist() == [192, 64]
    np.savez(tmp_path / "other.npz", i0=np.array([5, 5], np.int32))
    (op,) = opened(path, index=tmp_path / "other.npz").operations()
    assert op.accesses[0].row_offsets is not None
    assert op.accesses[0].row_offsets.tolist() == [320, 320]


def test_faults_of_the_index_file_are_named(capture: Write, tmp_path: Path) -> None:
    path = capture(A, B, EMBED)
    side = tmp_path / "x.idx.npz"
    assert "line 4: aten.embedding.default: index array 'i0' is needed, but" in failure(path)
    np.savez(side, i1=np.array([1]))
    assert "index array 'i0' is not in" in failure(path)
    np.savez(side, i0=np.array([1.5]))
    assert "array 'i0' holds float64, not whole numbers" in failure(path)
    np.savez(side, i0=np.array([object()]))  # a pickle: never loaded
    assert "array 'i0' cannot be read: Object arrays cannot be loaded" in failure(path)
    side.write_bytes(b"PK\x03\x04 not an archive")
    assert "array 'i0' cannot be read" in failure(path)
    np.save(tmp_path / "one.npy", np.array([1]))
    assert "not an .npz archive" in failure(path, index=tmp_path / "one.npy")
    with zipfile.ZipFile(side, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("i0.npy", "w") as member:
            np.lib.format.write_array_header_1_0(member, {"descr": "<i8", "fortran_order": False, "shape": (10**15,)})  # type: ignore[no-untyped-call]
            member.write(bytes(64))
    assert "array 'i0' cannot be read" in failure(path)
    with zipfile.ZipFile(side, "w") as archive:  # a header that never ends
        archive.writestr("i0.npy", b"\x93NUMPY\x01\x00\x10\x00{'shape': ((2,), ")
    assert "array 'i0' cannot be read" in failure(path)


def test_a_hostile_name_of_an_index_array_does_not_fill_the_message(capture: Write) -> None:
    operands = [["r", 0, 0, "f32", [64, 16], [16, 1]], ["r", 1, 0, "i64", [2], [1], "A" * 4000]]
    message = failure(capture(A, B, [*EMBED[:5], operands]))
    assert "index array 'AAAA" in message
    assert len(message) < 500


def test_an_index_array_that_inflates_beyond_1_gb_is_not_inflated(capture: Write, tmp_path: Path) -> None:
    path = capture(A, B, EMBED)
    with zipfile.ZipFile(tmp_path / "x.idx.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("i0.npy", "w", force_zip64=True) as member:
            for _ in range(1025):
                member.write(bytes(1 << 20))
    assert "array i0 has 1074790400 bytes; at most 1073741824 are read" in failure(path)


def test_drawn_rows_are_counted_and_follow_the_seed(capture: Write) -> None:
    fake = [*EMBED[:5], [EMBED[5][0], ["r", 1, 0, "i64", [8], [1]]]]  # type: ignore[index]
    path = capture(A, B, fake)

    def rows(**options: Any) -> list[int]:
        trace = opened(path, **options)
        (op,) = stream = list(trace.operations())
        assert trace.random_gathers == 1
        assert len(stream) == 1 and op.accesses[0].row_offsets is not None
        return op.accesses[0].row_offsets.tolist()

    assert rows() == rows(seed=0) != rows(seed=1)
    assert all(0 <= offset < 4096 and offset % 64 == 0 for offset in rows())


def test_a_line_beyond_16_mib_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "x.hbmop.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"hbmop": 1}\n[')
        for _ in range(40):
            file.write(b" " * (1 << 20))
    assert "line 2: longer than 16777216 bytes" in failure(path)


def test_the_content_hash_covers_capture_and_index_file(capture: Write, tmp_path: Path) -> None:
    path = capture(A, B, OP)
    hashes = [opened(path).content_hash()]
    np.savez(tmp_path / "x.idx.npz", i0=np.array([1]))
    hashes.append(opened(path).content_hash())
    path = capture(A, B, OP, OP)
    hashes.append(opened(path).content_hash())
    assert len(set(hashes)) == 3
    assert all(len(text) == 64 for text in hashes)
