"""Wrong arguments and traces that hold nothing: one clear line of the right class, never a raw traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.errors import HbmAddressError, HbmArgumentError, HbmError, HbmMapError, HbmTraceError
from hbmmodel.sim import simulate
from hbmmodel.trace import Access, RequestChunk, RequestTrace, Trace

REQUESTS = Trace.from_requests([0], [0])


def refused(error: type[HbmError], told: str, system: Any, trace: Any, **options: Any) -> None:
    with pytest.raises(error) as caught:
        simulate(system, trace, **options)
    text = str(caught.value)
    assert told in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "options, told",
    [
        ({"mode": "fast"}, "mode is 'fast'; choose one of asap, paced"),
        ({"mode": "closed"}, "mode is 'closed'; choose one of asap, paced"),
        ({"mode": ["asap"]}, "mode is ['asap']"),
        ({"mode": "paced"}, "<requests> has no time stamps; use mode='asap'"),
        ({"order": "random"}, "order is 'random'; choose one of tile, stream"),
        ({"order": None}, "order is None"),
        ({"tile_bytes": 31}, "tile_bytes is 31; it must be a whole number in 32.."),
        ({"tile_bytes": 1 << 31}, "tile_bytes is 2147483648"),
        ({"tile_bytes": 64.0}, "tile_bytes is 64.0"),
        ({"tile_bytes": True}, "tile_bytes is True"),
        ({"threads": 0}, "threads is 0; it must be a whole number in 1..1024"),
        ({"threads": -1}, "threads is -1"),
        ({"threads": 1025}, "threads is 1025"),
        ({"threads": 1.0}, "threads is 1.0"),
        ({"threads": "all"}, "threads is 'all'"),
        ({"epoch_ns": 0}, "epoch_ns is 0; it must be a number above 0"),
        ({"epoch_ns": -1.0}, "epoch_ns is -1.0"),
        ({"epoch_ns": float("nan")}, "epoch_ns is nan"),
        ({"epoch_ns": float("inf")}, "epoch_ns is inf"),
        ({"epoch_ns": "fast"}, "epoch_ns is 'fast'"),
        ({"epoch_ns": [1]}, "epoch_ns is [1]"),
        ({"epoch_ns": 10**400}, "must be a number above 0"),
    ],
    ids=str,
)
def test_wrong_argument_is_named(options: dict[str, Any], told: str) -> None:
    refused(HbmArgumentError, told, cases.small(), REQUESTS, **options)


@pytest.mark.parametrize("system", [None, "HBM4_8000", hbm.device("HBM4_8000")], ids=type)
def test_what_is_no_system_is_refused(system: Any) -> None:
    refused(HbmArgumentError, "system must be a System", system, REQUESTS)


@pytest.mark.parametrize(
    ("overrides", "got"),
    [
        ({}, "device('HBM4_8000', variant='24Gb_12H')"),
        ({"tFAW_ns": 14, "tRRDS_ns": 2, "tRRDL_ns": 3, "tRCDRD_ns": 14}, "a Device"),  # of which more is to be told
    ],
)
def test_a_device_in_place_of_a_system_is_named_but_not_at_length(overrides: dict[str, Any], got: str) -> None:
    told = f"system must be a System, as System(hbm.device(NAME)) makes, not {got}"
    with pytest.raises(HbmArgumentError) as caught:
        simulate(hbm.device("HBM4_8000", **overrides), REQUESTS)  # type: ignore[arg-type]
    assert str(caught.value) == told


@pytest.mark.parametrize("trace", [None, "step.hbmop.jsonl.gz", [0, 64], np.zeros(3)], ids=type)
def test_what_is_no_trace_is_refused(trace: Any) -> None:
    refused(HbmArgumentError, "trace must be a Trace, as read_trace", cases.small(), trace)


def test_malformed_map_is_refused_when_the_run_begins() -> None:
    refused(HbmMapError, "mapping 'row'", cases.small(mapping="row"), REQUESTS)


def test_operations_that_move_nothing_are_no_trace() -> None:
    refused(HbmArgumentError, "no operation moves any data", cases.small(), cases.trace_of([]))


def test_empty_traces_are_refused_where_they_are_made() -> None:
    with pytest.raises(HbmTraceError, match="holds no requests"):
        Trace.from_requests([], [])
    with pytest.raises(HbmTraceError, match="holds no operations"):
        Trace.from_operations([])


@pytest.mark.parametrize(
    "access, error, told",
    [
        (Access(False, 0, 0, 0), HbmArgumentError, "run_bytes is 0"),
        (Access(False, 0, 0, -64), HbmArgumentError, "run_bytes is -64"),
        (Access(False, 0, -64, 64), HbmAddressError, "-0x40..0x0"),
        (Access(False, 0, 1 << 62, 64), HbmAddressError, "no addresses"),
        (Access(False, 0, 1 << 63, 64), HbmAddressError, "no addresses"),
        (Access(False, 0, 1 << 70, 64), HbmAddressError, "no addresses"),
        (Access(False, 0, 0, 1 << 70), HbmAddressError, "no addresses"),
        (Access(False, 0, 0, 64, ((0, 64),)), HbmArgumentError, "dims"),
        (Access(False, 0, 0, 64, ((-1, 64),)), HbmArgumentError, "dims"),
        (Access(False, 0, 4096, 64, ((2, -64),)), HbmArgumentError, "dims"),
        (Access(False, 0, 0, 64, ((1, 1 << 63),)), HbmArgumentError, "dims"),
        (Access(False, 0, 0, 64, ((1, 64),) * 9), HbmArgumentError, "at most 8"),
        (Access(False, 0, 0, 64, ((1 << 40, 1 << 40),)), HbmAddressError, "no addresses"),
        (Access(False, 0, 0, 64, (), np.zeros(0, np.int64)), HbmArgumentError, "row_offsets"),
        (Access(False, 0, 0, 64, (), np.zeros((2, 2), np.int64)), HbmArgumentError, "row_offsets"),
        (Access(False, 0, 0, 64, (), np.zeros(2)), HbmArgumentError, "row_offsets"),
        (Access(False, 0, 0, 64, ((2, 64),), np.zeros(2, np.int64)), HbmArgumentError, "row_offsets"),
        (Access(False, 0, 0, 64, (), np.array([0, -64])), HbmAddressError, "-0x40"),
        (Access(False, 0, 0, 64, (), np.array([2**64 - 64], np.uint64)), HbmAddressError, "no addresses"),
    ],
)
@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("mode", ["closed", "asap"])
def test_operand_that_cannot_be_walked_is_named(
    access: Access, error: type[HbmError], told: str, wrap: bool, mode: str
) -> None:
    trace = cases.trace_of([cases.reads(0, 64)], [cases.reads(0, 64), access])
    for part in (told, "<operations>: operation 1 (op1), operand 1: "):
        refused(error, part, cases.small(), trace, wrap=wrap, mode=mode)


def test_extreme_walks_are_walked_or_refused_and_never_crash() -> None:
    system = cases.small()
    far = Access(False, 0, (1 << 61) - 64, 64, ((2, (1 << 60)), (2, 1 << 59)))
    with pytest.raises(HbmAddressError):
        simulate(system, cases.trace_of([far]))
    try:
        summary = simulate(system, cases.trace_of([far]), wrap=True).summary
    except HbmAddressError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert summary["n_rd"] == 4 * 2


def test_address_vectors_of_another_depth_are_refused() -> None:
    class Vectors(RequestTrace):
        name, format, addressed = "<vectors>", "memory", False

        def content_hash(self) -> str:
            return ""

        def chunks(self, max_records: int = 1) -> Any:
            yield RequestChunk(
                np.zeros(0, np.uint64), np.zeros(2, np.uint8), vector=np.zeros((2, 5), dtype=np.int32)
            )

    refused(HbmArgumentError, ": record 0: vectors of 5 entries; HBM needs 7", cases.small(), Vectors())


def test_a_coordinate_outside_the_device_is_named_by_file_and_record(tmp_path: Path) -> None:
    path = tmp_path / "a.trace"
    path.write_text("R 0,0,0,0,0,0,31\nW 0,0,0,0,0,0,32\n")
    refused(HbmAddressError, f"{path}: record 1: column 32 is outside 0..31; name", cases.small(), hbm.read_trace(path))
