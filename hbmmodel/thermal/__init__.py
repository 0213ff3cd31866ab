"""The temperature of an HBM stack: geometry and heat.

``stack`` and ``Model`` answer how warm power makes a stack. This room knows nothing of traces, commands or
the timing core.

Examples
--------
>>> import hbmmodel as hbm
>>> model = hbm.thermal.Model(hbm.thermal.stack("HBM4_16H"))
>>> hot = model.steady({"BASE": 12.0} | {f"DRAM{i}": 1.75 for i in range(16)})
>>> round(hot.max_c("BASE"), 1)
84.1
"""

import importlib
from typing import TYPE_CHECKING, Any

from hbmmodel.thermal.cooling import Cooling
from hbmmodel.thermal.layers import Boundary, Layer, LayerStack, Material
from hbmmodel.thermal.presets import provenance, stack, stacks
from hbmmodel.thermal.stack import Stack
from hbmmodel.thermal.trips import Level, Trips

if TYPE_CHECKING:
    from hbmmodel.thermal.floorplan import Floorplan as Floorplan
    from hbmmodel.thermal.model import Model as Model
    from hbmmodel.thermal.model import Power as Power
    from hbmmodel.thermal.state import State as State

__all__ = [
    "Boundary",
    "Cooling",
    "Floorplan",
    "Layer",
    "LayerStack",
    "Level",
    "Material",
    "Model",
    "Power",
    "Stack",
    "State",
    "Trips",
    "provenance",
    "stack",
    "stacks",
]

_NUMERIC = {"Floorplan": "floorplan", "Model": "model", "Power": "model", "State": "state"}


def __getattr__(name: str) -> Any:
    """Import what needs numpy on first use: every system names its cooling, and most are never heated."""
    if name not in _NUMERIC:
        raise AttributeError(f"module 'hbmmodel.thermal' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"hbmmodel.thermal.{_NUMERIC[name]}"), name)
    globals()[name] = value
    return value
