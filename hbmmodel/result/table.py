"""A small column table: named numpy columns of one length.

Owns column access, printing and the way to Arrow and Parquet; must not know what the columns mean. Results
hold these and not data frames, because importing a data-frame library costs more time than many
simulations.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, import-not-found, unused-ignore]
    import pyarrow as pa

__all__ = ["Table"]

PREVIEW_ROWS = 20


def _as_column(name: str, values: Any) -> NDArray[Any]:
    column = np.asarray(values)
    if column.dtype.kind in "US" or (column.size == 0 and column.dtype.kind == "O"):
        column = column.astype(object)
    if column.ndim != 1:
        raise HbmArgumentError(f"column {name!r} has {column.ndim} dimensions; a column has one")
    return column


class Table:
    """Named columns of equal length.

    Parameters
    ----------
    columns : mapping of str to array_like, shape (n,)
        Integer, float or str columns; the order is kept.

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
        return self.names == other.names and all(
            np.array_equal(self[n], other[n], equal_nan=self[n].dtype.kind == other[n].dtype.kind == "f")
            for n in self.names
        )

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

        return pa.table(
            {
                name: pa.array(column, type=pa.string()) if column.dtype.kind == "O" else pa.array(column)
                for name, column in self._columns.items()
            }
        )

    def to_pandas(self) -> pd.DataFrame:
        """Copy to a `pandas.DataFrame` (pandas must be installed)."""
        try:
            import pandas as pd
        except ImportError:
            raise HbmArgumentError(
                "to_pandas needs pandas: pip install pandas; to_arrow works without it"
            ) from None
        return pd.DataFrame(dict(self._columns))

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
            return f"{value:.6g}" if isinstance(value, float) else str(value)

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
