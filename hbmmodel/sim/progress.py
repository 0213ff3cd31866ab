"""What a run keeps track of while it goes on: what was asked for, and a bar for the person who waits.

Owns the record `Moved` and the bar; must not know how anything is issued.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOT_ISSUED", "Bar", "Moved"]

NOT_ISSUED = -1
"""Start of a number that no operation has: the run was stopped, or of several programs none took it."""

LABEL_MAX = 24
#: The largest alignment that is told.
ALIGNMENT_MAX_BYTES = 4096


@dataclass
class Moved:
    """What a run asked for, for the conservation checks and the trace's part of the result."""

    records: int = 0
    bytes_asked: int = 0
    runs: int = 0
    names: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    start_ticks: list[int] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    traffic_classes: list[str] = field(default_factory=list)
    class_bytes: dict[tuple[str, bool], dict[int, int]] = field(default_factory=dict)
    """Bytes asked for by (tensor class, whether written), then by number of the operation."""
    interrupted: dict[str, Any] | None = None
    """What `hbmmodel.sim.interrupt.interrupted` says, of a run that was stopped."""
    address_bits: int = 0
    """Every bit that is set in any address of requests without a size."""
    sized: bool = False

    def class_columns(self) -> dict[str, NDArray[np.int64]]:
        """Bytes asked for by every operation, one column per tensor class and direction that occurs."""
        columns = {}
        for (label, is_write), found in sorted(self.class_bytes.items()):
            column = np.zeros(len(self.names), dtype=np.int64)
            column[list(found)] = list(found.values())
            columns[f"{label}_bytes_{'written' if is_write else 'read'}"] = column
        return columns

    @property
    def address_alignment_bytes(self) -> int | None:
        """Largest power of two (<= 4096) that divides the addresses of all requests, if none has a size."""
        if self.sized or self.records == 0 or self.names:
            return None
        return min(self.address_bits & -self.address_bits or ALIGNMENT_MAX_BYTES, ALIGNMENT_MAX_BYTES)


class Bar:
    """A progress bar in bytes, or nothing."""

    def __init__(self, show: bool, total: int | None, name: str, burst_bytes: int) -> None:
        self._bar: Any = None
        self._burst_bytes = burst_bytes
        if show:
            from tqdm import tqdm

            label = name if len(name) <= LABEL_MAX else name[: LABEL_MAX - 1] + "~"
            # Room for the rates at 80 columns; without a total there is no bar and no time left.
            form = "{desc}:{percentage:3.0f}%|{bar}| {rate_fmt}{postfix} [{elapsed}<{remaining}]" if total else None
            self._bar = tqdm(
                total=total, desc=label, unit="B", unit_scale=True, dynamic_ncols=True, mininterval=0.1, bar_format=form
            )
            self._began_s = time.monotonic()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, n_bytes: int) -> None:
        """Move on by so many bytes."""
        if self._bar is not None:
            self._bar.update(n_bytes)
            seconds = max(time.monotonic() - self._began_s, 1e-3)
            bursts = self._bar.format_sizeof(self._bar.n / self._burst_bytes / seconds)
            self._bar.set_postfix_str(f"{bursts} bursts/s", refresh=False)
