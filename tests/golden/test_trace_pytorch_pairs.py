"""Execution traces and Kineto files of real runs say the same as the captures of the same steps.

Each of the three files of a step is from a run of its own, one after the other. The captures' totals were established
by another program (`test_trace_captures`).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hbmmodel.trace import HbmTraceWarning, OpTrace, RecordedTrace, convert, info, read_trace
from hbmmodel.trace.records import OpRecord

DATA = Path(__file__).parent / "data"
GPT2 = "gpt2_tiny_train_b4_s128"
DLRM = "dlrm_tiny_train_b256"

pytestmark = pytest.mark.filterwarnings("ignore::hbmmodel.trace.HbmTraceWarning")


def opened(name: str, joined: bool) -> OpTrace:
    with_ = DATA / f"{name}.kineto.json.gz" if joined else None
    trace = read_trace(DATA / f"{name}.et.json.gz", with_=with_)
    assert isinstance(trace, OpTrace)
    return trace


def recorded(name: str) -> OpTrace:
    trace = read_trace(DATA / f"{name}.hbmop.jsonl.gz")
    assert isinstance(trace, OpTrace)
    return trace


def names(trace: OpTrace) -> Counter[str]:
    return Counter(op.name for op in trace.operations(all=True) if not op.name.startswith("profiler."))


@pytest.mark.parametrize("joined", [False, True])
def test_a_training_step_moves_the_bytes_of_its_capture(joined: bool) -> None:
    """Writes agree to the byte; reads are larger by the numbers (lr, eps, ...) that C++ wraps into tensors of 8 B."""
    trace = opened(GPT2, joined)
    ours, theirs = info(trace), info(recorded(GPT2))
    assert ours["bytes_written"] == theirs["bytes_written"] == 502_858_561
    assert isinstance(trace, RecordedTrace)
    operands = (o for record in trace.records() if isinstance(record, OpRecord) for o in record.operands)
    wrapped = sum(o.role == "r" and o.shape == [] and o.dtype in ("f64", "i64") for o in operands)
    assert wrapped > 0 and ours["bytes_read"] - theirs["bytes_read"] == 8 * wrapped
    assert ours["moving_operations"] == theirs["moving_operations"] == 680
    for phase in ("forward", "backward", "optimizer"):
        for way in ("bytes_read", "bytes_written"):
            assert ours["phases"][phase][way] == pytest.approx(theirs["phases"][phase][way], rel=1e-5)


def test_the_operations_differ_where_the_two_recorders_do() -> None:
    """A dispatch mode sees additions of gradients out of place, plain views, and more detaches."""
    ours, theirs = names(opened(GPT2, False)), names(recorded(GPT2))
    assert {name: ours[name] - theirs[name] for name in ours | theirs if ours[name] != theirs[name]} == {
        **{"aten.add_.Tensor": 16, "aten.add.Tensor": -16, "aten._reshape_alias.default": 8, "aten.view.default": -8},
        "aten.detach.default": -18,
    }


def test_lives_from_the_profiler_give_the_memory_of_the_capture() -> None:
    joined, alone, theirs = info(opened(GPT2, True)), info(opened(GPT2, False)), info(recorded(GPT2))
    assert joined["allocator_reserved_bytes"] == theirs["allocator_reserved_bytes"] == 171_966_464
    assert joined["allocator_peak_bytes"] == pytest.approx(theirs["allocator_peak_bytes"], rel=1e-4)
    # Without the profiler, storages live until their last use, which is a lower bound.
    assert alone["allocator_reserved_bytes"] < joined["allocator_reserved_bytes"]


def test_times_are_those_of_the_profiler() -> None:
    operations = list(opened(GPT2, True).operations(all=True))
    assert all(op.duration_ns > 0 for op in operations)
    starts = [op.time_ns for op in operations]
    assert starts[0] == 0 and sorted(starts) == starts


def test_sparse_gradients_are_known_by_their_parts() -> None:
    """The rows that they update are drawn at random, but as many; the dispatch mode clones every gradient once."""
    trace = opened(DLRM, True)
    with pytest.warns(HbmTraceWarning, match="8 updates by sparse tensors, whose rows are drawn at random"):
        ours = info(trace)
    theirs = info(recorded(DLRM))
    for phase in ("forward", "optimizer"):
        for way in ("bytes_read", "bytes_written"):
            assert ours["phases"][phase][way] == pytest.approx(theirs["phases"][phase][way], abs=8)
    clones = 8 * 2560 * (64 * 4 + 8)  # tables, lookups, values of a row and its index
    for way in ("bytes_read", "bytes_written"):
        assert theirs["phases"]["backward"][way] - ours["phases"]["backward"][way] == pytest.approx(clones, abs=100)
    assert ours["random_gathers"] == 9 and theirs["random_gathers"] == 0


@pytest.mark.parametrize(("name", "n_operations"), [(GPT2, 996), (DLRM, 175)])
def test_a_pair_converts_to_a_capture_that_says_the_same(tmp_path: Path, name: str, n_operations: int) -> None:
    trace = opened(name, True)
    written = convert(trace, tmp_path / "a.hbmop.zst")
    assert written["operations"] == n_operations and written["bytes"] < 60_000
    a, b = info(trace), info(read_trace(tmp_path / "a.hbmop.zst"))
    assert {key: a[key] for key in a.keys() & b.keys() - {"name", "format", "sha256", "file_bytes"}} == {
        key: b[key] for key in a.keys() & b.keys() - {"name", "format", "sha256", "file_bytes"}
    }


def test_a_vector_search_reads_what_it_was_recorded_to_read() -> None:
    """64 queries of IVF-Flat, 64 lists, 8 probed, 128 dimensions fp32: centroids, lists, and 10 results of 8 bytes."""
    found = info(read_trace(DATA / "rag_ivfflat_q64.hbmarr.npz"))
    assert found["operations"] == 3 * 64
    assert found["phases"]["step 0"]["bytes_read"] == 64 * 64 * 128 * 4
    assert found["phases"]["step 3"]["bytes_read"] == 64 * 10 * 8
    # 452 kB per query, 93 % of it in the lists
    assert found["bytes_read"] / 64 == pytest.approx(452_000, rel=2e-3)
    assert found["phases"]["step 2"]["bytes_read"] / found["bytes_read"] == pytest.approx(0.93, abs=0.005)


def test_files_of_the_official_protobuf_library_are_read() -> None:
    """Written with protobuf 7.36 from the schemas of Chakra and gem5: all kinds of numbers, packed lists."""
    trace = read_trace(DATA / "sample.chakra.et")
    assert isinstance(trace, OpTrace)
    operations = list(trace.operations())
    found = [(o.name, o.seq, o.bytes_read, o.bytes_written, o.time_ns, o.duration_ns) for o in operations]
    assert found == [
        ("chakra.mem_load.default", 1, 1 << 20, 0, 5000, 7000),
        ("chakra.comp.default", 2, 4096, 0, 0, 3000),
        ("chakra.mem_store.default", 3, 0, 2048, 0, 0),
        ("chakra.mem_load.default", 4, 1 << 20, 0, 0, 0),
        ("chakra.mem_load.default", 6, 512, 0, 0, 0),
    ]
    addresses = [operation.accesses[0].base_address for operation in operations]
    assert addresses[0] == addresses[3] and len(set(addresses)) == 4
    (chunk,) = read_trace(DATA / "sample.gem5.gz").chunks()  # type: ignore[union-attr]
    assert chunk.address.tolist() == [0x80000000, 0x80000040, 2**63, 0x100, 0x100]
    assert chunk.is_write.tolist() == [0, 1, 1, 0, 1]
    assert chunk.size_bytes.tolist() == [64, 8, 64, 4, 4]
    assert chunk.time_ps.tolist() == [1000, 2500, 3000, 9000, 9000]
