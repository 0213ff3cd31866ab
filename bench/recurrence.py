"""How often a stream does the same thing twice: whether rows could be skipped in closed form, or replayed from memory.

Run as ``python bench/recurrence.py``. Cuts the command log of a pure read stream into the spans between activations of
one pseudo-channel, and counts those that were there before: the same commands, banks and columns at the same distances.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hbmmodel as hbm
from hbmmodel.commands import Command

STREAM_BYTES = 64 << 20
REQUEST_BYTES = 4096


def spans(log: NDArray[Any]) -> Counter[bytes]:
    """The spans from each ACT to the next, as what they are apart from the time at which they begin."""
    log = log[(log["stack"] == 0) & (log["channel"] == 0) & (log["pseudo_channel"] == 0)]
    starts = np.flatnonzero(log["command"] == Command.ACT)
    found: Counter[bytes] = Counter()
    for begin, end in zip(starts[:-1], starts[1:], strict=True):
        span = log[begin:end].copy()
        span["tick"] -= span["tick"][0]
        span["row"] = 0
        found[span.tobytes()] += 1
    return found


def main() -> None:
    """Print a line for each refresh policy."""
    address = np.arange(0, STREAM_BYTES, REQUEST_BYTES, dtype=np.int64)
    trace = hbm.Trace.from_requests(address, np.zeros(len(address), bool), size=np.full(len(address), REQUEST_BYTES))
    for refresh in ("per_bank", "all_bank", "none"):
        system = hbm.System(hbm.device("HBM4_8000"), controller=hbm.Controller(refresh=refresh))
        found = spans(hbm.simulate(system, trace, command_log=True).command_log)
        total = found.total()
        recur = 1 - len(found) / total
        print(f"refresh {refresh:9}: {total} spans, {len(found)} different, {100 * recur:.0f} % recur")


if __name__ == "__main__":
    main()
