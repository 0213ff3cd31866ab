"""Where the keys and values of sequences lie, and what storing and attending to them moves.

Owns the three layouts: pages of a pool, a rectangle reserved in advance, and a tensor that is copied to grow. Must not
know models beyond the bytes of a token, nor operations.
"""

from __future__ import annotations

import abc
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hbmmodel.trace.access import Access
from hbmmodel.workload.program import Program, Tensor

__all__ = ["LAYOUTS", "Cache", "CacheMaker", "Shape"]

LAYOUTS = ("paged", "static", "cat")


class Shape(NamedTuple):
    """Of one layer's cache: `parts` tensors (keys and values, or one latent), `heads` and bytes per head and token."""

    parts: int
    heads: int
    head_bytes: int

    @property
    def token_bytes(self) -> int:
        """Bytes per token of one part."""
        return self.heads * self.head_bytes


class Cache(abc.ABC):
    """Cache of one layer.

    Parameters
    ----------
    program : Program
        Gives the place.
    shape : Shape
    batch : int
        Sequences, all of one length.
    """

    def __init__(self, program: Program, shape: Shape, batch: int) -> None:
        self.program = program
        self.shape = shape
        self.batch = batch

    @abc.abstractmethod
    def read(self, start: int, end: int) -> list[Access]:
        """Read tokens [start, end) of every sequence, all parts."""

    @abc.abstractmethod
    def store(self, part: int, start: int, end: int) -> tuple[list[Access], list[Access]]:
        """What is read, and what is written, to append tokens [start, end) to one part."""

    def settle(self) -> None:  # noqa: B027  a layout without copies has nothing to give back
        """Called when the operations that stored have been made."""


class Paged(Cache):
    """Pages of `page_tokens` tokens in a pool, as a table (sequence, page) of their places says.

    A windowed layer keeps only the pages that its window and the newest tokens touch, and uses them in turn.

    Source
    ------
    Kwon et al., *PagedAttention* (arXiv 2309.06180), section 4; layout of vLLM: part, page, token, head.
    """

    def __init__(self, program: Program, shape: Shape, table: NDArray[np.int64], page_tokens: int) -> None:
        super().__init__(program, shape, table.shape[0])
        self._table = table
        self._page_tokens = page_tokens
        self._per_sequence = table.shape[1]
        self._page_bytes = page_tokens * shape.token_bytes
        self._part_bytes = table.size * self._page_bytes
        self._pool = program.tensor(shape.parts * self._part_bytes, "kv")

    def _accesses(self, is_write: bool, part: int, start: int, end: int) -> list[Access]:
        size, token = self._page_tokens, self.shape.token_bytes
        offset = part * self._part_bytes
        do = self._pool.write if is_write else self._pool.read

        def pages(first: int, last: int) -> NDArray[np.int64]:
            return self._table[:, np.arange(first, last) % self._per_sequence].ravel() * np.int64(self._page_bytes)

        found = []
        first, last = -(-start // size), end // size
        if first > last:  # within one page
            return [do((end - start) * token, offset, rows=pages(last, last + 1) + start % size * token)]
        if start % size:
            found.append(do((first * size - start) * token, offset, rows=pages(first - 1, first) + start % size *
            token))
        if last > first:
            found.append(do(self._page_bytes, offset, rows=pages(first, last)))
        if end % size:
            found.append(do(end % size * token, offset, rows=pages(last, last + 1)))
        return found

    def read(self, start: int, end: int) -> list[Access]:
        return [a for part in range(self.shape.parts) for a in self._accesses(False, part, start, end)]

    def store(self, part: int, start: int, end: int) -> tuple[list[Access], list[Access]]:
        start = max(start, end - self._per_sequence * self._page_tokens)  # of a ring, what a window keeps
        return [], self._accesses(True, part, start, end)


class Static(Cache):
    """A rectangle (sequence, head, token) per part, reserved for the longest sequence."""

    def __init__(self, program: Program, shape: Shape, batch: int, tokens: int) -> None:
        super().__init__(program, shape, batch)
        self._row_bytes = tokens * shape.head_bytes
        size = batch * shape.heads * self._row_bytes
        self._parts = [program.tensor(size, "kv") for _ in range(shape.parts)]

    def _place(self, start: int, end: int) -> tuple[int, int, tuple[tuple[int, int], ...]]:
        head = self.shape.head_bytes
        return (end - start) * head, start * head, ((self.batch * self.shape.heads, self._row_bytes),)

    def read(self, start: int, end: int) -> list[Access]:
        run, offset, dims = self._place(start, end)
        return [part.read(run, offset, dims) for part in self._parts]

    def store(self, part: int, start: int, end: int) -> tuple[list[Access], list[Access]]:
        run, offset, dims = self._place(start, end)
        return [], [self._parts[part].write(run, offset, dims)]


class Concatenated(Cache):
    """One tensor per part; to grow, all of it is copied behind a new allocation.

    Source
    ------
    Hugging Face transformers, ``DynamicCache``: ``torch.cat`` of the old and the new states at every step.
    """

    def __init__(self, program: Program, shape: Shape, batch: int, tokens: int) -> None:
        super().__init__(program, shape, batch)
        self._parts: list[Tensor] = [self._tensor(tokens) for _ in range(shape.parts)]
        self._old: list[Tensor] = []

    def _tensor(self, tokens: int) -> Tensor:
        return self.program.tensor(self.batch * self.shape.token_bytes * tokens, "kv")

    def read(self, start: int, end: int) -> list[Access]:
        head = self.shape.head_bytes
        rows = self.batch * self.shape.heads
        run, offset = (end - start) * head, start * head
        length = [part.n_bytes // rows for part in self._parts]
        if all(run == n for n in length):
            return [part.read() for part in self._parts]
        return [part.read(run, offset, ((rows, n),)) for part, n in zip(self._parts, length, strict=True)]

    def store(self, part: int, start: int, end: int) -> tuple[list[Access], list[Access]]:
        old, new = self._parts[part], self._tensor(end)
        self._parts[part] = new
        self._old.append(old)
        return [old.read()] if start else [], [new.write()]

    def settle(self) -> None:
        self.program.free(*self._old)
        self._old.clear()


class CacheMaker:
    """Makes the caches of all layers; layers with as many pages share a table, as the blocks of vLLM do.

    Parameters
    ----------
    layout : str
        One of `LAYOUTS`.
    program : Program
    shape : Shape
    batch : int
    page_tokens : int
        Tokens of a page.
    rng : numpy.random.Generator
        Orders the pages: those of a pool that has served others before lie anywhere in it.
    """

    def __init__(
        self, layout: str, program: Program, shape: Shape, batch: int, page_tokens: int, rng: np.random.Generator
    ) -> None:
        self._layout = layout
        self._program = program
        self._shape = shape
        self._batch = batch
        self._page_tokens = page_tokens
        self._rng = rng
        self._tables: dict[int, NDArray[np.int64]] = {}

    def make(self, held: int, tokens: int, new: int, window: int) -> Cache:
        """The cache of one layer.

        Parameters
        ----------
        held, tokens, new : int
            Tokens of each sequence that are there at first, that will be in the end, and that come at once.
        window : int
            Tokens that the layer attends to; 0: all.
        """
        if self._layout == "static":
            return Static(self._program, self._shape, self._batch, tokens)
        if self._layout == "cat":
            return Concatenated(self._program, self._shape, self._batch, held)
        if window:
            tokens = min(tokens, window + new + self._page_tokens)
        pages = -(-tokens // self._page_tokens)
        if pages not in self._tables:
            self._tables[pages] = self._rng.permutation(self._batch * pages).reshape(self._batch, pages)
        return Paged(self._program, self._shape, self._tables[pages], self._page_tokens)
