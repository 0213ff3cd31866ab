"""One decode step as eager PyTorch runs Hugging Face's Llama: every operator by itself.

Owns that list of operators; must not know why anyone runs them unfused. It is there to be compared with captures, and
to show what fusion saves.

Source: transformers 5.23, ``models/llama/modeling_llama.py``, recorded with PyTorch 2.13; the operators and their
bytes are those of the capture ``llama31_8b_decode_b1_ctx8192`` (`hbmmodel.demo_capture`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.access import Access
from hbmmodel.trace.model import Operation
from hbmmodel.workload.forward import Forward, Kernels
from hbmmodel.workload.model import Attention, ModelConfig
from hbmmodel.workload.parameters import Parallel
from hbmmodel.workload.program import Tensor

__all__ = ["EagerForward"]

FP32 = 2  # in units of a bf16 activation


class EagerForward(Forward):
    """Passes over one new token per sequence, unfused."""

    @staticmethod
    def check(model: ModelConfig, parallel: Parallel) -> None:
        """Refuse what this list of operators is not."""
        a = model.attention
        plain = isinstance(a, Attention) and not (
            a.qkv_bias or a.output_bias or a.qk_norm or a.sinks or a.window_tokens
        )
        if not plain or model.experts is not None or parallel != Parallel():
            raise HbmArgumentError(
                f"fusion is 'eager', but {model.name} is no plain Llama on one device; use fusion='fused'"
            )

    def run(self, context: int, new: int, logits: int) -> Iterator[Operation]:
        """All operators of one step; see `Forward.run`."""
        n = self.batch
        h, operation = self.embed(n)
        yield operation
        cos, sin = yield from self._angles(n)
        for layer in self.parallel.layers(self.model):
            h = yield from self._attention(layer, h, context, cos, sin)
            h = yield from self._feed_forward(layer, h, n)
            self.drop(h, cos, sin)
        x = yield from self._norm(None, "final_norm", h, n)
        yield from self._mm(x, None, "embedding" if self.model.tied_embedding else "head", n * self.model.vocab)
        self.drop()

    def _op(self, name: str, reads: list[Access], size: int) -> Kernels:
        """An operator with one new result of so many bf16 elements."""
        result = self.act(size)
        yield self.program.operation(f"aten.{name}", reads, [result.write()])
        return result

    def _mm(self, x: Tensor, layer: int | None, name: str, size: int) -> Kernels:
        return (yield from self._op("mm", [x.read(), *self.weights.read(layer, name)], size))

    def _angles(self, n: int) -> Generator[Operation, None, tuple[Tensor, Tensor]]:
        """Cosines and sines of the positions, in fp32, then in bf16."""
        assert isinstance(self.model.attention, Attention)
        half = n * self.model.attention.head_dim // 2
        position = self.act(4 * n)  # int64
        frequencies = self.act(self.model.attention.head_dim // 2 * FP32)
        as_float = yield from self._op("_to_copy", [position.read()], n * FP32)
        product = yield from self._op("mul", [as_float.read(), frequencies.read()], half * FP32)
        angles = yield from self._op("cat", [product.read()], 2 * half * FP32)
        scaled = []
        for function in ("cos", "sin"):
            raw = yield from self._op(function, [angles.read()], 2 * half * FP32)
            scaled.append((yield from self._op("mul", [raw.read()], 2 * half * FP32)))
        made = []
        for values in scaled:
            made.append((yield from self._op("_to_copy", [values.read()], 2 * half)))
        return made[0], made[1]

    def _norm(self, layer: int | None, name: str, h: Tensor, n: int) -> Kernels:
        size = n * self.model.hidden
        wide = yield from self._op("_to_copy", [h.read()], size * FP32)
        square = yield from self._op("pow", [wide.read()], size * FP32)
        mean = yield from self._op("mean", [square.read()], n * FP32)
        shifted = yield from self._op("add", [mean.read()], n * FP32)
        root = yield from self._op("rsqrt", [shifted.read()], n * FP32)
        scaled = yield from self._op("mul", [wide.read(), root.read()], size * FP32)
        narrow = yield from self._op("_to_copy", [scaled.read()], size)
        return (yield from self._op("mul", [*self.weights.read(layer, name), narrow.read()], size))

    def _rotate(self, x: Tensor, size: int, cos: Tensor, sin: Tensor) -> Kernels:
        assert isinstance(self.model.attention, Attention)
        head = self.model.attention.head_dim * 2  # bytes
        halves = ((x.n_bytes // head, head),)
        plain = yield from self._op("mul", [x.read(), cos.read()], size)
        negated = yield from self._op("neg", [x.read(head // 2, head // 2, halves)], size // 2)
        turned = yield from self._op("cat", [negated.read(), x.read(head // 2, 0, halves)], size)
        crossed = yield from self._op("mul", [turned.read(), sin.read()], size)
        return (yield from self._op("add", [plain.read(), crossed.read()], size))

    def _attention(self, layer: int, h: Tensor, context: int, cos: Tensor, sin: Tensor) -> Kernels:
        a, n = self.model.attention, self.batch
        assert isinstance(a, Attention)
        size, kv_size = n * a.heads * a.head_dim, n * a.kv_heads * a.head_dim
        x = yield from self._norm(layer, "input_norm", h, n)
        q = yield from self._mm(x, layer, "q_proj", size)
        k = yield from self._mm(x, layer, "k_proj", kv_size)
        v = yield from self._mm(x, layer, "v_proj", kv_size)
        q = yield from self._rotate(q, size, cos, sin)
        k = yield from self._rotate(k, kv_size, cos, sin)
        cache = self.caches[layer]
        for part, new in enumerate((k, v)):
            reads, writes = cache.store(part, context, context + 1)
            yield self.program.operation("aten.cat" if reads else "aten.copy_", [*reads, new.read()], writes)
        cache.settle()
        o, exponents = self.act(size), self.act(n * a.heads * FP32)
        reads = [q.read(), *cache.read(0, context + 1)]
        yield self.program.operation("aten._scaled_dot_product_flash_attention", reads, [o.write(), exponents.write()])
        projected = yield from self._mm(o, layer, "o_proj", n * self.model.hidden)
        return (yield from self._op("add", [h.read(), projected.read()], n * self.model.hidden))

    def _feed_forward(self, layer: int, h: Tensor, n: int) -> Kernels:
        width = n * self.model.intermediate
        x = yield from self._norm(layer, "post_norm", h, n)
        gate = yield from self._mm(x, layer, "gate_proj", width)
        gated = yield from self._op("silu", [gate.read()], width)
        up = yield from self._mm(x, layer, "up_proj", width)
        product = yield from self._op("mul", [gated.read(), up.read()], width)
        down = yield from self._mm(product, layer, "down_proj", n * self.model.hidden)
        return (yield from self._op("add", [h.read(), down.read()], n * self.model.hidden))
