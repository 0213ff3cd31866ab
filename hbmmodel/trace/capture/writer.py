"""A capture on its way to disk: line by line, readable at any time, under its name only when complete.

Owns the file; must not know what is recorded, or PyTorch. The grammar is in ``docs/formats/hbmop.md``.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.source import JSON_LINE_MAX

__all__ = ["CaptureFile", "partial_path"]

FLUSH_BYTES = 64 << 10
FLUSH_S = 0.5
INDEX_CHUNK = 1 << 19
"""Values of an index array per line: at most 20 characters each, well below the longest line."""


class _Codec(Protocol):
    """Compression that can bring all it has so far to a readable end."""

    def pack(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...


class _Plain:
    def pack(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class _Gzip:
    def __init__(self) -> None:
        self._z = zlib.compressobj(3, zlib.DEFLATED, 31)

    def pack(self, data: bytes) -> bytes:
        return self._z.compress(data) + self._z.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._z.flush(zlib.Z_FINISH)


class _Zstd:
    def __init__(self) -> None:
        import zstandard

        self._z = zstandard.ZstdCompressor(level=3).compressobj()
        self._block = zstandard.COMPRESSOBJ_FLUSH_BLOCK

    def pack(self, data: bytes) -> bytes:
        return self._z.compress(data) + self._z.flush(self._block)

    def end(self) -> bytes:
        return self._z.flush()


def partial_path(path: str) -> str:
    """Where a capture is while it is written, and stays if it does not come to its end.

    Examples
    --------
    >>> partial_path("run/step.hbmop.zst"), partial_path("step")
    ('run/step.partial.hbmop.zst', 'step.partial')
    """
    folder, name = os.path.split(path)
    stem, dot, rest = name.partition(".")
    if not stem:  # a name that begins with a dot
        stem, dot, rest = name, "", ""
    return os.path.join(folder, f"{stem}.partial{dot}{rest}")


class CaptureFile:
    """An open capture.

    Parameters
    ----------
    path : path
        Target.
    metadata : mapping
        What the first line holds beside the version.

    Raises
    ------
    HbmArgumentError
        The metadata are not JSON, or the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], metadata: Mapping[str, Any]) -> None:
        import msgspec

        try:
            self._target = os.path.realpath(os.fsdecode(path))
        except TypeError:
            raise HbmArgumentError(f"path is {path!r}; give a file's path") from None
        self.name = self._target
        self.partial = partial_path(self._target)
        if os.path.exists(self._target) and not os.path.isfile(self._target):
            raise HbmArgumentError(f"{self._target} is not a regular file, and is left as it is; name a file")
        self._codec = _codec(self._target)
        self._encode = msgspec.json.Encoder().encode
        try:
            header = self._encode({"hbmop": 2, **{k: v for k, v in metadata.items() if k != "hbmop"}})
        except (TypeError, ValueError, RecursionError) as error:
            raise HbmArgumentError(f"metadata cannot be written as JSON: {error}; give plain values") from None
        if len(header) > FLUSH_BYTES - 1024:
            raise HbmArgumentError(f"metadata have {len(header)} bytes; at most {FLUSH_BYTES - 1024} are written")
        self._lines = [header]
        self._held = len(header)
        self._flushed = time.monotonic()
        try:
            self._file = open(self.partial, "wb", buffering=0)
        except OSError as error:
            raise self._unwritable(error) from None
        self._flush()

    def write(self, record: list[Any]) -> None:
        """Add one record."""
        line = self._encode(record)
        if len(line) > JSON_LINE_MAX:
            raise HbmArgumentError(f"a record of {len(line)} bytes; at most {JSON_LINE_MAX} can be read again")
        self._lines.append(line)
        self._held += len(line) + 1
        if self._held >= FLUSH_BYTES or time.monotonic() - self._flushed > FLUSH_S:
            self._flush()

    def write_index(self, key: str, values: list[int]) -> None:
        """Add the contents of an index tensor of the next operation."""
        for first in range(0, max(len(values), 1), INDEX_CHUNK):
            self.write(["I", key, values[first : first + INDEX_CHUNK]])

    def finish(self, n_operations: int) -> None:
        """Write the end, and give the file its name."""
        self.write(["E", n_operations])
        self._close()
        try:
            os.replace(self.partial, self._target)
        except OSError as error:
            raise self._unwritable(error) from None

    def abandon(self, keep: bool) -> None:
        """Close without an end; what there is stays under the partial name, or goes."""
        try:
            self._close()
        except HbmArgumentError:
            pass  # a full disk, most likely, of which the caller is told already
        if not keep:
            os.unlink(self.partial)

    def _close(self) -> None:
        try:
            self._flush()
            self._put(self._codec.end())
        finally:
            self._file.close()

    def _flush(self) -> None:
        lines, self._lines, self._held = self._lines, [], 0
        if lines:
            self._put(self._codec.pack(b"\n".join(lines) + b"\n"))
        self._flushed = time.monotonic()

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> HbmArgumentError:
        reason = error.strerror or error
        return HbmArgumentError(f"{self._target} cannot be written: {reason}; check the path and the space")


def _codec(path: str) -> _Codec:
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".gz":
        return _Gzip()
    if suffix == ".zst":
        return _Zstd()
    if suffix in (".xz", ".bz2", ".zip", ".parquet"):
        raise HbmArgumentError(f"{path}: a capture is written plain, as .gz or as .zst; not as {suffix}")
    return _Plain()
