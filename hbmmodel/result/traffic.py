"""The table of classes of traffic: what each program got of the memory.

Owns the table's columns; must not know how classes are told apart or quotas kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hbmmodel.quotas import Quota
from hbmmodel.result.histogram import PERCENTILES, Histogram
from hbmmodel.result.table import Table
from hbmmodel.system import System

__all__ = ["TAIL", "TRAFFIC_COLUMNS", "figures", "no_traffic", "traffic_table", "with_percentiles"]

COUNTS = ("operations", "bytes_read", "bytes_written")
TIMES = ("start_ns", "end_ns")
TAIL = tuple(f"read_latency_ns_{name}" for name in PERCENTILES)
RATES = (
    *("bandwidth_gb_per_s", "fraction_of_peak", "read_latency_ns_mean", *TAIL, "read_latency_ns_max"),
    *("gate_ns_mean", "capped_ns_mean"),
)
SHARES = ("reserved_share", "cap_share", "queue_share")
TRAFFIC_COLUMNS = ("traffic_class", "priority", *SHARES, *COUNTS, *TIMES, *RATES)


def no_traffic() -> Table:
    """The table of a run whose trace has no classes."""
    return _table([])


def traffic_table(
    system: System,
    classes: Sequence[str],
    counters: Mapping[str, Any],
    histograms: Sequence[Histogram],
    operations: Table,
) -> Table:
    """One row per class of traffic.

    Parameters
    ----------
    system : System
        Whose quotas applied.
    classes : sequence of str
        Their names, in the order of the counters' second dimension.
    counters : mapping
        Name to int64 array (pseudo-channels, classes).
    histograms : sequence of Histogram
        Read latencies in ticks, one of every class.
    operations : Table
        Of the run, with a column ``traffic_class``.
    """
    return _table(
        [
            _row(system, name, {key: value[:, i] for key, value in counters.items()}, histogram, operations)
            for i, (name, histogram) in enumerate(zip(classes, histograms, strict=True))
        ]
    )


def with_percentiles(table: Table) -> Table:
    """A saved table, with percentiles NaN where the version that wrote it had none."""
    missing = [name for name in TAIL if name not in table]
    columns = {**dict(table), **{name: np.full(len(table), np.nan) for name in missing}}
    return Table({name: columns[name] for name in (*(n for n in TRAFFIC_COLUMNS if n in columns), *table)})


def figures(table: Table) -> Iterator[tuple[str, str, float]]:
    """Every number of the table: ``class_NAME_COLUMN``, its column, its value."""
    for row in table.rows():
        name = row["traffic_class"]
        yield from ((f"class_{name}_{column}", column, row[column]) for column in TRAFFIC_COLUMNS[1:])


def _table(rows: list[dict[str, Any]]) -> Table:
    kinds = {"traffic_class": object, "priority": np.int64, **dict.fromkeys(COUNTS, np.int64)}
    return Table(
        {name: np.array([row[name] for row in rows], dtype=kinds.get(name, np.float64)) for name in TRAFFIC_COLUMNS}
    )


def _row(
    system: System, name: str, counters: Mapping[str, Any], histogram: Histogram, operations: Table
) -> dict[str, Any]:
    exact_ns = system.tick_ps / 1000
    tick_ns = float(exact_ns)
    quota = system.controller.quotas.get(name, Quota())
    burst_bytes = system.device.organisation.burst_bytes
    total = {key: int(value.sum()) for key, value in counters.items()}
    mine = operations["traffic_class"] == name
    start = float(operations["start_ns"][mine].min()) if mine.any() else 0.0
    end = float(operations["end_ns"][mine].max()) if mine.any() else 0.0
    bursts = total["bursts_read"] + total["bursts_written"]
    over_bus = (bursts - total["reads_forwarded"]) * burst_bytes
    rate = over_bus / (end - start) if end > start else 0.0
    latency_max = int(counters["read_latency_ticks_max"].max(initial=0))
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
        **{
            f"read_latency_ns_{name}": 0.0 if ticks is None else float(ticks * exact_ns)
            for name, ticks in histogram.tail(latency_max).items()
        },
        "read_latency_ns_max": float(latency_max * exact_ns),
        "gate_ns_mean": tick_ns * total["gate_ticks"] / max(bursts, 1),
        "capped_ns_mean": tick_ns * total["capped_ticks"] / max(bursts, 1),
    }
