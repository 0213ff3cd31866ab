"""What a terminal may be sent: whether a stream gets colours, and text from elsewhere. Must not know what is shown."""

from __future__ import annotations

import os
from typing import TextIO

__all__ = ["colored", "printable", "wanted"]


def printable(text: str, most: int | None = None) -> str:
    r"""Text that only shows itself: what would move the cursor, colour, or turn the direction of writing is escaped.

    Parameters
    ----------
    text : str
        As a trace or a file's name brings it.
    most : int, optional
        Longer text is cut.

    Examples
    --------
    >>> printable("a\x1b[31mb\n")
    'a\\x1b[31mb\\n'
    >>> printable("x" * 100, 8)
    'xxxxx...'
    """
    if most is not None and len(text) > most:
        text = text[: most - 3] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def wanted() -> bool | None:
    """What the environment asks for: True, False, or None if it says nothing.

    Source
    ------
    https://no-color.org (any value that is not empty; it wins) and https://force-color.org. ``TERM=dumb``: a terminal
    without escapes.

    Examples
    --------
    >>> import unittest.mock
    >>> with unittest.mock.patch.dict("os.environ", {"NO_COLOR": "1", "FORCE_COLOR": "1"}):
    ...     wanted()
    False
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return False if os.environ.get("TERM") == "dumb" else None


def colored(stream: TextIO) -> bool:
    """Whether escapes belong on this stream: only on a terminal, unless the environment decides."""
    choice = wanted()
    return stream.isatty() if choice is None else choice
