"""From commands to stretches of time: on the command buses, the data bus, of open rows, refreshes and power states.

Owns what a command means for the timeline of one channel; must not know file formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from hbmmodel.commands import COLUMN_COMMANDS, Command, Log

if TYPE_CHECKING:
    from hbmmodel.export.window import Window

__all__ = ["Interval", "channel_intervals", "channels_of"]

READS = frozenset({Command.RD, Command.RDA})
AUTO = frozenset({Command.RDA, Command.WRA})
STATES = {Command.PDE: "power-down", Command.SRE: "self-refresh"}
NAMES = {code.value: code.name for code in Command}


class Interval(NamedTuple):
    """A stretch of time of one channel.

    Attributes
    ----------
    place : str
        ``row bus``, ``column bus`` (one interval per command), ``data bus`` (bursts), ``rows`` (ACT to precharge),
        ``refresh`` or ``power``.
    pseudo_channel : int
        -1 on the command buses, which both share.
    bank : int
        Flat number in the pseudo-channel; -1 where all banks are meant.
    start_tick, end_tick : int
    name : str
    arguments : tuple of (str, int or str)
    """

    place: str
    pseudo_channel: int
    bank: int
    start_tick: int
    end_tick: int
    name: str
    arguments: tuple[tuple[str, int | str], ...] = ()


def channels_of(window: Window) -> Iterator[tuple[int, int, Log]]:
    """Stack, channel and commands of every channel of a window."""
    log = window.commands
    key = log["stack"].astype("i8") << 16 | log["channel"]
    cuts = [0, *((key[1:] != key[:-1]).nonzero()[0] + 1).tolist(), len(log)]
    for low, high in zip(cuts, cuts[1:], strict=False):
        yield int(log["stack"][low]), int(log["channel"][low]), log[low:high]


@dataclass(slots=True)
class _Row:
    """A row that is open: since when, which (-1: not known), and when its bank may precharge."""

    start: int
    row: int
    cut: str
    precharge: int


class _Channel:
    """Follows the commands of a channel."""

    def __init__(self, window: Window, stack: int, channel: int) -> None:
        device = window.system.device
        self.window = window
        self.times = device.ticks()
        self.organisation = device.organisation
        self.open: dict[tuple[int, int], _Row] = {}
        self.state: dict[int, tuple[int, Command, str]] = {}
        self.seen: set[tuple[int, int]] = set()  # banks whose state is known from commands of the window
        start = window.start_tick
        for (of_stack, of_channel, pc, bank), row in window.open_rows.items():
            if (of_stack, of_channel) == (stack, channel):
                self.open[pc, bank] = _Row(start, row, "start", start)
        for (of_stack, of_channel, pc), code in window.asleep.items():
            if (of_stack, of_channel) == (stack, channel):
                self.state[pc] = (start, code, "start")

    def follow(self, log: Log) -> Iterator[Interval]:
        """All intervals; those of one place in the order of their starts."""
        t, org = self.times, self.organisation
        act, row_length, column_length = t["act_ticks"], t["row_ticks"], t["column_ticks"]
        for tick, _, _, pc, code, sid, group, bank, row, column in log.tolist():
            flat = (sid * org.bank_groups + group) * org.banks_per_group + bank
            if code in COLUMN_COMMANDS:
                to = (("pc", pc), ("sid", sid), ("bg", group), ("bank", bank), ("row", row), ("column", column))
                yield Interval("column bus", -1, flat, tick, tick + column_length, NAMES[code], to)
                first = tick + (t["RL"] if code in READS else t["WL"])
                yield Interval("data bus", pc, flat, first, first + t["BL"], "RD" if code in READS else "WR", to)
                yield from self._column(code, pc, flat, row, tick)
                continue
            length = act if code == Command.ACT else 2 if code >= Command.PDE else row_length
            where = [("pc", pc)]
            if code in (Command.ACT, Command.PREpb, Command.REFpb, Command.RFMpb):
                where += (("sid", sid), ("bg", group), ("bank", bank))
            if code == Command.ACT:
                where.append(("row", row))
            yield Interval("row bus", -1, flat, tick, tick + length, NAMES.get(code, f"command {code}"), tuple(where))
            yield from self._row_command(code, pc, flat, row, tick)
        yield from self._left_over()

    def _column(self, code: int, pc: int, bank: int, row: int, tick: int) -> Iterator[Interval]:
        t = self.times
        found = self.open.get((pc, bank))
        self.seen.add((pc, bank))
        if found is None:  # opened ahead of what the log holds
            found = self.open[pc, bank] = _Row(self.window.start_tick, row, "start", self.window.start_tick)
        until = t["RTP"] if code in READS else t["WL"] + t["BL"] + t["WR"]
        found.precharge = max(found.precharge, tick + t["column_reference"] + until)
        if code in AUTO:
            yield from self._close(pc, bank, found.precharge)

    def _row_command(self, code: int, pc: int, bank: int, row: int, tick: int) -> Iterator[Interval]:
        t = self.times
        if code == Command.ACT:
            yield from self._close(pc, bank, tick)
            self.seen.add((pc, bank))
            first = tick + t["act_reference"]  # ACT's times count from there: a refresh may end behind its first edge
            self.open[pc, bank] = _Row(first, row, "", first + t["RAS"])
        elif code == Command.PREpb:
            if (pc, bank) not in self.open and (pc, bank) not in self.seen:
                self.open[pc, bank] = _Row(self.window.start_tick, -1, "start", 0)
            self.seen.add((pc, bank))
            yield from self._close(pc, bank, tick)
        elif code == Command.PREab:
            for of_pc, of_bank in [key for key in self.open if key[0] == pc]:
                yield from self._close(of_pc, of_bank, tick)
        elif code in (Command.REFab, Command.RFMab):
            length = t["RFCab"] if code == Command.REFab else t["RFMab"]
            yield Interval("refresh", pc, -1, tick, tick + length, NAMES[code])
        elif code in (Command.REFpb, Command.RFMpb):
            length = t["RFCpb"] if code == Command.REFpb else t["RFMpb"]
            yield Interval("rows", pc, bank, tick, tick + length, NAMES[code])
        elif code in (Command.PDE, Command.SRE):
            self.state[pc] = (tick, Command(code), "")
        elif code in (Command.PDX, Command.SRX):
            entered = Command.PDE if code == Command.PDX else Command.SRE
            since, entry, cut = self.state.pop(pc, (self.window.start_tick, entered, "start"))
            yield self._asleep(pc, since, tick, entry, cut)

    def _close(self, pc: int, bank: int, tick: int) -> Iterator[Interval]:
        found = self.open.pop((pc, bank), None)
        if found is not None and found.start < self.window.end_tick:
            yield self._open_row(pc, bank, found, tick)

    def _open_row(self, pc: int, bank: int, found: _Row, end: int) -> Interval:
        cut = found.cut
        if end > self.window.end_tick:
            end, cut = self.window.end_tick, f"{cut} and end" if cut else "end"
        name = f"row {found.row}" if found.row >= 0 else "a row"
        return Interval("rows", pc, bank, found.start, end, name, (("cut_at", cut),) if cut else ())

    def _asleep(self, pc: int, since: int, until: int, entry: Command, cut: str) -> Interval:
        return Interval("power", pc, -1, since, until, STATES[entry], (("cut_at", cut),) if cut else ())

    def _left_over(self) -> Iterator[Interval]:
        """What is open, or sleeps, beyond the window."""
        end = self.window.end_tick
        for pc, bank in list(self.open):
            yield from self._close(pc, bank, end + 1)
        for pc, (since, entry, cut) in self.state.items():
            yield self._asleep(pc, since, end, entry, f"{cut} and end" if cut else "end")


def channel_intervals(window: Window, stack: int, channel: int, log: Log) -> Iterator[Interval]:
    """All intervals of one channel, in the order of their commands; those of one track do not overlap.

    Parameters
    ----------
    window : Window
    stack, channel : int
    log : ndarray of COMMAND_DTYPE
        That channel's part of the window.
    """
    yield from _Channel(window, stack, channel).follow(log)
