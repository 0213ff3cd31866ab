"""Contents of index tensors: recorded ones from the sidecar file, missing ones drawn at random.

Owns the ``.idx.npz`` file beside a capture and the seeded draw; must not know what the rows are used for.
"""

from __future__ import annotations

import zipfile
import zlib
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.problem import excerpt, trace_error

__all__ = ["ARRAY_BYTES_MAX", "NPZ_FAULTS", "IndexArrays", "mixed", "random_rows", "sidecar_path"]

ARRAY_BYTES_MAX = 1 << 30

NPZ_FAULTS = (
    *(OSError, ValueError, EOFError, MemoryError, OverflowError, RuntimeError, SyntaxError, TypeError, KeyError),
    *(NotImplementedError, TokenError, zlib.error, zipfile.BadZipFile, zipfile.LargeZipFile),
)
"""What numpy and zipfile raise on an ``.npz`` file that is not what it seems."""


def sidecar_path(path: str) -> str:
    """Where the index arrays of a capture are looked for.

    Examples
    --------
    >>> sidecar_path("run/step.hbmop.jsonl.gz")
    'run/step.idx.npz'
    """
    stem = path
    for suffix in (".gz", ".xz", ".zst", ".jsonl", ".hbmop"):
        stem = stem.removesuffix(suffix)
    return stem + ".idx.npz"


def random_rows(seed: int, stream: int, substream: int, n_rows: int, count: int) -> NDArray[np.int64]:
    """Seeded rows in [0, n_rows), the same with every version of every library.

    Source
    ------
    SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. The
    remainder's bias is below ``n_rows / 2^64``.

    Examples
    --------
    >>> random_rows(0, 0, 0, 1000, 4).tolist()
    [535, 700, 679, 444]
    """
    rows: NDArray[np.int64] = (mixed(seed, stream, substream, count) % np.uint64(n_rows)).astype(np.int64)
    return rows


def mixed(seed: int, stream: int, substream: int, count: int) -> NDArray[np.uint64]:
    """Seeded 64-bit numbers (SplitMix64, as in `random_rows`)."""
    with np.errstate(over="ignore"):
        state = _mix(np.uint64(seed % 2**64))
        state = _mix(state ^ np.uint64(stream % 2**64))
        state = _mix(state ^ np.uint64(substream % 2**64))
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        drawn: NDArray[np.uint64] = _mix(state + steps)
    return drawn


def _mix(z: Any) -> Any:
    """SplitMix64's output function on uint64 scalars or arrays."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class IndexArrays:
    """Source of rows for `expand`: arrays are loaded when first asked for, one is kept.

    Parameters
    ----------
    path : str
        The ``.idx.npz`` file; it need not exist while nothing asks for it.
    seed : int
        Seed of `drawn`.
    """

    def __init__(self, path: str, seed: int) -> None:
        self.seq = 0
        self.n_drawn = 0
        self._path = path
        self._seed = seed
        self._last: tuple[str, NDArray[np.int64]] | None = None
        self._file: Any = None
        self._archive: Any = None

    def recorded(self, key: str) -> NDArray[np.int64]:
        """Values of the array `key`, flat."""
        if self._last is None or self._last[0] != key:
            self._last = (key, self._load(key))
        return self._last[1]

    def drawn(self, storage: int, n_rows: int, count: int) -> NDArray[np.int64]:
        """`count` random rows, a function of seed, storage and operation."""
        self.n_drawn += 1
        return random_rows(self._seed, storage, self.seq, n_rows, count)

    def close(self) -> None:
        """Close the file."""
        for file in (self._archive, self._file):
            if file is not None:
                file.close()
        self._archive = self._file = None

    def _load(self, key: str) -> NDArray[np.int64]:
        try:
            if self._archive is None:
                self._open()
            self._check_size(key)
            array = self._archive[key]
        except FileNotFoundError:
            raise HbmTraceError(
                f"index array {excerpt(key)} is needed, but {self._path} does not exist (put it beside the capture, "
                "or pass index=)"
            ) from None
        except KeyError:
            raise HbmTraceError(f"index array {excerpt(key)} is not in {self._path}") from None
        except HbmTraceError:
            raise
        except NPZ_FAULTS as error:
            raise HbmTraceError(f"{self._path}: array {excerpt(key)} cannot be read: {error}") from None
        if array.dtype.kind not in "iu":
            raise HbmTraceError(f"{self._path}: array {excerpt(key)} holds {array.dtype}, not whole numbers")
        values: NDArray[np.int64] = np.ascontiguousarray(array.ravel(), dtype=np.int64)
        return values

    def _open(self) -> None:
        self._file = open(self._path, "rb")  # closed by close()
        if self._file.read(2) != b"PK":
            raise HbmTraceError(f"{self._path}: not an .npz archive; capture again")
        self._file.seek(0)
        self._archive = np.load(self._file, allow_pickle=False)

    def _check_size(self, key: str) -> None:
        """Refuse an array that inflates beyond 1 GB before inflating it."""
        members = self._archive.zip.NameToInfo
        member = members.get(key + ".npy") or members[key]
        if member.file_size > ARRAY_BYTES_MAX:
            raise trace_error(
                self._path,
                f"array {key} has {member.file_size} bytes",
                remedy=f"at most {ARRAY_BYTES_MAX} are read",
            )
