"""Programs side by side: several traces of operations that share a memory, each a class of traffic of its own.

Owns where each program's addresses lie and which of them are repeated; must not know how a memory shares itself out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hbmmodel.errors import HbmArgumentError
from hbmmodel.quotas import CLASSES_MAX, check_class_name
from hbmmodel.trace.model import Operation, Operations, OpTrace, Progress

__all__ = ["Program", "Programs", "side_by_side"]

#: Programs begin at multiples of this [bytes], the page of a GPU's memory, so that their own layout stays what it is.
ALIGNMENT_BYTES = 2 << 20


@dataclass(frozen=True, eq=False)
class Program:
    """One of several programs.

    Attributes
    ----------
    name : str
        Its class of traffic.
    trace : OpTrace
        What it does.
    background : bool
        Whether it is repeated until the others have ended.
    """

    name: str
    trace: OpTrace
    background: bool


class Programs(OpTrace):
    """Several programs that share a memory; see `side_by_side`.

    Attributes
    ----------
    programs : tuple of Program
        In order of their classes.
    """

    format = "side by side"

    def __init__(self, programs: Sequence[Program]) -> None:
        self.programs = tuple(programs)
        self.name = " | ".join(f"{p.name}: {p.trace.name}{' (background)' * p.background}" for p in self.programs)
        self._shifts: list[int] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of traffic."""
        return tuple(program.name for program in self.programs)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed when the programs were read."""
        return tuple(f"{p.name}: {note}" for p in self.programs for note in p.trace.notes)

    @property
    def rewrites(self) -> tuple[str, ...]:
        """Passes that changed a program before it was placed."""
        return tuple(f"{p.name}: {item}" for p in self.programs for item in p.trace.rewrites)

    @property
    def random_gathers(self) -> int:
        """Gathers of the latest pass over each program whose rows were drawn at random."""
        return sum(program.trace.random_gathers for program in self.programs)

    def content_hash(self) -> str:
        """SHA-256 (hex) of the programs and of how they stand side by side."""
        said = repr([(p.name, p.trace.content_hash(), p.background) for p in self.programs])
        return hashlib.sha256(said.encode()).hexdigest()

    def shifts_bytes(self) -> list[int]:
        """What is added to the addresses of every program; the first pass over each finds it [bytes]."""
        if self._shifts is None:
            shifts: list[int] = []
            end = 0
            for program in self.programs:
                low, high = _span(program.trace)
                shift = 0 if not shifts else end - low // ALIGNMENT_BYTES * ALIGNMENT_BYTES
                shifts.append(shift)
                end = -(-(high + shift) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
            self._shifts = shifts
        return self._shifts

    def placed(self, number: int) -> Iterator[Operation]:
        """One pass over the operations of a program, where they lie beside the others."""
        shift = self.shifts_bytes()[number]
        for operation in self.programs[number].trace.operations():
            yield _moved(operation, shift)

    def operations(self, all: bool = False) -> Operations:
        """The operations of every program once, one program after the other."""
        progress = Progress()

        def chained() -> Iterator[Operation]:
            for number, program in enumerate(self.programs):
                shift = self.shifts_bytes()[number]
                stream = program.trace.operations(all)
                for operation in stream:
                    yield _moved(operation, shift)
                progress.n_operations += stream.progress.n_operations
                progress.n_random_gathers += stream.progress.n_random_gathers
                progress.phases += [phase for phase in stream.progress.phases if phase not in progress.phases]

        return self._follow(chained(), progress)

    def select(self, phase: str | Sequence[str]) -> OpTrace:
        """Refused: phases belong to one program."""
        raise HbmArgumentError(
            f"{self.name}: phase {phase!r} selects operations of one program; select before putting them side by side"
        )


def side_by_side(programs: Mapping[str, OpTrace], *, background: str | Sequence[str] = ()) -> Programs:
    """Programs that run at the same time and share a memory, each a closed loop of its own.

    Each is a class of traffic of its own, which a quota of the controller may speak of. The first lies where it says;
    every other one is moved behind the one before it, by a multiple of 2 MiB.

    Parameters
    ----------
    programs : mapping of str to OpTrace
        Names of the classes, and traces of operations; at most 8.
    background : str or sequence of str
        Programs that are repeated until all others have ended, so that contention lasts as long as what is measured.
        Operations that have begun by then are finished.

    Returns
    -------
    Programs
        To be given to `simulate`, in mode ``closed``.

    Raises
    ------
    HbmArgumentError
        There are none or too many programs, one is no trace of operations, or all are in the background.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> from hbmmodel.trace import Access, Operation
    >>> def trace(name, write):
    ...     return hbm.Trace.from_operations([Operation(0, 0, name, "", 0, 0, (Access(write, 0, 0, 1 << 16),))])
    >>> both = hbm.side_by_side({"decode": trace("read", False), "copy": trace("write", True)}, background="copy")
    >>> both.classes, both.shifts_bytes()
    (('decode', 'copy'), [0, 2097152])
    >>> controller = hbm.Controller(quotas={"decode": hbm.Quota(priority=1), "copy": hbm.Quota(cap_share=0.2)})
    >>> result = hbm.simulate(hbm.System(hbm.device("HBM4_8000"), controller=controller), both)
    >>> [(row["traffic_class"], row["read_latency_ns_p99"]) for row in result.traffic_classes.rows()]
    [('decode', 67.375), ('copy', 0.0)]
    """
    given: object = programs
    if not isinstance(given, Mapping):
        raise HbmArgumentError(f"side_by_side takes traces by the names of their classes, not {str(given)[:80]!r}")
    if not 1 <= len(given) <= CLASSES_MAX:
        raise HbmArgumentError(f"side_by_side takes 1 to {CLASSES_MAX} traces, not {len(given)}")
    behind = {background} if isinstance(background, str) else set(background)
    made = []
    for name, trace in given.items():
        check_class_name(name)
        if not isinstance(trace, OpTrace) or isinstance(trace, Programs):
            raise HbmArgumentError(
                f"{name} is {getattr(trace, 'name', None) or str(trace)[:80]}; only traces of operations run side by "
                "side: captures, or what hbmmodel.workload makes"
            )
        made.append(Program(name, trace, name in behind))
    if unknown := sorted(map(str, behind - set(given))):
        raise HbmArgumentError(f"background names {unknown[0][:80]!r}; the programs are {', '.join(given)}")
    if all(program.background for program in made):
        raise HbmArgumentError("all programs are in the background; at least one must end by itself")
    return Programs(made)


def _span(trace: OpTrace) -> tuple[int, int]:
    """Lowest address of a trace, and one past the highest."""
    lowest, highest = 0, 0
    for number, access in enumerate(a for operation in trace.operations() for a in operation.accesses):
        low, high = access.span
        lowest, highest = (low if number == 0 else min(lowest, low)), max(highest, high)
    return lowest, highest


def _moved(operation: Operation, shift: int) -> Operation:
    """The operation at other addresses."""
    if shift == 0:
        return operation
    accesses = tuple(
        replace(
            access,
            base_address=access.base_address + shift,
            unmapped=None if access.unmapped is None else (access.unmapped[0] + shift, access.unmapped[1] + shift),
        )
        for access in operation.accesses
    )
    return replace(operation, accesses=accesses)
