"""Plain patterns: streams, strides, random rows, chases of pointers, copies and triads.

Owns the patterns; must not know why anyone runs them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hbmmodel.checks import check_choice, check_flag, check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.model import Operation
from hbmmodel.workload.program import GeneratedTrace, Program

__all__ = ["synthetic"]

PATTERNS = ("stream", "stride", "random", "pointer_chase", "copy", "triad")
ROWS_PER_OPERATION = 1 << 16
HOPS_MAX = 1 << 24


def synthetic(
    pattern: str = "stream",
    *,
    total_bytes: int = 1 << 26,
    granule_bytes: int = 64,
    stride_bytes: int = 4096,
    span_bytes: int = 1 << 30,
    chains: int = 1,
    write: bool = False,
    seed: int = 0,
) -> GeneratedTrace:
    """A plain pattern of accesses.

    Parameters
    ----------
    pattern : {"stream", "stride", "random", "pointer_chase", "copy", "triad"}
        ``stream``: one after the other. ``stride``: `granule_bytes` every `stride_bytes`. ``random``: granules
        anywhere in
        `span_bytes`. ``pointer_chase``: the same, each after the one before has come, in `chains` at once. ``copy``:
        a = b. ``triad``: a = b + s c.
    total_bytes : int
        Bytes moved in all, rounded down to whole granules or to equal arrays.
    granule_bytes : int
        Bytes of one access of stride, random and pointer_chase.
    stride_bytes : int
        From one granule to the next.
    span_bytes : int
        Where random granules lie.
    chains : int
        Pointer chases side by side, hop by hop.
    write : bool
        Write instead of reading; for stream, stride and random.
    seed : int
        Of random granules.

    Returns
    -------
    OpTrace
        Phase ``synthetic``.

    Raises
    ------
    HbmArgumentError
        An argument is out of range.

    Source
    ------
    Copy and triad: McCalpin, STREAM. Bytes are those of the arrays, without a read of what is written.

    Examples
    --------
    >>> [op.bytes_read for op in synthetic("triad", total_bytes=3 << 20).operations()]
    [2097152]
    >>> len(list(synthetic("pointer_chase", total_bytes=6400).operations()))
    100
    """
    check_choice("pattern", pattern, PATTERNS)
    check_whole("total_bytes", total_bytes, 1, 1 << 50)
    check_whole("granule_bytes", granule_bytes, 1, 1 << 30)
    check_whole("stride_bytes", stride_bytes, granule_bytes, 1 << 40)
    check_whole("span_bytes", span_bytes, granule_bytes, 1 << 50)
    check_whole("chains", chains, 1, ROWS_PER_OPERATION)
    check_flag("write", write)
    check_whole("seed", seed, 0, (1 << 63) - 1)
    arrays = {"copy": 2, "triad": 3}.get(pattern, 0)
    if write and (arrays or pattern == "pointer_chase"):
        raise HbmArgumentError(f"write has no meaning in the pattern {pattern!r}; leave it out")
    if total_bytes < max(arrays, 1 if pattern == "stream" else granule_bytes):
        raise HbmArgumentError(f"total_bytes is {total_bytes}; give at least one granule, {granule_bytes} bytes")
    granules = total_bytes // granule_bytes
    if pattern == "pointer_chase" and granules // chains > HOPS_MAX:
        raise HbmArgumentError(f"total_bytes makes {granules // chains} hops; at most {HOPS_MAX} can be generated")

    def make(program: Program) -> Iterator[Operation]:
        program.phase = "synthetic"
        op = program.operation
        if arrays:
            each = total_bytes // arrays
            tensors = [program.tensor(each, "") for _ in range(arrays)]
            yield op(pattern, [t.read() for t in tensors[1:]], [tensors[0].write()])
            return
        if pattern == "stream":
            tensor = program.tensor(total_bytes, "")
            access = tensor.write() if write else tensor.read()
        elif pattern == "stride":
            tensor = program.tensor((granules - 1) * stride_bytes + granule_bytes, "")
            dims = ((granules, stride_bytes),)
            access = tensor.write(granule_bytes, 0, dims) if write else tensor.read(granule_bytes, 0, dims)
        else:
            yield from rows(program)
            return
        yield op(pattern, [] if write else [access], [access] if write else [])

    def rows(program: Program) -> Iterator[Operation]:
        tensor = program.tensor(span_bytes, "")
        rng = np.random.default_rng(seed)
        chase = pattern == "pointer_chase"
        each = chains if chase else ROWS_PER_OPERATION
        for first in range(0, granules, each):
            count = min(each, granules - first)
            places = rng.integers(0, span_bytes // granule_bytes, size=count) * np.int64(granule_bytes)
            access = tensor.write(granule_bytes, rows=places) if write else tensor.read(granule_bytes, rows=places)
            yield program.operation(pattern, [] if write else [access], [access] if write else [], after_all=chase)

    own = {
        **{"pattern": pattern, "total_bytes": total_bytes, "granule_bytes": granule_bytes},
        **{"stride_bytes": stride_bytes, "span_bytes": span_bytes, "chains": chains, "write": write, "seed": seed},
    }
    facts = {"kind": "synthetic", "model": pattern, "parameters": 0, "devices_alike": 1, "steps": 1, "weight_bytes": 0}
    name = f"workload:synthetic,pattern={pattern},total_bytes={total_bytes}" + ",write=true" * write
    return GeneratedTrace(name, {"kind": "synthetic", **own}, facts, make)
