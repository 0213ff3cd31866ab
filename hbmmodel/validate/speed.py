"""How fast the program is on this machine: ``python -m hbmmodel.validate.speed``.

It owns a few workloads, from best to worst case, and how their time is taken; it must not judge: what must not
get slower is decided by instruction counts and ratios (``bench/gate.py``), because times depend on the machine.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from hbmmodel.device import device
from hbmmodel.result import Result
from hbmmodel.sim import simulate
from hbmmodel.system import System
from hbmmodel.trace import Access, Operation, OpTrace, RequestTrace, Trace
from hbmmodel.validate.traffic import stream

__all__ = [
    "WORKLOADS",
    "Timing",
    "Workload",
    "decode_capture",
    "machine",
    "main",
    "measure",
    "others_share",
    "spaced_reads",
    "table",
]

DECODE = "llama31_8b_decode_b1_ctx8192.hbmop.jsonl.gz"


@dataclass(frozen=True)
class Workload:
    """Something to simulate.

    Parameters
    ----------
    name, what : str
        Short name, and what it does to the memory.
    make : callable
        Number of bursts, about, to (system, trace).
    bursts : int
        What the table is made with.
    """

    name: str
    what: str
    make: Callable[[int], tuple[System, OpTrace | RequestTrace]]
    bursts: int


@dataclass(frozen=True)
class Timing:
    """Time of one run.

    Parameters
    ----------
    bursts : int
        Bursts that moved.
    seconds, cpu_seconds : float
        Wall time of `hbmmodel.simulate`, and processor time of all threads together.
    simulated_ns : float
        How long it took the memory.
    """

    bursts: int
    seconds: float
    cpu_seconds: float
    simulated_ns: float

    @property
    def ns_per_burst(self) -> float:
        """Wall time per burst [ns]."""
        return 1e9 * self.seconds / self.bursts

    @property
    def cpu_ns_per_burst(self) -> float:
        """Processor time per burst [ns]; hardly depends on what else the machine does."""
        return 1e9 * self.cpu_seconds / self.bursts


def _system() -> System:
    return System(device("HBM4_8000", "24Gb_12H"))


def _tensors(bursts: int) -> tuple[System, OpTrace]:
    """Matrix-vector products of one Llama-3.1-8B decoder layer (bf16) and its cache of 8192 tokens.

    Each reads what the one before it has written: else they would run at the same time.
    """
    attention = [(4096, 4096), (1024, 4096), (1024, 4096), (8192, 1024), (8192, 1024), (4096, 4096)]
    shapes = [*attention, (14336, 4096), (14336, 4096), (4096, 14336)]
    operations: list[Operation] = []
    base = moved = vector = 0
    while moved < bursts * 32:
        rows, columns = shapes[len(operations) % len(shapes)]
        size = min(rows * columns * 2, bursts * 32 - moved) // 32 * 32
        result = base + size
        accesses = (
            Access(False, 0, base, size),
            Access(False, 1, vector, columns * 2),
            Access(True, 2, result, rows * 2),
        )
        operations.append(Operation(len(operations), len(operations), "mv", "", 0, 0, accesses))
        vector = result
        base += size + (1 << 20)
        moved += max(size, 32)
    return _system(), Trace.from_operations(operations, name="<decode layer>")


def _triad(bursts: int) -> tuple[System, OpTrace]:
    return _system(), stream("rrw", bursts * 32 // 3)


def _random(bursts: int) -> tuple[System, RequestTrace]:
    system = _system()
    address = np.random.default_rng(1).integers(system.capacity_bytes // 32, size=bursts).astype(np.uint64)
    return system, Trace.from_requests(address * np.uint64(32), np.zeros(bursts, dtype=bool), name="<random>")


def _sparse(bursts: int) -> tuple[System, RequestTrace]:
    return spaced_reads(bursts, 0.1)


def spaced_reads(bursts: int, load: float) -> tuple[System, RequestTrace]:
    """Uniform random reads of one burst that arrive at random times.

    Parameters
    ----------
    bursts : int
        Requests.
    load : float
        Share of the pin bandwidth that they ask for.
    """
    system = _system()
    rng = np.random.default_rng(1)
    address = rng.integers(system.capacity_bytes // 32, size=bursts).astype(np.uint64) * np.uint64(32)
    gap_ps = 32_000 / system.peak_gb_per_s / load
    times = np.cumsum(rng.exponential(gap_ps, size=bursts)).astype(np.int64)
    return system, Trace.from_requests(address, np.zeros(bursts, dtype=bool), time_ps=times, name="<sparse>")


WORKLOADS = (
    Workload("tensor", "operations of a decode step, one after the other", _tensors, 1 << 22),
    Workload("triad", "one operation, two operands read, one written", _triad, 1 << 22),
    Workload("random", "uniform random reads of 32 bytes, queues of 64", _random, 1 << 20),
    Workload("sparse", "the same at a tenth of the load", _sparse, 1 << 19),
)
"""What is timed, on one stack of HBM4_8000 24Gb_12H with default policies."""


def measure(system: System, trace: OpTrace | RequestTrace, threads: int, repeat: int = 1) -> Timing:
    """Simulate, and take the shortest time of some repetitions.

    Parameters
    ----------
    system : System
    trace : OpTrace or RequestTrace
        What to simulate.
    threads : int
        As `hbmmodel.simulate` takes them.
    repeat : int
        Runs; the shortest is the one least disturbed.
    """
    times: list[tuple[float, float, Result]] = []
    for _ in range(repeat):
        start, cpu = time.perf_counter(), time.process_time()
        result = simulate(system, trace, threads=threads)
        times.append((time.perf_counter() - start, time.process_time() - cpu, result))
    summary = times[-1][2].summary
    return Timing(
        bursts=int(summary["requests_out"] or 0),
        seconds=min(wall for wall, _, _ in times),
        cpu_seconds=min(cpu for _, cpu, _ in times),
        simulated_ns=float(summary["time_ns"] or 0.0),
    )


def decode_capture() -> tuple[System, OpTrace] | None:
    """One decoded token of Llama-3.1-8B, which ships with the package, on 8 stacks; None if missing."""
    from hbmmodel.trace import read_trace

    path = resources.files("hbmmodel").joinpath("data").joinpath("captures").joinpath(DECODE)
    if not path.is_file():
        return None
    trace = read_trace(str(path))
    assert isinstance(trace, OpTrace)
    return System(device("HBM4_8000", "24Gb_12H"), stacks=8), trace


def machine() -> str:
    """Processor and what of it this process may use, in a few words."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), model)
    except OSError:
        pass
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count()
    return f"{model}, {cores} cores, {platform.system()}, Python {platform.python_version()}"


def _busy_ticks() -> tuple[int, int]:
    """Clock ticks that all processors worked, and that there were, since the machine started."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    numbers = [int(number) for number in fields]
    idle = numbers[3] + numbers[4]
    return sum(numbers) - idle, sum(numbers)


def _own_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def others_share(run: Callable[[], object]) -> float | None:
    """Share of the processors' time that other programs used while something ran.

    Parameters
    ----------
    run : callable
        What to run.

    Returns
    -------
    float or None
        None where the system does not tell (``/proc/stat``).
    """
    try:
        busy, total = _busy_ticks()
    except (OSError, ValueError, IndexError):
        run()
        return None
    start = _own_seconds()
    run()
    own = (_own_seconds() - start) * os.sysconf("SC_CLK_TCK")
    busy_now, total_now = _busy_ticks()
    return max(0.0, busy_now - busy - own) / max(1, total_now - total)


def table(repeat: int = 2, *, decode: bool = True, threads: Sequence[int] = (1, 2)) -> list[tuple[str, ...]]:
    """Rows of text: name, what, bursts, and per number of threads wall time and processor time per burst.

    Parameters
    ----------
    repeat : int
        Runs per workload; the shortest counts.
    decode : bool
        Also the shipped decode capture, once, with the most threads.
    threads : sequence of int
        Numbers of threads.
    """
    rows = []
    for workload in WORKLOADS:
        system, trace = workload.make(workload.bursts)
        times = [measure(system, trace, n, repeat) for n in threads]
        rows.append(
            (
                workload.name,
                workload.what,
                f"{times[0].bursts:,}",
                *(_told(one) for one in times),
            )
        )
    shipped = decode_capture() if decode else None
    if shipped is not None:
        one = measure(*shipped, threads=threads[-1])
        what = "one decoded token of Llama-3.1-8B (shipped capture), 8 stacks"
        rows.append(("decode", what, f"{one.bursts:,}", *["not run"] * (len(threads) - 1), _told(one)))
    return rows


def _told(one: Timing) -> str:
    return f"{one.seconds:.2f} s; {one.cpu_ns_per_burst:.0f} ns"


def main() -> int:
    """Print the machine and the table; the exit code of the program."""
    print(machine())
    rows: list[tuple[str, ...]] = []
    others = others_share(lambda: rows.extend(table()))
    for row in rows:
        print(" | ".join(row))
    if others is not None:
        print(f"other programs used {100 * others:.0f} % of the processors meanwhile")
    return 0


if __name__ == "__main__":
    sys.exit(main())
