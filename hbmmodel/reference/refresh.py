"""The refresh engine of one pseudo-channel, as section *Refresh* of ``docs/model/controller.md`` has it.

Owns: what is owed, the target bank (per bank) or the pending flag (all banks), and the command wanted for it.
Must not know: the scheduler, and whether the wanted command is legal.  Of the queues it asks only whether
they are empty and whether they hold an entry for a bank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hbmmodel.reference.policy import ChannelPolicy
from hbmmodel.reference.queues import Queue
from hbmmodel.reference.timing import Command, Event, History


@dataclass(frozen=True)
class Target:
    """A bank to be refreshed, and the command (REFpb or RFMpb) that does it."""

    bank: int
    command: Command


class RefreshEngine:
    """Decides, on even ticks, what is to be refreshed.

    Parameters
    ----------
    pc
        Number of the pseudo-channel; it sets the phase.
    ticks
        Device fields in ticks.
    policy
        Refresh mode, postponing, pulling in, temperature multiplier.
    history
        Open rows and RAA counts of the pseudo-channel.
    queues
        Its read queue and its write queue.
    """

    def __init__(
        self,
        pc: int,
        ticks: Mapping[str, int],
        policy: ChannelPolicy,
        history: History,
        queues: tuple[Queue, Queue],
    ) -> None:
        self._mode = policy.refresh
        self._postpone = policy.postpone
        self._pull_in = policy.pull_in
        self._raaimt = ticks["RAAIMT"]
        self._rest = (policy.read_queue + policy.write_queue) * ticks["CCDS"]
        self._history = history
        self._queues = queues
        base = ticks["REFI"] if self._mode == "all_bank" else ticks["REFIpb"]
        self._base = base
        self._interval = max(2, base * policy.refresh_scale_num // policy.refresh_scale_den)
        self._next_due = self._interval + pc * (self._interval // 2)
        self.issued = 0
        self.owed = 0
        self.behind = False
        self.pending = False
        self.target: Target | None = None
        self._banks = history.banks.count
        self._set = set(range(self._banks))
        self._last_refreshed = self._banks - 1

    def look_at_clock(self, tick: int, *, asleep: bool = False, held: bool = False) -> None:
        """Step 1 of an even tick: update what is owed; then, without a target or pending, choose.

        Asleep, nothing is chosen; held, only what is forced.
        """
        if self._mode == "none":
            return
        # The k-th refresh, k = 1, 2, ..., is due at k * interval + phase, not counting time in self-refresh.
        while self._next_due <= tick:
            self.owed += 1
            self._next_due += self._interval
        if asleep or self.target is not None or self.pending:
            return
        if held and not self.forced():
            return
        if self.forced():
            self.behind = False
            if self._mode == "per_bank":
                self.target = Target(self._in_order()[0], Command.REFpb)
            else:
                self.pending = True
            return
        self.target = self._rfm_target()
        if self.target is not None:
            return
        if self.owed >= 1 or (self.owed > -self._pull_in and self._queues_empty()):
            if self.behind and not self._queues_empty():
                return
            if self._mode == "per_bank":
                self.target = self._opportune_target(tick)
            else:
                self.pending = self._queues_empty()

    def rescale(self, scale: int) -> None:
        """From the next refresh due on, `scale` times as often as at tREFI."""
        self._interval = max(2, self._base // scale)

    def forced(self) -> bool:
        """Whether no refresh may be postponed any more."""
        return self._mode != "none" and self.owed >= max(1, self._postpone)

    def wake(self, stood_still: int) -> None:
        """Wake: what is owed waits for empty queues; in self-refresh the clock stood still for so many ticks."""
        self.behind = stood_still > 0 or self.owed >= 1
        self._next_due += stood_still

    def blocked(self, bank: int) -> bool:
        """Whether the bank may get no ACT and no column command."""
        return self.pending or (self.target is not None and self.target.bank == bank)

    def wanted(self) -> tuple[Command, int] | None:
        """Name the row command the engine wants, with its bank (0 for the all-bank commands)."""
        if self.pending:
            any_open = any(row is not None for row in self._history.open_row)
            return (Command.PREab if any_open else Command.REFab), 0
        if self.target is not None:
            is_open = self._history.open_row[self.target.bank] is not None
            return (Command.PREpb if is_open else self.target.command), self.target.bank
        return None

    def holds_activates(self, tick: int) -> bool:
        """Whether a REFpb or RFMpb waits for other banks only, so that no ACT may go before it."""
        if self.target is None or self._history.open_row[self.target.bank] is not None:
            return False
        return self._history.earliest_of_bank(self.target.command, self.target.bank) <= tick

    def record(self, command: Command, bank: int) -> None:
        """Take note of an issued command."""
        if command is Command.REFab:
            self.issued += 1
            self.owed -= 1
            self.pending = False
        elif command is Command.REFpb:
            self.issued += 1
            self.owed -= 1
            self.target = None
            # "after the last bank refreshed": by REFpb; an RFMpb does not move the cyclic order.
            self._last_refreshed = bank
            self._set.discard(bank)
            if not self._set:
                self._set = set(range(self._banks))
        elif command is Command.RFMpb:
            self.target = None
        if command in (Command.REFab, Command.REFpb, Command.RFMpb) and self.owed < 1:
            self.behind = False

    def _queues_empty(self) -> bool:
        return all(len(queue) == 0 for queue in self._queues)

    def _in_either_queue(self, bank: int) -> bool:
        return any(queue.of_bank(bank) for queue in self._queues)

    def _rfm_target(self) -> Target | None:
        if self._raaimt > 0:
            for bank in range(self._banks):
                if self._history.raa[bank] >= self._raaimt:
                    return Target(bank, Command.RFMpb)
        return None

    def _in_order(self) -> list[int]:
        after_last = [(self._last_refreshed + 1 + i) % self._banks for i in range(self._banks)]
        return [bank for bank in after_last if bank in self._set]

    def _opportune_target(self, tick: int) -> Target | None:
        quiet = [bank for bank in self._in_order() if not self._in_either_queue(bank)]
        left_alone = [bank for bank in quiet if self._last_use(bank) <= tick - self._rest]
        if left_alone:  # max takes the first of equals
            return Target(max(left_alone, key=self._last_use), Command.REFpb)
        return Target(quiet[0], Command.REFpb) if quiet else None

    def _last_use(self, bank: int) -> int:
        return max(self._history.last(event, bank) for event in (Event.ACT, Event.READ, Event.WRITE))
