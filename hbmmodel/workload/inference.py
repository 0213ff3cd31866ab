"""Inference: decoding, prefill and speculative decoding of a transformer as traces of operations.

Owns the arguments of these generators and what is told about their runs; must not know kernels (`forward`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hbmmodel.checks import check_choice, check_real, check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.expand import ROWS_MAX
from hbmmodel.trace.model import Operation
from hbmmodel.workload.configs import model as find_model
from hbmmodel.workload.eager import EagerForward
from hbmmodel.workload.forward import Forward, Weights, cache_shape
from hbmmodel.workload.kvcache import LAYOUTS, CacheMaker
from hbmmodel.workload.model import ModelConfig
from hbmmodel.workload.parameters import Parallel, all_parameters
from hbmmodel.workload.program import GeneratedTrace, Program

__all__ = ["decode", "prefill", "speculative"]

FUSIONS = ("fused", "eager")


def chosen_model(model: str | ModelConfig, dtype: str | None, kv_dtype: str | None) -> ModelConfig:
    """The model, with the number formats asked for in place of its own; a `dtype` holds for experts too."""
    found = find_model(model)
    if dtype is not None:
        experts = found.experts and dataclasses.replace(found.experts, dtype=None)
        found = found.replace(dtype=dtype, experts=experts)
    return found if kv_dtype is None else found.replace(kv_dtype=kv_dtype)


@dataclasses.dataclass(frozen=True)
class _Options:
    """What passes have in common."""

    model: ModelConfig
    parallel: Parallel
    batch: int
    kv: str
    page_tokens: int
    fusion: str
    skew: float
    seed: int

    def __post_init__(self) -> None:
        check_whole("batch", self.batch, 1, 1 << 20)
        check_choice("kv", self.kv, LAYOUTS)
        check_whole("page_tokens", self.page_tokens, 1, 1 << 16)
        check_choice("fusion", self.fusion, FUSIONS)
        check_real("skew", self.skew, 0.0, 16.0)
        check_whole("seed", self.seed, 0, (1 << 63) - 1)
        self.parallel.check(self.model)
        if self.fusion == "eager":
            EagerForward.check(self.model, self.parallel)

    def forward(self, program: Program, held: int, tokens: int, new: int) -> Forward:
        """The model in memory with its caches; `held` tokens of every sequence are there, `tokens` in the end."""
        rng = np.random.default_rng(self.seed)
        weights = Weights(program, self.model, self.parallel)
        shape = cache_shape(self.model, self.parallel)
        maker = CacheMaker(self.kv, program, shape, self.batch, self.page_tokens, rng)
        caches = {
            layer: maker.make(held, tokens, new, self.model.window(layer)) for layer in self.parallel.layers(self.model)
        }
        kind = EagerForward if self.fusion == "eager" else Forward
        return kind(program, self.model, self.parallel, weights, caches, self.batch, self.skew, rng)

    def facts(self) -> dict[str, Any]:
        """What is told about the model and its place."""
        share = len(self.parallel.layers(self.model))
        shape = cache_shape(self.model, self.parallel)
        return {
            "model": self.model.name,
            "parameters": self.model.parameters,
            "active_parameters": self.model.active_parameters,
            "batch": self.batch,
            "devices_alike": self.parallel.alike,
            "pipeline_stages": self.parallel.pipeline,
            "weight_bytes": sum(p.n_bytes for p in all_parameters(self.model, self.parallel)),
            "kv_bytes_per_token": share * shape.parts * shape.token_bytes,
        }


def _options(
    model: str | ModelConfig,
    dtype: str | None,
    kv_dtype: str | None,
    tensor_parallel: int,
    expert_parallel: int,
    pipeline_parallel: int,
    pipeline_stage: int,
    **rest: Any,
) -> _Options:
    parallel = Parallel(tensor_parallel, expert_parallel, pipeline_parallel, pipeline_stage)
    return _Options(chosen_model(model, dtype, kv_dtype), parallel, **rest)


def _check_sizes(o: _Options, tokens: int, new: int) -> None:
    """Refuse what would fill the memory of this machine with row numbers."""
    if o.batch * new > ROWS_MAX:
        raise HbmArgumentError(f"{o.batch} sequences with {new} new tokens each; at most {ROWS_MAX} come at once")
    if o.kv == "paged" and o.batch * -(-tokens // o.page_tokens) > ROWS_MAX:
        raise HbmArgumentError(
            f"{o.batch} sequences of {tokens} tokens in pages of {o.page_tokens}; at most {ROWS_MAX} pages can be "
            "listed: raise page_tokens, or use kv='static'"
        )


def _trace(
    kind: str,
    options: _Options,
    own: dict[str, Any],
    facts: dict[str, Any],
    make: Callable[[Program], Iterator[Operation]],
    **identity: Any,
) -> GeneratedTrace:
    arguments = {"kind": kind, **dataclasses.asdict(options), **own, **identity}
    p = options.parallel
    split = {"tensor_parallel": p.tensor, "expert_parallel": p.expert, "pipeline_parallel": p.pipeline}
    shown = own | {name: n for name, n in split.items() if n > 1}
    label = ",".join([f"model={options.model.name}", f"batch={options.batch}", *(f"{k}={v}" for k, v in shown.items())])
    return GeneratedTrace(f"workload:{kind},{label}", arguments, {"kind": kind, **options.facts(), **facts}, make)


def decode(
    model: str | ModelConfig,
    *,
    batch: int = 1,
    context: int = 8192,
    steps: int = 1,
    tensor_parallel: int = 1,
    expert_parallel: int = 1,
    pipeline_parallel: int = 1,
    pipeline_stage: int = 0,
    dtype: str | None = None,
    kv_dtype: str | None = None,
    kv: str = "paged",
    page_tokens: int = 16,
    fusion: str = "fused",
    skew: float = 0.0,
    seed: int = 0,
) -> GeneratedTrace:
    """Decode one token, or several, of every sequence of a batch.

    Parameters
    ----------
    model : str or ModelConfig
        One of `models`, the path of a model file, or a model.
    batch : int
        Sequences that this device's attention serves.
    context : int
        Tokens of each of them that are in the cache before the first step.
    steps : int
        Tokens that are decoded of each.
    tensor_parallel, expert_parallel, pipeline_parallel, pipeline_stage : int
        See `Parallel`. The trace is that of one device.
    dtype, kv_dtype : str, optional
        Number formats of weights and cache; None: the model's.
    kv : {"paged", "static", "cat"}
        Layout of the cache: pages of a pool, a reserved rectangle, or a tensor copied at every step.
    page_tokens : int
        Tokens of a page.
    fusion : {"fused", "eager"}
        Kernels as serving engines fuse them, or every operator by itself as eager PyTorch runs Hugging Face's Llama.
    skew : float
        Unevenness of expert routing, see `route`; 0: uniform. A layer's popular experts stay the same over all steps.
    seed : int
        Of tokens, experts and the order of pages.

    Returns
    -------
    OpTrace
        Phases ``decode``, or ``decode0``, ``decode1``, ... of several steps.

    Raises
    ------
    HbmArgumentError
        An argument is out of range, or does not fit the model.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> small = hbm.workload.model("llama-3.1-8b").replace(layers=1)
    >>> trace = hbm.workload.decode(small, context=8192)
    >>> [op.name for op in trace.operations()][1:7]
    ['rms_norm', 'qkv_proj', 'rope_and_cache', 'attention', 'o_proj', 'rms_norm']
    >>> sum(a.n_bytes for op in trace.operations() for a in op.accesses if a.tensor_class == "kv" and not a.is_write)
    33558528
    """
    o = _options(
        model, dtype, kv_dtype, tensor_parallel, expert_parallel, pipeline_parallel, pipeline_stage,
        batch=batch, kv=kv, page_tokens=page_tokens, fusion=fusion, skew=skew, seed=seed,
    )  # fmt: skip
    check_whole("context", context, 0, 1 << 40)
    check_whole("steps", steps, 1, 1 << 20)
    _check_sizes(o, context + steps, 1)

    def make(program: Program) -> Iterator[Operation]:
        forward = o.forward(program, context, context + steps, 1)
        for step in range(steps):
            program.phase = "decode" if steps == 1 else f"decode{step}"
            yield from forward.run(context + step, 1, 1)

    facts = {"context": context, "tokens": batch * steps * o.parallel.groups, "steps": steps}
    return _trace("decode", o, {"context": context, "steps": steps}, facts, make)


def prefill(
    model: str | ModelConfig,
    *,
    batch: int = 1,
    tokens: int = 2048,
    context: int = 0,
    tensor_parallel: int = 1,
    expert_parallel: int = 1,
    pipeline_parallel: int = 1,
    pipeline_stage: int = 0,
    dtype: str | None = None,
    kv_dtype: str | None = None,
    kv: str = "paged",
    page_tokens: int = 16,
    skew: float = 0.0,
    seed: int = 0,
) -> GeneratedTrace:
    """Take in the prompts of a batch, and decode the first token of each.

    Parameters
    ----------
    tokens : int
        Tokens of each prompt that are taken in.
    context : int
        Tokens before them that are in the cache already: a shared prefix, or an earlier chunk.
    model, batch, tensor_parallel, expert_parallel, pipeline_parallel, pipeline_stage, dtype, kv_dtype, kv, page_tokens
        As for `decode`.
    skew, seed
        As for `decode`.

    Returns
    -------
    OpTrace
        Phase ``prefill``.

    Raises
    ------
    HbmArgumentError
        As `decode`.

    Examples
    --------
    >>> trace = prefill("llama-3.1-8b", tokens=512)
    >>> trace.workload["tokens"], trace.workload["kv_bytes_per_token"]
    (512, 131072)
    """
    o = _options(
        model, dtype, kv_dtype, tensor_parallel, expert_parallel, pipeline_parallel, pipeline_stage,
        batch=batch, kv=kv, page_tokens=page_tokens, fusion="fused", skew=skew, seed=seed,
    )  # fmt: skip
    check_whole("tokens", tokens, 1, ROWS_MAX)
    check_whole("context", context, 0, 1 << 40)
    _check_sizes(o, context + tokens, tokens)

    def make(program: Program) -> Iterator[Operation]:
        program.phase = "prefill"
        yield from o.forward(program, context, context + tokens, tokens).run(context, tokens, 1)

    facts = {"context": context + tokens, "tokens": batch * tokens * o.parallel.groups, "steps": 1}
    return _trace("prefill", o, {"tokens": tokens, "context": context}, facts, make)


def accepted_tokens(guesses: int, acceptance: float) -> float:
    """Tokens that one round of speculative decoding yields in the mean.

    Source
    ------
    Leviathan et al., *Fast Inference from Transformers via Speculative Decoding* (arXiv 2211.17192), equation 1.

    Examples
    --------
    >>> accepted_tokens(4, 0.8)
    3.3616
    >>> accepted_tokens(4, 1.0)
    5.0
    """
    return float(math.fsum(acceptance**i for i in range(guesses + 1)))


def speculative(
    draft: str | ModelConfig,
    target: str | ModelConfig,
    *,
    guesses: int = 4,
    acceptance: float = 0.7,
    batch: int = 1,
    context: int = 8192,
    tensor_parallel: int = 1,
    dtype: str | None = None,
    kv_dtype: str | None = None,
    kv: str = "paged",
    page_tokens: int = 16,
    skew: float = 0.0,
    seed: int = 0,
) -> GeneratedTrace:
    """One round of speculative decoding: a small model guesses tokens, the large one judges all at once.

    Parameters
    ----------
    draft, target : str or ModelConfig
        The small and the large model.
    guesses : int
        Tokens that the draft guesses per round.
    acceptance : float
        Probability that a guess is accepted; it only enters the tokens per round, not the traffic.
    batch, context, tensor_parallel, dtype, kv_dtype, kv, page_tokens, skew, seed
        As for `decode`; they hold for both models.

    Returns
    -------
    OpTrace
        Phases ``draft`` and ``verify``.

    Raises
    ------
    HbmArgumentError
        As `decode`.

    Examples
    --------
    >>> trace = speculative("llama-3.1-8b", "llama-3.1-70b", guesses=4, acceptance=0.8)
    >>> trace.workload["tokens"]
    3.3616
    """
    check_whole("guesses", guesses, 1, 64)
    check_real("acceptance", acceptance, 0.0, 1.0)
    check_whole("context", context, 1, 1 << 40)
    small, large = (
        _options(
            model, dtype, kv_dtype, tensor_parallel, 1, 1, 0,
            batch=batch, kv=kv, page_tokens=page_tokens, fusion="fused", skew=skew, seed=seed,
        )
        for model in (draft, target)
    )  # fmt: skip
    for options in (small, large):
        _check_sizes(options, context + guesses + 1, guesses + 1)

    def make(program: Program) -> Iterator[Operation]:
        guessing = small.forward(program, context, context + guesses, 1)
        judging = large.forward(program, context, context + guesses + 1, guesses + 1)
        program.phase = "draft"
        for i in range(guesses):
            yield from guessing.run(context + i, 1, 1)
        program.phase = "verify"
        yield from judging.run(context, guesses + 1, guesses + 1)

    both = (small.facts(), large.facts())
    facts = {
        **{name: both[0][name] + both[1][name] for name in ("weight_bytes", "kv_bytes_per_token")},
        "context": context,
        "tokens": batch * accepted_tokens(guesses, acceptance),
        "steps": 1,
        "draft_model": small.model.name,
    }
    own = {"draft": small.model.name, "guesses": guesses, "acceptance": acceptance, "context": context}
    return _trace("speculative", large, own, facts, make, draft_model=small.model.to_dict())
