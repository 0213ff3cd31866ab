"""PyTorch execution traces (``ExecutionTraceObserver``): nodes to the calls that move bytes.

Owns the grammar of ET nodes (``docs/formats/pytorch.md``) and the choice of the nodes that count; must not know times,
lifetimes or addresses, which an ET does not have.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hbmmodel.errors import HbmTraceError
from hbmmodel.trace.expand import ITEM_BYTES
from hbmmodel.trace.hbmop import INT_MAX, RANK_MAX, TEXT_MAX
from hbmmodel.trace.json_items import json_members
from hbmmodel.trace.op_schema import Schema, is_composite, parse_schema
from hbmmodel.trace.problem import trace_error
from hbmmodel.trace.sparse import SparseParts
from hbmmodel.trace.tensor_types import BY_ITEMSIZE, DTYPES, contiguous, entries

__all__ = ["Call", "EtFile", "Tensor", "read_et"]

NODES_MAX = 4_000_000
SCHEMA_MAJOR = "1."
USER_SCOPE = 7  # RecordScope::USER_SCOPE: ranges that a user, or an optimizer, opened
BACKWARD = "autograd::engine::evaluate_function"


@dataclass(slots=True)
class Tensor:
    """One operand: `storage` is the ET's number, which a later storage may have again; `offset` in bytes.

    Sparse tensors have no storage (0) and are known by `id`, the number of the tensor, only. `selects` marks the
    indices of one that is given as its parts.
    """

    role: str
    storage: int
    offset: int
    dtype: str
    shape: list[int]
    stride: list[int]
    device: str
    id: int = 0
    selects: bool = False


@dataclass(slots=True)
class Call:
    """One operator call that counts: arguments and results, the phase, and the ids that join it with a Kineto file."""

    node: int
    rf_id: int
    name: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    phase: str = ""


@dataclass(slots=True)
class EtFile:
    """What `read_et` found.

    Attributes
    ----------
    schema : str
        Version of the format.
    calls : list of Call
        In order of their starts.
    names : dict of int to str
        ``rf_id`` of every node -> its name, for joining.
    owner : dict of int to int
        ``rf_id`` of every node inside a call, the call's own included -> the number of the call.
    notes : list of str
        What was met that changes what the numbers mean.
    """

    schema: str = ""
    calls: list[Call] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    owner: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_et(name: str) -> EtFile:
    """Read an execution trace; its calls are held, its text is not.

    Notes
    -----
    The nodes of an ET nest: ``aten::linear`` calls ``aten::addmm``, which calls ``aten::copy_``. What counts is the
    outermost operator that is a kernel of its own, as below PyTorch's autograd: composite operators and nodes without
    a schema (autograd functions, ranges) are looked through, what a counted one calls is part of it.

    Raises
    ------
    HbmTraceError
        The file is malformed; nodes are named by their id, as records.
    """
    return _Reader(name).read()


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name
        self._found = EtFile()
        self._parent: dict[int, int] = {}
        self._rf_id: dict[int, int] = {}
        self._label: dict[int, str] = {}
        self._call: dict[int, Call] = {}
        self._count: Counter[str] = Counter()
        self._sparse = SparseParts()
        self._node = 0

    def read(self) -> EtFile:
        has_nodes = False
        for key, value in json_members(self._name, frozenset(["nodes"])):
            if key == "schema":
                self._found.schema = str(value)[:64]
            elif key == "nodes":
                has_nodes = True
                self._take(value)
        if not has_nodes:
            raise trace_error(self._name, "no nodes", remedy="give what ExecutionTraceObserver wrote")
        self._choose()
        if not self._found.calls:
            raise trace_error(
                self._name, "no operator with a schema", remedy="record with PyTorch 2.1 or later, while operators run"
            )
        self._note()
        return self._found

    def _error(self, what: str, field: str, got: object, remedy: str = "record again") -> HbmTraceError:
        return trace_error(self._name, what, record=self._node, field=field, got=got, remedy=remedy)

    def _whole(self, field: str, value: object, low: int = 0) -> int:
        if type(value) is not int or not low <= value <= INT_MAX:
            raise self._error("bad number", field, value, f"it is a whole number in {low}..{INT_MAX}")
        return value

    def _take(self, node: object) -> None:
        if not isinstance(node, dict):
            raise self._error("a node is no object", "nodes", node)
        number = self._node = self._whole("id", node.get("id"))
        if number in self._parent:
            raise self._error("two nodes with this id", "id", number)
        if len(self._parent) >= NODES_MAX:
            raise self._error(f"more than {NODES_MAX} nodes", "nodes", None, "record a shorter part of the run")
        name = node.get("name")
        if not isinstance(name, str) or len(name) > TEXT_MAX:
            raise self._error("bad name", "name", name)
        parent = node.get("ctrl_deps", node.get("parent", 0))
        self._parent[number] = self._whole("ctrl_deps", parent)
        listed = node.get("attrs", [])
        if not isinstance(listed, list) or not all(isinstance(attr, dict) for attr in listed):
            raise self._error("bad attributes", "attrs", listed)
        attrs = {str(attr.get("name")): attr.get("value") for attr in listed}
        rf_id = self._rf_id[number] = self._whole("rf_id", attrs.get("rf_id", 0))
        self._found.names[rf_id] = name
        text = attrs.get("op_schema")
        schema = parse_schema(text) if isinstance(text, str) else None
        if schema is None and attrs.get("kernel_backend"):
            self._count["kernels"] += 1
            schema = Schema(f"{str(attrs['kernel_backend'])[:64]}.{name}.kernel", (), ())
            self._call[number] = self._read_call(node, number, rf_id, schema, "m")
        elif schema is None:
            self._read_label(number, name, attrs.get("scope"))
        elif not is_composite(schema.name):
            self._call[number] = self._read_call(node, number, rf_id, schema, "r")

    def _read_label(self, number: int, name: str, scope: object) -> None:
        if name.startswith(BACKWARD):
            self._label[number] = "backward"
        elif scope == USER_SCOPE and not name.startswith("[pytorch|"):
            self._label[number] = _phase_of(name)

    def _read_call(self, node: dict[str, Any], number: int, rf_id: int, schema: Schema, role: str) -> Call:
        inputs: list[Tensor] = []
        for i, tensors in enumerate(self._tensors(node, "inputs")):
            own = schema.roles[i] if i < len(schema.roles) else role
            for tensor in tensors:
                tensor.role = own
            inputs += tensors
        made: list[Tensor] = []
        for i, tensors in enumerate(self._tensors(node, "outputs")):
            view = i < len(schema.views) and schema.views[i]
            for tensor in tensors:
                tensor.role = "v" if view else "w"
            made += tensors
        self._sparse.learn(schema, inputs, made)
        inputs, outputs = self._stored(inputs), self._stored(made)
        aliased = {tensor.storage for tensor in inputs}
        for tensor in outputs:
            tensor.role = "v" if tensor.storage in aliased else tensor.role
        return Call(number, rf_id, schema.name, inputs, outputs)

    def _stored(self, tensors: list[Tensor]) -> list[Tensor]:
        """Tensors that have a storage: sparse ones as their parts, where they are known."""
        parts = [part for tensor in tensors for part in self._sparse.parts(tensor)]
        self._count["sparse"] += sum(tensor.storage == 0 for tensor in parts)
        return [tensor for tensor in parts if tensor.storage]

    def _tensors(self, node: dict[str, Any], side: str) -> list[list[Tensor]]:
        """Tensors of each argument, or result."""
        group = node.get(side)
        if not isinstance(group, dict):
            raise self._error("not an object", side, group, "record with PyTorch 2.1 or later")
        values, shapes, types = (group.get(key) for key in ("values", "shapes", "types"))
        strides = group.get("strides")
        if strides is None and isinstance(values, list):
            strides = [None] * len(values)
        for key, listed in (("values", values), ("shapes", shapes), ("types", types), ("strides", strides)):
            if not isinstance(listed, list) or len(listed) != len(values or ()):
                raise self._error("not one entry for each value", f"{side}.{key}", listed)
        assert isinstance(values, list) and isinstance(shapes, list)
        assert isinstance(types, list) and isinstance(strides, list)
        return [self._walk(side, *of) for of in zip(values, shapes, types, strides, strict=True)]

    def _walk(self, side: str, value: Any, shape: Any, kind: Any, stride: Any) -> list[Tensor]:
        """Tensors in one value: itself, or those of a list, whose type lists the types of its entries."""
        if not isinstance(kind, str):
            raise self._error("not a text", f"{side}.types", kind)
        if kind.startswith("Tensor("):
            tensor = self._tensor(side, value, shape, kind[7:-1], stride)
            return [] if tensor is None else [tensor]
        if "Tensor(" not in kind or "[" not in kind:
            return []
        kinds = entries(kind)
        strides = [None] * len(kinds) if stride is None else stride
        for key, listed in (("values", value), ("shapes", shape), ("strides", strides)):
            if not isinstance(listed, list) or len(listed) != len(kinds):
                raise self._error(f"not the {len(kinds)} entries that its type lists", f"{side}.{key}", listed)
        found = []
        for of in zip(value, shape, kinds, strides, strict=True):
            if of[2].startswith("Tensor("):
                found += self._walk(side, *of)
        return found

    def _tensor(self, side: str, value: Any, shape: Any, kind: str, stride: Any) -> Tensor | None:
        where = f"{side}.values"
        if not isinstance(value, list) or len(value) < 5:
            raise self._error("bad tensor", where, value, "it is [tensor, storage, offset, numel, itemsize, device]")
        storage = self._whole(f"{where}.storage", value[1])
        itemsize = self._whole(f"{where}.itemsize", value[4])
        device = str(value[5])[:32] if len(value) > 5 else "cpu"
        shape = self._sizes(f"{side}.shapes", shape)
        if kind.startswith("nullptr"):
            return None
        number = self._whole(f"{where}.tensor", value[0])
        if storage == 0:
            return Tensor("r", 0, 0, "u8", [], [], device, number)
        if stride is None:
            self._count["strides"] += 1
            stride = contiguous(shape)
        stride = self._sizes(f"{side}.strides", stride)
        if len(stride) != len(shape):
            raise self._error(f"{len(stride)} strides for {len(shape)} dimensions", f"{side}.strides", stride)
        dtype = DTYPES.get(kind, "")
        if ITEM_BYTES.get(dtype) != itemsize:
            self._count[f"dtype {kind[:40]}"] += 1
            dtype = BY_ITEMSIZE.get(itemsize, "")
            if not dtype:
                raise self._error("unknown size of an element", f"{where}.itemsize", itemsize)
        offset = self._whole(f"{where}.offset", value[2]) * itemsize
        return Tensor("r", storage, offset, dtype, shape, stride, device, number)

    def _sizes(self, where: str, numbers: Any) -> list[int]:
        if not isinstance(numbers, list) or len(numbers) > RANK_MAX:
            raise self._error("bad sizes", where, numbers, f"give at most {RANK_MAX} numbers")
        return [self._whole(where, number) for number in numbers]

    def _choose(self) -> None:
        """Outermost calls in order of their starts, their phases, and which call each node belongs to."""
        owner: dict[int, int] = {}
        label: dict[int, str] = {}
        calls = self._found.calls
        for number in sorted(self._parent):
            parent = self._parent[number]
            inside = owner.get(parent) if parent < number else None
            label[number] = self._label.get(number) or (label.get(parent, "") if parent < number else "")
            if inside is None and number in self._call:
                inside = len(calls)
                call = self._call[number]
                call.phase = label[number]
                calls.append(call)
            if inside is not None:
                owner[number] = inside
                self._found.owner[self._rf_id[number]] = inside
        if "backward" in label.values():
            for call in calls:
                call.phase = call.phase or "forward"
        self._keep_one_device()

    def _keep_one_device(self) -> None:
        """One memory is simulated: the accelerator's that is used most, or, without one, the CPU's."""
        used = Counter(t.device for call in self._found.calls for t in (*call.inputs, *call.outputs))
        if len(used) < 2:
            return
        kept = max(used, key=lambda device: (device != "cpu", used[device]))
        for call in self._found.calls:
            call.inputs = [t for t in call.inputs if t.device == kept]
            call.outputs = [t for t in call.outputs if t.device == kept]
        dropped = sum(used.values()) - used[kept]
        self._found.notes.append(f"{dropped} operands on other devices than {kept} are left out")

    def _note(self) -> None:
        notes, count = self._found.notes, self._count
        if not self._found.schema.startswith(SCHEMA_MAJOR):
            notes.append(f"schema {self._found.schema!r} is not known; it is read as {SCHEMA_MAJOR}x")
        if count["strides"]:
            notes.append(f"{count['strides']} operands have no strides; they are taken as contiguous")
        if count["sparse"]:
            notes.append(f"{count['sparse']} sparse operands are not known by their parts; they are left out")
        if count["kernels"]:
            what = "compiled kernels have no schema; all that they are given counts as read and written"
            notes.append(f"{count['kernels']} {what}")
        for what, times in count.items():
            if what.startswith("dtype "):
                notes.append(f"{times} operands of type {what[6:]!r} are known by the size of their elements only")


def _phase_of(name: str) -> str:
    """Phase of a range: PyTorch's own ranges of optimizers by their purpose, others by their names."""
    if name.startswith("Optimizer.step#"):
        return "optimizer"
    if name.startswith("Optimizer.zero_grad#"):
        return "zero_grad"
    return name
