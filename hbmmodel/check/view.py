"""The commands of one channel, laid out for the rules.

Owns two layouts of the same rows: as they went over the buses, and *by bank*, where a PREab, REFab or RFMab
stands once for every bank of its pseudo-channel, and an SRE for every bank of the channel. Owns also the one
look-up that all rules share. Must not know any rule.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hbmmodel.check.limits import Limits
from hbmmodel.check.rules import ALL_BANKS, POWER, READ, WITH_PRECHARGE, bits
from hbmmodel.commands import Command, Log

if TYPE_CHECKING:
    from hbmmodel.device import Organisation

__all__ = ["Finding", "Ints", "View", "latest", "latest_of_each"]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

EVERY_BANK = bits((Command.PREab, *ALL_BANKS))
WITHOUT_BANK = EVERY_BANK | bits(POWER)


class Finding:
    """Breaches of one rule: rows of the log (arrays of equal length), distances in units.

    Attributes
    ----------
    rule : str
    rows, previous : ndarray of int64
        The offending rows and the rows they are measured from (-1: none).
    actual, required : ndarray of int64, or None
        Distances; None where the rule is not about a time.
    detail : str
    """

    __slots__ = ("actual", "detail", "previous", "required", "rows", "rule")

    def __init__(
        self,
        rule: str,
        rows: Ints,
        previous: Ints | None = None,
        actual: Ints | None = None,
        required: int | Ints | None = None,
        detail: str = "",
    ) -> None:
        self.rule = rule
        self.rows = rows
        self.previous = np.full(len(rows), -1, np.int64) if previous is None else previous
        self.actual = actual
        self.required = (
            None if required is None else np.broadcast_to(np.asarray(required, np.int64), rows.shape)
        )
        self.detail = detail


class View:
    """Rows of one channel in order of time.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Row of the log of each entry.
    mask : ndarray of int32
        ``1 << command``.
    time : ndarray of int64
        Stamp in units.
    bank, group, sid, pseudo_channel : ndarray of int16
        Numbers that are unique inside the channel; a scope of a rule is one of these.
    row : ndarray of int64
    """

    def __init__(self, log: Log, rows: Ints, limits: Limits, organisation: Organisation) -> None:
        self.limits = limits
        self.organisation = organisation
        self.rows = rows
        chosen = log[rows]
        self.mask = np.left_shift(np.int32(1), chosen["command"].astype(np.int32))
        self.tick = chosen["tick"]
        self.time: Ints = self.tick * np.int64(limits.tick)
        self.pseudo_channel = chosen["pseudo_channel"].astype(np.int16)
        has_bank = (self.mask & WITHOUT_BANK) == 0

        def inner(name: str) -> npt.NDArray[np.int16]:
            return np.where(has_bank, chosen[name], 0).astype(np.int16)

        org = organisation
        self.sid = self.pseudo_channel * np.int16(org.sids) + inner("sid")
        self.group = self.sid * np.int16(org.bank_groups) + inner("bank_group")
        self.bank = self.group * np.int16(org.banks_per_group) + inner("bank")
        self.row = chosen["row"].astype(np.int64)
        self._order: dict[str, Ints] = {}
        self._sorted_mask: dict[str, npt.NDArray[np.int32]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def by_bank(self) -> View:
        """The same rows with every all-bank command repeated for each bank that it acts on."""
        banks = self.organisation.banks
        common = (self.mask & (1 << Command.SRE)) != 0
        every = (self.mask & EVERY_BANK) != 0
        if not (every | common).any():
            return self
        times = np.where(every, banks, np.where(common, banks * self.organisation.pseudo_channels, 1))
        source = np.repeat(np.arange(len(self)), times)
        nth = np.arange(len(source)) - np.repeat(np.cumsum(times) - times, times)
        view = View.__new__(View)
        view.limits, view.organisation = self.limits, self.organisation
        view.rows = self.rows[source]
        view.mask = self.mask[source]
        view.tick = self.tick[source]
        view.time = self.time[source]
        view.pseudo_channel = np.where(common[source], nth // banks, self.pseudo_channel[source]).astype(np.int16)
        view.row = self.row[source]
        # the bank number of an all-bank command is so far the first of its pseudo-channel
        first = np.where(common, 0, self.bank)
        view.bank = (first[source] + np.where((every | common)[source], nth, 0)).astype(np.int16)
        view.group = view.bank // np.int16(self.organisation.banks_per_group)
        view.sid = view.group // np.int16(self.organisation.bank_groups)
        view._order, view._sorted_mask = {}, {}
        return view

    def ids(self, scope: str) -> npt.NDArray[np.int16]:
        """Numbers of the scope's members, one per entry."""
        if scope == "channel":
            return np.zeros(len(self), np.int16)
        return {
            "bank": self.bank,
            "group": self.group,
            "sid": self.sid,
            "pseudo_channel": self.pseudo_channel,
        }[scope]

    def order(self, scope: str) -> Ints:
        """Entries sorted by member of the scope, then by time."""
        if scope not in self._order:
            self._order[scope] = np.argsort(self.ids(scope), kind="stable")
        return self._order[scope]

    def sorted_mask(self, scope: str) -> npt.NDArray[np.int32]:
        """`mask` in that order."""
        if scope not in self._sorted_mask:
            self._sorted_mask[scope] = self.mask[self.order(scope)]
        return self._sorted_mask[scope]

    def having(self, mask: int) -> Flags:
        """Which entries are one of the commands."""
        found: Flags = (self.mask & mask) != 0
        return found

    @cached_property
    def edge(self) -> Ints:
        """The edge from which a command's timings count."""
        return self.time + np.where(self.having(1 << Command.ACT), self.limits.act_edge, 0)

    @cached_property
    def column_edge(self) -> Ints:
        """The same, row side of a column command."""
        return self.time + self.limits.column_edge

    @cached_property
    def write_data(self) -> Ints:
        """End of a write's burst on the data bus."""
        return self.time + (self.limits.write_latency + self.limits.burst)

    @cached_property
    def write_recovery(self) -> Ints:
        """The same, row side: where tWR begins."""
        return self.write_data + self.limits.column_edge

    @cached_property
    def precharge(self) -> Ints:
        """When RDA and WRA precharge inside: as an explicit PRE would be allowed to.

        Source
        ------
        JESD238B, JESD270-4, auto-precharge: begins when tRAS(min) and tRTP (read) or WL + BL + tWR (write)
        are over.
        """
        times = self.limits.times
        read = self.having(bits(READ))
        start = np.where(read, self.column_edge + times["tRTP"], self.write_recovery + times["tWR"])
        of_bank, act = latest(self, "bank", 1 << Command.ACT, bits(WITH_PRECHARGE))
        start[of_bank] = np.maximum(start[of_bank], self.edge[act] + times["tRAS"])
        return start

    def since(self, name: str) -> Ints:
        """One of the five times above, by the name that a rule gives it."""
        times: Ints = getattr(self, name)
        return times


def latest(
    view: View, scope: str, previous: int, following: int, *, other: str | None = None, nth: int = 1
) -> tuple[Ints, Ints]:
    """Pair every command of `following` with the nth latest command of `previous` before it.

    Parameters
    ----------
    view : View
    scope : str
        Both belong to the same member of this scope.
    previous, following : int
        Masks of commands.
    other : str, optional
        They belong to different members of this (finer) scope.
    nth : int
        1 = the latest.

    Returns
    -------
    (ndarray, ndarray)
        Entries of the following and of the previous commands; those without a previous one are left out.
    """
    order, mask = view.order(scope), view.sorted_mask(scope)
    involved = np.flatnonzero(mask & (previous | following))
    mask = mask[involved]
    entries = order[involved]
    is_event = (mask & previous) != 0
    is_target = (mask & following) != 0
    events, targets = entries[is_event], entries[is_target]
    if not len(events) or not len(targets):
        return events[:0], targets[:0]
    # number of the event in `events`, below 0 where there is none
    at = np.maximum((np.cumsum(is_event) - is_event)[is_target] - nth, -1)
    if other is not None:
        member = view.ids(other)
        own = member[events]
        first = np.concatenate(([True], own[1:] != own[:-1]))
        run = np.maximum.accumulate(np.where(first, np.arange(len(events)), 0))
        same = (at >= 0) & (own[at] == member[targets])
        at = np.where(same, run[at] - 1, at)
    ids = view.ids(scope)
    valid = (at >= 0) & (ids[events[at]] == ids[targets])
    return targets[valid], events[at[valid]]


def latest_of_each(view: View, scope: str, previous: int, following: int) -> Ints:
    """The same for all entries at once: entry of the latest previous command, -1 where there is none."""
    found = np.full(len(view), -1, np.int64)
    targets, events = latest(view, scope, previous, following)
    found[targets] = events
    return found
