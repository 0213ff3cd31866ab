"""Builds the two extension modules on the C core; all metadata lives in pyproject.toml.

``csrc/*.c`` becomes the static library ``hbmcore``, compiled under our own warnings. ``hbmmodel._core``
(Cython: the product's binding) and ``hbmmodel._ffi`` (cffi: the public mirror of ``hbm.h``) both link it;
generated C is compiled without those warnings. This file must not know what any C file is about.

Switches (environment, any combination; each has its own build folder, the last one built is in place):
``HBM_CHECKED=1`` assertions and bounds checks on; ``HBM_SANITIZE=1`` AddressSanitizer and
UndefinedBehaviorSanitizer; ``HBM_COVERAGE=1`` gcov counters. None of them changes a result.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py


def switch(name: str) -> bool:
    """True when the environment sets the switch to anything but 0."""
    return os.environ.get(name, "") not in ("", "0")


CHECKED, SANITIZE, COVERAGE = switch("HBM_CHECKED"), switch("HBM_SANITIZE"), switch("HBM_COVERAGE")
MODES = {"checked": CHECKED, "sanitize": SANITIZE, "coverage": COVERAGE}
BUILD_BASE = os.path.join("build", "-".join(name for name, on in MODES.items() if on) or "release")

C_SOURCES = sorted(glob("csrc/*.c"))
C_DEPENDS = ["setup.py", *C_SOURCES, *sorted(glob("csrc/*.h")), *sorted(glob("csrc/*.def"))]
PUBLIC_HEADERS = ("csrc/hbm.h", "csrc/errors.def")

# They come after Python's own flags, so ours win. -ffp-contract=off: the same numbers on every machine.
CFLAGS = ["-std=c11", "-O3", "-g0", "-fvisibility=hidden", "-ffp-contract=off", "-pthread"]
LDFLAGS = ["-pthread"]
WARNINGS = [
    *("-Wall", "-Wextra", "-Wpedantic", "-Wmissing-prototypes", "-Wstrict-prototypes", "-Wconversion"),
    *("-Wshadow", "-Wpointer-arith", "-Wcast-qual", "-Wwrite-strings"),
]
if not Path("PKG-INFO").exists():  # a checkout; a release must build with tomorrow's compiler too
    WARNINGS.append("-Werror")
if sys.platform == "linux":
    LDFLAGS.append("-Wl,--exclude-libs,ALL")  # an extension exports its PyInit only
if CHECKED:
    CFLAGS += ["-UNDEBUG", "-DHBM_CHECKED"]
if SANITIZE:
    CFLAGS += ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    LDFLAGS.append("-fsanitize=address,undefined")
if COVERAGE:
    CFLAGS += ["-O0", "--coverage"]
    LDFLAGS.append("--coverage")
# A binding makes one C call per batch: what its own code costs does not matter, the time to compile it does.
BINDING_CFLAGS = [*CFLAGS, "-O1", "-Wno-unused-function"]


# What in-place and editable builds keep, so that the next one compiles only what changed.
KEPT = os.path.join(BUILD_BASE, f"inplace.{sysconfig.get_config_var('SOABI')}")


class BuildClib(build_clib):
    """``build_clib`` that keeps its objects when the extensions stay in the source tree."""

    editable_mode = False

    def run(self) -> None:
        if self.editable_mode:
            self.build_temp = self.build_clib = os.path.join(KEPT, "temp")
        super().run()


class BuildExt(build_ext):
    """``build_ext`` that builds the C core first, and keeps its objects as ``BuildClib`` does."""

    def pre_run(self, ext: Extension, ffi: object) -> None:
        """The hook of cffi: gives its extension the flags of ours."""
        ext.depends = [*C_DEPENDS, "hbmmodel/_ffi_build.py"]
        ext.extra_compile_args, ext.extra_link_args = BINDING_CFLAGS, LDFLAGS

    def run(self) -> None:
        if self.inplace or self.editable_mode:
            self.build_lib, self.build_temp = KEPT, os.path.join(KEPT, "temp")
            self.get_finalized_command("build_clib").editable_mode = True
        self.run_command("build_clib")
        super().run()


class BuildPy(build_py):
    """``build_py`` that adds the public header, for ``hbmmodel.get_include()``; a checkout has ``csrc``."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """All modules of a package but the build script of ``_ffi``."""
        return [m for m in super().find_package_modules(package, package_dir) if m[1] != "_ffi_build"]

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            include = Path(self.build_lib, "hbmmodel", "include")
            include.mkdir(parents=True, exist_ok=True)
            for header in PUBLIC_HEADERS:
                shutil.copy2(header, include)


core = Extension(
    "hbmmodel._core",
    sources=["hbmmodel/_core.pyx"],
    include_dirs=["csrc"],
    depends=[*C_DEPENDS, *glob("hbmmodel/*.pxd")],
    extra_compile_args=BINDING_CFLAGS,
    extra_link_args=LDFLAGS,
)
core.cython_directives = {
    "language_level": 3,
    "boundscheck": CHECKED,
    "wraparound": False,
    "embedsignature": True,
    "freethreading_compatible": True,
}

setup(
    libraries=[
        (
            "hbmcore",
            {
                "sources": C_SOURCES,
                "include_dirs": ["csrc"],
                "obj_deps": {"": C_DEPENDS},
                "cflags": [*CFLAGS, *WARNINGS],
            },
        )
    ],
    ext_modules=[core],
    cffi_modules=["hbmmodel/_ffi_build.py:ffibuilder"],
    cmdclass={"build_clib": BuildClib, "build_ext": BuildExt, "build_py": BuildPy},
    options={
        "build": {"build_base": BUILD_BASE},
        "build_ext": {"cython_c_in_temp": True, "parallel": min(4, os.cpu_count() or 1)},
    },
)
