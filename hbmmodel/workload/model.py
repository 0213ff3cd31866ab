"""What a transformer is made of, as far as memory is concerned: dimensions, and nothing of how it is run.

Owns `ModelConfig` and its parts, validated; must not know files, addresses or traffic.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from hbmmodel.checks import check_flag, check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.workload.dtypes import check_dtype, tensor_bytes

__all__ = ["Attention", "Experts", "LatentAttention", "ModelConfig"]

DIM_MAX = 1 << 24


@dataclass(frozen=True, slots=True)
class Attention:
    """Grouped-query attention; with as many KV heads as heads, multi-head attention.

    Parameters
    ----------
    heads, kv_heads, head_dim : int
        Query heads, key/value heads, elements of a head.
    qkv_bias, output_bias : bool
        Biases of the projections.
    qk_norm : bool
        RMS norms of each query and key head.
    sinks : bool
        A learned logit per head that takes up attention.
    window_tokens : int
        Tokens that windowed layers attend to, the newest included; 0: no layer is windowed.
    window_every : int
        Every so many layers, from the first on, one is windowed; 1: all.
    """

    heads: int
    kv_heads: int
    head_dim: int
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    sinks: bool = False
    window_tokens: int = 0
    window_every: int = 1

    def __post_init__(self) -> None:
        for name in ("heads", "kv_heads", "head_dim", "window_every"):
            check_whole(f"attention.{name}", getattr(self, name), 1, DIM_MAX)
        check_whole("attention.window_tokens", self.window_tokens, 0, 1 << 40)
        for name in ("qkv_bias", "output_bias", "qk_norm", "sinks"):
            check_flag(f"attention.{name}", getattr(self, name))
        if self.heads % self.kv_heads:
            raise HbmArgumentError(f"attention.heads is {self.heads}; give a multiple of kv_heads, {self.kv_heads}")

    @property
    def token_elements(self) -> int:
        """Elements that one layer caches per token."""
        return 2 * self.kv_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention (MLA): a layer caches one latent and one rotary key per token, for all heads.

    Parameters
    ----------
    heads : int
        Query heads.
    q_rank, kv_rank : int
        Elements of the latents of queries and of keys and values.
    rope_dim, nope_dim, value_dim : int
        Elements of a head with and without rotary position, and of a head's value.

    Source
    ------
    DeepSeek-AI, *DeepSeek-V2* (arXiv 2405.04434), section 2.1 and appendix C.
    """

    heads: int
    q_rank: int
    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_whole(f"attention.{field.name}", getattr(self, field.name), 1, DIM_MAX)

    @property
    def token_elements(self) -> int:
        """Elements that one layer caches per token."""
        return self.kv_rank + self.rope_dim


@dataclass(frozen=True, slots=True)
class Experts:
    """The experts of a mixture-of-experts layer.

    Parameters
    ----------
    count, top_k : int
        Routed experts of a layer, and how many of them a token uses.
    intermediate : int
        Width of one expert.
    shared : int
        Experts that every token uses besides.
    dense_layers : int
        Layers at the beginning that have no experts but one wide feed-forward.
    bias, router_bias : bool
        Biases of the experts, and of the router.
    dtype : str, optional
        Number format of the routed experts' matrices; None: the model's.
    """

    count: int
    top_k: int
    intermediate: int
    shared: int = 0
    dense_layers: int = 0
    bias: bool = False
    router_bias: bool = False
    dtype: str | None = None

    def __post_init__(self) -> None:
        check_whole("experts.count", self.count, 1, 1 << 16)
        check_whole("experts.top_k", self.top_k, 1, self.count)
        check_whole("experts.intermediate", self.intermediate, 1, DIM_MAX)
        check_whole("experts.shared", self.shared, 0, 1 << 10)
        check_whole("experts.dense_layers", self.dense_layers, 0, 1 << 12)
        check_flag("experts.bias", self.bias)
        check_flag("experts.router_bias", self.router_bias)
        if self.dtype is not None:
            check_dtype("experts.dtype", self.dtype)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A decoder-only transformer.

    Parameters
    ----------
    name : str
        Label.
    layers, hidden, vocab : int
        Decoder layers, width of the residual stream, tokens of the vocabulary.
    attention : Attention or LatentAttention
    intermediate : int
        Width of the gated feed-forward of layers without experts; 0: there are none.
    experts : Experts, optional
    dtype : str
        Number format of the weights.
    kv_dtype : str
        Number format of the KV cache.
    tied_embedding : bool
        The head is the embedding table.

    Examples
    --------
    >>> from hbmmodel.workload import model
    >>> m = model("llama-3.1-8b")
    >>> m.parameters, m.kv_bytes_per_token, m.weight_bytes
    (8030261248, 131072, 16060522496)
    >>> m.replace(layers=2).parameters
    1486901248
    """

    name: str
    layers: int
    hidden: int
    vocab: int
    attention: Attention | LatentAttention
    intermediate: int = 0
    experts: Experts | None = None
    dtype: str = "bf16"
    kv_dtype: str = "bf16"
    tied_embedding: bool = False

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not 0 < len(name) <= 256:
            raise HbmArgumentError(f"name is {str(name)[:80]!r}; give a text of 1 to 256 characters")
        check_whole("layers", self.layers, 1, 1 << 12)
        check_whole("hidden", self.hidden, 1, DIM_MAX)
        check_whole("vocab", self.vocab, 1, DIM_MAX)
        check_whole("intermediate", self.intermediate, 0, DIM_MAX)
        check_flag("tied_embedding", self.tied_embedding)
        check_dtype("dtype", self.dtype)
        check_dtype("kv_dtype", self.kv_dtype)
        if not isinstance(self.attention, Attention | LatentAttention):
            raise HbmArgumentError("attention must be an Attention or a LatentAttention")
        if self.experts is not None and not isinstance(self.experts, Experts):
            raise HbmArgumentError("experts must be an Experts, or None")
        dense = self.layers if self.experts is None else min(self.layers, self.experts.dense_layers)
        if dense and not self.intermediate:
            raise HbmArgumentError(f"intermediate is 0, but {dense} layers have no experts; give their width")

    def replace(self, **changes: Any) -> ModelConfig:
        """The same model with other dimensions.

        Raises
        ------
        HbmArgumentError
            A field does not exist, or its value does not fit.
        """
        known = {field.name for field in dataclasses.fields(self)}
        if unknown := sorted(set(changes) - known):
            raise HbmArgumentError(f"a model has no {unknown[0]!r}; it has {', '.join(sorted(known))}")
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def has_experts(self, layer: int) -> bool:
        """Whether a layer routes its tokens to experts."""
        return self.experts is not None and layer >= self.experts.dense_layers

    def window(self, layer: int) -> int:
        """Tokens that a layer attends to, 0 for all."""
        a = self.attention
        return a.window_tokens if isinstance(a, Attention) and layer % a.window_every == 0 else 0

    @property
    def parameters(self) -> int:
        """Parameters, embedding table and head included."""
        return sum(self.parameter_counts().values())

    @property
    def active_parameters(self) -> int:
        """Parameters that one token uses: of the routed experts, those it is routed to; the rest whole."""
        if self.experts is None:
            return self.parameters
        return sum(
            count // self.experts.count * self.experts.top_k if name.startswith("expert_") else count
            for name, count in self.parameter_counts().items()
        )

    @property
    def weight_bytes(self) -> int:
        """Bytes of all parameters in the number formats of the model."""
        from hbmmodel.workload.parameters import all_parameters

        return sum(p.n_bytes for p in all_parameters(self))

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that all layers together cache per token."""
        return self.layers * tensor_bytes(self.kv_dtype, self.attention.token_elements)

    def parameter_counts(self) -> dict[str, int]:
        """Parameters by kind of tensor, over all layers.

        Examples
        --------
        >>> from hbmmodel.workload import model
        >>> model("llama-3.1-8b").parameter_counts()["q_proj"] == 32 * 4096 * 4096
        True
        """
        from hbmmodel.workload.parameters import all_parameters

        counts: dict[str, int] = {}
        for p in all_parameters(self):
            counts[p.name] = counts.get(p.name, 0) + p.elements
        return counts
