"""The Python exception classes are those of the C core's error table, one for one."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from hbmmodel import errors

TABLE = Path(__file__).resolve().parents[2] / "csrc" / "errors.def"
ROW = re.compile(r'^HBM_ERROR\((\w+), (-\d+), "([^"]*)"\)$', re.MULTILINE)
CLASSES = {
    "NO_MEMORY": errors.HbmMemoryError,
    "BAD_ARGUMENT": errors.HbmArgumentError,
    "BAD_DEVICE": errors.HbmDeviceError,
    "BAD_MAP": errors.HbmMapError,
    "ADDRESS": errors.HbmAddressError,
    "BAD_TRACE": errors.HbmTraceError,
    "ILLEGAL_COMMAND": errors.HbmIllegalCommandError,
    "BAD_POLICY": errors.HbmPolicyError,
    "OVERFLOW": errors.HbmOverflowError,
    "BUSY": errors.HbmBusyError,
    "INTERNAL": errors.HbmInternalError,
    "INTERRUPTED": errors.HbmInterruptedError,
}
BUILTIN = {
    "NO_MEMORY": MemoryError,
    "ILLEGAL_COMMAND": RuntimeError,
    "OVERFLOW": OverflowError,
    "BUSY": RuntimeError,
    "INTERNAL": RuntimeError,
    "INTERRUPTED": RuntimeError,
}


def rows() -> list[tuple[str, int, str]]:
    return [(name, int(code), text) for name, code, text in ROW.findall(TABLE.read_text())]


def test_the_whole_table_is_parsed() -> None:
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("HBM_ERROR(")]
    assert len(rows()) == len(lines) > 0


def test_codes_and_classes_are_a_bijection() -> None:
    assert {code: CLASSES[name] for name, code, _ in rows()} == errors.BY_CODE
    assert len(set(errors.BY_CODE.values())) == len(errors.BY_CODE)


@pytest.mark.parametrize(("name", "code", "text"), rows())
def test_class_carries_code_and_message_of_its_row(name: str, code: int, text: str) -> None:
    cls = CLASSES[name]
    assert cls.code == code
    assert text
    assert cls.summary == text


@pytest.mark.parametrize("name", CLASSES)
def test_class_is_also_the_builtin_that_users_catch(name: str) -> None:
    cls = CLASSES[name]
    assert issubclass(cls, errors.HbmError)
    assert issubclass(cls, BUILTIN.get(name, ValueError))


@pytest.mark.parametrize("cls", CLASSES.values())
def test_error_survives_a_process_boundary(cls: type[errors.HbmError]) -> None:
    error = pickle.loads(pickle.dumps(cls("trace.csv:7: address: not a number")))
    assert type(error) is cls
    assert str(error) == "trace.csv:7: address: not a number"


def test_every_public_name_exists() -> None:
    assert {cls.__name__ for cls in CLASSES.values()} | {"HbmError", "BY_CODE"} == set(errors.__all__)
