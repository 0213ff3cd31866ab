"""A report as plain text for a terminal or a file.

Owns widths, bars and alignment; must not know which numbers matter (`content`).
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, TextIO

from hbmmodel.report.content import Bar, Grid, Report, Section, describe
from hbmmodel.report.units import share_text
from hbmmodel.terminal import colored, printable

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["print_text", "render_grid", "render_report", "render_text"]

WIDTH_MIN, WIDTH_DEFAULT, WIDTH_MAX = 72, 88, 120
EIGHTHS = " \u258f\u258e\u258d\u258c\u258b\u258a\u2589"
FULL = "\u2588"


def render_text(
    result: Result, *, width: int = WIDTH_DEFAULT, unicode: bool = True, color: bool = False
) -> str:
    """The report of a result as lines no longer than `width`.

    Parameters
    ----------
    result : Result
        What to show.
    width : int
        Columns; below 72 it is taken as 72, because the tables of numbers need them.
    unicode : bool
        Draw bars with block characters instead of ``#``.
    color : bool
        Set titles in bold with terminal escapes.

    Returns
    -------
    str
        Ends with a newline.
    """
    return render_report(describe(result), width=width, unicode=unicode, color=color)


def render_report(
    report: Report, *, width: int = WIDTH_DEFAULT, unicode: bool = True, color: bool = False
) -> str:
    """Anything that is said as a `Report`, as lines no longer than `width`; parameters as of `render_text`."""
    width = max(WIDTH_MIN, width)
    lines = [*_heading(report.title, "=", width, color), *_wrap(report, width)]
    for section in report.sections:
        lines += ["", *_heading(section.title, "-", width, color), *_section(section, width, unicode)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def print_text(result: Result, file: TextIO | None = None) -> None:
    """Print the report as the stream can show it: its width, its character set, bold only on a terminal."""
    stream = sys.stdout if file is None else file
    terminal = stream.isatty()
    width = (
        min(WIDTH_MAX, shutil.get_terminal_size((WIDTH_DEFAULT, 24)).columns - 1)
        if terminal
        else WIDTH_DEFAULT
    )
    try:
        FULL.encode(getattr(stream, "encoding", None) or "ascii")
        unicode = True
    except UnicodeEncodeError:
        unicode = False
    text = render_text(result, width=width, unicode=unicode, color=colored(stream))
    if not unicode:
        encoding = getattr(stream, "encoding", None) or "ascii"
        text = text.encode(encoding, "replace").decode(encoding)
    stream.write(text)


def render_grid(grid: Grid, width: int | None = None) -> list[str]:
    """Aligned columns, two spaces apart; the widest left-aligned columns are cut to fit `width`."""
    cells = [[printable(cell) for cell in row] for row in (grid.header, *grid.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(grid.header))]
    while width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        widest = max(grid.left, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= 4:
            break
        widths[widest] -= 1
    lines = []
    for row in cells:
        parts = []
        for i, (text, size) in enumerate(zip(row, widths, strict=True)):
            text = text if len(text) <= size else text[: size - 1] + "~"
            parts.append(text.ljust(size) if i in grid.left else text.rjust(size))
        lines.append("  ".join(parts).rstrip())
    return lines


def _heading(title: str, rule: str, width: int, color: bool) -> list[str]:
    lines = textwrap.wrap(printable(title), width) or [""]
    ruled = rule * max(len(line) for line in lines)
    return [*(f"\x1b[1m{line}\x1b[0m" if color else line for line in lines), ruled]


def _wrap(part: Report | Section, width: int) -> list[str]:
    said = map(printable, part.sentences)
    return [line for sentence in said for line in textwrap.wrap(sentence, width, break_on_hyphens=False)]


def _section(section: Section, width: int, unicode: bool) -> list[str]:
    lines = _wrap(section, width)
    if section.bars:
        lines += _bars(section.bars, width, unicode)
    if section.grid is not None:
        lines += render_grid(section.grid, width)
    return lines


def _bars(bars: tuple[Bar, ...], width: int, unicode: bool) -> list[str]:
    label = max(len(bar.label) for bar in bars)
    room = max(8, width - label - 11)
    return [
        f"{bar.label.ljust(label)}  {share_text(bar.share):>7}  {_bar(bar.share, room, unicode)}"
        for bar in bars
    ]


def _bar(share: float, room: int, unicode: bool) -> str:
    if not unicode:
        return "#" * round(share * room)
    eighths = round(share * room * 8)
    return FULL * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
