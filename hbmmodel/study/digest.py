"""What a trace is to a simulator, as one number: two that differ only in where they came from are the same.

Owns the digest; must not know formats.
"""

from __future__ import annotations

import hashlib
import json

from hbmmodel.trace import OpTrace, RequestTrace

__all__ = ["trace_digest"]


def trace_digest(trace: OpTrace | RequestTrace) -> str:
    """SHA-256 (hex) of everything that a pass over the trace yields: selection, pages and rewrites included.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> a, b = (hbm.Trace.from_requests([0, x], [False, False]) for x in (64, 128))
    >>> trace_digest(a) == trace_digest(a) != trace_digest(b)
    True
    """
    hasher = hashlib.sha256(trace.kind.encode())
    if isinstance(trace, RequestTrace):
        for chunk in trace.chunks():
            for column in (chunk.address, chunk.is_write, chunk.size_bytes, chunk.time_ps, chunk.vector):
                hasher.update(b"-" if column is None else str(column.dtype).encode() + column.tobytes())
        return hasher.hexdigest()
    hasher.update(json.dumps(dict(trace.workload or {}), sort_keys=True).encode())
    for operation in trace.operations():
        hasher.update(repr((operation.name, operation.phase, operation.time_ns, operation.after_all)).encode())
        for a in operation.accesses:
            told = (a.is_write, a.storage, a.base_address, a.run_bytes, a.dims, a.tensor_class, a.unmapped)
            hasher.update(repr(told).encode())
            if a.row_offsets is not None:
                hasher.update(a.row_offsets.tobytes())
    return hasher.hexdigest()
