"""One replay of a trace through the core, at given conditions, and what it leaves behind, raw.

Owns the making of a core, the feeding of it and the conservation of bytes; it must not know why a replay runs at these
conditions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hbmmodel.energy import Counts, Geometry
from hbmmodel.errors import HbmInternalError
from hbmmodel.quotas import as_core
from hbmmodel.sim.borders import Borders
from hbmmodel.sim.interrupt import Stop
from hbmmodel.sim.operations import run_operations
from hbmmodel.sim.options import L2
from hbmmodel.sim.progress import NOT_ISSUED, Moved
from hbmmodel.sim.requests import run_requests
from hbmmodel.system import System
from hbmmodel.trace import OpTrace, RequestTrace
from hbmmodel.trace.beside import Programs

if TYPE_CHECKING:
    from hbmmodel._core import CoreSystem

__all__ = ["WHOLE_LOG", "Condition", "Observer", "Ran", "Replay", "count", "set_condition"]


@dataclass(frozen=True)
class Condition:
    """How one stack runs.

    Attributes
    ----------
    refresh_rate : int
        Factor on the refresh rate: 1, 2 or 4.
    bandwidth_share : float
        Share of the peak bandwidth that the host offers at most; 1.0: it does not throttle.
    """

    refresh_rate: int = 1
    bandwidth_share: float = 1.0


@dataclass(frozen=True)
class Ran:
    """What a replay left: the core's raw arrays, what is known of the trace, and the counts that energy follows
    from.
    """

    raw: dict[str, Any]
    information: dict[str, Any]
    counts: Counts
    interrupted: dict[str, Any] | None = None

    @property
    def bus_bytes(self) -> int:
        """Bytes over the data buses: reads answered from a write queue are not among them."""
        counters = self.raw["counters"]
        burst_bytes = self.counts.geometry.burst_bytes
        moved = counters["bytes_read"].sum() + counters["bytes_written"].sum()
        return int(moved - counters["reads_forwarded"].sum() * burst_bytes)


WHOLE_LOG = (0, 0)
"""The window of a command log that begins with the run and ends with it."""

Observer = Callable[["CoreSystem", int], None]
"""Called at a border with the core and the tick; it may set conditions."""


@dataclass(frozen=True)
class Replay:
    """A trace, a system and every option of a run; `run` may be called again and again."""

    system: System
    trace: RequestTrace | OpTrace
    mode: str
    order: str
    tile_bytes: int
    cache: L2 | None
    threads: int
    command_log: bool
    log_window_ticks: tuple[int, int]
    epoch_ticks: int
    wrap: bool
    request_bytes: int | None
    progress: bool
    stop: Stop = field(default_factory=Stop)

    def run(
        self,
        conditions: list[Condition] | None = None,
        *,
        every_ticks: int = 0,
        observer: Observer | None = None,
    ) -> Ran:
        """Replay the trace from tick 0.

        Parameters
        ----------
        conditions : list of Condition, optional
            One per stack, in force from the start; None: those of the system.
        every_ticks, observer
            Borders, and who is called at them.
        """
        core = self._core()
        for stack, condition in enumerate(conditions or ()):
            set_condition(core, self.system, stack, condition)
        borders = None
        if observer is not None:
            look = observer
            borders = Borders(core, every_ticks, lambda tick: look(core, tick))
        moved = Moved()
        if isinstance(self.trace, OpTrace):
            tile = self.tile_bytes // self.system.device.organisation.burst_bytes if self.order == "tile" else 0
            run_operations(
                core, self.system, self.trace, moved, self.mode, tile, self.wrap, self.progress, borders=borders,
                stop=self.stop,
            )
        else:
            run_requests(
                core,
                self.system,
                self.trace,
                moved,
                mode=self.mode,
                wrap=self.wrap,
                request_bytes=self.request_bytes,
                progress=self.progress,
                borders=borders,
                stop=self.stop,
            )
        return self._ran(core, moved, core.finish())

    def _core(self) -> CoreSystem:
        from hbmmodel import _core

        system = self.system
        core = _core.CoreSystem(
            system.map.core,
            system.policy(),
            host_ticks=system.host_ticks,
            window=system.window_bursts,
            threads=self.threads,
            command_log=self.command_log,
            epoch_ticks=self.epoch_ticks,
            log_from_tick=self.log_window_ticks[0],
            log_to_tick=self.log_window_ticks[1],
        )
        if isinstance(self.trace, Programs):
            self._set_classes(core, self.trace.classes)
        if self.cache is not None:
            core.set_l2(self.cache.size_bytes, self.cache.line_bytes, self.cache.ways)
        return core

    def _set_classes(self, core: CoreSystem, classes: tuple[str, ...]) -> None:
        c = self.system.controller
        burst_ticks = self.system.device.ticks()["BL"]
        quotas = as_core(c.quotas, classes, burst_ticks, c.read_queue, c.write_queue) if c.quotas else None
        core.set_classes(len(classes), quotas, self.system.quota_slack_ticks)

    def _ran(self, core: CoreSystem, moved: Moved, end_tick: int) -> Ran:
        from hbmmodel import _core

        system, cache = self.system, self.cache
        burst_bytes = system.device.organisation.burst_bytes
        counters = core.counters()
        bytes_moved = int(counters["bytes_read"].sum() + counters["bytes_written"].sum())
        padding = bytes_moved - moved.bytes_asked
        if cache is None and not 0 <= padding <= 2 * (burst_bytes - 1) * max(moved.runs, 1):
            # Runs of one operand that meet inside a burst share it, so padding may be negative by that much and no
            # more.
            if not -burst_bytes * moved.runs <= padding < 0:
                raise HbmInternalError(
                    f"{bytes_moved} bytes moved for {moved.bytes_asked} asked in {moved.runs} runs; please report this"
                )
        operations: dict[str, Any] | None = None
        if moved.names:
            start = np.array(moved.start_ticks, dtype=np.int64)
            issued = start != NOT_ISSUED
            start = start[issued]
            table = {name: column[issued] for name, column in core.operations(len(moved.names)).items()}
            operations = {
                "index": np.array(moved.indices, dtype=np.int64)[issued],
                "name": np.array(moved.names, dtype=object)[issued],
                "phase": np.array(moved.phases, dtype=object)[issued],
                "start_tick": start,
                "end_tick": np.maximum(table["end_tick"], start),
                "bytes_read": table["bursts_read"] * burst_bytes,
                "bytes_written": table["bursts_written"] * burst_bytes,
                **{name: table[name] for name in ("row_hits", "row_misses", "row_conflicts")},
                "classes": {name: column[issued] for name, column in moved.class_columns().items()},
            }
            if isinstance(self.trace, Programs):
                operations["traffic_class"] = np.array(moved.traffic_classes, dtype=object)[issued]
            if cache is None and int(operations["bytes_read"].sum() + operations["bytes_written"].sum()) != bytes_moved:
                raise HbmInternalError("operations and channels disagree on the bytes moved; please report this")
        counts = count(core, system, end_tick, counters)
        raw = {
            "end_tick": end_tick,
            "tick_ps": system.tick_ps,
            "counters": counters,
            "histogram": core.histogram(),
            "histogram_edges": _core.histogram_edges(),
            "operations": operations,
            "epochs": core.epochs(),
            "command_log": core.commands() if self.command_log else None,
            "l2": core.l2_counts() if cache is not None else None,
            "traffic": core.class_counters() if isinstance(self.trace, Programs) else None,
            "traffic_histograms": core.class_histograms() if isinstance(self.trace, Programs) else None,
            "counts": counts,
        }
        information = {
            "name": self.trace.name,
            "kind": "operations" if moved.names else "requests",
            "hash": self.trace.content_hash(),
            "records": moved.records,
            "bytes_asked": moved.bytes_asked,
            "padding_bytes": padding if cache is None else None,
            "random_gathers": getattr(self.trace, "random_gathers", 0),
            "rewrites": list(getattr(self.trace, "rewrites", ())),
            "pages": str(getattr(self.trace, "pages", "sequential")),
            "mode": self.mode,
            "order": self.order,
            "tile_bytes": self.tile_bytes,
            "address_alignment_bytes": moved.address_alignment_bytes,
        }
        if self.command_log and self.log_window_ticks != WHOLE_LOG:
            information["command_log_window_ticks"] = list(self.log_window_ticks)
        if isinstance(self.trace, Programs):
            information["traffic_classes"] = list(self.trace.classes)
            information["background"] = [program.name for program in self.trace.programs if program.background]
        if (workload := getattr(self.trace, "workload", None)) is not None:
            information["workload"] = dict(workload)
        return Ran(raw, information, counts, moved.interrupted)


def count(core: CoreSystem, system: System, tick: int, counters: dict[str, Any] | None = None) -> Counts:
    """What the core has counted up to `tick`, the end or a border."""
    geometry = Geometry.of(system.device, system.stacks)
    return Counts.from_core(geometry, system.tick_ps, tick, core.bank_counters(), counters or core.counters())


def set_condition(core: CoreSystem, system: System, stack: int, condition: Condition) -> None:
    """Let a stack run so from now on; at the start or at a border."""
    system.check_refresh_leaves_time(condition.refresh_rate)
    share = condition.bandwidth_share
    gap_256 = 0 if share >= 1 else round(system.device.ticks()["BL"] * 256 / share)
    core.set_conditions(stack, condition.refresh_rate, gap_256)
