"""Writing captures: traces that know their operands, to ``.hbmop`` of version 2.

Owns the order and form of the lines (``docs/formats/hbmop.md``); must not know where the records come from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.expand import Operand
from hbmmodel.trace.records import Alloc, Free, OpRecord, RecordedTrace
from hbmmodel.trace.target import compressed, replacing

__all__ = ["write_hbmop"]

VERSION = 2
VALUES_PER_LINE = 1 << 18


def write_hbmop(trace: object, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Write a trace of a PyTorch run as a capture.

    Parameters
    ----------
    trace : Trace
        One that knows its operands: from a capture or from an execution trace. A selection of phases is written as a
        whole: the storages of the rest take their place.
    path : path
        Target; compressed if its name ends with ``.gz``, ``.xz`` or ``.zst``. It appears only when complete.

    Returns
    -------
    dict
        ``path``, ``format``, ``operations`` and ``bytes`` of the file.

    Raises
    ------
    HbmArgumentError
        The trace has no operands, or the file cannot be written.
    HbmTraceError
        The trace is malformed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from hbmmodel.trace import read_trace
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.hbmop.jsonl").write_text('''{"hbmop": 1}
    ... ["A", 0, 4096, 0, 0]
    ... ["O", 0, 0, 0, "aten.zero_.default", [["m", 0, 0, "f32", [1024], [1]]]]''')
    >>> written = write_hbmop(read_trace(folder / "a.hbmop.jsonl"), folder / "b.hbmop.zst")
    >>> written["operations"], [op.bytes_written for op in read_trace(written["path"]).operations()]
    (1, [4096])
    """
    if not isinstance(trace, RecordedTrace):
        raise HbmArgumentError(
            f"{getattr(trace, 'name', trace)!s} has no operands, which a capture needs; write it as requests instead"
        )
    target = os.fsdecode(path)
    operations = 0
    with replacing(target) as raw:
        with ExitStack() as stack:
            out = compressed(raw, target, stack)
            for line in _lines(trace):
                operations += isinstance(line, list) and line[0] == "O"
                out.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        raw.flush()
        size = os.fstat(raw.fileno()).st_size
    return {"path": target, "format": "hbmop", "operations": operations, "bytes": size}


def _lines(trace: RecordedTrace) -> Iterator[Any]:
    metadata = {key: value for key, value in getattr(trace, "metadata", {}).items() if key != "hbmop"}
    if trace.rewrites:
        metadata["rewrites"] = list(trace.rewrites)
    yield {"hbmop": VERSION, **metadata}
    index = trace.index_arrays()
    number = 0
    try:
        for record in trace.records():
            if isinstance(record, OpRecord):
                record = _keyed(record, number)
                for key, operand in {o.key: o for o in record.operands if o.key is not None}.items():
                    found = (index.recorded(key) if operand.indices is None else operand.indices).ravel()
                    for low in range(0, max(len(found), 1), VALUES_PER_LINE):
                        yield ["I", key, found[low : low + VALUES_PER_LINE].tolist()]
                operands = [_operand(operand) for operand in record.operands]
                yield ["O", record.seq, record.time_ns, record.duration_ns, record.name, operands]
                number += 1
            elif isinstance(record, Alloc):
                yield ["A", record.storage, record.n_bytes, record.pointer, number]
            elif isinstance(record, Free):
                yield ["F", record.storage, number]
            else:
                yield ["P", record.label, number]
    finally:
        index.close()
    yield ["E", number]


def _keyed(record: OpRecord, number: int) -> OpRecord:
    """The operation with a name for contents that a rewrite made, which have none."""
    operands = tuple(
        o._replace(key=f"rewritten.{number}.{i}") if o.key is None and o.indices is not None else o
        for i, o in enumerate(record.operands)
    )
    return record._replace(operands=operands)


def _operand(operand: Operand) -> list[Any]:
    if operand.rows is not None or operand.reread != (1, 1):
        raise HbmArgumentError(
            "a capture has no words for operands that a rewrite moves in part or several times; "
            "write the trace as it was recorded, and rewrite it when it runs"
        )
    written = [operand.role, operand.storage, operand.offset, operand.dtype, [*operand.shape], [*operand.stride]]
    if operand.key is not None or operand.dim is not None:
        written.append(operand.key)
    if operand.dim is not None:
        written.append(operand.dim)
    return written
