"""Effective bandwidths are those of the simulated operations, and files hold what was measured."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace import Access, Operation, Trace
from hbmmodel.workload import EffectiveBandwidth, effective_bandwidth
from hbmmodel.workload.bandwidth import OPERATION_CLASSES

SYSTEM = hbm.System(hbm.device("HBM4_8000"))
SIZES = [4096, 65_536, 1 << 20]


@pytest.fixture(scope="module")
def found() -> EffectiveBandwidth:
    return effective_bandwidth(SYSTEM, sizes=SIZES)


def test_a_row_is_the_mean_of_that_operation_at_several_places(found: EffectiveBandwidth) -> None:
    runs = []
    for bank in range(0, 48, 3):
        access = Access(False, 0, bank * 64 * 1024, 1 << 20)  # a row of 1 KiB in each of 64 pseudo-channels
        runs.append(hbm.simulate(SYSTEM, Trace.from_operations([Operation(0, 0, "read", "", 0, 0, (access,))])).summary)
    (row,) = [r for r in found.table.rows() if (r["operation_class"], r["size_bytes"]) == ("read", 1 << 20)]
    times = [run["time_ns"] for run in runs]
    assert row["time_ns"] == pytest.approx(sum(times) / 16) and max(times) > 1.2 * min(times)
    assert row["gb_per_s"] == (1 << 20) / row["time_ns"]
    assert row["energy_pj_per_bit"] == pytest.approx(sum(run["energy_pj_per_bit"] for run in runs) / 16)


def test_bandwidth_does_not_fall_where_operations_begin_to_meet_refreshes() -> None:
    """On eight stacks 2 MiB end before any bank that they need is refreshed; 4 MiB may meet one, 8 MiB hide it."""
    system = hbm.System(hbm.device("HBM4_8000"), stacks=8)
    for name in ("read", "write"):
        found = effective_bandwidth(system, classes=[name], sizes=[1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24])
        rates = found.table["gb_per_s"]
        assert (rates[1:] > 0.9 * rates[:-1]).all()
    still = hbm.System(hbm.device("HBM4_8000"), stacks=8, controller=hbm.Controller(refresh="none"))
    rates = effective_bandwidth(still, classes=["read"], sizes=[1 << 20, 1 << 21, 1 << 22, 1 << 23]).table["gb_per_s"]
    assert (rates[1:] > rates[:-1]).all()


def test_every_kind_and_size_is_there_and_below_the_peak(found: EffectiveBandwidth) -> None:
    assert len(found.table) == len(OPERATION_CLASSES) * len(SIZES)
    assert (found.table["gb_per_s"] < SYSTEM.peak_gb_per_s).all()
    assert (found.table["time_ns"] > 0).all()
    for name in OPERATION_CLASSES:
        mine = found.table.take(found.table["operation_class"] == name)
        assert (mine["gb_per_s"][1:] > mine["gb_per_s"][:-1]).all()  # larger operations use the memory better
        assert (abs(mine["size_bytes"] / SIZES - 1) < 0.01).all()
    large = {n: found.gb_per_s(n, 1 << 20) for n in OPERATION_CLASSES}
    assert large["gather_64"] < large["gather_512"] < min(large["kv_pages"], large["read"])


def test_between_sizes_the_time_is_interpolated(found: EffectiveBandwidth) -> None:
    low, high = (65_536 / found.gb_per_s("read", 65_536), (1 << 20) / found.gb_per_s("read", 1 << 20))
    middle = (65_536 + (1 << 20)) // 2
    assert middle / found.gb_per_s("read", middle) == pytest.approx((low + high) / 2)
    assert found.gb_per_s("read", 1 << 30) == found.gb_per_s("read", 1 << 20)
    assert found.gb_per_s("read", 1) < found.gb_per_s("read", 4096)
    with pytest.raises(HbmArgumentError, match="was not measured"):
        found.gb_per_s("scatter", 1)


def test_files_hold_the_table(found: EffectiveBandwidth, tmp_path: Path) -> None:
    with open(found.save(tmp_path / "b.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["operation_class"] for r in rows] == found.table["operation_class"].tolist()
    assert [float(r["gb_per_s"]) for r in rows] == found.table["gb_per_s"].tolist()
    content = json.loads(found.save(tmp_path / "b.json").read_text(encoding="utf-8"))
    assert content["rows"] == list(found.table.rows())
    assert content["astra_sim"] == {"local-mem-bw": round(found.gb_per_s("read", 1 << 20), 3), "roofline-enabled": 1}
    memory = content["llm_serving_sim"]["npu_mem"]
    assert memory["mem_size"] == pytest.approx(SYSTEM.capacity_bytes / 1e9, abs=1e-3)
    assert memory["mem_bw"] == content["astra_sim"]["local-mem-bw"] and memory["mem_latency"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.csv", "b.json"]


def test_the_latency_of_memory_does_not_depend_on_the_sizes_measured() -> None:
    one, other = (effective_bandwidth(SYSTEM, classes=["read"], sizes=[size]) for size in (4096, 1 << 20))
    latency = one.llm_serving_sim()["npu_mem"]["mem_latency"]
    assert latency == other.llm_serving_sim()["npu_mem"]["mem_latency"] < one.table["time_ns"][0]


def test_what_cannot_be_measured_or_written_is_refused(found: EffectiveBandwidth, tmp_path: Path) -> None:
    for options, told in (
        ({"classes": ["scatter"]}, "'scatter' is unknown"),
        ({"classes": []}, "no operation class"),
        ({"sizes": [63]}, "size is 63"),
        ({"sizes": [1 << 60]}, "size is"),
        ({"sizes": [2.5]}, "size is 2.5"),
    ):
        with pytest.raises(HbmArgumentError, match=told):
            effective_bandwidth(SYSTEM, **options)  # type: ignore[arg-type]
    with pytest.raises(HbmArgumentError, match="as .csv or .json"):
        found.save(tmp_path / "b.txt")
    with pytest.raises(HbmArgumentError, match="cannot be written"):
        found.save(tmp_path / "none" / "b.csv")
