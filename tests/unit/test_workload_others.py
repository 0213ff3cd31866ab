"""Recommenders, vector search, plain patterns, and the lines of text that name workloads."""

from __future__ import annotations

import numpy as np
import pytest
from workload_cases import by_class, spans_of

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.workload import decode, dlrm, from_spec, synthetic, vector_search
from hbmmodel.workload.recommender import zipf_rows


def per_query(kind: str, **options: int) -> float:
    trace = vector_search(kind, vectors=6493, dim=128, queries=64, **options)
    return sum(op.bytes_read for op in trace.operations()) / 64


def test_searches_read_what_was_measured_with_faiss() -> None:
    """6,493 vectors of 128 dimensions, 64 queries; kB per query with everything that one query reads by itself."""
    centroids = 64 * 512  # read once per batch here, once per query there
    flat = per_query("ivf_flat", lists=64, probes=8) + centroids * 63 / 64
    assert flat == pytest.approx(452_000, rel=0.05)  # sizes of lists are drawn
    codes = per_query("ivf_pq", lists=64, probes=8, code_bytes=16) + centroids * 63 / 64
    assert codes == pytest.approx(177_000, rel=0.05)
    assert per_query("hnsw") == pytest.approx(430_000, rel=0.02)


def test_a_search_scans_whole_lists_and_every_entry_once() -> None:
    trace = vector_search("ivf_flat", vectors=5000, dim=32, queries=1, lists=40, probes=40, list_skew=0.8)
    (scan,) = [op for op in trace.operations() if op.name == "scan"]
    runs = sorted(a.span for a in scan.accesses if a.tensor_class == "embedding")
    assert sum(high - low for low, high in runs) == 5000 * (32 * 4 + 8)
    assert all(a[1] <= b[0] for a, b in zip(runs[:-1], runs[1:], strict=True))


def test_steps_of_a_graph_search_follow_one_another() -> None:
    trace = vector_search("hnsw", vectors=1000, dim=16, queries=3, ef=5)
    assert all(op.after_all for op in trace.operations())
    run = hbm.simulate(hbm.System(hbm.device("HBM4_8000")), trace)
    starts, ends = run.operations["start_ns"], run.operations["end_ns"]
    assert (starts[1:] >= ends[:-1]).all()


def test_an_operation_after_all_waits_for_reads_that_it_shares_no_byte_with() -> None:
    from hbmmodel.sim import Dependences
    from hbmmodel.trace import Access, Operation, Trace

    def op(i: int, after_all: bool) -> Operation:
        return Operation(i, i, "read", "", 0, 0, (Access(False, 0, 4096 * i, 64),), after_all)

    program = Dependences()
    for i, after_all in enumerate([False, False, True, False]):
        program.add(op(i, after_all))
    assert program.ready() == [0, 1, 3]
    program.start(0)
    program.end(0)
    assert program.ready() == [1, 3]
    program.start(1)
    program.end(1)
    assert program.ready() == [2, 3]
    plain, chained = (Trace.from_operations([op(0, False), op(1, mark)]) for mark in (False, True))
    assert plain.content_hash() != chained.content_hash()


def test_popular_rows_follow_zipf() -> None:
    rng = np.random.default_rng(3)
    for exponent in (0.8, 1.2):
        rows = zipf_rows(rng, 1000, 200_000, exponent)
        counts = np.sort(np.bincount(rows, minlength=1000))[::-1]
        weight = np.arange(1, 1001.0) ** -exponent
        want = 200_000 * weight / weight.sum()
        assert np.allclose(counts[:20], want[:20], rtol=0.1)
        assert len(np.unique(rows)) > 900
    assert np.bincount(zipf_rows(rng, 10, 100_000, 0.0)).min() > 9000
    assert zipf_rows(rng, 1, 5, 1.2).tolist() == [0] * 5


def test_a_recommender_moves_its_parameters_and_rows() -> None:
    trace = dlrm(batch=32, tables=3, rows=1000, dim=16, pooling=4, bottom=(8,), top=(8,), dense_features=5)
    found = by_class(trace)
    mlp = (5 + 1) * 8 + (8 + 1) * 16 + (16 + 6 + 1) * 8 + (8 + 1) * 1
    assert found["weights", "read"] == 4 * mlp
    assert found["embedding", "read"] == 3 * 32 * 4 * 64
    assert trace.workload is not None and trace.workload["parameters"] == 3 * 1000 * 16 + mlp
    step = by_class(dlrm(batch=32, tables=3, rows=1000, dim=16, pooling=4, bottom=(8,), top=(8,), training=True))
    assert step["embedding", "written"] == 3 * 32 * 4 * 64


@pytest.mark.parametrize("pattern", ["stream", "stride", "random", "pointer_chase", "copy", "triad"])
def test_patterns_move_the_bytes_asked_for(pattern: str) -> None:
    trace = synthetic(pattern, total_bytes=3 * 64 * 1000, span_bytes=1 << 20)
    assert sum(op.bytes_read + op.bytes_written for op in trace.operations()) == 3 * 64 * 1000
    assert spans_of(trace) == spans_of(synthetic(pattern, total_bytes=3 * 64 * 1000, span_bytes=1 << 20))
    if pattern in ("stream", "stride", "random"):
        written = synthetic(pattern, total_bytes=6400, write=True)
        assert sum(op.bytes_written for op in written.operations()) == 6400
    else:
        assert all(op.bytes_read for op in trace.operations())


def test_a_pointer_chase_takes_one_round_trip_per_hop() -> None:
    system = hbm.System(hbm.device("HBM4_8000"), host_latency_ns=60.0)
    run = hbm.simulate(system, synthetic("pointer_chase", total_bytes=64 * 200))
    per_hop = run.summary["time_ns"] / 200
    latency = run.summary["load_to_use_ns_mean"]
    assert latency * 0.95 < per_hop < latency * 1.2  # a hop is two bursts, and ends with the later one
    side_by_side = hbm.simulate(system, synthetic("pointer_chase", total_bytes=64 * 1600, chains=8))
    assert side_by_side.summary["time_ns"] < 2 * run.summary["time_ns"]  # a hop ends with the last of eight


def test_a_line_names_a_workload() -> None:
    trace = from_spec("workload:decode,model=llama-3.1-8b,batch=4,context=0x400,kv=static,skew=0.5")
    assert trace.content_hash() == decode("llama-3.1-8b", batch=4, context=1024, kv="static", skew=0.5).content_hash()
    assert trace.name == "workload:decode,model=llama-3.1-8b,batch=4,context=1024,steps=1"
    widths = from_spec("dlrm,batch=8,rows=1e3,bottom=16+8,training=true")
    assert widths.content_hash() == dlrm(batch=8, rows=1000, bottom=(16, 8), training=True).content_hash()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("decod,model=x", "did you mean 'decode'"),
        ("", "workload '' is unknown"),
        ("decode", "model is missing"),
        ("decode,model=llama-3.1-8b,batch", "'batch' is not ARGUMENT=VALUE"),
        ("decode,model=llama-3.1-8b,bach=1", "did you mean 'batch'"),
        ("decode,model=llama-3.1-8b,batch=1,batch=2", "batch is given twice"),
        ("decode,model=llama-3.1-8b,batch=many", "batch is 'many'; give a whole number"),
        ("decode,model=llama-3.1-8b,batch=1.5", "batch is '1.5'"),
        ("decode,model=llama-3.1-8b,batch=" + "9" * 5000, "batch is"),
        ("decode,model=llama-3.1-8b,batch=1e400", "batch is"),
        ("decode,model=llama-3.1-8b,skew=nan", "skew is nan"),
        ("decode,model=llama-4", "unknown model 'llama-4'"),
        ("dlrm,training=yes", "training is 'yes'"),
        ("dlrm,bottom=a+b", "a width of bottom is 'a'"),
        ("dlrm,zipf=0.5,rows=1e9", "rows is 1000000000"),
        ("dlrm,batch=1e7,pooling=100", "can be listed"),
        ("vector_search,kind=ivf", "kind is 'ivf'"),
        ("vector_search,lists=4,probes=5", "probes is 5"),
        ("vector_search,kind=hnsw,queries=1e6,links=1000", "come at once"),
        ("synthetic,pattern=copy,write=true", "write has no meaning"),
        ("synthetic,pattern=random,total_bytes=1", "at least one granule"),
        ("synthetic,pattern=pointer_chase,total_bytes=1e12", "hops"),
        ("synthetic,stride_bytes=1", "stride_bytes is 1"),
    ],
)
def test_bad_lines_are_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(HbmArgumentError) as error:
        from_spec(text)
    assert told in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 600
