"""The kernels of one layer's forward pass in training, and what each leaves for its backward pass.

Owns that list, the split over devices included; must not know tensors in memory, gradients' places or the rest of the
model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hbmmodel.workload.model import Attention, Experts, LatentAttention, ModelConfig
from hbmmodel.workload.parameters import Parallel, kv_heads_of

__all__ = ["Kernel", "layer_kernels"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel of a layer, and what its backward pass does.

    Parameters
    ----------
    name, kind : str
        ``linear``: y = x W, whose backward pass is dx from dy and W, and dW from dy and x. ``norm``: both at once.
        ``attention``, ``plain``: one kernel of saved activations and incoming gradients. ``exchange``: devices send
        each other rows, forward and back. ``sum``: devices add up their parts; the gradient is every part's.
    reads, params : tuple of str
        Activations (``h`` is the layer's input) and parameters.
    writes : dict of str to int
        Activations made, and their elements; ``out`` is the layer's output.
    saved : tuple of str
        Activations that the backward pass reads.
    passed : tuple of str
        Of `reads`, those whose gradient is that of the result itself: what is only added.
    summed : bool
        Whether the gradients of what it reads are sums over tensor-parallel devices.
    """

    name: str
    reads: tuple[str, ...]
    params: tuple[str, ...]
    writes: dict[str, int]
    saved: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    kind: str = "plain"
    summed: bool = False

    @property
    def is_collective(self) -> bool:
        """Whether devices send each other something."""
        return self.kind in ("exchange", "sum")


def layer_kernels(model: ModelConfig, parallel: Parallel, layer: int, n: int) -> list[Kernel]:
    """Kernels of a layer's forward pass over `n` tokens of a device.

    For SwiGLU with flash attention they keep 6 h + 2 kv + 3 F elements per token. With tensor parallelism two sums of
    n h elements follow each layer forward, and two backward; with expert parallelism rows are exchanged twice forward
    and twice backward. Experts get equally many tokens.

    Source
    ------
    Korthikanti et al., *Reducing Activation Recomputation* (arXiv 2205.05198), section 4, with RMS norms, SwiGLU and
    flash attention in place of layer norms, GELU and stored scores; Shoeybi et al., *Megatron-LM* (arXiv 1909.08053),
    section 3 (sums); Lepikhin et al., *GShard* (arXiv 2006.16668), section 3.2 (exchange).
    """
    return [*_attention(model, parallel, n), *_feed_forward(model, parallel, layer, n)]


def _back(
    name: str, inputs: tuple[str, ...], params: tuple[str, ...], to: tuple[str, str, int], t: int
) -> list[Kernel]:
    """Projection back to the residual stream, `to` = (residual, result, elements); over devices, a sum behind it."""
    residual, result, size = to
    if t == 1:
        return [Kernel(name, (*inputs, residual), params, {result: size}, inputs, (residual,), "linear")]
    part = f"{result}_part"
    return [
        Kernel(name, inputs, params, {part: size}, inputs, (), "linear"),
        Kernel("all_reduce", (part, residual), (), {result: size}, (), (part, residual), "sum"),
    ]


def _attention(model: ModelConfig, parallel: Parallel, n: int) -> Iterator[Kernel]:
    a, h, t = model.attention, n * model.hidden, parallel.tensor
    heads, is_split = a.heads // t, t > 1
    yield Kernel("rms_norm", ("h",), ("input_norm",), {"x": h}, ("h",), (), "norm")
    names: tuple[str, ...]
    attended: tuple[str, ...]
    if isinstance(a, LatentAttention):
        names = ("q_a_norm", "q_b_proj", "kv_a_norm", "k_b_proj", "v_b_proj")
        sizes = {"q": n * heads * (a.nope_dim + a.rope_dim), "kv": n * heads * (a.nope_dim + a.value_dim)}
        latents = {"latents": n * (a.q_rank + a.token_elements)}
        yield Kernel("qkv_a_proj", ("x",), ("q_a_proj", "kv_a_proj"), latents, ("x",), (), "linear")
        yield Kernel("qkv_b_proj", ("latents",), names, sizes, ("latents",), (), "linear", is_split)
        attended = ("q", "kv", "latents")
        out = n * heads * a.value_dim
    else:
        out = n * heads * a.head_dim
        kv = n * kv_heads_of(a, parallel) * a.head_dim
        names = ("q_proj", "k_proj", "v_proj", "q_bias", "k_bias", "v_bias", "q_norm", "k_norm")
        yield Kernel("qkv_proj", ("x",), names, {"q": out, "kv": 2 * kv}, ("x",), (), "linear", is_split)
        attended = ("q", "kv")
    sinks = ("sinks",) if isinstance(a, Attention) and a.sinks else ()
    yield Kernel("attention", attended, sinks, {"o": out}, (*attended, "o"), (), "attention")
    yield from _back("o_proj", ("o",), ("o_proj", "o_bias"), ("h", "h2", h), t)


def _feed_forward(model: ModelConfig, parallel: Parallel, layer: int, n: int) -> Iterator[Kernel]:
    h, t, e = n * model.hidden, parallel.tensor, model.experts
    yield Kernel("rms_norm", ("h2",), ("post_norm",), {"x2": h}, ("h2",), (), "norm")
    if e is None or not model.has_experts(layer):
        yield from _gated(n * model.intermediate // t, ("x2",), ("gate_proj", "up_proj"), t)
        yield from _back("down_proj", ("hidden",), ("down_proj",), ("h2", "out", h), t)
        return
    yield Kernel("router", ("x2",), ("router", "router_bias"), {"scores": n * e.count}, ("x2",), (), "linear")
    if parallel.expert > 1:
        yield from _exchanged(e, parallel, h, n)
        return
    params = ("expert_gate_up", "expert_gate_up_bias", "shared_gate_proj", "shared_up_proj")
    yield from _gated(n * (e.intermediate // t) * (e.top_k + e.shared), ("x2", "scores"), params, t)
    down = ("expert_down", "expert_down_bias", "shared_down_proj")
    yield from _back("down_proj", ("hidden",), down, ("h2", "out", h), t)


def _gated(width: int, reads: tuple[str, ...], params: tuple[str, ...], t: int, prefix: str = "") -> Iterator[Kernel]:
    """SwiGLU without its last matrix, `width` elements wide over all tokens."""
    gate_up, hidden = f"{prefix}gate_up", f"{prefix}hidden"
    yield Kernel(f"{prefix}gate_up_proj", reads, params, {gate_up: 2 * width}, reads, (), "linear", t > 1)
    yield Kernel(f"{prefix}silu_mul", (gate_up,), (), {hidden: width}, (gate_up,))


def _exchanged(e: Experts, parallel: Parallel, h: int, n: int) -> Iterator[Kernel]:
    """Experts on other devices: as many rows arrive as leave, shared experts are whole on every device."""
    rows = h * e.top_k // parallel.tensor  # tensor-parallel devices hold the same tokens, and send a part each
    yield Kernel("all_to_all", ("x2", "scores"), (), {"arrived": rows}, kind="exchange")
    width = n * e.top_k // parallel.tensor * e.intermediate
    yield from _gated(width, ("arrived",), ("expert_gate_up", "expert_gate_up_bias"), 1, "expert_")
    down = ("expert_down", "expert_down_bias")
    yield Kernel("expert_down_proj", ("expert_hidden",), down, {"each": rows}, ("expert_hidden",), (), "linear")
    yield Kernel("all_to_all", ("each",), (), {"back": h * e.top_k}, kind="exchange")
    results: tuple[str, ...] = ("back",)
    if e.shared:
        width = n * e.shared * e.intermediate
        yield from _gated(width, ("x2",), ("shared_gate_proj", "shared_up_proj"), 1, "shared_")
        hidden = ("shared_hidden",)
        yield Kernel("shared_down_proj", hidden, ("shared_down_proj",), {"shared": h}, hidden, (), "linear")
        results = ("back", "shared")
    yield Kernel("expert_sum", (*results, "h2"), (), {"out": h}, (), (*results[1:], "h2"))
