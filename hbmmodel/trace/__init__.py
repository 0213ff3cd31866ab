"""Traces: what a run does to memory, from files, arrays and captures.

The public names of the room. Readers, writers and models live in the modules behind them; nothing here knows
devices or how a trace is simulated.
"""

from __future__ import annotations

from hbmmodel.trace.access import Access
from hbmmodel.trace.bursts import count_transactions
from hbmmodel.trace.info import info
from hbmmodel.trace.model import Operation, Operations, OpTrace, RequestChunk, RequestTrace, Trace
from hbmmodel.trace.pages import Pages
from hbmmodel.trace.problem import HbmTraceWarning
from hbmmodel.trace.read import read_trace
from hbmmodel.trace.records import RecordedTrace
from hbmmodel.trace.snapshot import Snapshot, compare_allocator, read_snapshot
from hbmmodel.trace.write import convert, write_trace

__all__ = [
    "Access",
    "HbmTraceWarning",
    "OpTrace",
    "Operation",
    "Operations",
    "Pages",
    "RecordedTrace",
    "RequestChunk",
    "RequestTrace",
    "Snapshot",
    "Trace",
    "compare_allocator",
    "convert",
    "count_transactions",
    "info",
    "read_snapshot",
    "read_trace",
    "write_trace",
]
