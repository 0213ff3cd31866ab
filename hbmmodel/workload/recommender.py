"""Deep-learning recommendation models (DLRM): bags of embedding rows, and two small networks.

Owns the arguments, the drawing of rows and the kernels; must not know transformers.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hbmmodel.checks import check_flag, check_real, check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.expand import ROWS_MAX
from hbmmodel.trace.model import Operation
from hbmmodel.workload.dtypes import check_dtype, tensor_bytes
from hbmmodel.workload.program import GeneratedTrace, Program, Tensor

__all__ = ["dlrm", "zipf_rows"]

INDEX_BYTES = 8
EXACT_ROWS = 1 << 22


def zipf_rows(rng: np.random.Generator, n_rows: int, count: int, exponent: float) -> NDArray[np.int64]:
    """Rows drawn with probability proportional to rank ** -exponent; which row has which rank is shuffled.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_rows, count : int
        Rows there are, and rows to draw.
    exponent : float
        0: uniform.

    Source
    ------
    Above 1, numpy's sampler of the unbounded distribution with rejection of ranks beyond the table; else the inverse of
    the cumulated weights. Ranks become rows by an affine map modulo the rows, a permutation.

    Examples
    --------
    >>> rows = zipf_rows(np.random.default_rng(0), 1000, 10_000, 1.2)
    >>> int(rows.min()) >= 0, int(rows.max()) < 1000, bool(np.bincount(rows).max() > 1000)
    (True, True, True)
    """
    if exponent == 0.0:
        return rng.integers(0, n_rows, size=count)
    if exponent > 1.0:
        rank = rng.zipf(exponent, size=count)
        while (beyond := np.flatnonzero(rank > n_rows)).size:
            rank[beyond] = rng.zipf(exponent, size=beyond.size)
    else:
        cumulated = np.cumsum(np.arange(1, n_rows + 1, dtype=np.float64) ** -exponent)
        rank = np.searchsorted(cumulated, rng.random(count) * cumulated[-1]) + 1
    step = int(0.6180339887 * n_rows) | 1
    while math.gcd(step, n_rows) != 1:
        step += 2
    return (rank.astype(np.int64) - 1) % n_rows * np.int64(step) % np.int64(n_rows)


class _Layer(NamedTuple):
    """One fully connected layer: its matrix with bias, and sizes."""

    matrix: Tensor
    inputs: int
    outputs: int


def dlrm(
    *,
    batch: int = 256,
    tables: int = 8,
    rows: int = 1_000_000,
    dim: int = 64,
    pooling: int = 10,
    zipf: float = 1.2,
    dtype: str = "fp32",
    dense_features: int = 13,
    bottom: Sequence[int] = (512, 256),
    top: Sequence[int] = (512, 256),
    training: bool = False,
    seed: int = 0,
) -> GeneratedTrace:
    """One batch through a recommendation model, or one training step with sparse gradients and SGD.

    Parameters
    ----------
    batch : int
        Samples.
    tables, rows, dim : int
        Embedding tables, rows of each, elements of a row.
    pooling : int
        Rows that are summed per sample and table.
    zipf : float
        Exponent of the popularity of rows; 0: uniform.
    dtype : str
        Number format of tables and networks.
    dense_features : int
        Inputs of the bottom network.
    bottom, top : sequence of int
        Widths of the hidden layers of the two networks; ``dim`` and 1 outputs follow.
    training : bool
        Also the backward pass and the update.
    seed : int
        Of the rows.

    Returns
    -------
    OpTrace
        Phase ``forward``; when training also ``backward`` and ``optimizer``.

    Raises
    ------
    HbmArgumentError
        An argument is out of range.

    Source
    ------
    Naumov et al., *Deep Learning Recommendation Model* (arXiv 1906.00091): sum pooling, pairwise dot products.

    Examples
    --------
    >>> trace = dlrm(batch=256, tables=8, rows=20_000, dim=64, pooling=10)
    >>> bags = [op for op in trace.operations() if op.name == "embedding_bag"]
    >>> sum(op.bytes_read for op in bags)  # 8 x 2560 rows of 256 B, indices and offsets
    5423104
    """
    for name, value, high in (
        ("batch", batch, ROWS_MAX),
        ("tables", tables, 1 << 16),
        ("dim", dim, 1 << 20),
        ("pooling", pooling, 1 << 16),
        ("dense_features", dense_features, 1 << 20),
    ):
        check_whole(name, value, 1, high)
    check_real("zipf", zipf, 0.0, 16.0)
    check_whole("rows", rows, 1, 1 << 40 if zipf == 0.0 or zipf > 1.0 else EXACT_ROWS)
    check_dtype("dtype", dtype)
    check_flag("training", training)
    check_whole("seed", seed, 0, (1 << 63) - 1)
    if batch * pooling > ROWS_MAX:
        raise HbmArgumentError(f"{batch} samples of {pooling} rows; at most {ROWS_MAX} rows can be listed per table")
    for name, widths in (("bottom", bottom), ("top", top)):
        given: object = widths
        if not isinstance(given, list | tuple) or len(given) > 64:
            raise HbmArgumentError(f"{name} is {str(given)[:80]!r}; give a list of at most 64 widths")
        for width in widths:
            check_whole(f"a width of {name}", width, 1, 1 << 20)
    pairs = (tables + 1) * tables // 2
    networks = {
        "bottom": (dense_features, *bottom, dim),
        "top": (dim + pairs, *top, 1),
    }

    def make(program: Program) -> Iterator[Operation]:
        yield from _Model(program, batch, tables, rows, dim, pooling, zipf, dtype, networks, seed).run(training)

    parameters = tables * rows * dim + sum(
        (i + 1) * o for sizes in networks.values() for i, o in zip(sizes[:-1], sizes[1:], strict=True)
    )
    own = {
        **{"batch": batch, "tables": tables, "rows": rows, "dim": dim, "pooling": pooling, "zipf": zipf},
        **{"dtype": dtype, "dense_features": dense_features, "bottom": list(bottom), "top": list(top)},
        **{"training": training, "seed": seed},
    }
    facts = {
        **{"kind": "dlrm", "model": "dlrm", "parameters": parameters, "batch": batch, "devices_alike": 1},
        **{"tokens": batch, "token_name": "sample", "steps": 1, "weight_bytes": tensor_bytes(dtype, parameters)},
    }
    label = f"batch={batch},tables={tables},rows={rows},dim={dim},pooling={pooling},zipf={zipf:g}"
    name = f"workload:dlrm,{label}" + ",training=true" * training
    return GeneratedTrace(name, {"kind": "dlrm", **own}, facts, make)


class _Model:
    """The model in memory and its kernels."""

    def __init__(
        self,
        program: Program,
        batch: int,
        tables: int,
        rows: int,
        dim: int,
        pooling: int,
        zipf: float,
        dtype: str,
        networks: dict[str, tuple[int, ...]],
        seed: int,
    ) -> None:
        self.program = program
        self.batch = batch
        self.dim = dim
        self.dtype = dtype
        self.row_bytes = tensor_bytes(dtype, dim)
        self.tables = [program.tensor(rows * self.row_bytes, "embedding") for _ in range(tables)]
        self.networks = {
            name: [
                _Layer(program.tensor(tensor_bytes(dtype, (i + 1) * o), "weights"), i, o)
                for i, o in zip(sizes[:-1], sizes[1:], strict=True)
            ]
            for name, sizes in networks.items()
        }
        rng = np.random.default_rng(seed)
        self.count = batch * pooling
        self._rng, self._rows, self._zipf = rng, rows, zipf

    def draw(self) -> NDArray[np.int64]:
        """Offsets of the rows of one table [bytes]."""
        return zipf_rows(self._rng, self._rows, self.count, self._zipf) * np.int64(self.row_bytes)

    def act(self, elements: int, label: str = "activations") -> Tensor:
        return self.program.tensor(tensor_bytes(self.dtype, elements), label)

    def run(self, training: bool) -> Iterator[Operation]:
        """Forward, and the rest if training."""
        op, program = self.program.operation, self.program
        program.phase = "forward"
        features = self.act(self.batch * self.networks["bottom"][0].inputs)
        kept = {"bottom": [features], "top": []}
        yield from self.network("bottom", kept["bottom"])
        bags = []
        for table in self.tables:
            indices = program.tensor(self.count * INDEX_BYTES)
            offsets = program.tensor(self.batch * INDEX_BYTES)
            out = self.act(self.batch * self.dim)
            rows = self.draw()
            reads = [indices.read(), offsets.read(), table.read(self.row_bytes, rows=rows)]
            yield op("embedding_bag", reads, [out.write()])
            bags.append((table, indices, out, rows))
        crossed = self.act(self.batch * self.networks["top"][0].inputs)
        dense = kept["bottom"][-1]
        yield op("interaction", [dense.read(), *(out.read() for _, _, out, _ in bags)], [crossed.write()])
        kept["top"].append(crossed)
        yield from self.network("top", kept["top"])
        if not training:
            return
        program.phase = "backward"
        updates: list[tuple[Tensor, Tensor]] = []
        d_top = self.act(self.batch)
        yield op("loss", [kept["top"][-1].read()], [d_top.write()])
        d_crossed = yield from self.network_backward("top", kept["top"], d_top, updates)
        d_dense = self.act(self.batch * self.dim)
        d_bags = [self.act(self.batch * self.dim) for _ in bags]
        reads = [d_crossed.read(), dense.read(), *(out.read() for _, _, out, _ in bags)]
        yield op("interaction.backward", reads, [d_dense.write(), *(d.write() for d in d_bags)])
        yield from self.network_backward("bottom", kept["bottom"], d_dense, updates)
        sparse = []
        for (table, indices, _, rows), d_out in zip(bags, d_bags, strict=True):
            values = self.act(self.count * self.dim, "gradients")
            yield op("embedding_bag.backward", [d_out.read(), indices.read()], [values.write()])
            sparse.append((table, indices, values, rows))
        program.phase = "optimizer"
        for weight, gradient in updates:
            yield op("sgd", [weight.read(), gradient.read()], [weight.write()])
        for table, indices, values, rows in sparse:
            run = self.row_bytes
            yield op(
                "sparse_sgd",
                [indices.read(), values.read(), table.read(run, rows=rows)],
                [table.write(run, rows=rows)],
            )

    def network(self, name: str, kept: list[Tensor]) -> Iterator[Operation]:
        """Fully connected layers with their activation functions fused; what they make is added to `kept`."""
        for layer in self.networks[name]:
            y = self.act(self.batch * layer.outputs)
            yield self.program.operation("linear", [kept[-1].read(), layer.matrix.read()], [y.write()])
            kept.append(y)

    def network_backward(
        self, name: str, kept: list[Tensor], d_out: Tensor, updates: list[tuple[Tensor, Tensor]]
    ) -> Generator[Operation, None, Tensor]:
        """Gradients of inputs and matrices; returns that of the network's input."""
        for layer, x, y in zip(reversed(self.networks[name]), reversed(kept[:-1]), reversed(kept[1:]), strict=True):
            d_in, gradient = self.act(self.batch * layer.inputs), self.program.tensor(layer.matrix.n_bytes, "gradients")
            op = self.program.operation
            yield op("linear.dgrad", [d_out.read(), y.read(), layer.matrix.read()], [d_in.write()])
            yield op("linear.wgrad", [d_out.read(), y.read(), x.read()], [gradient.write()])
            updates.append((layer.matrix, gradient))
            d_out = d_in
        return d_out
