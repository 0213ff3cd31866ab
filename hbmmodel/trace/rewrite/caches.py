"""The cache of keys and values in place, as servers hold it, instead of copied anew for every token.

Owns how a cache that grows by ``cat`` is recognised and how its new places are laid out; must not know addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hbmmodel.trace.expand import ITEM_BYTES, Operand, moves_nothing, operator
from hbmmodel.trace.pages import shuffled
from hbmmodel.trace.records import Alloc, Free, OpRecord, Record, RecordedTrace
from hbmmodel.trace.rewrite.base import (
    Pass,
    Storages,
    check_choice,
    check_count,
    contiguous,
    numbered,
    produced,
    refuse,
)

__all__ = ["APPEND", "KvCache"]

APPEND = "kv.append"
"""Name of the operation that writes new tokens into a cache."""

SEQUENCE, RANK = 2, 4
"""(batch, heads, tokens, head size): how keys and values reach the attention operator."""


@dataclass
class _Cache:
    """One growing tensor of keys or values."""

    storage: int
    dtype: str
    batch: int
    heads: int
    head: int
    tokens: int = 0  # the longest that it gets


@dataclass(frozen=True)
class _Growth:
    """One ``cat``: the tokens `begin` to `end` are new."""

    cache: int
    begin: int
    end: int


@dataclass(frozen=True)
class KvCache(Pass):
    """A cache that is copied with every token (``DynamicCache`` of transformers: ``cat``) is written in place.

    What attention reads stays; of the two copies per step only the new tokens' write remains. Tokens that a program
    put into the cache itself (a prompt) are written into it with the first growth.

    Parameters
    ----------
    layout : {"paged", "static"}
        ``paged``: blocks of `block` tokens, (block, heads, head size), scattered over a pool as long as the cache gets,
        as in vLLM. ``static``: one tensor (batch, heads, tokens, head size) of the final length.
    block : int
        Tokens of a block; ``paged`` only.
    seed : int
        Seed of the order of blocks; ``paged`` only.

    Source
    ------
    Kwon et al., "Efficient memory management for large language model serving with PagedAttention", SOSP 2023; blocks
    of 16 tokens are vLLM's default.

    Examples
    --------
    >>> str(KvCache("paged"))
    "kv(layout='paged', block=16, seed=0)"
    """

    pass_name: ClassVar[str] = "kv"

    layout: str = "paged"
    block: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("kv", self.layout, ("paged", "static"))
        check_count("block", self.block, 1, 1 << 16)
        check_count("seed", self.seed, -(1 << 63), (1 << 63) - 1)

    def apply(self, trace: RecordedTrace) -> Iterator[Record]:
        """Records with caches in place."""
        caches, growth, grown = self._find(trace)
        made = produced(trace)
        # Storages that hold a cache from before the first growth and that nothing in the trace makes: they go.
        replaced: set[int] = set()
        started: set[int] = set()
        number = -1
        for record in trace.records():
            if isinstance(record, Alloc | Free):
                if record.storage not in grown and not (record.storage in replaced and isinstance(record, Free)):
                    if isinstance(record, Alloc) and record.storage in self._initial(growth, made):
                        replaced.add(record.storage)
                        continue
                    yield record
                continue
            if not isinstance(record, OpRecord):
                yield record
                continue
            number += 1
            step = growth.get(number)
            if step is not None:
                yield from self._append(record, step[0], caches[step[0].cache], step[1] not in made, started)
            elif moves_nothing(record.name, record.operands):
                if not any(o.storage in grown or o.storage in replaced for o in record.operands):
                    yield record
            else:
                yield record._replace(operands=tuple(self._mapped(trace, record, caches, grown, replaced)))

    def _initial(self, growth: dict[int, tuple[_Growth, int]], made: set[int]) -> set[int]:
        return {old for _, old in growth.values() if old >= 0 and old not in made}

    def _find(
        self, trace: RecordedTrace
    ) -> tuple[list[_Cache], dict[int, tuple[_Growth, int]], dict[int, tuple[int, int]]]:
        """Caches; growths by operation number, each with the storage it grew from; grown storage -> (cache, tokens)."""
        read = _attended(trace)
        new = Storages(trace)
        caches: list[_Cache] = []
        growth: dict[int, tuple[_Growth, int]] = {}
        grown: dict[int, tuple[int, int]] = {}
        for number, _, record in numbered(trace):
            if operator(record.name) != ("aten", "cat") or not record.operands:
                continue
            out = record.operands[-1]
            parts = [o for o in record.operands[:-1] if len(o.shape) == RANK]
            if out.storage not in read or len(out.shape) != RANK or len(parts) not in (1, 2):
                continue
            tokens = parts[-1].shape[SEQUENCE]
            end = out.shape[SEQUENCE]
            old = parts[0] if len(parts) == 2 else None
            if (old.shape[SEQUENCE] if old is not None else 0) + tokens != end:
                continue
            if old is not None and old.storage in grown:
                which = grown[old.storage][0]
            else:
                which = len(caches)
                caches.append(_Cache(new.new(), out.dtype, out.shape[0], out.shape[1], out.shape[3]))
            caches[which].tokens = max(caches[which].tokens, end)
            growth[number] = (_Growth(which, end - tokens, end), -1 if old is None else old.storage)
            grown[out.storage] = (which, end)
        if not growth:
            raise refuse(trace, self, "no cache of keys and values grows by aten.cat in it", "leave this pass out")
        return caches, growth, grown

    def _append(
        self, record: OpRecord, step: _Growth, cache: _Cache, is_filled: bool, started: set[int]
    ) -> Iterator[Record]:
        parts = [o for o in record.operands[:-1] if len(o.shape) == RANK]
        begin = step.begin
        if cache.storage not in started:
            started.add(cache.storage)
            blocks = -(-cache.tokens // self.block) * self.block if self.layout == "paged" else cache.tokens
            token_bytes = cache.heads * cache.head * ITEM_BYTES[cache.dtype]
            yield Alloc(cache.storage, cache.batch * blocks * token_bytes, 0, record.line)
            if not is_filled:
                begin = 0  # what the program put there itself comes along
        sources = parts[-1:] if begin == step.begin else parts
        targets = self._places(cache, begin, step.end, "w")
        yield record._replace(name=APPEND, operands=(*(o._replace(role="r") for o in sources), *targets))

    def _mapped(
        self,
        trace: RecordedTrace,
        record: OpRecord,
        caches: list[_Cache],
        grown: dict[int, tuple[int, int]],
        replaced: set[int],
    ) -> Iterator[Operand]:
        for operand in record.operands:
            if operand.storage in replaced:
                what = f"{record.name} uses a cache that aten.cat has grown from"
                raise refuse(trace, self, what, "leave this pass out")
            if operand.storage not in grown:
                yield operand
                continue
            if operand.reread != (1, 1):
                what = f"{record.name} re-reads the cache in tiles already"
                raise refuse(trace, self, what, "rewrite this before gemm_tiles")
            which, tokens = grown[operand.storage]
            cache = caches[which]
            covered = 1
            for n, step in zip(operand.shape, operand.stride, strict=True):
                covered *= n if step else 1
            if operand.role != "r" or covered != cache.batch * cache.heads * tokens * cache.head:
                what = f"{record.name} uses a part of the cache, or writes it"
                raise refuse(trace, self, what, "leave this pass out")
            yield from self._places(cache, 0, tokens, "r")

    def _places(self, cache: _Cache, begin: int, end: int, role: str) -> list[Operand]:
        """Operands that cover the tokens `begin` to `end` of all sequences."""
        heads, head = cache.heads, cache.head
        if self.layout == "static":
            offset = begin * head * ITEM_BYTES[cache.dtype]
            shape = [cache.batch, heads, end - begin, head]
            stride = contiguous([cache.batch, heads, cache.tokens, head])
            return [Operand(role, cache.storage, offset, cache.dtype, shape, stride)]
        token = heads * head
        n_blocks = -(-cache.tokens // self.block)
        table = shuffled(cache.batch * n_blocks, self.seed + cache.storage).reshape(cache.batch, n_blocks)
        stride = [self.block * token, 1]
        places = []
        for first, last, low, high in _spans(begin, end, self.block):
            rows = np.ascontiguousarray(table[:, first:last].ravel())
            offset = low * token * ITEM_BYTES[cache.dtype]
            shape = [cache.batch * n_blocks, (high - low) * token]
            places.append(Operand(role, cache.storage, offset, cache.dtype, shape, stride, rows=rows))
        return places


def _spans(begin: int, end: int, block: int) -> Iterator[tuple[int, int, int, int]]:
    """Blocks `first` to `last` of which the tokens `low` to `high` belong to a span of tokens.

    Examples
    --------
    >>> list(_spans(0, 40, 16)), list(_spans(20, 23, 16)), list(_spans(20, 70, 16))
    ([(0, 2, 0, 16), (2, 3, 0, 8)], [(1, 2, 4, 7)], [(1, 2, 4, 16), (2, 4, 0, 16), (4, 5, 0, 6)])
    """
    first, low = divmod(begin, block)
    last, high = divmod(end, block)
    if first == last:
        yield first, first + 1, low, high
        return
    if low:
        yield first, first + 1, low, block
        first += 1
    if first < last:
        yield first, last, 0, block
    if high:
        yield last, last + 1, 0, high


def _attended(trace: RecordedTrace) -> set[int]:
    """Storages of keys and values that attention reads, directly or through one copy."""
    read: set[int] = set()
    copies: list[tuple[int, int]] = []
    for _, _, record in numbered(trace):
        base = operator(record.name)[1]
        if "scaled_dot_product" in base and "backward" not in base and len(record.operands) > 2:
            read |= {record.operands[1].storage, record.operands[2].storage}
        elif base in ("clone", "_to_copy") and len(record.operands) == 2:
            copies.append((record.operands[0].storage, record.operands[1].storage))
    return read | {source for source, target in copies if target in read}
