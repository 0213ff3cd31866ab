"""Perfetto traces: a window of a run for ui.perfetto.dev.

Owns tracks, names and packets; what the commands mean is in `intervals`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from hbmmodel.commands import COLUMN_COMMANDS, Log
from hbmmodel.export.intervals import READS, Interval, channel_intervals, channels_of
from hbmmodel.export.optional import need
from hbmmodel.export.window import Window, read_window
from hbmmodel.trace.target import replacing

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["write_perfetto"]

SEQUENCE = 1
CHUNK_PACKETS = 4096
BANDWIDTH_STEPS = 200
TITLE = "hbmmodel: 1 ns here is 1 ps of the memory"


def write_perfetto(
    result: Result,
    path: str | os.PathLike[str],
    window_ns: tuple[float | Fraction, float | Fraction] | None = None,
    *,
    stacks: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    commands: Iterable[Log] | None = None,
) -> Path:
    """Write a window of a run as a Perfetto trace.

    One tick of the memory is less than a nanosecond, the unit of that format, so one nanosecond of the trace stands for
    one picosecond of the memory: 20 us are shown as 20 ms.

    Parameters
    ----------
    result : Result
        Of a run with a command log.
    path : path
        The file; it appears when it is complete.
    window_ns : (float, float), optional
        Start <= time < end [ns]; None: all that was recorded.
    stacks, channels : sequence of int, optional
        Only these; None: all.
    commands : iterable of log, optional
        The log in pieces, in order, instead of the one that the result holds.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    HbmArgumentError
        The package ``perfetto`` is missing (``pip install 'hbmmodel[perfetto]'``); there is no log; the window is empty
        or holds more than 10^6 commands; or the file cannot be written.
    """
    need("perfetto", "perfetto")
    window = read_window(result, window_ns, stacks=stacks, channels=channels, commands=commands)
    target = Path(path)
    with replacing(str(target)) as file:
        writer = _Writer(file)
        _operations(writer, window, result)
        _counters(writer, window, result)
        for stack, channel, log in channels_of(window):
            _channel(writer, window, stack, channel, log)
        writer.flush()
    return target


class _Writer:
    """Packets in chunks; tracks by the path of their names, made when they are first used."""

    def __init__(self, file: BinaryIO) -> None:
        from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackDescriptor, TrackEvent
        from perfetto.trace_builder.proto_builder import TraceProtoBuilder

        self._builder = TraceProtoBuilder
        self._file = file
        self._chunk = TraceProtoBuilder()
        self._packets = 0
        self._tracks: dict[tuple[str, ...], int] = {}
        self._iids: dict[tuple[str, str], int] = {}
        self._explicit = TrackDescriptor.ChildTracksOrdering.EXPLICIT
        self._begin, self._end = TrackEvent.Type.TYPE_SLICE_BEGIN, TrackEvent.Type.TYPE_SLICE_END
        self._counter = TrackEvent.Type.TYPE_COUNTER
        self._flags = 1  # the first packet of the sequence says that no name is known yet

    def flush(self) -> None:
        """Write what is held: traces one behind the other are one trace."""
        self._file.write(self._chunk.serialize())
        self._chunk = self._builder()
        self._packets = 0

    def _packet(self) -> Any:
        if self._packets == CHUNK_PACKETS:
            self.flush()
        self._packets += 1
        packet = self._chunk.add_packet()
        packet.trusted_packet_sequence_id = SEQUENCE
        packet.sequence_flags = self._flags
        self._flags = 2
        return packet

    def track(self, *names: str, rank: int = 0, unit: str | None = None) -> int:
        """The track of this name below tracks of those names; with a unit it counts."""
        found = self._tracks.get(names)
        if found is None:
            parent = self.track(*names[:-1]) if len(names) > 1 else 0
            found = self._tracks[names] = len(self._tracks) + 1
            made = self._packet().track_descriptor
            made.uuid, made.name, made.sibling_order_rank = found, names[-1], rank
            made.child_ordering = self._explicit
            if parent:
                made.parent_uuid = parent
            if unit is not None:
                made.counter.unit_name = unit
        return found

    def _iid(self, packet: Any, kind: str, text: str) -> int:
        found = self._iids.get((kind, text))
        if found is None:
            found = self._iids[kind, text] = len(self._iids) + 1
            entry = getattr(packet.interned_data, kind).add()
            entry.iid = found
            if kind == "debug_annotation_string_values":
                entry.str = text.encode()
            else:
                entry.name = text
        return found

    def slice(
        self, track: int, start_ps: int, end_ps: int, name: str, arguments: Iterable[tuple[str, int | float | str]] = ()
    ) -> None:
        """A stretch of time on a track."""
        packet = self._packet()
        packet.timestamp = start_ps
        event = packet.track_event
        event.type, event.track_uuid = self._begin, track
        event.name_iid = self._iid(packet, "event_names", name)
        for key, value in arguments:
            annotation = event.debug_annotations.add()
            annotation.name_iid = self._iid(packet, "debug_annotation_names", key)
            if isinstance(value, int):
                annotation.uint_value = value
            elif isinstance(value, float):
                annotation.double_value = value
            else:
                annotation.string_value_iid = self._iid(packet, "debug_annotation_string_values", value)
        packet = self._packet()
        packet.timestamp = end_ps
        event = packet.track_event
        event.type, event.track_uuid = self._end, track

    def count(self, track: int, time_ps: int, value: float) -> None:
        """A counter's value from a time on."""
        packet = self._packet()
        packet.timestamp = time_ps
        event = packet.track_event
        event.type, event.track_uuid, event.double_counter_value = self._counter, track, value


def _channel(writer: _Writer, window: Window, stack: int, channel: int, log: Log) -> None:
    top = (TITLE, f"stack {stack}", f"channel {channel}")
    writer.track(*top[:2], rank=100 + stack)
    writer.track(*top, rank=100 + channel)
    tracks: dict[tuple[str, int, int], int] = {}
    org = window.system.device.organisation
    time_ps = window.time_ps
    n_banks = org.sids * org.bank_groups * org.banks_per_group
    banks = [_bank(flat, org.bank_groups, org.banks_per_group) for flat in range(n_banks)]
    for interval in channel_intervals(window, stack, channel, log):
        key = interval.place, interval.pseudo_channel, interval.bank if interval.place == "rows" else -1
        track = tracks.get(key)
        if track is None:
            track = tracks[key] = _track_of(writer, top, interval, banks)
        name, arguments = interval.name, interval.arguments
        if interval.place == "data bus":
            name, arguments = f"{name} {banks[interval.bank]}", ()
        elif interval.pseudo_channel < 0:  # a command: its bank in one word, which is written once
            whole = interval.bank >= 0 and len(arguments) > 1
            words = f"pc {arguments[0][1]} {banks[interval.bank]}" if whole else f"pc {arguments[0][1]}"
            arguments = (("of", words), *arguments[4:])
        writer.slice(track, time_ps(interval.start_tick), time_ps(interval.end_tick), name, arguments)


_RANKS = {"row bus": 0, "column bus": 1, "data bus": 0, "power": 1, "refresh": 2}


def _track_of(writer: _Writer, top: tuple[str, ...], interval: Interval, banks: Sequence[str]) -> int:
    if interval.pseudo_channel < 0:
        return writer.track(*top, interval.place, rank=_RANKS[interval.place])
    above = (*top, f"pseudo-channel {interval.pseudo_channel}")
    writer.track(*above, rank=10 + interval.pseudo_channel)
    if interval.place != "rows":
        return writer.track(*above, interval.place, rank=_RANKS[interval.place])
    return writer.track(*above, banks[interval.bank], rank=10 + interval.bank)


def _bank(flat: int, groups: int, banks: int) -> str:
    group, bank = divmod(flat, banks)
    sid, group = divmod(group, groups)
    return f"SID {sid} BG {group} bank {bank}"


def _operations(writer: _Writer, window: Window, result: Result) -> None:
    """Operations as far as they lie in the window, on as many tracks as are in flight at once."""
    lanes: list[int] = []
    for index, name, phase, start_ns, end_ns in _in_window(window, result):
        start, end = (round(Fraction(at) * 1000 / window.system.tick_ps) for at in (start_ns, end_ns))
        first, last = max(start, window.start_tick), min(end, window.end_tick)
        lane = next((i for i, free in enumerate(lanes) if free <= first), len(lanes))
        lanes[lane : lane + 1] = [last]
        track = writer.track(TITLE, "operations", f"in flight {lane}", rank=lane)
        facts = (("operation", index), ("phase", phase or "(none)"), ("start_ns", start_ns), ("end_ns", end_ns))
        writer.slice(track, window.time_ps(first), window.time_ps(last), name, facts)


def _in_window(window: Window, result: Result) -> Iterator[tuple[int, str, str, float, float]]:
    table = result.operations
    if not table.n_rows:
        return
    low, high = (float(tick * window.system.tick_ps / 1000) for tick in (window.start_tick, window.end_tick))
    inside = np.flatnonzero((table["start_ns"] < high) & (table["end_ns"] > low))
    order = inside[np.argsort(table["start_ns"][inside], kind="stable")]
    columns = [table[name][order].tolist() for name in ("index", "name", "phase", "start_ns", "end_ns")]
    yield from zip(*columns, strict=True)


def _counters(writer: _Writer, window: Window, result: Result) -> None:
    """Bandwidth of every stack from its bursts; temperature and power where the run followed them."""
    system = window.system
    burst_bytes, length = system.device.organisation.burst_bytes, window.end_tick - window.start_tick
    step = max(-(-length // BANDWIDTH_STEPS), 16 * system.device.ticks()["BL"])
    log, times = window.commands, system.device.ticks()
    log = log[np.isin(log["command"], list(COLUMN_COMMANDS))]
    latency = np.where(np.isin(log["command"], list(READS)), times["RL"], times["WL"])
    at = (log["tick"] + latency - window.start_tick) // step
    for stack in np.unique(log["stack"]).tolist():
        track = writer.track(TITLE, f"stack {stack}", "bandwidth of the channels shown", rank=0, unit="GB/s")
        bursts = np.bincount(at[log["stack"] == stack])
        for i, n in enumerate([*bursts.tolist(), 0]):
            rate = float(n * burst_bytes / (step * system.tick_ps)) * 1e3
            writer.count(track, window.time_ps(window.start_tick + i * step), rate)
    warm = result.temperature
    if not warm.n_rows or result.thermal_model.get("mode") not in ("coupled", "steady"):
        return  # a transient's time is not that of the log
    start_s, end_s = (float(tick * system.tick_ps) * 1e-12 for tick in (window.start_tick, window.end_tick))
    for stack in np.unique(window.commands["stack"]).tolist():
        mine = warm.take(warm["stack"] == stack)
        times_s = np.unique(mine["time_s"])
        first = max(0, int(np.searchsorted(times_s, start_s, side="right")) - 1)
        for time_s in times_s[first:][times_s[first:] < end_s].tolist():
            now = mine.take(mine["time_s"] == time_s)
            time_ps = round(max(time_s, start_s) * 1e12)
            for name, unit, value in (
                ("hottest cell", "degC", float(now["max_c"].max())),
                ("power of all dies", "W", float(now["power_w"].sum())),
            ):
                writer.count(writer.track(TITLE, f"stack {stack}", name, rank=1, unit=unit), time_ps, value)
