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

from hbmmodel.thermal.layers import Boundary, Layer, LayerStack, Material
from hbmmodel.thermal.model import Model, Power
from hbmmodel.thermal.presets import provenance, stack, stacks
from hbmmodel.thermal.stack import Stack
from hbmmodel.thermal.state import State

__all__ = [
    "Boundary",
    "Layer",
    "LayerStack",
    "Material",
    "Model",
    "Power",
    "Stack",
    "State",
    "provenance",
    "stack",
    "stacks",
]
