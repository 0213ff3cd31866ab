"""Hand-made command logs: a device in half clocks, computed here from its ns without the package's help."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hbmmodel.check import check
from hbmmodel.commands import Command, command_log
from hbmmodel.device import Device, device

ACT, PREpb, PREab, RD, WR, RDA, WRA, REFab, REFpb, RFMab, RFMpb = (Command(code) for code in range(11))
HBM3 = ("HBM3_6400", "16Gb_8H")
HBM3E = ("HBM3E_8000", "24Gb_12H")
HBM4_12H = ("HBM4_8000", "24Gb_12H")
HBM4_16H = ("HBM4_8000", "24Gb_16H")
HBM2E = ("HBM2E_3200", "16Gb_8H")
DEVICES = (HBM3, HBM3E, HBM4_12H, HBM4_16H, HBM2E)


def up(tick: int) -> int:
    """The next rising edge."""
    return tick + (tick & 1)


class Made:
    """One device, with its times in half clocks, rounded up."""

    def __init__(self, name: str, variant: str, **overrides: Any) -> None:
        self.device: Device = device(name, variant, **overrides)
        self.half_ps: Fraction = self.device.tck_ps / 2
        self.hbm2e = name.startswith("HBM2E")
        self.act_edge = 2
        self.wl = 2 * math.ceil(self.ns("WL") * 1000 / self.device.tck_ps)
        self.rl = 2 * math.ceil(self.ns("RL") * 1000 / self.device.tck_ps)
        self.burst = 4

    def lengthen(self, symbol: str, ns: int) -> None:
        """Set one time by itself, also one that the presets derive."""
        old = self.device.timing[symbol]
        new = replace(old, ns=Fraction(ns), ck=Fraction(math.ceil(ns * 1000 / self.device.tck_ps)))
        timing = {**self.device.timing, symbol: new}
        self.device = replace(self.device, timing=timing)

    def ns(self, symbol: str) -> Fraction:
        ns = self.device.timing[symbol].ns
        assert ns is not None
        return ns

    def __getitem__(self, symbol: str) -> int:
        """Least whole number of half clocks that covers the time."""
        return math.ceil(self.ns(symbol) * 1000 / self.half_ps)

    def before_edge(self, command: Command, tick: int) -> int:
        """The start that this command could have had just before `tick`."""
        if command in (PREpb, PREab) and not self.hbm2e:
            return tick - 1
        return tick - 2

    def first_start(self, command: Command, tick: int) -> int:
        """The first edge from `tick` on where this command may start."""
        return tick if command in (PREpb, PREab) and not self.hbm2e else up(tick)


Row = tuple[int, int, int, int, int, int, int, int, int, int]


def at(
    tick: int,
    command: Command,
    bank: tuple[int, int, int] = (0, 0, 0),
    *,
    row: int = 7,
    column: int = 3,
    pc: int = 0,
    channel: int = 0,
    stack: int = 0,
) -> Row:
    """One row of a log; `bank` is (sid, bank group, bank)."""
    has_row = command in (ACT, RD, WR, RDA, WRA)
    has_column = command in (RD, WR, RDA, WRA)
    return (tick, stack, channel, pc, command, *bank, row if has_row else 0, column if has_column else 0)


def rules(subject: Any, rows: Iterable[Row], **options: Any) -> list[str]:
    """Names of the rules that the log breaks, in order."""
    return [violation.rule for violation in check(subject, command_log(rows), **options)]
