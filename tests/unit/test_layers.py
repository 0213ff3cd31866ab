"""The rooms of docs/architecture.md: who may include, import or call whom, in C and in Python."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

# Room -> rooms whose headers it may include. What those may see, it may see as well.
ROOMS: dict[str, set[str]] = {
    "core": set(),
    "device": {"core"},
    "addrmap": {"device"},
    "timing": {"device"},
    "queue": {"core"},
    "stats": {"core"},
    "search": {"core"},
    "pool": {"core"},
    "l2": {"core"},
    "feed": {"addrmap"},
    "quota": {"feed"},
    "pc": {"quota", "queue", "search", "stats", "timing"},
    "policy": {"pc"},
    "refresh": {"policy"},
    "channel": {"refresh"},
    "system": {"channel", "l2", "pool"},
    "expand": {"system"},
    "flight": {"expand"},
    "r21": {"timing"},
    "thermal": {"core"},
}
# Files that belong to the room of another name.
PARTS = {
    "account": "channel",
    "idle": "channel",
    "spot": "addrmap",
    "step_": "channel",
    "border": "system",
    "readout": "system",
    "sched": "policy",
    "r21_": "r21",
}
TABLES = {"errors.def", "device_fields.def"}
# The C library as far as the core may call it: memory, threads, and what compilers put in by themselves.
LIBC = {
    *("malloc", "calloc", "realloc", "free", "memcpy", "memset", "memmove", "memcmp", "strcmp", "strlen"),
    *("__stack_chk_fail", "__cpu_model", "__cpu_indicator_init", "__popcountdi2"),
}
HEADERS = {
    *("stdbool.h", "stddef.h", "stdint.h", "stdlib.h", "string.h", "limits.h"),
    *("stdatomic.h", "pthread.h", "immintrin.h"),
}


def room_of(path: Path) -> str:
    """The room that a file of csrc belongs to."""
    for prefix, room in PARTS.items():
        if path.stem == prefix or (prefix.endswith("_") and path.stem.startswith(prefix)):
            return room
    return path.stem


def visible(room: str) -> set[str]:
    """Every room that a room may see, itself included."""
    return {room}.union(*(visible(lower) for lower in ROOMS[room]))


def sources(checkout: Path) -> list[Path]:
    """All C files and headers of the core."""
    return sorted(p for p in (checkout / "csrc").iterdir() if p.suffix in (".c", ".h"))


def test_every_c_file_belongs_to_a_room(checkout: Path) -> None:
    unknown = {p.name for p in sources(checkout) if room_of(p) not in ROOMS and p.name != "hbm.h"}
    assert not unknown, f"{unknown}: give the file a room in docs/architecture.md and in this test"


def test_every_room_is_described_in_the_architecture(checkout: Path) -> None:
    text = (checkout / "docs" / "architecture.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \|", text, re.M)
    described = {name for cell in cells for name in re.findall(r"`(\w+)", cell)}
    assert set(ROOMS) <= described


def test_c_rooms_include_only_what_lies_below(checkout: Path) -> None:
    wrong = []
    for path in sources(checkout):
        if path.name == "hbm.h":
            allowed = set()
        else:
            allowed = {p.name for p in sources(checkout) if room_of(p) in visible(room_of(path))} | {"hbm.h"}
        for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(encoding="utf-8"), re.M):
            if name not in allowed | TABLES:
                wrong.append(f"{path.name} includes {name}")
    assert not wrong


def test_the_core_uses_no_system_header_beyond_memory_and_threads(checkout: Path) -> None:
    used = {
        name: path.name
        for path in sources(checkout)
        for name in re.findall(r"^\s*#\s*include\s+<([^>]+)>", path.read_text(encoding="utf-8"), re.M)
    }
    assert set(used) <= HEADERS, {n: f for n, f in used.items() if n not in HEADERS}


def test_every_header_stands_alone(checkout: Path, tmp_path: Path) -> None:
    compiler = shutil.which("cc") or pytest.skip("needs a C compiler")
    for header in sources(checkout):
        if header.suffix == ".h":  # twice: the guard works
            include = f'#include "{header.name}"\n'
            (tmp_path / f"{header.stem}.c").write_text(include + include, encoding="utf-8")
    flags = ["-std=c11", "-fsyntax-only", f"-I{checkout / 'csrc'}"]
    subprocess.run([compiler, *flags, *map(str, sorted(tmp_path.glob("*.c")))], check=True)


def test_the_public_header_is_valid_cplusplus(checkout: Path, tmp_path: Path) -> None:
    compiler = shutil.which("c++") or pytest.skip("needs a C++ compiler")
    user = tmp_path / "user.cpp"
    user.write_text('#include "hbm.h"\nint main() { return HBM_OK; }\n', encoding="utf-8")
    flags = ["-std=c++17", "-fsyntax-only", "-Wall", "-Werror", f"-I{checkout / 'csrc'}"]
    subprocess.run([compiler, *flags, str(user)], check=True)


@pytest.fixture(scope="module")
def symbols(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, str]]:
    """(object, kind, name) of every symbol of the core, compiled without PIC: constants are in .rodata."""
    compiler, nm = shutil.which("cc"), shutil.which("nm")
    if compiler is None or nm is None:
        pytest.skip("needs a C compiler and nm")
    folder = tmp_path_factory.mktemp("core")
    files = [str(p) for p in sources(checkout) if p.suffix == ".c"]
    flags = ["-std=c11", "-O0", "-fno-pic", "-pthread", f"-I{checkout / 'csrc'}"]
    subprocess.run([compiler, *flags, "-c", *files], cwd=folder, check=True)
    rows = []
    for path in sorted(folder.glob("*.o")):
        out = subprocess.run([nm, str(path)], capture_output=True, text=True, check=True).stdout
        rows += [(path.stem, *line[17:].split(maxsplit=1)) for line in out.splitlines()]
    assert rows
    return rows


def test_every_exported_symbol_has_the_prefix(symbols: list[tuple[str, str, str]]) -> None:
    exported = {name for _, kind, name in symbols if kind.isupper() and kind != "U"}
    assert "hbm_strerror" in exported
    assert not {name for name in exported if not name.startswith("hbm_")}


def test_the_core_has_no_writable_globals(symbols: list[tuple[str, str, str]]) -> None:
    assert not [(file, name) for file, kind, name in symbols if kind in "DdBbCSsGg"]


def test_the_core_calls_nothing_but_memory_and_threads(symbols: list[tuple[str, str, str]]) -> None:
    defined = {name for _, kind, name in symbols if kind != "U"}
    foreign = {name for _, kind, name in symbols if kind == "U"} - defined - LIBC
    assert not {name for name in foreign if not name.startswith("pthread_")}


def test_every_function_of_the_public_header_is_defined_once(
    checkout: Path, symbols: list[tuple[str, str, str]]
) -> None:
    header = (checkout / "csrc" / "hbm.h").read_text(encoding="utf-8")
    public = re.findall(r"^HBM_API\b[^;(]*?\b(hbm_\w+)\(", header, re.M)
    defined = [name for _, kind, name in symbols if kind == "T"]
    assert len(public) == len(set(public)) > 20
    assert {name: defined.count(name) for name in public} == dict.fromkeys(public, 1)


# ---- Python ----


def imported(path: Path) -> Iterable[str]:
    """Dotted names of the modules that a Python file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_import_directions(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = pytest.importorskip("importlinter.cli")
    monkeypatch.chdir(checkout)
    assert cli.lint_imports(config_filename="pyproject.toml", no_cache=True) == 0


@pytest.mark.parametrize("room", ["reference", "check"])
def test_oracles_never_touch_the_compiled_core(checkout: Path, room: str) -> None:
    for path in (checkout / "hbmmodel" / room).rglob("*.py"):
        names = {name for name in imported(path) if re.search(r"\b(_core|_ffi|capi|cffi|ctypes)\b", name)}
        assert not names, f"{path.name} imports {names}"


def test_the_binding_imports_errors_and_commands_only(checkout: Path) -> None:
    text = (checkout / "hbmmodel" / "_core.pyx").read_text(encoding="utf-8")
    used = set(re.findall(r"^\s*(?:from|import)\s+(hbmmodel[\w.]*)", text, re.M))
    assert used <= {"hbmmodel._chbm", "hbmmodel.errors", "hbmmodel.commands"}


def test_no_file_reaches_outside_its_project(checkout: Path) -> None:
    """Nothing in the package opens a socket or runs another program."""
    banned = re.compile(r"^(socket|ssl|http|urllib\.request|ftplib|subprocess|requests)\b")
    for path in (checkout / "hbmmodel").rglob("*.py"):
        names = {name for name in imported(path) if banned.match(name)}
        assert not names or path.name == "provenance.py", f"{path.name} imports {names}"


def test_files_can_be_read_in_one_sitting(checkout: Path) -> None:
    long = {}
    for folder, limit in (("csrc", 600), ("hbmmodel", 600)):
        for path in (checkout / folder).rglob("*"):
            if path.suffix in (".c", ".h", ".py", ".pyx") and path.name not in ("_core.c", "_ffi.c"):
                lines = len(path.read_text(encoding="utf-8").splitlines())
                if lines > limit:
                    long[path.name] = lines
    assert not long
