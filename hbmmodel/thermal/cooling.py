"""How a stack sits and is cooled in a system: its thermal stack, the cooling around it, its trip points.

Owns the choice of a stack for a kind of device and what may be changed of it; it must not know devices beyond their
family and height, nor what dissipates.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hbmmodel.errors import HbmArgumentError
from hbmmodel.shown import Shown
from hbmmodel.thermal.layers import check_number
from hbmmodel.thermal.presets import stack, stacks
from hbmmodel.thermal.stack import Stack
from hbmmodel.thermal.trips import Trips

__all__ = ["Cooling"]

CELLS_MAX = 64
HOST = "HOST"
"""Name of the heat that the processor sends through the lid of a stack."""

_BOUNDARY = ("h_top_w_m2k", "coolant_c", "h_bottom_w_m2k", "bottom_c")


@dataclass(frozen=True, repr=False)
class Cooling(Shown):
    """What surrounds every stack of a system.

    Parameters
    ----------
    stack : str
        A name of `hbmmodel.thermal.stacks`, the path of a stack file, or ``auto``: the one of the device's family and
        height.
    h_top_w_m2k, coolant_c : float, optional
        Heat transfer from the lid to a coolant of this temperature; None: as the stack has it.
    h_bottom_w_m2k, bottom_c : float, optional
        Second path through the interposer to a body of this temperature; None: as the stack has it.
    host_w : float
        Heat of the processor beside it that enters the lid of each stack [W].
    trips : Trips
        What stack and host do at which temperature.
    cells : int
        Cells per side of the grid (2..64).

    Raises
    ------
    HbmArgumentError
        A field is of the wrong type or out of range.  An unknown stack is told when it is looked up.

    Examples
    --------
    >>> Cooling(coolant_c=30.0).stack_of("HBM3E", 12).coolant_c
    30.0
    >>> Cooling().stack_of("HBM4", 16).name
    'HBM4_16H'
    """

    stack: str = "auto"
    h_top_w_m2k: float | None = None
    coolant_c: float | None = None
    h_bottom_w_m2k: float | None = None
    bottom_c: float | None = None
    host_w: float = 0.0
    trips: Trips = field(default_factory=Trips)
    cells: int = 22

    def __post_init__(self) -> None:
        name: object = self.stack
        if not isinstance(name, str) or not name.strip():
            raise HbmArgumentError(f"cooling.stack must be the name of a stack, a .toml file or 'auto', not {name!r}")
        if not isinstance(self.trips, Trips):
            raise HbmArgumentError(f"cooling.trips must be a Trips, not {self.trips!r}")
        cells: object = self.cells
        if isinstance(cells, bool) or not isinstance(cells, int) or not 2 <= cells <= CELLS_MAX:
            raise HbmArgumentError(f"cooling.cells is {cells!r}; it must be a whole number in 2..{CELLS_MAX}")
        check_number(self.host_w, "cooling.host_w", 0.0, 1e4)
        for field_name in _BOUNDARY:
            value = getattr(self, field_name)
            low, high = (-55.0, 300.0) if field_name.endswith("_c") else (0.0, 1e7)
            if value is not None:
                check_number(value, f"cooling.{field_name}", low, high)

    def stack_of(self, family: str, dies: int) -> Stack:
        """The stack of a device, with this cooling around it.

        Parameters
        ----------
        family : str
            HBM2E, HBM3, HBM3E, HBM4 or HBM4E.
        dies : int
            DRAM dies of the device; a file or preset of another height is refused.

        Raises
        ------
        HbmArgumentError
            No such stack, or it has another number of dies.
        """
        made = _auto(family, dies) if self.stack == "auto" else stack(self.stack)
        if made.dies != dies:
            raise HbmArgumentError(
                f"cooling.stack {self.stack} has {made.dies} dies and the device {dies}; choose a stack of that height"
            )
        changes: dict[str, object] = {
            name: float(getattr(self, name)) for name in _BOUNDARY if getattr(self, name) is not None
        }
        if self.host_w > 0:
            changes["heat_inputs"] = ((HOST, "LID"),)
        return made.replace(**changes) if changes else made


def _auto(family: str, dies: int) -> Stack:
    """The preset of the family, else of its nearest relative, with as many dies."""
    like = "HBM4" if family.startswith("HBM4") else "HBM3E"
    name = f"{like}_{dies}H"
    if name in stacks():
        return stack(name)
    nearest = min(
        (known for known in stacks() if known.startswith(f"{like}_") and known.count("_") == 1),
        key=lambda known: (abs(stack(known).dies - dies), known),
    )
    return stack(nearest).replace(name=f"{nearest}, {dies} dies", dies=dies)
