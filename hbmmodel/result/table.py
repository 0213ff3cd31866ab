"""A small column table: named numpy columns of one length.

Owns column access, printing and the way to files and to data frames; must not know what the columns mean. Results
hold these and not data frames, because importing a data-frame library costs more time than many
simulations.
"""

from __future__ import annotations

import csv
import html
import importlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, import-not-found, unused-ignore]
    import polars as pl  # type: ignore[import-not-found, unused-ignore]
    import pyarrow as pa

__all__ = ["SUFFIXES", "Table", "check_file", "check_place", "optional_package"]

PREVIEW_ROWS = 20
SUFFIXES = (".csv", ".parquet", ".json")
"""Files that a table can be written to."""


def optional_package(name: str, what: str) -> Any:
    """A package that is not needed for anything else.

    Parameters
    ----------
    name : str
        Of the module; it is installed with ``hbmmodel[tables]``.
    what : str
        What it is wanted for, as the message begins.

    Raises
    ------
    HbmArgumentError
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise HbmArgumentError(f"{what} needs {name}: pip install 'hbmmodel[tables]'") from None


def check_file(path: str | os.PathLike[str], suffixes: tuple[str, ...] = SUFFIXES, what: str = "a table") -> Path:
    """The path of a file that can be written, before anything is computed for it.

    Raises
    ------
    HbmArgumentError
        Its suffix is none of `suffixes`, or there is no folder for it.
    """
    target = Path(path)
    if target.suffix.lower() not in suffixes:
        raise HbmArgumentError(f"{target}: {what} is written as {', '.join(suffixes)}; name such a file")
    return check_place(target)


def check_place(target: Path) -> Path:
    """The path, if a file can be written there; HbmArgumentError otherwise."""
    if target.is_dir() or not os.access(target.absolute().parent, os.W_OK):
        raise HbmArgumentError(f"{target} cannot be written; name a file in a folder that can")
    return target


def _as_column(name: str, values: Any) -> NDArray[Any]:
    column = np.ma.asanyarray(values) if np.ma.isMaskedArray(values) else np.asarray(values)
    if column.dtype.kind in "US" or (column.size == 0 and column.dtype.kind == "O"):
        column = column.astype(object)
    if column.ndim != 1:
        raise HbmArgumentError(f"column {name!r} has {column.ndim} dimensions; a column has one")
    return column


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    empty = np.ma.getmaskarray(a)
    if a.shape != b.shape or not np.array_equal(empty, np.ma.getmaskarray(b)):
        return False
    return np.array_equal(
        np.ma.getdata(a)[~empty], np.ma.getdata(b)[~empty], equal_nan=a.dtype.kind == b.dtype.kind == "f"
    )


class Table:
    """Named columns of equal length.

    Parameters
    ----------
    columns : mapping of str to array_like, shape (n,)
        Integer, float or str columns; the order is kept. Of a masked array the masked cells are empty.

    Raises
    ------
    HbmArgumentError
        Columns differ in length or are not one-dimensional.

    Examples
    --------
    >>> table = Table({"channel": [0, 1, 2], "bytes_read": [64, 0, 32]})
    >>> table.n_rows, table.names
    (3, ('channel', 'bytes_read'))
    >>> int(table["bytes_read"].sum())
    96
    >>> next(table.rows())
    {'channel': 0, 'bytes_read': 64}
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._columns = {str(name): _as_column(name, values) for name, values in columns.items()}
        lengths = {column.shape[0] for column in self._columns.values()}
        if len(lengths) > 1:
            sizes = ", ".join(f"{name}: {column.shape[0]}" for name, column in self._columns.items())
            raise HbmArgumentError(f"columns of a table must have one length, not {sizes}")
        self._n_rows = lengths.pop() if lengths else 0

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return self._n_rows

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(self._columns)

    def __getitem__(self, name: str) -> NDArray[Any]:
        try:
            return self._columns[name]
        except KeyError:
            raise KeyError(f"no column {name!r}; there are {', '.join(self._columns)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return self._n_rows

    def __eq__(self, other: object) -> bool:
        """Same names in the same order and the same values; a value that is missing (NaN) is equal to another one."""
        if not isinstance(other, Table):
            return NotImplemented
        return self.names == other.names and all(_same(self[n], other[n]) for n in self.names)

    __hash__ = None  # type: ignore[assignment]

    def keys(self) -> tuple[str, ...]:
        """Column names; with ``table[name]`` it makes ``dict(table)`` work."""
        return self.names

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def take(self, indices: Any) -> Table:
        """Rows at `indices` (array of int, or mask of bool), in that order."""
        return Table({name: column[indices] for name, column in self._columns.items()})

    def head(self, n: int = 10) -> Table:
        """The first `n` rows."""
        return self.take(slice(0, n))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Iterate over rows as dicts of Python values."""
        lists = [column.tolist() for column in self._columns.values()]
        for values in zip(*lists, strict=True):
            yield dict(zip(self._columns, values, strict=True))

    def to_arrow(self) -> pa.Table:
        """Copy to a `pyarrow.Table`."""
        import pyarrow as pa

        def array(column: NDArray[Any]) -> pa.Array:
            empty = np.ma.getmaskarray(column) if np.ma.isMaskedArray(column) else None
            return pa.array(np.ma.getdata(column), pa.string() if column.dtype.kind == "O" else None, empty)

        return pa.table({name: array(column) for name, column in self._columns.items()})

    def to_pandas(self) -> pd.DataFrame:
        """Copy to a `pandas.DataFrame`; integers with empty cells become ``Int64``.

        Raises
        ------
        HbmArgumentError
            pandas is not installed.
        """
        pd = optional_package("pandas", "to_pandas")

        def series(column: NDArray[Any]) -> Any:
            if not np.ma.isMaskedArray(column):
                return column
            if column.dtype.kind == "f":
                return column.filled(np.nan)
            return pd.arrays.IntegerArray(np.ma.getdata(column), np.ma.getmaskarray(column))

        return pd.DataFrame({name: series(column) for name, column in self._columns.items()})

    def to_polars(self) -> pl.DataFrame:
        """Copy to a `polars.DataFrame`.

        Raises
        ------
        HbmArgumentError
            polars is not installed.
        """
        return optional_package("polars", "to_polars").from_arrow(self.to_arrow())

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Table:
        """Copy from a `pyarrow.Table` of integers, floats and strings without nulls."""
        columns: dict[str, Any] = {}
        for name in table.column_names:
            chunked = table.column(name)
            if chunked.null_count:
                raise HbmArgumentError(f"column {name!r} has {chunked.null_count} empty cells")
            columns[name] = chunked.to_numpy()
        return cls(columns)

    def to_csv(self) -> str:
        """The table as CSV with a line of names; numbers as exact as they are, empty cells empty."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.names)
        writer.writerows(row.values() for row in self.rows())
        return text.getvalue()

    def to_json(self) -> str:
        """The table as a JSON list of objects, one per row; empty cells and NaN are null."""
        rows = [{k: None if v != v else v for k, v in row.items()} for row in self.rows()]
        return json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, path: str | os.PathLike[str]) -> Path:
        r"""Write to one file, ``.csv``, ``.parquet`` or ``.json``; it appears when it is complete.

        Raises
        ------
        HbmArgumentError
            The suffix is none of these, or the file cannot be written.

        Examples
        --------
        >>> Table({"channel": [0, 1], "bytes_read": [64, 0]}).save("t.csv").read_text()
        'channel,bytes_read\n0,64\n1,0\n'
        """
        from hbmmodel.trace.target import replacing

        target = check_file(path)
        with replacing(os.fspath(target)) as file:
            if target.suffix.lower() == ".parquet":
                import pyarrow.parquet as pq

                pq.write_table(self.to_arrow(), file, compression="zstd")
            else:
                file.write((self.to_csv() if target.suffix.lower() == ".csv" else self.to_json()).encode())
        return target

    def write_parquet(self, path: Path) -> None:
        """Write to one Parquet file (zstd)."""
        import pyarrow.parquet as pq

        pq.write_table(self.to_arrow(), path, compression="zstd")

    @classmethod
    def read_parquet(cls, path: Path) -> Table:
        """Read what `write_parquet` wrote."""
        import pyarrow.parquet as pq

        return cls.from_arrow(pq.read_table(path, memory_map=False))

    def _preview(self) -> list[list[str]]:
        def cell(value: Any) -> str:
            return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)

        return [[cell(v) for v in row.values()] for row in self.head(PREVIEW_ROWS).rows()]

    def __repr__(self) -> str:
        body = self._preview()
        names = list(self.names)
        widths = [max(len(name), *(len(row[i]) for row in body), 0) for i, name in enumerate(names)]
        lines = [
            "  ".join(text.rjust(w) for text, w in zip(row, widths, strict=True)) for row in [names, *body]
        ]
        if self._n_rows > PREVIEW_ROWS:
            lines.append(f"... {self._n_rows} rows")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.names)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>"
            for row in self._preview()
        )
        more = f"<p>{self._n_rows} rows</p>" if self._n_rows > PREVIEW_ROWS else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
