"""Which bytes each kind of operation moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.access import Access
from hbmmodel.trace.expand import Operand, expand, moves_nothing
from hbmmodel.trace.index import random_rows


class FixedRows:
    """Recorded arrays by key; draws rows 0, 1, 2, ... and counts the draws."""

    def __init__(self, **arrays: Sequence[int]) -> None:
        self.arrays = arrays
        self.drawn_from: list[tuple[int, int, int]] = []

    def recorded(self, key: str) -> NDArray[np.int64]:
        return np.array(self.arrays[key], np.int64).ravel()

    def drawn(self, storage: int, n_rows: int, count: int) -> NDArray[np.int64]:
        self.drawn_from.append((storage, n_rows, count))
        return np.arange(count, dtype=np.int64) % n_rows


def dense(role: str, storage: int, *shape: int, dtype: str = "f32", key: str | None = None) -> Operand:
    stride = [int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]
    return Operand(role, storage, 0, dtype, list(shape), stride, key)


def moved(name: str, *operands: Operand, rows: FixedRows | None = None) -> list[tuple[str, int, int]]:
    """(direction, storage, bytes) of every access; storage n lies at n * 2^20."""
    accesses = expand(name, operands, rows or FixedRows(), lambda storage: storage << 20)
    return [("W" if a.is_write else "R", a.storage, a.n_bytes) for a in accesses]


def rows_of(access: Access) -> list[int]:
    assert access.row_offsets is not None
    return access.row_offsets.tolist()


@pytest.mark.parametrize(
    "name",
    [
        "aten.view.default",
        "aten._unsafe_view.default",
        "aten.transpose.int",
        "aten.t.default",
        "aten.slice.Tensor",
        "aten.expand.default",
        "aten.detach.default",
        "aten.empty_like.default",
        "aten.new_empty_strided.default",
        "aten.split.Tensor",
        "aten._local_scalar_dense.default",
        "prim.device.default",
        "profiler._record_function_enter_new.default",
    ],
)
def test_metadata_operations_move_nothing(name: str) -> None:
    assert moved(name, dense("r", 0, 4), dense("w", 1, 4)) == []


@pytest.mark.parametrize(
    "name", ["aten.view_copy.default", "aten.slice_backward.default", "aten.slice_scatter.default",
             "aten.expand_copy.default", "aten.unfold_backward.default", "aten.isnan.default",
             "aten.split_with_sizes_copy.default", "aten.select_backward.default"]
)  # fmt: skip
def test_operations_that_only_sound_like_metadata_do_move(name: str) -> None:
    assert moved(name, dense("r", 0, 4), dense("w", 1, 4)) == [("R", 0, 16), ("W", 1, 16)]


def test_an_unknown_operation_whose_results_are_views_moves_nothing() -> None:
    assert moves_nothing("aten.some_new_view.default", [dense("r", 0, 4), dense("v", 0, 4)])
    assert not moves_nothing("aten.add_.Tensor", [dense("m", 0, 4), dense("r", 1, 4), dense("v", 0, 4)])


def test_reads_come_before_writes_in_order_of_the_operands() -> None:
    found = moved("aten.addmm.default", dense("r", 0, 8), dense("r", 1, 4, 2), dense("r", 2, 2, 8), dense("w", 3, 4, 8))
    assert found == [("R", 0, 32), ("R", 1, 32), ("R", 2, 64), ("W", 3, 128)]
    mixed = moved("aten._fused_x.default", dense("m", 0, 8), dense("w", 1, 8), dense("r", 2, 8))
    assert mixed == [("R", 0, 32), ("R", 2, 32), ("W", 0, 32), ("W", 1, 32)]


def test_the_address_is_the_storage_plus_the_offset() -> None:
    operand = Operand("r", 2, 640, "bf16", [4, 8], [16, 1])
    (access,) = expand("aten.sum.default", [operand], FixedRows(), lambda storage: storage << 20)
    assert (access.base_address, access.run_bytes, access.dims) == ((2 << 20) + 640, 16, ((4, 32),))


def test_an_operand_passed_twice_moves_once() -> None:
    x = dense("r", 0, 8)
    assert moved("aten.mul.Tensor", x, x, dense("w", 1, 8)) == [("R", 0, 32), ("W", 1, 32)]
    # Also when it is the one that is updated in place.
    assert moved("aten.mul_.Tensor", dense("m", 0, 8), x, dense("v", 0, 8)) == [("R", 0, 32), ("W", 0, 32)]
    # Another part of the same storage is another operand.
    assert moved("aten.mul.Tensor", x, x._replace(offset=32)) == [("R", 0, 32), ("R", 0, 32)]


@pytest.mark.parametrize("name", ["aten.zeros_like.default", "aten.new_zeros.default", "aten.ones_like.default"])
def test_factories_do_not_read_their_model(name: str) -> None:
    assert moved(name, dense("r", 0, 8), dense("w", 1, 8)) == [("W", 1, 32)]


def test_overwriting_operations_do_not_read_their_target() -> None:
    assert moved("aten.fill_.Scalar", dense("m", 0, 8), dense("v", 0, 8)) == [("W", 0, 32)]
    assert moved("aten.copy_.default", dense("m", 0, 8), dense("r", 1, 8)) == [("R", 1, 32), ("W", 0, 32)]
    found = moved("aten._foreach_copy_.default", dense("m", 0, 8), dense("m", 1, 8), dense("r", 2, 8))
    assert found == [("R", 2, 32), ("W", 0, 32), ("W", 1, 32)]
    assert moved("aten.add_.Tensor", dense("m", 0, 8)) == [("R", 0, 32), ("W", 0, 32)]


def test_an_embedding_reads_the_recorded_rows() -> None:
    operands = [dense("r", 0, 100, 8), dense("r", 1, 3, dtype="i64", key="i0"), dense("w", 2, 3, 8)]
    table, index, result = expand("aten.embedding.default", operands, FixedRows(i0=[7, 2, 7]), lambda s: s << 20)
    assert (table.run_bytes, rows_of(table), table.n_bytes) == (32, [7 * 32, 2 * 32, 7 * 32], 96)
    assert (index.n_bytes, result.n_bytes, result.is_write) == (24, 96, True)


def test_negative_indices_count_from_the_end() -> None:
    operands = [dense("r", 0, 10, 4), dense("r", 1, 2, dtype="i64", key="i0")]
    (table, _) = expand("aten.index.Tensor", operands, FixedRows(i0=[-1, 0]), lambda s: 0)
    assert rows_of(table) == [9 * 16, 0]


def test_rows_of_a_strided_table_are_its_own() -> None:
    table = Operand("r", 0, 8, "f32", [10, 2, 3], [100, 10, 1])
    index = dense("r", 1, 1, dtype="i64", key="i0")
    (rows, _) = expand("aten.index_select.default", [table, index], FixedRows(i0=[4]), lambda s: 0)
    assert (rows.base_address, rows.run_bytes, rows_of(rows)) == (8, 12, [1600, 1640])


def test_a_row_outside_the_table_is_an_error_of_an_embedding() -> None:
    operands = [dense("r", 0, 10, 4), dense("r", 1, 1, dtype="i64", key="i0")]
    with pytest.raises(HbmTraceError, match=r"'i0' holds a row outside 0\.\.9"):
        expand("aten.embedding.default", operands, FixedRows(i0=[10]), lambda s: 0)


def test_indices_of_another_dimension_charge_the_whole_operand() -> None:
    operands = [dense("r", 0, 2, 50), dense("r", 1, 1, dtype="i64", key="i0")]
    assert moved("aten.index.Tensor", *operands, rows=FixedRows(i0=[30])) == [("R", 0, 400), ("R", 1, 8)]


def test_a_mask_charges_the_whole_operand() -> None:
    assert moved("aten.index.Tensor", dense("r", 0, 4, 8), dense("r", 1, 4, dtype="b1")) == [
        ("R", 0, 128),
        ("R", 1, 4),
    ]


def test_without_recorded_indices_rows_are_drawn_and_counted() -> None:
    rows = FixedRows()
    operands = [dense("r", 5, 1000, 8), dense("r", 1, 2, 3, dtype="i64"), dense("w", 2, 2, 3, 8)]
    assert moved("aten.embedding.default", *operands, rows=rows)[0] == ("R", 5, 6 * 32)
    assert rows.drawn_from == [(5, 1000, 6)]


def test_a_gather_of_too_many_rows_is_refused_before_they_are_listed() -> None:
    operands = [dense("r", 5, 1000, 8), Operand("r", 1, 0, "i64", [10**12], [1])]
    with pytest.raises(HbmTraceError, match="1000000000000 rows"):
        expand("aten.embedding.default", operands, FixedRows(), lambda s: 0)


def test_a_grouped_gemm_reads_the_experts_that_got_tokens() -> None:
    operands = [
        dense("r", 0, 16, 8),
        dense("r", 1, 4, 8, 8),
        dense("r", 2, 4, dtype="i32", key="i0"),
        dense("w", 3, 16, 8),
    ]
    accesses = expand("aten._grouped_mm.default", operands, FixedRows(i0=[5, 5, 16, 16]), lambda s: 0)
    assert rows_of(accesses[1]) == [0, 2 * 256]
    assert accesses[1].n_bytes == 512
    with pytest.raises(HbmTraceError, match="5 groups for 4 experts"):
        expand("aten._grouped_mm.default", operands, FixedRows(i0=[1, 2, 3, 4, 5]), lambda s: 0)


def test_a_sparse_update_moves_only_its_rows_both_ways() -> None:
    operands = [
        dense("m", 0, 1000, 16),
        dense("r", 1, 1, 3, dtype="i64", key="i0"),
        dense("r", 2, 3, 16),
        dense("v", 0, 1000, 16),
    ]
    found = moved("aten.add_.Tensor", *operands, rows=FixedRows(i0=[9, 9, 1]))
    assert found == [("R", 0, 192), ("R", 1, 24), ("R", 2, 192), ("W", 0, 192)]
    without = [operands[0], operands[1]._replace(key=None), *operands[2:]]
    assert moved("aten.add_.Tensor", *without)[0] == ("R", 0, 64000)


def adam(n: int, *lists: str) -> list[Operand]:
    return [dense(role, 10 * k + i, 8) for k, role in enumerate(lists) for i in range(n)]


def test_fused_adam_reads_four_arrays_and_writes_three() -> None:
    found = moved("aten._fused_adamw_.default", *adam(3, "m", "m", "m", "m", "r"))
    assert sum(n for rw, storage, n in found if rw == "R" and storage < 40) == 4 * 3 * 32
    assert sum(n for rw, _, n in found if rw == "W") == 3 * 3 * 32
    assert not any(rw == "W" and 10 <= storage < 20 for rw, storage, _ in found)


def test_fused_adam_with_amsgrad_writes_four_arrays() -> None:
    found = moved("aten._fused_adam_.default", *adam(4, "m", "m", "m", "m", "m", "r"))
    assert sum(n for rw, _, n in found if rw == "W") == 4 * 4 * 32


def test_other_namespaces_follow_the_roles_alone() -> None:
    operands = (dense("r", 0, 10, 4), dense("r", 1, 1, dtype="i64"), dense("w", 2, 1, 4))
    assert moved("vllm.embedding.default", *operands) == [("R", 0, 160), ("R", 1, 8), ("W", 2, 16)]


def test_empty_operands_move_nothing() -> None:
    assert moved("aten.cat.default", dense("r", 0, 0), dense("r", 1, 4), dense("w", 2, 4)) == [
        ("R", 1, 16),
        ("W", 2, 16),
    ]


def test_random_rows_are_splitmix64() -> None:
    # First outputs of SplitMix64 from state 0, as its authors publish them (prng.di.unimi.it/splitmix64.c).
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert random_rows(0, 0, 0, 2**62, 3).tolist() == [value % 2**62 for value in expected]


def test_random_rows_depend_on_seed_storage_and_operation_and_stay_inside() -> None:
    drawn = {key: tuple(random_rows(*key, 1000, 50).tolist()) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert len(set(drawn.values())) == 4
    assert all(0 <= row < 1000 for rows in drawn.values() for row in rows)
    assert random_rows(-1, 3, 2**63 - 1, 7, 5).tolist() == random_rows(-1, 3, 2**63 - 1, 7, 5).tolist()
