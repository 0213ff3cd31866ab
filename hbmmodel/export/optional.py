"""Packages that only exports need: named with what to do where they are missing."""

from __future__ import annotations

import importlib.util

from hbmmodel.errors import HbmArgumentError

__all__ = ["need"]


def need(module: str, extra: str) -> None:
    """Refuse if a package is not installed.

    Raises
    ------
    HbmArgumentError
        With the command that installs it.

    Examples
    --------
    >>> need("json", "perfetto")
    """
    if importlib.util.find_spec(module) is None:
        raise HbmArgumentError(
            f"the package {module}, which writes this format, is not installed; pip install 'hbmmodel[{extra}]'"
        )
