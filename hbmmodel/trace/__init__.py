"""Traces: what a run does to memory, from files, arrays and captures.

The public names of the room. Readers, writers and models live in the modules behind them; nothing here knows
devices or how a trace is simulated.
"""

from __future__ import annotations

from hbmmodel.trace.access import Access
from hbmmodel.trace.model import Operation, Operations, OpTrace, RequestChunk, RequestTrace, Trace

__all__ = ["Access", "OpTrace", "Operation", "Operations", "RequestChunk", "RequestTrace", "Trace"]
