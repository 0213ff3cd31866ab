"""One training step of a transformer: forward, backward, optimizer.

Owns the kernels of training and which activations are kept for the backward pass; must not know how parameters are
updated (`optimizers`) or split (`parameters`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hbmmodel.checks import check_choice, check_flag, check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.access import Access
from hbmmodel.trace.expand import ROWS_MAX
from hbmmodel.trace.model import Operation
from hbmmodel.workload.forward import ACTIVATION_BYTES, TOKEN_BYTES, Kernels
from hbmmodel.workload.inference import chosen_model
from hbmmodel.workload.model import Attention, LatentAttention, ModelConfig
from hbmmodel.workload.optimizers import OPTIMIZERS, PRECISIONS, Trained, states, step
from hbmmodel.workload.parameters import Parallel, all_parameters, kv_heads_of
from hbmmodel.workload.program import GeneratedTrace, Program, Tensor

__all__ = ["train_step"]

RECOMPUTE = ("none", "full")
REUSE = ("none", "perfect")


def train_step(
    model: str | ModelConfig,
    *,
    batch: int = 1,
    tokens: int = 4096,
    micro_batches: int = 1,
    optimizer: str = "adamw_fused",
    precision: str = "mixed",
    recompute: str = "none",
    reuse: str = "none",
    tensor_parallel: int = 1,
    first_step: bool = False,
    seed: int = 0,
) -> GeneratedTrace:
    """One step of training: forward and backward of every micro-batch, and one update.

    Parameters
    ----------
    model : str or ModelConfig
        One of `models`, the path of a model file, or a model. Its weights are bf16, whatever its own format is.
    batch, tokens : int
        Sequences of a micro-batch, and tokens of each.
    micro_batches : int
        Passes whose gradients are accumulated.
    optimizer : {"adamw_fused", "adamw_eager", "sgd"}
        One kernel per tensor, every operator by itself, or plain gradient descent.
    precision : {"mixed", "bf16"}
        ``mixed``: fp32 gradients that every micro-batch reads and adds to, fp32 parameters and moments kept by the
        optimizer. ``bf16``: everything bf16, gradients written once; only one micro-batch.
    recompute : {"none", "full"}
        ``full``: keep only the input of every layer and compute the layer again in the backward pass.
    reuse : {"none", "perfect"}
        ``none``: every kernel reads and writes its operands. ``perfect``: what the next kernel takes over stays on
        chip; only weights, gradients, logits and the activations kept for the backward pass move: the lower bound.
    tensor_parallel : int
        See `Parallel`; the trace is that of one device.
    first_step : bool
        Whether the optimizer's moments are made in this step.
    seed : int
        Of the tokens.

    Returns
    -------
    OpTrace
        Phases ``forward``, ``backward`` (both once per micro-batch) and ``optimizer``.

    Raises
    ------
    HbmArgumentError
        An argument is out of range, or does not fit the model.

    Examples
    --------
    >>> trace = train_step("llama-3.1-8b", tokens=4096)
    >>> trace.workload["state_bytes"] // trace.workload["parameters"]  # fp32 gradient, parameter and two moments
    16
    """
    config = chosen_model(model, "bf16", None)
    parallel = Parallel(tensor_parallel)
    parallel.check(config)
    check_whole("batch", batch, 1, 1 << 20)
    check_whole("tokens", tokens, 1, ROWS_MAX)
    check_whole("micro_batches", micro_batches, 1, 1 << 16)
    for name, value, choices in (
        ("optimizer", optimizer, OPTIMIZERS),
        ("precision", precision, PRECISIONS),
        ("recompute", recompute, RECOMPUTE),
        ("reuse", reuse, REUSE),
    ):
        check_choice(name, value, choices)
    check_flag("first_step", first_step)
    check_whole("seed", seed, 0, (1 << 63) - 1)
    if batch * tokens > ROWS_MAX:
        raise HbmArgumentError(f"{batch} sequences of {tokens} tokens; at most {ROWS_MAX} tokens come at once")
    if precision == "bf16" and micro_batches > 1:
        raise HbmArgumentError("precision is 'bf16', which does not accumulate; use micro_batches=1, or 'mixed'")

    def make(program: Program) -> Iterator[Operation]:
        run = _Step(program, config, parallel, batch * tokens, precision, optimizer, recompute, reuse, seed)
        for _ in range(micro_batches):
            program.phase = "forward"
            yield from run.forward()
            program.phase = "backward"
            yield from run.backward()
        program.phase = "optimizer"
        for trained in run.parameters.values():
            yield from step(program, trained, optimizer, first_step)

    own = {
        **{"batch": batch, "tokens": tokens, "micro_batches": micro_batches, "optimizer": optimizer},
        **{"precision": precision, "recompute": recompute, "reuse": reuse, "tensor_parallel": tensor_parallel},
        **{"first_step": first_step, "seed": seed},
    }
    elements = sum(p.elements for p in all_parameters(config, parallel))
    each = 4 if precision == "mixed" else 2
    kept = 1 + (precision == "mixed") + (0 if optimizer == "sgd" else 2)
    facts = {
        **{"kind": "train_step", "model": config.name, "parameters": config.parameters},
        **{"active_parameters": config.active_parameters, "batch": batch * micro_batches},
        **{"devices_alike": parallel.alike, "pipeline_stages": 1, "context": tokens},
        **{"tokens": batch * tokens * micro_batches, "steps": 1},
        **{"weight_bytes": 2 * elements, "state_bytes": each * kept * elements, "kv_bytes_per_token": 0},
    }
    defaults = {"micro_batches": 1, "optimizer": "adamw_fused", "precision": "mixed", "recompute": "none", "seed": 0}
    defaults |= {"reuse": "none", "tensor_parallel": 1, "first_step": False}
    label = ",".join(f"{k}={v}" for k, v in {"model": config.name, **own}.items() if defaults.get(k) != v)
    arguments = {"kind": "train_step", "model": config.to_dict(), **own}
    return GeneratedTrace(f"workload:train_step,{label}", arguments, facts, make)


class _Step:
    """The kernels of one step; a kernel's operands are kept ones, which always move, and passing ones.

    A linear layer y = x W has three kernels: y; dx from dy and W; dW from dy and x, added to the gradient.
    """

    def __init__(
        self,
        program: Program,
        model: ModelConfig,
        parallel: Parallel,
        n: int,
        precision: str,
        optimizer: str,
        recompute: str,
        reuse: str,
        seed: int,
    ) -> None:
        self.program = program
        self.model = model
        self.parallel = parallel
        self.n = n
        self.recompute = recompute == "full"
        self.perfect = reuse == "perfect"
        self.accumulate = precision == "mixed"
        self.rng = np.random.default_rng(seed)
        self.parameters: dict[tuple[int | None, str], Trained] = {}
        self.layers = model.layers
        placed = [
            (p, program.tensor(p.n_bytes, "embedding" if p.name == "embedding" else "weights"))
            for p in all_parameters(model, parallel)
        ]
        for p, weight in placed:
            self.parameters[p.layer, p.name] = states(program, weight, p.elements, optimizer, precision)
        self.kept: list[dict[str, Tensor]] = []  # by layer: what it leaves for the backward pass
        self.head_kept: dict[str, Tensor] = {}

    # ---- operands ----

    def passing(self, tensor: Tensor, write: bool = False) -> list[Access]:
        """An activation between neighbouring kernels."""
        if self.perfect:
            return []
        return [tensor.write() if write else tensor.read()]

    def named(self, layer: int | None, *names: str) -> list[Trained]:
        """Those of the named parameters that a layer has."""
        return [p for name in names if (p := self.parameters.get((layer, name))) is not None]

    def act(self, elements: int) -> Tensor:
        """A new activation."""
        return self.program.tensor(elements * ACTIVATION_BYTES)

    # ---- forward ----

    def forward(self) -> Iterator[Operation]:
        """Embedding, layers, head and loss."""
        hidden, n = self.model.hidden, self.n
        table = self.parameters[None, "embedding"].weight
        row = hidden * ACTIVATION_BYTES
        rows = self.rng.integers(0, table.n_bytes // row, size=n) * np.int64(row)
        tokens = self.program.tensor(n * TOKEN_BYTES)
        h = self.act(n * hidden)
        reads = [tokens.read(), table.read(row, rows=rows)]
        yield self.program.operation("embedding", reads, [h.write()])
        self.head_kept = {"tokens": tokens}
        for layer in range(self.layers):
            kept = {"h": h}
            h = yield from self.layer_forward(layer, kept, keep=not self.recompute)
            if self.recompute:
                self.program.free(*(t for name, t in kept.items() if name != "h"))
                kept = {"h": kept["h"]}
            self.kept.append(kept)
        vocab = -(-self.model.vocab // self.parallel.tensor)
        x, logits = self.act(n * hidden), self.act(n * vocab)
        norm, head = self.named(None, "final_norm"), self.head_matrix()
        reads = [*self.passing(h), *(p.weight.read() for p in norm)]
        yield self.program.operation("rms_norm", reads, [x.write()])
        yield self.program.operation("lm_head", [*self.passing(x), head.weight.read()], [logits.write()])
        yield self.program.operation("cross_entropy", [logits.read()], [])
        self.head_kept |= {"h": h, "x": x, "logits": logits}

    def head_matrix(self) -> Trained:
        """The head, or the table that is tied to it."""
        return self.parameters.get((None, "head")) or self.parameters[None, "embedding"]

    def layer_forward(self, layer: int, kept: dict[str, Tensor], keep: bool, again: bool = False) -> Kernels:
        """One layer; what it makes is added to `kept`, its output is returned.

        Without `keep`, only the output is there to stay; when the layer is computed `again`, its input comes from
        memory and its output is not needed.
        """
        for name, reads, params, writes in self.kernels(layer):
            made = {w: self.act(self.n * size) for w, size in writes.items()}
            accesses = [a for r in reads for a in ([kept[r].read()] if again and r == "h" else self.passing(kept[r]))]
            accesses += [p.weight.read() for p in self.named(layer, *params)]
            stay = {w for w in writes if (keep and not (again and w == "out")) or (w == "out" and not again)}
            stored = [a for w, t in made.items() for a in ([t.write()] if w in stay else self.passing(t, True))]
            yield self.program.operation(name, accesses, stored)
            kept |= made
        return kept.pop("out")

    def kernels(self, layer: int) -> list[tuple[str, tuple[str, ...], tuple[str, ...], dict[str, int]]]:
        """Kernels of a layer's forward pass: name, activations read, parameters, activations written (elements/token).

        All activations written are kept, the last one (``out``) as input of the next layer. For SwiGLU with flash
        attention that makes 6 h + 2 kv + 3 F elements per token.

        Source
        ------
        Korthikanti et al., *Reducing Activation Recomputation* (arXiv 2205.05198), section 4, with RMS norms, SwiGLU
        and flash attention in place of layer norms, GELU and stored scores.
        """
        a, h, t = self.model.attention, self.model.hidden, self.parallel.tensor
        found: list[tuple[str, tuple[str, ...], tuple[str, ...], dict[str, int]]]
        names: tuple[str, ...]
        attended: tuple[str, ...]
        found = [("rms_norm", ("h",), ("input_norm",), {"x": h})]
        if isinstance(a, LatentAttention):
            heads = a.heads // t
            names = ("q_a_norm", "q_b_proj", "kv_a_norm", "k_b_proj", "v_b_proj")
            sizes = {"q": heads * (a.nope_dim + a.rope_dim), "kv": heads * (a.nope_dim + a.value_dim)}
            latents = {"latents": a.q_rank + a.token_elements}
            found.append(("qkv_a_proj", ("x",), ("q_a_proj", "kv_a_proj"), latents))
            found.append(("qkv_b_proj", ("latents",), names, sizes))
            attended = ("q", "kv", "latents")
            out = heads * a.value_dim
        else:
            out = a.heads // t * a.head_dim
            kv = kv_heads_of(a, self.parallel) * a.head_dim
            names = ("q_proj", "k_proj", "v_proj", "q_bias", "k_bias", "v_bias", "q_norm", "k_norm")
            found.append(("qkv_proj", ("x",), names, {"q": out, "kv": 2 * kv}))
            attended = ("q", "kv")
        sinks = ("sinks",) if isinstance(a, Attention) and a.sinks else ()
        found.append(("attention", attended, sinks, {"o": out}))
        found.append(("o_proj", ("o", "h"), ("o_proj", "o_bias"), {"h2": h}))
        found.append(("rms_norm", ("h2",), ("post_norm",), {"x2": h}))
        e = self.model.experts
        if e is None or not self.model.has_experts(layer):
            width = self.model.intermediate // t
            found.append(("gate_up_proj", ("x2",), ("gate_proj", "up_proj"), {"gate_up": 2 * width}))
            found.append(("silu_mul", ("gate_up",), (), {"hidden": width}))
            found.append(("down_proj", ("hidden", "h2"), ("down_proj",), {"out": h}))
            return found
        width = e.intermediate // t
        found.append(("router", ("x2",), ("router", "router_bias"), {"scores": e.count}))
        experts = ("expert_gate_up", "expert_gate_up_bias", "shared_gate_proj", "shared_up_proj")
        found.append(("gate_up_proj", ("x2", "scores"), experts, {"gate_up": 2 * width * (e.top_k + e.shared)}))
        found.append(("silu_mul", ("gate_up",), (), {"hidden": width * (e.top_k + e.shared)}))
        down = ("expert_down", "expert_down_bias", "shared_down_proj")
        found.append(("down_proj", ("hidden", "h2"), down, {"out": h}))
        return found

    # ---- backward ----

    def backward(self) -> Iterator[Operation]:
        """Loss, head, layers in reverse, embedding."""
        kept, n, hidden = self.head_kept, self.n, self.model.hidden
        logits, x, h = kept["logits"], kept["x"], kept["h"]
        head = self.head_matrix()
        d_logits = self.program.tensor(logits.n_bytes)
        yield self.program.operation("cross_entropy.backward", [logits.read()], [d_logits.write()])
        dx = self.act(n * hidden)
        reads = [d_logits.read(), head.weight.read()]
        yield self.program.operation("lm_head.dgrad", reads, self.passing(dx, True))
        yield from self.weight_gradient("lm_head", [d_logits.read(), x.read()], [head])
        dh = self.act(n * hidden)
        norm = self.named(None, "final_norm")
        yield from self.norm_backward("rms_norm", h, dx, dh, norm)
        self.program.free(logits, d_logits, x, dx, h)
        for layer in reversed(range(self.layers)):
            dh = yield from self.layer_backward(layer, dh)
        tokens = kept["tokens"]
        table = self.parameters[None, "embedding"]
        reads = [tokens.read(), *self.passing(dh)]
        yield from self.weight_gradient("embedding", reads, [table])
        self.program.free(tokens, dh)

    def weight_gradient(self, name: str, reads: Sequence[Access], params: Sequence[Trained]) -> Iterator[Operation]:
        """Gradients of parameters: added to what is there, or written."""
        old = [p.gradient.read() for p in params] if self.accumulate else []
        yield self.program.operation(f"{name}.wgrad", [*reads, *old], [p.gradient.write() for p in params])

    def norm_backward(
        self, name: str, saved: Tensor, d_out: Tensor, d_in: Tensor, params: Sequence[Trained]
    ) -> Iterator[Operation]:
        """Gradient of a norm's input and of its few weights, in one kernel."""
        old = [p.gradient.read() for p in params] if self.accumulate else []
        reads = [saved.read(), *self.passing(d_out), *(p.weight.read() for p in params), *old]
        writes = [*self.passing(d_in, True), *(p.gradient.write() for p in params)]
        yield self.program.operation(f"{name}.backward", reads, writes)

    def layer_backward(self, layer: int, dh: Tensor) -> Kernels:
        """Kernels of a layer in reverse; returns the gradient of the layer's input.

        Every kept activation is read once, by the kernel that needs it first; if reuse is not perfect, again by
        every other.
        """
        kept = self.kept.pop()
        if self.recompute:
            out = yield from self.layer_forward(layer, kept, keep=True, again=True)
            self.program.free(out)
        gradient: dict[str, Tensor] = {"out": dh}
        seen: set[str] = set()

        def saved(name: str) -> list[Access]:
            if self.perfect and name in seen:
                return []
            seen.add(name)
            return [kept[name].read()]

        for name, reads, param_names, writes in reversed(self.kernels(layer)):
            params = self.named(layer, *param_names)
            incoming = [a for w in writes for a in self.passing(gradient[w])]
            residual = reads[-1] if name.endswith("_proj") and reads[-1] in ("h", "h2") else None
            inputs = [r for r in reads if r != residual]
            made = {r: self.act(kept[r].n_bytes // ACTIVATION_BYTES) for r in inputs if r not in gradient}
            outgoing = [a for r in inputs for a in self.passing(gradient.get(r) or made[r], True)]
            added = [a for r in inputs if r in gradient for a in self.passing(gradient[r])]
            if name == "rms_norm":
                target = gradient.get(inputs[0]) or made[inputs[0]]
                old = [p.gradient.read() for p in params] if self.accumulate else []
                yield self.program.operation(
                    "rms_norm.backward",
                    [*saved(inputs[0]), *incoming, *added, *(p.weight.read() for p in params), *old],
                    [*self.passing(target, True), *(p.gradient.write() for p in params)],
                )
            elif params and name != "attention":
                yield self.program.operation(
                    f"{name}.dgrad", [*incoming, *added, *(p.weight.read() for p in params)], outgoing
                )
                yield from self.weight_gradient(name, [*incoming, *(a for r in inputs for a in saved(r))], params)
            else:
                operands = [a for r in inputs for a in saved(r)]
                if name == "attention":
                    operands += saved("o")
                yield self.program.operation(f"{name}.backward", [*operands, *incoming, *added], outgoing)
                if params:
                    yield from self.weight_gradient(name, [], params)
            gradient |= made
            if residual is not None:
                gradient[residual] = gradient["out" if residual == "h2" else "h2"]
            for w in writes:
                done = gradient.pop(w)
                if done not in gradient.values():
                    self.program.free(done)
        self.program.free(*kept.values())
        return gradient["h"]
