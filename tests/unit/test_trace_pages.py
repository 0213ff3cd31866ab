"""Pages: every byte has one place, and keeps its order, wherever its page lies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import hbmmodel
from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.sim import Dependences
from hbmmodel.trace import Access, Operation, Pages, RecordedTrace, read_trace
from hbmmodel.trace.pages import PageMap, shuffled

PAGE = 4096


def addresses(accesses: tuple[Access, ...]) -> NDArray[np.int64]:
    """Address of every byte, in order."""
    parts = [a.run_starts()[:, None] + np.arange(a.run_bytes, dtype=np.int64) for a in accesses]
    return np.concatenate([part.ravel() for part in parts])


@given(n=st.integers(1, 300), seed=st.integers(-(2**70), 2**70))
def test_a_shuffle_is_a_permutation(n: int, seed: int) -> None:
    assert sorted(shuffled(n, seed).tolist()) == list(range(n))


def test_a_shuffle_follows_its_seed() -> None:
    assert shuffled(100, 0).tolist() == shuffled(100, 0).tolist() != shuffled(100, 1).tolist()


@st.composite
def accesses(draw: st.DrawFn) -> Access:
    run = draw(st.integers(1, 9000))
    if draw(st.booleans()):
        offsets = draw(st.lists(st.integers(0, 60_000), min_size=1, max_size=5))
        return Access(False, 0, draw(st.integers(0, 50_000)), run, (), np.array(offsets, np.int64))
    dims = draw(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9000)), max_size=3))
    return Access(True, 0, draw(st.integers(0, 50_000)), run, tuple(dims))


@given(access=accesses(), seed=st.integers(0, 5), base=st.sampled_from([0, 2 << 20]))
def test_bytes_keep_their_order_and_their_number(access: Access, seed: int, base: int) -> None:
    moved_base = Access(
        access.is_write, 0, access.base_address + base, access.run_bytes, access.dims, access.row_offsets
    )
    pages = PageMap(base, PAGE, shuffled(64, seed))
    moved = pages.moved((moved_base,))
    assert np.array_equal(addresses(moved), pages.addresses(addresses((moved_base,))))
    assert sum(a.n_bytes for a in moved) == access.n_bytes
    assert {a.program_span for a in moved} == {moved_base.span}
    for piece in moved:
        starts = piece.run_starts()
        assert ((starts - base) // PAGE == (starts + piece.run_bytes - 1 - base) // PAGE).all()


def test_every_byte_of_the_run_has_one_place() -> None:
    pages = Pages("shuffled", page_bytes=PAGE, seed=3).over(lambda: 10 * PAGE - 1)
    assert pages is not None
    where = pages.addresses(np.arange(10 * PAGE, dtype=np.int64))
    assert sorted(where.tolist()) == list(range(10 * PAGE))


def test_an_address_outside_the_run_is_refused() -> None:
    pages = PageMap(0, PAGE, shuffled(4, 0))
    with pytest.raises(HbmTraceError, match="outside the 4 pages"):
        pages.moved((Access(False, 0, 4 * PAGE - 8, 16),))


def test_rows_that_cross_pages_here_and_there_stay_one_access() -> None:
    pages = PageMap(0, PAGE, shuffled(1000, 0))
    moved = pages.moved((Access(False, 0, 0, 96, ((40_000, 96),)),))
    assert len(moved) == 1 and moved[0].n_bytes == 96 * 40_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "random"}, "pages are 'random'; choose one of sequential, shuffled"),
        ({"page_bytes": 5000}, "page_bytes is 5000; give a power of two"),
        ({"page_bytes": 2048}, "page_bytes is 2048"),
        ({"seed": 0.5}, "seed is 0.5"),
    ],
)
def test_other_pages_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(HbmArgumentError, match=message):
        Pages(**options)  # type: ignore[arg-type]


def test_too_many_pages_and_pieces_are_refused() -> None:
    with pytest.raises(HbmTraceError, match="pages of 4096 bytes; at most 67108864 can be shuffled"):
        Pages("shuffled", page_bytes=PAGE).over(lambda: 1 << 50)
    with pytest.raises(HbmTraceError, match="1000000000 runs; at most"):
        PageMap(0, PAGE, shuffled(4, 0)).moved((Access(False, 0, 0, 1, ((10**9, 0),)),))


@pytest.mark.parametrize("page_bytes", [PAGE, 2 << 20])
def test_a_capture_moves_the_same_bytes_on_shuffled_pages(page_bytes: int) -> None:
    path = hbmmodel.demo_capture("llama_tiny_b1_p128_d8")
    plain, moved = read_trace(path), read_trace(path, pages=Pages("shuffled", page_bytes=page_bytes))
    assert isinstance(plain, RecordedTrace) and isinstance(moved, RecordedTrace)
    elsewhere = 0
    for before, after in zip(plain.operations(), moved.operations(), strict=True):
        assert (before.bytes_read, before.bytes_written) == (after.bytes_read, after.bytes_written)
        elsewhere += addresses(before.accesses)[0] != addresses(after.accesses)[0]
    assert elsewhere > 100


def test_a_shuffled_capture_is_simulated_and_the_result_says_so() -> None:
    path = hbmmodel.demo_capture("llama_tiny_b1_p128_d8")
    system = hbmmodel.System(hbmmodel.device("HBM4_8000"))
    plain = hbmmodel.simulate(system, read_trace(path, phase="decode0"))
    moved = hbmmodel.simulate(system, read_trace(path, phase="decode0", pages="shuffled"))
    assert plain.trace["pages"] == "sequential"
    assert moved.trace["pages"] == "shuffled(page_bytes=2097152, seed=0)"
    assert moved.summary["bytes_read"] == plain.summary["bytes_read"]
    assert len(moved.operations) == len(plain.operations)


def test_operations_wait_for_each_other_as_the_program_says_wherever_pages_lie() -> None:
    pages = PageMap(0, PAGE, shuffled(64, 0))

    def operation(i: int, is_write: bool, address: int) -> Operation:
        return Operation(i, i, "op", "", 0, 0, pages.moved((Access(is_write, 0, address, 3 * PAGE),)))

    program = Dependences()
    for i, (is_write, address) in enumerate([(True, 0), (True, 16 * PAGE), (False, 0)]):
        program.add(operation(i, is_write, address))
    assert program.ready() == [0, 1]


def test_pages_of_something_that_has_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.trace"
    path.write_text("0x40 READ 0\n")
    with pytest.raises(HbmArgumentError, match="option pages has no meaning in dramsim3"):
        read_trace(path, pages="shuffled")
    capture = tmp_path / "x.hbmop"
    capture.write_text(json.dumps({"hbmop": 1}) + "\n")
    with pytest.raises(HbmArgumentError, match="pages is 3; give a Pages"):
        read_trace(capture, pages=3)  # type: ignore[arg-type]
