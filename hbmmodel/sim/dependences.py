"""Which operations of a program must wait for which: by the bytes that they read and write.

Owns the window of operations under consideration; must not know time, the core, or how anything is issued.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hbmmodel.trace.model import Operation

__all__ = ["IN_FLIGHT_MAX", "Dependences"]

#: Operations under consideration at once; the core's window (HBM_IN_FLIGHT in csrc/pc.h) is as wide.
IN_FLIGHT_MAX = 64


@dataclass
class _Member:
    reads: list[tuple[int, int]] = field(default_factory=list)
    writes: list[tuple[int, int]] = field(default_factory=list)
    waits_for: set[int] = field(default_factory=set)
    started: bool = False


class Dependences:
    """Operations in program order, and which of them may start.

    An operation depends on an earlier one when one of the two writes bytes of a span that the other reads or writes.
    One marked `after_all` depends on every earlier one.
    It may start when all that it depends on have ended.  Operations are considered in a window: number *i* only when
    all up to *i* - `limit` have ended.

    Parameters
    ----------
    limit : int
        Width of the window.

    Examples
    --------
    >>> from hbmmodel.trace import Access, Operation
    >>> def op(i, *accesses):
    ...     return Operation(i, i, "op", "", 0, 0, tuple(Access(w, 0, a, 64) for w, a in accesses))
    >>> program = Dependences()
    >>> for i, accesses in enumerate([[(True, 0)], [(True, 64)], [(False, 0)]]):
    ...     program.add(op(i, *accesses))
    0
    1
    2
    >>> program.ready()
    [0, 1]
    >>> program.start(0); program.start(1); program.end(0)
    >>> program.ready()  # though operation 1 still runs
    [2]
    """

    def __init__(self, limit: int = IN_FLIGHT_MAX) -> None:
        self._limit = limit
        self._next = 0
        self._members: dict[int, _Member] = {}  # in order of their numbers

    def has_room(self) -> bool:
        """Whether one more operation may be added."""
        return not self._members or self._next - next(iter(self._members)) < self._limit

    def add(self, operation: Operation) -> int:
        """Take the next operation of the program; returns its number."""
        member = _Member()
        for access in operation.accesses:
            (member.writes if access.is_write else member.reads).append(access.program_span)
        for number, earlier in self._members.items():
            if (
                operation.after_all
                or _meet(earlier.writes, member.reads)
                or _meet(earlier.writes, member.writes)
                or _meet(earlier.reads, member.writes)
            ):
                member.waits_for.add(number)
        number = self._next
        self._members[number] = member
        self._next += 1
        return number

    def ready(self) -> list[int]:
        """Numbers of the operations that may start and have not, ascending."""
        return [number for number, member in self._members.items() if not member.started and not member.waits_for]

    def start(self, number: int) -> None:
        """Note that an operation runs."""
        self._members[number].started = True

    def end(self, number: int) -> None:
        """Note that an operation has ended; whatever waited for it does no longer."""
        del self._members[number]
        for member in self._members.values():
            member.waits_for.discard(number)


def _meet(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> bool:
    return any(low < end and begin < high for low, high in some for begin, end in others)
