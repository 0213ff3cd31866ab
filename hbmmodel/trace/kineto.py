"""Kineto files (``torch.profiler``): when operators ran, and when memory was taken and given back.

Owns the grammar of the events that are used (``docs/formats/pytorch.md``); must not know operands, which Kineto does
not record in a way that leads to addresses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.hbmop import INT_MAX, TEXT_MAX
from hbmmodel.trace.json_items import json_members
from hbmmodel.trace.problem import trace_error

__all__ = ["Event", "KinetoFile", "Moment", "read_kineto"]

EVENTS_MAX = 4_000_000
TIME_MAX_US = 1e15  # 30 years: what a nanosecond count of 63 bits holds, and more
KERNELS = frozenset(("kernel", "gpu_memcpy", "gpu_memset"))


class Event(NamedTuple):
    """An operator on the host [microseconds]."""

    name: str
    start_us: float
    end_us: float


class Moment(NamedTuple):
    """Memory taken (`n_bytes` > 0) or given back (< 0) at `time_us`; `device_type` 0 is the CPU."""

    time_us: float
    address: int
    n_bytes: int
    device_type: int
    device: int


@dataclass(slots=True)
class KinetoFile:
    """What `read_kineto` found.

    Attributes
    ----------
    by_record : dict of int to Event
        ``Record function id`` -> operator; empty when no execution trace was recorded in the same run.
    by_external : dict of int to Event
        ``External id`` -> operator.
    kernels : dict of int to (float, float)
        ``External id`` -> start of the first and end of the last kernel that it launched [microseconds].
    memory : list of Moment
        In order of time.
    """

    by_record: dict[int, Event] = field(default_factory=dict)
    by_external: dict[int, Event] = field(default_factory=dict)
    kernels: dict[int, tuple[float, float]] = field(default_factory=dict)
    memory: list[Moment] = field(default_factory=list)


def read_kineto(name: str) -> KinetoFile:
    """Read the operators, kernels and memory events of a Kineto file.

    Raises
    ------
    HbmTraceError
        The file is malformed; events are named by their number, from 0, as records.
    """
    found = KinetoFile()
    number = -1
    for key, event in json_members(name, frozenset(["traceEvents"])):
        if key != "traceEvents":
            continue
        number += 1
        if number >= EVENTS_MAX:
            raise trace_error(name, f"more than {EVENTS_MAX} events", remedy="record a shorter part of the run")
        if not isinstance(event, dict):
            raise trace_error(name, "an event is no object", record=number, got=event, remedy="record again")
        _take(_Fields(name, number, event), found)
    if not found.by_external:
        raise trace_error(name, "no operators (cat cpu_op)", remedy="give what torch.profiler exported")
    found.memory.sort(key=lambda moment: moment.time_us)
    return found


def _take(event: _Fields, found: KinetoFile) -> None:
    category = event.of.get("cat")
    if category == "cpu_op" and event.of.get("ph") == "X":
        start = event.time("ts")
        made = Event(event.text("name"), start, start + event.time("dur"))
        found.by_external[event.whole("External id")] = made
        record = event.whole("Record function id", 0)
        if record:
            found.by_record[record] = made
    elif isinstance(category, str) and category in KERNELS and "External id" in event.args:
        start = event.time("ts")
        end = start + event.time("dur")
        key = event.whole("External id")
        first, last = found.kernels.get(key, (start, end))
        found.kernels[key] = (min(first, start), max(last, end))
    elif event.of.get("name") == "[memory]":
        found.memory.append(
            Moment(
                event.time("ts"),
                event.whole("Addr"),
                event.whole("Bytes", low=-INT_MAX),
                event.whole("Device Type", 0),
                event.whole("Device Id", 0, -1),
            )
        )


class _Fields:
    """One event and the faults of its fields."""

    def __init__(self, name: str, number: int, event: dict[str, Any]) -> None:
        self._name = name
        self._number = number
        self.of = event
        args = event.get("args", {})
        self.args: dict[str, Any] = args if isinstance(args, dict) else {}

    def _error(self, field: str, what: str, got: object) -> HbmTraceError:
        remedy = "record again with torch.profiler"
        return trace_error(self._name, what, record=self._number, field=field, got=got, remedy=remedy)

    def text(self, field: str) -> str:
        value = self.of.get(field)
        if not isinstance(value, str) or len(value) > TEXT_MAX:
            raise self._error(field, f"not a text of at most {TEXT_MAX} characters", value)
        return value

    def time(self, field: str) -> float:
        value = self.of.get(field)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= TIME_MAX_US:
            raise self._error(field, "not a time in microseconds", value)
        return float(value)

    def whole(self, field: str, default: int | None = None, low: int = 0) -> int:
        value = self.args.get(field, default)
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            value = int(value)
        if type(value) is not int or not low <= value <= INT_MAX:
            raise self._error(f"args.{field}", f"not a whole number in {low}..{INT_MAX}", value)
        return value
