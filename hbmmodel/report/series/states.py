"""Power states, refresh rates and throttling: shares of time of every stack, and power states over time.

Owns the order of the states; their counting is the core's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hbmmodel.report.series.layers import Layers
from hbmmodel.result.summary import POWER_STATES

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["StateShares", "state_layers", "state_shares"]


@dataclass(frozen=True, eq=False)
class StateShares:
    """Shares of time in power states.

    Attributes
    ----------
    stacks : tuple of int
    states : tuple of str
        Keys of `POWER_STATES`.
    shares : float64 array, shape (stacks, states)
        Every row sums to 1.
    """

    stacks: tuple[int, ...]
    states: tuple[str, ...]
    shares: NDArray[np.float64]


def state_shares(result: Result) -> StateShares | None:
    """Time of every stack in every power state; None for results of versions that did not count it."""
    table = result.power_states
    power = table.take(table["kind"] == "power") if len(table) else table
    if not len(power) or not power["share"].sum():
        return None
    states = tuple(POWER_STATES)
    shares = power["share"].reshape(-1, len(states))
    stacks = power["stack"].reshape(-1, len(states))[:, 0]
    return StateShares(tuple(int(i) for i in stacks), states, shares)


def state_layers(result: Result) -> Layers | None:
    """Share of the pseudo-channels in every power state over time; None for results of versions that did not count it.

    States keep their order from most to least awake; those that never happened are left out.
    """
    timeline = result.timeline
    names = [state for state in POWER_STATES if f"share_{state}" in timeline]
    lasts = timeline["end_ns"] > timeline["start_ns"]
    if not names or not lasts.any():
        return None
    values = np.array([timeline[f"share_{state}"][lasts] for state in names])
    seen = [i for i in range(len(names)) if values[i].any()]
    if not seen:
        return None
    edges = np.append(timeline["start_ns"][lasts], timeline["end_ns"][lasts][-1])
    return Layers("power state", edges, tuple(names[i] for i in seen), values[seen])
