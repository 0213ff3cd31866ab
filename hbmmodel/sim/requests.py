"""Requests into the core: chunks of a trace as blocks of single bursts with arrival ticks.

Owns the cutting into bursts and blocks; must not know operations or results.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmAddressError, HbmArgumentError
from hbmmodel.sim.borders import Borders
from hbmmodel.sim.interrupt import Stop, interrupted
from hbmmodel.sim.progress import Bar, Moved
from hbmmodel.system import System

if TYPE_CHECKING:
    from hbmmodel._core import CoreSystem
    from hbmmodel.trace import RequestChunk, RequestTrace

__all__ = ["BLOCK_REQUESTS", "run_requests"]

#: Requests per block.  A channel takes up a block when it has accepted all of the block before, so this is part of
#: what a result means for traces that are longer.
BLOCK_REQUESTS = 1 << 21


Piece = tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.int64] | None]


def run_requests(
    core: CoreSystem,
    system: System,
    trace: RequestTrace,
    moved: Moved,
    *,
    mode: str,
    wrap: bool,
    request_bytes: int | None,
    progress: bool,
    borders: Borders | None = None,
    stop: Stop,
) -> None:
    """Feed all requests of a trace; those without a size are `request_bytes` long, or one burst.

    When `stop` is asked for, no more are read, and those that were read are run.
    """
    burst_bytes = system.device.organisation.burst_bytes
    total = None if trace.known_records is None else trace.known_records * (request_bytes or burst_bytes)
    offered = 0

    def run_block() -> None:
        nonlocal offered
        if offered and borders is None:
            core.accept()
        elif offered and borders is not None:
            borders.run(system.n_channels, last=False)
        bar.add(offered * burst_bytes)
        offered = 0

    with Bar(progress, total, os.path.basename(trace.name), burst_bytes) as bar:
        chunks = trace.chunks()
        for chunk in chunks:
            address, size = _placed(chunk, system, request_bytes, wrap, trace.name)
            tick = _ticks_of_ps(chunk, system, trace.name) if mode == "paced" else None
            if size is None:
                moved.address_bits |= int(np.bitwise_or.reduce(address, initial=np.uint64(0)))
            else:
                moved.sized = True
            moved.records += len(address)
            moved.runs += len(address)
            moved.bytes_asked += len(address) * burst_bytes if size is None else int(size.sum(dtype=np.int64))
            is_write = np.ascontiguousarray(chunk.is_write, dtype=np.uint8)
            for piece in _pieces(address, size, is_write, tick, burst_bytes):
                core.requests(*piece, wrap, run=False)
                offered += len(piece[0])
                if offered >= BLOCK_REQUESTS:
                    run_block()
            if stop.asked and next(chunks, None) is not None:
                last = {"record": chunk.first_record + len(address) - 1}
                whole = None if moved.sized else total
                moved.interrupted = interrupted("records", moved.records, last, moved.bytes_asked, whole)
                break
        run_block()
        if borders is not None:
            borders.run(system.n_channels, last=True)


def _placed(
    chunk: RequestChunk, system: System, request_bytes: int | None, wrap: bool, name: str
) -> tuple[NDArray[np.uint64], NDArray[np.uint64] | None]:
    """Addresses inside the stacks, and sizes unless every request is one burst."""
    if chunk.vector is not None:
        address = _addresses_of_vectors(chunk.vector, system, name, chunk.first_record)
    else:
        address = np.ascontiguousarray(chunk.address, dtype=np.uint64)
    size: NDArray[np.uint64] | None = None
    if chunk.size_bytes is not None:
        size = chunk.size_bytes.astype(np.uint64)
    elif request_bytes is not None:
        size = np.full(len(address), request_bytes, dtype=np.uint64)
    capacity = np.uint64(system.capacity_bytes)
    if wrap:
        return address % capacity, size
    if size is None and address.max(initial=0) < capacity:
        return address, None
    length = np.uint64(1) if size is None else size
    outside = np.flatnonzero((length > capacity) | (address > capacity - np.minimum(length, capacity)))
    if len(outside):
        i = int(outside[0])
        low, high = int(address[i]), int(address[i]) + int(np.broadcast_to(length, address.shape)[i])
        raise HbmAddressError(
            f"{name}: record {chunk.first_record + i}: bytes {low:#x}..{high:#x} lie outside the stacks, capacity "
            f"{system.capacity_bytes:#x}; use more stacks, a larger variant, or wrap=True"
        )
    return address, size


def _pieces(
    address: NDArray[np.uint64],
    size: NDArray[np.uint64] | None,
    is_write: NDArray[np.uint8],
    tick: NDArray[np.int64] | None,
    burst_bytes: int,
) -> Iterator[Piece]:
    """Single bursts, at most a block at a time: a request touches every burst that it overlaps, in ascending order."""
    if size is None:
        yield address, is_write, tick
        return
    burst = np.uint64(burst_bytes)
    first = address // burst
    count = ((address + size - np.uint64(1)) // burst - first + np.uint64(1)).astype(np.int64)
    ends = np.cumsum(count)
    total, done = int(ends[-1]) if len(ends) else 0, 0
    while done < total:
        # Bursts [done, stop) of the chunk: from inside one request to inside another.
        stop = min(done + BLOCK_REQUESTS, total)
        low, high = np.searchsorted(ends, [done, stop - 1], side="right")
        part = slice(int(low), int(high) + 1)
        starts = np.maximum(ends[part] - count[part], done)
        lengths = np.minimum(ends[part], stop) - starts
        # What burst number and position differ by is one number per request.
        ahead = first[part].astype(np.int64) - (ends[part] - count[part])
        number = np.repeat(ahead, lengths) + np.arange(done, stop, dtype=np.int64)
        yield (
            number.astype(np.uint64) * burst,
            np.repeat(is_write[part], lengths),
            None if tick is None else np.repeat(tick[part], lengths),
        )
        done = stop


def _addresses_of_vectors(
    vector: NDArray[np.int32], system: System, name: str, first_record: int
) -> NDArray[np.uint64]:
    """Device coordinates (channel, pseudo-channel, SID, bank group, bank, row, column) as addresses of this system."""
    levels = ("channel", "pseudo_channel", "sid", "bank_group", "bank", "row", "column")
    if vector.shape[1] != len(levels):
        raise HbmArgumentError(
            f"{name}: record {first_record}: vectors of {vector.shape[1]} entries; HBM needs {len(levels)}: "
            + ", ".join(levels)
        )
    of = system.device.organisation
    sizes = (of.channels, of.pseudo_channels, of.sids, of.bank_groups, of.banks_per_group, of.rows, of.columns)
    outside = np.argwhere(vector >= np.array(sizes))
    if len(outside):
        i, level = (int(x) for x in outside[0])
        raise HbmAddressError(
            f"{name}: record {first_record + i}: {levels[level]} {vector[i, level]} is outside 0..{sizes[level] - 1}; "
            "name the device that the trace was made for"
        )
    stack = np.zeros((len(vector), 1), dtype=np.int32)
    return system.map.encode(np.hstack([stack, vector.astype(np.int32)]))


def _ticks_of_ps(chunk: RequestChunk, system: System, name: str) -> NDArray[np.int64]:
    """The first tick at or after each time, exactly."""
    time_ps = chunk.time_ps
    assert time_ps is not None
    numerator, denominator = system.tick_ps.numerator, system.tick_ps.denominator
    most = (1 << 62) // denominator - 1
    if len(time_ps) and int(time_ps[-1]) > most:
        i = int(np.argmax(time_ps > most))
        raise HbmArgumentError(
            f"{name}: record {chunk.first_record + i}: its time is {int(time_ps[i])} ps;"
            f" at most {most} ps can be simulated"
        )
    scaled = time_ps * np.int64(denominator)
    return np.ascontiguousarray(-(-scaled // np.int64(numerator)))
