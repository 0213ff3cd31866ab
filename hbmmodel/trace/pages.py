"""Where pages lie: from the addresses that the allocator gives to those of the memory.

Owns the choice (`Pages`) and the map of one run (`PageMap`), which cuts accesses at page boundaries; must not know
storages or operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace.access import Access
from hbmmodel.trace.allocator import PAGE_BYTES
from hbmmodel.trace.index import mixed

__all__ = ["PAGES_MAX", "SEQUENTIAL", "PageMap", "Pages"]

ORDERS = ("sequential", "shuffled")

PAGES_MAX = 1 << 26
"""Most pages that are shuffled; a table of more is refused."""

PIECES_MAX = 1 << 24
GROUPS_MAX = 256


@dataclass(frozen=True)
class Pages:
    """Order of the pages of a run in the memory.

    Parameters
    ----------
    order : {"sequential", "shuffled"}
        ``sequential``: page *i* of the allocator's addresses is page *i* of the memory. ``shuffled``: the pages that
        the run holds in the end change places at random, as on a machine that has been up for long.
    page_bytes : int
        4096 or larger, a power of two; GPUs map large blocks by 2 MiB.
    seed : int
        Seed of the shuffle.

    Examples
    --------
    >>> Pages("shuffled", page_bytes=4096).over(lambda: 16384).moved((Access(False, 0, 0, 64),))[0].n_bytes
    64
    """

    order: str = "sequential"
    page_bytes: int = PAGE_BYTES
    seed: int = 0

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise HbmArgumentError(f"pages are {self.order!r}; choose one of {', '.join(ORDERS)}")
        size = self.page_bytes
        if type(size) is not int or not 4096 <= size <= 1 << 40 or size & (size - 1):
            raise HbmArgumentError(f"page_bytes is {size!r}; give a power of two from 4096 to 2^40")
        if type(self.seed) is not int:
            raise HbmArgumentError(f"seed is {self.seed!r}; give a whole number")

    def __str__(self) -> str:
        """The order, and what it depends on."""
        if self.order == "sequential":
            return self.order
        return f"{self.order}(page_bytes={self.page_bytes}, seed={self.seed})"

    def over(self, n_bytes: Callable[[], int], base: int = 0) -> PageMap | None:
        """Map of a run that holds `n_bytes()` bytes from address `base`; None where nothing moves."""
        if self.order == "sequential":
            return None
        n_pages = -(-n_bytes() // self.page_bytes)
        if n_pages > PAGES_MAX:
            raise HbmTraceError(f"{n_pages} pages of {self.page_bytes} bytes; at most {PAGES_MAX} can be shuffled")
        return PageMap(base, self.page_bytes, shuffled(n_pages, self.seed))


SEQUENTIAL = Pages()


def shuffled(n: int, seed: int) -> NDArray[np.int64]:
    """A permutation of 0..n-1, the same with every version of every library.

    Source
    ------
    Sorting by random keys (Knuth, *The Art of Computer Programming* 2, 3.4.2, exercise 13); keys are SplitMix64's.

    Examples
    --------
    >>> shuffled(5, 0).tolist()
    [2, 4, 1, 0, 3]
    """
    order: NDArray[np.int64] = np.argsort(mixed(seed, 0, 0, n), kind="stable").astype(np.int64)
    return order


class PageMap:
    """A bijection of whole pages of one range.

    Parameters
    ----------
    base : int
        First address of the range [bytes].
    page_bytes : int
        Size of a page; a power of two.
    frame : ndarray of int64
        Page of the range -> where it lies; a permutation.
    """

    def __init__(self, base: int, page_bytes: int, frame: NDArray[np.int64]) -> None:
        self._base = base
        self._page = page_bytes
        self._frame = frame

    def addresses(self, virtual: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where bytes lie.

        Raises
        ------
        HbmTraceError
            One lies outside the range.
        """
        page, within = np.divmod(virtual - self._base, self._page)
        if len(page) and not (0 <= int(page.min()) and int(page.max()) < len(self._frame)):
            raise HbmTraceError(f"an address lies outside the {len(self._frame)} pages of the run")
        found: NDArray[np.int64] = self._base + self._frame[page] * self._page + within
        return found

    def moved(self, accesses: Sequence[Access]) -> tuple[Access, ...]:
        """The same bytes in the same order where they lie; cut where a run crosses into another page.

        Raises
        ------
        HbmTraceError
            More than 2^24 pieces, or an address outside the range.
        """
        return tuple(piece for access in accesses for piece in self._pieces(access))

    def _pieces(self, access: Access) -> Iterator[Access]:
        if access.n_runs > PIECES_MAX:
            raise HbmTraceError(f"{access.n_runs} runs; at most {PIECES_MAX} can be laid on shuffled pages")
        run = access.run_bytes
        starts = access.run_starts()
        first = (starts - self._base) // self._page
        n_pages = (starts + run - 1 - self._base) // self._page - first + 1
        total = int(n_pages.sum())
        if total > PIECES_MAX:
            raise HbmTraceError(f"{total} pieces on pages of {self._page} bytes; at most {PIECES_MAX} can be laid")
        owner = np.repeat(np.arange(len(starts)), n_pages)
        number = np.arange(total) - np.repeat(np.cumsum(n_pages) - n_pages, n_pages)
        begin = np.maximum(starts[owner], self._base + (first[owner] + number) * self._page)
        length = np.minimum(starts[owner] + run, self._base + (first[owner] + number + 1) * self._page) - begin
        edges = np.flatnonzero(np.diff(length)) + 1
        if len(edges) >= GROUPS_MAX:
            # Too many changes of length: all in pieces of the largest common one.
            step = int(np.gcd.reduce(length))
            counts = length // step
            if int(counts.sum()) > PIECES_MAX:
                raise HbmTraceError(f"{int(counts.sum())} pieces of {step} bytes; at most {PIECES_MAX} can be laid")
            inner = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
            begin = np.repeat(begin, counts) + inner * step
            length = np.full(len(begin), step)
            edges = edges[:0]
        offsets = self.addresses(begin) - self._base
        bounds = [0, *edges.tolist(), len(begin)]
        for low, high in zip(bounds[:-1], bounds[1:], strict=True):
            yield replace(
                access,
                base_address=self._base,
                run_bytes=int(length[low]),
                dims=(),
                row_offsets=np.ascontiguousarray(offsets[low:high]),
                unmapped=access.span,
            )
