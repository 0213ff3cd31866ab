"""Files of recorded numbers: JSON and its fields read with one clear refusal each, and ours beside what was recorded.

Owns how a malformed file is refused and what counts as a difference; must not know what any number means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.source import pieces

__all__ = ["differences", "is_number", "parse_json", "read_json", "real", "refuse", "short", "sub_object", "whole"]

FILE_MAX_BYTES = 256 << 20
LARGEST = 1e30
"""Of a plain number in a file, in any unit."""


# ---- reading ----


def read_json(path: Path) -> Any:
    """Content of a JSON file; plain, gzip, xz or zstd.

    Raises
    ------
    HbmTraceError
        It cannot be read, is larger than 256 MiB (unpacked), or is no JSON.
    """
    try:
        path.stat()
        content = bytearray()
        for piece in pieces(path):
            content += piece
            if len(content) > FILE_MAX_BYTES:
                refuse(path, f"is larger than {FILE_MAX_BYTES >> 20} MiB; no recorded file is")
        return parse_json(content.decode(), path)
    except OSError as error:
        refuse(path, f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError:
        refuse(path, "not UTF-8 text; is it JSON?")


def parse_json(text: str, where: object) -> Any:
    """Strict JSON: finite numbers, no name twice in an object; `where` begins every message.

    Raises
    ------
    HbmTraceError
        It is none.

    Examples
    --------
    >>> parse_json('{"a": 1, "a": 2}', "x.json")
    Traceback (most recent call last):
    hbmmodel.errors.HbmTraceError: x.json: the name 'a' stands twice in one object
    """

    def constant(name: str) -> NoReturn:
        refuse(where, f"{name} is not a finite number")

    def once(members: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(members)
        if len(found) < len(members):
            names = [name for name, _ in members]
            refuse(where, f"the name {short(next(n for n in names if names.count(n) > 1))} stands twice in one object")
        return found

    try:
        return json.loads(text, parse_constant=constant, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        refuse(where, f"line {error.lineno}: not JSON: {error.msg}")
    except RecursionError:
        refuse(where, "nested too deeply to be what is expected")
    except ValueError as error:
        if isinstance(error, HbmTraceError):
            raise
        refuse(where, "a whole number has thousands of digits")


def refuse(where: object, message: str) -> NoReturn:
    """Raise HbmTraceError with place and message."""
    raise HbmTraceError(f"{where}: {message}")


def sub_object(content: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    """A field that must be an object."""
    value = content.get(name)
    if not isinstance(value, Mapping):
        refuse(where, f"{name!r} is missing or not an object")
    return value


def whole(content: Mapping[str, Any], name: str, where: str, low: int, high: int) -> int:
    """A field that must be a whole number from `low` to `high`."""
    value = content.get(name)
    if type(value) is not int or not low <= value <= high:
        refuse(where, f"{name!r} is {short(value)}; it must be a whole number in {low}..{high}")
    return value


def real(content: Mapping[str, Any], name: str, where: str, low: float = 0.0, high: float = LARGEST) -> float:
    """A field that must be a number from `low` to `high`."""
    value = content.get(name)
    if not is_number(value) or not low <= value <= high:
        refuse(where, f"{name!r} is {short(value)}; it must be a number in {low:g}..{high:g}")
    return float(value)


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether it is a finite number, of a size that a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300


def short(value: object) -> str:
    """What stands there, in at most 40 characters."""
    try:
        text = repr(value)
    except ValueError:  # an int of thousands of digits
        return "a number of thousands of digits"
    except RecursionError:
        return "something deeply nested"
    return text if len(text) <= 40 else f"{text[:40]}..."


# ---- comparing ----


def differences(ours: Any, recorded: Any) -> dict[str, Any]:
    """What differs.

    Parameters
    ----------
    ours, recorded : mappings and lists of numbers
        Ours may hold more; None in the recorded ones is nothing recorded.

    Returns
    -------
    dict
        ``largest_absolute``; ``largest_relative``, 0 to 1, of the larger of the two numbers, and ``where`` that is;
        ``values``, every recorded number as ours minus recorded, by its path. A number that we lack, or lists of
        different lengths, count as a relative difference of 1 and have the value None.

    Examples
    --------
    >>> differences({"total_J": 2.0}, {"total_J": 1.0})["values"]
    {'total_J': 1.0}
    >>> differences({"a": [1, 2]}, {"a": [1]})["values"]
    {'a': None}
    """
    values: dict[str, float | None] = {}
    found: dict[str, Any] = {"largest_absolute": 0.0, "largest_relative": 0.0, "where": "", "values": values}

    def note(path: str, off: float | None, relative: float) -> None:
        values[path] = off
        found["largest_absolute"] = max(found["largest_absolute"], abs(off or 0.0))
        if relative > found["largest_relative"]:
            found["largest_relative"], found["where"] = relative, path

    def walk(mine: Any, theirs: Any, path: str) -> None:
        if theirs is None or isinstance(mine, str):
            return
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            for name, inner in theirs.items():
                walk(mine.get(name), inner, f"{path}.{name}" if path else str(name))
        elif isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
            for i, (one, other) in enumerate(zip(mine, theirs, strict=True)):
                walk(one, other, f"{path}[{i}]")
        elif is_number(mine) and is_number(theirs):
            # Differences of currents cancel: what is 1e-24 J or less is no energy.
            scale = max(abs(mine), abs(theirs))
            note(path, mine - theirs, abs(mine - theirs) / scale if scale > 1e-24 else 0.0)
        elif mine is not None or not isinstance(theirs, str):  # a text of a name that we lack is a remark
            note(path, None, 1.0)

    walk(ours, recorded, "")
    return found
