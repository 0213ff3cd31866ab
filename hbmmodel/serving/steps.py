"""What a step of serving costs: replays of a few generated steps, interpolated, and how wrong that is.

Owns the grid of sampled steps, the interpolation and its error; must not know the scheduler or arrivals.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import numpy as np

from hbmmodel.checks import check_real, check_whole
from hbmmodel.sim import simulate
from hbmmodel.system import System
from hbmmodel.workload.forward import cache_shape
from hbmmodel.workload.inference import chosen_model, decode, prefill
from hbmmodel.workload.model import Attention, ModelConfig
from hbmmodel.workload.parameters import Parallel, all_parameters

__all__ = ["Bend", "HeldOut", "StepTimes", "Surface", "sample_steps"]


@dataclasses.dataclass(frozen=True, slots=True)
class Bend:
    """The part of a step's time that is not linear in its tokens, at the peak of the pins [s].

    Few tokens hit few experts, many hit all; a windowed layer reads what is cached up to its window. Between samples
    only the rest of the time is taken as linear.

    Parameters
    ----------
    experts_s, miss : float
        Time that reading all experts of a device takes, and the probability that a token misses one of them.
    window_s, window_tokens : float, int
        Time that reading one token's keys and values of all windowed layers takes, and the window.

    Source
    ------
    For the experts see `hbmmodel.workload.expected_distinct`.

    Examples
    --------
    >>> Bend(experts_s=1.0, miss=0.5).at(3, 0, 1)
    0.875
    """

    experts_s: float = 0.0
    miss: float = 1.0
    window_s: float = 0.0
    window_tokens: int = 0

    def at(self, new: int, cached: float, sequences: int) -> float:
        """Of a step with so many new tokens, tokens in caches and sequences that these belong to [s]."""
        seen = min(cached, sequences * self.window_tokens)
        return self.experts_s * (1.0 - self.miss**new) + self.window_s * seen

    @classmethod
    def of(cls, model: ModelConfig, tensor_parallel: int, peak_gb_per_s: float) -> Bend:
        """That of a model on devices with this memory."""
        a, e = model.attention, model.experts
        parallel = Parallel(tensor_parallel)
        held = sum(p.n_bytes for p in all_parameters(model, parallel) if p.name.startswith("expert_"))
        windowed = sum(1 for layer in range(model.layers) if model.window(layer))
        shape = cache_shape(model, parallel)
        return cls(
            held / peak_gb_per_s * 1e-9,
            1.0 if e is None else 1.0 - e.top_k / e.count,
            windowed * shape.parts * shape.token_bytes / peak_gb_per_s * 1e-9,
            a.window_tokens if isinstance(a, Attention) else 0,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Surface:
    """Times over (new tokens, cached tokens), linear between samples but for a bend; beyond them, those of the nearest.

    Parameters
    ----------
    new : tuple of int
        New tokens of each row of samples, rising.
    cached : tuple of tuple of int
        Cached tokens of each row's samples, rising.
    time_s : tuple of tuple of float
        Their times [s].
    bend : Bend
    one_each : bool
        Whether every new token belongs to a sequence of its own; else all to one.

    Examples
    --------
    >>> Surface((1, 3), ((0, 10), (0, 10)), ((1.0, 2.0), (3.0, 4.0))).at(2, 5)
    2.5
    """

    new: tuple[int, ...]
    cached: tuple[tuple[int, ...], ...]
    time_s: tuple[tuple[float, ...], ...]
    bend: Bend = Bend()
    one_each: bool = False

    def at(self, new: int, cached: int) -> float:
        """The time of a step [s]."""
        new = min(max(new, self.new[0]), self.new[-1])
        i = bisect_left(self.new, new)
        straight, there = self._in_row(i, cached)
        if self.new[i] != new:
            low, low_there = self._in_row(i - 1, cached)
            part = (new - self.new[i - 1]) / (self.new[i] - self.new[i - 1])
            straight, there = low + (straight - low) * part, low_there + (there - low_there) * part
        return straight + self._bent(new, there)

    def _bent(self, new: int, cached: float) -> float:
        return self.bend.at(new, cached, new if self.one_each else 1)

    def _in_row(self, row: int, cached: int) -> tuple[float, float]:
        """Time without the bend, and the cached tokens that it stands for."""
        n, x, y = self.new[row], self.cached[row], self.time_s[row]
        there = min(max(cached, x[0]), x[-1])
        i = bisect_left(x, there)
        high = y[i] - self._bent(n, x[i])
        if x[i] == there:
            return high, there
        low = y[i - 1] - self._bent(n, x[i - 1])
        return low + (high - low) * (there - x[i - 1]) / (x[i] - x[i - 1]), there


@dataclasses.dataclass(frozen=True, slots=True)
class HeldOut:
    """A step that was simulated only to see what the interpolation makes of it.

    Parameters
    ----------
    step : str
        What it is.
    simulated_s, estimated_s : float
        Its time as simulated, and as interpolated [s].
    """

    step: str
    simulated_s: float
    estimated_s: float

    @property
    def error(self) -> float:
        """Relative, positive if the estimate is too long."""
        return self.estimated_s / self.simulated_s - 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class StepTimes:
    """Times of steps of one replica; a `hbmmodel.serving.StepCost`.

    Parameters
    ----------
    decode, prefill : Surface
        Memory time of steps that only decode, and of those that take in prompts. In the second all new tokens,
        decoded ones too, count as those of prompts.
    held_out : tuple of HeldOut
        Steps between samples.
    flops_per_token, flops_per_pair : float
        Of one device, per new token and per pair of tokens of which one attends to the other.
    peak_flops_per_s : float
        Of one device; 0: computing takes no time.
    overhead_s : float
        Time between steps [s].

    Source
    ------
    Kaplan et al. (arXiv 2001.08361), section 2.1: two operations per parameter that a token uses; attention: two per
    head and element of the key for the score, two per element of the value for the sum.
    """

    decode: Surface
    prefill: Surface
    held_out: tuple[HeldOut, ...] = ()
    flops_per_token: float = 0.0
    flops_per_pair: float = 0.0
    peak_flops_per_s: float = 0.0
    overhead_s: float = 0.0

    def step_s(self, decoding: int, prompt_tokens: int, cached_tokens: int, attended: int) -> float:
        """Time of a step [s]: the longer of memory and computing, which overlap, and the overhead."""
        new = decoding + prompt_tokens
        time_s = self.prefill.at(new, cached_tokens) if prompt_tokens else self.decode.at(new, cached_tokens)
        if self.peak_flops_per_s:
            flops = self.flops_per_token * new + self.flops_per_pair * attended
            time_s = max(time_s, flops / self.peak_flops_per_s)
        return time_s + self.overhead_s

    @property
    def worst_error(self) -> float:
        """The largest relative error at a held-out step, without its sign; 0 without any."""
        return max((abs(h.error) for h in self.held_out), default=0.0)


def sample_steps(
    system: System,
    model: str | ModelConfig,
    *,
    max_batch: int = 256,
    token_budget: int = 2048,
    cached_tokens: int,
    tensor_parallel: int = 1,
    dtype: str | None = None,
    kv_dtype: str | None = None,
    page_tokens: int = 16,
    points: int = 3,
    peak_tflops: float = 0.0,
    overhead_s: float = 0.0,
    threads: int | None = None,
    told: Callable[[str], None] | None = None,
) -> StepTimes:
    """Simulate steps on a grid of new and cached tokens.

    Layers of a kind take the same time: a model of one period of layers and one of two are simulated, and the rest is
    the difference, as often as there are periods more.

    Parameters
    ----------
    system : System
        Memory of one device.
    model : str or ModelConfig
    max_batch, token_budget : int
        Most sequences, and most new tokens, of a step.
    cached_tokens : int
        Most tokens in the caches of all sequences of a step.
    tensor_parallel, dtype, kv_dtype, page_tokens
        As for `hbmmodel.workload.decode`.
    points : int
        Samples along each axis; memory time is nearly linear along both.
    peak_tflops, overhead_s : float
        See `StepTimes`; of one device, 10^12 operations per second.
    threads : int, optional
        See `simulate`.
    told : callable, optional
        Is told what is simulated next.

    Raises
    ------
    HbmArgumentError
        An argument is out of range, or a step does not fit the memory.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> small = hbm.workload.model("llama-3.1-8b").replace(layers=2, hidden=512, intermediate=1024, vocab=1024)
    >>> times = sample_steps(hbm.System(hbm.device("HBM4_8000")), small, max_batch=8, token_budget=64,
    ...                      cached_tokens=4096, points=2)
    >>> times.decode.at(1, 0) < times.decode.at(8, 4096), times.worst_error < 0.25
    (True, True)
    """
    check_whole("max_batch", max_batch, 1, 1 << 20)
    check_whole("token_budget", token_budget, 1, 1 << 24)
    check_whole("cached_tokens", cached_tokens, 1, 1 << 50)
    check_whole("points", points, 2, 64)
    peak = check_real("peak_tflops", peak_tflops, 0.0, 1e9) * 1e12
    check_real("overhead_s", overhead_s, 0.0, 1e3)
    chosen = chosen_model(model, dtype, kv_dtype)
    shared: dict[str, Any] = {"tensor_parallel": tensor_parallel, "page_tokens": page_tokens}
    a = chosen.attention
    period = a.window_every if isinstance(a, Attention) and a.window_tokens else 1
    lead = chosen.experts.dense_layers if chosen.experts is not None else 0

    def simulated(kind: str, layers: int, batch: int, tokens: int, context: int) -> float:
        cut = chosen.replace(layers=layers)
        made = (
            decode(cut, batch=batch, context=context, **shared)
            if kind == "decode"
            else prefill(cut, batch=batch, tokens=tokens, context=context, **shared)
        )
        return float(simulate(system, made, threads=threads).summary["time_ns"] or 0.0) * 1e-9

    def time_of(kind: str, batch: int, tokens: int, context: int, layers: int = chosen.layers) -> float:
        if told is not None:
            told(f"{kind} of {batch} x {tokens} tokens behind {context}")
        if layers <= lead + 2 * period:
            return simulated(kind, layers, batch, tokens, context)
        one, two = (simulated(kind, lead + k * period, batch, tokens, context) for k in (1, 2))
        return one + (two - one) / period * (layers - lead - period)

    def surface(kind: str, most: int, cached: list[int], rows: int) -> Surface:
        new = sorted({round(float(x)) for x in np.geomspace(1, most, rows)})
        x, y = [], []
        for n in new:
            contexts = sorted({c // n if kind == "decode" else c for c in cached})
            x.append(tuple(c * n if kind == "decode" else c for c in contexts))
            y.append(tuple(time_of(kind, *((n, 1) if kind == "decode" else (1, n)), c) for c in contexts))
        return Surface(tuple(new), tuple(x), tuple(y), bend, kind == "decode")

    bend = Bend.of(chosen, tensor_parallel, float(system.peak_gb_per_s))
    spread = [round(cached_tokens * (i / (points - 1)) ** 2) for i in range(points)]
    decoding = surface("decode", max_batch, spread, points)
    taking = surface("prefill", token_budget, [0, cached_tokens], points + 1)

    held: list[HeldOut] = []
    middle = cached_tokens // 2
    for n in sorted({(low + high) // 2 for low, high in zip(decoding.new, decoding.new[1:], strict=False)}):
        for c in dict.fromkeys((cached_tokens // 32 // n, middle // n)):  # caches are often nearly empty, or half full
            held.append(HeldOut(
                f"decode of {n}, {c} tokens each", time_of("decode", n, 1, c), decoding.at(n, c * n),
            ))  # fmt: skip
    for n in sorted({(low + high) // 2 for low, high in zip(taking.new, taking.new[1:], strict=False)}):
        held.append(HeldOut(
            f"prompt of {n} behind {middle}", time_of("prefill", 1, n, middle), taking.at(n, middle),
        ))  # fmt: skip
    parts = min(4, token_budget)
    n, c = token_budget // parts, middle // parts
    held.append(HeldOut(
        f"{parts} prompts of {n}, each behind {c}", time_of("prefill", parts, n, c), taking.at(parts * n, parts * c),
    ))  # fmt: skip
    deep = min(chosen.layers, lead + 4 * period)
    batch = decoding.new[-1]
    held.append(HeldOut(
        f"decode of {batch} by {deep} layers, one by one", simulated("decode", deep, batch, 1, middle // batch),
        time_of("decode", batch, 1, middle // batch, deep),
    ))  # fmt: skip
    per_head = 2 * a.head_dim if isinstance(a, Attention) else 2 * a.kv_rank + a.rope_dim
    return StepTimes(
        decoding, taking, tuple(held),
        flops_per_token=2.0 * chosen.active_parameters / tensor_parallel,
        flops_per_pair=2.0 * chosen.layers * a.heads * per_head / tensor_parallel,
        peak_flops_per_s=peak,
        overhead_s=overhead_s,
    )  # fmt: skip
