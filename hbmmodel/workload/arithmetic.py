"""Closed forms: how many bytes a step moves at least, without making it.

Owns the formulas; must not know operations. The generators are tested against them, and a reader can check them by
hand.
"""

from __future__ import annotations

from typing import NamedTuple

from hbmmodel.workload.configs import model as find_model
from hbmmodel.workload.dtypes import tensor_bytes
from hbmmodel.workload.model import Attention, ModelConfig
from hbmmodel.workload.parameters import all_parameters
from hbmmodel.workload.routing import expected_distinct

__all__ = ["DecodeBytes", "TrainBytes", "decode_bytes", "train_bytes"]


class DecodeBytes(NamedTuple):
    """Bytes of one decode step of a whole batch [bytes]."""

    weights: float
    kv_read: float
    kv_written: float
    embedding: float

    @property
    def read(self) -> float:
        """Weights, embedding rows and caches."""
        return self.weights + self.embedding + self.kv_read


def decode_bytes(model: str | ModelConfig, batch: int = 1, context: int = 8192) -> DecodeBytes:
    """Bytes that one decode step moves at least, activations left out, experts routed uniformly.

    Every weight but the embedding table is read once; of the experts those that get a token, in the mean. Every
    sequence attends to `context` tokens and the new one, and stores that one; windowed layers attend to their window.

    Examples
    --------
    >>> round(decode_bytes("llama-3.1-8b", batch=32).read / 32e9, 3)  # GB per token
    1.543
    """
    found = find_model(model)
    experts, weights = 0, 0
    for p in all_parameters(found):
        if p.name.startswith("expert_"):
            experts += p.n_bytes
        elif p.name != "embedding":
            weights += p.n_bytes
    busy = 0.0
    if found.experts is not None:
        e = found.experts
        busy = expected_distinct(e.count, e.top_k, batch) / e.count * experts
    if found.tied_embedding:
        weights += tensor_bytes(found.dtype, found.vocab * found.hidden)
    a = found.attention
    elements = found.kv_bytes_per_token // found.layers
    seen = sum(min(context + 1, found.window(layer) or context + 1) for layer in range(found.layers))
    assert isinstance(a, Attention) or not any(found.window(layer) for layer in range(found.layers))
    return DecodeBytes(
        weights + busy,
        batch * elements * seen,
        batch * found.kv_bytes_per_token,
        batch * tensor_bytes(found.dtype, found.hidden),
    )


class TrainBytes(NamedTuple):
    """Bytes of one training step [bytes]."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self)


def train_bytes(
    model: str | ModelConfig, batch: int = 1, tokens: int = 4096, micro_batches: int = 1, recompute: bool = False
) -> TrainBytes:
    """Bytes that one training step of a dense SwiGLU transformer moves at least: mixed precision, fused AdamW.

    Per micro-batch of T tokens: weights 4 P (forward and input gradients; 2 P more with recompute), gradients 8 P
    (fp32, read
    and added to), activations 2 T L (12 h + 4 kv + 6 F) (bf16, written once and read once), logits 12 T V. Per step:
    30 P for the optimizer (16 P read, 14 P written).

    Source
    ------
    Rajbhandari et al., *ZeRO* (arXiv 1910.02054), section 3.1: states of mixed-precision Adam; Korthikanti et al.
    (arXiv 2205.05198), section 4: activations, here with RMS norms, SwiGLU and flash attention.

    Examples
    --------
    >>> round(train_bytes("llama-3.1-70b").total / 1e12, 2)  # TB
    3.15
    """
    found = find_model(model)
    a, p, n = found.attention, found.parameters, batch * tokens * micro_batches
    kv = a.kv_heads * a.head_dim if isinstance(a, Attention) else a.token_elements
    per_token = 12 * found.hidden + 4 * kv + 6 * found.intermediate
    return TrainBytes(
        micro_batches * (6 if recompute else 4) * p,
        micro_batches * 8 * p,
        30 * p,
        2 * n * found.layers * per_token,
        12 * n * found.vocab,
    )
