"""Whether a stream gets colours. Must not know what is coloured."""

from __future__ import annotations

import os
from typing import TextIO

__all__ = ["colored", "wanted"]


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
