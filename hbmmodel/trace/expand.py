"""What each operation of a capture moves: the rules from operands to accesses.

Owns the rules, one small function each; must not know files, addresses of storages or time. The rule of rules
is *compulsory traffic*: every byte that an operation needs moves once, whatever caches and tiles would do.
The rules are PyTorch's operator semantics (``aten/src/ATen/native/native_functions.yaml``: which argument is
mutated, which result aliases an argument). Where a capture does not record the dimension that an index
selects in, rows of dimension 0 are charged, and where indices do not fit that, the whole operand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.access import Access, collapse
from hbmmodel.trace.problem import excerpt

__all__ = [
    "ITEM_BYTES",
    "ROWS_MAX",
    "Operand",
    "Rows",
    "expand",
    "is_collective",
    "is_overwritten",
    "moves_nothing",
    "operator",
]

ITEM_BYTES = {
    **{"b1": 1, "u8": 1, "i8": 1, "bf16": 2, "f16": 2, "i32": 4, "f32": 4, "i64": 8, "f64": 8, "c64": 8},
    **{"torch.bool": 1, "torch.uint8": 1, "torch.int8": 1, "torch.float8_e4m3fn": 1, "torch.float8_e5m2": 1},
    **{"torch.float8_e4m3fnuz": 1, "torch.float8_e5m2fnuz": 1, "torch.float8_e8m0fnu": 1},
    **{"torch.float4_e2m1fn_x2": 1, "torch.int16": 2, "torch.uint16": 2, "torch.bfloat16": 2},
    **{"torch.float16": 2, "torch.int32": 4, "torch.uint32": 4, "torch.float32": 4, "torch.complex32": 4},
    **{"torch.int64": 8, "torch.uint64": 8, "torch.float64": 8, "torch.complex64": 8, "torch.complex128": 16},
}
"""Bytes per element of the dtypes that a capture may name."""

ROWS_MAX = 1 << 24
"""Most rows that one gather may list; more is refused rather than held in memory."""

# Operations that only make views, ask for metadata, or allocate without touching.
METADATA = frozenset(
    "view view_as view_as_real view_as_complex _unsafe_view _reshape_alias reshape reshape_as permute "
    "transpose transpose_ t t_ swapaxes swapaxes_ movedim expand expand_as slice select diagonal narrow "
    "unsqueeze unsqueeze_ squeeze squeeze_ detach detach_ alias as_strided as_strided_ split "
    "split_with_sizes chunk tensor_split unbind unfold lift_fresh real imag "
    "empty empty_like empty_strided empty_permuted new_empty new_empty_strided _empty_affine_quantized "
    "resize_ resize_as_ set_ size sym_size stride sym_stride sym_numel sym_storage_offset storage_offset "
    "is_same_size is_contiguous is_pinned is_nonzero is_coalesced _local_scalar_dense _indices indices "
    "_values values _nnz _coalesced_ _sparse_coo_tensor_with_dims _sparse_coo_tensor_with_dims_and_tensors "
    "sparse_dim dense_dim _has_same_storage_numel".split()
)

# Namespaces without tensor data.
SILENT_NAMESPACES = frozenset(("prim", "profiler"))

# Namespaces of operations between devices.
COLLECTIVE_NAMESPACES = frozenset(("c10d", "c10d_functional", "_c10d_functional"))

# In-place operations that write their first operand without reading it.
OVERWRITES = frozenset(
    "fill_ zero_ copy_ normal_ uniform_ random_ bernoulli_ exponential_ log_normal_ cauchy_ geometric_".split()
)
OVERWRITES_ALL = frozenset(("_foreach_zero_", "_foreach_copy_"))

# Operations that read only the indexed rows of their first operand.
GATHERS = frozenset("embedding _embedding_bag _embedding_bag_forward_only index_select index".split())
GROUPED = frozenset(("_grouped_mm", "_scaled_grouped_mm"))
INDEX_DTYPES = frozenset(("i64", "i32"))


class Operand(NamedTuple):
    """One tensor argument or result of an operation.

    `role` is ``r`` (read), ``w`` (result or ``out=``), ``m`` (mutated in place: read and written) or ``v``
    (result that aliases an argument); `offset` is in bytes, `shape` and `stride` in elements. Of an index tensor
    `key` names the recorded contents and `indices` are these, where they are at hand; `dim` is the dimension of the
    first operand that it selects in, where that is known. `rows`: only these rows of dimension 0 move. `reread`: the
    operand is walked in so many equal panels, each so many times.
    """

    role: str
    storage: int
    offset: int
    dtype: str
    shape: Sequence[int]
    stride: Sequence[int]
    key: str | None = None
    dim: int | None = None
    indices: NDArray[np.int64] | None = None
    rows: NDArray[np.int64] | None = None
    reread: tuple[int, int] = (1, 1)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return ITEM_BYTES[self.dtype]

    @property
    def numel(self) -> int:
        """Elements."""
        return math.prod(self.shape)


class Rows(Protocol):
    """Where the contents of index tensors come from."""

    def recorded(self, key: str) -> NDArray[np.int64]:
        """Recorded values of an index tensor, flat."""

    def drawn(self, storage: int, n_rows: int, count: int) -> NDArray[np.int64]:
        """`count` seeded random rows of a storage's `n_rows`, for captures without recorded values."""


class _Moved(NamedTuple):
    """Runs of one operand, relative to its storage."""

    offset: int
    run_bytes: int
    dims: tuple[tuple[int, int], ...]
    row_offsets: NDArray[np.int64] | None = None


def operator(name: str) -> tuple[str, str]:
    """(namespace, operator without overload) of ``namespace.operator.overload``.

    Examples
    --------
    >>> operator("aten.mul_.Tensor")
    ('aten', 'mul_')
    """
    namespace, _, rest = name.partition(".")
    return (namespace, rest.partition(".")[0]) if rest else ("", name)


def is_collective(name: str) -> bool:
    """Whether an operation exchanges data with other devices.

    Examples
    --------
    >>> is_collective("_c10d_functional.all_reduce.default"), is_collective("aten.mm.default")
    (True, False)
    """
    return operator(name)[0] in COLLECTIVE_NAMESPACES


def moves_nothing(name: str, operands: Sequence[Operand]) -> bool:
    """Whether an operation is metadata only: a known one, or one whose only results are views.

    Examples
    --------
    >>> moves_nothing("aten.transpose.int", []), moves_nothing("aten.view_copy.default", [])
    (True, False)
    """
    namespace, base = operator(name)
    if namespace in SILENT_NAMESPACES or (namespace == "aten" and base in METADATA) or base == "wait_tensor":
        return True
    roles = {operand.role for operand in operands}
    return "v" in roles and not roles & {"w", "m"}


def is_overwritten(base: str, position: int) -> bool:
    """Whether an operation replaces a mutated operand without reading it (``fill_``, ``copy_``, ...)."""
    return (base in OVERWRITES and position == 0) or base in OVERWRITES_ALL


def _reads_no_input(base: str) -> bool:
    """Factories shaped like an operand (``zeros_like``, ``new_zeros``) read nothing of it."""
    return base.endswith("_like") or base.startswith("new_")


def _optimizer_grads(base: str, operands: Sequence[Operand]) -> Sequence[Operand]:
    """Fused Adam marks its gradients as mutated, for unscaling the loss; without that they are only read.

    The lists come one behind the other, each as long: parameters, gradients, exp_avg, exp_avg_sq, with
    AMSGrad max_exp_avg_sq, and the step counts, which are only read.
    """
    if not base.startswith("_fused_adam"):
        return operands
    n_mutated = sum(operand.role == "m" for operand in operands)
    n_read = sum(operand.role == "r" for operand in operands)
    lists = 5 if n_mutated % 5 == 0 and n_mutated // 5 <= n_read < n_mutated // 4 else 4
    n = n_mutated // lists
    return [o._replace(role="r") if n <= i < 2 * n else o for i, o in enumerate(operands)]


def _whole(operand: Operand) -> _Moved | None:
    """All unique bytes of an operand."""
    run, dims = collapse(operand.shape, operand.stride, operand.itemsize)
    panels, times = operand.reread
    if times > 1 and run:
        if not dims and panels > 1 and run % panels == 0:
            run //= panels
            dims = ((panels, run), (times, 0))
        else:
            dims = ((times, 0), *dims)
    return _Moved(operand.offset, run, dims) if run else None


def _rows_of(operand: Operand, picks: Mapping[int, NDArray[np.int64]]) -> _Moved | None:
    """What is selected by equally long indices of some dimensions, in their order, repetitions included."""
    itemsize = operand.itemsize
    rest = [i for i in range(len(operand.shape)) if i not in picks]
    run, dims = collapse([operand.shape[i] for i in rest], [operand.stride[i] for i in rest], itemsize)
    n = len(next(iter(picks.values())))
    if n == 0 or run == 0:
        return None
    if n * math.prod(count for count, _ in dims) > ROWS_MAX:
        raise HbmTraceError(f"the gather reads more than {ROWS_MAX} runs")
    offsets = np.zeros(n, np.int64)
    for dim, rows in picks.items():
        offsets = offsets + rows * np.int64(operand.stride[dim] * itemsize)
    for count, step in dims:
        offsets = (offsets[:, None] + np.arange(count, dtype=np.int64) * step).ravel()
    return _Moved(operand.offset, run, (), np.ascontiguousarray(offsets))


def _within(rows: NDArray[np.int64], n_rows: int) -> NDArray[np.int64] | None:
    """Rows with negative indices counted from the end; None when one lies outside."""
    if len(rows) and (int(rows.min()) < -n_rows or int(rows.max()) >= n_rows):
        return None
    return np.where(rows < 0, rows + n_rows, rows)


def _contents(operand: Operand, rows: Rows) -> NDArray[np.int64] | None:
    """Recorded contents of an index tensor, flat; None where there are none."""
    if operand.indices is not None:
        return operand.indices
    return None if operand.key is None else rows.recorded(operand.key)


def _gathered(base: str, operands: Sequence[Operand], rows: Rows) -> tuple[_Moved | None, bool]:
    """Rows of the first operand that a gather reads, and whether that was decided here.

    With recorded indices these; in a capture without (fake tensors) as many random rows as there are indices.
    A mask, or indices that do not fit, leave the operand to be charged as a whole.
    """
    table = operands[0]
    given = [operand for operand in operands[1:] if operand.key is not None or operand.indices is not None]
    if not given:
        index = next((o for o in operands[1:] if o.dtype in INDEX_DTYPES and o.role == "r"), None)
        if index is None:
            return None, False
        dim = index.dim or 0
        if dim >= len(table.shape) or table.shape[dim] == 0:
            return None, False
        if index.numel > ROWS_MAX:
            raise HbmTraceError(f"the gather reads {index.numel} rows; at most {ROWS_MAX} can be listed")
        return _rows_of(table, {dim: rows.drawn(table.storage, table.shape[dim], index.numel)}), True
    picks: dict[int, NDArray[np.int64]] = {}
    for operand in given:
        dim = operand.dim or 0
        values = _contents(operand, rows)
        assert values is not None
        if dim >= len(table.shape):
            return None, False
        found = _within(values, table.shape[dim])
        if found is None:
            if base.startswith(("embedding", "_embedding")):
                key = excerpt(operand.key)
                raise HbmTraceError(f"index array {key} holds a row outside 0..{table.shape[dim] - 1}")
            return None, False
        picks[dim] = found
        if operand.dim is None:
            break  # which dimensions the others select in was not recorded
    if len({len(found) for found in picks.values()}) > 1:
        return None, False
    return _rows_of(table, picks), True


def _grouped(operands: Sequence[Operand], rows: Rows) -> tuple[_Moved | None, bool]:
    """Experts (dimension 0 of the second operand) that a grouped GEMM reads: those that got tokens.

    The recorded index tensor holds the cumulated token counts of the experts.
    """
    experts = operands[1]
    index = next((operand for operand in operands if operand.key is not None or operand.indices is not None), None)
    if index is None:
        return None, False
    ends = _contents(index, rows)
    assert ends is not None
    busy = np.flatnonzero(np.diff(ends, prepend=np.int64(0)) > 0)
    if len(ends) > experts.shape[0]:
        key = excerpt(index.key)
        raise HbmTraceError(f"index array {key} has {len(ends)} groups for {experts.shape[0]} experts")
    return _rows_of(experts, {0: busy.astype(np.int64)}), True


def _sparse_update(operands: Sequence[Operand], operand: Operand, rows: Rows) -> tuple[_Moved | None, bool]:
    """Rows of an operand that is updated in place from (indices, values), such as a sparse gradient."""
    inputs = [o for o in operands if o.role in "rm"]
    if len(inputs) < 3 or inputs[1].dtype != "i64" or not inputs[1].shape or not inputs[2].shape:
        return None, False
    values = _contents(inputs[1], rows)
    dim = inputs[1].dim or 0
    if values is None or dim >= len(operand.shape):
        return None, False
    found = _within(values, operand.shape[dim])
    if found is None:
        return None, False
    return _rows_of(operand, {dim: found}), True


def _is_sparse_updater(base: str) -> bool:
    return base in ("add_", "sub_") or base.startswith(("index_add", "index_put"))


def _moved(base: str, position: int, operands: Sequence[Operand], rows: Rows) -> _Moved | None:
    """What of one operand moves."""
    operand = operands[position]
    decided = False
    moved: _Moved | None = None
    if operand.rows is not None:
        return _rows_of(operand, {0: operand.rows})
    if operand.role in "rm" and position == 0 and base in GATHERS and len(operand.shape) >= 2:
        moved, decided = _gathered(base, operands, rows)
    elif base in GROUPED and position == 1 and len(operand.shape) == 3:
        moved, decided = _grouped(operands, rows)
    elif operand.role == "m" and _is_sparse_updater(base):
        moved, decided = _sparse_update(operands, operand, rows)
    return moved if decided else _whole(operand)


def expand(name: str, operands: Sequence[Operand], rows: Rows, address_of: Callable[[int], int]) -> tuple[Access, ...]:
    """Accesses of one operation: reads first, then writes, each in order of the operands.

    Parameters
    ----------
    name : str
        ``namespace.operator.overload``.
    operands : sequence of Operand
        Arguments, then results.
    rows : Rows
        Contents of index tensors.
    address_of : callable
        Storage number -> its address [bytes].

    Raises
    ------
    HbmTraceError
        An operand cannot be walked (see `collapse`), or an index lies outside.

    Notes
    -----
    An operand that is passed twice moves once.

    Examples
    --------
    >>> operands = [Operand("r", 0, 0, "bf16", [4, 8], [8, 1]), Operand("w", 1, 0, "bf16", [4, 8], [8, 1])]
    >>> accesses = expand("aten.relu.default", operands, None, {0: 0, 1: 512}.get)
    >>> [(a.is_write, a.base_address, a.n_bytes) for a in accesses]
    [(False, 0, 64), (True, 512, 64)]
    """
    if moves_nothing(name, operands):
        return ()
    namespace, base = operator(name)
    if namespace != "aten":
        base = ""
    operands = _optimizer_grads(base, operands)
    reads: list[Access] = []
    writes: list[Access] = []
    seen: set[tuple[object, ...]] = set()
    for position, operand in enumerate(operands):
        role = operand.role
        if role == "v":
            continue
        does_read = role == "r" or (role == "m" and not is_overwritten(base, position))
        does_read = does_read and not _reads_no_input(base)
        does_write = role in "wm"
        which = None if operand.rows is None else id(operand.rows)
        key = (operand.storage, operand.offset, operand.itemsize, tuple(operand.shape), tuple(operand.stride), which)
        does_read = does_read and ("r", key) not in seen
        does_write = does_write and ("w", key) not in seen
        if not (does_read or does_write):
            continue
        moved = _moved(base, position, operands, rows)
        if moved is None:
            continue
        address = address_of(operand.storage) + moved.offset
        if does_read:
            seen.add(("r", key))
            reads.append(Access(False, operand.storage, address, moved.run_bytes, moved.dims, moved.row_offsets))
        if does_write:
            seen.add(("w", key))
            writes.append(Access(True, operand.storage, address, moved.run_bytes, moved.dims, moved.row_offsets))
    return (*reads, *writes)
