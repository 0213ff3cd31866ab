"""Maps of the system: a number for every pseudo-channel, and for every bank.

Owns the layout of the maps and their bound; must not know how they are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["Map", "bank_maps", "channel_map"]

CELLS_MAX = 40_000
"""Of a map of banks; neighbouring pseudo-channels are joined until it fits."""


@dataclass(frozen=True, eq=False)
class Map:
    """A rectangle of numbers.

    Attributes
    ----------
    what, unit : str
        What a cell holds and its unit.
    rows, columns : tuple of str
        Labels; `row_name` and `column_name` say of what.
    row_name, column_name : str
    values : float64 array, shape (rows, columns)
    details : dict of str to float64 array
        More of every cell, for whoever looks closer.
    """

    what: str
    unit: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_name: str
    column_name: str
    values: NDArray[np.float64]
    details: dict[str, NDArray[np.float64]]


def channel_map(result: Result) -> Map | None:
    """Share of its peak that every pseudo-channel carried; a row per stack and pseudo-channel, a column per channel.

    None for a single pseudo-channel, which is no map.
    """
    channels, org = result.channels, result.system.device.organisation
    if len(channels) < 2:
        return None
    stacks, n, m = result.system.stacks, org.channels, org.pseudo_channels

    def laid(values: NDArray[np.float64]) -> NDArray[np.float64]:
        turned = np.asarray(values, dtype=np.float64).reshape(stacks, n, m).transpose(0, 2, 1)
        return np.ascontiguousarray(turned.reshape(stacks * m, n))

    served = channels["row_hits"] + channels["row_misses"] + channels["row_conflicts"]
    hits = np.divide(channels["row_hits"], served, out=np.zeros(len(channels)), where=served > 0)
    return Map(
        what="share of the peak bandwidth",
        unit="",
        rows=tuple(f"stack {s} PC{p}" for s in range(stacks) for p in range(m)),
        columns=tuple(str(i) for i in range(n)),
        row_name="stack and pseudo-channel",
        column_name="channel",
        values=laid(channels["fraction_of_peak"]),
        details={
            "GB/s": laid(channels["bandwidth_gb_per_s"]),
            "mean read latency, ns": laid(channels["read_latency_ns_mean"]),
            "row hits of requests": laid(hits),
        },
    )


def bank_maps(result: Result) -> tuple[Map, ...]:
    """Bursts, activations and energy of every bank: a row per pseudo-channel, a column per bank.

    Empty for results of versions that did not keep counts of banks.
    """
    banks = result.banks
    if not len(banks):
        return ()
    n_banks = result.system.device.organisation.banks
    n_pc = len(banks) // n_banks
    joined = 1
    while -(-n_pc // joined) * n_banks > CELLS_MAX and joined < n_pc:
        joined *= 2
    at = np.arange(0, n_pc, joined)
    stack, channel, pc = (banks[k].reshape(n_pc, n_banks)[:, 0] for k in ("stack", "channel", "pseudo_channel"))
    rows = tuple(f"stack {stack[i]} channel {channel[i]} PC{pc[i]}" + (" ..." if joined > 1 else "") for i in at)

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.add.reduceat(np.asarray(values, dtype=np.float64).reshape(n_pc, n_banks), at, axis=0)

    kinds = [
        ("bursts", "", banks["n_rd"] + banks["n_wr"]),
        ("activations", "", banks["n_act"]),
        ("energy", "nJ", banks["energy_pj"] / 1e3),
    ]
    name = "pseudo-channel" if joined == 1 else f"{joined} pseudo-channels together"
    columns = tuple(str(i) for i in range(n_banks))
    return tuple(Map(what, unit, rows, columns, name, "bank", summed(values), {}) for what, unit, values in kinds)
