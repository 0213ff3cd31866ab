"""Where a result came from: program, machine and command line at the time of a run.

Owns the record's shape; must not know what was simulated.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import os
import platform
import sys
from collections.abc import Sequence

import hbmmodel

__all__ = ["collect"]


def collect(command_line: Sequence[str] | None = None) -> dict[str, object]:
    """Describe the running program.

    Parameters
    ----------
    command_line : sequence of str, optional
        Arguments to record; default ``sys.argv``.

    Returns
    -------
    dict
        ``version`` (of hbmmodel), ``core_sha256`` (first 16 digits of the loaded extension's SHA-256: two builds of
        one version differ in it), ``python``, ``numpy``, ``platform``, ``host``, ``cpus`` (usable by this
        process), ``command_line`` (list of str) and ``created`` (UTC, ISO 8601, whole seconds). JSON types.

    Examples
    --------
    >>> collect(["hbmmodel", "run"])["command_line"]
    ['hbmmodel', 'run']
    """
    import numpy

    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "version": hbmmodel.__version__,
        "core_sha256": _core_sha256(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "host": platform.node(),
        "cpus": len(affinity(0)) if affinity is not None else os.cpu_count(),
        "command_line": [str(a) for a in (sys.argv if command_line is None else command_line)],
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


@functools.cache
def _core_sha256() -> str | None:
    """Of the extension as it lies on disk; None if its file is gone, as after an upgrade under a running program."""
    from hbmmodel import _core

    try:
        with open(_core.__file__, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError:
        return None
