"""The C API of the core, seen from Python: ``ffi`` and ``lib`` of the cffi mirror of ``hbm.h``.

This is the door for co-simulators, for numba and ctypes users who want raw function pointers, and for tests
of single C functions. Everything a user of the model needs has a Python face elsewhere; nothing here checks
arguments. The compiled module is loaded when ``ffi`` or ``lib`` is first touched. It must not know the Cython
binding.

Examples
--------
>>> from hbmmodel import capi
>>> capi.ffi.string(capi.lib.hbm_error_name(-1)).decode()
'NO_MEMORY'
>>> pointer = capi.ffi.addressof(capi.lib, "hbm_strerror")
>>> capi.ffi.string(pointer(0))
b'ok'
"""

from __future__ import annotations

from typing import Any

__all__ = ["ffi", "lib"]

ffi: Any
"""The ``cffi.FFI`` object that knows every type of ``hbm.h``."""

lib: Any
"""The functions and constants of ``hbm.h``."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'hbmmodel.capi' has no attribute {name!r}")
    from hbmmodel import _ffi

    globals().update(ffi=_ffi.ffi, lib=_ffi.lib)
    return globals()[name]
