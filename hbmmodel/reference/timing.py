"""The timing rules of ``docs/model/controller.md``, kept as the tables that stand there.

Owns: the commands, the list of rules (one `Rule` per table cell), the history of what was issued to one
pseudo-channel, and the two answers drawn from it: how early may a command come, and is it legal now.
Must not know: queues, policies, the clock.  The caller brings the tick.

Every rule has the form "X -> Y >= n: Y may be stamped no earlier than n ticks after the stamp of X".  For a
fixed n the last X decides, so the history keeps, for every kind of event and every bank, the stamp of the
last one; nothing is folded together beyond that.  The scopes nest as in the document's headings: "same group"
includes the same bank and "same pseudo-channel" includes everything, unless a rule itself says "other".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

LONG_AGO = -(1 << 60)
"""Stamp of an event that has not happened: it keeps every rule satisfied."""


class Command(IntEnum):
    """Commands, with the codes of the command log."""

    ACT = 0
    PREpb = 1
    PREab = 2
    RD = 3
    WR = 4
    RDA = 5
    WRA = 6
    REFab = 7
    REFpb = 8
    RFMab = 9
    RFMpb = 10
    PDE = 11
    PDX = 12
    SRE = 13
    SRX = 14


class Event(Enum):
    """What the rules count from: commands, and the precharge that RDA/WRA carry inside."""

    ACT = "ACT"
    PRE = "PRE"
    READ = "RD"
    WRITE = "WR"
    REFab = "REFab"
    REFpb = "REFpb"
    RFMab = "RFMab"
    RFMpb = "RFMpb"
    INTERNAL_PRE = "p"


class Scope(Enum):
    """Which banks an event must have concerned for a rule to apply to a bank."""

    SAME_BANK = "same bank"
    SAME_GROUP = "same group"
    SAME_SID_OTHER_GROUP = "same SID, other group"
    OTHER_SID = "other SID"
    OTHER_BANK = "other bank"
    PSEUDO_CHANNEL = "same pseudo-channel"


EVENT_OF: Mapping[Command, Event] = {
    Command.ACT: Event.ACT,
    Command.PREpb: Event.PRE,
    Command.PREab: Event.PRE,
    Command.RD: Event.READ,
    Command.RDA: Event.READ,
    Command.WR: Event.WRITE,
    Command.WRA: Event.WRITE,
    Command.REFab: Event.REFab,
    Command.REFpb: Event.REFpb,
    Command.RFMab: Event.RFMab,
    Command.RFMpb: Event.RFMpb,
}

COLUMN_COMMANDS = frozenset({Command.RD, Command.WR, Command.RDA, Command.WRA})
ALL_BANK_COMMANDS = frozenset({Command.PREab, Command.REFab, Command.RFMab})


@dataclass(frozen=True)
class Rule:
    """``earlier -> later >= ticks`` for events of banks in ``scope`` of the later command's bank."""

    scope: Scope
    earlier: Event
    later: Command
    ticks: int


def timing_rules(ticks: Mapping[str, int]) -> tuple[Rule, ...]:
    """Write the tables *Same bank*, *Same group* and *Same pseudo-channel* down, line by line.

    Parameters
    ----------
    ticks
        Device fields in ticks of half a CK (names of ``csrc/device_fields.def``).

    Returns
    -------
    tuple of Rule
        All pairwise rules.  The four-activate window is not pairwise; `History` evaluates it.

    Source
    ------
    ``docs/model/controller.md``, *Timing rules*.
    """
    a = ticks["act_reference"]
    c = ticks["column_reference"]
    after_write = ticks["WL"] + ticks["BL"]
    rules: list[Rule] = []

    def rule(scope: Scope, earlier: Iterable[Event], later: Iterable[Command], n: int) -> None:
        rules.extend(Rule(scope, x, y, n) for x in earlier for y in later)

    act, refpb, rfmpb = Command.ACT, Command.REFpb, Command.RFMpb
    read, write = (Command.RD, Command.RDA), (Command.WR, Command.WRA)
    pre = (Command.PREpb, Command.PREab)
    per_bank = (refpb, rfmpb)
    per_bank_event = (Event.REFpb, Event.RFMpb)
    all_bank = (Command.REFab, Command.RFMab)

    # Same bank.  PREab, REFab and RFMab are commands of every bank; see `History.concerned`.
    bank = Scope.SAME_BANK
    rule(bank, [Event.ACT], [act], ticks["RC"])
    rule(bank, [Event.ACT], read, a + ticks["RCDRD"])
    rule(bank, [Event.ACT], write, a + ticks["RCDWR"])
    rule(bank, [Event.ACT], pre, a + ticks["RAS"])
    rule(bank, [Event.ACT], (*per_bank, *all_bank), a + ticks["RC"])
    rule(bank, [Event.READ], pre, c + ticks["RTP"])
    rule(bank, [Event.WRITE], pre, c + after_write + ticks["WR"])
    rule(bank, [Event.PRE, Event.INTERNAL_PRE], [act], ticks["RP"] - a)
    rule(bank, [Event.PRE, Event.INTERNAL_PRE], per_bank + all_bank, ticks["RP"])
    rule(bank, [Event.REFpb], [act], ticks["RFCpb"] - a)
    rule(bank, [Event.REFpb], per_bank, ticks["RFCpb"])
    rule(bank, [Event.RFMpb], [act], ticks["RFMpb"] - a)
    rule(bank, [Event.RFMpb], per_bank, ticks["RFMpb"])

    # Same group.
    group = Scope.SAME_GROUP
    rule(group, [Event.ACT], [act], ticks["RRDL"])
    rule(group, [Event.ACT], per_bank, a + ticks["RRDL"])
    rule(group, per_bank_event, [act], max(ticks["RREFD"], ticks["RRDL"]) - a)
    rule(group, [Event.READ], read, ticks["CCDL"])
    rule(group, [Event.WRITE], write, ticks["CCDL"])
    rule(group, [Event.WRITE], read, after_write + ticks["WTRL"])

    # Same pseudo-channel.
    pc = Scope.PSEUDO_CHANNEL
    rule(pc, [Event.ACT], [act], ticks["RRDS"])
    rule(pc, [Event.ACT], per_bank, a + ticks["RRDS"])
    rule(Scope.OTHER_BANK, per_bank_event, [act], ticks["RREFD"] - a)
    rule(Scope.OTHER_BANK, per_bank_event, per_bank, ticks["RREFD"])
    rule(Scope.SAME_SID_OTHER_GROUP, [Event.READ], read, ticks["CCDS"])
    rule(pc, [Event.WRITE], write, ticks["CCDS"])
    rule(Scope.OTHER_SID, [Event.READ], read, ticks["CCDR"])
    rule(pc, [Event.READ], write, ticks["RTW"])
    rule(pc, [Event.WRITE], read, after_write + ticks["WTRS"])
    rule(pc, [Event.PRE], pre, ticks["PPD"])
    for event, name in ((Event.REFab, "RFCab"), (Event.RFMab, "RFMab")):
        rule(pc, [event], [act], ticks[name] - a)
        rule(pc, [event], (Command.PREab, *all_bank, *per_bank), ticks[name])
    rule(pc, [Event.REFpb], all_bank, ticks["RFCpb"])
    rule(pc, [Event.RFMpb], all_bank, ticks["RFMpb"])
    return tuple(rules)


class Banks:
    """Which banks of a pseudo-channel stand in a scope to which.

    Flat bank number = (sid * bank_groups + bank_group) * banks_per_group + bank in group.
    """

    def __init__(self, ticks: Mapping[str, int]) -> None:
        per_group = ticks["banks_per_group"]
        per_sid = per_group * ticks["bank_groups"]
        self.count = per_sid * ticks["sids"]
        every = range(self.count)
        # A group is (sid, bank_group), so groups are numbered through the SIDs.
        tests: dict[Scope, Callable[[int, int], bool]] = {
            Scope.SAME_BANK: lambda x, y: x == y,
            Scope.SAME_GROUP: lambda x, y: x // per_group == y // per_group,
            Scope.SAME_SID_OTHER_GROUP: lambda x, y: (
                x // per_sid == y // per_sid and x // per_group != y // per_group
            ),
            Scope.OTHER_SID: lambda x, y: x // per_sid != y // per_sid,
            Scope.OTHER_BANK: lambda x, y: x != y,
            Scope.PSEUDO_CHANNEL: lambda x, y: True,
        }
        self._in_scope = {
            scope: tuple(tuple(x for x in every if test(x, y)) for y in every)
            for scope, test in tests.items()
        }

    def in_scope(self, scope: Scope, bank: int) -> tuple[int, ...]:
        """Banks whose events a rule of this scope counts for a command to `bank`."""
        return self._in_scope[scope][bank]


class History:
    """What was issued to one pseudo-channel, the state of its banks, and what that permits.

    Parameters
    ----------
    ticks
        Device fields in ticks (names of ``csrc/device_fields.def``).

    Attributes
    ----------
    open_row : list of (int or None)
        The row each bank holds open.
    raa : list of int
        Rolling activation count of each bank; stays 0 when the device needs no RFM.
    since_act : list of int
        Column commands issued to each bank since its last ACT.
    """

    def __init__(self, ticks: Mapping[str, int]) -> None:
        self.ticks = ticks
        self.banks = Banks(ticks)
        count = self.banks.count
        self.open_row: list[int | None] = [None] * count
        self.raa = [0] * count
        self.since_act = [0] * count
        self._last: dict[Event, list[int]] = {event: [LONG_AGO] * count for event in Event}
        self._activations: list[int] = []
        self._rules: dict[Command, list[Rule]] = {command: [] for command in Command}
        for rule in timing_rules(ticks):
            self._rules[rule.later].append(rule)
        # Nothing but a new command changes an earliest tick, so each is worked out once between commands.
        self._known: dict[tuple[Command, int], int] = {}

    def concerned(self, command: Command, bank: int) -> list[int]:
        """List the banks that a command concerns: its own, or every bank for the all-bank commands.

        The same-bank rules "... -> PREpb/PREab" are read as holding for every bank, so a PREab also waits for
        the write recovery of a closed bank whose WRA has not begun its precharge yet.
        """
        return list(range(self.banks.count)) if command in ALL_BANK_COMMANDS else [bank]

    def last(self, event: Event, bank: int) -> int:
        """Stamp of the last such event of the bank (`LONG_AGO` if there was none)."""
        return self._last[event][bank]

    def earliest(self, command: Command, bank: int) -> int:
        """First tick at which no timing rule forbids the command; state and clock edge are not looked at."""
        key = (command, bank)
        if key not in self._known:
            self._known[key] = max(
                self._pairwise(command, bank),
                self._four_activate_window(command),
            )
        return self._known[key]

    def earliest_of_bank(self, command: Command, bank: int) -> int:
        """First tick at which no rule of scope "same bank" forbids the command."""
        return max(
            self._last[rule.earlier][bank] + rule.ticks
            for rule in self._rules[command]
            if rule.scope is Scope.SAME_BANK
        )

    def legal(self, command: Command, bank: int, tick: int) -> bool:
        """Whether the command may be stamped at `tick`, buses apart."""
        return (
            self._edge_allows(command, tick)
            and self._state_allows(command, bank)
            and self.earliest(command, bank) <= tick
        )

    def record(self, command: Command, bank: int, row: int, tick: int) -> None:
        """Enter an issued command."""
        self._known.clear()
        event = EVENT_OF[command]
        for b in self.concerned(command, bank):
            self._last[event][b] = tick
        if command is Command.ACT:
            self.open_row[bank] = row
            self.since_act[bank] = 0
            self._activations.append(tick + self.ticks["act_reference"])
        elif command in COLUMN_COMMANDS:
            self.since_act[bank] += 1
            if command in (Command.RDA, Command.WRA):
                self._last[Event.INTERNAL_PRE][bank] = self._internal_precharge(command, bank, tick)
                self.open_row[bank] = None
        elif command in (Command.PREpb, Command.PREab):
            for b in self.concerned(command, bank):
                self.open_row[b] = None
        elif command is Command.REFpb:
            self._activations.append(tick)
        if self.ticks["RAAIMT"] > 0:
            self._count_activations(command, bank)

    def _pairwise(self, command: Command, bank: int) -> int:
        earliest = LONG_AGO
        for b in self.concerned(command, bank):
            for rule in self._rules[command]:
                stamps = self._last[rule.earlier]
                for other in self.banks.in_scope(rule.scope, b):
                    earliest = max(earliest, stamps[other] + rule.ticks)
        return earliest

    def _four_activate_window(self, command: Command) -> int:
        """Keep five of {ACT at stamp + A, REFpb at stamp} at least FAW apart, first to fifth; no RFMpb."""
        if command not in (Command.ACT, Command.REFpb) or len(self._activations) < 4:
            return LONG_AGO
        first = sorted(self._activations)[-4]
        own_edge = self.ticks["act_reference"] if command is Command.ACT else 0
        return first + self.ticks["FAW"] - own_edge

    def _internal_precharge(self, command: Command, bank: int, tick: int) -> int:
        """Compute p of the rule for RDA / WRA."""
        k = self.ticks
        c = k["column_reference"]
        # The last READ and WRITE of the bank include this command; those before its ACT no longer matter.
        return max(
            self.last(Event.READ, bank) + c + k["RTP"],
            self.last(Event.WRITE, bank) + c + k["WL"] + k["BL"] + k["WR"],
            self.last(Event.ACT, bank) + k["act_reference"] + k["RAS"],
        )

    def _edge_allows(self, command: Command, tick: int) -> bool:
        if tick % 2 == 0:
            return True
        return command in (Command.PREpb, Command.PREab) and self.ticks["pre_any_edge"] == 1

    def _state_allows(self, command: Command, bank: int) -> bool:
        row = self.open_row[bank]
        if command is Command.ACT:
            return row is None and not (self.ticks["RAAIMT"] > 0 and self.raa[bank] >= self.ticks["RAAMMT"])
        if command in COLUMN_COMMANDS:
            return row is not None
        if command in (Command.REFpb, Command.RFMpb):
            return row is None
        if command in (Command.REFab, Command.RFMab):
            return all(r is None for r in self.open_row)
        return True

    def _count_activations(self, command: Command, bank: int) -> None:
        """RAA: +1 per ACT; -RAAIMT by an RFM, -RAADEC by a REF, never below 0."""
        if command is Command.ACT:
            self.raa[bank] += 1
        elif command in (Command.RFMpb, Command.RFMab, Command.REFpb, Command.REFab):
            credit = self.ticks["RAAIMT" if command in (Command.RFMpb, Command.RFMab) else "RAADEC"]
            for b in self.concerned(command, bank):
                self.raa[b] = max(0, self.raa[b] - credit)


class Bus:
    """The row bus or the column bus, which the pseudo-channels of a channel share.

    Attributes
    ----------
    last_pc : int or None
        Pseudo-channel of the last command on this bus.
    """

    def __init__(self) -> None:
        self.last_pc: int | None = None
        self._free_at = 0

    def free(self, tick: int) -> bool:
        """Whether a command may be stamped at `tick`."""
        return tick >= self._free_at

    def take(self, tick: int, occupied_ticks: int, pc: int) -> None:
        """Occupy the bus from `tick`."""
        self._free_at = tick + occupied_ticks
        self.last_pc = pc

    def occupy(self, tick: int, occupied_ticks: int) -> None:
        """Occupy the bus with a command of the channel, which is no pseudo-channel's turn."""
        self._free_at = tick + occupied_ticks

    def order(self, pseudo_channels: int) -> tuple[int, ...]:
        """Put the pseudo-channel that did not issue the last command first; initially 0, then 1."""
        numbers = range(pseudo_channels)
        return tuple(sorted(numbers, key=lambda pc: pc == self.last_pc))
