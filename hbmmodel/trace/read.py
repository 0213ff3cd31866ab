"""`read_trace`: a file of any known format as a trace.

Owns the choice of the reader and its options; must not know any grammar.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError, HbmTraceError
from hbmmodel.trace.detect import FORMATS, SNAPSHOT, detect
from hbmmodel.trace.dramsim3 import Dramsim3
from hbmmodel.trace.dramsys import Rstl, Stl
from hbmmodel.trace.lackey import Lackey
from hbmmodel.trace.model import OpTrace, RequestTrace, phase_set
from hbmmodel.trace.pages import SEQUENTIAL, Pages
from hbmmodel.trace.ramulator import LoadStore, ReadWrite
from hbmmodel.trace.source import open_source
from hbmmodel.trace.text import LineFormat, TextRequests

__all__ = ["read_trace"]

# Which options mean something in which format.
_OPTIONS = {
    "hbmop": {"phase", "index", "base", "seed", "pages"},
    "pytorch-et": {"with_", "phase", "base", "seed", "pages"},
    "kineto": {"with_", "phase", "base", "seed", "pages"},
    "chakra": {"phase", "base", "seed", "pages"},
    "hbmarr": {"phase", "base"},
    "dramsim3": {"clock_ns"},
    "dramsys-stl": {"clock_ns"},
    "dramsys-rstl": {"clock_ns"},
    "ramulator-readwrite": {"to_address"},
    "lackey": {"instructions"},
}
_CAPTURES = frozenset(("hbmop", "pytorch-et", "kineto", "chakra", "hbmarr"))
_FOREIGN = frozenset(("cutracer", "accelsim", "gem5"))


def read_trace(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    with_: str | os.PathLike[str] | None = None,
    phase: str | Sequence[str] | None = None,
    index: str | os.PathLike[str] | None = None,
    base: int | None = None,
    seed: int | None = None,
    pages: Pages | str | None = None,
    clock_ns: float | None = None,
    to_address: Callable[[NDArray[np.int32]], NDArray[np.uint64]] | None = None,
    instructions: bool | None = None,
) -> RequestTrace | OpTrace:
    r"""Open a trace file; plain, gzip, xz or zstd.

    The format is recognised by the content. Nothing but the first lines is read here; the trace streams
    when it is iterated.

    Parameters
    ----------
    path : path
        The file.
    format : str, optional
        One of ``hbmop``, ``dramsim3``, ``ramulator-loadstore``, ``ramulator-readwrite``, ``dramsys-stl``,
        ``dramsys-rstl``, ``lackey``, ``parquet``, ``pytorch-et``, ``kineto``, ``chakra``, ``cutracer``, ``accelsim``,
        ``gem5``, ``hbmarr``; None: by content.
    with_ : path, optional
        ``kineto``, ``pytorch-et``: the other file of the pair, from the same run. An execution trace can do without,
        a Kineto file cannot: it does not say which bytes an operator touches.
    phase : str or sequence of str, optional
        Captures (``hbmop``, ``pytorch-et``, ``chakra``, ``hbmarr``): only operations of these phases.
    index : path, optional
        ``hbmop``: the file of index arrays [default: ``NAME.idx.npz`` beside the capture].
    base : int, optional
        Captures: address of the first storage [bytes, default 0].
    seed : int, optional
        Captures: seed of the rows of gathers that the capture does not record [default 0].
    pages : Pages or {"sequential", "shuffled"}, optional
        Captures: where the pages of the memory lie; a name stands for pages of 2 MiB [default: sequential].
    clock_ns : float, optional
        ``dramsim3``, ``dramsys-*``: period of the clock that times are counted in [ns, default 1.0].
    to_address : callable, optional
        ``ramulator-readwrite``: coordinates (n, k) int32 -> byte addresses (n,) uint64.
    instructions : bool, optional
        ``lackey``: take instruction fetches as reads [default False].

    Returns
    -------
    RequestTrace or OpTrace

    Raises
    ------
    HbmTraceError
        The file cannot be read or its format not be recognised.
    HbmArgumentError
        An unknown format, or an option that has no meaning in it.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.trace"
    >>> _ = path.write_text("0x40 READ 0\n0x80 WRITE 3\n")
    >>> trace = read_trace(path)
    >>> trace.format, [chunk.time_ps.tolist() for chunk in trace.chunks()]
    ('dramsim3', [[0, 3000]])
    """
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise HbmArgumentError(f"path is {path!r}; give a file's path") from None
    if format is not None and format not in FORMATS:
        raise HbmArgumentError(f"format is {format!r}; choose one of {', '.join(FORMATS)}")
    chosen = format if format is not None else detect(name)
    if chosen == SNAPSHOT:
        raise HbmTraceError(
            f"{name}: a memory snapshot of PyTorch says where blocks lie, not what is read or written; "
            "look at it with hbmmodel info, or hbmmodel.trace.read_snapshot"
        )
    given = {
        "with_": with_,
        "phase": phase,
        "index": index,
        "base": base,
        "seed": seed,
        "pages": pages,
        "clock_ns": clock_ns,
        "to_address": to_address,
        "instructions": instructions,
    }
    for option, value in given.items():
        if value is not None and option not in _OPTIONS.get(chosen, ()):
            fit = ", ".join(fmt for fmt, options in _OPTIONS.items() if option in options)
            raise HbmArgumentError(f"{name}: option {option} has no meaning in {chosen}; it belongs to {fit}")
    if chosen in _CAPTURES:
        base = 0 if base is None else base
        seed = 0 if seed is None else seed
        return _captured(chosen, name, with_, phase, index, base, seed, pages)
    if chosen in _FOREIGN:
        return _foreign(chosen, name)
    if chosen == "parquet":
        from hbmmodel.trace.parquet import ParquetRequests

        open_source(name).close()
        return ParquetRequests(name)
    formats: dict[str, LineFormat] = {
        "dramsim3": Dramsim3(),
        "ramulator-loadstore": LoadStore(),
        "ramulator-readwrite": ReadWrite(),
        "dramsys-stl": Stl(),
        "dramsys-rstl": Rstl(),
        "lackey": Lackey(bool(instructions)),
    }
    trace: RequestTrace = TextRequests(name, formats[chosen], 1.0 if clock_ns is None else clock_ns)
    return trace if to_address is None else trace.with_addresses(to_address)


def _foreign(chosen: str, name: str) -> RequestTrace:
    open_source(name).close()
    if chosen == "cutracer":
        from hbmmodel.trace.cutracer import CutracerRequests

        return CutracerRequests(name)
    if chosen == "accelsim":
        from hbmmodel.trace.accelsim import AccelSimRequests

        return AccelSimRequests(name)
    from hbmmodel.trace.gem5 import Gem5Requests

    return Gem5Requests(name)


def _captured(
    chosen: str,
    name: str,
    with_: str | os.PathLike[str] | None,
    phase: str | Sequence[str] | None,
    index: str | os.PathLike[str] | None,
    base: int,
    seed: int,
    pages: Pages | str | None,
) -> OpTrace:
    if type(base) is not int or not 0 <= base < 1 << 62:
        raise HbmArgumentError(f"base is {base!r}; give an address in 0..2^62-1")
    if type(seed) is not int:
        raise HbmArgumentError(f"seed is {seed!r}; give a whole number")
    wanted = None if phase is None else phase_set(phase)
    if pages is None:
        pages = SEQUENTIAL
    elif isinstance(pages, str):
        pages = Pages(pages)
    elif not isinstance(pages, Pages):
        raise HbmArgumentError(f"pages is {pages!r}; give a Pages, 'sequential' or 'shuffled'")
    open_source(name).close()
    if chosen == "hbmarr":
        from hbmmodel.trace.hbmarr import ArrayTrace

        return ArrayTrace(name, wanted, base)
    if chosen == "chakra":
        from hbmmodel.trace.chakra import ChakraTrace

        return ChakraTrace(name, wanted, base, seed, pages)
    if chosen in ("pytorch-et", "kineto"):
        from hbmmodel.trace.et_trace import EtTrace

        return EtTrace(*_pair(chosen, name, with_), wanted, base, seed, pages)
    from hbmmodel.trace.hbmop import HbmopTrace

    trace = HbmopTrace(name, wanted, index, base, seed, pages)
    _ = trace.metadata  # an unreadable or foreign file is refused here, not at the first iteration
    return trace


def _pair(chosen: str, name: str, with_: str | os.PathLike[str] | None) -> tuple[str, str | None]:
    """(execution trace, Kineto file), whichever of the two was named first."""
    other = "pytorch-et" if chosen == "kineto" else "kineto"
    if with_ is None:
        if chosen == "kineto":
            raise HbmTraceError(
                f"{name}: a Kineto file does not say which bytes an operator touches; "
                "give the execution trace of the same run with it (with_=..., --with FILE)"
            )
        return name, None
    try:
        second = os.fsdecode(with_)
    except TypeError:
        raise HbmArgumentError(f"with_ is {with_!r}; give a file's path") from None
    found = detect(second)
    if found != other:
        raise HbmTraceError(f"{second}: this is {found}, and {name} is {chosen}; give one file of each kind")
    return (second, name) if chosen == "kineto" else (name, second)
