"""Operands that are read again and again: every re-read reaches the memory, unless the on-chip filter holds it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hbmmodel as hbm
from hbmmodel.trace import RecordedTrace
from hbmmodel.trace.rewrite import gemm_tiles

M, N, K = 512, 1024, 256


@pytest.fixture
def product(tmp_path: Path) -> RecordedTrace:
    records = [
        *(["A", i, n, 0, 0] for i, n in enumerate((2 * M * K, 2 * K * N, 2 * M * N))),
        ["O", 0, 0, 0, "aten.mm.default", [
            ["r", 0, 0, "bf16", [M, K], [K, 1]], ["r", 1, 0, "bf16", [K, N], [N, 1]],
            ["w", 2, 0, "bf16", [M, N], [N, 1]]
        ]],
    ]  # fmt: skip
    path = tmp_path / "x.hbmop"
    path.write_text("\n".join(json.dumps(record) for record in ({"hbmop": 1}, *records)))
    trace = hbm.read_trace(path)
    assert isinstance(trace, RecordedTrace)
    return trace


def bytes_read(trace: RecordedTrace, l2: int | None = None) -> int:
    system = hbm.System(hbm.device("HBM4_8000"))
    read: int = hbm.simulate(system, trace, l2=l2, threads=1).summary["bytes_read"]
    return read


def test_without_a_filter_every_tile_reads_its_panels(product: RecordedTrace) -> None:
    once = 2 * (M * K + K * N)
    assert bytes_read(product) == once
    tiled = product.rewritten(gemm_tiles(128, 256))
    assert bytes_read(tiled) == 2 * (M * K * (N // 256) + K * N * (M // 128))


def test_a_filter_that_holds_everything_brings_it_back_to_once(product: RecordedTrace) -> None:
    tiled = product.rewritten(gemm_tiles(128, 256))
    assert bytes_read(tiled, l2=8 << 20) == 2 * (M * K + K * N)
    assert 2 * (M * K + K * N) <= bytes_read(tiled, l2=256 << 10) <= bytes_read(tiled)


def test_panels_of_the_first_matrix_are_walked_one_after_the_other(product: RecordedTrace) -> None:
    (operation,) = product.rewritten(gemm_tiles(128, 256)).operations()
    first, second, _ = operation.accesses
    panel = 2 * 128 * K
    assert (first.run_bytes, first.dims) == (panel, ((M // 128, panel), (N // 256, 0)))
    assert (second.run_bytes, second.dims) == (2 * K * N, ((M // 128, 0),))
