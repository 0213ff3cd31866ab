"""A report as Markdown.

Owns the syntax; must not know which numbers matter (`content`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hbmmodel.report.content import Grid, Report, Section, describe
from hbmmodel.report.units import share_text
from hbmmodel.terminal import printable

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["render_markdown", "render_report"]


def render_markdown(result: Result) -> str:
    """The report of a result as Markdown with pipe tables."""
    return render_report(describe(result))


def render_report(report: Report) -> str:
    """Anything that is said as a `Report`, as Markdown."""
    lines = [f"# {_escape(report.title)}", "", *(_escape(s) for s in report.sentences)]
    for section in report.sections:
        lines += ["", f"## {_escape(section.title)}", "", *_section(section)]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    text = printable(text)
    for mark in "\\`*_<>|[]":
        text = text.replace(mark, "\\" + mark)
    return text


def _section(section: Section) -> list[str]:
    lines = [_escape(s) for s in section.sentences]
    grid = section.grid
    if section.bars:
        grid = Grid(("", "share"), tuple((bar.label, share_text(bar.share)) for bar in section.bars))
    if grid is not None:
        rule = "|".join("---" if i in grid.left else "---:" for i in range(len(grid.header)))
        lines += [""] if lines else []
        lines += ["|" + "|".join(map(_escape, grid.header)) + "|", f"|{rule}|"]
        lines += ["|" + "|".join(map(_escape, row)) + "|" for row in grid.rows]
    return lines
