"""The commands of a window of a run, and what stood open when it began.

Owns the reading of a log in pieces, so that of a long log only the window is held; must not know file formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.commands import Command, Log, as_command_log
from hbmmodel.errors import HbmArgumentError

if TYPE_CHECKING:
    from hbmmodel.result import Result
    from hbmmodel.system import System

__all__ = ["COMMANDS_MAX", "Window", "read_window"]

COMMANDS_MAX = 1_000_000
"""More commands than this make files that viewers open slowly or not at all."""

_CLOSES_BANK = (Command.PREpb, Command.RDA, Command.WRA)
_POWER = (Command.PDE, Command.PDX, Command.SRE, Command.SRX)


@dataclass(frozen=True)
class Window:
    """Commands of some channels in a stretch of time.

    Attributes
    ----------
    system : System
    tick_ps : Fraction
        That of the system.
    start_tick, end_tick : int
        Commands with ``start_tick <= tick < end_tick``.
    commands : ndarray of COMMAND_DTYPE
        Sorted as logs are, by (stack, channel, tick).
    open_rows : dict
        (stack, channel, pseudo_channel, flat bank) to the row that was open at the start, as far as the log tells.
    asleep : dict
        (stack, channel, pseudo_channel) to PDE or SRE: pseudo-channels that slept at the start.
    """

    system: System
    tick_ps: Fraction
    start_tick: int
    end_tick: int
    commands: Log
    open_rows: dict[tuple[int, int, int, int], int] = field(default_factory=dict)
    asleep: dict[tuple[int, int, int], Command] = field(default_factory=dict)

    def time_ps(self, tick: int) -> int:
        """A tick in ps, to the nearest; whole numbers alone, as this is asked for every command."""
        length = self.tick_ps
        return (2 * tick * length.numerator + length.denominator) // (2 * length.denominator)


def read_window(
    result: Result,
    window_ns: tuple[float | Fraction, float | Fraction] | None = None,
    *,
    stacks: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    commands: Iterable[Log] | None = None,
    limit: int = COMMANDS_MAX,
) -> Window:
    """Pick a window of a run.

    Parameters
    ----------
    result : Result
        Of a run with a command log.
    window_ns : (float, float), optional
        Start <= time < end [ns]; None: all that was recorded.
    stacks, channels : sequence of int, optional
        Only these; None: all.
    commands : iterable of log, optional
        The log in pieces, in order, instead of the one that the result holds.
    limit : int
        Refuse a window with more commands.

    Raises
    ------
    HbmArgumentError
        There is no log, the window does not lie in it or holds no command or too many, or a stack or channel does not
        exist.
    """
    if commands is None:
        commands = [as_command_log(result.command_log)]
    system = result.system
    start, end = _bounds(result, window_ns)
    chosen = (
        _choice("stacks", stacks, system.stacks),
        _choice("channels", channels, system.device.organisation.channels),
    )
    before = _Before(system)
    held: list[Log] = []
    n = 0
    for piece in commands:
        _check_places(piece, system)
        piece = piece[chosen[0][piece["stack"]] & chosen[1][piece["channel"]]]
        before.note(piece[piece["tick"] < start])
        inside = piece[(piece["tick"] >= start) & (piece["tick"] < end)]
        n += len(inside)
        if n > limit:
            length_us = float((end - start) * system.tick_ps) / 1e6
            raise HbmArgumentError(
                f"the window of {length_us:g} us holds more than {limit} commands; choose a shorter window, or fewer "
                "stacks or channels"
            )
        if len(inside):
            held.append(inside)
    if not n:
        raise HbmArgumentError(
            "the log holds no command in this window and these channels; choose another window (the run took "
            f"{result.summary['time_ns']:.6g} ns)"
        )
    return Window(system, system.tick_ps, start, end, np.concatenate(held), before.open_rows(), before.asleep())


def _bounds(result: Result, window_ns: tuple[float | Fraction, float | Fraction] | None) -> tuple[int, int]:
    tick_ps = result.system.tick_ps
    run_end = int(result.summary["time_ticks"] or 0) + 1
    recorded = result.trace.get("command_log_window_ticks") or [0, run_end]
    first, last = int(recorded[0]), min(int(recorded[1]), run_end)
    if window_ns is None:
        return first, last
    try:
        given: tuple[Any, ...] = tuple(window_ns)
        if any(isinstance(end, str) for end in given):
            raise TypeError  # Fraction would read them
        low, high = (-int(-Fraction(end) * 1000 // tick_ps) for end in given)
    except (TypeError, ValueError, OverflowError):
        low, high = 0, 0
    if not 0 <= low < high:
        raise HbmArgumentError(
            f"window_ns is {window_ns!r}; give two numbers of ns, 0 <= start < end, at least one tick "
            f"({float(tick_ps) / 1000:g} ns) apart"
        )
    if low < first or low >= last:
        told = " to ".join(f"{float(tick * tick_ps) / 1000:g} ns" for tick in (first, last))
        raise HbmArgumentError(
            f"the window begins at {float(low * tick_ps) / 1000:g} ns, but the log holds {told}; choose a window in it"
        )
    return low, min(high, last)


def _check_places(log: Log, system: System) -> None:
    """Refuse a log of another system."""
    org = system.device.organisation
    sizes = {
        "stack": system.stacks,
        "channel": org.channels,
        "pseudo_channel": org.pseudo_channels,
        "sid": org.sids,
        "bank_group": org.bank_groups,
        "bank": org.banks_per_group,
    }
    for name, size in sizes.items():
        if len(log) and int(log[name].max()) >= size:
            raise HbmArgumentError(
                f"the log names {name} {int(log[name].max())}; the system has 0..{size - 1}: this log is of another one"
            )


def _choice(name: str, numbers: Sequence[int] | None, n: int) -> NDArray[np.bool_]:
    """A mask of those that are chosen."""
    if numbers is None:
        return np.ones(n, dtype=np.bool_)
    given: Any = numbers
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise HbmArgumentError(f"{name} is {numbers!r}; give a list of numbers in 0..{n - 1}")
    mask = np.zeros(n, dtype=np.bool_)
    for number in numbers:
        if type(number) is not int or not 0 <= number < n:
            raise HbmArgumentError(f"{name} has {number!r}; the system has 0..{n - 1}")
        mask[number] = True
    return mask


class _Before:
    """The last commands ahead of a window that say what is open and who sleeps."""

    def __init__(self, system: System) -> None:
        org = system.device.organisation
        self._org = org
        self._banks = org.sids * org.bank_groups * org.banks_per_group
        n = system.n_pseudo_channels
        self._seen = 0
        self._activated = np.full(n * self._banks, -1, dtype=np.int64)
        self._row = np.zeros(n * self._banks, dtype=np.int64)
        self._closed = np.full(n * self._banks, -1, dtype=np.int64)
        self._all_closed = np.full(n, -1, dtype=np.int64)
        self._power = np.full(n, -1, dtype=np.int64)

    def note(self, log: Log) -> None:
        """More commands, in order.  Of entries that an index names twice, numpy keeps the last."""
        if not len(log):
            return
        org = self._org
        place = (log["stack"].astype(np.int64) * org.channels + log["channel"]) * org.pseudo_channels
        place += log["pseudo_channel"]
        group = log["sid"].astype(np.int64) * org.bank_groups + log["bank_group"]
        bank = place * self._banks + group * org.banks_per_group + log["bank"]
        number = self._seen + np.arange(len(log), dtype=np.int64)
        self._seen += len(log)
        code = log["command"]
        acts, closes = code == Command.ACT, np.isin(code, _CLOSES_BANK)
        closes_all, power = np.isin(code, (Command.PREab, Command.SRE)), np.isin(code, _POWER)
        self._activated[bank[acts]] = number[acts]
        self._row[bank[acts]] = log["row"][acts]
        self._closed[bank[closes]] = number[closes]
        self._all_closed[place[closes_all]] = number[closes_all]
        self._power[place[power]] = code[power]

    def _key(self, place: int) -> tuple[int, int, int]:
        channel, pseudo_channel = divmod(place, self._org.pseudo_channels)
        return (*divmod(channel, self._org.channels), pseudo_channel)

    def open_rows(self) -> dict[tuple[int, int, int, int], int]:
        """Of banks that were activated last."""
        shut = np.maximum(self._closed, np.repeat(self._all_closed, self._banks))
        found = {}
        for bank in np.flatnonzero(self._activated > shut).tolist():
            place, flat = divmod(bank, self._banks)
            found[(*self._key(place), flat)] = int(self._row[bank])
        return found

    def asleep(self) -> dict[tuple[int, int, int], Command]:
        """Whoever entered a state and did not leave it."""
        sleeps = np.flatnonzero(np.isin(self._power, (Command.PDE, Command.SRE))).tolist()
        return {self._key(place): Command(int(self._power[place])) for place in sleeps}
