"""hbmmodel: what an AI run does to high-bandwidth memory - how fast, and why.

This file owns the public names and nothing else. Every name is imported on first use, so that importing
the package costs a few milliseconds; it must not know how any of them works.

Examples
--------
>>> import hbmmodel as hbm
>>> hbm.System(hbm.device("HBM4_8000", variant="24Gb_12H"), stacks=8).n_pseudo_channels
512
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hbmmodel import errors as errors
    from hbmmodel import serving as serving
    from hbmmodel import study as study
    from hbmmodel import thermal as thermal
    from hbmmodel import workload as workload
    from hbmmodel.check import check as check
    from hbmmodel.device import Device as Device
    from hbmmodel.device import device as device
    from hbmmodel.device import devices as devices
    from hbmmodel.energy import energy_set as energy_set
    from hbmmodel.energy import energy_sets as energy_sets
    from hbmmodel.mapping import AddressMap as AddressMap
    from hbmmodel.products import product as product
    from hbmmodel.products import product_info as product_info
    from hbmmodel.products import products as products
    from hbmmodel.quotas import Quota as Quota
    from hbmmodel.result import Result as Result
    from hbmmodel.sim import simulate as simulate
    from hbmmodel.study.comparison import compare as compare
    from hbmmodel.study.sweeping import sweep as sweep
    from hbmmodel.system import Controller as Controller
    from hbmmodel.system import System as System
    from hbmmodel.thermal.cooling import Cooling as Cooling
    from hbmmodel.thermal.trips import Trips as Trips
    from hbmmodel.trace import Trace as Trace
    from hbmmodel.trace import read_trace as read_trace
    from hbmmodel.trace.beside import side_by_side as side_by_side
    from hbmmodel.trace.capture import capture as capture
    from hbmmodel.trace.shipped import demo_capture as demo_capture

__version__ = "0.1.0"

__all__ = [
    "AddressMap",
    "Controller",
    "Cooling",
    "Device",
    "Quota",
    "Result",
    "System",
    "Trace",
    "Trips",
    "__version__",
    "capture",
    "check",
    "compare",
    "demo_capture",
    "device",
    "devices",
    "energy_set",
    "energy_sets",
    "errors",
    "get_include",
    "product",
    "product_info",
    "products",
    "read_trace",
    "serving",
    "side_by_side",
    "simulate",
    "study",
    "sweep",
    "thermal",
    "workload",
]

_HOME = {
    "AddressMap": "hbmmodel.mapping",
    "Controller": "hbmmodel.system",
    "Cooling": "hbmmodel.thermal.cooling",
    "Device": "hbmmodel.device",
    "Quota": "hbmmodel.quotas",
    "Result": "hbmmodel.result",
    "System": "hbmmodel.system",
    "Trace": "hbmmodel.trace",
    "Trips": "hbmmodel.thermal.trips",
    "capture": "hbmmodel.trace.capture",
    "check": "hbmmodel.check",
    "compare": "hbmmodel.study.comparison",
    "demo_capture": "hbmmodel.trace.shipped",
    "device": "hbmmodel.device",
    "devices": "hbmmodel.device",
    "energy_set": "hbmmodel.energy",
    "energy_sets": "hbmmodel.energy",
    "product": "hbmmodel.products",
    "product_info": "hbmmodel.products",
    "products": "hbmmodel.products",
    "read_trace": "hbmmodel.trace",
    "side_by_side": "hbmmodel.trace.beside",
    "simulate": "hbmmodel.sim",
    "sweep": "hbmmodel.study.sweeping",
}


def __getattr__(name: str) -> Any:
    if name in ("errors", "serving", "study", "thermal", "workload"):
        return importlib.import_module(f"hbmmodel.{name}")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'hbmmodel' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


class _Package(ModuleType):
    """The package, with one rule more: ``device`` and ``check`` stay functions.

    The import system binds a submodule as an attribute of its package. ``hbmmodel.device`` and
    ``hbmmodel.check`` are submodules *and* public functions; without this rule, which of the two a user
    gets would depend on what was imported before. ``from hbmmodel.device import ...`` reaches
    the submodules all the same.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and _HOME.get(name) == value.__name__:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def get_include() -> str:
    """Directory that holds ``hbm.h``, the header of the C core.

    Returns
    -------
    str
        A path for a C compiler's ``-I``.

    Raises
    ------
    HbmArgumentError
        The header is neither installed nor beside the package.
    """
    from pathlib import Path

    package = Path(__file__).resolve().parent
    for folder in (package / "include", package.parent / "csrc"):
        if (folder / "hbm.h").is_file():
            return str(folder)
    from hbmmodel.errors import HbmArgumentError

    raise HbmArgumentError(f"hbm.h is not installed with {package}; reinstall hbmmodel")
