"""Asking a run to stop: the first interrupt lets what is in flight end, the second one aborts.

Owns the handler of SIGINT while a run keeps what it has, and the words for what a run has left out; must not know how
anything is issued.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hbmmodel.trace import Operation

__all__ = ["NOTICE", "Stop", "interrupted", "keeping", "rest_bytes"]

NOTICE = b"\nstopping: what is in flight ends first, and is kept; interrupt again to stop at once\n"
#: How long the rest of a trace may take to be counted [s].
COUNT_S = 2.0


class Stop:
    """Whether somebody asked a run to stop issuing."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def keeping(stop: Stop) -> Iterator[None]:
    """The first SIGINT sets `stop` and says so on standard error; the second does what SIGINT did before.

    Python runs handlers in the main thread alone: in another one, and where SIGINT is ignored, nothing is changed.
    """
    before = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if before in (None, signal.SIG_IGN):
        yield
        return

    def ask(*_: object) -> None:
        stop.asked = True
        signal.signal(signal.SIGINT, before)
        os.write(2, NOTICE)

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def rest_bytes(operations: Iterable[Operation]) -> int | None:
    """Bytes of what was not issued; None if there is too much to count."""
    until = time.monotonic() + COUNT_S
    total = 0
    for operation in operations:
        total += sum(access.n_bytes for access in operation.accesses)
        if time.monotonic() > until:
            return None
    return total


def interrupted(
    what: str, done: int, last: dict[str, Any] | None, done_bytes: int, total_bytes: int | None
) -> dict[str, Any]:
    """The record of an interrupted run for its provenance (JSON types).

    Parameters
    ----------
    what : str
        ``operations`` or ``records``: of what `done` were issued.
    done : int
    last : dict, optional
        The last one in the order of the trace.
    done_bytes, total_bytes : int
        Asked for so far, and by the whole trace; None: not known.
    """
    share = None if not total_bytes else done_bytes / total_bytes
    return {what: done, "last": last, "bytes": done_bytes, "share_of_bytes": share}
