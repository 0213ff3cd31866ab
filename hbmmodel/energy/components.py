"""Energy of every component: an energy set applied to counts.

Owns the equations of the components; must not know schedulers, traces, files or how a table looks.  Every function is
pure and linear in the counts, so energies of adjacent stretches of time add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.energy.counts import Counts, Geometry
from hbmmodel.energy.model import WIRES, EnergySet, Level
from hbmmodel.energy.toggling import TOGGLE_RATE, transitions
from hbmmodel.errors import HbmArgumentError

__all__ = [
    "COMPONENTS",
    "TEMPERATURE_C",
    "background_pj",
    "energy_pj",
    "leakage_per_bank_w",
    "leakage_w",
    "per_bank_pj",
    "per_event_pj",
]

Array = NDArray[np.float64]

COMPONENTS: Mapping[str, str] = {
    "activate": "ACT and precharge",
    "column": "cell array and column commands of RD and WR",
    "die_bus": "data buses across the DRAM dies",
    "tsv": "through-silicon vias",
    "base_die": "data across the base die",
    "phy": "data pins of the stack",
    "refresh": "REF and RFM",
    "background": "standby, power-down, self refresh",
    "leakage": "leakage, which depends on temperature",
}
"""Every component and what it holds."""

TEMPERATURE_C = 85.0
"""Default of `temperature_c`: the end of the normal range of refresh [deg C]; no measurement of a running system."""


def per_event_pj(
    energies: EnergySet,
    geometry: Geometry,
    *,
    level: Level = "typical",
    toggle_rate: float = TOGGLE_RATE,
    dbi: bool = False,
) -> dict[str, float]:
    """Energy of one event [pJ]: ``activate`` (ACT and its precharge), ``column, die_bus, tsv, base_die, phy`` (one read
    burst), ``refresh`` (one REF or RFM, per bank that it reaches).

    ===========  ==========================================================
    activate     row_array (page / KiB) + row_command
    column       column (bits of a burst) + column_command
    data wires   value (bits of a burst) transitions(rate) / transitions(rate of the set)
    refresh      (rows / 8192) (row_array (page / KiB) + row_command), or refresh_bank (MiB of a bank)
    ===========  ==========================================================

    Parameters
    ----------
    energies : EnergySet
    geometry : Geometry
    level : {"low", "typical", "high"}
        End of the span of every value.
    toggle_rate : float
        Probability that a data wire changes from beat to beat; 0.5 is random data.
    dbi : bool
        DBIac on the pins.  Wires inside the stack keep the coding of the set.

    Source
    ------
    The sets name theirs.  Toggling scales CV^2 energies; master and local data lines are precharged pairs, whose energy
    does not depend on data (DreamRAM).
    """
    bits = 8 * geometry.burst_bytes
    row = energies.get("row_array", level) * geometry.page_bytes / 1024 + energies.get("row_command", level)
    refresh = (
        energies.get("refresh_bank", level) * geometry.rows * geometry.page_bytes / 2**20
        if "refresh_bank" in energies.values
        else geometry.rows_per_refresh * row
    )

    def coded(coding: bool, reference: bool) -> float:
        return transitions(toggle_rate, coding) / transitions(energies.toggle_rate, reference)

    inside = {name: name in energies.dbi_wires for name in WIRES}
    return {
        "activate": row,
        "column": energies.get("column", level) * bits + energies.get("column_command", level),
        **{name: energies.get(name, level) * bits * coded(inverts, inverts) for name, inverts in inside.items()},
        "phy": energies.get("phy", level) * bits * coded(dbi, False),
        "refresh": refresh,
    }


def leakage_w(p0_w: Any, temperature_c: Any, *, reference_c: float, doubling_k: float) -> Array:
    """Leakage at a temperature: ``P0 2^((T - T0) / dT)`` [W].

    Parameters
    ----------
    p0_w : array_like
        Leakage at `reference_c` [W].
    temperature_c : array_like
        Temperature [deg C], of any shape that broadcasts with `p0_w`; -273.15 to 300.
    reference_c, doubling_k : float
        T0 [deg C] and dT [K].

    Raises
    ------
    HbmArgumentError
        A temperature is not finite or outside its range.

    Source
    ------
    Rule of thumb of subthreshold leakage, twice per 10 to 20 K; no public figure of an HBM.

    Examples
    --------
    >>> leakage_w(0.1, [85.0, 100.0], reference_c=85.0, doubling_k=15.0).tolist()
    [0.1, 0.2]
    """
    t = np.asarray(temperature_c, dtype=np.float64)
    if t.size and not (np.isfinite(t).all() and float(t.min()) >= -273.15 and float(t.max()) <= 300):
        raise HbmArgumentError("temperature_c must be finite and within -273.15..300 deg C")
    return np.asarray(np.asarray(p0_w, dtype=np.float64) * np.exp2((t - reference_c) / doubling_k))


def _temperature_of_banks(geometry: Geometry, temperature_c: Any) -> Array:
    """A scalar, one value per die (stacks, dies), or one per bank, as one per bank."""
    t = np.asarray(temperature_c, dtype=np.float64)
    if t.ndim == 0 or t.shape == geometry.shape:
        return np.asarray(np.broadcast_to(t, geometry.shape))
    if t.shape == (geometry.stacks, geometry.dies):
        return np.asarray(np.broadcast_to(t[:, geometry.die_of][:, :, None, :], geometry.shape))
    raise HbmArgumentError(
        f"temperature_c has shape {t.shape}; give one number, one per die {(geometry.stacks, geometry.dies)}, "
        f"or one per bank {geometry.shape}"
    )


def leakage_per_bank_w(
    energies: EnergySet, geometry: Geometry, temperature_c: Any, *, level: Level = "typical"
) -> Array:
    """Leakage of every bank [W], shape ``geometry.shape``; temperatures as in `per_bank_pj`."""
    return leakage_w(
        energies.get("leakage", level) * geometry.dies / math.prod(geometry.shape[1:]),
        _temperature_of_banks(geometry, temperature_c),
        reference_c=energies.get("leakage_reference"),
        doubling_k=energies.get("leakage_doubling"),
    )


def background_pj(counts: Counts, energies: EnergySet, *, level: Level = "typical") -> dict[str, Array]:
    """Background energy by power state [pJ], arrays of shape (stacks, channels, pseudo-channels).

    Their sum is the component ``background``.
    """
    g = counts.geometry
    per_pc = g.dies / (g.channels * g.pseudo_channels)  # dies whose power is that of one pseudo-channel
    states = {
        "standby_active": counts.any_active_ticks,
        "standby_precharged": counts.precharged_ticks,
        "down_active": counts.active_down_ticks,
        "down_precharged": counts.precharged_down_ticks,
        "self_refresh": counts.self_refresh_ticks,
    }
    return {
        name: np.asarray(energies.get(name, level) * (1e12 * counts.tick_s * per_pc) * ticks)
        for name, ticks in states.items()
    }


def per_bank_pj(
    counts: Counts,
    energies: EnergySet,
    *,
    level: Level = "typical",
    toggle_rate: float = TOGGLE_RATE,
    dbi: bool = False,
    temperature_c: Any = TEMPERATURE_C,
) -> dict[str, Array]:
    """Energy of every component and bank [pJ], arrays of shape ``counts.geometry.shape``.

    Background belongs to a pseudo-channel and is shared evenly by its banks; leakage is shared evenly by the banks of
    all dies, and each grows with its own temperature.

    Parameters
    ----------
    counts : Counts
    energies : EnergySet
    level, toggle_rate, dbi
        As in `per_event_pj`.
    temperature_c : float or array_like
        One number, one per die (stacks, dies), or one per bank.

    Returns
    -------
    dict of str to float64 array
        Keys of `COMPONENTS`.
    """
    g = counts.geometry
    event = per_event_pj(energies, g, level=level, toggle_rate=toggle_rate, dbi=dbi)
    bursts = counts.n_rd + energies.get("write_factor", level) * counts.n_wr
    refreshed = counts.n_ref_pb + counts.n_rfm_pb + (counts.n_ref_ab + counts.n_rfm_ab)[..., None]
    background = sum(background_pj(counts, energies, level=level).values())
    leakage = leakage_per_bank_w(energies, g, temperature_c, level=level)
    return {
        "activate": np.asarray(event["activate"] * counts.n_act, dtype=np.float64),
        **{name: event[name] * bursts for name in ("column", *WIRES, "phy")},
        "refresh": event["refresh"] * refreshed.astype(np.float64),
        "background": np.broadcast_to(np.asarray(background)[..., None] / g.banks, g.shape),
        "leakage": leakage * (1e12 * counts.elapsed_s),
    }


def energy_pj(counts: Counts, energies: EnergySet, **options: Any) -> dict[str, Array]:
    """Energy of every component and stack [pJ], arrays of shape (stacks,); options as in `per_bank_pj`."""
    return {name: bank.sum(axis=(1, 2, 3)) for name, bank in per_bank_pj(counts, energies, **options).items()}
