"""The long table, data frames, tables as files: nothing lost, units from names, one error without a package."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from cli_cases import fails, told

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import KEYS, Result, Table
from hbmmodel.result.long import LONG_COLUMNS, unit_of
from hbmmodel.result.table import check_file, optional_package


@pytest.fixture(scope="module")
def run() -> Result:
    system = hbm.System(hbm.device("HBM4_8000", channels=2), stacks=2)
    trace = hbm.Trace.from_requests(np.arange(4000) * 64, np.arange(4000) % 3 == 0, size=np.full(4000, 64))
    return hbm.simulate(system, trace, thermal="steady", command_log=True)


@pytest.fixture(scope="module")
def saved(run: Result, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(run.save(tmp_path_factory.mktemp("long") / "run"))


def test_the_summary_says_the_same_units_in_brackets_as_the_names() -> None:
    words = {"GB/s": "GB/s", "ns": "ns", "pJ": "pJ", "pJ/bit": "pJ/bit", "W": "W", "deg C": "degC"}
    said = {key: words[found[1]] for key, text in KEYS.items() if (found := re.search(r"\[(.+)\]", text))}
    assert len(said) > 10
    assert {key: unit_of(key) for key in said} == said
    assert {unit_of(key) for key in KEYS if key.startswith("lost_ticks_") or key == "time_ticks"} == {"tick"}
    assert {unit_of(key) for key in KEYS if key.startswith(("n_", "row_", "lost_share_"))} == {"1"}
    assert {unit_of(key) for key in KEYS if "bytes" in key} == {"B"}


def test_the_long_table_holds_every_value_of_the_other_tables(run: Result) -> None:
    frame = run.long().to_pandas()
    assert tuple(frame.columns) == LONG_COLUMNS
    whole = frame[frame["stack"].isna()].set_index("metric")["value"]
    assert list(whole.index) == list(run.summary)
    for key, value in run.summary.items():
        assert (np.isnan(whole[key]) and value is None) or whole[key] == value, key
    wide = frame[frame["channel"].notna()].pivot(index=list(LONG_COLUMNS[:3]), columns="metric", values="value")
    counted = [name for name in run.channels.names if name not in LONG_COLUMNS]
    assert sorted(wide.columns) == sorted(counted)
    for name in counted:
        assert wide[name].tolist() == run.channels[name].astype(float).tolist()
    stacks = frame[frame["stack"].notna() & frame["channel"].isna()]
    energies = stacks[stacks["metric"].isin([f"{c}_energy_pj" for c in set(run.energy["component"].tolist())])]
    assert energies["value"].sum() == pytest.approx(run.summary["energy_pj"])
    hottest = stacks[stacks["metric"].str.endswith("_temperature_c_max")]["value"].max()
    assert hottest == run.summary["temperature_c_max"]
    places = frame.fillna({name: -1 for name in LONG_COLUMNS[:3]})
    assert not places.duplicated([*LONG_COLUMNS[:3], "metric"]).any()


def test_empty_cells_stay_empty_in_every_form(tmp_path: Path) -> None:
    n, x = np.ma.masked_equal([1, -1, 3], -1), np.ma.masked_invalid([1.5, np.nan, 2.0])
    table = Table({"n": n, "x": x, "s": list("abc")})
    rows = [{"n": 1, "x": 1.5, "s": "a"}, {"n": None, "x": None, "s": "b"}, {"n": 3, "x": 2.0, "s": "c"}]
    assert list(table.rows()) == rows
    assert table.to_arrow().to_pylist() == rows
    assert table.to_polars().to_dicts() == rows
    assert table.to_pandas()["n"].isna().tolist() == [False, True, False]
    assert json.loads(table.save(tmp_path / "t.json").read_text()) == rows
    assert pq.read_table(table.save(tmp_path / "t.parquet")).to_pylist() == rows
    with table.save(tmp_path / "t.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["n", "x", "s"], ["1", "1.5", "a"], ["", "", "b"], ["3", "2.0", "c"]]
    assert table == table.take(slice(None)) and table != table.take([0, 2, 1])
    assert table != Table({"n": [1, -1, 3], "x": [1.5, 0.0, 2.0], "s": list("abc")})
    assert "None" not in repr(table) and sorted(p.name for p in tmp_path.iterdir()) == ["t.csv", "t.json", "t.parquet"]


@pytest.mark.parametrize(("package", "method"), [("pandas", "to_pandas"), ("polars", "to_polars")])
def test_a_package_that_is_missing_is_told_with_the_extra_that_has_it(
    package: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(HbmArgumentError, match=rf"{method} needs {package}: pip install 'hbmmodel\[tables\]'"):
        getattr(Table({"a": [1]}), method)()
    assert optional_package("json", "x") is json


@pytest.mark.parametrize(
    ("name", "message"),
    [("t.xls", r"\.csv, \.parquet, \.json"), ("t", "name such a file"), ("no/t.csv", "cannot be written")],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(HbmArgumentError, match=message):
        check_file(tmp_path / name)


def test_info_prints_and_writes_tables(
    run: Result, saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = told(capsys, "info", saved, "--table", "channels")
    assert printed == run.channels.to_csv()
    assert json.loads(told(capsys, "info", saved, "--table", "energy", "--json")) == list(run.energy.rows())
    assert told(capsys, "info", saved, "--table", "banks") == run.banks.to_csv()
    assert told(capsys, "info", saved, "--table", "traffic_classes").startswith("traffic_class,")
    target = tmp_path / "long.parquet"
    assert "rows written to" in told(capsys, "info", saved, "--table", "long", "-o", str(target))
    assert pq.read_table(target).equals(run.long().to_arrow())
    assert told(capsys, "info", saved, "--table", "commands").count("\n") == len(run.command_log) + 1
    summary = pd.read_csv(told_file(capsys, saved, tmp_path))
    assert summary["time_ns"][0] == run.summary["time_ns"]


def told_file(capsys: pytest.CaptureFixture[str], saved: str, folder: Path) -> Path:
    told(capsys, "info", saved, "--table", "summary", "-o", str(folder / "s.csv"))
    return folder / "s.csv"


def test_info_refuses_tables_that_cannot_be(saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "name one with --table" in fails(capsys, "info", saved, "-o", "x.csv")
    assert "saved result" in fails(capsys, "info", "--table", "long")
    assert "saved result" in fails(capsys, "info", str(tmp_path / "no"), "--table", "long")
    assert ".csv, .parquet, .json" in fails(capsys, "info", saved, "--table", "long", "-o", str(tmp_path / "x.txt"))
    assert list(tmp_path.iterdir()) == []
