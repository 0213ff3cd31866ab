"""Refresh bookkeeping: the set rule, the account of every bank, and activation counts.

Owns what has to be counted over a whole log of a channel. Sets and counts are plain Python, because refreshes
are a few per cent of a log; accounts are whole arrays, because a REFab stands in those of all banks. Must not
know who decided when to refresh.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hbmmodel.check.power import Sleeps
from hbmmodel.check.rules import REFRESH, bits
from hbmmodel.check.view import Finding, Ints, View
from hbmmodel.commands import Command

__all__ = ["Ending", "activation_counts", "bank_sets", "refresh_account"]


def bank_sets(view: View) -> Iterator[Finding]:
    """Find banks refreshed twice before every bank of their SID was refreshed once.

    Parameters
    ----------
    view : View
        One channel as on the buses.

    Yields
    ------
    Finding

    Source
    ------
    JESD238B, JESD270-4, REFpb: any order, but every bank of a SID once before any of them again. RFMpb does
    not count. REFab refreshes every bank, so it begins a new set in every SID.
    """
    banks_per_sid = view.organisation.bank_groups * view.organisation.banks_per_group
    done: dict[int, dict[int, int]] = {}
    rows: list[int] = []
    previous: list[int] = []
    for entry in np.flatnonzero(view.having(bits(REFRESH))).tolist():
        if view.mask[entry] == 1 << Command.REFab:
            first = int(view.pseudo_channel[entry]) * view.organisation.sids
            for sid in range(first, first + view.organisation.sids):
                done.pop(sid, None)
            continue
        bank = int(view.bank[entry])
        refreshed = done.setdefault(int(view.sid[entry]), {})
        if bank in refreshed:
            rows.append(int(view.rows[entry]))
            previous.append(refreshed[bank])
        refreshed[bank] = int(view.rows[entry])
        if len(refreshed) == banks_per_sid:
            refreshed.clear()
    if rows:
        yield Finding(
            "refresh.set",
            np.array(rows, np.int64),
            np.array(previous, np.int64),
            detail="refreshed again before every bank of the SID was refreshed once",
        )


@dataclass(frozen=True)
class Ending:
    """A breach that shows when the log ends, so that no row of it is to blame.

    Attributes
    ----------
    rule : str
    stack, channel, pseudo_channel : int
    bank : int
        The bank that is worst off, counted through the pseudo-channel.
    previous : int
        Row of its last refresh, -1 where there is none.
    actual, required : int
        Times in units.
    detail : str
    """

    rule: str
    stack: int
    channel: int
    pseudo_channel: int
    bank: int
    previous: int
    actual: int
    required: int
    detail: str


def _awake(time: Ints, asleep: Sleeps | None) -> Ints:
    """Times of a clock that stands still in self-refresh."""
    if asleep is None or not len(asleep[0]):
        return time
    begin, end = asleep
    total = np.append(0, np.cumsum(end - begin))
    number = np.searchsorted(begin, time, side="right")
    still = np.maximum(0, np.append(0, end)[number] - time)
    slept: Ints = np.where(number > 0, total[number] - still, 0)
    return time - slept


def refresh_account(
    by_bank: View,
    *,
    place: tuple[int, int],
    postpone_max: int,
    multiplier: Fraction,
    end: int,
    asleep: Sleeps | None = None,
) -> tuple[list[Finding], list[Ending]]:
    """Find banks that are refreshed too seldom (refresh.rate) or wait too long for one (refresh.gap).

    Every bank has an account, opened at tick 0. Each refresh of the bank, by REFpb or by a REFab of its
    pseudo-channel, pays for one tREFI; no more than `postpone_max` tREFI are paid in advance, further
    refreshes buy nothing. With eight refreshes postponed and the ninth due, 9 x tREFI are unpaid; more is a
    breach of the rate. Refreshes in advance do not lengthen the gap: 9 x tREFI between two of them, before
    the first and behind the last. Time in self-refresh does not count: the device refreshes itself, and what
    is owed stays owed.

    Parameters
    ----------
    by_bank : View
        One channel, all-bank commands repeated per bank; may be empty.
    place : (int, int)
        Stack and channel.
    postpone_max : int
        REFab that may be postponed or pulled in.
    multiplier : Fraction
        Factor on tREFI.
    end : int
        Up to when the banks are judged, in units.
    asleep : Sleeps, optional
        Stays in self-refresh.

    Returns
    -------
    (list of Finding, list of Ending)
        Refreshes that come too late; banks that wait at the end, the worst one of each pseudo-channel.

    Source
    ------
    JESD238B, JESD270-4: up to 8 REFab may be postponed, bound 9 x tREFI between refreshes; tREFI x 0.5 and x
    0.25 above the trip points. That as many may be pulled in, and that self-refresh leaves what is owed as it
    is, is JESD79-4 (DDR4); no public source has either for HBM.
    """
    view = by_bank
    banks = view.organisation.banks
    interval = int(view.limits.times["tREFI"] * multiplier)
    allowed = (postpone_max + 1) * interval
    order = view.order("bank")
    entries = order[(view.sorted_mask("bank") & bits(REFRESH)) != 0]
    bank, time, rows = view.bank[entries], _awake(view.time[entries], asleep), view.rows[entries]
    end = int(_awake(np.array([end], np.int64), asleep)[0])

    every = banks * view.organisation.pseudo_channels
    paid_at_end, last, last_row = np.zeros(every, np.int64), np.zeros(every, np.int64), np.full(every, -1)
    findings = []
    if len(entries):
        first = np.append(True, bank[1:] != bank[:-1])
        starts = np.flatnonzero(first)
        stops = np.append(starts[1:], len(entries))
        nth = np.arange(len(entries)) - np.repeat(starts, stops - starts)
        # paid(n) = min(paid(n - 1) + tREFI, time(n) + ahead): less n x tREFI this is a running minimum
        least = np.minimum(time + (postpone_max * interval) - nth * interval, interval)
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            least[start:stop] = np.minimum.accumulate(least[start:stop])
        paid = least + nth * interval
        unpaid = time - np.where(first, 0, np.append(0, paid[:-1]))
        gap = time - np.where(first, 0, np.append(0, time[:-1]))
        before = np.where(first, -1, np.append(-1, rows[:-1]))

        at = np.flatnonzero(unpaid > allowed)
        findings.append(Finding("refresh.rate", rows[at], None, unpaid[at], allowed, "unpaid time of a bank"))
        for chosen, detail in ((first, "from tick 0 to a bank's first refresh"), (~first, "of the same bank")):
            at = np.flatnonzero(chosen & (gap > allowed))
            findings.append(Finding("refresh.gap", rows[at], before[at], gap[at], allowed, detail))
        ends = stops - 1
        paid_at_end[bank[ends]], last[bank[ends]], last_row[bank[ends]] = paid[ends], time[ends], rows[ends]

    endings = []
    for rule, actual in (("refresh.rate", end - paid_at_end), ("refresh.gap", end - last)):
        for pc in range(view.organisation.pseudo_channels):
            mine = actual[pc * banks : (pc + 1) * banks]
            late = int(np.count_nonzero(mine > allowed))
            if not late:
                continue
            worst = int(mine.argmax())
            what = "unpaid time" if rule == "refresh.rate" else "time without a refresh"
            endings.append(
                Ending(
                    rule,
                    *place,
                    pc,
                    worst,
                    -1 if rule == "refresh.rate" else int(last_row[pc * banks + worst]),
                    int(mine[worst]),
                    allowed,
                    f"{what} of {late} of the pseudo-channel's {banks} banks, the worst is named",
                )
            )
    return findings, endings


def activation_counts(by_bank: View, *, raaimt: int, raammt: int, raadec: int) -> Iterator[Finding]:
    """Find activations of banks that need an RFM first.

    Parameters
    ----------
    by_bank : View
        One channel, all-bank commands repeated per bank.
    raaimt, raammt, raadec : int
        Thresholds of the device; `raaimt` 0: it needs no RFM.

    Yields
    ------
    Finding

    Source
    ------
    JESD238B, RFM: the count of a bank grows by 1 per ACT, falls by RAAIMT per RFM and by RAADEC per REF (not
    below 0); ACT is illegal at RAAMMT.
    """
    if raaimt == 0:
        return
    view = by_bank
    refresh, rfm = bits(REFRESH), bits((Command.RFMab, Command.RFMpb))
    count: dict[int, int] = {}
    rows = []
    for entry in np.flatnonzero(view.having(refresh | rfm | 1 << Command.ACT)).tolist():
        bank, mask = int(view.bank[entry]), int(view.mask[entry])
        if mask & refresh:
            count[bank] = max(0, count.get(bank, 0) - raadec)
        elif mask & rfm:
            count[bank] = max(0, count.get(bank, 0) - raaimt)
        else:
            if count.get(bank, 0) >= raammt:
                rows.append(int(view.rows[entry]))
            count[bank] = count.get(bank, 0) + 1
    if rows:
        yield Finding(
            "RAAMMT",
            np.array(rows, np.int64),
            detail=f"{raammt} activations of the bank since its last RFM; one is due",
        )
