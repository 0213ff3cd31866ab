"""Effective bandwidth for simulators that know memory only as one number: measured here, by kind and size of operation.

Owns the kinds of operations, the sweep and its files; must not know how those simulators use them.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from hbmmodel.checks import check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import Table
from hbmmodel.result.table import check_place
from hbmmodel.sim import simulate
from hbmmodel.system import System
from hbmmodel.trace.expand import ROWS_MAX
from hbmmodel.trace.model import Operation
from hbmmodel.trace.target import replace_text
from hbmmodel.workload.program import GeneratedTrace, Program, Tensor

__all__ = ["OPERATION_CLASSES", "SIZES", "EffectiveBandwidth", "check_target", "effective_bandwidth"]

SIZES = tuple(4**i << 12 for i in range(8))
"""4 KiB to 64 MiB."""


def _arrays(reads: int, writes: int) -> Callable[[Program, int], Iterator[Operation]]:
    def make(program: Program, size: int) -> Iterator[Operation]:
        each = max(1, size // (reads + writes))
        sources = [program.tensor(each, "") for _ in range(reads)]
        targets = [program.tensor(each, "") for _ in range(writes)]
        yield program.operation("arrays", [t.read() for t in sources], [t.write() for t in targets])

    return make


def _optimizer(program: Program, size: int) -> Iterator[Operation]:
    states: list[Tensor] = [program.tensor(max(1, size // 7), "") for _ in range(4)]
    yield program.operation("optimizer", [t.read() for t in states], [t.write() for t in states[1:]])


def _rows(row_bytes: int) -> Callable[[Program, int], Iterator[Operation]]:
    def make(program: Program, size: int) -> Iterator[Operation]:
        run = min(row_bytes, size)
        table = program.tensor(SPAN_BYTES, "")
        rng = np.random.default_rng(0)
        places = rng.integers(0, SPAN_BYTES // row_bytes, size=size // run) * np.int64(row_bytes)
        yield program.operation("rows", [table.read(run, rows=places)])

    return make


PLACES = 16
"""At how many places in memory a small operation is measured."""

PLACES_BYTES = 64 << 20
"""Bytes that an operation moves at all places together, at least at one: large ones meet all banks anyway."""

SPAN_BYTES = 1 << 30
"""Where rows lie that are read at random; no stack is smaller."""

OPERATION_CLASSES: dict[str, tuple[str, Callable[[Program, int], Iterator[Operation]]]] = {
    "read": ("one array read: weights of a matrix-vector product, contiguous KV caches", _arrays(1, 0)),
    "write": ("one array written: results, checkpoints", _arrays(0, 1)),
    "copy": ("one array read, one written: conversions, element-wise functions", _arrays(1, 1)),
    "triad": ("two arrays read, one written: element-wise functions of two arguments", _arrays(2, 1)),
    "optimizer": ("four arrays read, three of them written: fused AdamW", _optimizer),
    "kv_pages": ("pages of 32 KiB anywhere in 1 GiB: a paged KV cache, 16 tokens of 8 bf16 heads of 128", _rows(32768)),
    "gather_4096": ("rows of 4 KiB anywhere in 1 GiB: wide embeddings", _rows(4096)),
    "gather_512": ("rows of 512 B anywhere in 1 GiB: vectors of a search graph", _rows(512)),
    "gather_128": ("rows of 128 B anywhere in 1 GiB: narrow embeddings", _rows(128)),
    "gather_64": ("rows of 64 B anywhere in 1 GiB: pointers", _rows(64)),
}
"""Kind of operation -> (what it stands for, the operation of so many bytes)."""


@dataclass(frozen=True)
class EffectiveBandwidth:
    """Bandwidths of a system by kind and size of operation.

    Attributes
    ----------
    system : System
    table : Table
        One row per kind and size: ``operation_class, size_bytes`` (moved in all), ``time_ns`` (from the first request
        to the last data), ``gb_per_s, fraction_of_peak, energy_pj_per_bit, read_latency_ns_mean`` (0.0 without reads).
        Times, energies and latencies are means over up to 16 places in memory.
    first_read_ns : float
        Time of one read of 64 bytes by itself [ns].
    """

    system: System
    table: Table
    first_read_ns: float

    def gb_per_s(self, operation_class: str, size_bytes: int) -> float:
        """Bandwidth of an operation, its time interpolated between measured sizes; beyond the largest, that of the
        largest.

        Raises
        ------
        HbmArgumentError
            The kind was not measured, or the size is no whole number from 1 on.
        """
        check_whole("size_bytes", size_bytes, 1, 1 << 62)
        mine = self.table.take(self.table["operation_class"] == operation_class)
        if not len(mine):
            known = ", ".join(dict.fromkeys(self.table["operation_class"].tolist()))
            raise HbmArgumentError(f"operation class {operation_class!r} was not measured; these were: {known}")
        sizes, times = mine["size_bytes"], mine["time_ns"]
        if size_bytes >= sizes[-1]:
            return float(sizes[-1] / times[-1])
        return float(size_bytes / np.interp(size_bytes, sizes, times))

    def astra_sim(self, operation_class: str = "read", size_bytes: int = 1 << 26) -> dict[str, Any]:
        """Keys of ASTRA-sim's system configuration: bandwidth [GB/s] and that its roofline shall use it.

        Source
        ------
        astra-sim, ``astra-sim/system/Sys.cc``: ``local-mem-bw`` in 10^9 bytes per second, ``roofline-enabled``.
        """
        return {"local-mem-bw": round(self.gb_per_s(operation_class, size_bytes), 3), "roofline-enabled": 1}

    def llm_serving_sim(self, operation_class: str = "read", size_bytes: int = 1 << 26) -> dict[str, Any]:
        """The ``npu_mem`` of LLMServingSim's cluster configuration: GB, GB/s, ns.

        Source
        ------
        LLMServingSim 2.0, ``configs/cluster/*.json``: ``mem_size``, ``mem_bw``, ``mem_latency``. The latency is that
        of one read by itself, whatever sizes were measured.
        """
        return {
            "npu_mem": {
                "mem_size": round(self.system.capacity_bytes / 1e9, 3),
                "mem_bw": round(self.gb_per_s(operation_class, size_bytes), 3),
                "mem_latency": round(self.first_read_ns, 3),
            }
        }

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        from hbmmodel.provenance import collect

        used = dict.fromkeys(self.table["operation_class"].tolist())
        size = int(self.table["size_bytes"].max())
        name = next(iter(used))
        return {
            "format": "hbmmodel-effective-bandwidth",
            "format_version": 1,
            "peak_gb_per_s": float(self.system.peak_gb_per_s),
            "operation_classes": {name: OPERATION_CLASSES[name][0] for name in used},
            "rows": list(self.table.rows()),
            "first_read_ns": self.first_read_ns,
            "astra_sim": self.astra_sim(name, size),
            "llm_serving_sim": self.llm_serving_sim(name, size),
            "system": self.system.to_dict(),
            "provenance": collect(),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as ``.csv``, or all of it as ``.json``; the file appears when it is complete.

        Raises
        ------
        HbmArgumentError
            The suffix is neither, or the file cannot be written.
        """
        target = check_target(path)
        if target.suffix == ".csv":
            return self.table.save(target)
        return replace_text(target, json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")


def check_target(path: str | os.PathLike[str]) -> Path:
    """The path of a file that can be written, before anything is measured.

    Raises
    ------
    HbmArgumentError
        The suffix is neither ``.csv`` nor ``.json``, or there is no such folder.
    """
    target = Path(path)
    if target.suffix not in (".csv", ".json"):
        raise HbmArgumentError(f"{target}: bandwidths are written as .csv or .json; name such a file")
    return check_place(target)


def effective_bandwidth(
    system: System,
    *,
    classes: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    threads: int | None = None,
) -> EffectiveBandwidth:
    """Simulate single operations of every kind and size, each on idle memory, and tell what bandwidth they get.

    Parameters
    ----------
    system : System
    classes : sequence of str, optional
        Of `OPERATION_CLASSES`; default all.
    sizes : sequence of int, optional
        Bytes that an operation moves in all; default `SIZES`.
    threads : int, optional
        See `simulate`.

    Raises
    ------
    HbmArgumentError
        A kind is unknown, a size out of range, or larger than the memory.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> found = effective_bandwidth(hbm.System(hbm.device("HBM4_8000")), classes=["read"], sizes=[4096, 1 << 22])
    >>> found.gb_per_s("read", 4096) < 200 < 1700 < found.gb_per_s("read", 1 << 22)
    True
    """
    names = tuple(OPERATION_CLASSES) if classes is None else tuple(classes)
    wanted = SIZES if sizes is None else tuple(sizes)
    for name in names:
        if name not in OPERATION_CLASSES:
            known = ", ".join(OPERATION_CLASSES)
            raise HbmArgumentError(f"operation class {str(name)[:80]!r} is unknown; choose of {known}")
    if not names or not wanted:
        raise HbmArgumentError("no operation class or no size is given; give at least one of each")
    for size in wanted:
        check_whole("size", size, 64, system.capacity_bytes // 2)
        if size // 64 > ROWS_MAX:
            raise HbmArgumentError(f"size is {size}; at most {64 * ROWS_MAX} bytes can be measured")
    rows: list[tuple[Any, ...]] = []
    for name in dict.fromkeys(names):
        for size in sorted(set(wanted)):
            rows.append((name, *_measure(system, name, size, threads)))
    columns = list(zip(*rows, strict=True))
    head = ("operation_class", "size_bytes", "time_ns", "gb_per_s", "fraction_of_peak", "energy_pj_per_bit")
    table = Table(dict(zip((*head, "read_latency_ns_mean"), columns, strict=True)))
    return EffectiveBandwidth(system, table, _measure(system, "read", 64, threads)[1])


def _places(system: System, size: int) -> list[int]:
    """Offsets at which an operation is measured [bytes]: banks spread evenly over those of a pseudo-channel.

    Banks are refreshed in turn, from the start of a run on. An operation that is as short as a refresh waits for one
    if its banks are those that are refreshed first, and else for none: one place would be one or the other.
    """
    o = system.device.organisation
    banks = o.sids * o.bank_groups * o.banks_per_group
    rows = o.channels * o.pseudo_channels * o.page_bytes * system.stacks  # one of every pseudo-channel
    places = max(1, min(PLACES, banks, PLACES_BYTES // size))
    return [banks * i // places * rows for i in range(places)]


def _measure(system: System, name: str, size: int, threads: int | None) -> tuple[int | float, ...]:
    """One row of the table without its kind: means over places."""
    make = OPERATION_CLASSES[name][1]
    found: list[tuple[float, float, float]] = []
    moved = 0
    for place in _places(system, size):

        def operations(program: Program, place: int = place) -> Iterator[Operation]:
            for op in make(program, size):
                there = (dataclasses.replace(a, base_address=a.base_address + place) for a in op.accesses)
                yield dataclasses.replace(op, accesses=tuple(there))

        trace = GeneratedTrace(f"<{name}>", {"class": name, "size": size, "place": place}, {}, operations)
        result = simulate(system, trace, threads=threads)
        s, moved = result.summary, int(result.trace["bytes_asked"])
        found.append(
            (float(s["time_ns"] or 0.0), float(s["energy_pj_per_bit"] or 0.0), float(s["read_latency_ns_mean"] or 0.0))
        )
    time_ns, per_bit, latency = (fmean(values) for values in zip(*found, strict=True))
    rate = moved / time_ns
    return moved, time_ns, rate, rate / system.peak_gb_per_s, per_bit, latency
