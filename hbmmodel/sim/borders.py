"""Borders: ticks at which all channels stand still while somebody looks at counters and sets conditions.

Owns when a run comes to a border and what is offered before; it must not know what is looked at or set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hbmmodel._core import CoreSystem

__all__ = ["BLOCKS_AHEAD", "Borders"]

BLOCKS_AHEAD = 2
"""Blocks of requests read ahead of a border for channels that have none left; then these idle up to it."""


class Borders:
    """Stops every `every_ticks` ticks.

    Parameters
    ----------
    core : CoreSystem
        Its first border is set at once.
    every_ticks : int
        Distance; made even.
    reached : callable
        Called with the tick when all channels stand there.
    """

    def __init__(self, core: CoreSystem, every_ticks: int, reached: Callable[[int], None]) -> None:
        self._core = core
        self._every = max(2, every_ticks + (every_ticks & 1))
        self._reached = reached
        self._blocks = 0
        self.tick = self._every
        core.set_border(self.tick)

    def reach(self) -> None:
        """All that is to happen before the border has happened: look, and go on to the next one."""
        self._core.stand_at_border()
        self._reached(self.tick)
        self._blocks = 0
        self.tick += self._every
        self._core.set_border(self.tick)

    def run(self, channels: int, *, last: bool) -> None:
        """Run a block that was offered: until more is wanted by some channel, or, if it is the last, accepted."""
        self._blocks += 1
        while True:
            busy, ahead = self._core.run_to_border()
            if busy == 0 and ahead < channels:
                return
            if ahead < channels and not last and self._blocks < BLOCKS_AHEAD:
                return
            self.reach()
