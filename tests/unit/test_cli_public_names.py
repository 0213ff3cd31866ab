"""``import hbmmodel`` is cheap and its public names do not depend on what was imported before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hbmmodel

REPOSITORY = Path(__file__).resolve().parents[2]


def loaded_after(code: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after running `code`."""
    show = "print(json.dumps(sorted(set(sys.modules) - before)))"
    program = f"import sys, json\nbefore = set(sys.modules)\n{code}\n{show}"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_but_itself() -> None:
    loaded = loaded_after("import hbmmodel")
    assert {name for name in loaded if name.startswith("hbmmodel")} == {"hbmmodel"}
    assert not {name.partition(".")[0] for name in loaded} & {
        "numpy",
        "pyarrow",
        "click",
        "msgspec",
        "tqdm",
        "cffi",
    }
    assert len(loaded) < 40


def test_describing_a_system_needs_no_heavy_library() -> None:
    loaded = loaded_after("import hbmmodel as hbm\nhbm.System(hbm.device('HBM4_8000'))")
    assert not {name.partition(".")[0] for name in loaded} & {"numpy", "pyarrow", "click", "tqdm", "cffi"}


def test_help_loads_no_command() -> None:
    loaded = loaded_after("from hbmmodel.cli import run_cli\nrun_cli(['--help'])")
    assert not {name.partition(".")[0] for name in loaded} & {"numpy", "pyarrow", "msgspec", "tqdm", "cffi"}


@pytest.mark.parametrize(
    "before",
    ["", "import hbmmodel.device", "from hbmmodel.device.model import Device; import hbmmodel.check"],
)
def test_device_and_check_are_functions_whatever_was_imported_before(before: str) -> None:
    loaded_after(
        f"{before}\nimport hbmmodel as hbm\n"
        "assert hbm.device('HBM4_8000').name == 'HBM4_8000'\n"
        "assert callable(hbm.check) and hbm.check.__name__ == 'check'\n"
        "from hbmmodel.device import Device\nfrom hbmmodel.check import Violation\n"
        "assert hbm.Device is Device\n"
        "assert hbm.device('HBM4_8000') is not None and callable(hbm.check)"
    )


@pytest.mark.parametrize(
    "name", ["Controller", "Device", "Result", "System", "device", "devices", "errors", "get_include"]
)
def test_public_names_are_there_and_documented(name: str) -> None:
    assert name in hbmmodel.__all__ and name in dir(hbmmodel)
    assert getattr(hbmmodel, name).__doc__


def test_every_lazy_name_is_public_and_every_public_name_has_a_home() -> None:
    own = {"__version__", "errors", "get_include", "serving", "study", "thermal", "workload"}
    assert set(hbmmodel.__all__) == set(hbmmodel._HOME) | own


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'wings'"):
        hbmmodel.wings  # noqa: B018


def test_the_header_of_the_core_is_found() -> None:
    assert (Path(hbmmodel.get_include()) / "hbm.h").is_file()
