"""Which tensors hold a model's parameters, and which part of them one device holds.

Owns the list of tensors and the rules of splitting; must not know addresses, operations or files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hbmmodel.checks import check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.workload.dtypes import tensor_bytes
from hbmmodel.workload.model import Attention, LatentAttention, ModelConfig

__all__ = ["Parallel", "Parameter", "all_parameters", "layer_parameters"]

DEVICES_MAX = 1 << 16


class Parameter(NamedTuple):
    """One tensor of one layer, as a device holds it; `layer` is None outside the layers."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    layer: int | None

    @property
    def elements(self) -> int:
        """Number of parameters."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Bytes; every expert has whole ones."""
        if self.name.startswith("expert_"):
            return self.shape[0] * tensor_bytes(self.dtype, math.prod(self.shape[1:]))
        return tensor_bytes(self.dtype, self.elements)


@dataclass(frozen=True, slots=True)
class Parallel:
    """How a model is spread over devices that hold equal parts, and which part is looked at.

    Parameters
    ----------
    tensor : int
        Devices that share every layer: heads, feed-forward width and vocabulary are divided. KV heads are divided as
        far as they go and repeated beyond; latents of MLA are repeated.
    expert : int
        Devices that share the experts of a layer, each holding whole ones; 1: experts are divided like the rest.
        A multiple of `tensor`; with more than `tensor`, attention is repeated for other sequences (data-parallel).
    pipeline, stage : int
        Groups of consecutive layers, and the group looked at, from 0.

    Source
    ------
    Shoeybi et al., *Megatron-LM* (arXiv 1909.08053), section 3: columns of the first and rows of the second matrix.
    """

    tensor: int = 1
    expert: int = 1
    pipeline: int = 1
    stage: int = 0

    def __post_init__(self) -> None:
        for name in ("tensor", "expert", "pipeline"):
            check_whole(f"{name}_parallel", getattr(self, name), 1, DEVICES_MAX)
        check_whole("pipeline_stage", self.stage, 0, self.pipeline - 1)
        if self.expert > 1 and self.expert % self.tensor:
            raise HbmArgumentError(
                f"expert_parallel is {self.expert}; give 1, or a multiple of tensor_parallel, {self.tensor}"
            )

    @property
    def alike(self) -> int:
        """Devices that do the same as the one looked at."""
        return max(self.tensor, self.expert)

    @property
    def groups(self) -> int:
        """Groups of devices that attend to sequences of their own but share the experts."""
        return max(1, self.expert // self.tensor)

    def check(self, model: ModelConfig) -> None:
        """Refuse what does not divide evenly."""
        t, a = self.tensor, model.attention
        divided = {"attention.heads": a.heads}
        if isinstance(a, Attention) and a.kv_heads % t and t % a.kv_heads:
            raise HbmArgumentError(
                f"tensor_parallel is {t}; {model.name} has {a.kv_heads} KV heads: give a divisor or a multiple"
            )
        if model.experts is None or model.experts.dense_layers:
            divided["intermediate"] = model.intermediate
        if model.experts is not None:
            if self.expert == 1:
                divided["experts.intermediate"] = model.experts.intermediate
            elif model.experts.count % self.expert:
                raise HbmArgumentError(
                    f"expert_parallel is {self.expert}; {model.name} has {model.experts.count} experts: give a divisor"
                )
        elif self.expert > 1:
            raise HbmArgumentError(f"expert_parallel is {self.expert}, but {model.name} has no experts; leave it out")
        for name, size in divided.items():
            if size % t:
                raise HbmArgumentError(f"tensor_parallel is {t}; it does not divide {name} = {size} of {model.name}")
        if self.pipeline > model.layers:
            raise HbmArgumentError(f"pipeline_parallel is {self.pipeline}; {model.name} has {model.layers} layers")

    def layers(self, model: ModelConfig) -> range:
        """Layers of the stage looked at; earlier stages take what does not divide evenly."""
        each, rest = divmod(model.layers, self.pipeline)
        first = self.stage * each + min(self.stage, rest)
        return range(first, first + each + (self.stage < rest))

    @property
    def is_first(self) -> bool:
        """Whether the stage holds the embedding table."""
        return self.stage == 0

    @property
    def is_last(self) -> bool:
        """Whether the stage holds the head."""
        return self.stage == self.pipeline - 1


def kv_heads_of(attention: Attention, parallel: Parallel) -> int:
    """KV heads that one device holds."""
    return max(1, attention.kv_heads // parallel.tensor)


def _attention(model: ModelConfig, parallel: Parallel) -> Iterator[tuple[str, tuple[int, ...]]]:
    a, h, t = model.attention, model.hidden, parallel.tensor
    if isinstance(a, LatentAttention):
        heads = a.heads // t
        yield "q_a_proj", (a.q_rank, h)
        yield "q_a_norm", (a.q_rank,)
        yield "q_b_proj", (heads * (a.nope_dim + a.rope_dim), a.q_rank)
        yield "kv_a_proj", (a.kv_rank + a.rope_dim, h)
        yield "kv_a_norm", (a.kv_rank,)
        yield "k_b_proj", (heads * a.nope_dim, a.kv_rank)
        yield "v_b_proj", (heads * a.value_dim, a.kv_rank)
        yield "o_proj", (h, heads * a.value_dim)
        return
    q, kv = a.heads // t * a.head_dim, kv_heads_of(a, parallel) * a.head_dim
    yield "q_proj", (q, h)
    yield "k_proj", (kv, h)
    yield "v_proj", (kv, h)
    yield "o_proj", (h, q)
    if a.qkv_bias:
        yield "q_bias", (q,)
        yield "k_bias", (kv,)
        yield "v_bias", (kv,)
    if a.output_bias:
        yield "o_bias", (h,)
    if a.qk_norm:
        yield "q_norm", (a.head_dim,)
        yield "k_norm", (a.head_dim,)
    if a.sinks:
        yield "sinks", (a.heads // t,)


def _feed_forward(model: ModelConfig, layer: int, parallel: Parallel) -> Iterator[tuple[str, tuple[int, ...]]]:
    h, t, e = model.hidden, parallel.tensor, model.experts
    if e is None or not model.has_experts(layer):
        yield "gate_proj", (model.intermediate // t, h)
        yield "up_proj", (model.intermediate // t, h)
        yield "down_proj", (h, model.intermediate // t)
        return
    count = e.count // parallel.expert
    width = e.intermediate // (t if parallel.expert == 1 else 1)
    yield "router", (e.count, h)
    if e.router_bias:
        yield "router_bias", (e.count,)
    yield "expert_gate_up", (count, 2 * width, h)
    yield "expert_down", (count, h, width)
    if e.bias:
        yield "expert_gate_up_bias", (count, 2 * width)
        yield "expert_down_bias", (count, h)
    if e.shared:
        # shared experts are as wide as `shared` routed ones; under expert parallelism every device has them whole
        wide = e.shared * width
        yield "shared_gate_proj", (wide, h)
        yield "shared_up_proj", (wide, h)
        yield "shared_down_proj", (h, wide)


def layer_parameters(model: ModelConfig, layer: int, parallel: Parallel | None = None) -> Iterator[Parameter]:
    """Tensors of one layer in module order.

    Examples
    --------
    >>> from hbmmodel.workload import model
    >>> [p.name for p in layer_parameters(model("llama-3.1-8b"), 0)][:5]
    ['input_norm', 'q_proj', 'k_proj', 'v_proj', 'o_proj']
    """
    parallel = Parallel() if parallel is None else parallel
    expert_dtype = model.dtype if model.experts is None else model.experts.dtype or model.dtype
    yield Parameter("input_norm", (model.hidden,), model.dtype, layer)
    for name, shape in _attention(model, parallel):
        yield Parameter(name, shape, model.dtype, layer)
    yield Parameter("post_norm", (model.hidden,), model.dtype, layer)
    for name, shape in _feed_forward(model, layer, parallel):
        yield Parameter(name, shape, expert_dtype if name in ("expert_gate_up", "expert_down") else model.dtype, layer)


def all_parameters(model: ModelConfig, parallel: Parallel | None = None) -> Iterator[Parameter]:
    """Tensors of the whole model, or of one device's part, in module order; a divided vocabulary is rounded up."""
    parallel = Parallel() if parallel is None else parallel
    vocab = -(-model.vocab // parallel.tensor)
    if parallel.is_first:
        yield Parameter("embedding", (vocab, model.hidden), model.dtype, None)
    for layer in parallel.layers(model):
        yield from layer_parameters(model, layer, parallel)
    if parallel.is_last:
        yield Parameter("final_norm", (model.hidden,), model.dtype, None)
        # with a tied embedding the last stage has the table too, unless it is also the first
        if not model.tied_embedding or not parallel.is_first:
            yield Parameter("head", (vocab, model.hidden), model.dtype, None)
