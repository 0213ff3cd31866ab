"""The timing constraints of Ramulator 2.1, row by row, against our timing tables.

It owns the probing of our tables by pairs of commands and the reasons of every deviation; it must not know
the rules themselves (they are the C core's ``timing.h``) nor any policy.

A row says that ``following`` may start no earlier than ``effective_ticks`` after the start of ``preceding``
where the two share a node of the hierarchy. Where several rows apply at one place the longest decides, so a
row is compared at a place where it is the longest; a row that is nowhere the longest cannot be seen in
either program and is compared by what decides at its places. Rules that only our tables have are found by
trying every pair of commands at every place, and listed after the simulator's rows.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from hbmmodel.commands import Command
from hbmmodel.device import device
from hbmmodel.errors import BY_CODE, HbmTraceError
from hbmmodel.validate.ramulator_core import core_device
from hbmmodel.validate.ramulator_inputs import resolved_ticks
from hbmmodel.validate.recorded import parse_json

__all__ = ["PLACES", "compare", "read_tables"]

_START = 1000
"""Tick of the preceding command: a rising edge, far from the start of time."""

_BASE = {"HBM3": "X_RAMULATOR21_HBM3_6400", "HBM4": "X_RAMULATOR21_HBM4_8000"}
"""Our preset of each standard: it gives the lengths of commands; every time is replaced by the table's."""

PLACES = ("same bank", "same bank group", "same SID", "other SID", "other pseudo-channel")
"""Where the following command goes, seen from the preceding one; each excludes those before it."""

_SHARED = {"Bank": 1, "BankGroup": 2, "Sid": 3, "PseudoChannel": 4, "Channel": 5}
"""How many of `PLACES`, from the first, share the node at a level."""

_WHOLE = (Command.PREab, Command.REFab, Command.RFMab)
"""Commands to all banks of a pseudo-channel."""

_ANY_EDGE = (Command.PREpb, Command.PREab)
_REFRESHES = ("REFab", "REFpb", "RFMab", "RFMpb")
_AUTO = ("RDA", "WRA")

_EDGE = "the command can start on rising edges only: the same tick"
_WINDOW = "a REFpb counts as an ACT in the four-activate window (tFAW)"
_BUSY = "a bank that refreshes itself is busy for tRFCpb (tRFMpb)"

_MISSING: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (("ACT",), ("REFpb", "RFMpb"), "a REFpb or RFMpb activates rows: tRRDL within a bank group"),
    (("PREab",), ("REFpb", "RFMpb"), "as PREpb: tRP before a refresh"),
    (("REFpb", "RFMpb"), ("REFab", "RFMab"), _BUSY),
    (("REFpb", "RFMpb"), ("REFpb", "RFMpb"), f"{_BUSY}; tRREFD to another bank"),
    (("REFab", "RFMab"), _REFRESHES, "no command to banks that refresh themselves: tRFCab (tRFMab)"),
    (("REFab", "RFMab"), ("PREpb",), "as PREab: no command to banks that refresh themselves"),
    (_AUTO, ("REFpb", "RFMpb"), "the automatic precharge must have ended: tRTP or tWR, then tRP"),
    (_AUTO, ("PREpb", "PREab"), "a precharge of the other banks does not cut the automatic one short"),
)
"""Why our tables have a rule where that simulator's have none: preceding, following, reason."""


class _Place(NamedTuple):
    name: str
    pc: int
    bank: int


def read_tables(path: str | PathLike[str]) -> list[dict[str, Any]]:
    """The tables of a ``timing_constraints.json``, plain or compressed with xz.

    Parameters
    ----------
    path : path
        The file.

    Raises
    ------
    HbmTraceError
        It cannot be read or holds no tables.
    """
    file = Path(path)
    try:
        data = file.read_bytes()
        text = (lzma.decompress(data) if file.suffix == ".xz" else data).decode("utf-8")
    except OSError as error:
        raise HbmTraceError(f"{file}: cannot be read: {error.strerror}") from None
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise HbmTraceError(f"{file}: not readable as JSON: {error}") from None
    content = parse_json(text, file)
    tables = content.get("tables") if isinstance(content, dict) else None
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise HbmTraceError(f"{file}: expected an object with a list 'tables'")
    return tables


def compare(tables: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every row of the simulator's tables against ours, then what only our tables have.

    Parameters
    ----------
    tables : iterable of mapping
        As `read_tables` gives them.

    Returns
    -------
    list of dict
        ``table, level, preceding, following, expr, expected, ours, status, reason``; times in ticks of half
        a CK. ``status`` is ``same`` or ``deviation``; ``reason`` says why numbers differ (empty where they
        do not) and is ``unexplained`` for what should not be. Rows with ``expr`` None exist in our tables
        only; their ``level`` is a place of `PLACES` and ``expected`` is None where the simulator has no
        rule at all.

    Raises
    ------
    HbmTraceError
        A table is malformed.

    Source
    ------
    JESD238B.01 and JESD270-4 (second-hand quotes) for the reasons.
    """
    found: list[dict[str, Any]] = []
    for i, table in enumerate(tables):
        checked = _Table(table, f"table {i}")
        found += checked.rows()
        found += checked.missing()
    return found


class _Table:
    """One device's constraints, with a probe of our tables for the same numbers."""

    def __init__(self, table: Mapping[str, Any], where: str) -> None:
        self.name = f"{table.get('org_preset')}|{table.get('timing_preset')}"
        self.where = f"{where} ({self.name})"
        standard = next((s for s in _BASE if str(table.get("timing_preset")).startswith(s)), None)
        if standard is None:
            raise HbmTraceError(f"{self.where}: timing_preset must start with one of {', '.join(_BASE)}")
        self.ticks = resolved_ticks(device(_BASE[standard]).ticks(), table, self.where)
        self.device = core_device(self.ticks)
        self.constraints = [self._constraint(row) for row in table.get("constraints", ())]
        if not self.constraints:
            raise HbmTraceError(f"{self.where}: holds no constraints")

    def _constraint(self, row: Any) -> Mapping[str, Any]:
        ok = (
            isinstance(row, Mapping)
            and row.get("level") in _SHARED
            and row.get("preceding") in Command.__members__
            and row.get("following") in Command.__members__
            and isinstance(row.get("effective_ticks"), int)
            and row.get("window") in (1, 4)
            and isinstance(row.get("sibling"), bool)
            and isinstance(row.get("expr"), str)
        )
        if not ok:
            raise HbmTraceError(f"{self.where}: not a constraint: {row!r}")
        return row  # type: ignore[no-any-return]

    def places(self, preceding: Command, following: Command) -> list[_Place]:
        """The places that differ for two commands; bank 0 is the preceding one's."""
        ticks = self.ticks
        per_group = ticks["banks_per_group"]
        per_sid = per_group * ticks["bank_groups"]
        found = [_Place(PLACES[0], 0, 0)]
        if preceding not in _WHOLE and following not in _WHOLE:
            found += [_Place(PLACES[1], 0, 1)] if per_group > 1 else []
            found += [_Place(PLACES[2], 0, per_group)] if ticks["bank_groups"] > 1 else []
            found += [_Place(PLACES[3], 0, per_sid)] if ticks["sids"] > 1 else []
        return [*found, _Place(PLACES[4], 1, 0)]

    def applies(self, row: Mapping[str, Any], place: _Place) -> bool:
        if row["sibling"]:
            return row["level"] == "Sid" and place.name == "other SID"
        if row["level"] == "Channel":
            return place.name == "other pseudo-channel"  # elsewhere timings hide the bus
        return PLACES.index(place.name) < _SHARED[row["level"]]

    def expected(self, preceding: Command, following: Command, place: _Place, window: int) -> int | None:
        """What all of the simulator's rows together demand at a place."""
        values = [
            row["effective_ticks"]
            for row in self.constraints
            if row["preceding"] == preceding.name
            and row["following"] == following.name
            and row["window"] == window
            and self.applies(row, place)
        ]
        return max(values, default=None)

    def ours(self, preceding: Command, following: Command, place: _Place) -> int | None:
        """Ticks that our tables demand; None: no rule. In the other pseudo-channel: the buses."""
        with _Probe(self.device) as probe:
            probe.issue(0, preceding, 0, _START)
            return probe.wait(place.pc, following, place.bank, buses=place.pc == 1)

    def in_window(self, four: tuple[Command, ...], fifth: Command) -> tuple[int | None, list[int]]:
        """From the first of four commands, each as early as legal in a group of its own, to a fifth.

        Gives our ticks to the fifth, and the ticks at which the four started.
        """
        groups = self.ticks["sids"] * self.ticks["bank_groups"]
        banks = [i % groups * self.ticks["banks_per_group"] + i // groups for i in range(5)]
        at: list[int] = []
        with _Probe(self.device) as probe:
            for command, bank in zip(four, banks, strict=False):
                at.append(probe.wait(0, command, bank, buses=True) or 0)
                probe.issue(0, command, bank, _START + at[-1])
            return probe.wait(0, fifth, banks[4], buses=False), at

    def rows(self) -> Iterator[dict[str, Any]]:
        """The simulator's rows."""
        for row in self.constraints:
            preceding, following = Command[row["preceding"]], Command[row["following"]]
            if row["window"] == 4:
                expected, ours = row["effective_ticks"], self.in_window((preceding,) * 4, following)[0]
            else:
                at = [place for place in self.places(preceding, following) if self.applies(row, place)]
                if not at:
                    raise HbmTraceError(f"{self.where}: the device has no place for {row!r}")
                # the row is the longest where least is demanded; where ours is longer, missing() has the rule
                pairs = [(self.expected(preceding, following, place, 1) or 0, place) for place in at]
                expected = min(pairs)[0]
                seen = [self.ours(preceding, following, place) for least, place in pairs if least == expected]
                ours = min((ticks for ticks in seen if ticks is not None), default=None)
            same = ours is not None and _edge(following, ours) == _edge(following, expected)
            reason = "unexplained" if not same else "" if ours == expected else _EDGE
            if same and expected != row["effective_ticks"]:  # nowhere the longest
                reason = f"never seen: a longer rule holds at all its places, {expected} in both"
            yield self._row(
                row["level"],
                preceding.name,
                following.name,
                row["expr"],
                row["effective_ticks"],
                ours,
                same,
                reason,
            )

    def missing(self) -> Iterator[dict[str, Any]]:
        """What our tables demand and the simulator's do not."""
        commands = [command for command in Command if command <= Command.RFMpb]
        for preceding in commands:
            for following in commands:
                for place in self.places(preceding, following)[:-1]:
                    expected = self.expected(preceding, following, place, 1)
                    ours = self.ours(preceding, following, place)
                    if ours is None or (
                        expected is not None and _edge(following, ours) <= _edge(following, expected)
                    ):
                        continue
                    reason = next(
                        (
                            text
                            for before, after, text in _MISSING
                            if preceding.name in before and following.name in after
                        ),
                        "unexplained",
                    )
                    yield self._row(
                        place.name, preceding.name, following.name, None, expected, ours, False, reason
                    )
        act, refpb = Command.ACT, Command.REFpb
        elsewhere = _Place("same SID", 0, 0)
        for four, fifth in (((act,) * 4, refpb), ((refpb, act, act, act), act)):
            ours, at = self.in_window(four, fifth)
            by_pairs = [
                tick + (self.expected(command, fifth, elsewhere, 1) or 0)
                for tick, command in zip(at, four, strict=True)
            ]
            if ours is not None and ours > max(by_pairs):
                first = ", ".join(command.name for command in four)
                yield self._row("window of 4", first, fifth.name, None, max(by_pairs), ours, False, _WINDOW)

    def _row(
        self,
        level: str,
        preceding: str,
        following: str,
        expr: str | None,
        expected: int | None,
        ours: int | None,
        same: bool,
        reason: str,
    ) -> dict[str, Any]:
        return {
            "table": self.name,
            "level": level,
            "preceding": preceding,
            "following": following,
            "expr": expr,
            "expected": expected,
            "ours": ours,
            "status": "same" if same else "deviation",
            "reason": reason,
        }


def _edge(following: Command, ticks: int) -> int:
    """Ticks from a rising edge until a command can start that long after it."""
    return ticks if following in _ANY_EDGE else ticks + ticks % 2


class _Probe:
    """Our timing tables by themselves, for one question."""

    def __init__(self, handle: Any) -> None:
        from hbmmodel.capi import ffi, lib

        self._lib, self._ffi, self._device = lib, ffi, handle
        self._tick = ffi.new("int64_t *")

    def __enter__(self) -> _Probe:
        out = self._ffi.new("hbm_probe_t **")
        self._check(self._lib.hbm_probe_create(self._device, out))
        self._probe = out[0]
        return self

    def __exit__(self, *_: object) -> None:
        self._lib.hbm_probe_free(self._probe)

    def _check(self, code: int) -> None:
        if code != 0:
            raise BY_CODE[code](self._ffi.string(self._lib.hbm_strerror(code)).decode())

    def issue(self, pc: int, command: Command, bank: int, tick: int) -> None:
        self._check(self._lib.hbm_probe_issue(self._probe, pc, command, bank, tick))

    def wait(self, pc: int, command: Command, bank: int, *, buses: bool) -> int | None:
        """Ticks after `_START` at which a command may start; None: at any time before."""
        self._check(self._lib.hbm_probe_earliest(self._probe, pc, command, bank, buses, self._tick))
        tick = int(self._tick[0])
        return tick - _START if tick > _START else None
