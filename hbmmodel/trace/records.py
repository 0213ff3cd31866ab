"""What a capture records: storages that come and go, phases, operations with their operands.

Owns the records and `RecordedTrace`, the trace that is made of them; must not know files (`hbmop`), how records become
operations with addresses (`replay`), or what may be done to them in between (`rewrite`).
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.expand import Operand
from hbmmodel.trace.index import IndexArrays
from hbmmodel.trace.model import Operations, OpTrace, phase_set
from hbmmodel.trace.pages import SEQUENTIAL, Pages

if TYPE_CHECKING:
    from hbmmodel.trace.rewrite import Pass

__all__ = ["Alloc", "Free", "OpRecord", "PhaseMark", "Record", "RecordedTrace"]


class Alloc(NamedTuple):
    """A storage of `n_bytes` appears; `pointer` is where it lay on the recording machine (0: nowhere)."""

    storage: int
    n_bytes: int
    pointer: int = 0
    line: int = 0


class Free(NamedTuple):
    """A storage is gone; its number is never used again."""

    storage: int
    line: int = 0


class PhaseMark(NamedTuple):
    """From here on the run is in the phase `label`."""

    label: str
    line: int = 0


class OpRecord(NamedTuple):
    """An operation: arguments, then results; times of the recording machine [ns]."""

    name: str
    operands: tuple[Operand, ...]
    seq: int = 0
    time_ns: int = 0
    duration_ns: int = 0
    line: int = 0


Record = Alloc | Free | PhaseMark | OpRecord


class RecordedTrace(OpTrace):
    """Operations that are replayed from records.

    Parameters
    ----------
    name : str
        Where it is from.
    phases : frozenset of str, optional
        Phases to yield; None: all.
    base : int
        Address of the first storage [bytes].
    seed : int
        Seed of the rows of gathers whose indices the records do not hold.
    pages : Pages
        Where the pages of the memory lie.

    Attributes
    ----------
    unit : {"line", "record"}
        What the records' numbers (`line`) count: lines of text, or records of a file that is no lines.
    """

    unit: Literal["line", "record"] = "line"

    def __init__(
        self,
        name: str,
        phases: frozenset[str] | None = None,
        base: int = 0,
        seed: int = 0,
        pages: Pages = SEQUENTIAL,
    ) -> None:
        self.name = name
        self.base = base
        self.seed = seed
        self.pages = pages
        self._phases = phases

    @abc.abstractmethod
    def records(self) -> Iterator[Record]:
        """Stream the records from the start.

        Raises
        ------
        HbmTraceError
            A record is malformed.
        """

    @abc.abstractmethod
    def index_arrays(self) -> IndexArrays:
        """Contents of index tensors that the records only name."""

    @abc.abstractmethod
    def _narrowed(self, phases: frozenset[str]) -> RecordedTrace:
        """The same with these phases only."""

    def operations(self, all: bool = False) -> Operations:
        """Stream the operations from the start; see `OpTrace.operations`."""
        from hbmmodel.trace.replay import Replay, reserved_bytes

        mapped = self.pages.over(lambda: reserved_bytes(self, self.base), self.base)
        replay = Replay(self.name, self._phases, all, self.index_arrays(), self.base, mapped, self.unit)
        return self._follow(replay.run(self.records()), replay.progress)

    def select(self, phase: str | Sequence[str]) -> RecordedTrace:
        """The operations of some phases only."""
        wanted = phase_set(phase)
        if self._phases is not None and (missing := sorted(wanted - self._phases)):
            known = ", ".join(sorted(self._phases))
            raise HbmTraceError(f"{self.name}: phase {missing[0]!r} is not selected; selected are: {known}")
        return self._narrowed(wanted)

    def rewritten(self, *passes: Pass) -> RecordedTrace:
        """The trace after some rewrite passes, in this order; see `hbmmodel.trace.rewrite`.

        Raises
        ------
        HbmArgumentError
            Something is no pass.
        HbmTraceError
            A pass does not find in the trace what it rewrites; perhaps only when the trace is passed over.
        """
        from hbmmodel.trace.rewrite import RewrittenTrace

        return RewrittenTrace(self, passes)
