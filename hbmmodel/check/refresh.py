"""Refresh bookkeeping: the set rule, the rate, and activation counts.

Owns what has to be counted over a whole log of a pseudo-channel. Refreshes are a few per cent of a log, so
this is plain Python. Must not know who decided when to refresh.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from hbmmodel.check.rules import bits
from hbmmodel.check.view import Finding, View
from hbmmodel.commands import Command

__all__ = ["activation_counts", "bank_sets", "refresh_rate"]

REFRESH = bits((Command.REFab, Command.REFpb))


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
    for entry in np.flatnonzero(view.having(REFRESH)).tolist():
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


def refresh_rate(view: View, *, postpone_max: int, multiplier: Fraction) -> Iterator[Finding]:
    """Find pseudo-channels that owe more refreshes than may be postponed.

    The debt is the time that refreshes have not yet paid for: a REFab pays for one tREFI, a REFpb for its
    share of one. The account is opened at tick 0. With eight REFab postponed and the ninth due, the debt is 9
    x tREFI; more is a breach.

    Parameters
    ----------
    view : View
        One channel as on the buses.
    postpone_max : int
        REFab that may be postponed.
    multiplier : Fraction
        Factor on tREFI.

    Yields
    ------
    Finding
        At the refresh that comes too late, or at the channel's last command if none comes.

    Source
    ------
    JESD238B, JESD270-4: up to 8 REFab may be postponed, bound 9 x tREFI; tREFI x 0.5 and x 0.25 above the
    trip points.
    """
    interval = view.limits.times["tREFI"] * multiplier
    banks = view.organisation.banks
    allowed = (postpone_max + 1) * interval
    refreshes = np.flatnonzero(view.having(REFRESH))
    for pc in range(view.organisation.pseudo_channels):
        rows: list[int] = []
        debts: list[int] = []
        credit = 0
        mine = refreshes[view.pseudo_channel[refreshes] == pc].tolist()
        for entry in [*mine, len(view) - 1]:
            debt = int(view.time[entry]) - credit * interval / banks
            if debt > allowed:
                rows.append(int(view.rows[entry]))
                debts.append(math.ceil(debt))
            credit += banks if view.mask[entry] == 1 << Command.REFab else 1
        if rows:
            yield Finding(
                "refresh.rate",
                np.array(rows, np.int64),
                actual=np.array(debts, np.int64),
                required=int(allowed),
                detail=f"unpaid time of pseudo-channel {pc}",
            )


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
    refresh, rfm = REFRESH, bits((Command.RFMab, Command.RFMpb))
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
