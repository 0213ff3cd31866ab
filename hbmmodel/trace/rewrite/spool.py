"""What comes out of a pass, kept for the next one to read again and again.

Owns where records wait: the first in memory, more in a file that has no name; must not know passes.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO

from hbmmodel.trace.records import Record

__all__ = ["Spool"]

HELD_MAX = 1 << 16
"""Most records that are kept in memory; a step of a large model has some ten thousand."""

BATCH = 1 << 12


class Spool:
    """Records in order; a few thousand more than `HELD_MAX` are in memory at most.

    Examples
    --------
    >>> from hbmmodel.trace.records import Free
    >>> spool = Spool()
    >>> for storage in range(3):
    ...     spool.add(Free(storage))
    >>> [record.storage for record in spool]
    [0, 1, 2]
    """

    def __init__(self) -> None:
        self._held: list[Record] = []
        self._batch: list[Record] = []
        self._places: list[tuple[int, int]] = []
        self._file: IO[bytes] | None = None  # opened when it is needed
        self._end = 0

    def add(self, record: Record) -> None:
        """Keep one record more."""
        if len(self._held) < HELD_MAX:
            self._held.append(record)
            return
        self._batch.append(record)
        if len(self._batch) == BATCH:
            self._write()

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="hbmmodel-")
            weakref.finalize(self, self._file.close)
        data = pickle.dumps(self._batch, pickle.HIGHEST_PROTOCOL)
        self._file.write(data)
        self._file.flush()
        self._places.append((self._end, len(data)))
        self._end += len(data)
        self._batch = []

    def __iter__(self) -> Iterator[Record]:
        """All records that have been added."""
        yield from self._held
        for start, size in self._places:
            assert self._file is not None
            # the file is this object's own, without a name: nobody else can have written it
            yield from pickle.loads(os.pread(self._file.fileno(), size, start))
        yield from self._batch
