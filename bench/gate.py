"""What must not get slower: ``python bench/gate.py`` (``--update`` writes a new baseline).

Counts of instructions per burst of the C core, under callgrind, against ``bench/baseline/instructions.json``; and two
ratios of times taken in one run. No absolute time decides anything, because times belong to a machine. A count is the
slope between two lengths of a run, so that setting up a system does not enter. Valgrind hides AVX-512, so what is
counted is the AVX2 search.

Exit code: 0 all gates that could be judged hold, 1 one does not, 2 bad use or a broken build.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "bench" / "baseline" / "instructions.json"

WORKLOADS = {"stream": (100_000, 400_000), "triad": (100_000, 400_000), "random": (30_000, 90_000)}
WORKLOADS["sparse"] = WORKLOADS["random"]
"""Lengths in bursts, short and long."""

DEVICE = ("HBM4_8000", "24Gb_12H")
CFLAGS = ("-std=c11", "-O3", "-g0", "-ffp-contract=off", "-pthread")

TOLERANCE = 0.05
OTHER_COMPILER_TOLERANCE = 0.25
SCALING_MIN, SCALING_GOAL = 1.7, 1.9
SPARSE_MAX = 2.0
BUSY_MAX = 0.1
"""Share of the processors that others may use while threads are compared."""


@dataclass(frozen=True)
class Verdict:
    """One gate: whether it holds (None: could not be judged), and why."""

    gate: str
    holds: bool | None
    told: str

    def __str__(self) -> str:
        word = {True: "ok", False: "FAILED", None: "not judged"}[self.holds]
        return f"{self.gate:<28} {word:<10} {self.told}"


class UnableError(Exception):
    """A gate that cannot be judged here."""


# ---- instructions ----


def compiler() -> str:
    """Name and version of ``cc``, one line."""
    if shutil.which("cc") is None:
        raise UnableError("no C compiler (cc); install one")
    return subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def build(folder: Path) -> Path:
    """Compile the driver with the core, without Python."""
    compiler()
    sources = [ROOT / "bench" / "c" / "drive_core.c", *sorted((ROOT / "csrc").glob("*.c"))]
    program = folder / "drive_core"
    command = ["cc", *CFLAGS, f"-I{ROOT / 'csrc'}", *map(str, sources), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the driver does not compile:\n{done.stderr}")
    return program


def device_values() -> list[str]:
    """The device as the driver takes it."""
    from hbmmodel import device

    return [str(value) for value in device(*DEVICE).ticks().values()]


def count(program: Path, workload: str, bursts: int) -> int:
    """Instructions of one run, under callgrind."""
    if shutil.which("valgrind") is None:
        raise UnableError("valgrind is not installed; with it, instructions per burst are compared")
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}", str(program)]
    done = subprocess.run(
        [*command, workload, str(bursts), *device_values()], capture_output=True, text=True, check=False
    )
    found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"{workload}: the driver failed under valgrind:\n{done.stderr[-2000:]}")
    return int(found[1])


def instructions(program: Path) -> dict[str, float]:
    """Instructions per burst of every workload."""
    result = {}
    for workload, (short, long) in WORKLOADS.items():
        slope = (count(program, workload, long) - count(program, workload, short)) / (long - short)
        result[workload] = round(slope, 1)
    return result


def compare(baseline: Mapping[str, Any], measured: Mapping[str, float], compiled_with: str) -> list[Verdict]:
    """Counts against the baseline: fewer is always fine, more up to the tolerance."""
    same = baseline.get("compiler") == compiled_with
    tolerance = TOLERANCE if same else OTHER_COMPILER_TOLERANCE
    verdicts = []
    for workload, ours in measured.items():
        known = baseline.get("instructions_per_burst", {}).get(workload)
        gate = f"instructions, {workload}"
        if known is None:
            verdicts.append(Verdict(gate, False, f"{ours:.1f}; not in the baseline: python bench/gate.py --update"))
            continue
        change = ours / known - 1
        told = f"{ours:.1f} per burst, baseline {known:.1f}, {100 * change:+.1f} % (at most +{100 * tolerance:.0f} %)"
        if not same:
            told += "; other compiler than the baseline's"
        verdicts.append(Verdict(gate, change <= tolerance, told))
    return verdicts


# ---- ratios ----


def judge_scaling(one_s: float, two_s: float, others: float | None) -> Verdict:
    """Two threads against one; a busy machine can excuse a miss."""
    ratio = one_s / two_s
    told = f"{ratio:.2f} (at least {SCALING_MIN}, goal {SCALING_GOAL})"
    if ratio >= SCALING_MIN:
        return Verdict("two threads against one", True, told)
    if others is not None and others > BUSY_MAX:
        told += f"; other programs used {100 * others:.0f} % of the machine"
        return Verdict("two threads against one", None, told)
    return Verdict("two threads against one", False, told)


def scaling(bursts: int = 1 << 22, repeat: int = 5) -> Verdict:
    """The same stream with one and with two threads in turn, best time of each."""
    if len(os.sched_getaffinity(0)) < 2:
        raise UnableError("fewer than two cores")
    from hbmmodel.validate import speed

    system, trace = next(w for w in speed.WORKLOADS if w.name == "triad").make(bursts)
    best = {1: float("inf"), 2: float("inf")}

    def run() -> None:
        for _ in range(repeat):
            for threads in best:
                best[threads] = min(best[threads], speed.measure(system, trace, threads).seconds)

    others = speed.others_share(run)
    return judge_scaling(best[1], best[2], others)


def judge_sparse(dense_s: float, sparse_s: float) -> Verdict:
    """Twenty times the device time against once."""
    ratio = sparse_s / dense_s
    told = f"{ratio:.2f} times the cost for 20 times the device time (below {SPARSE_MAX:.0f})"
    return Verdict("cost of idle time", ratio < SPARSE_MAX, told)


def sparse_cost(bursts: int = 1 << 18, repeat: int = 3) -> Verdict:
    """Processor time of as many requests over once and over 20 times the device time."""
    from hbmmodel.validate import speed

    best = {}
    for load in (0.1, 0.005):
        system, trace = speed.spaced_reads(bursts, load)
        best[load] = speed.measure(system, trace, 1, repeat).cpu_seconds
    return judge_sparse(best[0.1], best[0.005])


# ---- the program ----


def read_baseline(path: Path = BASELINE) -> dict[str, Any]:
    """The committed counts."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SystemExit(f"{path} is missing; python bench/gate.py --update writes it") from None
    except json.JSONDecodeError as error:
        raise SystemExit(f"{path}: not JSON: {error}; python bench/gate.py --update writes it anew") from None
    if not isinstance(content, dict):
        raise SystemExit(f"{path}: not an object; python bench/gate.py --update writes it anew")
    return content


def write_baseline(measured: Mapping[str, float], path: Path = BASELINE) -> None:
    """Write the counts and what made them."""
    content = {
        "what": "instructions per burst of bench/c/drive_core.c under callgrind; python bench/gate.py --update",
        "compiler": compiler(),
        "flags": " ".join(CFLAGS),
        "device": " ".join(DEVICE),
        "instructions_per_burst": dict(measured),
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge every gate, or write a new baseline; the exit code of the program."""
    parser = argparse.ArgumentParser(prog="python bench/gate.py", description="Performance gates.")
    parser.add_argument("--update", action="store_true", help="count instructions and write the baseline")
    parser.add_argument("--counts-only", action="store_true", help="instructions only, no times")
    given = parser.parse_args(arguments)
    verdicts: list[Verdict] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            measured = instructions(build(Path(folder)))
        if given.update:
            write_baseline(measured)
            print(f"{BASELINE.relative_to(ROOT)}: {measured}")
            return 0
        verdicts += compare(read_baseline(), measured, compiler())
    except UnableError as why:
        if given.update:
            print(f"error: {why}", file=sys.stderr)
            return 2
        verdicts.append(Verdict("instructions", None, str(why)))
    if not given.counts_only:
        for gate in (scaling, sparse_cost):
            try:
                verdicts.append(gate())
            except UnableError as why:
                verdicts.append(Verdict(gate.__name__, None, str(why)))
    print(*verdicts, sep="\n")
    return 1 if any(verdict.holds is False for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
