"""Which format a trace has, from its first bytes or lines; its name is never looked at.

Owns the decision; must not know how a format is read beyond what its first record looks like.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.dramsim3 import Dramsim3
from hbmmodel.trace.dramsys import Stl
from hbmmodel.trace.lackey import Lackey
from hbmmodel.trace.problem import trace_error
from hbmmodel.trace.ramulator import LoadStore, ReadWrite
from hbmmodel.trace.source import TEXT_LINE_MAX, CutOffError, open_source, pieces

__all__ = ["FORMATS", "SNAPSHOT", "detect"]

FORMATS = (
    "hbmop",
    "dramsim3",
    "ramulator-loadstore",
    "ramulator-readwrite",
    "dramsys-stl",
    "dramsys-rstl",
    "lackey",
    "parquet",
    "pytorch-et",
    "kineto",
    "chakra",
    "cutracer",
    "accelsim",
    "gem5",
    "hbmarr",
)
"""Names that ``read_trace(format=)`` takes."""

SNAPSHOT = "torch-snapshot"
"""What `detect` calls a memory snapshot, which is no trace: see `hbmmodel.trace.read_snapshot`."""

PARQUET_MAGIC = b"PAR1"
ZIP_MAGIC = b"PK\x03\x04"
_LINE_FORMATS = (Dramsim3, LoadStore, ReadWrite, Stl, Lackey)
_HBMOP = re.compile(rb'\{[^\n]{0,65536}?"hbmop"\s*:')
# What the first bytes of a file, decompressed, look like; the first that fits is the format.
_HEADS = (
    ("hbmop", _HBMOP),
    ("gem5", re.compile(rb"gem5")),
    (SNAPSHOT, re.compile(rb"\x80[\x02-\x05](\x95........)?[}]", re.DOTALL)),
    ("chakra", re.compile(rb"(?:[\x01-\x7f]|[\x80-\xff][\x01-\x7f])\x0a[\x01-\x40][0-9]+\.[0-9]")),
    ("cutracer", re.compile(rb'\s*\{[^\n]{0,65536}?"type"\s*:\s*"(?:mem|reg|tma|opcode|kernel|callstack|delay)_')),
    ("kineto", re.compile(rb'\s*\{[^{}]{0,4096}?"(?:schemaVersion|traceEvents|deviceProperties)"\s*:')),
    ("pytorch-et", re.compile(rb'\s*\{[^{}]{0,4096}?"(?:schema|nodes)"\s*:')),
    ("accelsim", re.compile(rb"\s*(?:-kernel name\s*=|MemcpyHtoD,|kernel[\w.-]*\.traceg(?:\.xz)?\s)")),
)
_REMEDY = "pass format= one of " + ", ".join(FORMATS)


def detect(path: str | os.PathLike[str]) -> str:
    """Name of the format of a file.

    Raises
    ------
    HbmTraceError
        The file cannot be read, or its first record fits no format, or more than one.
    """
    name = os.fspath(path)
    with open_source(name) as file:
        raw = file.read(4)
    if raw == PARQUET_MAGIC:
        return "parquet"
    if raw == ZIP_MAGIC:
        return "hbmarr"
    head = b""
    whole = True
    try:
        for piece in pieces(name):
            head += piece[: 2 * TEXT_LINE_MAX]
            if len(head) > TEXT_LINE_MAX:
                whole = False
                break
    except CutOffError:
        if not _HBMOP.match(head):  # whose reader knows what to do
            raise
    if not head.strip():
        what = "the file is empty" if whole else f"the first {len(head)} bytes are blank"
        raise trace_error(name, what, remedy="this is no trace")
    if head.startswith(PARQUET_MAGIC):
        raise trace_error(name, "a parquet file inside a compressed file", remedy="decompress it first")
    for found, looks_like in _HEADS:
        if looks_like.match(head):
            return found
    if b"\n" not in head and not whole:
        if b"\0" in head:
            raise _binary(name, head)
        raise trace_error(name, f"longer than {TEXT_LINE_MAX} bytes", line=1, got=head[:16], remedy=_REMEDY)
    return _by_records(name, head if whole else head[: head.rfind(b"\n") + 1], whole)


def _records(head: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(head.split(b"\n"), 1):
        if line.strip() and not line.lstrip().startswith(b"#") and not line.startswith((b"==", b"--")):
            yield number, line.rstrip()


def _by_records(name: str, head: bytes, whole: bool) -> str:
    records = list(_records(head))
    if not records and whole:
        raise trace_error(name, "only comments, no record", remedy="this is no trace")
    if not records:
        raise trace_error(name, f"only comments in the first {len(head)} bytes", remedy=_REMEDY)
    number, first = records[0]
    found = [fmt.name for fmt in _LINE_FORMATS if fmt.skeleton.match(first)]
    if len(found) > 1:
        raise _ambiguous(name, number, first, found)
    if not found and b"\0" in head:
        raise _binary(name, head)
    if not found and name.endswith(".py"):
        raise trace_error(name, "a program is no trace", remedy="run it with hbm.capture around what it does")
    if not found:
        raise trace_error(name, "fits no known format", line=number, got=first, remedy=_REMEDY)
    if found[0] == Stl.name:
        _refuse_relative(name, records)
    return found[0]


def _refuse_relative(name: str, records: list[tuple[int, bytes]]) -> None:
    """.stl and .rstl differ only in what the numbers mean. Several equal ones, not 0, are either."""
    cycles = {line.partition(b":")[0].strip() for _, line in records}
    if len(records) > 1 and len(cycles) == 1 and cycles != {b"0"}:
        number, line = records[1]
        raise _ambiguous(name, number, line, ["dramsys-stl", "dramsys-rstl"])


def _binary(name: str, head: bytes) -> HbmTraceError:
    return trace_error(name, "binary data of no known format", got=head[:8], remedy=_REMEDY)


def _ambiguous(name: str, number: int, line: bytes, found: list[str]) -> HbmTraceError:
    return trace_error(
        name,
        f"may be {' or '.join(found)}",
        line=number,
        got=line,
        remedy=f"pass format={' or '.join(repr(one) for one in found)}",
    )
