"""The states of a rank as DRAMPower 6.2 keeps them: what a sequence of DDR5 commands counts.

Owns counts and cycles; must not know currents, files or results.  Rules that are that program's own and not the
standard's are followed, since the point is to agree with it:

* a refresh counts as time in which its banks are active; an all-bank refresh makes the rank active until it ends;
* self refresh begins tRFC after SREFEN, with a refresh of its own before;
* power-down begins, and ends, no earlier than tRCD after the last ACT, tRP after the last PRE, and a refresh's end;
* in active power-down no bank counts as active; banks that were open when it began count again from its end;
* RDA and WRA precharge after max(tRAS, tRTP) and max(tRAS, WL + BL/DR + tWR); a precharge after the end is not counted.

**Source**: behaviour of DRAMPower 6.2's DDR5 core (github.com/tukl-msd/DRAMPower), written anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["COMMANDS", "Bank", "Rank", "Timing"]


@dataclass(frozen=True)
class Timing:
    """What moves a state, in clock cycles."""

    ras: int
    rcd: int
    rp: int
    rfc: int
    rfcsb: int
    rda_to_pre: int
    wra_to_pre: int


@dataclass
class Stretch:
    """Time spent in a state: closed stretches, and one that may be open."""

    closed: int = 0
    start: int | None = None
    end: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether a stretch has begun and not ended."""
        return self.start is not None and self.end is None

    def begin(self, t: int) -> None:
        """Begin; one that is open is forgotten."""
        self.start, self.end = t, None

    def finish(self, t: int) -> None:
        """End, if one is open."""
        if self.start is not None and self.end is None:
            self.end = t
            self.closed += t - self.start

    def total(self, t: int) -> int:
        """Cycles up to `t`."""
        return self.closed + (max(t - self.start, 0) if self.start is not None and self.end is None else 0)


@dataclass
class Bank:
    """Counts and state of one bank."""

    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("act", "pre", "rd", "wr", "rda", "wra", "ref_ab", "ref_sb"), 0)
    )
    active: Stretch = field(default_factory=Stretch)
    is_active: bool = False
    latest_pre: int = 0
    refresh_end: int = 0


class Rank:
    """One rank: feed it commands in the order of time, then `finish`.

    Parameters
    ----------
    banks, groups : int
        Banks of the rank; bank groups among them.
    timing : Timing

    Examples
    --------
    >>> rank = Rank(16, 4, Timing(ras=34, rcd=14, rp=14, rfc=260, rfcsb=96, rda_to_pre=6, wra_to_pre=22))
    >>> for t, name in ((0, "ACT"), (14, "RD"), (34, "PRE")):
    ...     rank.command(t, name, 0)
    >>> rank.finish(100)
    {'rank_act': 34, 'rank_pre': 66, 'sref': 0, 'pdna': 0, 'pdnp': 0}
    """

    def __init__(self, banks: int, groups: int, timing: Timing) -> None:
        self.banks = [Bank() for _ in range(banks)]
        self._timing = timing
        self._per_group = banks // groups
        self._refresh_end = 0
        self._active, self._self_refresh = Stretch(), Stretch()
        self._active_down, self._precharged_down = Stretch(), Stretch()
        self._refreshing_itself = False
        self._later: list[tuple[int, int, Callable[[int], None]]] = []
        self._n_later = 0

    def command(self, t: int, name: str, bank: int) -> None:
        """One command at cycle `t`; `name` is one of `COMMANDS`.

        Raises
        ------
        ValueError
            SREFEX before self refresh has begun.
        """
        self._catch_up(t)
        COMMANDS[name](self, t, bank)

    def finish(self, t: int) -> dict[str, int]:
        """Cycles of every state up to `t`, under DRAMPower's names.

        Raises
        ------
        ValueError
            States overlap by more than there is time, as after power-down of the wrong kind.
        """
        self._catch_up(t)
        cycles = {
            "rank_act": self._active.total(t),
            "rank_pre": 0,
            "sref": self._self_refresh.total(t),
            "pdna": self._active_down.total(t),
            "pdnp": self._precharged_down.total(t),
        }
        cycles["rank_pre"] = t - sum(cycles.values())
        if cycles["rank_pre"] < 0:
            raise ValueError(f"states overlap by {-cycles['rank_pre']} cycles; is a power-down of the wrong kind?")
        return cycles

    # ---- time ----

    def _at(self, t: int, what: Callable[[int], None]) -> None:
        heapq.heappush(self._later, (t, self._n_later, what))
        self._n_later += 1

    def _catch_up(self, t: int) -> None:
        while self._later and self._later[0][0] <= t:
            at, _, what = heapq.heappop(self._later)
            what(at)

    def _is_active(self, t: int) -> bool:
        return t < self._refresh_end or any(bank.is_active for bank in self.banks)

    def _power_down_edge(self, t: int) -> int:
        """The earliest cycle, at or after `t`, at which power-down may begin or end."""
        for bank in self.banks:
            if bank.counts["act"]:
                t = max(t, (bank.active.start or 0) + self._timing.rcd)
            if bank.counts["pre"]:
                t = max(t, bank.latest_pre + self._timing.rp)
            t = max(t, bank.refresh_end)
        return t

    def _same_bank(self, bank: int) -> list[Bank]:
        return self.banks[bank % self._per_group :: self._per_group]

    # ---- commands ----

    def _activate(self, t: int, number: int) -> None:
        bank = self.banks[number]
        bank.counts["act"] += 1
        bank.active.begin(t)
        if not self._is_active(t):
            self._active.begin(t)
        bank.is_active = True

    def _close(self, t: int, bank: Bank) -> None:
        if bank.is_active:
            bank.counts["pre"] += 1
            bank.active.finish(t)
            bank.latest_pre = t
            self._rest(t, bank)

    def _rest(self, t: int, bank: Bank) -> None:
        bank.is_active = False
        if not self._is_active(t):
            self._active.finish(t)

    def _precharge(self, t: int, number: int) -> None:
        self._close(t, self.banks[number])

    def _precharge_same(self, t: int, number: int) -> None:
        for bank in self._same_bank(number):
            self._close(t, bank)

    def _precharge_all(self, t: int, _: int) -> None:
        for bank in self.banks:
            self._close(t, bank)

    def _read(self, _: int, number: int) -> None:
        self.banks[number].counts["rd"] += 1

    def _write(self, _: int, number: int) -> None:
        self.banks[number].counts["wr"] += 1

    def _read_close(self, t: int, number: int) -> None:
        self._close_by_itself(t + self._timing.rda_to_pre, self.banks[number], "rda")

    def _write_close(self, t: int, number: int) -> None:
        self._close_by_itself(t + self._timing.wra_to_pre, self.banks[number], "wra")

    def _close_by_itself(self, t: int, bank: Bank, count: str) -> None:
        bank.counts[count] += 1
        self._at(max((bank.active.start or 0) + self._timing.ras, t), lambda at: self._close(at, bank))

    def _refresh(self, t: int, bank: Bank, cycles: int, count: str) -> None:
        bank.counts[count] += 1
        if not self._is_active(t):
            self._active.begin(t)
        bank.is_active = True
        bank.refresh_end = t + cycles
        if not bank.active.is_open:
            bank.active.begin(t)

        def end(at: int) -> None:
            bank.active.finish(at)
            self._rest(at, bank)

        self._at(bank.refresh_end, end)

    def _refresh_all(self, t: int, _: int) -> None:
        for bank in self.banks:
            self._refresh(t, bank, self._timing.rfc, "ref_ab")
        self._refresh_end = t + self._timing.rfc

    def _refresh_same(self, t: int, number: int) -> None:
        for bank in self._same_bank(number):
            self._refresh(t, bank, self._timing.rfcsb, "ref_sb")

    def _enter_self_refresh(self, t: int, number: int) -> None:
        def enter(at: int) -> None:
            self._self_refresh.begin(at)
            self._refreshing_itself = True

        self._refresh_all(t, number)
        self._at(t + self._timing.rfc, enter)

    def _exit_self_refresh(self, t: int, _: int) -> None:
        if not self._refreshing_itself:
            raise ValueError("SREFEX, but the rank is not in self refresh, which begins tRFC after SREFEN")
        self._self_refresh.finish(t)
        self._refreshing_itself = False

    def _enter_active_down(self, t: int, _: int) -> None:
        def enter(at: int) -> None:
            self._active_down.begin(at)
            self._active.finish(at)
            for bank in self.banks:
                bank.active.finish(at)

        self._at(self._power_down_edge(t), enter)

    def _exit_active_down(self, t: int, _: int) -> None:
        def leave(at: int) -> None:
            self._active_down.finish(at)
            began = self._active_down.start or 0
            open_before = [b for b in self.banks if b.counts["act"] and (b.active.end or 0) == began]
            for bank in open_before:
                bank.active.begin(at)
            if open_before:
                self._active.begin(at)

        self._at(self._power_down_edge(t), leave)

    def _enter_precharged_down(self, t: int, _: int) -> None:
        self._at(self._power_down_edge(t), self._precharged_down.begin)

    def _exit_precharged_down(self, t: int, _: int) -> None:
        self._at(self._power_down_edge(t), self._precharged_down.finish)

    def _nothing(self, t: int, _: int) -> None:
        pass


COMMANDS: dict[str, Callable[[Rank, int, int], None]] = {
    "ACT": Rank._activate,
    "PRE": Rank._precharge,
    "PRESB": Rank._precharge_same,
    "PREA": Rank._precharge_all,
    "RD": Rank._read,
    "RDA": Rank._read_close,
    "WR": Rank._write,
    "WRA": Rank._write_close,
    "REFA": Rank._refresh_all,
    "REFSB": Rank._refresh_same,
    "SREFEN": Rank._enter_self_refresh,
    "SREFEX": Rank._exit_self_refresh,
    "PDEA": Rank._enter_active_down,
    "PDXA": Rank._exit_active_down,
    "PDEP": Rank._enter_precharged_down,
    "PDXP": Rank._exit_precharged_down,
    "NOP": Rank._nothing,
}
"""Every command and what it does to a rank."""
