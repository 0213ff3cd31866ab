"""What all benchmarks share. Run them with ``make bench``; a plain ``pytest`` never collects this folder."""

from __future__ import annotations

import os
from typing import Any


def pytest_benchmark_update_machine_info(config: object, machine_info: dict[str, Any]) -> None:
    """Adds what a rate of the core depends on to every saved result."""
    from hbmmodel import __version__

    machine_info["hbmmodel"] = __version__
    usable = getattr(os, "sched_getaffinity", None)
    machine_info["cores_usable"] = len(usable(0)) if usable else os.cpu_count()
