"""TOML files that ship with a room of the package, by name, or one of the user's own, by path.

Owns finding, reading and decoding them, and the wording of errors about it: one line that names file and field. It must
not know what a file means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from hbmmodel.errors import HbmError

__all__ = ["Shelf", "did_you_mean"]

T = TypeVar("T")
FILE_MAX_BYTES = 1 << 20
SHARED = ("sources", "materials")


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """``"did you mean 'NAME'? "`` for the name closest to a misspelt word, whatever the case; empty if none is close.

    Examples
    --------
    >>> did_you_mean("hbm4_800", ["HBM3_6400", "HBM4_8000"])
    "did you mean 'HBM4_8000'? "
    >>> did_you_mean("FOO", ["HBM4E_14000_projection"])
    ''

    Names that only put something in before the last part are closer than those that leave something out.

    >>> did_you_mean("tRCD_ns", ["tRC_ns", "tRCDRD_ns", "tRCDWR_ns"])
    "did you mean 'tRCDRD_ns' or 'tRCDWR_ns'? "
    """
    import difflib

    by_lower = {name.lower(): name for name in names}
    begin, _, end = word.lower().rpartition("_")
    longer = [name for low, name in by_lower.items() if begin and low.startswith(begin) and low.endswith("_" + end)]
    if longer and word.lower() not in by_lower and len(longer) <= 3:
        return f"did you mean {' or '.join(map(repr, longer))}? "
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.65)
    return f"did you mean {by_lower[close[0]]!r}? " if close else ""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The shipped files of one kind.

    Attributes
    ----------
    folder : Traversable
        Where they lie.
    what : str
        What one is, for messages: ``"device"``.
    error : type of HbmError
        What is raised.

    Examples
    --------
    >>> from importlib import resources
    >>> from hbmmodel.errors import HbmArgumentError
    >>> shelf = Shelf(resources.files("hbmmodel.thermal") / "presets", "stack", HbmArgumentError)
    >>> "HBM4_12H" in shelf.names(), shelf.text("HBM4_12H")[1]
    (True, 'HBM4_12H.toml')
    """

    folder: Traversable
    what: str
    error: type[HbmError]

    def names(self) -> tuple[str, ...]:
        """Names of the files, sorted, without those that hold tables for all of them."""
        found = (entry.name for entry in self.folder.iterdir())
        return tuple(sorted(name[:-5] for name in found if name.endswith(".toml") and name[:-5] not in SHARED))

    def shipped(self, file: str) -> str:
        """Text of one shipped file."""
        return self.folder.joinpath(file).read_text(encoding="utf-8")

    def text(self, name: str) -> tuple[str, str]:
        """(text, file) of a shipped file by its name, or of a file by its path, which ends in ``.toml``.

        A user's file is read at every call, because it may have been edited.
        """
        given: object = name
        if not isinstance(given, str):
            raise self.error(f"{self.what} {given!r} is not a name or a path")
        if name.endswith(".toml"):
            return self._own(name), name
        names = self.names()
        if name not in names:
            hint = did_you_mean(name, names)
            raise self.error(
                f"unknown {self.what} {name!r}; {hint}{self.what}s: {', '.join(names)};"
                " or the path of a preset file (NAME.toml)"
            )
        return self.shipped(f"{name}.toml"), f"{name}.toml"

    def _own(self, path: str) -> str:
        try:
            with Path(path).open("rb") as file:
                data = file.read(FILE_MAX_BYTES + 1)
            if len(data) > FILE_MAX_BYTES:
                raise self.error(f"{path}: larger than {FILE_MAX_BYTES >> 20} MiB; this is no preset file")
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise self.error(f"{path}: not valid TOML: it is not UTF-8 text") from None
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            told = getattr(error, "strerror", None) or error
            raise self.error(f"{path}: {told}; give the path of a preset file") from None

    def decode(self, text: str, file: str) -> dict[str, Any]:
        """TOML text as a table."""
        import msgspec

        try:
            return msgspec.toml.decode(text, type=dict[str, Any])
        except (ValueError, RecursionError) as error:  # ValueError: msgspec's own errors, and numbers of endless length
            raise self.error(f"{file}: not valid TOML: {error}") from None

    def convert(self, raw: object, kind: type[T], file: str, path: str = "") -> T:
        """Strict conversion whose error names the field in the words of the file."""
        import msgspec

        try:
            return msgspec.convert(raw, kind, strict=True)
        except msgspec.ValidationError as error:
            what, _, at = str(error).partition(" - at `$")
            field = (path + at.rstrip("`")).lstrip(".") or "top level"
            what = what.replace("`object`", "`table`").replace("Object ", "Table ")
            raise self.error(f"{file}: {field}: {what[:1].lower()}{what[1:]}") from None
