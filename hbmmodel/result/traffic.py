"""The table of classes of traffic: what each program got of the memory.

Owns the table's columns; must not know how classes are told apart or quotas kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hbmmodel.quotas import Quota
from hbmmodel.result.table import Table
from hbmmodel.system import System

__all__ = ["no_traffic", "traffic_table"]

COUNTS = ("operations", "bytes_read", "bytes_written")
TIMES = ("start_ns", "end_ns")
RATES = (
    *("bandwidth_gb_per_s", "fraction_of_peak", "read_latency_ns_mean", "read_latency_ns_max"),
    *("gate_ns_mean", "capped_ns_mean"),
)
SHARES = ("reserved_share", "cap_share", "queue_share")


def no_traffic() -> Table:
    """The table of a run whose trace has no classes."""
    return _table([])


def traffic_table(system: System, classes: Sequence[str], counters: Mapping[str, Any], operations: Table) -> Table:
    """One row per class of traffic.

    Parameters
    ----------
    system : System
        Whose quotas applied.
    classes : sequence of str
        Their names, in the order of the counters' second dimension.
    counters : mapping
        Name to int64 array (pseudo-channels, classes).
    operations : Table
        Of the run, with a column ``traffic_class``.
    """
    return _table(
        [
            _row(system, name, {key: value[:, i] for key, value in counters.items()}, operations)
            for i, name in enumerate(classes)
        ]
    )


def _table(rows: list[dict[str, Any]]) -> Table:
    kinds = {"traffic_class": object, "priority": np.int64, **dict.fromkeys(COUNTS, np.int64)}
    names = ("traffic_class", "priority", *SHARES, *COUNTS, *TIMES, *RATES)
    return Table({key: np.array([row[key] for row in rows], dtype=kinds.get(key, np.float64)) for key in names})


def _row(system: System, name: str, counters: Mapping[str, Any], operations: Table) -> dict[str, Any]:
    tick_ns = float(system.tick_ps / 1000)
    quota = system.controller.quotas.get(name, Quota())
    burst_bytes = system.device.organisation.burst_bytes
    total = {key: int(value.sum()) for key, value in counters.items()}
    mine = operations["traffic_class"] == name
    start = float(operations["start_ns"][mine].min()) if mine.any() else 0.0
    end = float(operations["end_ns"][mine].max()) if mine.any() else 0.0
    bursts = total["bursts_read"] + total["bursts_written"]
    over_bus = (bursts - total["reads_forwarded"]) * burst_bytes
    rate = over_bus / (end - start) if end > start else 0.0
    return {
        "traffic_class": name,
        "priority": quota.priority,
        **{key: getattr(quota, key) for key in SHARES},
        "operations": int(mine.sum()),
        "bytes_read": total["bursts_read"] * burst_bytes,
        "bytes_written": total["bursts_written"] * burst_bytes,
        "start_ns": start,
        "end_ns": end,
        "bandwidth_gb_per_s": rate,
        "fraction_of_peak": rate / system.peak_gb_per_s,
        "read_latency_ns_mean": tick_ns * total["read_latency_ticks_sum"] / max(total["bursts_read"], 1),
        "read_latency_ns_max": tick_ns * int(counters["read_latency_ticks_max"].max(initial=0)),
        "gate_ns_mean": tick_ns * total["gate_ticks"] / max(bursts, 1),
        "capped_ns_mean": tick_ns * total["capped_ticks"] / max(bursts, 1),
    }
