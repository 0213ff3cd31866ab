"""Passes by name: what the command line's ``--rewrite`` names.

Owns the table of passes and the form ``NAME``, ``NAME=VALUE`` or ``NAME=VALUE,KEY=VALUE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.rewrite.base import Pass
from hbmmodel.trace.rewrite.batches import MicroBatches
from hbmmodel.trace.rewrite.caches import KvCache
from hbmmodel.trace.rewrite.experts import ExpertParallel
from hbmmodel.trace.rewrite.formats import Dtype
from hbmmodel.trace.rewrite.fuse import FuseElementwise
from hbmmodel.trace.rewrite.optimizers import Optimizer
from hbmmodel.trace.rewrite.repeats import RepeatLayer
from hbmmodel.trace.rewrite.stages import Pipeline
from hbmmodel.trace.rewrite.tensors import TensorParallel
from hbmmodel.trace.rewrite.tiles import GemmTiles

__all__ = ["PASSES", "parse", "parse_all"]

PASSES: dict[str, type[Pass]] = {
    "fuse_elementwise": FuseElementwise,
    "optimizer": Optimizer,
    "kv": KvCache,
    "dtype": Dtype,
    "tensor_parallel": TensorParallel,
    "expert_parallel": ExpertParallel,
    "pipeline": Pipeline,
    "repeat_layer": RepeatLayer,
    "micro_batches": MicroBatches,
    "gemm_tiles": GemmTiles,
}


def parse(text: str) -> Pass:
    """The pass that a text names.

    Raises
    ------
    HbmArgumentError
        No such pass, or not its parameters.

    Examples
    --------
    >>> str(parse("kv=paged,block=32"))
    "kv(layout='paged', block=32, seed=0)"
    >>> str(parse("tensor_parallel=8"))
    'tensor_parallel(parts=8)'
    """
    name, _, rest = text.partition("=")
    made = PASSES.get(name.strip())
    if made is None:
        raise HbmArgumentError(f"rewrite {text!r}: no pass is called {name.strip()!r}; there are {', '.join(PASSES)}")
    known = [field.name for field in fields(made)]
    given: dict[str, Any] = {}
    for position, item in enumerate(rest.split(",") if rest else ()):
        key, equals, value = item.partition("=")
        if not equals:
            key, value = (known[0] if position == 0 else ""), item
        key = key.strip()
        if key not in known or key in given:
            raise HbmArgumentError(f"rewrite {text!r}: {item.strip()!r} is no parameter; {name} has {', '.join(known)}")
        given[key] = _value(value.strip())
    try:
        return made(**given)
    except TypeError:
        missing = known[0]
        raise HbmArgumentError(f"rewrite {text!r}: {missing} is missing; write {name}={missing.upper()}") from None


def parse_all(texts: Sequence[str]) -> tuple[Pass, ...]:
    """The passes that some texts name, in order."""
    return tuple(parse(text) for text in texts)


def _value(text: str) -> int | str | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        return text
