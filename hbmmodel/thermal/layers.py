"""Materials, layers and boundaries: a stack as the heat equation sees it, from top to bottom.

This file owns what a layer may be and the refusal of what no layer can be. It must not know dies, presets, grids
or how temperatures are computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real

from hbmmodel.errors import HbmArgumentError

__all__ = ["KELVIN", "Boundary", "Layer", "LayerStack", "Material", "check_number"]

KELVIN = 273.15
"""0 degrees Celsius in kelvin. **Source**: definition of the Celsius scale, BIPM SI brochure, 2.3.1."""

_COLDEST_C, _HOTTEST_C = -KELVIN, 2000.0


def check_number(value: object, where: str, low: float, high: float) -> float:
    """A finite number in a range, as a float.

    Parameters
    ----------
    value : object
        What was given.
    where : str
        What it is, for the message.
    low, high : float
        The range; both ends belong to it.

    Raises
    ------
    HbmArgumentError
        Not a number, not finite, or outside.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise HbmArgumentError(f"{where} = {value!r} is not a number")
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise HbmArgumentError(f"{where} = {number} is not finite")
    if not low <= number <= high:
        raise HbmArgumentError(f"{where} = {number:g} is out of range; give a number from {low:g} to {high:g}")
    return number


@dataclass(frozen=True, slots=True)
class Material:
    """A homogeneous material, perhaps with another conductivity in the plane of the layer than across it.

    Attributes
    ----------
    name : str
        For messages and tables.
    k_w_mk : float
        Thermal conductivity across the layer, W/(m K).
    cv_j_m3k : float
        Volumetric heat capacity, J/(m3 K).
    k_lateral_w_mk : float or None
        Conductivity in the plane of the layer; None: as across it.

    Examples
    --------
    >>> Material("SILICON", 120.0, 1.66e6).lateral_w_mk
    120.0
    """

    name: str
    k_w_mk: float
    cv_j_m3k: float
    k_lateral_w_mk: float | None = None

    def __post_init__(self) -> None:
        check_number(self.k_w_mk, f"material {self.name}: k_w_mk", 1e-6, 1e5)
        check_number(self.cv_j_m3k, f"material {self.name}: cv_j_m3k", 1.0, 1e9)
        if self.k_lateral_w_mk is not None:
            check_number(self.k_lateral_w_mk, f"material {self.name}: k_lateral_w_mk", 1e-6, 1e5)

    @property
    def lateral_w_mk(self) -> float:
        """Conductivity in the plane of the layer, W/(m K)."""
        return self.k_w_mk if self.k_lateral_w_mk is None else self.k_lateral_w_mk


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: as wide and deep as the stack, one node high.

    Attributes
    ----------
    name : str
        Unique in its stack, e.g. ``"DRAM3.bulk"``.
    element : str
        What it is a part of, e.g. ``"DRAM3"``.
    material : Material
        What it is made of.
    thickness_um : float
        Its thickness.
    source : str or None
        Name under which power is dissipated in it.
    """

    name: str
    element: str
    material: Material
    thickness_um: float
    source: str | None = None

    def __post_init__(self) -> None:
        check_number(self.thickness_um, f"layer {self.name}: thickness_um", 1e-6, 1e5)


@dataclass(frozen=True, slots=True)
class Boundary:
    """How heat leaves: through the top face, and if wanted through the bottom face. The sides are adiabatic.

    Attributes
    ----------
    h_top_w_m2k, h_bottom_w_m2k : float
        Heat transfer coefficients, W/(m2 K); 0: adiabatic.
    top_c, bottom_c : float
        Temperature of what takes the heat: coolant above, board or neighbouring die below.
    """

    h_top_w_m2k: float
    top_c: float
    h_bottom_w_m2k: float = 0.0
    bottom_c: float = 25.0

    def __post_init__(self) -> None:
        for name in ("h_top_w_m2k", "h_bottom_w_m2k"):
            check_number(getattr(self, name), name, 0.0, 1e9)
        for name in ("top_c", "bottom_c"):
            check_number(getattr(self, name), name, _COLDEST_C, _HOTTEST_C)


@dataclass(frozen=True, slots=True)
class LayerStack:
    """Layers from top to bottom, all of the same width and depth, between two faces.

    Attributes
    ----------
    layers : tuple of Layer
        From top to bottom.
    width_m, depth_m : float
        Extent in x and in y.
    boundary : Boundary
        The two faces.
    heat_inputs : tuple of (str, str)
        Further heat: (name, layer that it enters). A neighbour's heat that comes through the lid enters ``"LID"``;
        that of a die below enters the bottom layer.

    Raises
    ------
    HbmArgumentError
        No layer; a name twice; a heat input into a layer that is not there; an extent that is none.
    """

    layers: tuple[Layer, ...]
    width_m: float
    depth_m: float
    boundary: Boundary
    heat_inputs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check_number(self.width_m, "width_m", 1e-6, 10.0)
        check_number(self.depth_m, "depth_m", 1e-6, 10.0)
        if not self.layers:
            raise HbmArgumentError("a stack needs at least one layer")
        names = [layer.name for layer in self.layers]
        _check_unique(names, "layer")
        _check_unique(self.source_names, "heat source")
        for name, layer in self.heat_inputs:
            if layer not in names:
                raise HbmArgumentError(
                    f"heat input {name} enters layer {layer!r}, which is not one of {', '.join(names)}"
                )
        if not self.source_names:
            raise HbmArgumentError("nothing in the stack dissipates power; give a layer a source")

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of everything that heats: sources from bottom to top, then heat inputs."""
        own = tuple(layer.source for layer in reversed(self.layers) if layer.source is not None)
        return own + tuple(name for name, _ in self.heat_inputs)

    def source_layers(self) -> tuple[int, ...]:
        """Index of the layer that each of `source_names` heats."""
        index = {layer.name: i for i, layer in enumerate(self.layers)}
        own = [i for i, layer in enumerate(self.layers) if layer.source is not None]
        return (*reversed(own), *(index[layer] for _, layer in self.heat_inputs))

    def find(self, name: str) -> int:
        """Index of a layer by its name, by the source in it, or by an element that it represents.

        An element of several layers is represented by the one that dissipates; else by its middle one.

        Raises
        ------
        HbmArgumentError
            Nothing of that name.
        """
        by_name = {layer.name: i for i, layer in enumerate(self.layers)}
        by_source = dict(zip(self.source_names, self.source_layers(), strict=True))
        found = by_name.get(name, by_source.get(name))
        if found is not None:
            return found
        members = [i for i, layer in enumerate(self.layers) if layer.element == name]
        heated = [i for i in members if self.layers[i].source is not None]
        if members:
            return (heated or members)[len(heated or members) // 2]
        known = ", ".join(dict.fromkeys(layer.element for layer in self.layers))
        raise HbmArgumentError(f"no layer or element is called {name!r}; elements: {known}")


def _check_unique(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise HbmArgumentError(f"a {what} has an empty name")
        if name in seen:
            raise HbmArgumentError(f"two of the kind {what} are called {name!r}; rename one")
        seen.add(name)
