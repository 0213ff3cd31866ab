"""Classes of traffic with quotas: the gate of ``docs/model/quotas.md``, half a CK at a time.

Owns which class is taken from, what that costs it, and what is counted of it.  Must not know: rows, the C core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hbmmodel.reference.channel import PseudoChannel
from hbmmodel.reference.policy import ChannelPolicy
from hbmmodel.reference.queues import Request

LONG_AGO = -(10**12)


@dataclass(frozen=True)
class ClassQuota:
    """Quota of one class, in units of the core.

    Parameters
    ----------
    reserved_gap_256, cap_gap_256
        1/256 ticks from one burst to the next at the reserved share and at the cap; 0: none.
    priority
        The higher goes first.
    read_entries, write_entries
        Entries of the queues, at most.
    """

    reserved_gap_256: int = 0
    cap_gap_256: int = 0
    priority: int = 0
    read_entries: int = 1024
    write_entries: int = 1024


class Source(Protocol):
    """The input of a class: its next burst, chosen when the one before is taken."""

    def head(self) -> Request | None:
        """Return the next burst, None when there is none; its arrival is when it could be taken first."""

    def take(self, index: int) -> None:
        """Note that the next burst is taken as number `index` of the pseudo-channel; another is next."""


@dataclass
class ClassState:
    """What a class has had so far."""

    quota: ClassQuota
    source: Source
    capped: int
    reserved: int
    taken_at: int = LONG_AGO
    turn: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, amount: int) -> None:
        """Count."""
        self.counts[name] = self.counts.get(name, 0) + amount


class GatedPseudoChannel(PseudoChannel):
    """A pseudo-channel with an input for every class of traffic.

    Parameters
    ----------
    number, ticks, policy, host_ticks, window
        As for `PseudoChannel`.
    classes
        Quota and source of every class.
    slack
        What a class may make up for [ticks].
    """

    def __init__(
        self,
        number: int,
        ticks: Mapping[str, int],
        policy: ChannelPolicy,
        classes: Sequence[tuple[ClassQuota, Source]],
        host_ticks: int,
        window: int,
        slack: int,
    ) -> None:
        super().__init__(number, ticks, policy, [], host_ticks, window)
        self.slack = slack
        if len(classes) > 1:
            self.drain = policy.write_high - policy.write_low
        self.classes = [ClassState(quota, source, -256 * slack, -256 * slack) for quota, source in classes]
        self.class_of: list[ClassState] = []  # by number of the burst, in order of being taken

    def finished(self) -> bool:
        """Whether all inputs are consumed and both queues are empty."""
        return all(c.source.head() is None for c in self.classes) and not len(self.reads) and not len(self.writes)

    def accept_requests(self, tick: int) -> None:
        """Step 2: as long as some class can be taken from, take from the one that goes first."""
        while able := [c for c in self.classes if self._can_take(c, tick)]:
            self._take(min(able, key=lambda c: self._rank(c, tick)), tick)

    def _can_take(self, c: ClassState, tick: int) -> bool:
        head = c.source.head()
        if head is None or head.arrival > tick or self.next_256 > 256 * tick:
            return False
        if self._answered(head):
            return True
        queue, most = (
            (self.writes, c.quota.write_entries) if head.is_write else (self.reads, c.quota.read_entries)
        )
        return (
            queue.has_room()
            and sum(self.class_of[entry.index] is c for entry in queue) < most
            and (head.is_write or self._window_allows(tick))
            and (c.quota.cap_gap_256 == 0 or c.capped <= 256 * tick)
        )

    def has_full_class(self) -> bool:
        """Whether a class has as many writes in the queue as it may, where several share it."""
        return len(self.classes) > 1 and any(
            sum(self.class_of[entry.index] is c for entry in self.writes) >= c.quota.write_entries for c in self.classes
        )

    def lead(self) -> int:
        """1 if the highest priority among the reads in the queue is above that among the writes, -1 if below."""
        of_reads, of_writes = (
            max(self.class_of[entry.index].quota.priority for entry in queue) for queue in (self.reads, self.writes)
        )
        return (of_reads > of_writes) - (of_reads < of_writes)

    def _answered(self, head: Request) -> bool:
        return not head.is_write and self.writes.holds(head)

    def _rank(self, c: ClassState, tick: int) -> tuple[bool, int, int]:
        """Least first; of equals the first in the list."""
        below = c.quota.reserved_gap_256 > 0 and c.reserved <= 256 * tick
        return not below, -c.quota.priority, c.turn

    def _take(self, c: ClassState, tick: int) -> None:
        head = c.source.head()
        assert head is not None
        answered = self._answered(head)
        self._note(c, head, answered, tick)
        if not answered:
            c.capped = max(c.capped, 256 * (tick - self.slack)) + c.quota.cap_gap_256
            c.reserved = max(c.reserved, 256 * (tick - self.slack)) + c.quota.reserved_gap_256
        c.taken_at = tick
        c.turn = 1 + len(self.class_of)
        c.source.take(len(self.class_of))
        self.class_of.append(c)
        self.accept.append(-1)
        self.done.append(-1)
        self.forwarded.append(False)
        self.take(head, tick)

    def _note(self, c: ClassState, head: Request, answered: bool, tick: int) -> None:
        paced = -(-self.next_256 // 256)
        ready = max(c.taken_at, head.arrival, paced)
        c.add("bursts_written" if head.is_write else "bursts_read", 1)
        c.add("reads_forwarded", int(answered))
        c.add("gate_ticks", tick - ready)
        if c.quota.cap_gap_256 > 0 and not answered:
            allowed = -(-c.capped // 256)
            c.add("capped_ticks", max(0, min(allowed, tick) - ready))
