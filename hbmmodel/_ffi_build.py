"""Build script of ``hbmmodel._ffi``, the cffi mirror of the public C API.

It owns no declaration: the cdef is the text of ``csrc/hbm.h`` between ``/* cffi: begin */`` and
``/* cffi: end */``, plus one enum made from ``csrc/errors.def``, so that header and mirror cannot differ. Run
by setup.py only; it must not import the package.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

from cffi import FFI

CSRC = Path(__file__).resolve().parent.parent / "csrc"


def declarations(header: str) -> str:
    """The part of ``hbm.h`` that cffi reads, without the words that only a C compiler needs."""
    found = re.findall(r"/\* cffi: begin \*/(.*?)/\* cffi: end \*/", header, flags=re.DOTALL)
    if not found:
        raise SystemExit("csrc/hbm.h has no region between '/* cffi: begin */' and '/* cffi: end */'")
    return re.sub(r"\b(HBM_API|HBM_WARN_UNUSED)\b", "", "\n".join(found))


def error_enum(table: str) -> str:
    """``HBM_OK`` and ``HBM_ERR_*`` as an enum, from the text of ``errors.def``."""
    rows = re.findall(r'^HBM_ERROR\((\w+), (-\d+), "', table, flags=re.MULTILINE)
    if not rows:
        raise SystemExit("csrc/errors.def holds no HBM_ERROR row")
    return "enum { HBM_OK = 0, " + ", ".join(f"HBM_ERR_{name} = {code}" for name, code in rows) + " };\n"


ffibuilder = FFI()
ffibuilder.cdef(
    error_enum((CSRC / "errors.def").read_text(encoding="utf-8"))
    + declarations((CSRC / "hbm.h").read_text(encoding="utf-8"))
)
ffibuilder.set_source(
    "hbmmodel._ffi",
    '#include "hbm.h"\n',
    include_dirs=["csrc"],
    py_limited_api=not (sysconfig.get_config_var("Py_GIL_DISABLED") or hasattr(sys, "gettotalrefcount")),
)
