"""What the tests of address maps and of `simulate` share: operations in one line, logs as addresses, small systems.

Nothing here calculates what the core calculates: expansion is written out burst by burst, in plain Python.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hbmmodel as hbm
from hbmmodel import _core
from hbmmodel.commands import Command
from hbmmodel.device.presets import load
from hbmmodel.mapping import FIELDS
from hbmmodel.trace import Access, Operation, OpTrace, Trace

PRESETS = [(name, variant) for name in hbm.devices() for variant in load(name).variants]
"""Every preset with every of its stack variants."""

NO_REFRESH = hbm.Controller(refresh="none")
READS = (Command.RD, Command.RDA)
WRITES = (Command.WR, Command.WRA)


def small(name: str = "HBM4_8000", variant: str | None = None, channels: int = 1, **options: Any) -> hbm.System:
    """A system of few channels: short runs meet many rules."""
    overrides = options.pop("overrides", {})
    return hbm.System(hbm.device(name, variant, channels=channels, **overrides), **options)


def core_of(
    system: hbm.System, *, threads: int = 1, log: bool = True, epoch_ticks: int = 400, skip: bool = True
) -> Any:
    """The core of a system, as `simulate` makes it."""
    return _core.CoreSystem(
        system.map.core,
        system.policy(),
        host_ticks=system.host_ticks,
        window=system.window_bursts,
        threads=threads,
        command_log=log,
        epoch_ticks=epoch_ticks,
        skip=skip,
    )


def reads(base: int, n_bytes: int, dims: Sequence[tuple[int, int]] = (), rows: Any = None) -> Access:
    """An operand that is read: runs of `n_bytes`, strided by `dims`, or at the offsets `rows`."""
    return Access(False, 0, base, n_bytes, tuple(dims), None if rows is None else np.asarray(rows, np.int64))


def writes(base: int, n_bytes: int, dims: Sequence[tuple[int, int]] = (), rows: Any = None) -> Access:
    """An operand that is written."""
    return Access(True, 0, base, n_bytes, tuple(dims), None if rows is None else np.asarray(rows, np.int64))


def operation(index: int, *accesses: Access, time_ns: int = 0, phase: str = "") -> Operation:
    """An operation of these operands."""
    return Operation(index, index, f"op{index}", phase, time_ns, 0, accesses)


def trace_of(*operations: Operation | Sequence[Access]) -> OpTrace:
    """A trace of operations; a sequence of operands stands for one."""
    made = [o if isinstance(o, Operation) else operation(i, *o) for i, o in enumerate(operations)]
    return Trace.from_operations(made)


def starts_of_runs(access: Access) -> Iterator[int]:
    """First byte of every run of an operand, in order."""
    if access.row_offsets is not None:
        yield from (access.base_address + int(offset) for offset in access.row_offsets)
        return
    for place in itertools.product(*(range(count) for count, _ in access.dims)):
        yield access.base_address + sum(k * stride for k, (_, stride) in zip(place, access.dims, strict=True))


def bursts_of(access: Access, burst_bytes: int = 32) -> list[int]:
    """Numbers of the bursts that an operand moves; runs that meet inside a burst move it once."""
    found: list[int] = []
    last = -1
    for byte in starts_of_runs(access):
        first, end = byte // burst_bytes, (byte + access.run_bytes - 1) // burst_bytes + 1
        found.extend(range(first + (first == last), end))
        last = end - 1
    return found


def coordinates_of(rows: NDArray[Any]) -> NDArray[np.int32]:
    """Rows of a command log in the order of the map's fields."""
    return np.stack([rows[name].astype(np.int32) for name in FIELDS], axis=1)


def addresses_moved(system: hbm.System, log: NDArray[Any], commands: Sequence[int]) -> NDArray[np.uint64]:
    """Ascending addresses of the bursts that column commands moved."""
    rows = log[np.isin(log["command"], [int(c) for c in commands])]
    return np.sort(system.map.encode(coordinates_of(rows)))


def column_ticks(log: NDArray[Any], commands: Sequence[int] = READS) -> NDArray[np.int64]:
    """Stamps of column commands."""
    return np.asarray(log["tick"][np.isin(log["command"], [int(c) for c in commands])])
