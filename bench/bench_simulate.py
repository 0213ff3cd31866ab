"""How long simulations take: ``make bench``. Reported per burst in extra_info; what must hold is a ratio or a size.

Absolute times are shown, never judged. The decode capture runs in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from hbmmodel.sim import simulate
from hbmmodel.validate import speed

RSS_MAX_MB = 300
"""Of a replay of the decode capture on eight stacks, everything included."""

DECODE = """
import json, resource, time
from hbmmodel.sim import simulate
from hbmmodel.validate.speed import decode_capture
system, trace = decode_capture()
start = time.perf_counter()
summary = simulate(system, trace, threads=2).summary
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "bursts": summary["requests_out"],
    "fraction_of_peak": summary["fraction_of_peak"],
    "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("workload", speed.WORKLOADS, ids=lambda w: w.name)
def test_bench_workload(benchmark: Any, workload: speed.Workload, threads: int) -> None:
    system, trace = workload.make(workload.bursts // 4)
    result = benchmark.pedantic(
        lambda: simulate(system, trace, threads=threads), rounds=3, warmup_rounds=1, iterations=1
    )
    bursts = result.summary["requests_out"]
    assert bursts >= workload.bursts // 4
    benchmark.extra_info["bursts"] = bursts
    benchmark.extra_info["ns_per_burst"] = 1e9 * benchmark.stats.stats.min / bursts
    benchmark.extra_info["fraction_of_peak"] = result.summary["fraction_of_peak"]


def test_bench_decode_capture(benchmark: Any) -> None:
    """One decoded token of Llama-3.1-8B on eight stacks, two threads, start of Python included."""
    if speed.decode_capture() is None:
        pytest.skip("the decode capture is not installed")
    told: dict[str, float] = {}

    def run() -> None:
        done = subprocess.run([sys.executable, "-c", DECODE], capture_output=True, text=True, check=True)
        told.update(json.loads(done.stdout))

    benchmark.pedantic(run, rounds=1, iterations=1)
    benchmark.extra_info.update(told)
    benchmark.extra_info["ns_per_burst"] = 1e9 * told["seconds"] / told["bursts"]
    assert told["rss_mb"] < RSS_MAX_MB
