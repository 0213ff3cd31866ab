"""Writing traces: any trace to DRAMsim3, Ramulator, DRAMSys or Parquet files, captures to hbmop.

Owns the conversion of operations to timed bursts and of times to cycles. Grammars live with their formats.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace.bursts import access_bursts, check_burst, run_bursts
from hbmmodel.trace.dramsim3 import Dramsim3
from hbmmodel.trace.dramsys import Stl
from hbmmodel.trace.hbmop_out import write_hbmop
from hbmmodel.trace.model import OpTrace, RequestChunk, RequestTrace, Trace
from hbmmodel.trace.problem import trace_error
from hbmmodel.trace.ramulator import LoadStore
from hbmmodel.trace.target import COMPRESSED, compressed, replacing
from hbmmodel.trace.text import I64_MAX, clock_ps

__all__ = ["WRITABLE", "convert", "requests_of", "write_trace"]

_LINE_WRITERS: dict[str, Dramsim3 | LoadStore | Stl] = {fmt.name: fmt for fmt in (Dramsim3(), LoadStore(), Stl())}
WRITABLE = (*_LINE_WRITERS, "parquet")
"""Formats of requests that can be written; operations can be written as ``hbmop`` too."""

_CHOICE = (*WRITABLE, "hbmop")

_SIZED = ("dramsys-stl", "parquet")


def convert(
    trace: Trace,
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    burst_bytes: int = 32,
    gb_per_s: float | None = None,
    launch_ns: float = 2000.0,
    clock_ns: float = 1.0,
) -> dict[str, Any]:
    """Write a trace to a file, streaming; operations are expanded to bursts on the way.

    Parameters
    ----------
    trace : Trace
        What to write.
    path : path
        Target; compressed if its name ends with ``.gz``, ``.xz`` or ``.zst``. It appears, or is replaced,
        only when everything is written. Of a symbolic link the file that it names is written.
    format : {"dramsim3", "ramulator-loadstore", "dramsys-stl", "parquet", "hbmop"}, optional
        None: by the target's name (``.dramsim3``, ``.ldst`` or ``.ramulator``, ``.stl``, ``.parquet``, ``.hbmop``).
        ``hbmop`` keeps operations as they are, see `hbmmodel.trace.hbmop_out.write_hbmop`; the rest is requests.
    burst_bytes : int
        Bytes per burst of an expanded operation; also of requests with sizes in formats without. The default is one
        burst of HBM, which is what `simulate` takes a request without a size for; with 64 (a transaction of
        DRAMsim3), say ``simulate(request_bytes=64)`` too.
    gb_per_s : float, optional
        Operations: their bursts follow each other at this rate [GB/s], and each operation starts
        `launch_ns` after the end of the one before. None: everything at time 0.
    launch_ns : float
        See `gb_per_s` [ns].
    clock_ns : float
        Period of the clock in which the text formats count times [ns]; times are rounded down.

    Returns
    -------
    dict
        ``path``, ``format``, ``requests`` (``operations`` of ``hbmop``) and ``bytes`` of the file.

    Raises
    ------
    HbmTraceError
        The trace is malformed, or cannot be expressed in the format.
    HbmArgumentError
        Unknown format, bad number, or the file cannot be written; or the target is a directory, a device, a
        pipe or a socket.

    Notes
    -----
    Ramulator files hold no times, DRAMsim3 and Ramulator files no sizes.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.dramsim3.trace"
    >>> convert(Trace.from_requests([0, 64], [0, 1], [0, 5000]), target)["requests"]
    2
    >>> print(target.read_text(), end="")
    0x0 READ 0
    0x40 WRITE 5
    """
    target = os.fsdecode(path)
    chosen = _format(target, format)
    if chosen == "hbmop":
        if gb_per_s is not None:
            raise HbmArgumentError("gb_per_s paces bursts; a capture keeps its operations")
        return write_hbmop(trace, target)
    check_burst(burst_bytes)
    period = clock_ps(clock_ns)
    stream = requests_of(trace, burst_bytes=burst_bytes, gb_per_s=gb_per_s, launch_ns=launch_ns)
    if chosen not in _SIZED:
        stream = _unsized(stream, burst_bytes)
    with replacing(target) as raw:
        count = _write(raw, target, chosen, trace, stream, period)
        raw.flush()
        size = os.fstat(raw.fileno()).st_size
    return {"path": target, "format": chosen, "requests": count, "bytes": size}


write_trace = convert


def requests_of(
    trace: Trace, *, burst_bytes: int = 32, gb_per_s: float | None = None, launch_ns: float = 2000.0
) -> Iterator[RequestChunk]:
    """Any trace as requests: those of a request trace as they are, operations as bursts (see `convert`)."""
    if isinstance(trace, RequestTrace):
        if gb_per_s is not None:
            raise HbmArgumentError("gb_per_s paces operations; a trace of requests keeps its own times")
        return trace.chunks()
    if isinstance(trace, OpTrace):
        return _paced(trace, burst_bytes, _rate(gb_per_s), _launch(launch_ns))
    raise HbmArgumentError(f"a trace is needed, not {type(trace).__name__}; read one with read_trace")


def _rate(gb_per_s: float | None) -> Fraction | None:
    if gb_per_s is None:
        return None
    try:
        rate = Fraction(repr(float(gb_per_s)))
    except (TypeError, ValueError, OverflowError):
        rate = Fraction(0)
    if not Fraction(1, 1000) <= rate <= 10**9:
        raise HbmArgumentError(f"gb_per_s is {gb_per_s!r}; give a rate in 0.001..1e9 GB/s")
    return rate


def _launch(launch_ns: float) -> Fraction:
    try:
        launch = Fraction(repr(float(launch_ns)))
    except (TypeError, ValueError, OverflowError):
        launch = Fraction(-1)
    if not 0 <= launch <= 10**12:
        raise HbmArgumentError(f"launch_ns is {launch_ns!r}; give a time in 0..1e12 ns")
    return launch * 1000


def _paced(trace: OpTrace, burst_bytes: int, rate: Fraction | None, launch_ps: Fraction) -> Iterator[RequestChunk]:
    """Bursts of all operations; GB/s is bytes per ns, so a burst takes ``1000 * burst / rate`` ps."""
    step = Fraction(0) if rate is None else Fraction(1000 * burst_bytes) / rate
    launch = Fraction(0) if rate is None else launch_ps
    start = Fraction(0)
    record = 0
    for operation in trace.operations():
        n = 0
        for access in operation.accesses:
            for burst in access_bursts(access, burst_bytes):
                yield RequestChunk(
                    burst.astype(np.uint64),
                    np.full(len(burst), access.is_write, np.uint8),
                    np.full(len(burst), burst_bytes, np.uint32),
                    _times(trace.name, start, step, n, len(burst)),
                    record,
                )
                n += len(burst)
                record += len(burst)
        start += n * step + launch
    if record == 0:
        raise HbmTraceError(f"{trace.name}: no operation moves a byte; there is nothing to write")


def _times(name: str, start: Fraction, step: Fraction, first: int, count: int) -> NDArray[np.int64]:
    """Floor of ``start + i * step`` for i from `first`, exactly."""
    origin = start + first * step
    if origin + count * step > I64_MAX:
        raise trace_error(name, "the paced run is longer than 2^63 ps", remedy="raise gb_per_s")
    whole = origin.__floor__()
    den = (origin.denominator * step.denominator) if step else origin.denominator
    rest, pace = int((origin - whole) * den), int(step * den)
    if rest + pace * count > I64_MAX:
        return np.array([whole + (rest + pace * i) // den for i in range(count)], np.int64)
    return np.int64(whole) + (rest + pace * np.arange(count, dtype=np.int64)) // den


def _unsized(stream: Iterator[RequestChunk], burst_bytes: int) -> Iterator[RequestChunk]:
    """Requests of more than one burst, or of part of one, as the bursts that they touch."""
    for chunk in stream:
        size = chunk.size_bytes
        if size is None:
            yield chunk
            continue
        last = chunk.address + (size.astype(np.uint64) - np.uint64(1))
        for owner, burst in run_bursts(chunk.address, last, burst_bytes):
            yield RequestChunk(
                burst,
                chunk.is_write[owner],
                None,
                None if chunk.time_ps is None else chunk.time_ps[owner],
                chunk.first_record,
            )


def _format(target: str, format: str | None) -> str:
    if format is not None:
        if format not in _CHOICE:
            raise HbmArgumentError(f"format is {format!r}; {', '.join(_CHOICE)} can be written")
        return format
    parts = os.path.basename(target).lower().split(".")
    for fmt in _LINE_WRITERS.values():
        if any(suffix[1:] in parts[1:] for suffix in fmt.suffixes):
            return fmt.name
    for name in ("parquet", "hbmop"):
        if name in parts[1:]:
            return name
    raise HbmArgumentError(f"{target}: the name does not tell the format; pass format= one of {', '.join(_CHOICE)}")


def _write(
    raw: BinaryIO, target: str, chosen: str, trace: Trace, stream: Iterator[RequestChunk], period: Fraction
) -> int:
    count = 0
    writer: Any = None
    with ExitStack() as stack:
        suffix = os.path.splitext(target)[1].lower()
        if chosen == "parquet" and suffix in COMPRESSED:
            raise HbmArgumentError(f"{target}: parquet compresses inside the file; leave {suffix} out of the name")
        out: Any = raw if chosen == "parquet" else compressed(raw, target, stack)
        for chunk in stream:
            if len(chunk.address) != len(chunk):
                raise HbmTraceError(
                    f"{trace.name}: coordinates, not addresses; pass to_address= when reading the trace"
                )
            if chosen == "parquet":
                if writer is None:
                    from hbmmodel.trace.parquet import ParquetWriter

                    sized = chunk.size_bytes is not None or trace.format.startswith("dramsys")
                    writer = ParquetWriter(out, chunk.time_ps is not None, sized)
                    stack.callback(writer.close)
                writer.write(chunk)
            else:
                if chosen == LoadStore.name:
                    _refuse_high(trace.name, chunk, count)
                out.write(_LINE_WRITERS[chosen].format(chunk, _cycles(chunk, period)).encode())
            count += len(chunk)
    return count


def _refuse_high(name: str, chunk: RequestChunk, count: int) -> None:
    bad = np.flatnonzero(chunk.address > np.uint64(I64_MAX))
    if len(bad):
        raise trace_error(
            name,
            "Ramulator reads addresses below 2^63 only",
            record=count + int(bad[0]),
            field="address",
            got=hex(int(chunk.address[bad[0]])),
            remedy="choose another format",
        )


def _cycles(chunk: RequestChunk, period: Fraction) -> list[int]:
    """Times in periods of the clock, rounded down; 0 where there are none."""
    if chunk.time_ps is None:
        return [0] * len(chunk)
    num, den = period.numerator, period.denominator
    if num * den > I64_MAX:
        return [time * den // num for time in chunk.time_ps.tolist()]
    whole, rest = np.divmod(chunk.time_ps, num)
    if int(whole.max(initial=0)) > I64_MAX // den - 1:
        return [time * den // num for time in chunk.time_ps.tolist()]
    cycles: list[int] = (whole * den + rest * den // num).tolist()
    return cycles
