"""What one optimizer step moves, parameter tensor by parameter tensor.

Owns the optimizers and how many states they have; must not know the model that is trained, or who holds which part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hbmmodel.trace.model import Operation
from hbmmodel.workload.program import Program, Tensor

__all__ = ["MOMENTS", "OPTIMIZERS", "PRECISIONS", "Trained", "step"]

OPTIMIZERS = ("adamw_fused", "adamw_eager", "sgd")
PRECISIONS = ("mixed", "bf16")
MOMENTS = {"adamw_fused": 2, "adamw_eager": 2, "sgd": 0}


@dataclass(slots=True)
class Trained:
    """One parameter tensor with what training adds to it, as a device holds it.

    Parameters
    ----------
    weight, gradient : Tensor
        All of it, or the own part.
    master : Tensor or None
        The fp32 parameters that the optimizer keeps in mixed precision.
    moments : tuple of Tensor
    own_weight, own_gradient : Tensor
        What this device updates, and by what.
    elements, parts : int
        Parameters of the whole tensor, and devices that share it.
    whole : Tensor or None
        The whole weights, as long as they are gathered.
    fresh : Tensor or None
        The whole gradient of one pass, until the devices have shared it.
    """

    weight: Tensor
    gradient: Tensor
    master: Tensor | None
    moments: tuple[Tensor, ...]
    own_weight: Tensor
    own_gradient: Tensor
    elements: int
    parts: int
    whole: Tensor | None = None
    fresh: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """The weights that kernels read."""
        return self.weight if self.whole is None else self.whole


def step(program: Program, p: Trained, optimizer: str, first: bool) -> Iterator[Operation]:
    """Update one parameter tensor.

    Parameters
    ----------
    first : bool
        The first step of a run, which also sets the moments to zero.

    Source
    ------
    Kernels of PyTorch 2.13: ``torch/optim/adamw.py`` (``_single_tensor_adamw``: mul_, lerp_, mul_, addcmul_, sqrt, div,
    add_, addcdiv_; 12 reads and 8 writes of the parameter array) and ``_fused_adamw_`` (4 reads, 3 writes).
    """
    if first:
        for moment in p.moments:
            yield program.operation("zeros_like", (), [moment.write()])
    value = p.own_weight if p.master is None else p.master
    copy = [] if p.master is None else [p.own_weight.write()]
    if optimizer == "adamw_eager":
        yield from _adamw_eager(program, p, value)
        if copy:
            yield program.operation("copy_", [value.read()], copy)
        return
    used = (p.own_gradient, value, *p.moments)
    written = (value, *p.moments)
    yield program.operation(optimizer, [t.read() for t in used], [*(t.write() for t in written), *copy])


def _adamw_eager(program: Program, p: Trained, value: Tensor) -> Iterator[Operation]:
    m, v = p.moments
    g = p.own_gradient
    root = program.tensor(v.n_bytes, "optimizer")
    scaled = program.tensor(v.n_bytes, "optimizer")
    for name, reads, write in (
        ("mul_", (value,), value),
        ("lerp_", (m, g), m),
        ("mul_", (v,), v),
        ("addcmul_", (v, g), v),
        ("sqrt", (v,), root),
        ("div", (root,), scaled),
        ("add_", (scaled,), scaled),
        ("addcdiv_", (value, m, scaled), value),
    ):
        yield program.operation(f"adamw.{name}", [t.read() for t in reads], [write.write()])
    program.free(root, scaled)
