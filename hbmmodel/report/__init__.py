"""Reports: a result that a person can read. `content` says what; `text`, `markdown` and `page` say how.

The package knows results and must not know how they were made.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hbmmodel.errors import HbmArgumentError
from hbmmodel.report.markdown import render_markdown
from hbmmodel.report.page import render_html
from hbmmodel.report.text import print_text, render_text

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["print_text", "render_html", "render_markdown", "render_text", "write_html", "write_markdown", "write_text"]


def write_text(result: Result, path: Path) -> None:
    """Write the report as UTF-8 text."""
    _write(path, render_text(result))


def write_markdown(result: Result, path: Path) -> None:
    """Write the report as Markdown."""
    _write(path, render_markdown(result))


def write_html(result: Result, path: Path) -> None:
    """Write the report as one self-contained HTML page."""
    _write(path, render_html(result))


def _write(path: Path, text: str) -> None:
    """Write beside the target and rename, so that no half report is ever seen."""
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"{path.absolute().parent} does not exist; make it before writing {path.name} in it"
        )
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    except OSError as error:
        raise HbmArgumentError(f"{path} cannot be written: {error.strerror or error}; name another place") from None
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        mask = os.umask(0o022)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException as error:
        os.unlink(name)
        if isinstance(error, OSError):
            raise HbmArgumentError(f"{path} cannot be written: {error.strerror}; name another place") from None
        raise
