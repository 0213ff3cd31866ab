"""How a configuration shows itself: as one would type it, with what differs from the defaults and nothing else.

Must not know what any field means.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any

__all__ = ["Shown"]


def _default(field: Field[Any]) -> object:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


class Shown:
    """A data class whose ``repr`` names only the fields that are not at their defaults.

    Examples
    --------
    >>> from hbmmodel import Controller
    >>> Controller(read_queue=16)
    Controller(read_queue=16)
    """

    def __repr__(self) -> str:
        changed = []
        for field in fields(self):  # type: ignore[arg-type]  # whoever inherits is a data class
            value = getattr(self, field.name)
            if value != _default(field):
                changed.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(changed)})"
