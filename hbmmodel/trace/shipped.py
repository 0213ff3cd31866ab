"""The captures that ship with the package.

Owns where they lie; must not know what they hold or how they are read.
"""

from __future__ import annotations

from pathlib import Path

from hbmmodel.errors import HbmArgumentError

__all__ = ["demo_capture", "shipped"]

_FOLDER = Path(__file__).resolve().parent.parent / "data" / "captures"
_SUFFIX = ".hbmop.jsonl.gz"


def shipped() -> list[str]:
    """Names of the captures that `demo_capture` finds, sorted."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in _FOLDER.glob(f"*{_SUFFIX}"))


def demo_capture(name: str = "llama31_8b_decode_b1_ctx8192") -> Path:
    """File of a capture that ships with the package, for `read_trace`.

    Parameters
    ----------
    name : str
        ``llama31_8b_decode_b1_ctx8192``: one decoded token of Llama-3.1-8B at 8,192 tokens of context.
        ``llama_tiny_b1_p128_d8``: a small Llama, a prompt of 128 tokens and eight decoded ones (phases ``prefill``,
        ``decode0`` ... ``decode7``), for a quick look.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    HbmArgumentError
        No capture of this name ships with the package.

    Examples
    --------
    >>> demo_capture("llama_tiny_b1_p128_d8").name
    'llama_tiny_b1_p128_d8.hbmop.jsonl.gz'
    """
    names = shipped()
    if name not in names:
        known = ", ".join(names) or "none; reinstall hbmmodel"
        raise HbmArgumentError(f"no capture {name!r} ships with hbmmodel; those that do: {known}")
    return _FOLDER / f"{name}{_SUFFIX}"
