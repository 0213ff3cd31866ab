"""What the wires can carry: edges, row bus, column bus, data bus.

Owns the occupancy of a channel's two command buses, which its pseudo-channels share, and of each
pseudo-channel's data bus. Must not know banks' states or distances between commands.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hbmmodel.check.rules import POWER, PRE, READ, WRITE, bits
from hbmmodel.check.view import Finding, Ints, View
from hbmmodel.commands import Command

__all__ = ["command_edges", "command_buses", "data_bus", "slot_behind_act"]

COLUMN = bits(READ + WRITE)
ACTIVATE = 1 << Command.ACT


def command_edges(view: View, *, precharge_on_any_edge: bool) -> Iterator[Finding]:
    """Find commands that start on a falling edge of CK and may not.

    Parameters
    ----------
    view : View
        One channel.
    precharge_on_any_edge : bool
        Whether PREpb and PREab may.

    Yields
    ------
    Finding

    Source
    ------
    JESD238B, JESD270-4, command truth tables: column commands, ACT, REF and RFM start on a rising edge;
    precharges on either.
    """
    wrong = (view.tick & 1) != 0
    if precharge_on_any_edge:
        wrong &= ~view.having(bits(PRE))
    at = np.flatnonzero(wrong)
    if len(at):
        yield Finding("bus.edge", view.rows[at], detail="starts on a falling edge of CK")


def _overlaps(rule: str, view: View, entries: Ints, length: Ints) -> Iterator[Finding]:
    """Find entries that begin before everything ahead of them has ended."""
    if len(entries) < 2:
        return
    start = view.time[entries]
    end = start + length
    latest_end = np.maximum.accumulate(end)
    # which entry holds the bus longest so far: the newest one that reached the running maximum
    holder = np.maximum.accumulate(np.where(end == latest_end, np.arange(len(entries)), 0))
    late = np.flatnonzero(start[1:] < latest_end[:-1]) + 1
    if len(late):
        held = holder[late - 1]
        yield Finding(
            rule, view.rows[entries[late]], view.rows[entries[held]], start[late] - start[held], length[held]
        )


def command_buses(view: View) -> Iterator[Finding]:
    """Find commands that overlap on the row bus or on the column bus.

    Parameters
    ----------
    view : View
        One channel.

    Yields
    ------
    Finding

    Source
    ------
    JESD238B, JESD270-4: ACT takes 1.5 CK, PDE and SRE 1 CK (PDX and SRX taken alike), other row commands
    half a CK, column commands 1 CK; both
    pseudo-channels share both buses; a row and a column command may start together. JESD235D: ACT 2 CK, other
    row commands 1 CK.
    """
    limits = view.limits
    row = np.flatnonzero(~view.having(COLUMN))
    length = np.where(view.mask[row] == ACTIVATE, limits.act_length, limits.row_length).astype(np.int64)
    length[view.having(bits(POWER))[row]] = 2 * limits.tick
    yield from _overlaps("bus.row", view, row, length)
    column = np.flatnonzero(view.having(COLUMN))
    yield from _overlaps("bus.column", view, column, np.full(len(column), limits.column_length, np.int64))


def slot_behind_act(view: View) -> Iterator[Finding]:
    """Find precharges in the falling half clock behind an ACT that may not stand there.

    Parameters
    ----------
    view : View
        One channel.

    Yields
    ------
    Finding

    Source
    ------
    JESD238B, JESD270-4: the falling slot behind R-F-R may hold RNOP, PREpb of another bank, or PREab of the
    other pseudo-channel.
    """
    limits = view.limits
    if limits.act_length % (2 * limits.tick) == 0:
        return
    row = np.flatnonzero(~view.having(COLUMN))
    ahead, behind = row[:-1], row[1:]
    paired = (view.mask[ahead] == ACTIVATE) & (view.time[behind] - view.time[ahead] == limits.act_length)
    one = (view.mask[behind] == 1 << Command.PREpb) & (view.bank[behind] == view.bank[ahead])
    every = (view.mask[behind] == 1 << Command.PREab) & (
        view.pseudo_channel[behind] == view.pseudo_channel[ahead]
    )
    at = np.flatnonzero(paired & (one | every))
    if len(at):
        yield Finding(
            "bus.pairing",
            view.rows[behind[at]],
            view.rows[ahead[at]],
            detail="behind an ACT only PREpb of another bank or PREab of the other pseudo-channel may stand",
        )


def data_bus(view: View) -> Iterator[Finding]:
    """Find bursts that overlap on the data bus of a pseudo-channel.

    Parameters
    ----------
    view : View
        One channel.

    Yields
    ------
    Finding
        At the command that was issued later; distances are between the beginnings of the two bursts.

    Source
    ------
    Data of RD begin RL, of WR WL after the command and last BL (JESD238B, JESD270-4).
    """
    limits = view.limits
    entries = np.flatnonzero(view.having(COLUMN))
    read = view.having(bits(READ))[entries]
    start = view.time[entries] + np.where(read, limits.read_latency, limits.write_latency)
    order = np.lexsort((start, view.pseudo_channel[entries]))
    entries, start = entries[order], start[order]
    pc = view.pseudo_channel[entries]
    apart = start[1:] - start[:-1]
    clash = np.flatnonzero((pc[1:] == pc[:-1]) & (apart < limits.burst))
    if len(clash):
        first, second = entries[clash], entries[clash + 1]
        later, earlier = np.maximum(first, second), np.minimum(first, second)
        yield Finding("bus.data", view.rows[later], view.rows[earlier], apart[clash], limits.burst)
