"""Closed loops: programs whose operations start when what they depend on has ended, one or several side by side.

Owns which operation starts when, the numbers that operations have in the core, and the repeating of programs in the
background; must not know how operands reach the core.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from hbmmodel.errors import HbmArgumentError, HbmPolicyError
from hbmmodel.sim.dependences import IN_FLIGHT_MAX, Dependences

if TYPE_CHECKING:
    from hbmmodel.sim.operations import Feed
    from hbmmodel.trace import Operation

__all__ = ["Loop", "run_closed"]


#: Ends of operations in the background after which it is asked whether the others get anything.
ENDS_BETWEEN_LOOKS = 4096


class Loop:
    """One program: what waits, and how many of its operations are in flight.

    Parameters
    ----------
    name : str
        Its class of traffic; ``""`` for the only program of a trace.
    traffic_class : int
        The number of that.
    passes : callable
        Begins a pass over the operations.
    background : bool
        Whether passes are repeated until the others have ended.
    most_in_flight : int
        Operations in flight at most.
    """

    def __init__(
        self,
        name: str,
        traffic_class: int,
        passes: Callable[[], Iterator[Operation]],
        *,
        background: bool = False,
        most_in_flight: int = IN_FLIGHT_MAX,
    ) -> None:
        self.name, self.traffic_class, self.background = name, traffic_class, background
        self._passes = passes
        self._operations: Iterator[Operation] | None = passes()
        self._most_in_flight = most_in_flight
        self._dependences = Dependences()
        self._waiting: dict[int, Operation] = {}
        self._in_flight = 0
        self._passed = 0  # operations of this pass

    def has_ended(self) -> bool:
        """Whether all is done that there is to do."""
        return self._operations is None and not self._waiting and not self._in_flight

    def stop(self) -> None:
        """Begin nothing more."""
        self._operations = None
        self._waiting.clear()

    def left(self) -> Iterator[Operation]:
        """What has not begun."""
        return itertools.chain(self._waiting.values(), self._operations or ())

    def next(self) -> tuple[int, Operation] | None:
        """An operation that may start, with its place in the program; None: none may for now."""
        while self._operations is not None and self._dependences.has_room():
            operation = next(self._operations, None)
            if operation is not None:
                self._waiting[self._dependences.add(operation)] = operation
                self._passed += 1
            elif self.background:
                if self._passed == 0:
                    raise HbmArgumentError(f"{self.name}: no operation moves any data; nothing to repeat")
                self._operations, self._passed = self._passes(), 0
            else:
                self._operations = None
        if self._in_flight == self._most_in_flight:
            return None
        place = next((place for place in self._dependences.ready() if place in self._waiting), None)
        return None if place is None else (place, self._waiting[place])

    def start(self, place: int) -> Operation:
        """The operation runs."""
        self._dependences.start(place)
        self._in_flight += 1
        return self._waiting.pop(place)

    def end(self, place: int) -> None:
        """The operation has ended."""
        self._dependences.end(place)
        self._in_flight -= 1


def run_closed(feed: Feed, loops: list[Loop]) -> Iterator[Operation]:
    """Run all loops until those that are not in the background have ended, and what has begun by then.

    Returns what was not issued because the run was asked to stop.
    """
    in_flight: dict[int, tuple[Loop, int, Operation]] = {}
    start = latest = ends = 0
    moved: list[int] = []
    while True:
        if all(loop.background or loop.has_ended() for loop in loops):
            for loop in loops:
                loop.stop()
        for loop in () if feed.stop.asked else loops:
            while (found := loop.next()) is not None:
                place, operation = found
                # The only program numbers its operations itself; of several each start takes the next free number.
                number = place if len(loops) == 1 else _free_number(latest, in_flight)
                if not feed.submit(operation, number, start, loop.traffic_class):
                    break
                latest = number
                in_flight[number] = (loop, place, loop.start(place))
                feed.started(operation, number, start, loop.name)
        if not in_flight:
            return itertools.chain.from_iterable(loop.left() for loop in loops if not loop.background)
        number, _ = feed.next_end()
        loop, place, operation = in_flight.pop(number)
        loop.end(place)
        ends = ends + 1 if loop.background else 0
        if not loop.background:
            feed.ended(operation)
        elif ends % ENDS_BETWEEN_LOOKS == 0:
            moved = _check_progress(loops, moved, feed.bursts_taken())
        start = feed.core.next_start()


def _check_progress(loops: list[Loop], before: list[int], now: list[int]) -> list[int]:
    """Refuse to go on for ever where programs in the background leave nothing to the others; returns `now`."""
    starved = [loop for loop in loops if not loop.background and not loop.has_ended()]
    if before and starved and all(before[loop.traffic_class] == now[loop.traffic_class] for loop in starved):
        raise HbmPolicyError(
            f"class {starved[0].name} got nothing of the memory while programs in the background ended "
            f"{ENDS_BETWEEN_LOOKS} operations; give it a reserved_share, them a cap_share or a lower priority, or "
            "use scheduler='frfcfs_cap', with which row hits do not overtake without end"
        )
    return now


def _free_number(latest: int, in_flight: dict[int, tuple[Loop, int, Operation]]) -> int:
    """The next number that differs, modulo the core's window, from all in flight."""
    taken = {number % IN_FLIGHT_MAX for number in in_flight}
    number = latest + 1 if in_flight or latest else 0
    while number % IN_FLIGHT_MAX in taken:
        number += 1
    return number
