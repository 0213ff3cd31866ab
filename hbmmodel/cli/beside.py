"""Options for programs side by side, and for the quotas that they share a memory by.

Owns the way from option strings to `side_by_side` and to quotas, and what JSON says of the classes; must not know how
a single trace is opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from hbmmodel.result import Result
    from hbmmodel.system import System
    from hbmmodel.trace import OpTrace, RequestTrace

__all__ = ["beside_options", "classes_of", "put_beside", "with_quotas"]

F = TypeVar("F", bound=Callable[..., Any])


def beside_options(function: F) -> F:
    """Add the options; they arrive as `beside`, `background`, `class_name` and `quotas`."""
    options = (
        click.option(
            "--beside",
            multiple=True,
            metavar="CLASS=TRACE",
            help="Another program at the same time, its traffic a class of its own; may be repeated.",
        ),
        click.option(
            "--background",
            multiple=True,
            metavar="CLASS=TRACE",
            help="The same, repeated until the others have ended.",
        ),
        click.option("--as", "class_name", default=None, metavar="CLASS", help="Class of TRACE [default: main]."),
        click.option(
            "--quota",
            "quotas",
            multiple=True,
            metavar="CLASS:...",
            help="Part of the data buses, as decode:reserved=0.6,priority=1 or bulk:cap=0.4,queue=0.25.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def with_quotas(system: System, quotas: Sequence[str]) -> System:
    """The system with the quotas that ``--quota`` asks for.

    Raises
    ------
    click.UsageError
        A class has two.
    HbmError
        A quota is malformed or out of range.
    """
    if not quotas:
        return system
    from hbmmodel.quotas import parse_quota

    found = [parse_quota(text) for text in quotas]
    names = [name for name, _ in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise click.UsageError(f"--quota {twice} is given twice")
    return replace(system, controller=replace(system.controller, quotas=dict(found)))


def put_beside(
    trace: RequestTrace | OpTrace,
    opened: Callable[[str], RequestTrace | OpTrace],
    *,
    class_name: str | None,
    beside: Sequence[str],
    background: Sequence[str],
) -> RequestTrace | OpTrace:
    """The trace, with others at its side if there are any.

    Parameters
    ----------
    trace : RequestTrace or OpTrace
    opened : callable
        Opens a trace by its name.
    class_name : str, optional
        Of `trace`.
    beside, background : sequence of str
        ``CLASS=TRACE``.

    Raises
    ------
    click.UsageError
        An option is malformed, or a class has two programs.
    """
    if class_name is None and not beside and not background:
        return trace
    from hbmmodel.trace.beside import side_by_side

    programs: dict[str, Any] = {class_name or "main": trace}
    behind = []
    for option, texts in (("--beside", beside), ("--background", background)):
        for text in texts:
            name, equals, file = text.partition("=")
            if not equals or not name or not file:
                raise click.UsageError(f"{option} {text!r} is not CLASS=TRACE, as in {option} bulk=copy.hbmop.gz")
            if name in programs:
                raise click.UsageError(f"{option} {text}: class {name} has a program already")
            programs[name] = opened(file)
            if option == "--background":
                behind.append(name)
    return side_by_side(programs, background=behind)


def classes_of(result: Result) -> dict[str, Any]:
    """``traffic_classes`` as JSON types, where the run had any."""
    rows = json.loads(result.traffic_classes.to_json())
    return {"traffic_classes": rows} if rows else {}
