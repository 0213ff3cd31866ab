"""A trace that is made while it is read: tensors with addresses, operations on them, nothing stored.

Owns the placing of tensors, the labels of accesses, and the trace class of this room; must not know what is computed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.access import Access
from hbmmodel.trace.allocator import CachingAllocator
from hbmmodel.trace.model import Operation, Operations, OpTrace, Progress, phase_set

__all__ = ["TENSOR_CLASSES", "GeneratedTrace", "Program", "Tensor"]

TENSOR_CLASSES = ("weights", "kv", "activations", "gradients", "optimizer", "embedding")
"""Labels of accesses, in the order in which tables show them."""

GENERATORS_VERSION = 3
"""Part of the content hash: raised when the same arguments give other operations."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A piece of memory with a label.

    Examples
    --------
    >>> t = Tensor(0, 4096, 1024, "weights")
    >>> t.read().n_bytes, t.write(256, offset=512).base_address, t.read(64, dims=((4, 256),)).n_bytes
    (1024, 4608, 256)
    """

    storage: int
    address: int
    n_bytes: int
    tensor_class: str

    def _access(
        self,
        is_write: bool,
        run_bytes: int | None,
        offset: int,
        dims: tuple[tuple[int, int], ...],
        rows: NDArray[np.int64] | None,
    ) -> Access:
        run = self.n_bytes - offset if run_bytes is None else run_bytes
        return Access(is_write, self.storage, self.address + offset, run, dims, rows, self.tensor_class)

    def read(
        self,
        run_bytes: int | None = None,
        offset: int = 0,
        dims: tuple[tuple[int, int], ...] = (),
        rows: NDArray[np.int64] | None = None,
    ) -> Access:
        """Read all of it, a part, strided runs, or rows at the offsets `rows` [bytes]."""
        return self._access(False, run_bytes, offset, dims, rows)

    def write(
        self,
        run_bytes: int | None = None,
        offset: int = 0,
        dims: tuple[tuple[int, int], ...] = (),
        rows: NDArray[np.int64] | None = None,
    ) -> Access:
        """Write, by the same arguments as `read`."""
        return self._access(True, run_bytes, offset, dims, rows)


class Program:
    """One pass of a generator: gives tensors their place and numbers operations.

    Attributes
    ----------
    phase : str
        Label of the operations that follow.
    """

    def __init__(self, base: int = 0) -> None:
        self.phase = ""
        self.progress = Progress(allocator=CachingAllocator(base))
        self._n_storages = 0
        self._n_operations = 0

    def tensor(self, n_bytes: int, tensor_class: str = "activations") -> Tensor:
        """Place a tensor of at least one byte."""
        assert self.progress.allocator is not None and n_bytes >= 0
        address = self.progress.allocator.allocate(max(n_bytes, 1))
        self._n_storages += 1
        return Tensor(self._n_storages - 1, address, n_bytes, tensor_class)

    def free(self, *tensors: Tensor) -> None:
        """Give the places of tensors back."""
        assert self.progress.allocator is not None
        for tensor in tensors:
            self.progress.allocator.release(tensor.address)

    def operation(
        self, name: str, reads: Iterable[Access], writes: Iterable[Access] = (), *, after_all: bool = False
    ) -> Operation:
        """The next operation; accesses of no bytes are left out."""
        number = self._n_operations
        self._n_operations += 1
        self.progress.n_operations += 1
        if self.phase not in self.progress.phases:
            self.progress.phases.append(self.phase)
        accesses = tuple(access for access in (*reads, *writes) if access.run_bytes and access.n_runs)
        return Operation(number, number, name, self.phase, 0, 0, accesses, after_all)


class GeneratedTrace(OpTrace):
    """Operations that a generator of this room makes anew at every pass.

    Parameters
    ----------
    arguments : mapping
        What was asked for, in JSON types: the identity of the trace.
    workload : mapping
        See `OpTrace.workload`.
    make : callable
        Program -> its operations.
    """

    format = "workload"

    def __init__(
        self,
        name: str,
        arguments: Mapping[str, Any],
        workload: Mapping[str, Any],
        make: Callable[[Program], Iterator[Operation]],
        phases: frozenset[str] | None = None,
    ) -> None:
        self.name = name
        self.workload = workload
        self._arguments = arguments
        self._make = make
        self._phases = phases

    def content_hash(self) -> str:
        """SHA-256 (hex) of the arguments and of the version of the generators."""
        identity = [GENERATORS_VERSION, self._arguments, sorted(self._phases or ())]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def operations(self, all: bool = False) -> Operations:
        """Stream the operations from the start; see `OpTrace.operations`."""
        program = Program()
        return self._follow(self._selected(program, all), program.progress)

    def _selected(self, program: Program, all: bool) -> Iterator[Operation]:
        index = 0
        for made in self._make(program):
            if (self._phases is not None and made.phase not in self._phases) or not (made.accesses or all):
                continue
            yield Operation(index, made.seq, made.name, made.phase, 0, 0, made.accesses, made.after_all)
            index += 1
        if self._phases is not None and (missing := sorted(self._phases - set(program.progress.phases))):
            known = ", ".join(program.progress.phases)
            raise HbmTraceError(f"{self.name}: no operation of phase {missing[0]!r}; its phases are: {known}")

    def select(self, phase: str | Sequence[str]) -> GeneratedTrace:
        """The operations of some phases only; tensors of the rest still take their place."""
        wanted = phase_set(phase)
        if self._phases is not None and (missing := sorted(wanted - self._phases)):
            known = ", ".join(sorted(self._phases))
            raise HbmTraceError(f"{self.name}: phase {missing[0]!r} is not selected; selected are: {known}")
        return GeneratedTrace(self.name, self._arguments, self.workload or {}, self._make, wanted)
