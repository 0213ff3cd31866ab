"""What the tests of workloads share: small models, and sums of a trace's bytes."""

from __future__ import annotations

from collections import Counter

from hbmmodel.trace import OpTrace
from hbmmodel.workload import Attention, Experts, LatentAttention, ModelConfig

TINY = ModelConfig("tiny", layers=2, hidden=256, vocab=1000, attention=Attention(8, 2, 32), intermediate=512)
TINY_EXPERTS = ModelConfig(
    "tiny-experts", layers=3, hidden=256, vocab=1000, attention=Attention(8, 2, 32), intermediate=512,
    experts=Experts(count=16, top_k=2, intermediate=128, shared=1, dense_layers=1),
)  # fmt: skip
TINY_LATENT = ModelConfig(
    "tiny-latent", layers=2, hidden=256, vocab=1000, attention=LatentAttention(8, 64, 32, 16, 32, 32), intermediate=512
)
TINY_WINDOWED = ModelConfig(
    "tiny-windowed", layers=2, hidden=256, vocab=1000, intermediate=512,
    attention=Attention(8, 2, 32, sinks=True, qkv_bias=True, output_bias=True, window_tokens=48, window_every=2),
)  # fmt: skip


def by_class(trace: OpTrace, phase: str | None = None) -> dict[tuple[str, str], int]:
    """Bytes by (tensor class, "read" or "written"), of one phase or of all."""
    found: Counter[tuple[str, str]] = Counter()
    for operation in trace.operations():
        if phase is None or operation.phase == phase:
            for access in operation.accesses:
                found[access.tensor_class, "written" if access.is_write else "read"] += access.n_bytes
    return found


def spans_of(trace: OpTrace) -> list[tuple[int, int, int]]:
    """(storage, lowest address, end) of every access."""
    return [(a.storage, *a.span) for operation in trace.operations() for a in operation.accesses]
