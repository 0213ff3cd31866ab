"""Reports: a result that a person can read. `content` says what; `text`, `markdown` and `page` say how.

The package knows results and must not know how they were made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hbmmodel.report.markdown import render_markdown
from hbmmodel.report.page import render_html
from hbmmodel.report.text import print_text, render_text
from hbmmodel.trace.target import replace_text

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
    replace_text(path, text)
