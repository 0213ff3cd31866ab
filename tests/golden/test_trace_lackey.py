"""A real Valgrind trace (a 256x256 float GEMV, 1.3 million records) is read completely."""

from __future__ import annotations

import lzma
from collections import Counter
from pathlib import Path

from hbmmodel.trace import RequestTrace, read_trace

GEMV = Path(__file__).parent / "data" / "gemv256.lackey.txt.xz"


def test_every_record_is_read_once() -> None:
    with lzma.open(GEMV) as file:
        kinds = Counter(line[:2].strip() for line in file if not line.startswith(b"=="))
    assert sum(kinds.values()) == 1_293_579
    for instructions, fetches in ((False, 0), (True, kinds[b"I"])):
        trace = read_trace(GEMV, instructions=instructions)
        assert isinstance(trace, RequestTrace) and trace.format == "lackey"
        writes = total = n_bytes = 0
        for chunk in trace.chunks():
            assert chunk.size_bytes is not None and chunk.first_record == total
            total += len(chunk)
            writes += int(chunk.is_write.sum())
            n_bytes += int(chunk.size_bytes[chunk.is_write == 0].sum())
        assert writes == kinds[b"S"] + kinds[b"M"]
        assert total == fetches + kinds[b"L"] + kinds[b"S"] + 2 * kinds[b"M"]
        assert n_bytes >= 256 * 256 * 4  # the matrix at least
