"""An HBM stack under its lid: geometry, materials, cooling, and the layers that follow from them.

This file owns what a stack is made of and in which order. It must not know files or how temperatures are computed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from hbmmodel.errors import HbmArgumentError
from hbmmodel.thermal.layers import Boundary, Layer, LayerStack, Material, check_number

__all__ = ["Stack"]

_LENGTHS_UM = ("height_um", "base_um", "core_um", "beol_um", "bond_um", "source_um", "tim_um", "lid_um")
_MATERIALS = ("silicon", "beol", "bond", "tim", "lid")
MAX_DIES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack of DRAM dies on a base die, face down, under thermal interface material and lid.

    From top to bottom: lid, TIM, then for every die its silicon, the thin sheet of it that dissipates, its metal
    layers (BEOL), and below each but the base die the bond. The top die is as thick as the total height asks for.

    Attributes
    ----------
    name : str
        Name of the preset it came from.
    dies : int
        DRAM dies, 1 to 64.
    width_mm, depth_mm : float
        Extent of every die in x and y.
    height_um : float
        From the bottom of the base die to the top of the top die, as standards state it.
    base_um, core_um : float
        Silicon of the base die and of every DRAM die but the top one.
    beol_um : float
        Metal layers of each die.
    bond_um : float
        Gap below each DRAM die: bumps and underfill, or the hybrid bond.
    source_um : float
        Thickness of the sheet of silicon that dissipates, a part of the die's silicon.
    tim_um, lid_um : float
        Thermal interface material, lid.
    silicon, beol, bond, tim, lid : Material
        What each is made of.
    h_top_w_m2k, coolant_c : float
        Heat transfer from the lid to a coolant of this temperature.
    h_bottom_w_m2k, bottom_c : float
        Second path of heat, from the bottom of the base die to a body of this temperature (interposer, board, a die
        below); 0: none. A body that is warmer than the stack heats it.
    heat_inputs : tuple of (str, str)
        Heat of a neighbour as further sources: (name, layer that it enters), e.g. ``(("GPU", "LID"),)``. Powers and
        maps are then given under these names too.

    Raises
    ------
    HbmArgumentError
        A value is out of range, or the dies do not fit into the height.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> stack = hbm.thermal.stack("HBM4_12H")
    >>> stack.dies, round(stack.top_um, 1)
    (12, 145.0)
    >>> stack.replace(h_top_w_m2k=40_000.0).h_top_w_m2k
    40000.0
    """

    name: str
    dies: int
    width_mm: float
    depth_mm: float
    height_um: float
    base_um: float
    core_um: float
    beol_um: float
    bond_um: float
    source_um: float
    tim_um: float
    lid_um: float
    silicon: Material
    beol: Material
    bond: Material
    tim: Material
    lid: Material
    h_top_w_m2k: float
    coolant_c: float
    h_bottom_w_m2k: float = 0.0
    bottom_c: float = 25.0
    heat_inputs: tuple[tuple[str, str], ...] = field(default=())

    def __post_init__(self) -> None:
        dies: object = self.dies
        if isinstance(dies, bool) or not isinstance(dies, int) or not 1 <= dies <= MAX_DIES:
            raise HbmArgumentError(f"stack {self.name}: dies = {dies!r} is not a whole number from 1 to {MAX_DIES}")
        for name in _LENGTHS_UM:
            check_number(getattr(self, name), f"stack {self.name}: {name}", 1e-6, 1e5)
        for name in ("width_mm", "depth_mm"):
            check_number(getattr(self, name), f"stack {self.name}: {name}", 1e-3, 1e3)
        for name in _MATERIALS:
            if not isinstance(getattr(self, name), Material):
                raise HbmArgumentError(f"stack {self.name}: {name} is not a Material")
        for name, silicon in (("base_um", self.base_um), ("core_um", self.core_um), ("top die", self.top_um)):
            if silicon <= self.source_um:
                raise HbmArgumentError(
                    f"stack {self.name}: {name} leaves {silicon:g} um of silicon, which is not more than source_um ="
                    f" {self.source_um:g}; height_um = {self.height_um:g} must hold base die, {self.dies} dies, bonds"
                )
        self.layer_stack()

    @property
    def top_um(self) -> float:
        """Silicon of the top die: what the total height leaves."""
        below = self.base_um + (self.dies - 1) * self.core_um
        return self.height_um - below - (self.dies + 1) * self.beol_um - self.dies * self.bond_um

    @property
    def die_names(self) -> tuple[str, ...]:
        """``BASE``, then the DRAM dies from bottom to top: the order of powers and temperatures."""
        return ("BASE", *(f"DRAM{i}" for i in range(self.dies)))

    def replace(self, **changes: Any) -> Stack:
        """The same stack with other values.

        Raises
        ------
        HbmArgumentError
            Unknown field, or a value that the stack refuses.
        """
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise HbmArgumentError(f"a stack has no {name!r}; it has {', '.join(known)}")
        return dataclasses.replace(self, **changes)

    def layer_stack(self) -> LayerStack:
        """The layers from top to bottom."""
        layers = [
            Layer("LID", "LID", self.lid, self.lid_um),
            Layer("TIM", "TIM", self.tim, self.tim_um),
        ]
        for i in reversed(range(self.dies)):
            silicon_um = self.top_um if i == self.dies - 1 else self.core_um
            layers += self._die(f"DRAM{i}", silicon_um)
            layers.append(Layer(f"BOND{i}", f"BOND{i}", self.bond, self.bond_um))
        layers += self._die("BASE", self.base_um)
        boundary = Boundary(self.h_top_w_m2k, self.coolant_c, self.h_bottom_w_m2k, self.bottom_c)
        return LayerStack(tuple(layers), self.width_mm * 1e-3, self.depth_mm * 1e-3, boundary, self.heat_inputs)

    def _die(self, name: str, silicon_um: float) -> list[Layer]:
        return [
            Layer(f"{name}.bulk", name, self.silicon, silicon_um - self.source_um),
            Layer(f"{name}.src", name, self.silicon, self.source_um, name),
            Layer(f"{name}.beol", name, self.beol, self.beol_um),
        ]
