"""Number formats of tensors and what they take in memory.

Owns the bits per element, block scales included; must not know models or addresses.
"""

from __future__ import annotations

from hbmmodel.errors import HbmArgumentError
from hbmmodel.shelf import did_you_mean

__all__ = ["QUARTER_BITS", "check_dtype", "tensor_bytes"]

QUARTER_BITS = {
    **{"fp32": 128, "bf16": 64, "fp16": 64, "fp8": 32, "int8": 32, "int4": 16},
    **{"mxfp8": 33, "mxfp6": 25, "mxfp4": 17, "nvfp4": 18},
}
"""Quarters of a bit per element. A block of 32 elements of an MX format shares a scale of 8 bits, one of 16 elements
of NVFP4 too.

Source: OCP *Microscaling Formats (MX) Specification* v1.0, table 1 (block of 32, E8M0 scale); NVIDIA, *Introducing
NVFP4* (blocks of 16, E4M3 scale).
"""


def check_dtype(name: str, value: object) -> str:
    """The number format, if it is known.

    Raises
    ------
    HbmArgumentError
        It is not.
    """
    if isinstance(value, str) and value in QUARTER_BITS:
        return value
    hint = did_you_mean(value, QUARTER_BITS) if isinstance(value, str) else ""
    raise HbmArgumentError(f"{name} is {value!r}; {hint}choose one of {', '.join(QUARTER_BITS)}")


def tensor_bytes(dtype: str, elements: int) -> int:
    """Bytes of so many elements, rounded up to whole bytes.

    Examples
    --------
    >>> tensor_bytes("bf16", 10), tensor_bytes("mxfp4", 32)
    (20, 17)
    """
    return -(-elements * QUARTER_BITS[dtype] // 32)
