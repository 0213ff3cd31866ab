"""Conversion of a real decode step equals the file that another program wrote when it was recorded.

That program added up times in floating point and so falls a hair short of a whole cycle where the exact time is
one; everywhere else both agree. The test demands exactly that: the same requests in the same order, and cycles that
differ only there, by 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import hbmmodel
from hbmmodel.trace import RequestTrace, convert, read_trace
from hbmmodel.trace.write import requests_of

DATA = Path(__file__).parent / "data"
LLAMA = Path(hbmmodel.__file__).parent / "data" / "captures" / "llama_tiny_b1_p128_d8.hbmop.jsonl.gz"
REFERENCE = DATA / "llama_tiny_b1_decode0.dramsim3.trace.gz"
PACE = {"burst_bytes": 64, "gb_per_s": 1000.0, "launch_ns": 2000.0}


def columns(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    trace = read_trace(path)
    assert isinstance(trace, RequestTrace)
    chunks = list(trace.chunks())
    return (
        np.concatenate([chunk.address for chunk in chunks]),
        np.concatenate([chunk.is_write for chunk in chunks]),
        np.concatenate([chunk.time_ps for chunk in chunks]) // 1000,  # type: ignore[misc]
    )


def test_the_decode_step_is_written_as_recorded(tmp_path: Path) -> None:
    target = tmp_path / "decode0.dramsim3.trace.gz"
    trace = read_trace(LLAMA, phase="decode0")
    done = convert(trace, target, clock_ns=1.0, **PACE)  # type: ignore[arg-type]
    assert done["requests"] == 169_462
    address, is_write, cycle = columns(target)
    expected_address, expected_write, expected_cycle = columns(REFERENCE)
    assert (address == expected_address).all()
    assert (is_write == expected_write).all()
    exact_ps = np.concatenate([chunk.time_ps for chunk in requests_of(trace, **PACE)])  # type: ignore[arg-type, misc]
    difference = cycle - expected_cycle
    assert set(difference.tolist()) <= {0, 1}
    assert (exact_ps[difference == 1] % 1000 == 0).all()
    assert (exact_ps // 1000 == cycle).all()
