"""`Study`: the points of a sweep as a table, as a data frame, as a cube.

Owns the shape of what a sweep found and its file; must not know how the points were run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import KEYS, Result, Table
from hbmmodel.result.long import unit_of
from hbmmodel.result.table import optional_package
from hbmmodel.study.point import Point

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, import-not-found, unused-ignore]
    import xarray as xr  # type: ignore[import-not-found, unused-ignore]

__all__ = ["Study", "is_study"]

FORMAT, FORMAT_VERSION = "hbmmodel-study", 1


@dataclass(frozen=True, eq=False)
class Study:
    """What a sweep found.

    Attributes
    ----------
    axes : dict of str to list
        Names and values, the last changing fastest.
    points : tuple of Point
        One per combination, in order; of an interrupted sweep those that were finished.
    about : dict
        Base system and options, in JSON types.
    directory : str or None
        Where the results are kept.
    """

    axes: dict[str, Sequence[Any]]
    points: tuple[Point, ...]
    about: dict[str, Any] = field(default_factory=dict)
    directory: str | None = None

    @property
    def failures(self) -> tuple[Point, ...]:
        """Points that have an error and no summary."""
        return tuple(point for point in self.points if point.error is not None)

    @cached_property
    def table(self) -> Table:
        """One row per point: a column per axis, every key of a summary (empty where it has no answer), ``error``."""
        columns: dict[str, Any] = {name: _column([p.values[name] for p in self.points]) for name in self.axes}
        for key in KEYS:
            values = [None if p.summary is None else p.summary.get(key) for p in self.points]
            missing = [value is None for value in values]
            whole = all(isinstance(value, int) for value in values if value is not None) and not all(missing)
            column = np.array([0 if value is None else value for value in values], np.int64 if whole else np.float64)
            columns[key] = np.ma.masked_array(column, missing) if any(missing) else column
        columns["error"] = np.array([p.error or "" for p in self.points], dtype=object)
        return Table(columns)

    def to_pandas(self) -> pd.DataFrame:
        """The table as a `pandas.DataFrame`."""
        return self.table.to_pandas()

    def to_xarray(self) -> xr.Dataset:
        """The study as a cube: a dimension per axis, a variable per key of a summary, NaN where there is no answer.

        Raises
        ------
        HbmArgumentError
            xarray is not installed.
        """
        xr = optional_package("xarray", "to_xarray")
        shape = tuple(len(values) for values in self.axes.values())
        table, dims = self.table, tuple(self.axes)
        where = tuple(
            np.array([list(values).index(p.values[name]) for p in self.points], dtype=np.int64)
            for name, values in self.axes.items()
        )
        variables: dict[str, Any] = {}
        for key in KEYS:
            cube = np.full(shape, np.nan)
            cube[where] = np.ma.filled(np.ma.asanyarray(table[key]).astype(np.float64), np.nan)
            variables[key] = (dims, cube, {"units": unit_of(key), "long_name": KEYS[key]})
        errors = np.full(shape, "not run", dtype=object)
        errors[where] = table["error"]
        variables["error"] = (dims, errors)
        coordinates = {name: _column(list(values)) for name, values in self.axes.items()}
        return xr.Dataset(variables, coords=coordinates, attrs={"hbmmodel_version": str(self.about.get("version"))})

    def result(self, **values: Any) -> Result:
        """The kept result of one point, named by its values; a point ``.`` in an axis' name is written ``_``.

        Raises
        ------
        HbmArgumentError
            No point, or several, have these values, it failed, or the results were not kept.

        Examples
        --------
        >>> Study({"stacks": [1]}, (Point({"stacks": 1}, {}),)).result(stacks=1)
        Traceback (most recent call last):
        hbmmodel.errors.HbmArgumentError: the results were not kept; sweep with directory=...
        """
        if self.directory is None:
            raise HbmArgumentError("the results were not kept; sweep with directory=...")
        wanted = {name: values.pop(name.replace(".", "_")) for name in self.axes if name.replace(".", "_") in values}
        if values:
            raise HbmArgumentError(f"there is no axis {next(iter(values))!r}; there are {', '.join(self.axes)}")
        mine = [p for p in self.points if all(p.values[name] == value for name, value in wanted.items())]
        if len(mine) != 1:
            raise HbmArgumentError(f"{len(mine)} points have these values; name one value of every axis")
        if mine[0].error is not None:
            raise HbmArgumentError(f"this point failed: {mine[0].error}")
        return Result.load(Path(self.directory) / "points" / mine[0].key)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        from hbmmodel.provenance import collect

        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "axes": {name: list(values) for name, values in self.axes.items()},
            "points": [asdict(point) for point in self.points],
            "about": self.about,
            "provenance": collect(),
        }

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Study:
        """Read what a sweep left in its directory.

        Raises
        ------
        HbmArgumentError
            It is no study, or its file is damaged.
        """
        path = Path(directory) / "study.json"
        if not is_study(Path(directory)):
            raise HbmArgumentError(f"{path} is missing or damaged; {directory} is no study")
        content = json.loads(path.read_text(encoding="utf-8"))
        try:
            points = tuple(Point(**point) for point in content["points"])
            study = cls(dict(content["axes"]), points, dict(content["about"]), str(directory))
            _ = study.table
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise HbmArgumentError(f"{path} is damaged: {error!r}; run the sweep again") from None
        return study

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"<Study of {' x '.join(self.axes) or 'one run'}: {len(self.points)} points{failed}>"

    def _repr_html_(self) -> str:
        return f"<p>{len(self.points)} points, {len(self.failures)} failed</p>{self.table._repr_html_()}"


def is_study(directory: Path) -> bool:
    """Whether a directory holds a study that this version reads."""
    try:
        content = json.loads((directory / "study.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, Mapping) and (content.get("format"), content.get("format_version")) == (FORMAT, 1)


def _column(values: list[Any]) -> Any:
    """Numbers as numbers if all are, else words."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return np.array(values)
    return np.array(["none" if value is None else str(value) for value in values], dtype=object)
