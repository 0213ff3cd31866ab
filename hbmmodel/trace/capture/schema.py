"""What an operator does to its arguments, from its schema: one plan per operator, made once.

Owns the roles of arguments and which index tensors are worth recording; must not know tensors or files.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Argument", "Plan", "plan"]

# Namespaces without tensor data (see docs/formats/hbmop.md).
SILENT = frozenset(("prim", "profiler"))

# Operators, by their names without overload, whose index arguments decide addresses: argument -> the dimension of the
# first operand that it selects in; "dim": the value of that argument; "list": its place in the list.
INDEXED: dict[str, dict[str, int | str]] = {
    "embedding": {"indices": 0},
    "embedding_dense_backward": {"indices": 0},
    "_embedding_bag": {"indices": 0},
    "_embedding_bag_forward_only": {"indices": 0},
    "_embedding_bag_dense_backward": {"indices": 0},
    "index": {"indices": "list"},
    "index_put": {"indices": "list"},
    "index_put_": {"indices": "list"},
    "_index_put_impl_": {"indices": "list"},
    "_grouped_mm": {"offs": 0},
    "_scaled_grouped_mm": {"offs": 0},
    **{name: {"index": "dim"} for name in ("index_select", "index_add", "index_add_", "index_copy", "index_copy_")},
    **{name: {"index": "dim"} for name in ("gather", "scatter", "scatter_", "scatter_add", "scatter_add_")},
}

# c10d's operators do not declare what they write.
_C10D_WRITTEN = ("output",)
_C10D_MUTATED = ("allreduce_", "allreduce_coalesced_", "broadcast_", "reduce_")


class Argument(NamedTuple):
    """One argument: its name, what happens to tensors in it, and where an index selects."""

    name: str
    role: str
    dim: int | str | None


class Plan(NamedTuple):
    """How the operands of an operator are found.

    `resizes`: results may be larger than the storage was.
    """

    name: str
    arguments: tuple[Argument, ...]
    dim_position: int
    resizes: bool


def plan(func: Any) -> Plan | None:
    """Plan of an operator overload; None if it has no tensor data."""
    namespace = getattr(func, "namespace", "")
    if namespace in SILENT:
        return None
    packet = str(func.__name__)
    base = packet.partition(".")[0]
    indexed = INDEXED.get(base, {}) if namespace == "aten" else {}
    arguments = []
    dim_position = -1
    for position, argument in enumerate(func._schema.arguments):
        written = argument.alias_info is not None and argument.alias_info.is_write
        role = "m" if written else "r"
        if written and (argument.is_out or argument.name == "out"):
            role = "w"
        if namespace == "c10d":
            role = _c10d_role(base, argument.name)
        if argument.name == "dim":
            dim_position = position
        arguments.append(Argument(argument.name, role, indexed.get(argument.name)))
    return Plan(f"{namespace}.{packet}", tuple(arguments), dim_position, base in ("resize_", "resize_as_", "set_"))


def _c10d_role(base: str, argument: str) -> str:
    if argument.startswith(_C10D_WRITTEN) or base.startswith("recv"):
        return "w"
    return "m" if base in _C10D_MUTATED else "r"
