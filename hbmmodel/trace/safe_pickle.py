"""Plain data out of a pickle, and nothing else: no class is looked up, nothing is called.

Owns a pickle machine that knows only the opcodes of dict, list, tuple, str, bytes, int, float, bool and None; must not
know what the data mean. The standard library's machine can be kept from looking up classes, but not from setting aside
memory for whatever a hostile file claims.

Source
------
Python, ``Lib/pickletools.py``: the opcodes and their arguments.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.problem import trace_error
from hbmmodel.trace.source import pieces

__all__ = ["PICKLE_MAGIC", "load_plain"]

PICKLE_MAGIC = b"\x80"
OPCODES_MAX = 1 << 26
TEXT_BYTES_MAX = 16 << 20
LONG_BYTES_MAX = 64
PROTOCOL_MAX = 5
REMEDY = "give a file of plain data, as torch.cuda.memory._dump_snapshot writes it"

_MARK = object()

# Opcode -> format of its argument: a number of this struct format, which is the value or the length of what follows.
_NUMBERS = {b"K": "<B", b"M": "<H", b"J": "<i", b"G": ">d"}
_BYTES = {b"U": "<B", b"T": "<i", b"C": "<B", b"B": "<I", b"\x8e": "<Q"}
_TEXTS = {b"\x8c": "<B", b"X": "<I", b"\x8d": "<Q"}
_LONGS = {b"\x8a": "<B", b"\x8b": "<i"}
_GETS = {b"h": "<B", b"j": "<I"}
_PUTS = {b"q": "<B", b"r": "<I"}
_CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False}
_EMPTY: dict[bytes, type] = {b"}": dict, b"]": list, b")": tuple}
_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}


def load_plain(name: str) -> Any:
    """The value in a pickle file; plain, gzip, xz or zstd.

    Raises
    ------
    HbmTraceError
        The file is no pickle, is cut off, or holds anything but plain data.

    Examples
    --------
    >>> import pathlib, pickle, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.pickle"
    >>> _ = path.write_bytes(pickle.dumps({"segments": [(1, 2.5, None)]}))
    >>> load_plain(str(path))
    {'segments': [(1, 2.5, None)]}
    """
    return _Machine(name).run()


class _Machine:
    def __init__(self, name: str) -> None:
        self._name = name
        self._pieces = pieces(name)
        self._held = b""
        self._at = 0
        self._before = 0  # bytes of the file that are no longer held
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        steps = self._steps()
        for _ in range(OPCODES_MAX):
            code = self._take(1)
            if code == b".":
                return self._pop(1)[0]
            step = steps.get(code)
            if step is None:
                raise self._error("not plain data (an object, or an old protocol); it is not loaded", code)
            try:
                step()
            except HbmTraceError:
                raise
            except (IndexError, KeyError, TypeError, ValueError):
                raise self._error("damaged", code) from None
        raise self._error(f"more than {OPCODES_MAX} opcodes", None)

    def _steps(self) -> dict[bytes, Callable[[], object]]:
        """What each opcode does."""
        return {
            **{code: partial(self._text, form) for code, form in _TEXTS.items()},
            **{code: partial(self._bytes, form) for code, form in _BYTES.items()},
            **{code: partial(self._push_number, form) for code, form in _NUMBERS.items()},
            **{code: partial(self._long, form) for code, form in _LONGS.items()},
            **{code: partial(self._get, form) for code, form in _GETS.items()},
            **{code: partial(self._put, form) for code, form in _PUTS.items()},
            **{code: partial(self._stack.append, value) for code, value in _CONSTANTS.items()},
            **{code: partial(self._empty, kind) for code, kind in _EMPTY.items()},
            **{code: partial(self._tuple, n) for code, n in _TUPLES.items()},
            b"(": partial(self._stack.append, _MARK),
            b"u": lambda: self._update(self._to_mark()),
            b"s": lambda: self._update(self._pop(2)),
            b"e": lambda: self._extend(self._to_mark()),
            b"a": lambda: self._extend(self._pop(1)),
            b"t": lambda: self._stack.append(tuple(self._to_mark())),
            b"l": lambda: self._stack.append(self._to_mark()),
            b"d": self._dict,
            b"0": lambda: self._pop(1),
            b"\x94": lambda: self._remember(len(self._memo)),
            b"\x95": lambda: self._take(8),  # the length of a frame
            b"\x80": self._protocol,
        }

    def _error(self, what: str, got: bytes | None) -> HbmTraceError:
        where = f"byte {max(self._before + self._at - 1, 0)} of the pickle: {what}"
        return trace_error(self._name, where, got=got, remedy=REMEDY)

    def _take(self, n: int) -> bytes:
        while len(self._held) - self._at < n:
            piece = next(self._pieces, None)
            if piece is None:
                raise self._error("the file ends in the middle", None)
            self._before += self._at
            self._held = self._held[self._at :] + piece
            self._at = 0
        part = self._held[self._at : self._at + n]
        self._at += n
        return part

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _content(self, form: str, limit: int) -> bytes:
        length = self._number(form)
        if not 0 <= length <= limit:
            raise self._error(f"{length} bytes in one value, at most {limit} are read", None)
        return self._take(length)

    def _pop(self, n: int) -> list[Any]:
        """The last n values; a mark among them, or too few, is a fault."""
        found = self._stack[len(self._stack) - n :] if len(self._stack) >= n else []
        if len(found) != n or any(value is _MARK for value in found):
            raise self._error("damaged", None)
        del self._stack[len(self._stack) - n :]
        return found

    def _to_mark(self) -> list[Any]:
        for at in range(len(self._stack) - 1, -1, -1):
            if self._stack[at] is _MARK:
                found = self._stack[at + 1 :]
                del self._stack[at:]
                return found
        raise self._error("damaged", None)

    def _top(self, kind: type) -> Any:
        if not self._stack or type(self._stack[-1]) is not kind:
            raise self._error("damaged", None)
        return self._stack[-1]

    def _text(self, form: str) -> None:
        self._stack.append(self._content(form, TEXT_BYTES_MAX).decode("utf-8", "surrogatepass"))

    def _bytes(self, form: str) -> None:
        self._stack.append(self._content(form, TEXT_BYTES_MAX))

    def _push_number(self, form: str) -> None:
        self._stack.append(self._number(form))

    def _long(self, form: str) -> None:
        self._stack.append(int.from_bytes(self._content(form, LONG_BYTES_MAX), "little", signed=True))

    def _get(self, form: str) -> None:
        self._stack.append(self._memo[self._number(form)])

    def _put(self, form: str) -> None:
        self._remember(self._number(form))

    def _remember(self, key: int) -> None:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._error("damaged", None)
        self._memo[key] = self._stack[-1]

    def _empty(self, kind: type) -> None:
        self._stack.append(kind())

    def _tuple(self, n: int) -> None:
        self._stack.append(tuple(self._pop(n)))

    def _extend(self, items: list[Any]) -> None:
        self._top(list).extend(items)

    def _update(self, items: list[Any]) -> None:
        top = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            # A tuple in a tuple in a tuple ... as a key would be hashed by recursion in C.
            if type(key) is not str and type(key) is not int:
                raise self._error("a key that is neither text nor a whole number", None)
            top[key] = value

    def _dict(self) -> None:
        items = self._to_mark()
        self._stack.append({})
        self._update(items)

    def _protocol(self) -> None:
        version = self._take(1)
        if version[0] > PROTOCOL_MAX:
            raise self._error("unknown protocol", version)
