"""Bandwidth over time: by direction as it was counted, and by phase, tensor class or name from the operations.

Owns who is charged for which bytes; must not know how layers are binned (`layers`) or drawn. An operation's bytes are
dealt evenly over its time, which is not when each of them moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hbmmodel.report.series.layers import LAYERS_MAX, OTHERS, Layers, spread, stack_layers

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["bandwidth_by_class", "bandwidth_by_direction", "bandwidth_by_name", "bandwidth_by_phase"]

BINS = 256
"""Bins of a run without epochs; one with them has up to 512, the core's own."""

Array = NDArray[np.float64]


def bandwidth_by_direction(result: Result) -> Layers | None:
    """Reads and writes over time [GB/s], as the core counted them; None without a timeline.

    The areas are the bytes that went over the data buses: ``bytes_read`` and ``bytes_written`` of the timeline.
    """
    timeline = result.timeline
    edges = _timeline_edges(result)
    if edges is None:
        return None
    amounts = np.array([timeline["bytes_read"][: len(edges) - 1], timeline["bytes_written"][: len(edges) - 1]], float)
    return stack_layers("direction", edges, ("reads", "writes"), amounts)


def bandwidth_by_phase(result: Result) -> Layers | None:
    """The operations' bytes over time by phase [GB/s]; None if there are not several phases."""
    return _by_column(result, "phase")


def bandwidth_by_name(result: Result) -> Layers | None:
    """The operations' bytes over time by name [GB/s]; None if there are not several names."""
    return _by_column(result, "name")


def bandwidth_by_class(result: Result) -> Layers | None:
    """The operations' bytes over time by tensor class [GB/s]; None if the trace does not say what its bytes are.

    ``not said``: what moved beyond the bytes that the trace gives a class, padding for one.
    """
    operations, edges = result.operations, _edges(result)
    bytes_of: dict[str, Array] = {}
    for column in operations.names:
        name, mark, way = column.rpartition("_bytes_")
        if mark and way in ("read", "written"):
            bytes_of[name] = bytes_of.get(name, 0.0) + np.asarray(operations[column], dtype=np.float64)
    if not bytes_of or edges is None:
        return None
    rest = _moved(operations["bytes_read"], operations["bytes_written"]) - np.sum(list(bytes_of.values()), axis=0)
    bytes_of["not said"] = np.maximum(rest, 0.0)
    rows = [_over_time(result, edges, amount) for amount in bytes_of.values()]
    return stack_layers("tensor class", edges, tuple(bytes_of), np.array(rows))


def _by_column(result: Result, column: str) -> Layers | None:
    operations, edges = result.operations, _edges(result)
    names, member = np.unique(operations[column].astype(str), return_inverse=True)
    if len(names) < 2 or edges is None:
        return None
    moved = _moved(operations["bytes_read"], operations["bytes_written"])
    # names can be as many as operations: only those that get a layer of their own are dealt out one by one
    order = np.argsort(-np.bincount(member, weights=moved, minlength=len(names)), kind="stable")
    own = len(names) if len(names) <= LAYERS_MAX else LAYERS_MAX - 1
    if column == "phase":  # as they begin; of names the largest lies at the bottom
        first = np.full(len(names), np.inf)
        np.minimum.at(first, member, operations["start_ns"])
        order[:own] = order[:own][np.argsort(first[order[:own]], kind="stable")]
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    of = rank[member]
    rows = [_over_time(result, edges, np.where(of == i, moved, 0.0)) for i in range(own)]
    told = [str(names[i]) or f"no {column}" for i in order[:own]]
    if own < len(names):
        rows.append(_over_time(result, edges, np.where(of >= own, moved, 0.0)))
        told.append(OTHERS.format(len(names) - own))
    return Layers(column, edges, tuple(told), np.array(rows) / np.diff(edges))


def _moved(read: Array, written: Array) -> Array:
    return np.asarray(read, dtype=np.float64) + np.asarray(written, dtype=np.float64)


def _over_time(result: Result, edges: Array, amount: Array) -> Array:
    operations, some = result.operations, amount > 0
    return spread(edges, operations["start_ns"][some], operations["end_ns"][some], amount[some])


def _timeline_edges(result: Result) -> Array | None:
    timeline = result.timeline
    if not len(timeline):
        return None
    lasts = timeline["end_ns"] > timeline["start_ns"]  # a last epoch that begins with the end of the run takes no time
    if not lasts.any():
        return None
    return np.append(timeline["start_ns"][lasts], timeline["end_ns"][lasts][-1])


def _edges(result: Result) -> Array | None:
    """Bins for the operations: the timeline's, as far as the operations reach."""
    edges = _timeline_edges(result)
    end = max(float(result.summary["time_ns"] or 0.0), float(result.operations["end_ns"].max(initial=0.0)))
    if end <= 0:
        return None
    if edges is None:
        return np.linspace(0.0, end, BINS + 1)
    edges[-1] = max(edges[-1], end)
    return edges
