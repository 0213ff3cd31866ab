"""Power-down and self-refresh of a channel: who may speak when, and for how long it must be silent.

Owns the states of a channel (up, in power-down, in self-refresh), the distances around their entries and exits, and how
long self-refresh lasted. Must not know when a controller goes to sleep, nor the states of banks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hbmmodel.check.rules import READ, REFRESH, WRITE, bits
from hbmmodel.check.view import Finding, Ints, View, latest
from hbmmodel.commands import Command

__all__ = ["Sleeps", "extra_refreshes", "power_distances", "power_states", "sleeps"]

ENTRIES = bits((Command.PDE, Command.SRE))
EXITS = bits((Command.PDX, Command.SRX))
EVERY = (1 << (Command.SRX + 1)) - 1

Sleeps = tuple[Ints, Ints]
"""Begin and end of every stay in self-refresh, in units."""


def power_distances(view: View) -> Iterator[Finding]:
    """Find commands that come too early around an entry or an exit.

    Parameters
    ----------
    view : View
        One channel.

    Yields
    ------
    Finding
        Distances between first edges.

    Source
    ------
    JESD238B, JESD270-4: tXP, tXS, tCPDED; power-down only when no RD or WR is in flight on either
    pseudo-channel. One CK beyond the burst, and tWR: DRAMSys ``CheckerHBM2`` (tRDPDE, tWRPDE). tPD(min) is
    an estimate.
    """
    limits = view.limits
    times = limits.times
    ck = 2 * limits.tick
    after_read = limits.read_latency + limits.burst + ck
    after_write = limits.column_edge + limits.write_latency + limits.burst + times["tWR"] + ck
    for name, previous, following, required in (
        ("tXP", 1 << Command.PDX, EVERY, times["tXP"]),
        ("tXS", 1 << Command.SRX, EVERY, times["tXS"]),
        ("tCPDED", ENTRIES, EXITS, times["tCPDED"]),
        ("tPDmin", ENTRIES, EXITS, times["tPDmin"]),
        ("tRDPDE", bits(READ), ENTRIES, after_read),
        ("tWRPDE", bits(WRITE), ENTRIES, after_write),
    ):
        at, since = latest(view, "channel", previous, following)
        actual = view.time[at] - view.time[since]
        early = actual < required
        if early.any():
            yield Finding(name, view.rows[at[early]], view.rows[since[early]], actual[early], required)


def power_states(view: View) -> Iterator[Finding]:
    """Find commands to a sleeping channel, and exits from a state that it is not in.

    Parameters
    ----------
    view : View
        One channel.

    Yields
    ------
    Finding

    Source
    ------
    JESD238B, JESD270-4: nothing but NOPs until the exit of the state; PDE and SRE act on both pseudo-channels.
    """
    changes = np.flatnonzero(view.having(ENTRIES | EXITS))
    if not len(changes):
        return
    everything = np.arange(len(view))
    # the last change of state before each command
    number = np.searchsorted(changes, everything, side="left") - 1
    last = np.where(number >= 0, changes[np.maximum(number, 0)], -1)
    before = np.where(last >= 0, view.mask[last], 0)

    def finding(rule: str, wrong: np.ndarray, detail: str) -> Finding:
        at = np.flatnonzero(wrong)
        return Finding(rule, view.rows[at], np.where(last[at] >= 0, view.rows[last[at]], -1), detail=detail)

    down, refreshing = before == 1 << Command.PDE, before == 1 << Command.SRE
    wakes, leaves = view.mask == 1 << Command.PDX, view.mask == 1 << Command.SRX
    yield finding("state.power_down", down & ~wakes & ~leaves, "the channel is in power-down")
    yield finding("state.self_refresh", refreshing & ~wakes & ~leaves, "the channel is in self-refresh")
    yield finding("state.PDX_not_down", wakes & ~down, "the channel is not in power-down")
    yield finding("state.SRX_not_refreshing", leaves & ~refreshing, "the channel is not in self-refresh")


def sleeps(view: View, end: int) -> Sleeps:
    """List the stays in self-refresh; one that the log does not end lasts until `end`."""
    changes = np.flatnonzero(view.having(ENTRIES | EXITS))
    begin = np.flatnonzero(view.mask[changes] == 1 << Command.SRE)
    times = np.append(view.time[changes], end)
    return times[begin], times[begin + 1]


def extra_refreshes(view: View) -> Iterator[Finding]:
    """Find entries to self-refresh without a round of refreshes since the last exit.

    Parameters
    ----------
    view : View
        One channel as on the buses.

    Yields
    ------
    Finding

    Source
    ------
    JESD79-2 to -4 (DDR2 to DDR4): an internal refresh may be missed at the exit, so one extra refresh command
    goes before self-refresh is entered again; taken for HBM by analogy (estimate). With REFpb: one for every
    bank.
    """
    banks = view.organisation.banks
    done = dict.fromkeys(range(view.organisation.pseudo_channels), 0)
    since = -1
    rows, previous = [], []
    for entry in np.flatnonzero(view.having(bits((*REFRESH, Command.SRE, Command.SRX)))).tolist():
        mask = int(view.mask[entry])
        if mask == 1 << Command.SRX:
            since, done = entry, dict.fromkeys(done, 0)
        elif mask == 1 << Command.SRE:
            if since >= 0 and min(done.values()) < banks:
                rows.append(int(view.rows[entry]))
                previous.append(int(view.rows[since]))
        else:
            done[int(view.pseudo_channel[entry])] += banks if mask == 1 << Command.REFab else 1
    if rows:
        yield Finding(
            "refresh.self",
            np.array(rows, np.int64),
            np.array(previous, np.int64),
            detail=f"since the last exit a pseudo-channel had neither a REFab nor {banks} REFpb",
        )
