"""MLCommons Chakra execution traces: nodes of a graph, in protocol buffers.

Owns the schema (``docs/formats/chakra.md``) and what of a node is memory traffic; must not know the wire format.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.access import BYTES_MAX
from hbmmodel.trace.expand import Operand
from hbmmodel.trace.hbmop import INT_MAX, TEXT_MAX
from hbmmodel.trace.index import IndexArrays
from hbmmodel.trace.problem import HbmTraceWarning
from hbmmodel.trace.protowire import REMEDY, Delimited, signed
from hbmmodel.trace.records import Alloc, OpRecord, Record, RecordedTrace
from hbmmodel.trace.source import file_digest

__all__ = ["ChakraTrace"]

TENSORS_MAX = 4_000_000

# NodeType of et_def.proto -> (operator, roles of its tensor).
MEM_LOAD, MEM_STORE, COMP = 2, 3, 4
MOVING = {MEM_LOAD: ("chakra.mem_load", "r"), MEM_STORE: ("chakra.mem_store", "w"), COMP: ("chakra.comp", "r")}
KINDS = {
    **{0: "INVALID", 1: "METADATA", 5: "COMM_SEND", 6: "COMM_RECV", 7: "COMM_COLL", 8: "STORAGE", 9: "BATCH"},
    **{4: "COMP without tensor_size", 10: "CHECKPOINT"},
}
QUIET = frozenset((0, 1))  # they move nothing, and nobody will miss them
# Fields of AttributeProto that hold a whole number: int32, int64, uint32, uint64, fixed32, fixed64, sfixed32, sfixed64.
WHOLE = frozenset((7, 9, 11, 13, 19, 21, 23, 25))
ZIGZAG = frozenset((15, 17))  # sint32, sint64


class ChakraTrace(RecordedTrace):
    """Memory nodes of a Chakra trace; see `read_trace`.

    Notes
    -----
    A Chakra node has no addresses, only a ``tensor_size``. Nodes of one name and size touch the same bytes, which are
    placed by the allocator model and stay. A compute node's ``tensor_size`` is charged as read, for the schema does not
    say more; communication nodes are left out.

    Source
    ------
    mlcommons/chakra, ``schema/protobuf/et_def.proto``. ASTRA-sim, ``workload/Workload.cc``: what reads ``tensor_size``.
    """

    format = "chakra"
    unit = "record"

    @property
    def metadata(self) -> dict[str, Any]:
        """Version of the schema."""
        stream = Delimited(self.name)
        return {"source": "chakra", "schema": _version(stream, next(stream.messages(), b""))}

    def content_hash(self) -> str:
        """SHA-256 (hex) of the file."""
        hasher = hashlib.sha256()
        file_digest(hasher, self.name)
        return hasher.hexdigest()

    def index_arrays(self) -> IndexArrays:
        """None: a Chakra trace records no contents of tensors."""
        return IndexArrays("", self.seed)

    def _narrowed(self, phases: frozenset[str]) -> RecordedTrace:
        return ChakraTrace(self.name, phases, self.base, self.seed, self.pages)

    def records(self) -> Iterator[Record]:
        """Stream the records from the start; they are numbered by the messages of the file, from 0."""
        stream = Delimited(self.name)
        messages = stream.messages()
        _version(stream, next(messages, b""))
        tensors: dict[tuple[str, int], int] = {}
        left_out: Counter[str] = Counter()
        for message in messages:
            if not message:  # of zeros there may be gigabytes
                raise stream.error("an empty message is no node", None, None, REMEDY)
            node = _Node(stream, message)
            if node.kind not in MOVING or node.tensor_bytes is None:
                if node.kind not in QUIET:
                    left_out[KINDS.get(node.kind, f"{min(node.kind, 1 << 16)}")] += 1
                continue
            if node.tensor_bytes == 0:
                continue
            key = (node.name, node.tensor_bytes)
            if key not in tensors:
                if len(tensors) >= TENSORS_MAX:
                    raise stream.error(f"more than {TENSORS_MAX} tensors", "name", None, "cut the trace")
                tensors[key] = len(tensors)
                yield Alloc(tensors[key], node.tensor_bytes, 0, stream.record)
            name, role = MOVING[node.kind]
            operand = Operand(role, tensors[key], 0, "u8", [node.tensor_bytes], [1])
            yield OpRecord(f"{name}.default", (operand,), node.id, *node.time_ns, stream.record)
        if left_out:
            listed = ", ".join(f"{times} {kind}" for kind, times in sorted(left_out.items()))
            text = f"{self.name}: nodes that name no memory are left out: {listed}"
            warnings.warn(text, HbmTraceWarning, stacklevel=2)


def _version(stream: Delimited, header: bytes) -> str:
    versions = [value for number, value in stream.fields(header) if number == 1 and isinstance(value, bytes)]
    return versions[0][:64].decode("utf-8", "replace") if versions else ""


class _Node:
    """The fields of one node that matter."""

    def __init__(self, stream: Delimited, message: bytes) -> None:
        self._stream = stream
        self.id = 0
        self.name = ""
        self.kind = 0
        self.tensor_bytes: int | None = None
        start = duration = 0
        for number, value in stream.fields(message):
            if number == 1:
                self.id = self._whole("id", value)
            elif number == 2:
                self.name = self._text("name", value)
            elif number == 3:
                self.kind = self._whole("type", value)
            elif number == 6:
                start = self._whole("start_time_micros", value)
            elif number == 7:
                duration = self._whole("duration_micros", value)
            elif number == 10 and isinstance(value, bytes):
                self._attribute(value)
        self.time_ns = (min(start * 1000, INT_MAX), min(duration * 1000, INT_MAX))

    def _error(self, what: str, field: str, got: object) -> HbmTraceError:
        return self._stream.error(what, field, got, "make the trace again")

    def _whole(self, field: str, value: int | bytes) -> int:
        if not isinstance(value, int) or value > INT_MAX:
            raise self._error("not a number below 2^63", field, value)
        return value

    def _text(self, field: str, value: int | bytes) -> str:
        if not isinstance(value, bytes) or len(value) > TEXT_MAX:
            raise self._error(f"not a text of at most {TEXT_MAX} bytes", field, value)
        return value.decode("utf-8", "replace")

    def _attribute(self, message: bytes) -> None:
        """Take ``tensor_size``, whatever kind of number it is given as."""
        found = dict(self._stream.fields(message))
        if found.get(1) != b"tensor_size":
            return
        for number, value in found.items():
            if isinstance(value, int) and number in WHOLE | ZIGZAG:
                size = (value >> 1) ^ -(value & 1) if number in ZIGZAG else signed(value)
                if not 0 <= size < BYTES_MAX:
                    raise self._error("not a size in bytes", "attr.tensor_size", size)
                self.tensor_bytes = size
                return
        raise self._error("not a number", "attr.tensor_size", None)
