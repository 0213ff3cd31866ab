"""The distances between commands, as a table that reads like the standard's.

Owns *what* has to keep *which* distance from *what*; how the table is evaluated is `pairs`. Must not know
numbers (they are the device's) nor policies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hbmmodel.commands import Command

__all__ = ["RULES", "Rule", "bits"]

ACT = (Command.ACT,)
PREPB = (Command.PREpb,)
PRE = (Command.PREpb, Command.PREab)
READ = (Command.RD, Command.RDA)
WRITE = (Command.WR, Command.WRA)
WITH_PRECHARGE = (Command.RDA, Command.WRA)
REFAB, REFPB, RFMAB, RFMPB = (Command.REFab,), (Command.REFpb,), (Command.RFMab,), (Command.RFMpb,)
ONE_BANK = REFPB + RFMPB
ALL_BANKS = REFAB + RFMAB
SRE = (Command.SRE,)
REFRESH = REFAB + REFPB
POWER = (Command.PDE, Command.PDX, Command.SRE, Command.SRX)


def bits(commands: Iterable[Command]) -> int:
    """A set of commands as a mask: bit n for code n."""
    mask = 0
    for command in commands:
        mask |= 1 << command
    return mask


@dataclass(frozen=True)
class Rule:
    """A command of `following` comes at least `name` after the latest command of `previous` at the same
    `scope`.

    Attributes
    ----------
    name : str
        JEDEC symbol of the distance.
    scope : {"bank", "group", "sid", "pseudo_channel"}
        What the two have in common. PREab, REFab and RFMab are commands of every bank of their
        pseudo-channel, SRE of every bank of the channel.
    previous, following : tuple of Command
    since : str
        Where the distance begins: ``"edge"`` (the edge from which a command's timings count: ACT's second
        rising edge, for all others the first edge), ``"column_edge"`` (the same, row side of a column
        command), ``"write_data"`` (end of the burst, WL + BL later), ``"write_recovery"`` (the same, row
        side) or ``"precharge"`` (the internal precharge of RDA and WRA). It ends at the edge from which the
        following command's timings count.
    other : {None, "bank", "group", "sid"}
        What the two must not have in common.
    nth : int
        Count from the nth latest command instead of the latest.
    """

    name: str
    scope: str
    previous: tuple[Command, ...]
    following: tuple[Command, ...]
    since: str = "edge"
    other: str | None = None
    nth: int = 1


RULES: tuple[Rule, ...] = (
    # one bank
    Rule("tRC", "bank", ACT, ACT + ONE_BANK + ALL_BANKS + SRE),
    Rule("tRCDRD", "bank", ACT, READ),
    Rule("tRCDWR", "bank", ACT, WRITE),
    Rule("tRAS", "bank", ACT, PRE),
    Rule("tRTP", "bank", READ, PRE, since="column_edge"),
    Rule("tWR", "bank", WRITE, PRE, since="write_recovery"),
    Rule("tRP", "bank", PRE, ACT + ONE_BANK + ALL_BANKS + SRE),
    Rule("tRP", "bank", WITH_PRECHARGE, ACT + ONE_BANK + ALL_BANKS + SRE, since="precharge"),
    Rule("tRFCpb", "bank", REFPB, ACT + PREPB + ONE_BANK + ALL_BANKS + SRE),
    Rule("tRFMpb", "bank", RFMPB, ACT + PREPB + ONE_BANK + ALL_BANKS + SRE),
    Rule("tRFCab", "bank", REFAB, ACT + PRE + ONE_BANK + ALL_BANKS + SRE),
    Rule("tRFMab", "bank", RFMAB, ACT + PRE + ONE_BANK + ALL_BANKS + SRE),
    # banks of a pseudo-channel, rows
    Rule("tRRDL", "group", ACT, ACT + ONE_BANK),
    Rule("tRRDS", "pseudo_channel", ACT, ACT + ONE_BANK, other="group"),
    Rule("tRREFD", "pseudo_channel", ONE_BANK, ACT + ONE_BANK, other="bank"),
    Rule("tFAW", "pseudo_channel", ACT + REFPB, ACT + REFPB, nth=4),
    Rule("tPPD", "pseudo_channel", PRE, PRE),
    # banks of a pseudo-channel, columns
    Rule("tCCDL", "group", READ, READ),
    Rule("tCCDL", "group", WRITE, WRITE),
    Rule("tCCDS", "sid", READ, READ, other="group"),
    Rule("tCCDS", "pseudo_channel", WRITE, WRITE, other="group"),
    Rule("tCCDR", "pseudo_channel", READ, READ, other="sid"),
    Rule("tRTW", "pseudo_channel", READ, WRITE),
    Rule("tWTRL", "group", WRITE, READ, since="write_data"),
    Rule("tWTRS", "pseudo_channel", WRITE, READ, since="write_data", other="group"),
)
"""Every rule of the form "at least this long after". Sources: ``docs/model/checker.md``."""
