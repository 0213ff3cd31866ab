"""Files of studies: how their JSON looks, and which pictures are drawn.

Must not know what is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hbmmodel.result.table import check_file

__all__ = ["PICTURES", "check_output", "json_text"]

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
