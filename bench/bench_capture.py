"""What recording costs per operator: the time of a loop of small additions with the recorder less the time without.

``python bench/bench_capture.py`` prints it; needs PyTorch. The goal is 30 us per operator.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import hbmmodel as hbm

N = 20_000
GOAL_US = 30.0


def seconds() -> float:
    """Processor time of the loop."""
    import torch

    x = torch.ones(4, 4)
    start = time.process_time()
    for _ in range(N):
        torch.add(x, x)
    return time.process_time() - start


def main() -> None:
    """Measure and print."""
    import torch

    torch.set_num_threads(1)
    seconds()
    without = min(seconds() for _ in range(3))
    for suffix in (".zst", ".gz", ""):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"x.hbmop{suffix}"
            with hbm.capture(path):
                recorded = min(seconds() for _ in range(3))
            size = path.stat().st_size / (3 * N)
        cost = (recorded - without) / N * 1e6
        print(f"{suffix or 'plain':<6} {cost:5.1f} us per operator (goal {GOAL_US:g}), {size:.1f} bytes on disk")


if __name__ == "__main__":
    main()
