"""What a trace holds, as plain numbers: one streaming pass.

Owns the summary; must not know formats. A summary of operations never expands them to bursts.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np

from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.expand import is_collective
from hbmmodel.trace.model import OpTrace, RequestTrace, Trace

__all__ = ["info"]

TOP = 10
PAGE_SHIFT = 10  # 1 KiB, the page of an HBM pseudo-channel (JESD238B, JESD270-4)


def info(trace: Trace) -> dict[str, Any]:
    """Summary of a trace.

    Parameters
    ----------
    trace : Trace
        Any trace; it is read once, from start to end.

    Returns
    -------
    dict
        Plain Python values, ready for JSON. All traces: ``name, format, kind, sha256, file_bytes,
        bytes_read, bytes_written, read_fraction, lowest_address, highest_address, span_bytes``. Operations:
        also ``operations`` (all), ``moving_operations``, ``collective_operations``, ``rewrites``, ``phases``
        (label -> operations, bytes_read, bytes_written), ``top_operations`` (name -> bytes), ``mean_run_bytes``
        (long runs: row hits), ``allocator_peak_bytes, allocator_reserved_bytes, random_gathers``. Requests: also
        ``requests, reads, writes, timed, duration_ns, same_page_fraction`` (requests in the 1 KiB page of the one
        before); their bytes are None unless every request has a size. A trace that was read with assumptions also
        has ``notes``.

    Examples
    --------
    >>> found = info(Trace.from_requests([0, 64, 4096], [0, 0, 1]))
    >>> found["reads"], found["writes"], found["span_bytes"], found["same_page_fraction"]
    (2, 1, 4096, 0.5)
    """
    if not isinstance(trace, OpTrace | RequestTrace):
        raise HbmArgumentError(f"a trace is needed, not {type(trace).__name__}; read one with read_trace")
    found: dict[str, Any] = {
        "name": trace.name,
        "format": trace.format,
        "kind": trace.kind,
        "sha256": trace.content_hash(),
        "file_bytes": os.path.getsize(trace.name) if os.path.isfile(trace.name) else None,
    }
    if trace.notes:
        found["notes"] = list(trace.notes)
    if isinstance(trace, OpTrace):
        return found | _operations(trace)
    return found | _requests(trace)


def _operations(trace: OpTrace) -> dict[str, Any]:
    phases: dict[str, dict[str, int]] = {}
    by_name: Counter[str] = Counter()
    read = written = runs = moving = collective = 0
    low: int | None = None
    high = 0
    stream = trace.operations(all=True)
    for operation in stream:
        r, w = operation.bytes_read, operation.bytes_written
        phase = phases.setdefault(
            operation.phase, {"operations": 0, "moving_operations": 0, "bytes_read": 0, "bytes_written": 0}
        )
        phase["operations"] += 1
        phase["moving_operations"] += bool(operation.accesses)
        phase["bytes_read"] += r
        phase["bytes_written"] += w
        by_name[operation.name] += r + w
        collective += is_collective(operation.name)
        read, written, moving = read + r, written + w, moving + bool(operation.accesses)
        for access in operation.accesses:
            first, end = access.span
            low = first if low is None else min(low, first)
            high = max(high, end)
            runs += access.n_runs
    allocator = stream.progress.allocator
    top = sorted(((n, name) for name, n in by_name.items() if n), key=lambda item: (-item[0], item[1]))[:TOP]
    return {
        "operations": sum(phase["operations"] for phase in phases.values()),
        "moving_operations": moving,
        "collective_operations": collective,
        **_traffic(read, written, low, high),
        "mean_run_bytes": (read + written) / runs if runs else None,
        "phases": phases,
        "top_operations": {name: n for n, name in top},
        "rewrites": list(trace.rewrites),
        "allocator_peak_bytes": None if allocator is None else allocator.peak_bytes,
        "allocator_reserved_bytes": None if allocator is None else allocator.reserved_bytes,
        "random_gathers": stream.progress.n_random_gathers,
    }


def _requests(trace: RequestTrace) -> dict[str, Any]:
    count = [0, 0]
    n_bytes = [0, 0]
    sized = True
    same = 0
    page: int | None = None
    low: int | None = None
    high = 0
    first_ps: int | None = None
    last_ps = 0
    for chunk in trace.chunks():
        writes = int(chunk.is_write.sum())
        count[0] += len(chunk) - writes
        count[1] += writes
        if chunk.size_bytes is None or not chunk.size_bytes.all():
            sized = False
        else:
            total = int(chunk.size_bytes.sum(dtype=np.uint64))
            written = int(chunk.size_bytes[chunk.is_write == 1].sum(dtype=np.uint64))
            n_bytes[0] += total - written
            n_bytes[1] += written
        if chunk.time_ps is not None:
            first_ps = int(chunk.time_ps[0]) if first_ps is None else first_ps
            last_ps = int(chunk.time_ps[-1])
        if len(chunk.address) == 0:
            continue
        pages = chunk.address >> np.uint64(PAGE_SHIFT)
        same += int((pages[1:] == pages[:-1]).sum()) + (page == int(pages[0]))
        page = int(pages[-1])
        size = np.uint64(1) if chunk.size_bytes is None else np.maximum(chunk.size_bytes, 1).astype(np.uint64)
        low = min(int(chunk.address.min()), int(chunk.address.max()) if low is None else low)
        high = max(high, int((chunk.address + (size - np.uint64(1))).max()) + 1)
    n = sum(count)
    found = _traffic(n_bytes[0], n_bytes[1], low, high)
    if not sized:
        found |= {"bytes_read": None, "bytes_written": None, "read_fraction": count[0] / n}
        if low is not None:
            found["span_bytes"] = high - 1 - low
            found["highest_address"] = high - 1
    return {
        "requests": n,
        "reads": count[0],
        "writes": count[1],
        **found,
        "timed": trace.timed,
        "duration_ns": None if first_ps is None else (last_ps - first_ps) / 1000,
        "same_page_fraction": same / (n - 1) if n > 1 and low is not None else None,
    }


def _traffic(read: int, written: int, low: int | None, high: int) -> dict[str, Any]:
    return {
        "bytes_read": read,
        "bytes_written": written,
        "read_fraction": read / (read + written) if read + written else None,
        "lowest_address": low,
        "highest_address": None if low is None else high - 1,
        "span_bytes": None if low is None else high - low,
    }
