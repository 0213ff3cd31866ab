"""Recorder of PyTorch programs: what they do to memory, as a capture.

Owns `capture`, the public name, and the import of PyTorch, which nothing else of the package needs. What is recorded is
in `recorder`, how it gets on disk in `writer`, models without weights in `fake`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hbmmodel.errors import HbmArgumentError

if TYPE_CHECKING:
    from hbmmodel.trace.capture.recorder import Recorder

__all__ = ["capture", "need"]


def need(*packages: str) -> None:
    """Refuse, with what to do, if a package is not installed."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            remedy = "pip install 'hbmmodel[capture]'"
            raise HbmArgumentError(f"{package}, which recording needs, is not installed; {remedy}")


def capture(
    path: str | os.PathLike[str],
    *,
    phases: bool = False,
    index: bool = True,
    device: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Recorder:
    """Record what the PyTorch program in the ``with`` block does to memory.

    Works on CPU, on CUDA (pointers are device addresses) and under ``FakeTensorMode`` (shapes only). Every operator
    that reaches the dispatcher is recorded with its operands; what a compiled kernel does inside is not seen, so
    capture without ``torch.compile``.

    Parameters
    ----------
    path : path
        The capture, such as ``step.hbmop.zst``; ``.gz`` and ``.zst`` compress. It appears, or is replaced, when the
        block ends. Until then, and for good if the block raises or the process dies, what was recorded is in
        ``step.partial.hbmop.zst``, which is readable up to the last half second.
    phases : bool
        Label operations ``forward``, ``backward`` and ``optimizer`` where no label was set with ``phase()``.
    index : bool
        Record the contents of index tensors (embeddings, gathers, expert offsets). On a GPU each costs a
        synchronisation.
    device : str, optional
        Record operands on this device only, such as ``"cuda"`` or ``"cuda:0"``; None: all.
    metadata : mapping, optional
        Anything that JSON can hold, for the first line of the file.

    Returns
    -------
    Recorder
        A context manager; ``phase(label)`` names the part of the run from there on.

    Raises
    ------
    HbmArgumentError
        PyTorch is not installed, or the file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import torch                                                    # doctest: +SKIP
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "step.hbmop.zst"
    >>> with capture(path, phases=True):                                # doctest: +SKIP
    ...     _ = torch.nn.Linear(16, 4)(torch.ones(2, 16)).sum().backward()
    >>> [op.phase for op in hbmmodel.read_trace(path).operations()][0]  # doctest: +SKIP
    'forward'
    """
    need("torch")
    from hbmmodel.trace.capture.recorder import Recorder

    return Recorder(path, phases=phases, index=index, device=device, metadata=metadata)
