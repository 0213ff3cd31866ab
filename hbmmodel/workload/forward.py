"""One pass of a transformer over new tokens: embedding, layers, head, each kernel with what it moves.

Owns the kernels of inference and which of them there are; must not know where caches lie (`kvcache`), how
experts are drawn (`routing`), or what a pass is for (`inference`). A kernel moves every byte that it needs once.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hbmmodel.trace.access import Access
from hbmmodel.trace.model import Operation
from hbmmodel.workload.dtypes import tensor_bytes
from hbmmodel.workload.kvcache import Cache, Shape
from hbmmodel.workload.model import Attention, LatentAttention, ModelConfig
from hbmmodel.workload.parameters import Parallel, all_parameters, kv_heads_of
from hbmmodel.workload.program import Program, Tensor
from hbmmodel.workload.routing import route

__all__ = ["ACTIVATION_BYTES", "Forward", "Weights", "cache_shape"]

ACTIVATION_BYTES = 2
"""Activations are bf16 whatever the weights are."""

TOKEN_BYTES = 8  # a token's number, int64

Kernels = Generator[Operation, None, Tensor]
"""Some kernels, and the tensor that comes out of them."""


def cache_shape(model: ModelConfig, parallel: Parallel) -> Shape:
    """What one device caches of one layer."""
    a = model.attention
    if isinstance(a, LatentAttention):
        return Shape(1, 1, tensor_bytes(model.kv_dtype, a.token_elements))
    return Shape(2, kv_heads_of(a, parallel), tensor_bytes(model.kv_dtype, a.head_dim))


class Weights:
    """The parameters of one device in memory, in module order, as a loader places them."""

    def __init__(self, program: Program, model: ModelConfig, parallel: Parallel) -> None:
        self._tensors: dict[tuple[int | None, str], Tensor] = {}
        for p in all_parameters(model, parallel):
            label = "embedding" if p.name == "embedding" else "weights"
            self._tensors[p.layer, p.name] = program.tensor(p.n_bytes, label)

    def get(self, layer: int | None, name: str) -> Tensor:
        """One tensor."""
        return self._tensors[layer, name]

    def read(self, layer: int | None, *names: str) -> list[Access]:
        """Read those of the named tensors that the layer has."""
        found = (self._tensors.get((layer, name)) for name in names)
        return [tensor.read() for tensor in found if tensor is not None]


@dataclass
class Forward:
    """Passes of one device's part of a model.

    Parameters
    ----------
    program, model, parallel : Program, ModelConfig, Parallel
    weights : Weights
    caches : dict of int to Cache
        By layer.
    batch : int
        Sequences.
    skew : float
        See `route`.
    rng : numpy.random.Generator
        Draws tokens and experts.
    """

    program: Program
    model: ModelConfig
    parallel: Parallel
    weights: Weights
    caches: dict[int, Cache]
    batch: int
    skew: float
    rng: np.random.Generator
    _live: list[Tensor] = field(default_factory=list)
    _orders: dict[int, NDArray[np.int64]] = field(default_factory=dict)  # by layer: which experts are popular

    def act(self, *elements: int) -> Tensor:
        """A new activation of one or several parts, kept until `drop`."""
        made = self.program.tensor(sum(elements) * ACTIVATION_BYTES)
        self._live.append(made)
        return made

    def drop(self, *kept: Tensor) -> None:
        """Free all activations but those."""
        self.program.free(*(tensor for tensor in self._live if tensor not in kept))
        self._live = list(kept)

    def run(self, context: int, new: int, logits: int) -> Iterator[Operation]:
        """All kernels of one pass.

        Parameters
        ----------
        context : int
            Tokens of every sequence that are in the cache.
        new : int
            Tokens of every sequence that come now.
        logits : int
            The last so many of them are decoded to logits.
        """
        n = self.batch * new
        if self.parallel.is_first:
            h, operation = self.embed(n)
            yield operation
        else:
            h = self.act(n * self.model.hidden)
        for layer in self.parallel.layers(self.model):
            h = yield from self.attention(layer, h, context, new)
            h = yield from self.feed_forward(layer, h, n)
            self.drop(h)
        if self.parallel.is_last:
            yield from self.head(h, self.batch * logits)
        self.drop()

    # ---- the two ends ----

    def embed(self, n: int) -> tuple[Tensor, Operation]:
        """Rows of the table, drawn at random, since no text is given."""
        hidden = self.model.hidden
        table = self.weights.get(None, "embedding")
        row = tensor_bytes(self.model.dtype, hidden)
        rows = self.rng.integers(0, table.n_bytes // row, size=n) * np.int64(row)
        tokens = self.program.tensor(n * TOKEN_BYTES)
        self._live.append(tokens)
        h = self.act(n * hidden)
        return h, self.program.operation("embedding", [tokens.read(), table.read(row, rows=rows)], [h.write()])

    def head(self, h: Tensor, n: int) -> Iterator[Operation]:
        """Logits of the last tokens, and the token that is sampled from each row of them."""
        size = n * self.model.hidden * ACTIVATION_BYTES
        x = self.act(n * self.model.hidden)
        last = h.read(size, h.n_bytes - size)
        norm = self.weights.read(None, "final_norm")
        yield self.program.operation("rms_norm", [last, *norm], [x.write()])
        logits = self.act(n * -(-self.model.vocab // self.parallel.tensor))
        tied = self.model.tied_embedding and self.parallel.is_first
        matrix = self.weights.read(None, "embedding" if tied else "head")
        yield self.program.operation("lm_head", [x.read(), *matrix], [logits.write()])
        tokens = self.program.tensor(n * TOKEN_BYTES)
        self._live.append(tokens)
        yield self.program.operation("sample", [logits.read()], [tokens.write()])

    # ---- attention ----

    def attention(self, layer: int, h: Tensor, context: int, new: int) -> Kernels:
        """Norm to output projection; returns the new residual stream."""
        n = self.batch * new
        x = self.act(n * self.model.hidden)
        yield self.norm(layer, "input_norm", h, x)
        if isinstance(self.model.attention, LatentAttention):
            o = yield from self._latent(layer, self.model.attention, x, context, new)
        else:
            o = yield from self._grouped(layer, self.model.attention, x, context, new)
        matrices = self.weights.read(layer, "o_proj", "o_bias")
        return (yield from self.project_back("o_proj", [o.read(), *matrices], h, n))

    def norm(self, layer: int | None, name: str, h: Tensor, x: Tensor) -> Operation:
        """RMS norm of the residual stream."""
        return self.program.operation("rms_norm", [h.read(), *self.weights.read(layer, name)], [x.write()])

    def project_back(self, name: str, reads: Sequence[Access], h: Tensor, n: int) -> Kernels:
        """Back to the residual stream, added in the epilogue; with tensor parallelism after an all-reduce."""
        after = self.act(n * self.model.hidden)
        if self.parallel.tensor == 1:
            yield self.program.operation(name, [*reads, h.read()], [after.write()])
            return after
        partial = self.act(n * self.model.hidden)
        yield self.program.operation(name, reads, [partial.write()])
        yield self.program.operation("all_reduce", [partial.read(), h.read()], [after.write()])
        return after

    def _grouped(self, layer: int, a: Attention, x: Tensor, context: int, new: int) -> Kernels:
        n = self.batch * new
        q = n * a.heads // self.parallel.tensor * a.head_dim
        kv = n * kv_heads_of(a, self.parallel) * a.head_dim
        qkv = self.act(q, kv, kv)
        names = ("q_proj", "k_proj", "v_proj", "q_bias", "k_bias", "v_bias")
        yield self.program.operation("qkv_proj", [x.read(), *self.weights.read(layer, *names)], [qkv.write()])
        rotated = self.act(q, kv)
        cache = self.caches[layer]
        reads, writes = self._stored(cache, context, new)
        norms = self.weights.read(layer, "q_norm", "k_norm")
        yield self.program.operation("rope_and_cache", [qkv.read(), *norms, *reads], [rotated.write(), *writes])
        cache.settle()
        size = ACTIVATION_BYTES
        if context == 0:  # all keys and values have just been made
            keys = [rotated.read(), qkv.read(kv * size, (q + kv) * size)]
        else:
            keys = [rotated.read(q * size), *cache.read(self._from(layer, context), context + new)]
        o = self.act(q)
        sinks = self.weights.read(layer, "sinks")
        yield self.program.operation("attention", [*keys, *sinks], [o.write()])
        return o

    def _stored(self, cache: Cache, context: int, new: int) -> tuple[list[Access], list[Access]]:
        pairs = [cache.store(part, context, context + new) for part in range(cache.shape.parts)]
        return [a for reads, _ in pairs for a in reads], [a for _, writes in pairs for a in writes]

    def _from(self, layer: int, context: int) -> int:
        """First token that the first new one attends to: of a windowed layer, the window's."""
        window = self.model.window(layer)
        return max(0, context + 1 - window) if window else 0

    def _latent(self, layer: int, a: LatentAttention, x: Tensor, context: int, new: int) -> Kernels:
        """MLA: with a cache, queries are absorbed into the latent space; without, keys and values are expanded."""
        n, w, op = self.batch * new, self.weights, self.program.operation
        heads = a.heads // self.parallel.tensor
        q_a, latent = self.act(n * a.q_rank), self.act(n * a.token_elements)
        both = w.read(layer, "q_a_proj", "kv_a_proj")
        yield op("qkv_a_proj", [x.read(), *both], [q_a.write(), latent.write()])
        q = self.act(n * heads * (a.nope_dim + a.rope_dim))
        yield op("q_b_proj", [q_a.read(), *w.read(layer, "q_a_norm", "q_b_proj")], [q.write()])
        cache = self.caches[layer]
        reads, writes = self._stored(cache, context, new)
        yield op("rope_and_cache", [latent.read(), *w.read(layer, "kv_a_norm"), *reads], writes)
        cache.settle()
        o = self.act(n * heads * a.value_dim)
        if context == 0:
            expanded = self.act(n * heads * (a.nope_dim + a.value_dim))
            yield op("kv_b_proj", [latent.read(), *w.read(layer, "k_b_proj", "v_b_proj")], [expanded.write()])
            yield op("attention", [q.read(), expanded.read(), latent.read()], [o.write()])
            return o
        absorbed, mixed = self.act(n * heads * a.token_elements), self.act(n * heads * a.kv_rank)
        yield op("absorb_q", [q.read(), *w.read(layer, "k_b_proj")], [absorbed.write()])
        yield op("attention", [absorbed.read(), *cache.read(0, context + new)], [mixed.write()])
        yield op("absorb_v", [mixed.read(), *w.read(layer, "v_b_proj")], [o.write()])
        return o

    # ---- feed-forward ----

    def feed_forward(self, layer: int, h: Tensor, n: int) -> Kernels:
        """Norm to down projection, gated or by experts; returns the new residual stream."""
        x = self.act(n * self.model.hidden)
        yield self.norm(layer, "post_norm", h, x)
        if self.model.has_experts(layer):
            return (yield from self._experts(layer, x, h, n))
        width = self.model.intermediate // self.parallel.tensor
        hidden = yield from self._gated(layer, "", x, n * width)
        matrix = self.weights.read(layer, "down_proj")
        return (yield from self.project_back("down_proj", [hidden.read(), *matrix], h, n))

    def _gated(self, layer: int, prefix: str, x: Tensor, elements: int) -> Kernels:
        """SwiGLU without its last matrix."""
        matrices = self.weights.read(layer, f"{prefix}gate_proj", f"{prefix}up_proj")
        gate_up, hidden = self.act(2 * elements), self.act(elements)
        yield self.program.operation(f"{prefix}gate_up_proj", [x.read(), *matrices], [gate_up.write()])
        yield self.program.operation("silu_mul", [gate_up.read()], [hidden.write()])
        return hidden

    def _experts(self, layer: int, x: Tensor, h: Tensor, n: int) -> Kernels:
        e, p, op, w = self.model.experts, self.parallel, self.program.operation, self.weights
        assert e is not None
        scores = self.act(n * e.count)
        yield op("router", [x.read(), *w.read(layer, "router", "router_bias")], [scores.write()])
        local = e.count // p.expert
        width = e.intermediate // (p.tensor if p.expert == 1 else 1)
        if layer not in self._orders:
            self._orders[layer] = self.rng.permutation(e.count)
        counts = route(e, n * p.groups, self.skew, self.rng, self._orders[layer])[:local]
        busy = np.flatnonzero(counts > 0)
        pairs = round(float(counts.sum()))
        inputs, kept = [x.read(), scores.read()], n * e.top_k
        if p.expert > 1:
            arrived = self.act(pairs * self.model.hidden)
            yield op("all_to_all", inputs, [arrived.write()])
            inputs, kept = [arrived.read()] if pairs else [], pairs
        gate_up, hidden = self.act(kept * 2 * width), self.act(kept * width)
        each = self.act(kept * self.model.hidden)
        if pairs:
            rows = [self._rows(layer, name, busy, local) for name in ("expert_gate_up", "expert_gate_up_bias")]
            yield op("expert_gate_up", [*inputs, *sum(rows, [])], [gate_up.write()])
            yield op("silu_mul", [gate_up.read()], [hidden.write()])
            rows = [self._rows(layer, name, busy, local) for name in ("expert_down", "expert_down_bias")]
            yield op("expert_down", [hidden.read(), *sum(rows, [])], [each.write()])
        results = [each.read()] if pairs else []
        if p.expert > 1:
            back = self.act(n * e.top_k * self.model.hidden)
            yield op("all_to_all", results, [back.write()])
            results = [back.read()]
        if e.shared:
            gated = yield from self._gated(layer, "shared_", x, n * e.shared * width)
            shared = self.act(n * self.model.hidden)
            yield op("shared_down_proj", [gated.read(), *w.read(layer, "shared_down_proj")], [shared.write()])
            results.append(shared.read())
        if p.expert == 1:
            return (yield from self.project_back("expert_sum", results, h, n))
        after = self.act(n * self.model.hidden)
        yield op("expert_sum", [*results, h.read()], [after.write()])
        return after

    def _rows(self, layer: int, name: str, busy: NDArray[np.intp], local: int) -> list[Access]:
        """The experts that got tokens, of a tensor that holds them one behind the other."""
        try:
            tensor = self.weights.get(layer, name)
        except KeyError:
            return []
        size = tensor.n_bytes // local
        return [tensor.read(size, rows=busy.astype(np.int64) * size)]
