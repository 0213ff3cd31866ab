"""Forward and backward passes of training, in kernels as compilers and engines fuse them.

Owns the order of kernels, and which activations and gradients live when; must not know which kernels a layer has
(`layer_kernels`), who holds which part of a parameter (`zero`), or how it is updated (`optimizers`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from hbmmodel.trace.access import Access
from hbmmodel.trace.model import Operation
from hbmmodel.workload.forward import ACTIVATION_BYTES, TOKEN_BYTES, Kernels
from hbmmodel.workload.layer_kernels import Kernel, layer_kernels
from hbmmodel.workload.model import ModelConfig
from hbmmodel.workload.optimizers import Trained
from hbmmodel.workload.parameters import Parallel, all_parameters
from hbmmodel.workload.program import Program, Tensor
from hbmmodel.workload.zero import DataParallel

__all__ = ["Pass", "Training"]


@dataclass(slots=True)
class Pass:
    """What a forward pass leaves for its backward pass: by layer, and at the two ends."""

    layers: list[dict[str, Tensor]] = field(default_factory=list)
    ends: dict[str, Tensor] = field(default_factory=dict)


class Training:
    """The passes of one device; a kernel's operands are kept ones, which always move, and passing ones.

    Parameters
    ----------
    program, model, parallel : Program, ModelConfig, Parallel
    shared : DataParallel
    n : int
        Tokens of a pass.
    recompute, perfect : bool
        Whether layers are computed again in the backward pass, and whether passing operands stay on chip.
    seed : int
    """

    def __init__(
        self, program: Program, model: ModelConfig, parallel: Parallel, shared: DataParallel, n: int,
        *, recompute: bool, perfect: bool, seed: int,
    ) -> None:  # fmt: skip
        self.program = program
        self.model = model
        self.parallel = parallel
        self.shared = shared
        self.n = n
        self.recompute = recompute
        self.perfect = perfect
        self.rng = np.random.default_rng(seed)
        self.layers = parallel.layers(model)
        described = list(all_parameters(model, parallel))
        placed = shared.place(described)
        self.parameters = {(p.layer, p.name): made for p, made in zip(described, placed, strict=True)}
        self._by_layer: dict[int | None, list[Trained]] = {}
        for p, made in zip(described, placed, strict=True):
            self._by_layer.setdefault(p.layer, []).append(made)
        self._kernels = {layer: layer_kernels(model, parallel, layer, n) for layer in self.layers}
        self._sent: set[int] = set()  # storages that devices exchange: they pass the memory whatever is reused

    # ---- operands ----

    def passing(self, tensor: Tensor, write: bool = False) -> list[Access]:
        """An activation between neighbouring kernels."""
        if self.perfect and tensor.storage not in self._sent:
            return []
        return [tensor.write() if write else tensor.read()]

    def named(self, layer: int | None, *names: str) -> list[Trained]:
        """Those of the named parameters that a layer has."""
        return [p for name in names if (p := self.parameters.get((layer, name))) is not None]

    def act(self, elements: int, is_sent: bool = False) -> Tensor:
        """A new activation."""
        made = self.program.tensor(elements * ACTIVATION_BYTES)
        if is_sent:
            self._sent.add(made.storage)
        return made

    def free(self, *tensors: Tensor) -> None:
        """Free activations."""
        self.program.free(*tensors)
        self._sent.difference_update(t.storage for t in tensors)

    def head(self) -> list[Trained]:
        """The last norm, and the head or the table that is tied to it."""
        found = self.named(None, "final_norm", "head")
        return found if len(found) == 2 else [*found, *self.named(None, "embedding")]

    # ---- forward ----

    def forward(self) -> Generator[Operation, None, Pass]:
        """Embedding, layers, head and loss, as far as this stage of a pipeline has them."""
        left, size = Pass(), self.n * self.model.hidden
        if self.parallel.is_first:
            h = yield from self._embed(left)
        else:
            h = self.act(size, True)
            yield self.program.operation("recv", [], [h.write()])
        for layer in self.layers:
            parameters = self._by_layer[layer]
            yield from self.shared.gather(parameters)
            kept = {"h": h}
            is_sent = layer == self.layers[-1] and not self.parallel.is_last
            h = yield from self._layer_forward(layer, kept, keep=not self.recompute, is_sent=is_sent)
            if self.recompute:
                self.free(*(t for name, t in kept.items() if name != "h"))
                kept = {"h": kept["h"]}
            left.layers.append(kept)
            self.shared.drop(parameters)
        if self.parallel.is_last:
            yield from self._head_forward(h, left)
        else:
            yield self.program.operation("send", [h.read()])
            self.free(h)
        return left

    def _embed(self, left: Pass) -> Kernels:
        (table,) = embedding = self.named(None, "embedding")
        yield from self.shared.gather(embedding)
        row = self.model.hidden * ACTIVATION_BYTES
        rows = self.rng.integers(0, table.values.n_bytes // row, size=self.n) * np.int64(row)
        tokens = left.ends["tokens"] = self.program.tensor(self.n * TOKEN_BYTES)
        is_split = self.parallel.tensor > 1
        h = self.act(self.n * self.model.hidden, is_split)
        yield self.program.operation("embedding", [tokens.read(), table.values.read(row, rows=rows)], [h.write()])
        if is_split:
            yield self.program.operation("all_reduce", [h.read()], [h.write()])
        self.shared.drop(embedding)
        return h

    def _head_forward(self, h: Tensor, left: Pass) -> Iterator[Operation]:
        norm, head = parameters = self.head()
        yield from self.shared.gather(parameters)
        x = self.act(self.n * self.model.hidden)
        logits = self.act(self.n * -(-self.model.vocab // self.parallel.tensor))
        yield self.program.operation("rms_norm", [*self.passing(h), norm.values.read()], [x.write()])
        yield self.program.operation("lm_head", [*self.passing(x), head.values.read()], [logits.write()])
        yield self.program.operation("cross_entropy", [logits.read()], [])
        self.shared.drop(parameters)
        left.ends |= {"h": h, "x": x, "logits": logits}

    def _layer_forward(
        self, layer: int, kept: dict[str, Tensor], keep: bool, again: bool = False, is_sent: bool = False
    ) -> Kernels:
        """One layer; what it leaves is added to `kept`, its output is returned.

        Without `keep`, only the output is there to stay; when the layer is computed `again`, its input comes from
        memory and its output is not needed.
        """
        kernels = self._kernels[layer]
        saved = {name for kernel in kernels for name in kernel.saved}
        given = {r for kernel in kernels if kernel.is_collective for r in kernel.reads if r not in ("h", "h2")}
        for kernel in kernels:
            made = {
                w: self.act(size, kernel.is_collective or (w == "out" and is_sent))
                for w, size in kernel.writes.items()
            }
            accesses: list[Access] = []
            for r in kernel.reads:
                must_move = (r == "h" and again) or (kernel.is_collective and r in given)
                accesses += [kept[r].read()] if must_move else self.passing(kept[r])
            accesses += [p.values.read() for p in self.named(layer, *kernel.params)]
            stay = {w for w in made if w in given or (keep and w in saved) or (w == "out" and not again)}
            stored = [a for w, t in made.items() for a in ([t.write()] if w in stay else self.passing(t, True))]
            yield self.program.operation(kernel.name, accesses, stored)
            kept |= made
        out = kept.pop("out")
        self.free(*(kept.pop(name) for name in list(kept) if name not in saved))
        return out

    # ---- backward ----

    def backward(self, left: Pass, is_last: bool) -> Iterator[Operation]:
        """Loss, head, layers in reverse, embedding; `is_last` of a step, gradients are complete then."""
        size = self.n * self.model.hidden
        if self.parallel.is_last:
            dh = yield from self._head_backward(left, is_last)
        else:
            dh = self.act(size, True)
            yield self.program.operation("recv", [], [dh.write()])
        for layer in reversed(self.layers):
            parameters = self._by_layer[layer]
            yield from self.shared.gather(parameters)
            is_sent = layer == self.layers[0] and not self.parallel.is_first
            dh = yield from self._layer_backward(layer, left.layers.pop(), dh, is_sent)
            self.shared.drop(parameters)
            yield from self.shared.share(parameters, is_last)
        if self.parallel.is_first:
            tokens, embedding = left.ends["tokens"], self.named(None, "embedding")
            yield from self.weight_gradient("embedding", [tokens.read(), *self.passing(dh)], embedding)
            self.free(tokens)
            yield from self.shared.share(embedding, is_last)
        else:
            yield self.program.operation("send", [dh.read()])
        self.free(dh)
        if is_last:
            yield from self._tie()

    def _tie(self) -> Iterator[Operation]:
        """Sum the gradients of a table that the first and the last stage hold both."""
        if self.model.tied_embedding and self.parallel.pipeline > 1:
            ends = self.named(None, "embedding", "head")
            if ends:
                sums = [p.own_gradient for p in ends]
                yield self.program.operation("all_reduce", [t.read() for t in sums], [t.write() for t in sums])

    def _head_backward(self, left: Pass, is_last: bool) -> Kernels:
        logits, x, h = (left.ends[name] for name in ("logits", "x", "h"))
        norm, head = parameters = self.head()
        yield from self.shared.gather(parameters)
        d_logits = self.program.tensor(logits.n_bytes)
        yield self.program.operation("cross_entropy.backward", [logits.read()], [d_logits.write()])
        is_split = self.parallel.tensor > 1
        dx = self.act(self.n * self.model.hidden, is_split)
        reads = [d_logits.read(), head.values.read()]
        yield self.program.operation("lm_head.dgrad", reads, self.passing(dx, True))
        yield from self.weight_gradient("lm_head", [d_logits.read(), x.read()], [head])
        if is_split:
            yield self.program.operation("all_reduce", [dx.read()], [dx.write()])
        dh = self.act(self.n * self.model.hidden)
        reads = [h.read(), *self.passing(dx), norm.values.read()]
        yield from self.weight_gradient("rms_norm.backward", reads, [norm], self.passing(dh, True))
        self.free(logits, d_logits, x, dx, h)
        self.shared.drop(parameters)
        done = [p for p in parameters if p is not self.parameters.get((None, "embedding"))]  # that one is not complete
        yield from self.shared.share(done, is_last)
        return dh

    def weight_gradient(
        self, name: str, reads: Sequence[Access], params: Sequence[Trained], writes: Sequence[Access] = ()
    ) -> Iterator[Operation]:
        """Gradients of parameters: added to what is there, or written."""
        targets = [self.shared.target(p) for p in params]
        old = [tensor.read() for tensor, is_added in targets if is_added]
        name = name if name.endswith(".backward") else f"{name}.wgrad"
        yield self.program.operation(name, [*reads, *old], [*writes, *(tensor.write() for tensor, _ in targets)])

    def _layer_backward(self, layer: int, kept: dict[str, Tensor], dh: Tensor, is_sent: bool) -> Kernels:
        """Kernels of a layer in reverse; returns the gradient of the layer's input.

        Every kept activation is read once, by the kernel that needs it first; if reuse is not perfect, again by
        every other.
        """
        if self.recompute:
            out = yield from self._layer_forward(layer, kept, keep=True, again=True)
            self.free(out)
        kernels = self._kernels[layer]
        gradient: dict[str, Tensor] = {"out": dh}
        sizes = {w: size for kernel in kernels for w, size in kernel.writes.items()} | {"h": self.n * self.model.hidden}
        seen: set[str] = set()
        sent = {"h"} if is_sent else set()
        for kernel in kernels:
            sent.update(kernel.reads if kernel.summed or kernel.kind == "exchange" else ())
            sent.update(kernel.writes if kernel.kind == "exchange" else ())
        for kernel in reversed(kernels):
            inputs = [r for r in kernel.reads if r not in kernel.passed]
            made = {r: self.act(sizes[r], r in sent) for r in inputs if r not in gradient}
            self._sent.update(gradient[r].storage for r in inputs if r in sent and r in gradient)
            yield from self._kernel_backward(layer, kernel, inputs, kept, gradient, made, seen)
            gradient |= made
            if kernel.passed:
                (result,) = kernel.writes
                gradient |= dict.fromkeys(kernel.passed, gradient[result])
            for w in kernel.writes:
                done = gradient.pop(w)
                if done not in gradient.values():
                    self.free(done)
        self.free(*kept.values())
        return gradient["h"]

    def _kernel_backward(
        self, layer: int, kernel: Kernel, inputs: Sequence[str], kept: dict[str, Tensor],
        gradient: dict[str, Tensor], made: dict[str, Tensor], seen: set[str],
    ) -> Iterator[Operation]:  # fmt: skip
        """What one kernel of the forward pass is in the backward pass."""
        operation = self.program.operation
        params = self.named(layer, *kernel.params)
        incoming = [a for w in kernel.writes for a in self.passing(gradient[w])]
        outgoing = [a for r in inputs for a in self.passing(gradient.get(r) or made[r], True)]
        added = [a for r in inputs if r in gradient for a in self.passing(gradient[r])]
        saved = [kept[r].read() for r in kernel.saved if not (self.perfect and r in seen)]
        seen.update(kernel.saved)
        weights = [p.values.read() for p in params]
        if kernel.kind == "sum":
            return
        if kernel.kind == "norm":
            reads = [*saved, *incoming, *added, *weights]
            yield from self.weight_gradient("rms_norm.backward", reads, params, outgoing)
        elif kernel.kind == "linear":
            yield operation(f"{kernel.name}.dgrad", [*incoming, *added, *weights], outgoing)
            yield from self.weight_gradient(kernel.name, [*incoming, *saved], params)
        else:
            name = kernel.name if kernel.kind == "exchange" else f"{kernel.name}.backward"
            yield operation(name, [*saved, *incoming, *added], outgoing)
            if params:
                yield from self.weight_gradient(kernel.name, [], params)
        if kernel.summed:
            sums = [gradient.get(r) or made[r] for r in inputs]
            yield operation("all_reduce", [t.read() for t in sums], [t.write() for t in sums])
