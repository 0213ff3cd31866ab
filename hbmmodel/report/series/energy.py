"""Where the energy went: from the components over what they serve to the total.

Owns which component serves what; the components are `hbmmodel.energy`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hbmmodel.energy import COMPONENTS

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["GROUPS", "Flow", "energy_flow"]

GROUPS = {
    "moving data": ("column", "die_bus", "tsv", "base_die", "phy"),
    "opening rows": ("activate",),
    "keeping data": ("refresh",),
    "standing ready": ("background", "leakage"),
}
"""What the components serve."""


@dataclass(frozen=True)
class Flow:
    """Amounts that flow from node to node, [pJ].

    Attributes
    ----------
    nodes : tuple of str
        Words of every node; the last is the total.
    keys : tuple of str
        Component of every node; the empty string for groups and the total.
    links : tuple of (int, int, float)
        From, to, energy [pJ].
    total_pj, low_pj, high_pj : float
        All energy and its span.
    """

    nodes: tuple[str, ...]
    keys: tuple[str, ...]
    links: tuple[tuple[int, int, float], ...]
    total_pj: float
    low_pj: float
    high_pj: float


def energy_flow(result: Result) -> Flow | None:
    """The flow of a run; None without energy."""
    table = result.energy
    total = float(table["pj"].sum())
    if not len(table) or total <= 0:
        return None
    names = dict.fromkeys(table["component"].astype(str).tolist())
    of = {name: float(table["pj"][table["component"] == name].sum()) for name in names}
    groups = {g: [n for n in members if of.get(n, 0.0) > 0] for g, members in GROUPS.items()}
    named = {n for members in GROUPS.values() for n in members}
    groups["others"] = [n for n in of if n not in named and of[n] > 0]  # of a newer energy model
    groups = {g: members for g, members in groups.items() if members}
    parts = [n for members in groups.values() for n in members]
    nodes = [*(COMPONENTS.get(n, n) for n in parts), *groups, "all energy"]
    links: list[tuple[int, int, float]] = []
    for k, members in enumerate(groups.values()):
        at = len(parts) + k
        links += [(parts.index(n), at, of[n]) for n in members]
        links.append((at, len(nodes) - 1, sum(of[n] for n in members)))
    keys = (*parts, *("" for _ in groups), "")
    low, high = (float(table[column].sum()) for column in ("pj_low", "pj_high"))
    return Flow(tuple(nodes), keys, tuple(links), total, low, high)
