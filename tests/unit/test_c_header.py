"""One C API, three texts of it: hbm.h, what cffi made of it, and the declarations that Cython reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hbmmodel import capi, errors


def words(text: str) -> str:
    """A declaration with everything that does not change its meaning taken out."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"\b(HBM_API|HBM_WARN_UNUSED)\b", "", text)
    text = re.sub(r"\(\s*void\s*\)", "()", text).replace("bint ", "bool ")
    text = re.sub(r"\s*([*,()\[\]])\s*", r"\1", text)
    return " ".join(text.split())


def functions(text: str) -> dict[str, str]:
    """Name -> declaration of every function of a header or of a .pxd."""
    found = re.findall(r"^\s*(?:HBM_API )?((?:const )?\w+ \**(hbm_\w+)\([^)]*\))", text, re.M)
    return {name: words(declaration) for declaration, name in found}


def structs(text: str) -> dict[str, list[str]]:
    """Name -> members of every struct that is not opaque."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    found = re.findall(r"typedef struct(?: \w+)? \{(.*?)\} (\w+);", text, re.S)
    return {name: sorted(words(row) for row in body.split(";") if row.strip()) for body, name in found}


def pxd_structs(text: str) -> dict[str, list[str]]:
    """The same of a .pxd; array lengths stand before the name there."""
    found = re.findall(r"ctypedef struct (\w+):\n((?: {8}.*\n)+)", text)
    made = {}
    for name, body in found:
        members = [re.sub(r"^(\w+)(\[\d+\]) (\w+)$", r"\1 \3\2", line.strip()) for line in body.splitlines()]
        if members != ["pass"]:
            made[name] = sorted(words(m) for m in members)
    return made


@pytest.fixture(scope="module")
def header(checkout: Path) -> str:
    return (checkout / "csrc" / "hbm.h").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pxd(checkout: Path) -> str:
    return (checkout / "hbmmodel" / "_chbm.pxd").read_text(encoding="utf-8")


def test_cython_declares_functions_as_the_header_does(header: str, pxd: str) -> None:
    public, seen = functions(header), functions(pxd)
    assert len(public) > 20 and len(seen) > 20
    assert {name: public.get(name) for name in seen} == seen


def test_cython_declares_structs_as_the_header_does(header: str, pxd: str) -> None:
    public, seen = structs(header), pxd_structs(pxd)
    assert len(seen) >= 5
    assert {name: public.get(name) for name in seen} == seen


def test_cffi_mirrors_every_function(header: str) -> None:
    public = set(functions(header))
    assert public <= set(dir(capi.lib))
    for name in public:
        assert capi.ffi.typeof(capi.ffi.addressof(capi.lib, name)).kind in ("function", "pointer")


def test_cffi_mirrors_every_constant(header: str) -> None:
    enums = re.findall(r"^\s*(HBM_\w+) = (-?\d+)\b", header, re.M)
    assert len(enums) > 15
    assert {name: getattr(capi.lib, name) for name, _ in enums} == {name: int(value) for name, value in enums}


def test_error_codes_are_the_same_everywhere() -> None:
    assert {code: cls.__name__ for code, cls in errors.BY_CODE.items()}
    for code in errors.BY_CODE:
        name = capi.ffi.string(capi.lib.hbm_error_name(code)).decode()
        assert getattr(capi.lib, f"HBM_ERR_{name}") == code
    assert capi.lib.hbm_error_count() == len(errors.BY_CODE)


def test_capi_has_two_names_and_no_more() -> None:
    assert capi.__all__ == ["ffi", "lib"]
    with pytest.raises(AttributeError, match="no attribute 'libc'"):
        capi.libc  # noqa: B018
