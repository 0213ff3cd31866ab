"""Where commands may go and what the banks must be doing.

Owns the ranges of addresses, the open row of every bank and how long it may stay open. Must not know
distances between commands or refresh bookkeeping.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hbmmodel.check.rules import ALL_BANKS, ONE_BANK, READ, SRE, WITH_PRECHARGE, WRITE, bits
from hbmmodel.check.view import WITHOUT_BANK, Finding, View, latest_of_each
from hbmmodel.commands import Command, Log

if TYPE_CHECKING:
    from hbmmodel.device import Organisation

__all__ = ["addresses", "bank_states", "rows_open_too_long"]

COLUMN = bits(READ + WRITE)
CLOSING = bits((Command.PREpb, Command.PREab, *WITH_PRECHARGE))
ACTIVATE = 1 << Command.ACT


def addresses(
    log: Log, organisation: Organisation, stacks: int | None
) -> tuple[list[Finding], npt.NDArray[np.bool_]]:
    """Find commands and addresses that do not exist.

    Parameters
    ----------
    log : ndarray of COMMAND_DTYPE
    organisation : Organisation
    stacks : int or None
        Stacks of the system; None: any.

    Returns
    -------
    (list of Finding, ndarray of bool)
        The breaches, and which rows the other rules can judge: those whose command and bank exist.

    Source
    ------
    JESD238B, JESD270-4, addressing tables: 24 Gb dies have 3 x 2^n rows (the top quarter of the row address
    is invalid), 12-high stacks three SIDs.
    """
    org = organisation
    known = log["command"] <= Command.SRX
    mask = np.left_shift(np.int32(1), np.where(known, log["command"], 0).astype(np.int32))
    has_bank = known & ((mask & WITHOUT_BANK) == 0)
    has_row = known & ((mask & (ACTIVATE | COLUMN)) != 0)
    has_column = known & ((mask & COLUMN) != 0)
    everywhere = np.ones(len(log), np.bool_)
    findings = [
        Finding(
            "command.unknown", np.flatnonzero(log["command"] > Command.SRX), detail="no command has this code"
        ),
    ]
    usable = known.copy()
    for field, count, where, fatal in (
        ("stack", stacks, everywhere, True),
        ("channel", org.channels, everywhere, True),
        ("pseudo_channel", org.pseudo_channels, everywhere, True),
        ("sid", org.sids, has_bank, True),
        ("bank_group", org.bank_groups, has_bank, True),
        ("bank", org.banks_per_group, has_bank, True),
        ("row", org.rows, has_row, False),
        ("column", org.columns, has_column, False),
    ):
        if count is None:
            continue
        outside = where & (log[field] >= count)
        findings.append(
            Finding(f"address.{field}", np.flatnonzero(outside), detail=f"{field} must be below {count}")
        )
        if fatal:
            usable &= ~outside
    return [finding for finding in findings if len(finding.rows)], usable


def bank_states(by_bank: View) -> Iterator[Finding]:
    """Find commands that the state of their bank forbids.

    Parameters
    ----------
    by_bank : View
        One channel, all-bank commands repeated per bank.

    Yields
    ------
    Finding

    Source
    ------
    JESD238B, JESD270-4: ACT needs an idle bank; RD and WR an active one; REFpb and RFMpb an idle bank; REFab
    and RFMab all banks of the pseudo-channel idle, SRE those of both. RDA and WRA close their bank.
    """
    view = by_bank
    asking = ACTIVATE | COLUMN | bits(ONE_BANK + ALL_BANKS + SRE)
    act = latest_of_each(view, "bank", ACTIVATE, asking)
    closed = latest_of_each(view, "bank", CLOSING, asking)
    is_open = act > closed

    def finding(
        rule: str, wrong: npt.NDArray[np.bool_], since: npt.NDArray[np.int64], detail: str
    ) -> Finding:
        at = np.flatnonzero(wrong)
        previous = np.where(since[at] >= 0, view.rows[since[at]], -1)
        return Finding(rule, view.rows[at], previous, detail=detail)

    column = view.having(COLUMN)
    yield finding("state.ACT_open_bank", view.having(ACTIVATE) & is_open, act, "the bank is already open")
    yield finding("state.column_closed_bank", column & ~is_open, closed, "the bank is closed")
    wrong_row = column & is_open & (view.row[act] != view.row)
    yield finding("state.column_wrong_row", wrong_row, act, "another row is open")
    for name, command in (("REFpb", Command.REFpb), ("RFMpb", Command.RFMpb)):
        yield finding(f"state.{name}_open_bank", view.having(1 << command) & is_open, act, "the bank is open")
    for name, command in (("REFab", Command.REFab), ("RFMab", Command.RFMab), ("SRE", Command.SRE)):
        yield finding(f"state.{name}_open_bank", view.having(1 << command) & is_open, act, "a bank is open")


def rows_open_too_long(by_bank: View) -> Iterator[Finding]:
    """Find rows that stay open longer than tRAS(max).

    Parameters
    ----------
    by_bank : View
        One channel, all-bank commands repeated per bank.

    Yields
    ------
    Finding
        At the command that closes the row too late, or at the channel's last command if none does.

    Source
    ------
    tRAS(max) = 9 x tREFI (JESD238B, JESD270-4); taken from the device's tRASmax where it has one.
    """
    view = by_bank
    times = view.limits.times
    allowed = times["tRASmax"] if "tRASmax" in times else 9 * times["tREFI"]
    order = view.order("bank")
    entries = order[(view.sorted_mask("bank") & (ACTIVATE | CLOSING)) != 0]
    if not len(entries):
        return
    # the command after an ACT in this list is the one that ends the row, if it belongs to the same bank
    end = np.append(entries[1:], 0)
    ended = np.append(view.bank[entries[1:]] == view.bank[entries[:-1]], False)
    last = len(view) - 1
    end = np.where(ended, end, last)
    automatic = ended & view.having(bits(WITH_PRECHARGE))[end]
    until = np.where(automatic, view.precharge[end], view.time[end])
    open_for = until - view.edge[entries]
    late = (view.mask[entries] == ACTIVATE) & (open_for > allowed)
    yield Finding("tRASmax", view.rows[end[late]], view.rows[entries[late]], open_for[late], allowed)
