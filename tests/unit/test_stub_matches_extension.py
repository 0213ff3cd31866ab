"""`_core.pyi` names exactly what the extension has, with the same parameters and defaults."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hbmmodel import _core

IMPORTED = {"BY_CODE", "COMMAND_DTYPE", "HbmArgumentError", "HbmBusyError", "HbmInternalError", "np"}


@pytest.fixture(scope="module")
def stub() -> ast.Module:
    path = Path(_core.__file__).with_name("_core.pyi")
    return ast.parse(path.read_text(encoding="utf-8"))


def parameters(node: ast.FunctionDef) -> list[tuple[str, Any, bool]]:
    """(name, default or no default, keyword only) of a function in the stub."""
    args = node.args
    positional = [*args.posonlyargs, *args.args]
    defaults: list[Any] = [inspect.Parameter.empty] * (len(positional) - len(args.defaults))
    defaults += [ast.literal_eval(d) for d in args.defaults]
    keywords = [
        inspect.Parameter.empty if d is None else ast.literal_eval(d) for d in args.kw_defaults
    ]
    return [(a.arg, d, False) for a, d in zip(positional, defaults, strict=True)] + [
        (a.arg, d, True) for a, d in zip(args.kwonlyargs, keywords, strict=True)
    ]


def real_parameters(thing: Any) -> list[tuple[str, Any, bool]]:
    return [
        (p.name, p.default, p.kind is inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(thing).parameters.values()
    ]


def functions(body: list[ast.stmt]) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


def fields(body: list[ast.stmt]) -> set[str]:
    found = {n.target.id for n in body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    return found | {
        f.name
        for f in functions(body).values()
        if any(isinstance(d, ast.Name) and d.id == "property" for d in f.decorator_list)
    }


def classes(stub: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}


def test_module_has_the_names_of_the_stub_and_no_others(stub: ast.Module) -> None:
    named = set(functions(stub.body)) | set(classes(stub)) | fields(stub.body)
    real = {n for n, v in vars(_core).items() if not n.startswith("_") and not isinstance(v, ModuleType)}
    assert named == real - IMPORTED


def test_functions_take_the_parameters_of_the_stub(stub: ast.Module) -> None:
    for name, node in functions(stub.body).items():
        assert parameters(node) == real_parameters(getattr(_core, name)), name


def test_classes_have_the_members_of_the_stub(stub: ast.Module) -> None:
    for name, node in classes(stub).items():
        kind = getattr(_core, name)
        real = {member for member in vars(kind) if not member.startswith("_")}
        methods = {m for m in functions(node.body) if not m.startswith("_")} - fields(node.body)
        assert methods | fields(node.body) == real, name
        for method in methods:
            listed = parameters(functions(node.body)[method])
            assert listed == real_parameters(getattr(kind, method)), f"{name}.{method}"
        for field in fields(node.body):
            assert inspect.isdatadescriptor(getattr(kind, field)), f"{name}.{field}"


def test_every_constant_has_the_type_of_the_stub(stub: ast.Module) -> None:
    for node in stub.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            assert isinstance(node.annotation, ast.Name)
            assert type(getattr(_core, node.target.id)).__name__ == node.annotation.id
