"""A report as one self-contained HTML page: no scripts, nothing loaded, readable in light and dark.

Owns the markup; must not know which numbers matter (`content`).
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from hbmmodel.report.content import Bar, Grid, Section, describe
from hbmmodel.report.units import share_text

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["render_html"]

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid; }
th, td { border-color: color-mix(in srgb, currentColor 18%, transparent); }
th.left, td.left { text-align: left; }
td.bar { width: 24rem; text-align: left; }
td.bar div { background: #2f7ebc; height: .8rem; min-width: 1px; }
.wide { overflow-x: auto; }
"""


def render_html(result: Result) -> str:
    """The report of a result as one HTML page that opens offline."""
    report = describe(result)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(report.title)}</h1>",
        *(f"<p>{escape(sentence)}</p>" for sentence in report.sentences),
    ]
    for section in report.sections:
        parts += [f"<section><h2>{escape(section.title)}</h2>", *_section(section), "</section>"]
    return "\n".join([*parts, "</body></html>", ""])


def _section(section: Section) -> list[str]:
    parts = [f"<p>{escape(sentence)}</p>" for sentence in section.sentences]
    if section.bars:
        parts.append("<table>" + "".join(map(_bar, section.bars)) + "</table>")
    if section.grid is not None:
        parts.append(_grid(section.grid))
    return parts


def _bar(bar: Bar) -> str:
    width = f"{100 * float(bar.share):.3f}%"
    return (
        f'<tr><td class="left">{escape(bar.label)}</td><td>{escape(share_text(bar.share))}</td>'
        f'<td class="bar"><div style="width:{width}"></div></td></tr>'
    )


def _grid(grid: Grid) -> str:
    def row(tag: str, cells: tuple[str, ...]) -> str:
        return (
            "<tr>"
            + "".join(
                f'<{tag}{" class=" + chr(34) + "left" + chr(34) if i in grid.left else ""}>{escape(cell)}</{tag}>'
                for i, cell in enumerate(cells)
            )
            + "</tr>"
        )

    return (
        '<div class="wide"><table><thead>'
        + row("th", grid.header)
        + "</thead><tbody>"
        + "".join(row("td", tuple(cells)) for cells in grid.rows)
        + "</tbody></table></div>"
    )
