"""Real captures move the bytes that were measured when they were recorded, and that arithmetic demands.

The numbers were established once, independently of this code, when the captures were recorded (2026-11): totals
per phase by another program, weights, KV cache and optimizer by closed formulas of the models' dimensions.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import hbmmodel
from hbmmodel.trace import OpTrace, count_transactions, read_trace
from hbmmodel.trace.hbmop import HbmopTrace

DATA = Path(__file__).parent / "data"
SHIPPED = Path(hbmmodel.__file__).parent / "data" / "captures"
DECODE = SHIPPED / "llama31_8b_decode_b1_ctx8192.hbmop.jsonl.gz"
LLAMA = SHIPPED / "llama_tiny_b1_p128_d8.hbmop.jsonl.gz"
GPT2 = DATA / "gpt2_tiny_train_b4_s128.hbmop.jsonl.gz"
DLRM = DATA / "dlrm_tiny_train_b256.hbmop.jsonl.gz"
TRAIN = DATA / "llama31_8b_train_b1_s4096.hbmop.jsonl.gz"


def capture(path: Path) -> HbmopTrace:
    trace = read_trace(path)
    assert isinstance(trace, HbmopTrace)
    return trace


def phases(path: Path) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for operation in capture(path).operations():
        read, written = found.get(operation.phase, (0, 0))
        found[operation.phase] = (read + operation.bytes_read, written + operation.bytes_written)
    return found


EXPECTED = {
    DECODE: {"decode": (17_171_329_312, 1_085_254_160)},
    GPT2: {
        "forward": (174_413_388, 131_820_141),
        "backward": (371_948_552, 200_726_532),
        "optimizer": (255_467_728, 170_311_888),
    },
    DLRM: {
        "forward": (8_723_668, 2_549_764),
        "backward": (12_424_772, 14_055_688),
        "optimizer": (11_018_760, 5_427_460),
    },
    TRAIN: {
        "forward": (80_863_343_025, 54_109_147_313),
        "backward": (170_931_167_240, 103_727_833_092),
        "optimizer": (64_242_092_312, 80_302_614_808),
    },
    LLAMA: {
        "prefill": (24_541_280, 11_395_136),
        **{f"sample{i}": (16_384, 8) for i in range(8)},
        **{f"decode{i}": (10_602_792 + 2048 * i, 236_416 + 1024 * i) for i in range(8)},
    },
}


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.name.split(".")[0])
def test_bytes_of_every_phase(path: Path) -> None:
    assert phases(path) == EXPECTED[path]


@pytest.mark.parametrize(
    ("path", "operations", "peak", "reserved"),
    [
        (DECODE, 3905, 17_134_661_632, 17_291_018_240),
        (GPT2, 1018, 133_038_080, 171_966_464),
        (DLRM, 181, 48_885_248, 50_331_648),
        (TRAIN, 8569, 64_242_272_768, 70_734_839_808),
        (LLAMA, 3012, 14_637_056, 29_360_128),
    ],
    ids=lambda value: value.name.split(".")[0] if isinstance(value, Path) else "",
)
def test_allocator_peaks(path: Path, operations: int, peak: int, reserved: int) -> None:
    stream = capture(path).operations()
    for _ in stream:
        pass
    assert stream.progress.allocator is not None
    assert stream.progress.n_operations == operations
    assert stream.progress.allocator.peak_bytes == peak
    assert stream.progress.allocator.reserved_bytes == reserved


def weights_and_attention(path: Path, phase: str) -> tuple[int, int]:
    """Bytes read of storages that nothing ever writes, and bytes that attention reads."""
    written = {a.storage for op in capture(path).operations() for a in op.accesses if a.is_write}
    copies = ("aten.cat", "aten._scaled", "aten.clone", "aten.copy")
    weights = attention = 0
    for operation in capture(path).select(phase).operations():
        for access in operation.accesses:
            if access.is_write:
                continue
            if access.storage not in written and not operation.name.startswith(copies):
                weights += access.n_bytes
            if "scaled_dot" in operation.name:
                attention += access.n_bytes
    return weights, attention


def test_a_decode_step_of_llama_8b_reads_its_weights_and_its_kv_cache_once() -> None:
    weights, attention = weights_and_attention(DECODE, "decode")
    assert (weights, attention) == (15_009_857_808, 1_074_135_040)
    hidden, layers, ffn, vocab, heads, kv_heads, head = 4096, 32, 14336, 128256, 32, 8, 128
    per_layer = hidden * head * (heads + 2 * kv_heads) + heads * head * hidden + 3 * hidden * ffn + 2 * hidden
    formula = 2 * (layers * per_layer + hidden + vocab * hidden + hidden)
    # The rest: token and position, 8 B each, and RoPE's inverse frequencies, 64 floats.
    assert weights - formula == 8 + 8 + 256
    kv = 2 * layers * kv_heads * head * 2 * (8192 + 1)
    query = 2 * layers * heads * head
    assert attention == kv + query


def test_a_decode_step_of_the_tiny_llama_does_too() -> None:
    weights, attention = weights_and_attention(LLAMA, "decode0")
    assert (weights, attention) == (10_228_768, 134_144)


def test_a_fused_optimizer_step_reads_four_states_and_writes_three() -> None:
    """bf16 parameters, gradients and two moments: 8 B read and 6 B written per parameter."""
    parameters = 8_030_261_248
    read = written = 0
    for operation in capture(TRAIN).select("optimizer").operations():
        if operation.name.startswith("aten._fused_adamw_"):
            read += operation.bytes_read
            written += operation.bytes_written
    n_tensors = 291  # each with a step count of 4 B
    assert read == 4 * 2 * parameters + 4 * n_tensors
    assert written == 3 * 2 * parameters


def test_an_embedding_bag_reads_its_recorded_rows() -> None:
    rows = 0
    for operation in capture(DLRM).select("forward").operations():
        if operation.name.startswith("aten._embedding_bag"):
            access = operation.accesses[0]
            assert access.row_offsets is not None and access.run_bytes == 256
            rows += access.n_bytes
    assert rows == 8 * 2560 * 64 * 4


def test_transactions_of_64_bytes_of_a_decode_step() -> None:
    trace = read_trace(LLAMA, phase="decode0")
    assert isinstance(trace, OpTrace)
    assert count_transactions(trace.operations(), 64) == {"reads": 165_738, "writes": 3_724, "transactions": 169_462}


@pytest.mark.parametrize(("path", "n"), [(DECODE, 1), (TRAIN, 5), (LLAMA, 0), (GPT2, 0), (DLRM, 0)])
def test_gathers_without_recorded_indices_are_counted(path: Path, n: int) -> None:
    trace = capture(path)
    assert sum(1 for _ in trace.operations()) > 0
    assert trace.random_gathers == n


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.name.split(".")[0])
def test_every_access_lies_inside_the_reserved_memory(path: Path) -> None:
    stream = capture(path).operations()
    assert stream.progress.allocator is not None
    for operation in stream:
        for access in operation.accesses:
            low, high = access.span
            assert 0 <= low < high <= stream.progress.allocator.reserved_bytes
