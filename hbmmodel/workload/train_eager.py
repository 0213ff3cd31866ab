"""One training step as eager PyTorch runs Hugging Face's Llama: every operator by itself.

Owns that list of operators and how long their results live; must not know why anyone runs them unfused. It is there to
be compared with captures, and to show what fusion saves.

Source: transformers 5.23, ``models/llama/modeling_llama.py`` and ``masking_utils.py``, recorded with PyTorch 2.13;
operators, bytes and lifetimes are those of a captured step of Llama-3.1-8B.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np

from hbmmodel.trace.access import Access
from hbmmodel.trace.model import Operation
from hbmmodel.workload.forward import ACTIVATION_BYTES, TOKEN_BYTES, Kernels
from hbmmodel.workload.model import Attention, ModelConfig
from hbmmodel.workload.optimizers import Trained
from hbmmodel.workload.parameters import Parallel, all_parameters
from hbmmodel.workload.program import Program, Tensor
from hbmmodel.workload.training import Pass
from hbmmodel.workload.zero import DataParallel

__all__ = ["EagerTraining"]

FP32 = 4  # bytes
INT64 = TOKEN_BYTES


class EagerTraining:
    """The passes of one device, unfused; everything bf16, norms, angles and losses fp32.

    Parameters
    ----------
    program, model : Program, ModelConfig
    shared : DataParallel
        Of one device.
    batch, tokens : int
        Sequences, and tokens of each.
    seed : int
    """

    def __init__(
        self, program: Program, model: ModelConfig, shared: DataParallel, batch: int, tokens: int, seed: int
    ) -> None:
        assert isinstance(model.attention, Attention)
        self.program = program
        self.model = model
        self.heads = model.attention
        self.batch, self.tokens, self.n = batch, tokens, batch * tokens
        self.rng = np.random.default_rng(seed)
        described = list(all_parameters(model, Parallel()))
        placed = shared.place(described)
        self.parameters = {(p.layer, p.name): made for p, made in zip(described, placed, strict=True)}
        self.free = program.free

    def _op(self, name: str, reads: list[Access], n_bytes: int) -> Kernels:
        """An operator with one new result."""
        result = self.program.tensor(n_bytes)
        yield self.program.operation(f"aten.{name}", reads, [result.write()])
        return result

    def _map(self, name: str, *inputs: Tensor) -> Kernels:
        """An operator whose result is as large as its first input."""
        return (yield from self._op(name, [t.read() for t in inputs], inputs[0].n_bytes))

    def _of(self, layer: int | None, name: str) -> Trained:
        return self.parameters[layer, name]

    def _mm(self, x: Tensor, p: Trained, width: int) -> Kernels:
        """Tokens by weights: `width` elements per token."""
        return (yield from self._op("mm", [x.read(), p.weight.read()], self.n * width * ACTIVATION_BYTES))

    def _gradient(self, name: str, p: Trained, *inputs: Tensor) -> Iterator[Operation]:
        yield self.program.operation(f"aten.{name}", [t.read() for t in inputs], [p.gradient.write()])

    # ---- forward ----

    def forward(self) -> Generator[Operation, None, Pass]:
        """All operators up to the loss."""
        n, hidden, left = self.n, self.model.hidden, Pass()
        table = self._of(None, "embedding").weight
        row = hidden * ACTIVATION_BYTES
        rows = self.rng.integers(0, table.n_bytes // row, size=n) * np.int64(row)
        tokens = self.program.tensor(n * INT64)
        h = embedded = yield from self._op("embedding", [tokens.read(), table.read(row, rows=rows)], n * row)
        positions, mask = yield from self._mask()
        cos, sin = yield from self._angles(positions)
        left.ends = {"tokens": tokens, "cos": cos, "sin": sin}
        for layer in range(self.model.layers):
            saved: dict[str, Tensor] = {}
            after = yield from self._attention(layer, h, mask, cos, sin, saved)
            out = yield from self._feed_forward(layer, after, saved)
            self.free(after, *(() if h is embedded else (h,)))
            h = out
            left.layers.append(saved)
        yield from self._norm(None, "final_norm", h, left.ends, "")
        self.free(embedded, positions, mask, h)
        vocab = self.model.vocab
        logits = yield from self._mm(left.ends["x"], self._head(), vocab)
        wide = yield from self._op("_to_copy", [logits.read()], n * vocab * FP32)
        padded = self.batch * (self.tokens + 1) * INT64
        labels = yield from self._op("constant_pad_nd", [tokens.read()], padded)
        if self.batch > 1:  # shifted by one, the rows of a batch are no longer one piece
            pieces = labels.read(self.tokens * INT64, INT64, ((self.batch, (self.tokens + 1) * INT64),))
            shifted = yield from self._op("clone", [pieces], n * INT64)
            self.free(labels)
            labels = shifted
        scores = yield from self._map("_log_softmax", wide)
        loss, total = self.program.tensor(FP32), self.program.tensor(FP32)
        reads = [scores.read(), labels.read(n * INT64)]
        yield self.program.operation("aten.nll_loss_forward", reads, [loss.write(), total.write()])
        self.free(logits, wide)
        left.ends |= {"labels": labels, "scores": scores, "loss": loss, "total": total}
        return left

    def _head(self) -> Trained:
        return self.parameters.get((None, "head")) or self._of(None, "embedding")

    def _mask(self) -> Generator[Operation, None, tuple[Tensor, Tensor]]:
        """Positions, and which token may attend to which: causal, one byte per pair."""
        op, s, b = self._op, self.tokens, self.batch
        line = s * INT64
        first = yield from op("arange", [], line)
        positions = yield from self._map("add", first)
        self.free(first)
        start = yield from op("sub", [positions.read(INT64)], b * INT64)
        longer = yield from op("cat", [start.read(), positions.read()], b * (line + INT64))
        every = ((b, line + INT64),)
        steps = yield from op("sub", [longer.read(line, 0, every), longer.read(line, INT64, every)], b * line)
        self.free(longer)
        breaks = yield from op("ne", [steps.read()], b * s)
        sequences = yield from op("cumsum", [breaks.read()], b * line)
        self.free(start, steps, breaks)
        which = yield from op("arange", [], b * INT64)
        head = yield from op("arange", [], INT64)
        sides = []
        for _ in range(2):
            raw = yield from op("arange", [], line)
            sides.append((yield from self._map("add", raw)))
            self.free(raw)
        one = yield from op("new_ones", [], 1)
        pairs = b * s * s

        def both(of: Tensor) -> Generator[Operation, None, tuple[Tensor, Tensor]]:
            found = []
            each = np.arange(b, dtype=np.int64) * (line if of.n_bytes > line else 0)  # positions are all sequences'
            for side in sides:
                reads = [of.read(line, rows=each), which.read(), side.read()]
                found.append((yield from op("index", reads, b * line)))
            return found[0], found[1]

        rows, columns = yield from both(sequences)
        equal = yield from op("eq", [rows.read(), columns.read()], pairs)
        self.free(rows, columns)
        same = yield from op("bitwise_and", [one.read(), equal.read()], pairs)
        self.free(one, equal)
        rows, columns = yield from both(positions)
        before = yield from op("le", [columns.read(), rows.read()], pairs)
        self.free(rows, columns)
        mask = yield from self._map("bitwise_and", same, before)
        self.free(same, before, sequences, which, head, *sides)
        return positions, mask

    def _angles(self, positions: Tensor) -> Generator[Operation, None, tuple[Tensor, Tensor]]:
        """Cosines and sines of the positions, in fp32, then in bf16."""
        half = self.heads.head_dim // 2
        frequencies = self.program.tensor(half * FP32)
        as_float = yield from self._op("_to_copy", [positions.read()], self.tokens * FP32)
        product = yield from self._op("mul", [as_float.read(), frequencies.read()], self.tokens * half * FP32)
        self.free(as_float)
        angles = yield from self._op("cat", [product.read()], 2 * product.n_bytes)
        scaled = []
        for function in ("cos", "sin"):
            raw = yield from self._map(function, angles)
            scaled.append((yield from self._map("mul", raw)))
            self.free(raw)
        made = []
        for values in scaled:
            made.append((yield from self._op("_to_copy", [values.read()], values.n_bytes // 2)))
        self.free(product, angles, *scaled, frequencies)
        return made[0], made[1]

    def _norm(
        self, layer: int | None, name: str, h: Tensor, saved: dict[str, Tensor], prefix: str
    ) -> Iterator[Operation]:
        """RMS norm in fp32; the result is saved as ``x``."""
        rows = self.n * FP32
        wide = yield from self._op("_to_copy", [h.read()], h.n_bytes * 2)
        square = yield from self._map("pow", wide)
        mean = yield from self._op("mean", [square.read()], rows)
        self.free(square)
        shifted = yield from self._map("add", mean)
        root = yield from self._map("rsqrt", shifted)
        self.free(shifted)
        scaled = yield from self._map("mul", wide, root)
        narrow = yield from self._op("_to_copy", [scaled.read()], h.n_bytes)
        x = yield from self._map("mul", narrow, self._of(layer, name).weight)
        self.free(mean, scaled)
        saved |= {f"{prefix}wide": wide, f"{prefix}root": root, f"{prefix}narrow": narrow, f"{prefix}x": x}

    def _rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Kernels:
        plain = yield from self._map("mul", x, cos)
        negated = yield from self._op("neg", [self._half(x)], x.n_bytes // 2)
        turned = yield from self._op("cat", [negated.read(), self._half(x)], x.n_bytes)
        self.free(negated)
        crossed = yield from self._map("mul", turned, sin)
        self.free(turned)
        rotated = yield from self._map("add", plain, crossed)
        self.free(plain, crossed)
        return rotated

    def _half(self, x: Tensor) -> Access:
        """Half of every head."""
        head = self.heads.head_dim * ACTIVATION_BYTES
        return x.read(head // 2, 0, ((x.n_bytes // head, head),))

    def _attention(
        self, layer: int, h: Tensor, mask: Tensor, cos: Tensor, sin: Tensor, saved: dict[str, Tensor]
    ) -> Kernels:
        a, n = self.heads, self.n
        yield from self._norm(layer, "input_norm", h, saved, "a_")
        x = saved["a_x"]
        q = yield from self._mm(x, self._of(layer, "q_proj"), a.heads * a.head_dim)
        k = yield from self._mm(x, self._of(layer, "k_proj"), a.kv_heads * a.head_dim)
        v = yield from self._mm(x, self._of(layer, "v_proj"), a.kv_heads * a.head_dim)
        q_turned = yield from self._rotate(q, cos, sin)
        k_turned = yield from self._rotate(k, cos, sin)
        self.free(q, k)
        repeated = [k_turned, v]
        if a.heads > a.kv_heads:  # every head gets keys and values of its own
            repeated = []
            for t in (k_turned, v):
                repeated.append((yield from self._op("clone", [t.read()], q_turned.n_bytes)))
        low = yield from self._op("scalar_tensor", [], 2)
        zero = yield from self._op("scalar_tensor", [], 2)
        bias = yield from self._op("where", [mask.read(), zero.read(), low.read()], 2 * mask.n_bytes)
        self.free(low, zero)
        o, exponents = self.program.tensor(q_turned.n_bytes), self.program.tensor(n * a.heads * FP32)
        attended = {"q": q_turned, "k": repeated[0], "v": repeated[1], "bias": bias}
        name = "aten._scaled_dot_product_flash_attention"
        yield self.program.operation(name, [t.read() for t in attended.values()], [o.write(), exponents.write()])
        projected = yield from self._mm(o, self._of(layer, "o_proj"), self.model.hidden)
        if a.heads > a.kv_heads:
            self.free(v, k_turned)
        after = yield from self._map("add", h, projected)
        self.free(projected)
        saved |= attended | {"o": o, "exponents": exponents}
        return after

    def _feed_forward(self, layer: int, h: Tensor, saved: dict[str, Tensor]) -> Kernels:
        width = self.model.intermediate
        yield from self._norm(layer, "post_norm", h, saved, "f_")
        x = saved["f_x"]
        gate = yield from self._mm(x, self._of(layer, "gate_proj"), width)
        gated = yield from self._map("silu", gate)
        up = yield from self._mm(x, self._of(layer, "up_proj"), width)
        product = yield from self._map("mul", gated, up)
        down = yield from self._mm(product, self._of(layer, "down_proj"), self.model.hidden)
        out = yield from self._map("add", h, down)
        self.free(down)
        saved |= {"gate": gate, "gated": gated, "up": up, "product": product}
        return out

    # ---- backward ----

    def backward(self, left: Pass, is_last: bool) -> Iterator[Operation]:
        """All operators from the loss to the gradient of the embedding table."""
        ends = left.ends
        dh = yield from self._head_backward(ends)
        for layer in reversed(range(self.model.layers)):
            saved = left.layers.pop()
            dh = yield from self._feed_forward_backward(layer, dh, saved)
            dh = yield from self._attention_backward(layer, dh, saved, ends["cos"], ends["sin"])
        table = self._of(None, "embedding")
        if self._head() is table:  # its gradient as a head is there: this one is made, then added
            reads = [dh.read(), ends["tokens"].read()]
            own = yield from self._op("embedding_dense_backward", reads, table.weight.n_bytes)
            yield from self._gradient("add_", table, table.gradient, own)
            self.free(own)
        else:
            yield from self._gradient("embedding_dense_backward", table, dh, ends["tokens"])
        self.free(dh, *(ends[name] for name in ("tokens", "cos", "sin", "loss", "one")))

    def _head_backward(self, ends: dict[str, Tensor]) -> Kernels:
        n, scores = self.n, ends["scores"]
        one = ends["one"] = yield from self._op("ones_like", [], FP32)
        reads = [one.read(), scores.read(), ends["labels"].read(n * INT64), ends["total"].read()]
        d_scores = yield from self._op("nll_loss_backward", reads, scores.n_bytes)
        self.free(ends["labels"], ends["total"])
        d_wide = yield from self._map("_log_softmax_backward_data", d_scores, scores)
        self.free(scores, d_scores)
        d_logits = yield from self._op("_to_copy", [d_wide.read()], d_wide.n_bytes // 2)
        self.free(d_wide)
        yield from self._gradient("mm", self._head(), d_logits, ends["x"])
        dx = yield from self._mm(d_logits, self._head(), self.model.hidden)
        self.free(ends["x"], d_logits)
        return (yield from self._norm_backward(None, "final_norm", dx, ends, ""))

    def _norm_backward(
        self, layer: int | None, name: str, d: Tensor, saved: dict[str, Tensor], prefix: str
    ) -> Kernels:
        p, rows = self._of(layer, name), self.n * FP32
        wide, root, narrow = (saved[prefix + part] for part in ("wide", "root", "narrow"))
        scaled = yield from self._map("mul", d, p.weight)
        parts = yield from self._map("mul", d, narrow)
        yield from self._gradient("sum", p, parts)
        self.free(parts, narrow, d)
        incoming = yield from self._op("_to_copy", [scaled.read()], wide.n_bytes)
        self.free(scaled)
        by_row = yield from self._map("mul", incoming, wide)
        direct = yield from self._map("mul", incoming, root)
        sums = yield from self._op("sum", [by_row.read()], rows)
        self.free(incoming, by_row)
        power = yield from self._map("pow", root)
        halved = yield from self._map("mul", sums)
        slope = yield from self._map("mul", halved, power)
        self.free(root, sums, power, halved)
        spread = yield from self._op("div", [slope.read()], wide.n_bytes)
        self.free(slope)
        again = yield from self._map("pow", wide)
        doubled = yield from self._map("mul", again)
        through = yield from self._map("mul", spread, doubled)
        self.free(wide, spread, again, doubled)
        both = yield from self._map("add", direct, through)
        self.free(direct, through)
        result = yield from self._op("_to_copy", [both.read()], d.n_bytes)
        self.free(both)
        return result

    def _add(self, a: Tensor, b: Tensor) -> Kernels:
        result = yield from self._map("add", a, b)
        self.free(a, b)
        return result

    def _feed_forward_backward(self, layer: int, dh: Tensor, saved: dict[str, Tensor]) -> Kernels:
        width, hidden, x = self.model.intermediate, self.model.hidden, saved["f_x"]
        down, up, gate = (self._of(layer, f"{name}_proj") for name in ("down", "up", "gate"))
        yield from self._gradient("mm", down, dh, saved["product"])
        d_product = yield from self._mm(dh, down, width)
        self.free(saved["product"])
        d_up = yield from self._map("mul", d_product, saved["gated"])
        d_gated = yield from self._map("mul", d_product, saved["up"])
        self.free(saved["gated"], saved["up"], d_product)
        yield from self._gradient("mm", up, d_up, x)
        by_up = yield from self._mm(d_up, up, hidden)
        self.free(d_up)
        d_gate = yield from self._map("silu_backward", d_gated, saved["gate"])
        self.free(saved["gate"], d_gated)
        yield from self._gradient("mm", gate, d_gate, x)
        by_gate = yield from self._mm(d_gate, gate, hidden)
        self.free(x, d_gate)
        dx = yield from self._add(by_up, by_gate)
        normed = yield from self._norm_backward(layer, "post_norm", dx, saved, "f_")
        return (yield from self._add(dh, normed))

    def _rotate_backward(self, d: Tensor, cos: Tensor, sin: Tensor) -> Kernels:
        crossed = yield from self._map("mul", d, sin)
        negated = yield from self._op("neg", [self._half(crossed)], d.n_bytes // 2)
        left = yield from self._op("slice_backward", [negated.read()], d.n_bytes)
        self.free(negated)
        right = yield from self._op("slice_backward", [self._half(crossed)], d.n_bytes)
        self.free(crossed)
        turned = yield from self._add(left, right)
        plain = yield from self._map("mul", d, cos)
        self.free(d)
        return (yield from self._add(turned, plain))

    def _attention_backward(
        self, layer: int, dh: Tensor, saved: dict[str, Tensor], cos: Tensor, sin: Tensor
    ) -> Kernels:
        a, hidden, x = self.heads, self.model.hidden, saved["a_x"]
        kv_bytes = self.n * a.kv_heads * a.head_dim * ACTIVATION_BYTES
        o_proj = self._of(layer, "o_proj")
        yield from self._gradient("mm", o_proj, dh, saved["o"])
        d_o = yield from self._mm(dh, o_proj, a.heads * a.head_dim)
        attended = [saved[name] for name in ("q", "k", "v", "o", "exponents", "bias")]
        dq, dk, dv = (self.program.tensor(saved["q"].n_bytes) for _ in range(3))
        name = "aten._scaled_dot_product_flash_attention_backward"
        reads = [d_o.read(), *(t.read() for t in attended)]
        yield self.program.operation(name, reads, [dq.write(), dk.write(), dv.write()])
        self.free(d_o, *attended)
        if a.heads > a.kv_heads:
            wide_v, wide_k = dv, dk
            dv = yield from self._op("sum", [wide_v.read()], kv_bytes)
            self.free(wide_v)
            dk = yield from self._op("sum", [wide_k.read()], kv_bytes)
            self.free(wide_k)
        dk = yield from self._rotate_backward(dk, cos, sin)
        dq = yield from self._rotate_backward(dq, cos, sin)
        dx: Tensor | None = None
        for name, d in (("v_proj", dv), ("k_proj", dk), ("q_proj", dq)):
            dense = yield from self._map("clone", d)
            self.free(d)
            p = self._of(layer, name)
            yield from self._gradient("mm", p, dense, x)
            part = yield from self._mm(dense, p, hidden)
            self.free(dense, *((x,) if name == "q_proj" else ()))
            dx = part if dx is None else (yield from self._add(dx, part))
        assert dx is not None
        normed = yield from self._norm_backward(layer, "input_norm", dx, saved, "a_")
        return (yield from self._add(dh, normed))
