"""Examples in docstrings run and print what they say; `test_page_examples` has those of the documentation."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import hbmmodel

MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages(hbmmodel.__path__, "hbmmodel.")
    if not m.name.endswith((".__main__", "._ffi_build"))
)
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.parametrize("name", ["hbmmodel", *MODULES])
def test_docstring_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "hbmmodel.trace.capture.recorder":
        pytest.importorskip("torch")
    module = importlib.import_module(name)
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(module, optionflags=OPTIONS).failed == 0
