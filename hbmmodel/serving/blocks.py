"""The KV cache of a serving device in blocks: which are free, which requests hold, and which prefixes can be reused.

Owns the count of blocks, sharing by hash and eviction of the least recently used; must not know time, steps or files.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

__all__ = ["BlockPool"]


class BlockPool:
    """Blocks of equally many tokens.

    A block with a hash can be shared by requests that hold it at the same time, and stays when the last of them is
    done, until its room is needed: then the least recently released goes first.

    Parameters
    ----------
    capacity_blocks : int
        Blocks in all.

    Source
    ------
    Kwon et al., *PagedAttention* (arXiv 2309.06180), section 4.2: blocks with reference counts; automatic prefix
    caching of vLLM (``docs/design/prefix_caching.md``): full blocks only, least recently used evicted first, of one
    request the last first.

    Examples
    --------
    >>> pool = BlockPool(4)
    >>> pool.admit([7, 8], 3)  # nothing to reuse: three blocks, the first two to be known as 7 and 8
    0
    >>> held = pool.publish([7, 8], 0)
    >>> pool.release(held, 1)
    >>> pool.admit([7, 8, 9], 4), pool.held_blocks
    (2, 4)
    """

    def __init__(self, capacity_blocks: int) -> None:
        self.capacity_blocks = capacity_blocks
        self._free = capacity_blocks
        self._holders: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()

    @property
    def held_blocks(self) -> int:
        """Blocks that requests hold; a shared one counts once."""
        return self.capacity_blocks - self._free - len(self._idle)

    @property
    def idle_blocks(self) -> int:
        """Blocks that nobody holds, kept for reuse."""
        return len(self._idle)

    def admit(self, hashes: Sequence[int], blocks: int) -> int | None:
        """Take `blocks` blocks for a request whose first ones have these hashes.

        Returns
        -------
        int or None
            How many of the first blocks were there already; None, and nothing is taken, if there is no room.
        """
        found = idle = 0
        for name in hashes:
            if name in self._idle:
                idle += 1
            elif name not in self._holders:
                break
            found += 1
        needed = blocks - found
        if needed > self._free + len(self._idle) - idle:
            return None
        for name in hashes[:found]:
            self._idle.pop(name, None)
            self._holders[name] = self._holders.get(name, 0) + 1
        while needed > self._free:
            self._idle.popitem(last=False)
            self._free += 1
        self._free -= needed
        return found

    def publish(self, hashes: Sequence[int], found: int) -> list[int]:
        """Make a request's computed blocks known under their hashes; the first `found` are.

        Returns
        -------
        list of int
            Hashes under which the request now holds blocks. One that another request has published meanwhile is not
            among them: of that block there are two, and this request's stays its own.
        """
        held = list(hashes[:found])
        for name in hashes[found:]:
            if name in self._holders or name in self._idle:
                continue
            self._holders[name] = 1
            held.append(name)
        return held

    def release(self, held: Sequence[int], own: int) -> None:
        """Give back the blocks held under hashes, and `own` others."""
        for name in reversed(held):
            left = self._holders[name] - 1
            if left:
                self._holders[name] = left
            else:
                del self._holders[name]
                self._idle[name] = None
        self._free += own
