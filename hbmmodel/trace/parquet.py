"""Requests in a Parquet file: the compact exchange format of this project.

Owns the schema (``docs/formats/parquet.md``), reading and writing, row group by row group.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.model import CHUNK_RECORDS, RequestChunk, RequestTrace, check_max_records, uniform_sizes
from hbmmodel.trace.problem import HbmTraceWarning, excerpt, trace_error
from hbmmodel.trace.source import file_digest

__all__ = ["VERSION", "ParquetRequests", "ParquetWriter"]

VERSION = 1
VERSION_KEY = b"hbmmodel.requests"
ROW_GROUP = 1 << 20
COLUMNS = {"address": True, "is_write": True, "time_ps": False, "size": False}
LIMITS = {"address": (0, 2**64 - 1), "is_write": (0, 1), "time_ps": (0, 2**63 - 1), "size": (0, 2**32 - 1)}


class ParquetRequests(RequestTrace):
    """Requests of a Parquet file with the columns address, is_write and perhaps time_ps and size."""

    format = "parquet"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        file = self._open()
        with file:
            self._columns = self._check_schema(file.schema_arrow)
            self.known_records = int(file.metadata.num_rows)
        self.timed = "time_ps" in self._columns

    def content_hash(self) -> str:
        """SHA-256 (hex) of the file."""
        hasher = hashlib.sha256()
        file_digest(hasher, self.name)
        return hasher.hexdigest()

    def _open(self) -> Any:
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self.name, buffer_size=1 << 20, memory_map=False)
        except _faults() as error:
            raise self._damaged(error) from None

    def _damaged(self, error: BaseException) -> HbmTraceError:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return trace_error(self.name, f"not a readable parquet file ({reason})", remedy="copy the file again")

    def _check_schema(self, schema: Any) -> list[str]:
        import pyarrow.types as types

        version = (schema.metadata or {}).get(VERSION_KEY)
        if version is not None and version != str(VERSION).encode():
            raise trace_error(
                self.name,
                "unknown version",
                field=VERSION_KEY.decode(),
                got=version,
                remedy=f"this release reads version {VERSION}",
            )
        found = []
        for column, required in COLUMNS.items():
            if schema.names.count(column) > 1 or (required and column not in schema.names):
                raise trace_error(
                    self.name,
                    f"{schema.names.count(column)} such columns",
                    field=column,
                    remedy="the columns are address, is_write and, if known, time_ps and size",
                )
            if column not in schema.names:
                continue
            kind = schema.field(column).type
            if not types.is_integer(kind) and not (column == "is_write" and types.is_boolean(kind)):
                raise trace_error(self.name, "wrong type", field=column, got=str(kind), remedy="store whole numbers")
            found.append(column)
        if left_out := [column for column in schema.names if column not in COLUMNS]:
            text = f"{self.name}: columns left out: {excerpt(left_out)}; those read are {', '.join(COLUMNS)}"
            warnings.warn(text, HbmTraceWarning, stacklevel=2)
        return found

    def chunks(self, max_records: int = CHUNK_RECORDS) -> Iterator[RequestChunk]:
        """Stream the requests, row group by row group."""
        check_max_records(max_records)
        if self.known_records == 0:
            raise HbmTraceError(f"{self.name}: trace holds no requests; check the file")
        first = 0
        last_ps = 0
        with self._open() as file:
            batches = file.iter_batches(batch_size=max_records, columns=self._columns, use_threads=False)
            while True:
                try:
                    batch = next(batches, None)
                    if batch is None:
                        break
                    columns = {c: batch.column(c) for c in self._columns}
                    arrays = {c: self._array(c, columns[c], first) for c in self._columns}
                except HbmTraceError:
                    raise
                except _faults() as error:
                    raise self._damaged(error) from None
                if len(batch) == 0:
                    continue
                time_ps = arrays.get("time_ps")
                if time_ps is not None:
                    self._check_order(time_ps, last_ps, first)
                    last_ps = int(time_ps[-1])
                yield from uniform_sizes(
                    RequestChunk(arrays["address"], arrays["is_write"], arrays.get("size"), time_ps, first)
                )
                first += len(batch)

    def _array(self, column: str, values: Any, first: int) -> NDArray[Any]:
        import pyarrow.types as types

        if values.null_count:
            i = next(i for i, value in enumerate(values) if not value.is_valid)
            raise trace_error(self.name, "no value", record=first + i, field=column, remedy="store a number")
        if types.is_boolean(values.type):
            import pyarrow as pa

            values = values.cast(pa.uint8())
        array: NDArray[Any] = values.to_numpy(zero_copy_only=False)
        low, high = LIMITS[column]
        bad = (array < low) | (array > high)
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            raise trace_error(
                self.name,
                f"outside {low}..{high}",
                record=first + i,
                field=column,
                got=int(array[i]),
                remedy="store a number in that range",
            )
        dtype = {"address": np.uint64, "is_write": np.uint8, "time_ps": np.int64, "size": np.uint32}[column]
        return np.ascontiguousarray(array, dtype=dtype)

    def _check_order(self, time_ps: NDArray[np.int64], last_ps: int, first: int) -> None:
        before = np.concatenate((np.array([last_ps]), time_ps[:-1]))
        bad = np.flatnonzero(time_ps < before)
        if len(bad):
            i = int(bad[0])
            raise trace_error(
                self.name,
                "earlier than the request before it",
                record=first + i,
                field="time_ps",
                got=int(time_ps[i]),
                remedy="sort by time",
            )


class ParquetWriter:
    """Writes chunks to an open binary file; all have the same columns."""

    def __init__(self, file: Any, timed: bool, sized: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa = pa
        fields = [("address", pa.uint64()), ("is_write", pa.bool_())]
        fields += [("time_ps", pa.int64())] if timed else []
        fields += [("size", pa.uint32())] if sized else []
        self._schema = pa.schema(
            [pa.field(name, kind, nullable=False) for name, kind in fields],
            metadata={VERSION_KEY: str(VERSION)},
        )
        encoding = {name: "DELTA_BINARY_PACKED" for name, _ in fields if name != "is_write"}
        self._writer = pq.ParquetWriter(
            file,
            self._schema,
            compression="zstd",
            use_dictionary=False,
            column_encoding=encoding,
            write_page_index=False,
        )

    def write(self, chunk: RequestChunk) -> None:
        """One row group per chunk."""
        pa = self._pa
        arrays = [pa.array(chunk.address), pa.array(chunk.is_write.astype(bool))]
        if "time_ps" in self._schema.names:
            arrays.append(pa.array(chunk.time_ps))
        if "size" in self._schema.names:
            size = np.zeros(len(chunk), np.uint32) if chunk.size_bytes is None else chunk.size_bytes
            arrays.append(pa.array(size))
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=ROW_GROUP)

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


def _faults() -> tuple[type[BaseException], ...]:
    import pyarrow as pa

    return (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError)
