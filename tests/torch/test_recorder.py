"""The recorder: what it sees of a program, and what is left when one does not come to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace import HbmTraceWarning, Operation, RecordedTrace
from hbmmodel.trace.records import Alloc, Free, OpRecord

torch = pytest.importorskip("torch")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "step.hbmop.zst"


def opened(path: Path) -> RecordedTrace:
    trace = hbm.read_trace(path)
    assert isinstance(trace, RecordedTrace)
    return trace


def operations(path: Path) -> list[Operation]:
    return list(opened(path).operations())


def records(path: Path) -> list[OpRecord]:
    return [record for record in opened(path).records() if isinstance(record, OpRecord)]


def test_operands_have_roles_places_and_shapes(path: Path) -> None:
    a = torch.ones(4, 6)
    with hbm.capture(path):
        b = a[1:, ::2] + 1
        b.mul_(2)
        torch.add(b, b, out=a[:3, :3])
    slice_, step, add, mul, *rest = records(path)
    assert (add.name, [o.role for o in add.operands]) == ("aten.add.Tensor", ["r", "w"])
    read, written = add.operands
    assert (read.offset, list(read.shape), list(read.stride), read.dtype) == (24, [3, 3], [6, 2], "f32")
    assert read.storage != written.storage
    assert [o.role for o in slice_.operands] == [o.role for o in step.operands] == ["r", "v"]
    assert [(o.role, o.storage) for o in mul.operands] == [("m", written.storage), ("v", written.storage)]
    out = rest[-1].operands
    assert [o.role for o in out] == ["r", "r", "w", "v"] and out[2].storage == read.storage


def test_storages_end_when_their_memory_does_and_numbers_are_not_used_again(path: Path) -> None:
    x = torch.ones(1000)
    with hbm.capture(path):
        for _ in range(50):
            x = x + 1
    found = list(opened(path).records())
    allocated = [r.storage for r in found if isinstance(r, Alloc)]
    assert allocated == list(range(51))
    # The one before is freed between two additions, so three are live at most and memory is used again.
    live, most = 0, 0
    for record in found:
        live += isinstance(record, Alloc) - isinstance(record, Free)
        most = max(most, live)
    assert most <= 3
    stream = opened(path).operations()
    assert sum(1 for _ in stream) == 50
    assert stream.progress.allocator is not None and stream.progress.allocator.peak_bytes <= 3 * 4096


def test_what_lives_on_in_autograd_is_not_freed(path: Path) -> None:
    x = torch.ones(8, requires_grad=True)
    with hbm.capture(path, phases=True):
        y = (x * 3).sigmoid()
        loss = y.sum()
        del y  # sigmoid keeps its result for the backward pass
        loss.backward()
    backward = next(r for r in records(path) if r.name.startswith("aten.sigmoid_backward"))
    sigmoid = next(r for r in records(path) if r.name.startswith("aten.sigmoid."))
    assert sigmoid.operands[-1].storage in {o.storage for o in backward.operands}


def train_step(model: Any, optimizer: Any, batch: Any) -> None:
    model(batch).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_phases_are_recognised_and_labels_win(path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 16))
    optimizer = torch.optim.AdamW(model.parameters())
    with hbm.capture(path, phases=True) as recorder:
        train_step(model, optimizer, torch.ones(4, 16))
        recorder.phase("mine")
        train_step(model, optimizer, torch.ones(4, 16))
        recorder.phase(None)
        train_step(model, optimizer, torch.ones(4, 16))
    order: list[str] = []
    for operation in operations(path):
        if not order or order[-1] != operation.phase:
            order.append(operation.phase)
    assert order == ["forward", "backward", "optimizer", "mine", "forward", "backward", "optimizer"]
    names = {phase: {op.name for op in operations(path) if op.phase == phase} for phase in order}
    assert "aten.threshold_backward.default" in names["backward"] - names["forward"]
    assert not any("mm" in name for name in names["optimizer"])


def test_without_phases_there_is_one_without_a_name(path: Path) -> None:
    with hbm.capture(path):
        torch.ones(2).sum()
    assert {op.phase for op in operations(path)} == {""}


def test_contents_of_index_tensors_are_recorded(path: Path) -> None:
    table, rows = torch.ones(100, 16), torch.tensor([7, 3, 7])
    with hbm.capture(path):
        torch.nn.functional.embedding(rows, table)
        torch.nn.functional.embedding_bag(rows, table, torch.tensor([0, 2]), mode="sum")
        torch.index_select(table, 1, torch.tensor([2, 5]))
        table[rows]
        table[:, rows]
        table[rows, torch.tensor([0, 1, 2])]
        table.index_put_((rows,), torch.zeros(3, 16))
        table.index_add_(0, rows, torch.zeros(3, 16))
    found = {}
    for operation in operations(path):
        gathered = [a for a in operation.accesses if a.row_offsets is not None]
        if gathered:
            found.setdefault(operation.name, []).append((gathered[0].run_bytes, gathered[0].row_offsets))
    row = [[7 * 64, 3 * 64, 7 * 64]]
    assert [o.tolist() for _, o in found["aten.embedding.default"]] == row
    assert [o.tolist() for _, o in found["aten._embedding_bag_forward_only.default"]] == row
    (run, columns), = found["aten.index_select.default"]
    assert run == 4 and columns.tolist() == [8 + 64 * i for i in range(100)] + [20 + 64 * i for i in range(100)]
    plain, second, both = found["aten.index.Tensor"]
    assert plain[0] == 64 and plain[1].tolist() == row[0]
    assert second[0] == 4 and len(second[1]) == 300 and second[1][0] == 28
    assert both[0] == 4 and both[1].tolist() == [7 * 64, 3 * 64 + 4, 7 * 64 + 8]
    assert [o.tolist() for _, o in found["aten.index_put_.default"]] == row
    assert [o.tolist() for _, o in found["aten.index_add_.default"]] == row
    assert opened(path).random_gathers == 0


def test_contents_are_those_from_before_the_operation(path: Path) -> None:
    rows = torch.tensor([5, 6])
    with hbm.capture(path):
        torch.index_select(rows, 0, rows - 5, out=torch.empty(0, dtype=torch.int64))
        rows.index_copy_(0, torch.tensor([0, 1]), torch.tensor([8, 9]))
    last = records(path)[-1]
    assert [o.indices.tolist() for o in last.operands if o.indices is not None] == [[0, 1]]


def test_contents_are_left_out_if_not_wanted(path: Path) -> None:
    with hbm.capture(path, index=False):
        torch.nn.functional.embedding(torch.tensor([3]), torch.ones(10, 4))
    trace = opened(path)
    assert sum(1 for _ in trace.operations()) == 2 and trace.random_gathers == 1


def test_sparse_gradients_touch_their_rows_only(path: Path) -> None:
    table = torch.nn.EmbeddingBag(1000, 16, mode="sum", sparse=True)
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
    with hbm.capture(path, phases=True):
        table(torch.tensor([[1, 5], [5, 7]])).sum().backward()
        optimizer.step()
    update = [op for op in operations(path) if op.phase == "optimizer" and op.bytes_written][-1]
    written = next(a for a in update.accesses if a.is_write)
    assert written.row_offsets is not None and written.run_bytes == 64
    assert sorted(set((written.row_offsets // 64).tolist())) == [1, 5, 7]


def test_experts_that_got_tokens_are_recorded(path: Path) -> None:
    if not hasattr(torch, "_grouped_mm"):
        pytest.skip("this PyTorch has no _grouped_mm")
    tokens, weights = torch.ones(16, 16, dtype=torch.bfloat16), torch.ones(4, 16, 16, dtype=torch.bfloat16)
    ends = torch.tensor([8, 8, 16, 16], dtype=torch.int32)
    with hbm.capture(path):
        torch._grouped_mm(tokens, weights, offs=ends)
    (grouped,) = [op for op in operations(path) if "_grouped_mm" in op.name]
    read = next(a for a in grouped.accesses if a.row_offsets is not None)
    assert read.row_offsets is not None and (read.row_offsets // 512).tolist() == [0, 2]


def test_a_resized_storage_is_a_new_one(path: Path) -> None:
    x = torch.ones(4)
    with hbm.capture(path):
        x.add_(1)
        x.untyped_storage().resize_(64)
        x.add_(1)
        x.resize_(100).add_(1)
    found = list(opened(path).records())
    assert [r.n_bytes for r in found if isinstance(r, Alloc)] == [16, 64]
    assert sum(1 for _ in opened(path).operations()) == 3


def test_only_one_device_is_recorded_if_asked(path: Path) -> None:
    with hbm.capture(path, device="cpu"):
        torch.ones(4).add_(1)
        torch.ones(4, device="meta").add_(1)
    assert all(op.name != "" for op in operations(path)) and len(records(path)) == 2
    with pytest.raises(HbmArgumentError, match="no operation was recorded; .* on the device cuda"):
        with hbm.capture(path, device="cuda"):
            torch.ones(4).add_(1)
    with pytest.raises(HbmArgumentError, match="device is 'gpu'"):
        hbm.capture(path, device="gpu")


def test_pointers_are_recorded_and_numbers_are_those_of_the_first_appearance(path: Path) -> None:
    x = torch.ones(1000)
    with hbm.capture(path):
        x.add_(1)
    (alloc,) = (r for r in opened(path).records() if isinstance(r, Alloc))
    assert (alloc.pointer, alloc.n_bytes) == (x.data_ptr(), 4000)


def test_fake_tensors_have_shapes_and_no_pointers(path: Path) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(), torch.no_grad():
        big = torch.empty(1 << 20, 1 << 14)
        rows = torch.zeros(8, dtype=torch.int64)
        with hbm.capture(path):
            torch.nn.functional.embedding(rows, big)
    trace = opened(path)
    assert [op.bytes_read for op in trace.operations()] == [8 * (1 << 16) + 64]
    assert trace.random_gathers == 1
    assert {r.pointer for r in trace.records() if isinstance(r, Alloc)} == {0}


def test_collectives_are_counted(path: Path) -> None:
    import torch.distributed as dist

    if not dist.is_available():
        pytest.skip("this PyTorch has no distributed package")
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        x = torch.ones(16)
        with hbm.capture(path):
            dist.all_reduce(x)
            x.add_(1)
    finally:
        dist.destroy_process_group()
    info = opened(path).info()
    assert info["collective_operations"] == 1
    reduce = next(op for op in operations(path) if op.name.startswith("c10d"))
    assert (reduce.bytes_read, reduce.bytes_written) == (64, 64)


def test_the_first_line_says_what_was_recorded(path: Path) -> None:
    with hbm.capture(path, phases=True, metadata={"model": "m"}):
        torch.ones(2).sum()
    about = opened(path).metadata  # type: ignore[attr-defined]
    assert (about["hbmop"], about["model"], about["torch"]) == (2, "m", torch.__version__)


# ---- the end ----


def test_a_block_that_raises_leaves_what_it_did_under_another_name(path: Path) -> None:
    path.write_text("of yesterday")
    with pytest.raises(ZeroDivisionError) as caught:
        with hbm.capture(path):
            torch.ones(3).sum()
            1 / 0  # noqa: B018
    partial = path.with_name("step.partial.hbmop.zst")
    assert path.read_text() == "of yesterday"
    assert str(partial) in caught.value.__notes__[0] and "2 operations" in caught.value.__notes__[0]
    with pytest.warns(HbmTraceWarning, match="cut off"):
        assert len(operations(partial)) == 2
    with hbm.capture(path):
        torch.ones(3).sum()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_block_that_does_nothing_leaves_nothing(path: Path) -> None:
    with pytest.raises(HbmArgumentError, match="no operation was recorded; call the model inside the block"):
        with hbm.capture(path):
            pass
    with pytest.raises(ZeroDivisionError):
        with hbm.capture(path):
            1 / 0  # noqa: B018
    assert not list(path.parent.iterdir())


def test_a_recorder_records_once(path: Path) -> None:
    recorder = hbm.capture(path)
    with recorder:
        torch.ones(2).sum()
    with pytest.raises(HbmArgumentError, match="a recorder records once"):
        with recorder:
            pass


def test_bad_arguments_are_refused(path: Path) -> None:
    with pytest.raises(HbmArgumentError, match="metadata are 3; give a mapping"):
        hbm.capture(path, metadata=3)  # type: ignore[arg-type]
    with pytest.raises(HbmArgumentError, match="label is 5"):
        hbm.capture(path).phase(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".zst", ".gz", ""])
def test_a_process_that_is_killed_leaves_a_readable_capture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"step.hbmop{suffix}"
    code = (
        "import torch, hbmmodel, sys\n"
        f"with hbmmodel.capture({str(path)!r}):\n"
        "    x = torch.ones(64)\n"
        "    while True:\n"
        "        x = x * 1.0\n"
    )
    partial = tmp_path / f"step.partial.hbmop{suffix}"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        deadline = time.monotonic() + 120
        while not (partial.exists() and partial.stat().st_size > 2000) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert not path.exists()
    with pytest.warns(HbmTraceWarning, match="cut off behind line"):
        found = operations(partial)
    assert len(found) > 100
    assert np.all([op.bytes_read == 256 for op in found[1:]])


def test_recording_costs_less_than_30_us_per_operation(path: Path) -> None:
    x, n = torch.ones(4, 4), 5000

    def loop() -> float:
        start = time.process_time()
        for _ in range(n):
            torch.add(x, x)
        return time.process_time() - start

    loop()
    without = min(loop() for _ in range(3))
    with hbm.capture(path):
        recorded = min(loop() for _ in range(3))
    assert (recorded - without) / n < 30e-6
