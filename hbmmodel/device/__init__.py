"""Device descriptions: presets in ns with source and confidence, converted to clocks.

This file owns the public names of the room and nothing else. Nothing in this package knows of controllers,
traces or the C core; it imports `hbmmodel.errors` only.

Examples
--------
>>> from hbmmodel.device import device
>>> device("HBM3_6400").ticks()["RAS"]      # 29 ns = 46.5 CK of 625 ps
93
"""

from __future__ import annotations

from hbmmodel.device.build import device, devices
from hbmmodel.device.describe import describe, to_dict
from hbmmodel.device.model import CommandBus, Device, Organisation, Rfm, Timing, Value

__all__ = [
    "CommandBus",
    "Device",
    "Organisation",
    "Rfm",
    "Timing",
    "Value",
    "describe",
    "device",
    "devices",
    "to_dict",
]
