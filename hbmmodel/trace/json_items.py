"""The members of one JSON object, with the items of its long arrays one by one.

Owns the walk over a JSON text that does not fit in memory, as profilers write it: ``{"a": 1, "events": [ ... ]}``;
must not know what the members mean. An item is decoded as a whole, so that only its size is bounded.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.problem import trace_error
from hbmmodel.trace.source import JSON_LINE_MAX, pieces

__all__ = ["json_members"]

BLANK = re.compile(r"[ \t\r\n]*")
CLOSING = frozenset(" \t\r\n,]}")
NUMBER_TAIL = 3
REMEDY = "write the file again; it was perhaps cut off"


def json_members(name: str, arrays: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """Members of the object in a file: (key, value); of a key in `arrays`, once per item of its array.

    Parameters
    ----------
    name : str
        The file; plain, gzip, xz or zstd.
    arrays : frozenset of str
        Keys whose arrays are not built but handed on item by item.

    Raises
    ------
    HbmTraceError
        No JSON object, cut off, too deep, or an item of more than 16 MiB.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.json"
    >>> _ = path.write_text('{"schema": "1", "nodes": [{"id": 2}, {"id": 3}]}')
    >>> list(json_members(str(path), frozenset(["nodes"])))
    [('schema', '1'), ('nodes', {'id': 2}), ('nodes', {'id': 3})]
    """
    text = _Text(name)
    text.expect("{")
    if text.peek() == "}":
        text.expect("}")
    else:
        while True:
            key = text.value()
            if not isinstance(key, str):
                text.fail("a key is no text")
            text.expect(":")
            if key in arrays and text.peek() == "[":
                yield from _items(text, key)
            else:
                yield key, text.value()
            if text.expect(",}") == "}":
                break
    text.expect_end()


def _items(text: _Text, key: str) -> Iterator[tuple[str, Any]]:
    text.expect("[")
    if text.peek() == "]":
        text.expect("]")
        return
    while True:
        yield key, text.value()
        if text.expect(",]") == "]":
            return


class _Text:
    """A window on the text; JSON values are cut off its front."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pieces = pieces(name)
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._decode = json.JSONDecoder(parse_constant=self._no_constant).raw_decode
        self._window = ""
        self._at = 0
        self._ended = False
        self._line = 1

    def fail(self, what: str) -> NoReturn:
        """Raise the error of what stands at the front."""
        raise self._error(what) from None

    def _error(self, what: str) -> HbmTraceError:
        line = self._line + self._window.count("\n", 0, self._at)
        got = self._window[self._at : self._at + 40] or None
        return trace_error(self._name, what, line=line, got=got, remedy=REMEDY)

    def _no_constant(self, word: str) -> NoReturn:
        raise ValueError(f"{word} is no number of JSON")

    def _more(self, at_least: int = 1) -> bool:
        """Read on; the part of the window that was used up is dropped."""
        if self._ended:
            return False
        self._line += self._window.count("\n", 0, self._at)
        parts = [self._window[self._at :]]
        self._at = 0
        added = 0
        while added < at_least and not self._ended:
            piece = next(self._pieces, None)
            self._ended = piece is None
            try:
                parts.append(self._utf8.decode(piece or b"", final=self._ended))
            except UnicodeDecodeError:
                raise trace_error(self._name, "not UTF-8 text", line=self._line, remedy=REMEDY) from None
            added += len(parts[-1])
        self._window = "".join(parts)
        return added > 0

    def peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        n_blank = 0
        while True:
            blank = BLANK.match(self._window, self._at)
            assert blank is not None
            self._at = blank.end()
            if self._at < len(self._window):
                return self._window[self._at]
            n_blank += len(blank[0])
            if n_blank > JSON_LINE_MAX:
                self.fail(f"more than {JSON_LINE_MAX} blanks")
            if not self._more():
                return ""

    def expect(self, allowed: str) -> str:
        """Take the next character, which must be one of `allowed`."""
        found = self.peek()
        if found == "":
            self.fail("the JSON text ends in the middle")
        if found not in allowed:
            self.fail(f"not the {' or '.join(allowed)} of a JSON object or array")
        self._at += 1
        return found

    def expect_end(self) -> None:
        """Nothing may follow."""
        if self.peek():
            self.fail("something follows the JSON object")

    def value(self) -> Any:
        """Take the next value as a whole."""
        if self.peek() == "":
            self.fail("the JSON text ends in the middle")
        while True:
            fault = ""
            try:
                value, end = self._decode(self._window, self._at)
            except RecursionError:
                self.fail("nested too deeply")
            except ValueError as error:
                fault = f"not JSON ({str(error)[:80]})"
            else:
                # At the very end of the window, "1" may go on as "12", and "1." or "1e+" as "1.5" or "1e+5".
                if end + NUMBER_TAIL < len(self._window) or self._ended or self._window[end : end + 1] in CLOSING:
                    if end - self._at > JSON_LINE_MAX:
                        self.fail(f"an item is longer than {JSON_LINE_MAX} characters")
                    self._at = end
                    return value
            # Cut off by the end of the window, perhaps: look at twice as much before saying that it is wrong.
            held = len(self._window) - self._at
            if held > 2 * JSON_LINE_MAX:
                self.fail(f"an item is longer than {JSON_LINE_MAX} characters, or is not JSON")
            if not self._more(max(1, held)):
                if not fault:
                    continue  # a number at the very end of the text
                self.fail(fault)
