"""The public names: stable, documented, and cheap to import."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hbmmodel

PUBLIC = {
    *("AddressMap", "Controller", "Cooling", "Device", "Quota", "Result", "System", "Trace", "Trips"),
    *("__version__", "capture", "check", "compare", "demo_capture", "device", "devices", "energy_set", "energy_sets"),
    *("errors", "get_include", "product", "product_info", "products", "read_trace", "serving", "simulate"),
    *("side_by_side", "study", "sweep", "thermal", "workload"),
}


def test_the_public_names_are_these() -> None:
    """A name more or less is a decision: it goes into the changelog."""
    assert set(hbmmodel.__all__) == PUBLIC
    assert sorted(hbmmodel.__all__) == list(hbmmodel.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_exists_and_says_what_it_is(name: str) -> None:
    value = getattr(hbmmodel, name)
    if callable(value):
        assert inspect.getdoc(value), f"{name} has no docstring"
        assert value.__module__.startswith("hbmmodel")


def test_every_public_name_is_on_the_api_page(checkout: Path) -> None:
    page = (checkout / "docs" / "api.md").read_text(encoding="utf-8")
    shown = {name.removeprefix("hbmmodel.") for name in re.findall(r"^\.\. auto\w+:: (\S+)$", page, re.M)}
    assert PUBLIC - {"__version__"} <= shown


def test_dir_lists_the_lazy_names() -> None:
    assert set(dir(hbmmodel)) >= PUBLIC


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'devcie'"):
        hbmmodel.devcie  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("first", ["import hbmmodel.device, hbmmodel.check", "pass"])
def test_submodules_do_not_hide_functions(first: str) -> None:
    """``hbmmodel.device`` is the function, whether or not the submodule of that name was imported before."""
    code = f"{first}\nimport hbmmodel\nassert callable(hbmmodel.device) and callable(hbmmodel.check)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, hbmmodel\n"
        "heavy = {'numpy', 'cffi', 'pyarrow', 'click', 'msgspec', 'tqdm', 'zstandard', 'hbmmodel._core'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "[]"


def test_importing_capi_loads_nothing_compiled() -> None:
    code = (
        "import sys, hbmmodel.capi\n"
        "print('hbmmodel._ffi' in sys.modules or '_cffi_backend' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "False"
