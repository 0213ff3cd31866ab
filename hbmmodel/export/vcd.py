"""Value change dumps: one channel of a window of a run for waveform viewers such as GTKWave.

Owns the signals and their values; what the commands mean is in `intervals`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hbmmodel.commands import Log
from hbmmodel.export.intervals import Interval, channel_intervals
from hbmmodel.export.optional import need
from hbmmodel.export.window import Window, read_window
from hbmmodel.trace.target import replacing

if TYPE_CHECKING:
    from hbmmodel.device.model import Organisation
    from hbmmodel.result import Result

__all__ = ["write_vcd"]

COMMANDS_MAX = 200_000
"""More than this are held no more, and no viewer of waveforms is of use."""
IDLE = "-"


def write_vcd(
    result: Result,
    path: str | os.PathLike[str],
    window_ns: tuple[float | Fraction, float | Fraction] | None = None,
    *,
    stack: int = 0,
    channel: int = 0,
    commands: Iterable[Log] | None = None,
) -> Path:
    """Write a window of one channel as a value change dump, in ps.

    Signals: on the row bus and on the column bus the command and where it goes; of every pseudo-channel what is on the
    data bus, its power state, whether it refreshes, and the state of every bank that has a command: the row that is
    open, or REFpb or RFMpb. A signal is ``-`` (its numbers ``z``) while nothing is there.

    Parameters
    ----------
    result : Result
        Of a run with a command log.
    path : path
        The file; it appears when it is complete.
    window_ns : (float, float), optional
        Start <= time < end [ns]; None: all that was recorded.
    stack, channel : int
        Which channel.
    commands : iterable of log, optional
        The log in pieces, in order, instead of the one that the result holds.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    HbmArgumentError
        The package ``pyvcd`` is missing (``pip install 'hbmmodel[vcd]'``); there is no log; the window is empty or
        holds more than 200 000 commands; or the file cannot be written.
    """
    need("vcd", "vcd")
    window = read_window(result, window_ns, stacks=[stack], channels=[channel], commands=commands, limit=COMMANDS_MAX)
    target = Path(path)
    with replacing(str(target)) as raw:
        file = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
        try:
            _write(file, window, stack, channel)
            file.flush()
        finally:
            file.detach()  # the file itself is closed by who opened it
    return target


def _write(file: io.TextIOWrapper, window: Window, stack: int, channel: int) -> None:
    from vcd import VCDWriter

    changes: list[tuple[int, int, Any, Any]] = []
    origin = window.time_ps(window.start_tick)
    with VCDWriter(file, timescale="1 ps", date="", version="hbmmodel", init_timestamp=origin) as writer:
        signals = _Signals(writer, f"stack{stack}_channel{channel}", window.system.device.organisation)
        for interval in channel_intervals(window, stack, channel, window.commands):
            start, end = window.time_ps(interval.start_tick), window.time_ps(interval.end_tick)
            for signal, value, rest in signals.of(interval):
                changes += ((start, 1, signal, value), (end, 0, signal, rest))
        # at one time the end of one thing comes before the start of the next on the same wire
        changes.sort(key=lambda change: change[:2])
        for time_ps, _, signal, value in changes:
            writer.change(signal, time_ps, value)


class _Signals:
    """The signals of a channel, made when they are first used."""

    def __init__(self, writer: Any, scope: str, org: Organisation) -> None:
        self._writer = writer
        sizes = {
            "pc": org.pseudo_channels,
            "sid": org.sids,
            "bg": org.bank_groups,
            "bank": org.banks_per_group,
            "row": org.rows,
            "column": org.columns,
        }
        self._bits = {name: max(1, (n - 1).bit_length()) for name, n in sizes.items()}
        self._scope = scope
        self._made: dict[tuple[str, ...], Any] = {}

    def _signal(self, *names: str, bits: int | None = None) -> Any:
        if names not in self._made:
            scope = ".".join((self._scope, *names[:-1]))
            kind = ("string", None, IDLE) if bits is None else ("wire", bits, "z")
            self._made[names] = self._writer.register_var(scope, names[-1], kind[0], size=kind[1], init=kind[2])
        return self._made[names]

    def of(self, interval: Interval) -> Iterable[tuple[Any, Any, Any]]:
        """The signals of an interval: signal, value while it lasts, value after it."""
        place = interval.place.replace(" ", "_")
        if interval.place.endswith("bus"):
            above = (place,) if interval.pseudo_channel < 0 else (f"pc{interval.pseudo_channel}", place)
            yield self._signal(*above, "command"), interval.name, IDLE
            for name, number in interval.arguments[interval.pseudo_channel >= 0 :]:  # a data bus has its own scope
                yield self._signal(*above, name, bits=self._bits[name]), number, "z"
            return
        pc = f"pc{interval.pseudo_channel}"
        names = (pc, "banks", f"bank{interval.bank:02}") if interval.place == "rows" else (pc, place)
        yield self._signal(*names), interval.name.replace(" ", "_"), IDLE
