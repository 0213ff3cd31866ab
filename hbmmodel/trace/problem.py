"""The one sentence that every fault of a trace is told in.

Owns the form ``FILE: line N: field F: got G; remedy``, and the class of warnings; must not know any format.
"""

from __future__ import annotations

import reprlib

from hbmmodel.errors import HbmTraceError

__all__ = ["EXCERPT_MAX", "HbmTraceWarning", "excerpt", "trace_error"]

EXCERPT_MAX = 60

# Hostile data may be nested without end, or hold the same list a million times over.
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel = 4
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = EXCERPT_MAX // 3 + 1
_BRIEF.maxstring = _BRIEF.maxlong = _BRIEF.maxother = 2 * EXCERPT_MAX


class HbmTraceWarning(UserWarning):
    """Something about a trace that its user should know, and that does not end the reading."""


def excerpt(value: object) -> str:
    """A value as it may stand in a one-line message: quoted, printable, at most 60 characters.

    Examples
    --------
    >>> excerpt(b"0x12 READ")
    "'0x12 READ'"
    >>> excerpt(["r", 0])
    "['r', 0]"
    """
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value[: EXCERPT_MAX + 1]).decode("ascii", "backslashreplace")
    elif isinstance(value, str):
        value = value[: EXCERPT_MAX + 1]
    elif isinstance(value, list | tuple | dict) and len(value) > EXCERPT_MAX:
        return f"a {type(value).__name__} of {len(value)} items"
    elif isinstance(value, int) and abs(value) >> 200:
        return f"a number of {abs(value).bit_length()} bits"
    text = _BRIEF.repr(value)
    if len(text) > EXCERPT_MAX:
        text = text[: EXCERPT_MAX - 3] + "..."
    return text


def trace_error(
    name: str,
    what: str,
    *,
    remedy: str,
    line: int | None = None,
    record: int | None = None,
    field: str | None = None,
    got: object = None,
) -> HbmTraceError:
    """The error of one bad record, ready to raise.

    Parameters
    ----------
    name : str
        File or trace.
    what : str
        What is wrong.
    remedy : str
        What would be right, or what to do.
    line, record : int, optional
        Where: a line of text (from 1) or a record (from 0).
    field : str, optional
        Which field of it.
    got : object, optional
        What stood there; None leaves it out.

    Examples
    --------
    >>> print(trace_error("a.trace", "not a number", line=3, field="cycle", got=b"x", remedy="write digits"))
    a.trace: line 3: field cycle: not a number: got 'x'; write digits
    """
    parts = [name]
    if line is not None:
        parts.append(f"line {line}")
    if record is not None:
        parts.append(f"record {record}")
    if field is not None:
        parts.append(f"field {field}")
    parts.append(what)
    if got is not None:
        parts.append(f"got {excerpt(got)}")
    return HbmTraceError(": ".join(parts) + "; " + remedy)
