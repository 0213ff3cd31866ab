"""The low-power states of one channel: step 6 of a tick, as ``docs/model/power_states.md`` has it.

Owns: whether the channel is up, down or in self-refresh, when that changes, and how long each state lasted.
Must not know: how requests are scheduled.  Of the pseudo-channels it asks what their queues, banks and
refresh engines hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from hbmmodel.reference.policy import ChannelPolicy
from hbmmodel.reference.timing import LONG_AGO, Bus, Command, Event

if TYPE_CHECKING:
    from hbmmodel.reference.channel import PseudoChannel

OCCUPIED_TICKS = 2
"""Of the row bus by PDE, PDX, SRE and SRX."""


class Power(Enum):
    """What the channel is doing."""

    UP = "up"
    DOWN = "down"
    SELF_REFRESH = "self-refresh"


@dataclass
class PowerTicks:
    """Time of one pseudo-channel in every state; they add up to the run time."""

    active_standby: int = 0
    precharged_standby: int = 0
    active_power_down: int = 0
    precharged_power_down: int = 0
    self_refresh: int = 0


class PowerManager:
    """Puts a channel to sleep and wakes it.

    Attributes
    ----------
    power : Power
    awake : int
        No command before this tick, after an exit.
    ticks : list of PowerTicks
        Per pseudo-channel.
    """

    def __init__(self, ticks: Mapping[str, int], policy: ChannelPolicy, pcs: Sequence[PseudoChannel]) -> None:
        self._k = ticks
        self._policy = policy
        self._pcs = pcs
        self.power = Power.UP
        self.awake = LONG_AGO
        self.ticks = [PowerTicks() for _ in pcs]
        self._entered = LONG_AGO
        self._refreshes_at_exit: list[int] | None = None

    def commands_allowed(self, tick: int) -> bool:
        """Whether steps 4 and 5 happen."""
        return self.power is Power.UP and tick >= self.awake

    def waiting(self) -> bool:
        """Whether a queue of the channel has an entry."""
        return any(len(pc.reads) or len(pc.writes) for pc in self._pcs)

    def holds_refresh(self, tick: int) -> bool:
        """Whether only forced refreshes go, because self-refresh is due."""
        return self.power is Power.UP and not self.waiting() and self._self_refresh_due(tick)

    def step(self, tick: int, row_bus: Bus) -> tuple[Command, int] | None:
        """Step 6: change the state or close banks for it; return the command and its pseudo-channel."""
        if self._policy.power == "never":
            return None
        command, pc = self._choice(tick, row_bus)
        if command is None:
            return None
        if command is Command.PREab:
            self._pcs[pc].issue_row(command, 0, None, tick)
            row_bus.take(tick, self._k["row_ticks"], pc)
            return command, pc
        row_bus.occupy(tick, OCCUPIED_TICKS)
        if command in (Command.PDE, Command.SRE):
            self._entered = tick
            self.power = Power.DOWN if command is Command.PDE else Power.SELF_REFRESH
        else:
            self.power = Power.UP
            self.awake = tick + self._k["XP" if command is Command.PDX else "XS"]
            for each in self._pcs:
                each.refresh.wake(tick - self._entered if command is Command.SRX else 0)
            if command is Command.SRX:
                self._refreshes_at_exit = [each.refresh.issued for each in self._pcs]
        return command, 0

    def spend(self, ticks: int) -> None:
        """Time goes by in the present state."""
        any_open = any(pc.any_open() for pc in self._pcs)
        for pc, spent in zip(self._pcs, self.ticks, strict=True):
            if self.power is Power.SELF_REFRESH:
                spent.self_refresh += ticks
            elif self.power is Power.DOWN:
                if any_open:
                    spent.active_power_down += ticks
                else:
                    spent.precharged_power_down += ticks
            elif pc.any_open():
                spent.active_standby += ticks
            else:
                spent.precharged_standby += ticks

    def _choice(self, tick: int, row_bus: Bus) -> tuple[Command | None, int]:
        waiting = self.waiting()
        if self.power is not Power.UP:
            if tick < self._entered + max(self._k["CPDED"], self._k["PDmin"]):
                return None, 0
            if self.power is Power.SELF_REFRESH:
                return (Command.SRX if waiting else None), 0
            forced = any(pc.refresh.forced() for pc in self._pcs)
            return (Command.PDX if waiting or forced or self._self_refresh_due(tick) else None), 0
        busy = waiting or any(pc.refresh.wanted() is not None for pc in self._pcs)
        if busy or not self.commands_allowed(tick) or not row_bus.free(tick):
            return None, 0
        if self._self_refresh_due(tick):
            for pc in self._pcs:
                if pc.any_open() and pc.history.legal(Command.PREab, 0, tick):
                    return Command.PREab, pc.number
            return (Command.SRE if self._sre_legal(tick) else None), 0
        after = 0 if self._policy.power == "aggressive" else self._policy.power_down_ticks
        if self._policy.power != "never" and self._idle_for(tick) >= after and self._data_done(tick):
            return Command.PDE, 0
        return None, 0

    def _idle_for(self, tick: int) -> int:
        last = max(self._last(pc, event) for pc in self._pcs for event in (Event.READ, Event.WRITE))
        return tick - max(last, 0)

    def _last(self, pc: PseudoChannel, event: Event) -> int:
        return max(pc.history.last(event, bank) for bank in range(pc.history.banks.count))

    def _self_refresh_due(self, tick: int) -> bool:
        if self._policy.power not in ("self_refresh_idle", "aggressive"):
            return False
        if self._idle_for(tick) < self._policy.self_refresh_ticks:
            return False
        if self._refreshes_at_exit is None or self._policy.refresh == "none":
            return True
        return all(
            pc.refresh.issued - before >= (pc.history.banks.count if self._policy.refresh == "per_bank" else 1)
            for pc, before in zip(self._pcs, self._refreshes_at_exit, strict=True)
        )

    def _data_done(self, tick: int) -> bool:
        k = self._k
        after_read = k["RL"] + k["BL"] + 2
        after_write = k["column_reference"] + k["WL"] + k["BL"] + k["WR"] + 2
        return all(
            self._last(pc, event) + n <= tick
            for pc in self._pcs
            for event, n in ((Event.READ, after_read), (Event.WRITE, after_write))
        )

    def _sre_legal(self, tick: int) -> bool:
        # What REFab needs in both pseudo-channels, all banks closed and tRP over among it.
        return self._data_done(tick) and all(pc.history.legal(Command.REFab, 0, tick) for pc in self._pcs)
