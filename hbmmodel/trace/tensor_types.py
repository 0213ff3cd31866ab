"""Types of values as PyTorch's execution traces write them: ``Tensor(c10::Half)``, ``GenericList[Tensor(float),None]``.

Owns the names of C++ and the lists; must not know nodes or operators.
"""

from __future__ import annotations

from hbmmodel.trace.hbmop import INT_MAX

__all__ = ["BY_ITEMSIZE", "DTYPES", "contiguous", "entries"]

# caffe2::TypeMeta::name() of PyTorch's scalar types (c10/core/ScalarType.h) -> names that captures use.
DTYPES = {
    **{"float": "f32", "double": "f64", "int": "i32", "long int": "i64", "long": "i64", "long long": "i64"},
    **{"short": "torch.int16", "short int": "torch.int16", "signed char": "i8", "char": "i8", "unsigned char": "u8"},
    **{"bool": "b1", "c10::BFloat16": "bf16", "c10::Half": "f16", "c10::complex<float>": "c64"},
    **{"c10::complex<double>": "torch.complex128", "c10::complex<c10::Half>": "torch.complex32"},
    **{"unsigned short": "torch.uint16", "short unsigned int": "torch.uint16", "unsigned int": "torch.uint32"},
    **{"unsigned long": "torch.uint64", "long unsigned int": "torch.uint64"},
    **{f"c10::Float8_{kind}": f"torch.float8_{kind}" for kind in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz")},
    **{"c10::Float8_e8m0fnu": "torch.float8_e8m0fnu", "c10::Float4_e2m1fn_x2": "torch.float4_e2m1fn_x2"},
}
BY_ITEMSIZE = {1: "u8", 2: "f16", 4: "f32", 8: "f64", 16: "torch.complex128"}


def entries(kind: str) -> list[str]:
    """Types in the brackets of ``GenericList[...]``.

    Examples
    --------
    >>> entries("GenericList[Tensor(float),None,Tensor(c10::complex<float>)]")
    ['Tensor(float)', 'None', 'Tensor(c10::complex<float>)']
    """
    inner = kind[kind.index("[") + 1 : -1]
    found = []
    depth = start = 0
    for i, character in enumerate(inner):
        if character in "[(<":
            depth += 1
        elif character in "])>":
            depth -= 1
        elif character == "," and depth == 0:
            found.append(inner[start:i])
            start = i + 1
    found.append(inner[start:])
    return found


def contiguous(shape: list[int]) -> list[int]:
    """Strides of a contiguous tensor [elements].

    Examples
    --------
    >>> contiguous([2, 3, 4])
    [12, 4, 1]
    """
    strides: list[int] = []
    step = 1
    for n in reversed(shape):
        strides.append(min(step, INT_MAX))
        step *= max(n, 1)
    return strides[::-1]
