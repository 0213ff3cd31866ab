"""Synthetic traffic whose outcome can be told in advance: streams, pieces of rows, lone reads.

It owns addresses and their order; it must not know what is expected of any of it (``bounds``,
``hardware``). Every random choice comes from a seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError
from hbmmodel.system import System
from hbmmodel.trace import Access, Operation, OpTrace, RequestTrace, Trace

__all__ = ["bank_rotation_bytes", "lone_reads", "many_streams", "pieces", "stream"]

_Ints = NDArray[np.int64]


def bank_rotation_bytes(system: System) -> int:
    """Bytes after which the map ``row-bank-column-channel`` comes back to the same bank, in the next row.

    Parameters
    ----------
    system : System
        What is simulated.
    """
    organisation = system.device.organisation
    return system.n_pseudo_channels * organisation.banks * organisation.page_bytes


def stream(operands: str, operand_bytes: int, *, bases: Sequence[int] | None = None) -> OpTrace:
    """One operation that reads and writes whole operands side by side.

    Parameters
    ----------
    operands : str
        One letter per operand, ``r`` read or ``w`` written: ``"rrw"`` is a triad, ``"rw"`` a copy.
    operand_bytes : int
        Size of each operand.
    bases : sequence of int, optional
        First byte of each; None: one behind the other.

    Returns
    -------
    OpTrace

    Raises
    ------
    HbmArgumentError
        A letter is neither ``r`` nor ``w``, or the number of bases is not that of the letters.

    Examples
    --------
    >>> operation = next(stream("rrw", 1 << 20).operations())
    >>> operation.bytes_read, operation.bytes_written
    (2097152, 1048576)
    """
    starts = [i * operand_bytes for i in range(len(operands))] if bases is None else list(bases)
    if not operands or set(operands) - set("rw") or len(starts) != len(operands):
        raise HbmArgumentError(f"operands {operands!r} with {len(starts)} bases: one base per letter, r or w")
    accesses = tuple(
        Access(letter == "w", i, start, operand_bytes)
        for i, (letter, start) in enumerate(zip(operands, starts, strict=True))
    )
    return Trace.from_operations([Operation(0, 0, operands, "", 0, 0, accesses)], name=f"<stream {operands}>")


def pieces(
    system: System,
    bursts: int,
    n: int,
    *,
    random_banks: bool = True,
    pseudo_channels: Sequence[int] = (0, 1),
    is_write: bool = False,
    seed: int = 1,
) -> RequestTrace:
    """Pieces of random rows of channel 0, each of some bursts of one row that follow each other.

    Parameters
    ----------
    system : System
        What is simulated; gives the address map.
    bursts : int
        Length of a piece: what one ACT is good for.
    n : int
        Pieces per pseudo-channel.
    random_banks : bool
        Banks at random; else in turn, bank groups fastest and SIDs slowest.
    pseudo_channels : sequence of int
        Where pieces go.
    is_write : bool
        Direction.
    seed : int
        Of the random choices.

    Returns
    -------
    RequestTrace
        Requests of one burst without times; the pseudo-channels take turns.

    Examples
    --------
    >>> from hbmmodel.device import device
    >>> pieces(System(device("HBM4_8000")), bursts=4, n=10).known_records
    80
    """
    organisation = system.device.organisation
    rng = np.random.default_rng(seed)
    parts = []
    for pseudo_channel in pseudo_channels:
        bank = rng.integers(organisation.banks, size=n) if random_banks else np.arange(n) % organisation.banks
        sid, rest = np.divmod(bank, organisation.bank_groups * organisation.banks_per_group)
        column = rng.integers(organisation.columns // bursts, size=n) * bursts
        first = np.zeros((n, 8), dtype=np.int64)
        first[:, 2] = pseudo_channel
        first[:, 3] = sid
        first[:, 4] = rest % organisation.bank_groups
        first[:, 5] = rest // organisation.bank_groups
        first[:, 6] = rng.integers(organisation.rows, size=n)
        first[:, 7] = column
        places = np.repeat(first, bursts, axis=0)
        places[:, 7] += np.tile(np.arange(bursts), n)
        parts.append(places)
    coordinates = np.stack(parts, axis=1).reshape(-1, 8)
    return Trace.from_requests(
        system.map.encode(coordinates), np.full(len(coordinates), is_write), name=f"<pieces of {bursts}>"
    )


def lone_reads(system: System, n: int, gap_ns: int, *, seed: int = 0) -> RequestTrace:
    """Reads of one burst at random places, so far apart that none meets another: a pointer chase.

    Parameters
    ----------
    system : System
        What is simulated.
    n : int
        Reads.
    gap_ns : int
        Time between two.
    seed : int
        Of the places.
    """
    burst_bytes = system.device.organisation.burst_bytes
    rng = np.random.default_rng(seed)
    burst = rng.integers(system.capacity_bytes // burst_bytes, size=n)
    address = burst.astype(np.uint64) * np.uint64(burst_bytes)
    times = np.arange(n, dtype=np.int64) * (gap_ns * 1000)
    return Trace.from_requests(address, np.zeros(n, dtype=bool), time_ps=times, name="<lone reads>")


def many_streams(
    system: System, streams: int, line_bytes: int, read_share: float, n: int, *, seed: int = 0
) -> RequestTrace:
    """Lines of many sequential streams in random order, as the cores of a processor send them.

    Parameters
    ----------
    system : System
        What is simulated.
    streams : int
        Streams that are read, and as many that are written.
    line_bytes : int
        What one request moves.
    read_share : float
        Share of the requests that read, 0..1.
    n : int
        Requests.
    seed : int
        Of all random choices.
    """
    rng = np.random.default_rng(seed)
    writes = rng.random(n) >= read_share
    stream_of = rng.integers(streams, size=n) * 2 + writes
    turn: _Ints = np.zeros(n, dtype=np.int64)
    for one in np.unique(stream_of):
        members = np.flatnonzero(stream_of == one)
        turn[members] = np.arange(len(members))
    region = system.capacity_bytes // (2 * streams) // 4096 * 4096
    start = np.arange(2 * streams) * region + rng.integers(region // 2 // 4096, size=2 * streams) * 4096
    address = (start[stream_of] + turn * line_bytes).astype(np.uint64)
    size = np.full(n, line_bytes)
    return Trace.from_requests(address, writes, size=size, name=f"<{streams} streams>")
