"""What data-parallel devices hold of weights, gradients and states, and the collectives that bring parts together.

Owns the stages of ZeRO; must not know kernels, layers or how parameters are updated. A collective is charged with what
passes the memory of one device, whatever the algorithm: what it contributes is read once, what it receives is written
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hbmmodel.trace.model import Operation
from hbmmodel.workload.dtypes import tensor_bytes
from hbmmodel.workload.optimizers import MOMENTS, Trained
from hbmmodel.workload.parameters import Parameter
from hbmmodel.workload.program import Program, Tensor

__all__ = ["STAGE_MAX", "DataParallel"]

STAGE_MAX = 3
WEIGHT_BYTES = 2  # bf16


class DataParallel:
    """Replicas of a model that share gradients, and what else the stage of ZeRO says.

    Parameters
    ----------
    program : Program
    devices : int
        Replicas; 1: nothing is shared.
    expert_devices : int
        Of these, the ones that hold the same experts.
    stage : int
        0: all have everything, gradients are summed once per step. 1: each holds and updates its part of the optimizer
        states. 2: of the gradients too. 3: of the weights too.
    optimizer, precision : str
        See `hbmmodel.workload.optimizers`.

    Source
    ------
    Rajbhandari et al., *ZeRO* (arXiv 1910.02054), sections 5 and 7: P_os, P_os+g, P_os+g+p; reduce-scatter of
    gradients, all-gather of weights. With stages 2 and 3 gradients of a pass are bf16, summed in every pass, and added
    to the own part.
    """

    def __init__(
        self, program: Program, devices: int, expert_devices: int, stage: int, optimizer: str, precision: str
    ) -> None:
        self.program = program
        self.stage = stage
        self.accumulate = precision == "mixed"
        self._devices = devices
        self._expert_devices = expert_devices
        self._optimizer = optimizer
        self._item = tensor_bytes("fp32" if self.accumulate else "bf16", 1)

    def parts(self, p: Parameter) -> int:
        """Devices that share a parameter."""
        return self._expert_devices if p.name.startswith("expert_") else self._devices

    def weight_bytes(self, p: Parameter) -> int:
        """Bytes of a parameter that a device keeps."""
        return WEIGHT_BYTES * self._part(p, 3)

    def state_bytes(self, p: Parameter) -> int:
        """Bytes of its gradient and of its states that a device keeps."""
        return self._item * (self._part(p, 2) + (self.accumulate + MOMENTS[self._optimizer]) * self._part(p, 1))

    def _part(self, p: Parameter, from_stage: int) -> int:
        """Elements that a device holds of what is divided from a stage on."""
        return -(-p.elements // self.parts(p)) if self.stage >= from_stage else p.elements

    def place(self, parameters: Sequence[Parameter]) -> list[Trained]:
        """Put weights into memory, then gradients and states, tensor by tensor."""
        program = self.program
        weights = [
            program.tensor(self.weight_bytes(p), "embedding" if p.name == "embedding" else "weights")
            for p in parameters
        ]
        placed = []
        for p, weight in zip(parameters, weights, strict=True):
            states = self._item * self._part(p, 1)
            gradient = program.tensor(self._item * self._part(p, 2), "gradients")
            master = program.tensor(states, "optimizer") if self.accumulate else None
            moments = tuple(program.tensor(states, "optimizer") for _ in range(MOMENTS[self._optimizer]))
            own = (_first(weight, WEIGHT_BYTES * self._part(p, 1)), _first(gradient, states))
            placed.append(Trained(weight, gradient, master, moments, *own, p.elements, self.parts(p)))
        return placed

    # ---- weights ----

    def gather(self, parameters: Sequence[Trained]) -> Iterator[Operation]:
        """Make weights whole before kernels use them: stage 3."""
        if self.stage < 3:
            return
        absent = [p for p in parameters if p.parts > 1 and p.whole is None]
        for p in absent:
            p.whole = self.program.tensor(WEIGHT_BYTES * p.elements, p.weight.tensor_class)
        if absent:
            wholes = [p.whole.write() for p in absent if p.whole is not None]
            yield self.program.operation("all_gather", [p.weight.read() for p in absent], wholes)

    def drop(self, parameters: Sequence[Trained]) -> None:
        """Forget what was gathered."""
        for p in parameters:
            if p.whole is not None:
                self.program.free(p.whole)
                p.whole = None

    def spread(self, parameters: Sequence[Trained]) -> Iterator[Operation]:
        """Give updated weights to all: stages 1 and 2."""
        mine = [p for p in parameters if p.parts > 1] if self.stage in (1, 2) else []
        if mine:
            reads, writes = [p.own_weight.read() for p in mine], [p.weight.write() for p in mine]
            yield self.program.operation("all_gather", reads, writes)

    # ---- gradients ----

    def target(self, p: Trained) -> tuple[Tensor, bool]:
        """Where a pass writes the gradient of a parameter, and whether it adds to what is there."""
        if self.stage < 2 or p.parts == 1:
            return p.gradient, self.accumulate
        there = p.fresh is not None
        if p.fresh is None:
            p.fresh = self.program.tensor(WEIGHT_BYTES * p.elements, "gradients")
        return p.fresh, there

    def share(self, parameters: Sequence[Trained], is_last: bool) -> Iterator[Operation]:
        """Sum gradients over the devices: in every pass with stages 2 and 3, else in the last one of a step."""
        mine = [p for p in parameters if p.parts > 1]
        if self.stage < 2:
            if mine and is_last:
                sums = [p.gradient if self.stage == 0 else p.own_gradient for p in mine]
                name = "reduce_scatter" if self.stage else "all_reduce"
                yield self.program.operation(name, [p.gradient.read() for p in mine], [t.write() for t in sums])
            return
        fresh = [p.fresh for p in mine if p.fresh is not None]
        if fresh:
            old = [p.gradient.read() for p in mine] if self.accumulate else []
            reads = [*(t.read() for t in fresh), *old]
            yield self.program.operation("reduce_scatter", reads, [p.gradient.write() for p in mine])
            self.program.free(*fresh)
        for p in mine:
            p.fresh = None


def _first(tensor: Tensor, n_bytes: int) -> Tensor:
    """The first bytes of a tensor: the part of the device looked at."""
    return Tensor(tensor.storage, tensor.address, n_bytes, tensor.tensor_class)
