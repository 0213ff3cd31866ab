"""TOML files of this room: values with unit, source, confidence and range, and how a bad file is refused.

It must not know what a value means.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hbmmodel.device.model import CONFIDENCE
from hbmmodel.device.presets import did_you_mean
from hbmmodel.errors import HbmArgumentError

__all__ = ["ValueRecord", "convert", "decode", "load_text", "preset_names", "value_of"]

T = TypeVar("T")
_LARGEST_FILE = 1 << 20


class ValueRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One number of a file with where it comes from; ``low`` and ``high`` span what is plausible."""

    value: float
    unit: str
    confidence: str
    source: tuple[str, ...]
    low: float | None = None
    high: float | None = None
    note: str | None = None


def preset_names(folder: str) -> tuple[str, ...]:
    """Names of the files of a preset folder of this room, without those that hold shared tables."""
    found = (p.name for p in resources.files("hbmmodel.thermal").joinpath(folder).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml") and name[0].isupper()))


def load_text(folder: str, name: str, what: str) -> tuple[str, str]:
    """(text, file) of a preset by name, or of a file by its path.

    Raises
    ------
    HbmArgumentError
        Neither a preset nor a file that can be read.
    """
    if not isinstance(name, str):
        raise HbmArgumentError(f"{what} {name!r} is not a name or a path")
    if name.endswith(".toml"):
        path = Path(name)
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise HbmArgumentError(f"{name}: larger than {_LARGEST_FILE} bytes; this is no {what} file")
            return path.read_text(encoding="utf-8"), name
        except OSError as error:
            raise HbmArgumentError(f"{name}: cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError as error:
            raise HbmArgumentError(f"{name}: not UTF-8 at byte {error.start}") from None
    names = preset_names(folder)
    if name not in names:
        hint = did_you_mean(name, names)
        raise HbmArgumentError(f"unknown {what} {name!r}; {hint}choose one of {', '.join(names)}, or a .toml file")
    text = resources.files("hbmmodel.thermal").joinpath(folder, f"{name}.toml").read_text(encoding="utf-8")
    return text, f"{name}.toml"


def decode(text: str, file: str) -> dict[str, Any]:
    """The TOML text as a dict."""
    try:
        return msgspec.toml.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise HbmArgumentError(f"{file}: not valid TOML: {error}") from None


def convert(raw: object, kind: type[T], file: str) -> T:
    """Strict conversion whose error names the field."""
    try:
        return msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at `$")
        what = what.replace("`object`", "`table`").replace("Object ", "Table ")
        place = at.rstrip("`").lstrip(".") or "top level"
        raise HbmArgumentError(f"{file}: {place}: {what[:1].lower()}{what[1:]}") from None


def value_of(record: ValueRecord, unit: str, file: str, path: str, sources: dict[str, str]) -> float:
    """The number, once unit, confidence, sources and range have been checked.

    Raises
    ------
    HbmArgumentError
        The message names file and field.
    """
    if record.unit != unit:
        raise HbmArgumentError(f"{file}: {path}.unit: {record.unit!r} is not {unit!r}")
    if record.confidence not in CONFIDENCE:
        known = ", ".join(CONFIDENCE)
        raise HbmArgumentError(f"{file}: {path}.confidence: {record.confidence!r} is not one of {known}")
    if not record.source:
        raise HbmArgumentError(f"{file}: {path}.source: is empty; name at least one source")
    for label in record.source:
        if label not in sources:
            raise HbmArgumentError(f"{file}: {path}.source: label {label!r} is not in sources.toml or [sources]")
    for end in ("low", "high"):
        limit = getattr(record, end)
        if limit is not None and (limit > record.value if end == "low" else limit < record.value):
            raise HbmArgumentError(f"{file}: {path}.{end}: {limit:g} does not enclose the value {record.value:g}")
    return record.value
