"""A stretch of simulated time on the command line: two times with units.

Owns its grammar, ``START:END``, and the opening of a saved run whose log is read in pieces; must not know file formats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

if TYPE_CHECKING:
    from hbmmodel.commands import Log
    from hbmmodel.result import Result

__all__ = ["WINDOW", "Window", "exported"]

class Window(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # a plain class in older click
    """Two times with units, ``20us:25us``, as ns."""

    name = "window"
    UNITS_NS: ClassVar[dict[str, Fraction]] = {
        "ps": Fraction(1, 1000),
        "ns": Fraction(1),
        "us": Fraction(10**3),
        "ms": Fraction(10**6),
        "s": Fraction(10**9),
    }

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Fraction, Fraction]:
        """Exact, so that a window that begins with a tick holds that tick."""
        if isinstance(value, tuple):
            return value
        ends = str(value)[:200].split(":")
        try:
            start, end = (self._ns(text) for text in ends)
        except (ValueError, KeyError):
            self.fail(f"{str(value)[:80]!r} is not START:END with units (ps, ns, us, ms, s), as 20us:25us", param, ctx)
        if not 0 <= start < end:
            self.fail(f"{str(value)[:80]!r} ends before it begins, or begins before 0", param, ctx)
        return start, end

    def _ns(self, text: str) -> Fraction:
        found = re.fullmatch(r"(\d{1,20}(?:\.\d{1,20})?) ?([a-z]{0,2})", text.strip().replace("\u00b5", "u"))
        if found is None or (not found[2] and Fraction(found[1]) != 0):
            raise ValueError
        return Fraction(found[1]) * self.UNITS_NS[found[2] or "ns"]


WINDOW = Window()


def exported(directory: str) -> tuple[Result, Iterator[Log]]:
    """A saved run, and its command log in pieces."""
    from hbmmodel.result import store

    return store.load(Path(directory), command_log=False), store.log_pieces(Path(directory))
