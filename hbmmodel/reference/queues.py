"""Requests, and the queues in which they wait, as plain lists in order of acceptance.

Owns: the request, the queue entry, and the questions the controller's rules ask of a queue.
Must not know: timing, refresh, which command is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """One burst as the trace gives it.

    Parameters
    ----------
    arrival
        Earliest tick at which it may be accepted; -1: as early as it is accepted, latency counts from there.
    is_write
        Write or read.
    bank
        Flat bank number inside the pseudo-channel.
    row, column
        Row, and column address of the burst.

    Examples
    --------
    >>> Request(arrival=-1, is_write=False, bank=0, row=7, column=3).row
    7
    """

    arrival: int
    is_write: bool
    bank: int
    row: int
    column: int

    def same_place(self, other: Request) -> bool:
        """Whether both touch the same burst."""
        return (self.bank, self.row, self.column) == (other.bank, other.row, other.column)


@dataclass
class Entry:
    """A request in a queue.

    Attributes
    ----------
    sequence
        Order of acceptance within the pseudo-channel, reads and writes together.
    index
        Position of the request in its input.
    counted
        Whether a first command was already caused by it (row statistics count each entry once).
    """

    request: Request
    sequence: int
    index: int
    counted: bool = False


class Queue:
    """The read queue or the write queue of a pseudo-channel, oldest entry first."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.entries: list[Entry] = []

    def __len__(self) -> int:
        """Count the entries."""
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        """Run over the entries, oldest first."""
        return iter(self.entries)

    def has_room(self) -> bool:
        """Whether one more entry fits."""
        return len(self.entries) < self.size

    def append(self, entry: Entry) -> None:
        """Add the newest entry."""
        self.entries.append(entry)

    def remove(self, entry: Entry) -> None:
        """Take an entry out, wherever it stands."""
        self.entries = [e for e in self.entries if e is not entry]

    def oldest(self) -> Entry | None:
        """First entry in order of acceptance."""
        return self.entries[0] if self.entries else None

    def of_bank(self, bank: int) -> list[Entry]:
        """Entries for a bank, oldest first."""
        return [e for e in self.entries if e.request.bank == bank]

    def holds(self, request: Request) -> bool:
        """Whether some entry touches the same burst."""
        return any(e.request.same_place(request) for e in self.entries)
