"""A report as one self-contained HTML page: opens offline, loads nothing, is readable without scripts and on paper.

Owns the order of the sections and what is embedded how; must not know which numbers matter (`content`), how pictures
look (`figures`) or their colours (`palette`). Markup, style and behaviour are ``page.html.j2``, ``page.css``,
``page.js``.
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hbmmodel.report.content import Grid, Section, describe, describe_system
from hbmmodel.report.evidence import evidence, origin
from hbmmodel.report.headline import cards
from hbmmodel.report.page.charts import Pictures, pictures
from hbmmodel.report.palette import DARK, LIGHT, resolve
from hbmmodel.report.units import share_text
from hbmmodel.terminal import printable

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["render_html"]

ORDER = (
    *("workload", "bandwidth", "account", "latency", "spread", "rows", "energy", "temperature", "states"),
    *("names", "operations", "assumptions"),
)
"""Keys of the sections from top to bottom; a section that is not named here stands before the assumptions."""

OPEN = frozenset({"workload", "rows"})
"""Sections whose table is shown at once: they have no picture that says the same."""


@dataclass(frozen=True)
class Part:
    """A section of the page with its pictures."""

    section: Section
    pictures: Pictures
    open: bool


def render_html(result: Result) -> str:
    """The report of a result as one HTML page that opens offline."""
    report = describe(result)
    shown, more = pictures(result)
    sections = sorted(
        [*report.sections, *more], key=lambda s: ORDER.index(s.key) if s.key in ORDER else len(ORDER) - 1.5
    )
    pairs = [(section, shown.get(section.key, Pictures())) for section in sections]
    parts = [Part(section, drawn, section.key in OPEN or not drawn.charts) for section, drawn in pairs]
    figures = {chart.key: chart.figure for part in parts for chart in part.pictures.charts}
    page: str = _template().render(
        report=report,
        machine=describe_system(result.system),
        cards=cards(result),
        parts=parts,
        evidence=evidence(result),
        origin=origin(result),
        version=result.provenance.get("version", ""),
        created=result.provenance.get("created", ""),
        style=_file("page.css"),
        light=_variables(LIGHT),
        dark=_variables(DARK),
        script=_file("page.js") if figures else "",
        figures=_json({"figures": figures, "themes": _themes(figures)}) if figures else "",
        plotly=_plotly() if figures else "",
    )
    return page


@functools.cache
def _template() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["share"] = share_text
    environment.filters["rectangular"] = _rectangular
    return environment.get_template("page.html.j2")


def _rectangular(grid: Grid) -> list[list[tuple[str, bool]]]:
    """Rows of (text, stands left)."""
    return [[(cell, i in grid.left) for i, cell in enumerate(row)] for row in grid.rows]


def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def _json(value: Any) -> str:
    """JSON that may stand inside a script element: nothing in it can end the element or begin a comment."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _themes(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every name of a colour in the figures, in both themes."""
    names: set[str] = set()

    def walk(value: Any, colour: bool) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, "color" in key)
        elif isinstance(value, list | tuple):
            if colour:
                for inner in value:
                    walk(inner, True)
            else:
                for inner in value:
                    if isinstance(inner, dict):
                        walk(inner, False)
        elif colour and isinstance(value, str) and value.startswith("@"):
            names.add(value)

    walk(figures, False)
    return {
        theme: {name: resolve(name, dark=theme == "dark") for name in sorted(names)} for theme in ("light", "dark")
    }


@functools.cache
def _plotly() -> str:
    """Plotly's script, compressed: the browser inflates it, and the page is a third as long."""
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped, unused-ignore]

    return base64.b64encode(gzip.compress(get_plotlyjs().encode("utf-8"), 9, mtime=0)).decode("ascii")
