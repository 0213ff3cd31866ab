"""How readers are fuzzed: samples with a few spans changed, and what may come of reading them."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace import HbmTraceWarning, OpTrace, RequestTrace, read_trace

SECONDS_MAX = 10.0

# Pieces that parsers trip over.
SPICE = st.sampled_from(
    [
        *(b"", b"\0", b"-", b"-1", b"0x", b"1e9", b"NaN", b"null", b"true", b"\xff", b"\xe2\x80\xa8", b"\n", b"\r"),
        *(b",", b" ", b"[", b"]", b"[" * 2000, b"{", b'"', b":", b"18446744073709551615", b"18446744073709551616"),
        *(b"9223372036854775808", b"4611686018427387904", b"9" * 5000, b"f" * 300, b'"f99"', b"1.5", b"#", b"=="),
        b"A" * 70_000,
    ]
)


@st.composite
def mutated(draw: st.DrawFn, sample: bytes) -> bytes:
    """A sample with a few spans cut out, repeated, or replaced."""
    data = sample
    for _ in range(draw(st.integers(1, 4))):
        low = draw(st.integers(0, len(data)))
        high = draw(st.one_of(st.just(low), st.integers(low, min(len(data), low + 12)), st.integers(low, len(data))))
        piece = draw(st.one_of(SPICE, st.binary(max_size=8), st.just(data[low:high] * 2)))
        data = data[:low] + piece + data[high:]
    return data


def exhaust(path: Path, fmt: str | None, with_: Path | None = None) -> None:
    """Read everything; only HbmTraceError, in one line, may come out, and soon. Warnings are as good as silence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbmTraceWarning)
        _exhaust(path, fmt, with_)


def _exhaust(path: Path, fmt: str | None, with_: Path | None) -> None:
    begin = time.perf_counter()
    try:
        trace = read_trace(path, format=fmt, with_=with_)
        if isinstance(trace, OpTrace):
            for operation in trace.operations(all=True):
                for access in operation.accesses:
                    low, high = access.span
                    assert 0 <= low < high < 2**63 and 0 < access.n_bytes < 2**62 and len(access.dims) <= 8
        else:
            assert isinstance(trace, RequestTrace)
            last = 0
            for chunk in trace.chunks():
                assert len(chunk) > 0 and len(chunk.address) in (0, len(chunk))
                assert chunk.size_bytes is None or (chunk.size_bytes > 0).all()
                if chunk.time_ps is not None:
                    assert last <= chunk.time_ps[0] and (np.diff(chunk.time_ps) >= 0).all()
                    last = int(chunk.time_ps[-1])
    except HbmTraceError as error:
        message = str(error)
        assert "\n" not in message and len(message) < 1000
        assert path.name.split(".")[0] in message
    assert time.perf_counter() - begin < SECONDS_MAX
