"""What an installation is made of and whether it works: versions, core, machine, optional packages, a test of itself.

Owns the list of findings; must not know how they are printed.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hbmmodel

__all__ = ["Finding", "examine"]

REQUESTS = 120
"""Per pseudo-channel, in the test of the core against its twin."""
FREE_MIN_BYTES = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One line of an examination.

    Attributes
    ----------
    part : str
        ``version``, ``core``, ``machine``, ``package``, ``optional`` or ``test``.
    name : str
    state : str
        ``ok``, ``absent`` (an optional package), ``note`` (works, but look at it) or ``broken``.
    text : str
        What was found, and what to do unless it is ok.
    """

    part: str
    name: str
    state: str
    text: str


def examine() -> list[Finding]:
    """Look at everything; takes about a second.

    Returns
    -------
    list of Finding
        In a fixed order. The installation is broken if the state of any is ``broken``.

    Examples
    --------
    >>> [finding.name for finding in examine() if finding.state == "broken"]
    []
    """
    found: list[Finding] = []
    for look in (_versions, _core, _machine, _packages, _test):
        try:
            found += look()
        except Exception as error:  # whatever is wrong with an installation is a finding
            part = look.__name__.strip("_").removesuffix("s")
            found.append(Finding(part, part, "broken", f"{type(error).__name__}: {error}; {REINSTALL}"))
    return found


REINSTALL = "install hbmmodel anew (pip install --force-reinstall hbmmodel; in a checkout, make build)"


def _versions() -> Iterator[Finding]:
    yield Finding("version", "hbmmodel", "ok", f"{hbmmodel.__version__} in {Path(hbmmodel.__file__).parent}")
    yield Finding("version", "python", "ok", f"{platform.python_version()} ({sys.executable})")


def _core() -> Iterator[Finding]:
    from hbmmodel import _core, capi
    from hbmmodel.provenance import collect

    yield Finding("core", "extension", "ok", f"{_core.__file__}, SHA-256 {collect()['core_sha256']}")
    build = capi.ffi.string(capi.lib.hbm_build()).decode()
    slow = [word for word in ("not optimised", "checked", "sanitized") if word in build]
    told = f"{build}; slow, for tests: install a release" if slow else build
    yield Finding("core", "build", "note" if slow else "ok", told)
    yield Finding("core", "simd", "ok", capi.ffi.string(capi.lib.hbm_simd()).decode())


def _machine() -> Iterator[Finding]:
    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    text = f"{_cpu_model()}; {usable} of {os.cpu_count()} cores usable, POSIX threads, no OpenMP"
    yield Finding("machine", "cpu", "ok", text)
    memory = _memory_bytes()
    if memory is not None:
        total, free = memory
        state = "note" if free < FREE_MIN_BYTES else "ok"
        yield Finding("machine", "memory", state, f"{free / 1e9:.1f} of {total / 1e9:.1f} GB available")
    for name, place in (("disk here", "."), ("disk, temporary files", tempfile.gettempdir())):
        usage = shutil.disk_usage(place)
        state = "note" if usage.free < FREE_MIN_BYTES else "ok"
        yield Finding("machine", name, state, f"{usage.free / 1e9:.1f} GB free in {os.path.abspath(place)}")


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    except (OSError, UnicodeDecodeError):
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _memory_bytes() -> tuple[int, int] | None:
    """Total and available; None where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    found = [re.search(rf"^{name}:\s*(\d+) kB", text, re.M) for name in ("MemTotal", "MemAvailable")]
    if found[0] is None or found[1] is None:
        return None
    return int(found[0][1]) * 1024, int(found[1][1]) * 1024


def _packages() -> Iterator[Finding]:
    """What the installed package asks for: always, and by extra."""
    try:
        required = importlib.metadata.requires("hbmmodel") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("package", "hbmmodel", "note", f"runs from a folder without being installed; {REINSTALL}")
        return
    for requirement in required:
        name = re.split(r"[\s;<>=!~\[(]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        version = _version(name)
        if extra is None:
            state, text = ("ok", version) if version else ("broken", f"missing; pip install '{name}'")
            yield Finding("package", name, state, str(text))
        elif version:
            yield Finding("optional", name, "ok", f"{version} (for {extra[1]})")
        else:
            yield Finding("optional", name, "absent", f"for {extra[1]}: pip install 'hbmmodel[{extra[1]}]'")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _test() -> Iterator[Finding]:
    for name, check in (("core equals its twin", _equals_twin), ("any number of threads", _threads)):
        began = time.perf_counter()
        text = check()
        seconds = time.perf_counter() - began
        if text:
            yield Finding("test", name, "broken", f"{text}; {REINSTALL}, and report this if it stays")
        else:
            yield Finding("test", name, "ok", f"in {seconds:.2f} s")


def _equals_twin(change: Callable[[dict[str, Any]], None] | None = None) -> str:
    """Runs random requests in the core and in the twin in plain Python; says where they differ.

    Parameters
    ----------
    change : callable, optional
        Changes the ticks that the core gets, to see that a difference is found.
    """
    import numpy as np

    from hbmmodel import _core
    from hbmmodel.device import device
    from hbmmodel.reference import ChannelPolicy, Request, simulate_channel

    ticks = device("HBM4_8000", channels=1).ticks()
    rng = np.random.default_rng(20)
    drawn = [
        {
            "arrival": np.sort(rng.integers(0, 4000, REQUESTS)),
            "is_write": rng.integers(0, 2, REQUESTS).astype(np.uint8),
            "bank": rng.integers(0, 8, REQUESTS).astype(np.int32),
            "row": rng.integers(0, 3, REQUESTS).astype(np.int32),
            "column": rng.integers(0, ticks["columns"], REQUESTS).astype(np.int32),
        }
        for _ in range(ticks["pseudo_channels"])
    ]
    policy = ChannelPolicy()
    requests = [
        [Request(int(a), bool(w), int(b), int(r), int(c)) for a, w, b, r, c in zip(*one.values(), strict=True)]
        for one in drawn
    ]
    twin = simulate_channel(ticks, policy, requests, max_ticks=200_000)
    settings = asdict(policy)
    settings.pop("refresh_scale_num")
    settings["refresh_scale"] = settings.pop("refresh_scale_den")
    given = dict(ticks)
    if change is not None:
        change(given)
    arrival, is_write, bank, row, column = (
        [one[name] for one in drawn] for name in ("arrival", "is_write", "bank", "row", "column")
    )
    log = _core.run_channel(given, settings, arrival, is_write, bank, row, column)["commands"]
    fields = ("tick", "pseudo_channel", "command", "bank", "row", "column")
    core = list(zip(*(log[name].tolist() for name in fields), strict=True))
    slow = [(c.tick, c.pc, int(c.command), c.bank, c.row, c.column) for c in twin.commands]
    for i, (a, b) in enumerate(zip(core, slow, strict=False)):
        if a != b:
            return f"command {i} is {a}, the twin's is {b}"
    return "" if len(core) == len(slow) else f"{len(core)} commands, the twin has {len(slow)}"


def _threads() -> str:
    from hbmmodel.device import device
    from hbmmodel.sim import simulate
    from hbmmodel.system import System
    from hbmmodel.trace import Trace

    system = System(device("HBM4_8000"))
    trace = Trace.from_requests([i * 4096 for i in range(4096)], [i % 5 == 0 for i in range(4096)])
    one, three = (simulate(system, trace, threads=n) for n in (1, 3))
    return "" if one.summary == three.summary else "one thread and three give different summaries"
