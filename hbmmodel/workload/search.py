"""Vector search: inverted lists of vectors or of codes, and graphs.

Owns the three indexes and what a query reads of them; must not know transformers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hbmmodel.checks import check_choice, check_real, check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.access import Access
from hbmmodel.trace.expand import ROWS_MAX
from hbmmodel.trace.model import Operation
from hbmmodel.workload.dtypes import check_dtype, tensor_bytes
from hbmmodel.workload.program import GeneratedTrace, Program

__all__ = ["vector_search"]

KINDS = ("ivf_flat", "ivf_pq", "hnsw")
ID_BYTES = 8
LINK_BYTES = 4
CODE_WORDS = 256  # one byte per sub-vector


def vector_search(
    kind: str = "ivf_flat",
    *,
    vectors: int = 1_000_000,
    dim: int = 128,
    queries: int = 64,
    results: int = 10,
    dtype: str = "fp32",
    lists: int = 1024,
    probes: int = 8,
    list_skew: float = 0.0,
    code_bytes: int = 16,
    links: int = 16,
    ef: int = 64,
    fresh: float = 0.4,
    seed: int = 0,
) -> GeneratedTrace:
    """Search a batch of queries.

    Parameters
    ----------
    kind : {"ivf_flat", "ivf_pq", "hnsw"}
        Inverted lists of whole vectors, inverted lists of product-quantised codes, or a navigable graph.
    vectors, dim, dtype : int, int, str
        The vectors.
    queries, results : int
        Queries of the batch, and neighbours that each asks for.
    lists, probes : int
        Inverted lists, and how many of them a query scans.
    list_skew : float
        Exponent of a Zipf distribution of the lists' sizes; 0: multinomial.
    code_bytes : int
        Bytes of a code, one per sub-vector.
    links, ef : int
        Links of a node (M; twice as many on the ground level) and width of the beam: nodes that a query expands.
    fresh : float
        Share of the links of an expanded node whose distance is new to the query. 0.4 was measured (see Source); it
        depends on the data.
    seed : int
        Of lists and nodes.

    Returns
    -------
    OpTrace
        Phase ``search``.

    Raises
    ------
    HbmArgumentError
        An argument is out of range.

    Notes
    -----
    Inverted lists: one kernel reads all centroids for the batch, then one kernel per query scans its lists from end to
    end. Graph: all queries take a step together; a step reads the links of one node per query and the vectors that are
    new among them, and the next one cannot start before (`Operation.after_all`). Upper levels of the graph, a few per
    cent of the reads, are left out.

    Source
    ------
    Layouts of FAISS (``IndexIVFFlat``, ``IndexIVFPQ``, ``IndexHNSWFlat``). Share of new links: 823 distances per
    query in 64 expansions of 32 links, 6,493 vectors of 128 dimensions, M 16, ef 64.

    Examples
    --------
    >>> trace = vector_search("hnsw", vectors=6493, queries=1)
    >>> sum(op.bytes_read for op in trace.operations()) // 1000  # measured: 430 kB per query
    427
    """
    check_choice("kind", kind, KINDS)
    for name, value, low, high in (
        ("vectors", vectors, 1, 1 << 40),
        ("dim", dim, 1, 1 << 20),
        ("queries", queries, 1, 1 << 20),
        ("results", results, 1, 1 << 16),
        ("lists", lists, 1, 1 << 22),
        ("probes", probes, 1, lists),
        ("code_bytes", code_bytes, 1, 1 << 16),
        ("links", links, 1, 1 << 12),
        ("ef", ef, 1, 1 << 20),
        ("seed", seed, 0, (1 << 63) - 1),
    ):
        check_whole(name, value, low, high)
    check_real("list_skew", list_skew, 0.0, 16.0)
    check_real("fresh", fresh, 0.0, 1.0)
    check_dtype("dtype", dtype)
    if kind == "hnsw" and queries * 2 * links > ROWS_MAX:
        raise HbmArgumentError(f"{queries} queries with {2 * links} links; at most {ROWS_MAX} rows come at once")
    vector_bytes = tensor_bytes(dtype, dim)

    def make(program: Program) -> Iterator[Operation]:
        program.phase = "search"
        rng = np.random.default_rng(seed)
        if kind == "hnsw":
            yield from _graph(program, rng, vectors, vector_bytes, queries, results, links, ef, fresh)
        else:
            entry = vector_bytes if kind == "ivf_flat" else code_bytes
            book = 0 if kind == "ivf_flat" else CODE_WORDS * vector_bytes
            sizes = (vectors, vector_bytes, entry, book, queries, results, lists, probes)
            yield from _lists(program, rng, *sizes, list_skew)

    shared = {"vectors": vectors, "dim": dim, "queries": queries, "results": results, "dtype": dtype, "seed": seed}
    own: dict[str, Any] = {"lists": lists, "probes": probes, "list_skew": list_skew}
    if kind == "ivf_pq":
        own["code_bytes"] = code_bytes
    if kind == "hnsw":
        own = {"links": links, "ef": ef, "fresh": fresh}
    facts = {
        **{"kind": "vector_search", "model": kind, "parameters": 0, "batch": queries, "devices_alike": 1},
        **{"tokens": queries, "token_name": "query", "steps": 1, "weight_bytes": 0},
    }
    label = ",".join(f"{k}={v}" for k, v in {"kind": kind, "vectors": vectors, "queries": queries, **own}.items())
    return GeneratedTrace(f"workload:vector_search,{label}", {"kind": kind, **shared, **own}, facts, make)


def _lists(
    program: Program,
    rng: np.random.Generator,
    vectors: int,
    vector_bytes: int,
    entry_bytes: int,
    book_bytes: int,
    queries: int,
    results: int,
    lists: int,
    probes: int,
    skew: float,
) -> Iterator[Operation]:
    weight = rng.permutation(np.arange(1, lists + 1, dtype=np.float64) ** -skew)
    size = rng.multinomial(vectors, weight / weight.sum())
    first = np.concatenate([[0], np.cumsum(size)])
    centroids = program.tensor(lists * vector_bytes, "embedding")
    entries = program.tensor(vectors * entry_bytes, "embedding")
    ids = program.tensor(vectors * ID_BYTES, "embedding")
    book = program.tensor(book_bytes, "embedding")
    asked = program.tensor(queries * vector_bytes)
    nearest = program.tensor(queries * probes * (ID_BYTES + 4))
    found = program.tensor(queries * results * (ID_BYTES + 4))
    yield program.operation("coarse", [asked.read(), centroids.read()], [nearest.write()])
    for query in range(queries):
        reads: list[Access] = [asked.read(vector_bytes, query * vector_bytes), book.read()]
        for chosen in rng.choice(lists, size=probes, replace=False).tolist():
            n, at = int(size[chosen]), int(first[chosen])
            reads.append(entries.read(n * entry_bytes, at * entry_bytes))
            reads.append(ids.read(n * ID_BYTES, at * ID_BYTES))
        run = results * (ID_BYTES + 4)
        yield program.operation("scan", reads, [found.write(run, query * run)])


def _graph(
    program: Program,
    rng: np.random.Generator,
    vectors: int,
    vector_bytes: int,
    queries: int,
    results: int,
    links: int,
    ef: int,
    fresh: float,
) -> Iterator[Operation]:
    ground = 2 * links
    nodes = program.tensor(vectors * ground * LINK_BYTES, "embedding")
    table = program.tensor(vectors * vector_bytes, "embedding")
    found = program.tensor(queries * results * (ID_BYTES + 4))
    for step in range(ef):
        new = int((step + 1) * ground * fresh) - int(step * ground * fresh)
        node = rng.integers(0, vectors, size=queries) * np.int64(ground * LINK_BYTES)
        vector = rng.integers(0, vectors, size=queries * new) * np.int64(vector_bytes)
        reads = [nodes.read(ground * LINK_BYTES, rows=node)]
        yield program.operation("links", reads, after_all=True)
        if new:
            yield program.operation("distances", [table.read(vector_bytes, rows=vector)], after_all=True)
    yield program.operation("results", (), [found.write()], after_all=True)
