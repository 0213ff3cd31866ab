"""Requests that are found one by one, gathered into chunks.

Owns the lists that become arrays, and the checks that hold for requests of any format; must not know formats.
"""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Iterator

import numpy as np

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.model import CHUNK_RECORDS, RequestChunk, RequestTrace, check_max_records
from hbmmodel.trace.source import file_digest

__all__ = ["FileRequests", "Request"]

Request = tuple[int, int, int, int]
"""Address [bytes], 1 for a write, size [bytes], time [ps]."""


class FileRequests(RequestTrace):
    """Requests of a file whose reader finds them one by one."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abc.abstractmethod
    def requests(self) -> Iterator[Request]:
        """Stream the requests from the start; sizes are not 0, times ascend."""

    def files(self) -> Iterator[str]:
        """Files that the trace consists of."""
        yield self.name

    def content_hash(self) -> str:
        """SHA-256 (hex) of the bytes of the files."""
        hasher = hashlib.sha256()
        for path in self.files():
            file_digest(hasher, path)
        return hasher.hexdigest()

    def chunks(self, max_records: int = CHUNK_RECORDS) -> Iterator[RequestChunk]:
        """Stream the requests in chunks."""
        check_max_records(max_records)
        held: list[Request] = []
        first = 0
        for request in self.requests():
            held.append(request)
            if len(held) == max_records:
                yield self._chunk(held, first)
                first += len(held)
                held = []
        if held:
            yield self._chunk(held, first)
        elif first == 0:
            raise HbmTraceError(f"{self.name}: trace holds no requests; check the file and its format")

    def _chunk(self, held: list[Request], first: int) -> RequestChunk:
        address, is_write, size, time = zip(*held, strict=True)
        return RequestChunk(
            np.array(address, np.uint64),
            np.array(is_write, np.uint8),
            np.array(size, np.uint32),
            np.array(time, np.int64) if self.timed else None,
            first,
        )
