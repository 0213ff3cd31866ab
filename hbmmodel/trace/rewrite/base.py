"""What a rewrite pass is, and the trace that passes make of another.

Owns `Pass` and `RewrittenTrace`; must not know any single pass.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from hbmmodel.checks import check_whole
from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace.expand import Operand
from hbmmodel.trace.index import IndexArrays
from hbmmodel.trace.records import Alloc, Free, OpRecord, PhaseMark, Record, RecordedTrace
from hbmmodel.trace.rewrite.spool import Spool

__all__ = [
    "Pass",
    "RewrittenTrace",
    "Storages",
    "check_choice",
    "check_count",
    "numbered",
    "produced",
    "refuse",
    "renamed",
]


@dataclass(frozen=True)
class Pass(abc.ABC):
    """A change of the records of a trace, made while they stream.

    A pass may read the trace as often as it needs, and holds numbers per operation and storage only.

    Attributes
    ----------
    pass_name : str
        What the pass is called.
    """

    pass_name: ClassVar[str]

    def __str__(self) -> str:
        """The pass with its parameters, as the result of a run names it."""
        given = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        return f"{self.pass_name}({given})"

    @abc.abstractmethod
    def apply(self, trace: RecordedTrace) -> Iterator[Record]:
        """Records of `trace` after the pass.

        Raises
        ------
        HbmTraceError
            The trace does not hold what the pass rewrites.
        """


class RewrittenTrace(RecordedTrace):
    """A trace after some passes; replayed with the source's options."""

    def __init__(
        self, source: RecordedTrace, passes: Sequence[Pass], phases: frozenset[str] | None = None
    ) -> None:
        for item in passes:
            if not isinstance(item, Pass):
                raise HbmArgumentError(f"{item!r} is no rewrite pass; hbmmodel.trace.rewrite has them")
        chosen = source._phases if phases is None else phases
        super().__init__(source.name, chosen, source.base, source.seed, source.pages)
        self.format = source.format
        self.unit = source.unit
        self._source = source
        self._passes = tuple(passes)

    @property
    def rewrites(self) -> tuple[str, ...]:
        """Those of the source, then these."""
        return (*self._source.rewrites, *map(str, self._passes))

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the source."""
        return self._source.notes

    @property
    def metadata(self) -> dict[str, Any]:
        """What the source says of the run."""
        return dict(getattr(self._source, "metadata", {}))

    def content_hash(self) -> str:
        """SHA-256 (hex) of the source; what was done to it is in `rewrites`."""
        return self._source.content_hash()

    def index_arrays(self) -> IndexArrays:
        """Those of the source."""
        return self._source.index_arrays()

    def records(self) -> Iterator[Record]:
        """Records behind the last pass."""
        if not self._passes:
            return self._source.records()
        return self._passes[-1].apply(_Reread(self._source, self._passes[:-1]))

    def _narrowed(self, phases: frozenset[str]) -> RecordedTrace:
        return RewrittenTrace(self._source, self._passes, phases)


class _Reread(RewrittenTrace):
    """What one pass reads several times: kept from the first time on.

    Without, every pass would make the ones before it work as often as it reads.
    """

    def __init__(self, source: RecordedTrace, passes: Sequence[Pass]) -> None:
        super().__init__(source, passes)
        self._kept: Spool | None = None

    def records(self) -> Iterator[Record]:
        return self._collected() if self._kept is None else iter(self._kept)

    def _collected(self) -> Iterator[Record]:
        kept = Spool()
        for record in super().records():
            kept.add(record)
            yield record
        self._kept = kept


def renamed(record: Record, names: dict[int, int]) -> Record:
    """A record with other storages."""
    if isinstance(record, PhaseMark):
        return record
    if isinstance(record, OpRecord):
        operands = tuple(o._replace(storage=names.get(o.storage, o.storage)) for o in record.operands)
        return record._replace(operands=operands)
    if isinstance(record, Free):
        return record._replace(storage=names.get(record.storage, record.storage))
    return record._replace(storage=names.get(record.storage, record.storage))


class Storages:
    """New numbers for storages, above all that a trace uses."""

    def __init__(self, trace: RecordedTrace) -> None:
        self._next = 1 + max((r.storage for r in trace.records() if isinstance(r, Alloc)), default=-1)

    def new(self) -> int:
        """The next unused number."""
        self._next += 1
        return self._next - 1


def numbered(trace: RecordedTrace) -> Iterator[tuple[int, str, OpRecord]]:
    """Operations of a trace with their numbers from 0 and their phases."""
    phase = ""
    number = 0
    for record in trace.records():
        if isinstance(record, PhaseMark):
            phase = record.label
        elif isinstance(record, OpRecord):
            yield number, phase, record
            number += 1


def produced(trace: RecordedTrace) -> set[int]:
    """Storages that some operation writes as its result; weights, caches and inputs are not among them."""
    return {o.storage for _, _, record in numbered(trace) for o in record.operands if o.role == "w"}


def contiguous(shape: Sequence[int]) -> list[int]:
    """Strides of a dense tensor, last dimension fastest.

    Examples
    --------
    >>> contiguous([2, 3, 4])
    [12, 4, 1]
    """
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return strides[::-1]


def tensor(role: str, storage: int, dtype: str, shape: Sequence[int], offset: int = 0) -> Operand:
    """A dense operand."""
    return Operand(role, storage, offset, dtype, list(shape), contiguous(shape))


def refuse(trace: RecordedTrace, item: Pass, what: str, remedy: str) -> HbmTraceError:
    """The error of a pass that finds nothing, or cannot do what it should."""
    return HbmTraceError(f"{trace.name}: rewrite {item}: {what}; {remedy}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """HbmArgumentError unless `value` is one of `choices`."""
    if value not in choices:
        raise HbmArgumentError(f"rewrite: {name} is {value!r}; choose one of {', '.join(choices)}")


def check_count(name: str, value: object, low: int, high: int) -> None:
    """HbmArgumentError unless `value` is a whole number in low..high."""
    check_whole(f"rewrite: {name}", value, low, high)
