"""Files of studies: how their JSON looks, which pictures are drawn, and what of a study goes into which file.

Must not know what is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hbmmodel.result.table import Table, check_file
from hbmmodel.trace.target import replace_text

__all__ = ["PICTURES", "check_output", "json_text", "save_study"]

PICTURES = (".png", ".svg", ".pdf")


def json_text(content: Mapping[str, Any]) -> str:
    """JSON as files of this room hold it."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def check_output(path: str | os.PathLike[str], others: tuple[str, ...], what: str) -> Path:
    """The path of a picture, or of a file with one of the other suffixes, before anything is computed for it.

    Raises
    ------
    HbmArgumentError
        The suffix is none of these, the file cannot be written, or what draws pictures is not installed.
    """
    target = check_file(path, (*others, *PICTURES), what)
    if target.suffix.lower() in PICTURES:
        from hbmmodel.study.picture import new_figure

        new_figure(1, 1)
    return target


def save_study(
    target: Path, table: Table, draw: Callable[[], Any], content: Callable[[], Mapping[str, Any]]
) -> Path:
    """Write a checked path: a picture where the suffix asks for one, all of it as JSON, the table otherwise."""
    if target.suffix.lower() in PICTURES:
        from hbmmodel.study.picture import save_figure

        return save_figure(draw(), target)
    if target.suffix.lower() != ".json":
        return table.save(target)
    return replace_text(target, json_text(content()))
