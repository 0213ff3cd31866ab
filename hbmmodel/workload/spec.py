"""Workloads in one line of text, as ``decode,model=llama-3.1-70b,batch=16``: what a command line can name.

Owns the grammar; the arguments are those of the generators and are checked there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from hbmmodel.errors import HbmArgumentError
from hbmmodel.shelf import did_you_mean
from hbmmodel.workload.inference import decode, prefill, speculative
from hbmmodel.workload.program import GeneratedTrace
from hbmmodel.workload.recommender import dlrm
from hbmmodel.workload.search import vector_search
from hbmmodel.workload.synthetic import synthetic
from hbmmodel.workload.train import train_step

__all__ = ["GENERATORS", "PREFIX", "from_spec"]

PREFIX = "workload:"

GENERATORS: dict[str, Callable[..., GeneratedTrace]] = {
    "decode": decode,
    "prefill": prefill,
    "speculative": speculative,
    "train_step": train_step,
    "dlrm": dlrm,
    "vector_search": vector_search,
    "synthetic": synthetic,
}
"""The generators by name."""


def from_spec(text: str) -> GeneratedTrace:
    """The workload that a line names: ``[workload:]GENERATOR,ARGUMENT=VALUE,...``.

    Values are whole numbers (also as ``1e6`` or ``0x10``), numbers, ``true``, ``false``, words, and widths as
    ``512+256``.

    Raises
    ------
    HbmArgumentError
        The generator or an argument is unknown, or its value does not fit.

    Examples
    --------
    >>> from_spec("decode,model=llama-3.1-70b,batch=16,tensor_parallel=8").workload["weight_bytes"]
    17640734720
    """
    kind, *parts = text.removeprefix(PREFIX).split(",")
    kind = kind.strip()
    if kind not in GENERATORS:
        hint = did_you_mean(kind, GENERATORS)
        raise HbmArgumentError(f"workload {kind[:80]!r} is unknown; {hint}choose one of {', '.join(GENERATORS)}")
    parameters = inspect.signature(GENERATORS[kind]).parameters
    arguments: dict[str, Any] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        name, value = name.strip().replace("-", "_"), value.strip()
        if not equals or not name or not value:
            raise HbmArgumentError(f"workload {kind}: {part[:80]!r} is not ARGUMENT=VALUE, as in batch=16")
        if name not in parameters:
            hint = did_you_mean(name, parameters)
            known = ", ".join(parameters)
            raise HbmArgumentError(f"workload {kind}: no argument {name[:80]!r}; {hint}it has {known}")
        if name in arguments:
            raise HbmArgumentError(f"workload {kind}: {name} is given twice")
        arguments[name] = _value(value, str(parameters[name].annotation))
    required = [n for n, p in parameters.items() if p.default is inspect.Parameter.empty]
    if missing := [name for name in required if name not in arguments]:
        raise HbmArgumentError(f"workload {kind}: {missing[0]} is missing; give {missing[0]}=VALUE")
    return GENERATORS[kind](**arguments)


def _value(text: str, annotation: str) -> Any:
    """The value in the type that the generator declares, or the text, which the generator then refuses."""
    if annotation.startswith("Sequence"):
        return tuple(_value(part, "int") for part in text.split("+"))
    if annotation == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    if annotation == "float":
        return _number(text, float)
    if annotation == "int":
        whole = _number(text, lambda t: int(t, 0))
        if isinstance(whole, str) and isinstance(number := _number(text, float), float) and number.is_integer():
            return int(number)
        return whole
    return text


def _number(text: str, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(text)
    except (ValueError, OverflowError):
        return text
