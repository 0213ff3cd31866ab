"""One long table of everything that a run counted or that follows from it: a row per place and quantity.

Owns the columns, the names of quantities that other tables hold in columns of their own, and the unit that a name
says; must not know how anything was counted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from hbmmodel.result.summary import LOST
from hbmmodel.result.table import Table
from hbmmodel.result.traffic import figures

if TYPE_CHECKING:
    from hbmmodel.result.result import Result

__all__ = ["LONG_COLUMNS", "long_table", "unit_of"]

LONG_COLUMNS = ("stack", "channel", "pseudo_channel", "metric", "value", "unit")

_UNITS = (
    ("pj_per_bit", "pJ/bit"),
    ("gb_per_s", "GB/s"),
    ("ns", "ns"),
    ("ticks", "tick"),
    ("bytes", "B"),
    ("pj", "pJ"),
    ("w", "W"),
    ("c", "degC"),
)
_PATTERNS = tuple((re.compile(rf"(?:^|_){word}(?:_|$)"), unit) for word, unit in _UNITS)


def unit_of(name: str) -> str:
    """The unit that the name of a quantity says; ``"1"`` for counts and shares.

    Examples
    --------
    >>> [unit_of(name) for name in ("read_latency_ns_p99", "bytes_read", "energy_pj_per_bit", "lost_refresh", "n_act")]
    ['ns', 'B', 'pJ/bit', 'tick', '1']
    """
    if name in LOST.values():
        return "tick"
    return next((unit for pattern, unit in _PATTERNS if pattern.search(name)), "1")


def long_table(result: Result) -> Table:
    """Everything as `LONG_COLUMNS`; see `Result.long`."""
    places: list[list[Any]] = []
    names: list[str] = []
    units: list[str] = []
    values: list[np.ndarray[Any, Any]] = []

    def add(stack: Any, channel: Any, pseudo_channel: Any, name: str, value: Any, quantity: str = "") -> None:
        column = np.atleast_1d(np.asarray(value, dtype=np.float64))
        places.append([np.broadcast_to(part, column.shape) for part in (stack, channel, pseudo_channel)])
        names.append(name)
        units.append(unit_of(quantity or name))
        values.append(column)

    for name, value in result.summary.items():
        add(-1, -1, -1, name, np.nan if value is None else value)
    for name, quantity, value in figures(result.traffic_classes):
        add(-1, -1, -1, name, value, quantity)
    for name in dict.fromkeys(result.energy["component"].tolist()):
        mine = result.energy.take(result.energy["component"] == name)
        add(mine["stack"], -1, -1, f"{name}_energy_pj", mine["pj"])
    states = result.power_states
    for kind, state in dict.fromkeys(zip(states["kind"].tolist(), states["state"].tolist(), strict=True)):
        mine = states.take((states["kind"] == kind) & (states["state"] == state))
        label = state if state.startswith(kind) else f"{kind}_{state}"
        for column in ("time_ns", "share", "energy_pj"):
            add(mine["stack"], -1, -1, f"{label}_{column}", mine[column])
    warm = result.temperature
    for stack, die in dict.fromkeys(zip(warm["stack"].tolist(), warm["die"].tolist(), strict=True)):
        mine = warm.take((warm["stack"] == stack) & (warm["die"] == die))
        add(stack, -1, -1, f"{die.lower()}_temperature_c_max", mine["max_c"].max())
    channels = result.channels
    for name in channels.names:
        if name not in LONG_COLUMNS:
            add(channels["stack"], channels["channel"], channels["pseudo_channel"], name, channels[name])
    lengths = [len(column) for column in values]
    columns: dict[str, Any] = {
        name: np.ma.masked_equal(np.concatenate(part).astype(np.int64), -1)
        for name, part in zip(LONG_COLUMNS, zip(*places, strict=True), strict=False)
    }
    columns["metric"] = np.repeat(np.array(names, dtype=object), lengths)
    columns["value"] = np.ma.masked_invalid(np.concatenate(values))
    columns["unit"] = np.repeat(np.array(units, dtype=object), lengths)
    return Table(columns)
