"""What is shipped: versions in one place, the contents of wheel and sdist, the promises of pyproject.toml."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

import hbmmodel


@pytest.fixture(scope="module")
def project(checkout: Path) -> dict[str, Any]:
    return tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def copy(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the checkout without anything built, as a clean clone has them."""
    target = tmp_path_factory.mktemp("clone") / "hbmmodel"
    unwanted = shutil.ignore_patterns(
        *(".git", ".venv", "build", "dist", "*.so", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"),
        *("_core.c", "_ffi.c"),
    )
    shutil.copytree(checkout, target, ignore=unwanted, symlinks=True)
    return target


def backend(folder: Path, *arguments: str) -> None:
    """Runs setup.py as the build front end would; it needs the build requirements in this environment."""
    pytest.importorskip("setuptools", "80")
    pytest.importorskip("Cython")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "setup.py", "-q", *arguments],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if not k.startswith("HBM_")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_version_is_written_in_one_place(checkout: Path, project: dict[str, Any]) -> None:
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "hbmmodel.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", hbmmodel.__version__)


def test_changelog_and_citation_know_the_version(checkout: Path) -> None:
    citation = (checkout / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {hbmmodel.__version__}\n" in citation
    newest = re.search(r"^## (\S+)", (checkout / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert newest is not None and newest[1] == hbmmodel.__version__


def test_builds_without_isolation_use_the_declared_tools(project: dict[str, Any]) -> None:
    assert project["dependency-groups"]["build"] == project["build-system"]["requires"]


def test_linters_are_pinned_exactly(project: dict[str, Any]) -> None:
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", row) for row in project["dependency-groups"]["lint"])


def test_every_runtime_dependency_is_imported_somewhere(checkout: Path, project: dict[str, Any]) -> None:
    text = "\n".join(p.read_text(encoding="utf-8") for p in (checkout / "hbmmodel").rglob("*.py"))
    for row in project["project"]["dependencies"]:
        name = re.split(r"[<>=]", row)[0]
        assert re.search(rf"^\s*(import|from) {name}\b", text, re.M), f"{name} is required but never imported"


def test_package_data_patterns_find_something(checkout: Path, project: dict[str, Any]) -> None:
    for pattern in project["tool"]["setuptools"]["package-data"]["hbmmodel"]:
        assert list((checkout / "hbmmodel").glob(pattern)), pattern


def test_the_license_is_apache_2(checkout: Path, project: dict[str, Any]) -> None:
    assert project["project"]["license"] == "Apache-2.0"
    text = (checkout / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "END OF TERMS" in text


def test_the_wheel_holds_the_package_and_nothing_else(copy: Path, tmp_path: Path) -> None:
    backend(copy, "build_py", "-d", str(tmp_path))
    shipped = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert all(name.startswith("hbmmodel/") for name in shipped)
    sources = {
        p.relative_to(copy).as_posix() for p in (copy / "hbmmodel").rglob("*.py") if p.name != "_ffi_build.py"
    }
    data = {
        p.relative_to(copy).as_posix()
        for folder in ("device/presets", "data")
        for p in (copy / "hbmmodel" / folder).rglob("*")
        if p.is_file()
    }
    assert len(data) >= 4
    assert sources | data | {"hbmmodel/py.typed", "hbmmodel/_core.pyi"} <= shipped
    assert {"hbmmodel/include/hbm.h", "hbmmodel/include/errors.def"} <= shipped  # get_include()
    builder = (".c", ".pyx", ".pxd", ".o", ".pyc", "_ffi_build.py")
    unwanted = {n for n in shipped if n.endswith(builder) or "csrc" in n}
    assert not unwanted


def test_the_sdist_holds_all_that_a_build_and_a_test_run_need(copy: Path, tmp_path: Path) -> None:
    backend(copy, "sdist", "-d", str(tmp_path))
    (archive,) = tmp_path.glob("hbmmodel-*.tar.gz")
    with tarfile.open(archive) as tar:
        shipped = {name.split("/", 1)[1] for name in tar.getnames() if "/" in name}
    wanted = {
        p.relative_to(copy).as_posix()
        for folder in ("csrc", "hbmmodel", "tests", "docs", "bench")
        for p in (copy / folder).rglob("*")
        if p.is_file()
    }
    wanted |= {"Makefile", "pyproject.toml", "setup.py", "LICENSE", "CHANGELOG.md", "README.md"}
    wanted |= {".ci/run", ".clang-format", "CITATION.cff", "CONTRIBUTING.md"}
    assert not wanted - shipped
    assert not {n for n in shipped if n.endswith((".so", ".o", ".pyc", "/_core.c", "/_ffi.c"))}


def test_get_include_leads_to_the_public_header() -> None:
    folder = Path(hbmmodel.get_include())
    assert "hbm_strerror" in (folder / "hbm.h").read_text(encoding="utf-8")
    assert (folder / "errors.def").is_file()


def test_continuous_integration_runs_the_targets_a_person_runs(checkout: Path) -> None:
    script = checkout / ".ci" / "run"
    assert os.access(script, os.X_OK)
    called = re.findall(r"^make (\S+)$", script.read_text(encoding="utf-8"), re.M)
    targets = re.findall(r"^([a-z-]+):", (checkout / "Makefile").read_text(encoding="utf-8"), re.M)
    assert {"lint", "test"} <= set(called) <= set(targets)
    assert called[-1] == "test"  # the closing line of pytest is the last thing printed
    assert {"demo", "test", "lint", "bench", "docs", "clean"} <= set(targets)
