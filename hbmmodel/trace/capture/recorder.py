"""The recorder: every operator that reaches PyTorch's dispatcher, with its operands, in order.

Owns storages and their numbers, the order of records, and the labels of phases; must not know how a capture gets on
disk (`writer`) or which argument an operator writes (`schema`). Imported only when PyTorch is there.

Storages are followed by weak references to PyTorch's own storage objects, which live exactly as long as the memory:
a number is never used again, though addresses are.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

import hbmmodel
from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.capture.schema import Plan, plan
from hbmmodel.trace.capture.writer import CaptureFile

__all__ = ["Recorder"]

INDEX_MAX = 4_000_000
"""Most values of an index tensor that are recorded; a longer one is recorded without its contents."""

LABEL_MAX = 4096

DTYPES = {
    torch.float32: "f32",
    torch.bfloat16: "bf16",
    torch.float16: "f16",
    torch.float64: "f64",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.int8: "i8",
    torch.uint8: "u8",
    torch.bool: "b1",
    torch.complex64: "c64",
}
INDEX_TYPES = (torch.int64, torch.int32)

_PARTS = Plan("", (), -1, False)

_graph_task = torch._C._current_graph_task_id


class _Storage:
    """A live storage: its number, its size when last seen, and the reference that tells its end."""

    __slots__ = ("n_bytes", "number", "reference")

    def __init__(self, number: int, n_bytes: int) -> None:
        self.number = number
        self.n_bytes = n_bytes
        self.reference: weakref.ref[Any] | None = None


class Recorder(TorchDispatchMode):
    """Context manager that records the operators of its block; see `hbmmodel.capture` for the parameters.

    Attributes
    ----------
    path : str
        The capture.
    n_operations : int
        Operations recorded so far.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        phases: bool = False,
        index: bool = True,
        device: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if metadata is not None and not isinstance(metadata, Mapping):
            raise HbmArgumentError(f"metadata are {metadata!r}; give a mapping")
        try:
            self._device = None if device is None else torch.device(device)
        except (RuntimeError, TypeError) as error:
            raise HbmArgumentError(f"device is {device!r}: {str(error).splitlines()[0]}") from None
        self.path = os.fspath(path)
        self.n_operations = 0
        self._metadata = dict(metadata or {})
        self._auto = bool(phases)
        self._index = bool(index)
        self._label: str | None = None
        self._written_label = ""
        self._in_optimizer = False
        self._plans: dict[Any, Plan | None] = {}
        self._live: dict[int, _Storage] = {}
        self._freed: deque[int] = deque()
        self._n_storages = 0
        self._n_arrays = 0
        self._origin_ns = 0
        self._lock = threading.Lock()
        self._file: CaptureFile | None = None
        self._hooks: list[Any] = []

    def phase(self, label: str | None) -> None:
        """Name the part of the run from here on; None gives the naming back to ``phases=True``."""
        if label is not None and (type(label) is not str or len(label) > LABEL_MAX):
            raise HbmArgumentError(f"label is {label!r}; give a text of at most {LABEL_MAX} characters, or None")
        self._label = label

    def __enter__(self) -> Recorder:
        if self._origin_ns:
            raise HbmArgumentError(f"{self.path}: a recorder records once; make another with hbmmodel.capture")
        about = {
            "hbmmodel": hbmmodel.__version__,
            "torch": str(torch.__version__),
            "python": sys.version.split()[0],
            "phases": "automatic" if self._auto else "given",
            "device": None if self._device is None else str(self._device),
        }
        self._file = CaptureFile(self.path, about | self._metadata)
        self._origin_ns = time.perf_counter_ns()
        if self._auto:
            self._hooks = [
                register_optimizer_step_pre_hook(self._enter_optimizer),
                register_optimizer_step_post_hook(self._leave_optimizer),
            ]
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for hook in self._hooks:
            hook.remove()
        file, self._file = self._file, None
        assert file is not None
        if kind is None and self.n_operations:
            self._drain(file)
            file.finish(self.n_operations)
            return
        file.abandon(keep=self.n_operations > 0)
        if kind is None:
            where = "" if self._device is None else f", on the device {self._device}"
            raise HbmArgumentError(f"{self.path}: no operation was recorded; call the model inside the block{where}")
        if error is not None and self.n_operations:
            error.add_note(f"hbmmodel: the {self.n_operations} operations recorded before are in {file.partial}")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Record one operator and run it."""
        kwargs = kwargs or {}
        try:
            known = self._plans[func]
        except KeyError:
            known = self._plans[func] = plan(func)
        if known is None:
            return func(*args, **kwargs)
        found: list[tuple[str, torch.Tensor, int | None, bool]] = []
        n_given = len(args)
        for position, argument in enumerate(known.arguments):
            value = args[position] if position < n_given else kwargs.get(argument.name)
            if value is None or isinstance(value, int | float | str):
                continue
            if isinstance(value, torch.Tensor):
                dim = argument.dim
                at = _dim_of(known, args, kwargs, found) if dim == "dim" else dim
                found.append((argument.role, value, at if isinstance(at, int) else None, dim is not None))
            elif isinstance(value, list | tuple):
                _flatten(value, argument.role, argument.dim, found)
        file = self._file
        if file is None:
            return func(*args, **kwargs)
        # Arguments as they are before the operator changes their shapes or contents; what `out=` becomes, behind it.
        with self._lock:
            before = [self._argument(file, known, *one) if one[0] != "w" else [] for one in found]
        start = time.perf_counter_ns()
        out = func(*args, **kwargs)
        end = time.perf_counter_ns()
        with self._lock:
            operands: list[list[Any]] = []
            for one, made in zip(found, before, strict=True):
                operands += made if one[0] != "w" else self._argument(file, known, *one)
            self._record(file, known, operands, out, start - self._origin_ns, end - start)
        return out

    def _argument(
        self, file: CaptureFile, known: Plan, role: str, tensor: torch.Tensor, dim: int | None, is_index: bool
    ) -> list[list[Any]]:
        """Operands of one tensor argument, with its contents if they decide addresses."""
        if tensor.layout is not torch.strided:
            return self._sparse(file, role, tensor)
        operand = self._operand(file, role, tensor, known)
        if operand is None:
            return []
        if is_index:
            key = self._keep(file, self._contents(tensor))
            if dim is not None:
                operand += [key, dim]
            elif key is not None:
                operand.append(key)
        return [operand]

    def _record(
        self,
        file: CaptureFile,
        known: Plan,
        operands: list[list[Any]],
        out: Any,
        time_ns: int,
        duration_ns: int,
    ) -> None:
        inputs = {operand[1] for operand in operands}
        results: list[torch.Tensor] = []
        _tensors(out, results)
        for tensor in results:
            for operand in self._argument(file, known, "w", tensor, None, False):
                if operand[1] in inputs:
                    operand[0] = "v"
                operands.append(operand)
        if not operands and self._device is not None:
            return
        label = self._current_label()
        if label != self._written_label:
            file.write(["P", label, self.n_operations])
            self._written_label = label
        file.write(["O", self.n_operations, time_ns, duration_ns, known.name, operands])
        self.n_operations += 1
        self._drain(file)

    def _operand(self, file: CaptureFile, role: str, tensor: torch.Tensor, known: Plan) -> list[Any] | None:
        device = self._device
        if device is not None and (
            tensor.device.type != device.type or device.index not in (None, tensor.device.index)
        ):
            return None
        storage = tensor.untyped_storage()
        n_bytes = storage.nbytes()
        live = self._live.get(id(storage))
        if live is None:
            live = self._appear(file, storage, n_bytes, tensor)
        elif live.n_bytes != n_bytes:
            if known.resizes:
                live.n_bytes = n_bytes
            else:  # resized behind the dispatcher's back
                file.write(["F", live.number, self.n_operations])
                live = self._appear(file, storage, n_bytes, tensor)
        dtype = tensor.dtype
        itemsize = dtype.itemsize
        return [
            role,
            live.number,
            int(tensor.storage_offset()) * itemsize,
            DTYPES.get(dtype) or str(dtype),
            [int(n) for n in tensor.shape],
            [int(n) for n in tensor.stride()],
        ]

    def _appear(self, file: CaptureFile, storage: Any, n_bytes: int, tensor: torch.Tensor) -> _Storage:
        # Storages that died since free their memory before this one takes it.
        self._drain(file)
        live = _Storage(self._n_storages, n_bytes)
        self._n_storages += 1
        key = id(storage)
        live.reference = weakref.ref(storage, functools.partial(self._gone, key, live))
        self._live[key] = live
        pointer = 0 if isinstance(tensor, FakeTensor) or tensor.is_meta else storage.data_ptr()
        file.write(["A", live.number, n_bytes, pointer, self.n_operations])
        return live

    def _gone(self, key: int, live: _Storage, _: Any) -> None:
        # Called whenever a storage dies, from any thread: note it only, the next record writes it.
        if self._live.get(key) is live:
            del self._live[key]
            self._freed.append(live.number)

    def _drain(self, file: CaptureFile) -> None:
        while self._freed:
            file.write(["F", self._freed.popleft(), self.n_operations])

    def _sparse(self, file: CaptureFile, role: str, tensor: torch.Tensor) -> list[list[Any]]:
        """The parts of a sparse tensor; of other layouts than COO nothing is known."""
        if tensor.layout is not torch.sparse_coo:
            return []
        indices, values = tensor._indices(), tensor._values()
        is_row = role != "w" and indices.shape[0] == 1
        return [
            *self._argument(file, _PARTS, role, indices, 0 if is_row else None, is_row),
            *self._argument(file, _PARTS, role, values, None, False),
        ]

    def _contents(self, tensor: torch.Tensor) -> list[int] | None:
        if not self._index or tensor.dtype not in INDEX_TYPES or tensor.layout is not torch.strided:
            return None
        if isinstance(tensor, FakeTensor) or tensor.is_meta or not 0 < tensor.numel() <= INDEX_MAX:
            return None
        values: list[int] = tensor.detach().reshape(-1).cpu().tolist()
        return values

    def _keep(self, file: CaptureFile, values: list[int] | None) -> str | None:
        if values is None:
            return None
        key = f"i{self._n_arrays}"
        self._n_arrays += 1
        file.write_index(key, values)
        return key

    def _current_label(self) -> str:
        if self._label is not None or not self._auto:
            return self._label or ""
        if self._in_optimizer:
            return "optimizer"
        return "forward" if _graph_task() == -1 else "backward"

    def _enter_optimizer(self, *_: Any) -> None:
        self._in_optimizer = True

    def _leave_optimizer(self, *_: Any) -> None:
        self._in_optimizer = False


def _flatten(
    values: Any, role: str, dim: int | str | None, found: list[tuple[str, torch.Tensor, int | None, bool]]
) -> None:
    for position, value in enumerate(values):
        if isinstance(value, torch.Tensor):
            found.append((role, value, position if dim == "list" else None, dim is not None))
        elif isinstance(value, list | tuple):
            _flatten(value, role, dim, found)


def _tensors(value: Any, found: list[torch.Tensor]) -> None:
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif isinstance(value, list | tuple):
        for one in value:
            _tensors(one, found)


def _dim_of(known: Plan, args: Any, kwargs: Any, found: list[tuple[str, torch.Tensor, int | None, bool]]) -> int | None:
    """Value of the argument ``dim``, counted from the front."""
    at = known.dim_position
    dim = args[at] if 0 <= at < len(args) else kwargs.get("dim")
    if not isinstance(dim, int) or not found:
        return None
    rank: int = found[0][1].dim()
    return int(dim) % max(rank, 1)
