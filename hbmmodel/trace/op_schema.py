"""Operator schemas of PyTorch, as a profiler records them: which argument an operator writes.

Owns the grammar ``namespace::name.overload(Type(a!) argument=default, *, ...) -> Type`` and the list of operators that
only call others; must not know files or tensors.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import NamedTuple

__all__ = ["Schema", "is_composite", "parse_schema"]

SCHEMA_MAX = 64 << 10
_NAME = re.compile(r"(\w+)::(\w+)(?:\.(\w+))?\(")
_WRITTEN = re.compile(r"\w+\(\w+(\|\w+)*!")


class Schema(NamedTuple):
    """What a schema says.

    Parameters
    ----------
    name : str
        ``namespace.operator.overload``; the overload is ``default`` where the schema names none.
    roles : tuple of str
        Of each argument: ``r`` read, ``m`` mutated in place, ``w`` keyword that takes the result (``out``).
    views : tuple of bool
        Of each result: whether it shares the storage of an argument.
    """

    name: str
    roles: tuple[str, ...]
    views: tuple[bool, ...]


@functools.lru_cache(maxsize=4096)
def parse_schema(text: str) -> Schema | None:
    """Name and roles; None where `text` is no schema.

    Source
    ------
    PyTorch 2.13, ``aten/src/ATen/native/README.md``, *func*: ``(a!)`` marks an argument that is written, ``*`` is
    followed by keywords; a keyword that is written takes the result (``Argument::is_out``, ``aten/src/ATen/core``).

    Examples
    --------
    >>> parse_schema("aten::add_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)")
    Schema(name='aten.add_.Tensor', roles=('m', 'r', 'r'), views=(True,))
    >>> parse_schema("aten::mm.out(Tensor self, Tensor mat2, *, Tensor(a!) out) -> Tensor(a!)").roles
    ('r', 'r', 'w')
    """
    head = _NAME.match(text) if len(text) <= SCHEMA_MAX else None
    if head is None:
        return None
    roles = []
    keyword = False
    arguments, end = _arguments(text, head.end())
    for argument in arguments:
        if argument == "*":
            keyword = True
        elif argument:
            written = _WRITTEN.match(argument) is not None
            roles.append(("w" if keyword else "m") if written else "r")
    returned = text[end:].removeprefix(" -> ")
    results = _arguments(returned, 1)[0] if returned.startswith("(") else [returned]
    views = tuple(result.startswith("Tensor(") for result in results)
    return Schema(f"{head[1]}.{head[2]}.{head[3] or 'default'}", tuple(roles), views)


def _arguments(text: str, at: int) -> tuple[list[str], int]:
    """Texts between the commas of the list that begins at `at`, and where what follows it begins."""
    found = []
    start = at
    depth = 0
    quote = ""
    for i in range(at, len(text)):
        character = text[i]
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}" and depth:
            depth -= 1
        elif character in ",)" and depth == 0:
            found.append(text[start:i].strip())
            start = i + 1
            if character == ")":
                return found, i + 1
    return found, len(text)


@functools.cache
def _composite() -> frozenset[str]:
    text = (resources.files("hbmmodel") / "data" / "composite_ops.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def is_composite(name: str) -> bool:
    """Whether an operator only calls other operators, which are what moves bytes.

    Source
    ------
    PyTorch 2.13, ``native_functions.yaml``: no ``dispatch``, or ``CompositeImplicitAutograd``.

    Examples
    --------
    >>> is_composite("aten.reshape.default"), is_composite("aten.mm.default"), is_composite("aten.std.default")
    (True, False, True)
    """
    namespace, _, rest = name.partition(".")
    return namespace == "aten" and rest.removesuffix(".default") in _composite()
