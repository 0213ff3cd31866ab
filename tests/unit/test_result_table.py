"""Tables and histograms: columns of one length, percentiles within their stated error."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbmmodel.errors import HbmArgumentError, HbmInternalError
from hbmmodel.result import Histogram, Table


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(HbmArgumentError, match="a: 2, b: 3"):
        Table({"a": [1, 2], "b": [1, 2, 3]})
    with pytest.raises(HbmArgumentError, match="'a' has 2 dimensions"):
        Table({"a": [[1], [2]]})


def test_rows_columns_and_slices() -> None:
    table = Table({"name": ["x", "y", "z"], "n": np.array([1, 2, 3], dtype=np.uint64)})
    assert (len(table), table.n_rows, table.names) == (3, 3, ("name", "n"))
    assert list(table.rows())[1] == {"name": "y", "n": 2}
    assert table.head(2) == Table({"name": ["x", "y"], "n": np.array([1, 2], dtype=np.uint64)})
    assert table.take(np.array([2, 0]))["name"].tolist() == ["z", "x"]
    assert dict(table)["n"] is table["n"]
    assert "n" in table and "m" not in table
    with pytest.raises(KeyError, match="there are name, n"):
        table["m"]


@pytest.mark.parametrize("rows", [0, 1, 30])
def test_a_table_survives_arrow_and_parquet_with_its_types(rows: int, tmp_path: Path) -> None:
    table = Table(
        {
            "text": np.array([f"op {i}" for i in range(rows)], dtype=object),
            "i": np.arange(rows, dtype=np.int64),
            "u": np.full(rows, 2**64 - 1, dtype=np.uint64),
            "f": np.linspace(0, 1, rows) / 3,
        }
    )
    table.write_parquet(tmp_path / "t.parquet")
    again = Table.read_parquet(tmp_path / "t.parquet")
    assert again == table
    assert [again[n].dtype for n in again.names] == [table[n].dtype for n in table.names]
    assert Table.from_arrow(table.to_arrow()) == table


def test_a_table_prints_itself_and_says_how_long_it_is() -> None:
    long = Table({"name": ["<b>"] * 100, "x": np.arange(100) / 7})
    assert repr(long).splitlines()[0].split() == ["name", "x"]
    assert repr(long).endswith("... 100 rows") and len(repr(long).splitlines()) == 22
    assert "&lt;b&gt;" in long._repr_html_() and "100 rows" in long._repr_html_()
    assert repr(Table({"a": []})) == "a"


def test_a_histogram_whose_edges_do_not_fit_is_an_internal_fault() -> None:
    with pytest.raises(HbmInternalError, match="one edge more"):
        Histogram(np.arange(3), np.zeros(3, dtype=np.uint64))
    with pytest.raises(HbmInternalError, match="ascend"):
        Histogram(np.array([0, 2, 2]), np.zeros(2, dtype=np.uint64))


def test_no_events_have_no_percentile() -> None:
    empty = Histogram(np.arange(5), np.zeros(4, dtype=np.uint64))
    assert empty.percentile(50) is None
    assert empty.relative_error == 0.0


@pytest.mark.parametrize("percent", [-1, 100.5])
def test_a_percentile_out_of_range_is_refused(percent: float) -> None:
    with pytest.raises(HbmArgumentError, match="percentile"):
        Histogram(np.arange(5), np.ones(4, dtype=np.uint64)).percentile(percent)


EDGES = np.concatenate([np.arange(16), 16 + 4 * np.arange(30), np.array([400, 4000])])


@given(
    st.lists(st.integers(0, 3999), min_size=1, max_size=200),
    st.sampled_from([0, 1, 50, 90, 99, 99.9, 100]),
)
def test_every_percentile_is_within_the_stated_error_of_the_nearest_rank(
    values: list[int], percent: float
) -> None:
    histogram = Histogram(EDGES, np.histogram(values, EDGES)[0].astype(np.uint64))
    rank = max(1, -(-Fraction(str(percent)) * len(values) // 100))
    exact = sorted(values)[rank - 1]
    got = histogram.percentile(percent)
    assert got is not None
    assert abs(got - exact) <= Fraction(histogram.relative_error) * max(exact, 1) * (1 + Fraction(1, 10**12))
    if exact < 16:
        assert got == exact


def test_a_histogram_survives_its_table() -> None:
    histogram = Histogram(EDGES, np.arange(len(EDGES) - 1, dtype=np.uint64))
    again = Histogram.from_table(histogram.to_table())
    assert np.array_equal(again.edges, histogram.edges) and np.array_equal(again.counts, histogram.counts)
