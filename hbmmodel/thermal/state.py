"""`State`: the temperatures of a stack at one moment, kept as lateral modes.

It owns what can be asked of a state and how it moves in time; it must not know where power comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from hbmmodel.errors import HbmArgumentError
from hbmmodel.thermal.layers import check_number

if TYPE_CHECKING:
    from hbmmodel.thermal.model import Model, Power

__all__ = ["State"]

Array = npt.NDArray[np.float64]

MAX_STEPS = 1 << 40
_UNKNOWNS_AT_ONCE = 1 << 26
"""Unknowns times steps of one call of the core: some hundredths of a second."""


class State:
    """Temperatures of all layers at `time_s`; made by `Model.state` and `Model.steady`.

    Every question takes `layer`: a layer's name (``"DRAM3.bulk"``), a source or element (``"DRAM3"``, ``"LID"``), a
    sequence of these, or None for all sources in the order of ``model.sources``.

    Attributes
    ----------
    model : Model
        The model it belongs to.
    theta : ndarray
        Modes of the temperature above ``model.reference_c``, shape (layers, cells), K; orthonormal DCT-II.
    time_s : float
        Seconds since it was made.
    """

    __slots__ = ("model", "theta", "time_s")

    def __init__(self, model: Model, theta: Array, time_s: float = 0.0) -> None:
        self.model = model
        self.theta = theta
        self.time_s = time_s

    # ---- moving in time ----

    def step(self, power_w: Power | Mapping[str, Any] | npt.ArrayLike, dt_s: float, n: int = 1) -> State:
        """Move on by `n` backward-Euler steps of `dt_s`, under constant power.

        Parameters
        ----------
        power_w : array_like, mapping or Power
            As for `Model.power`.
        dt_s : float
            Length of a step. A new length costs one factorisation; the last eight lengths are kept.
        n : int
            Number of steps. An interruption by the keyboard ends them early; the state and its time stay in step.

        Returns
        -------
        State
            This state, moved.

        Raises
        ------
        HbmArgumentError
            A malformed power, length or number.

        Notes
        -----
        First order in `dt_s`, stable for any, and it obeys the maximum principle. **Source**: Hairer and Wanner,
        Solving Ordinary Differential Equations II, IV.3.
        """
        power = self.model.power(power_w)
        dt_s = check_number(dt_s, "dt_s", 1e-15, 1e9)
        count: object = n
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_STEPS:
            raise HbmArgumentError(f"n = {n!r} is not a whole number of steps, 0 or more")
        factor = self.model.network.factor(dt_s)
        at_once = max(1, _UNKNOWNS_AT_ONCE // self.theta.size)
        done = 0
        try:
            while done < n:  # Ctrl-C is heard between the calls, and leaves a state that knows how far it came
                part = min(at_once, n - done)
                done += part
                factor.step(self.theta, power.modal, part)
        finally:
            self.time_s += done * dt_s
        return self

    def advance(self, power_w: Power | Mapping[str, Any] | npt.ArrayLike, seconds: float) -> State:
        """Move on by any time under constant power, without a time step: to 1e-11 of the largest temperature.

        Parameters
        ----------
        power_w : array_like, mapping or Power
            As for `Model.power`.
        seconds : float
            0 or more.

        Returns
        -------
        State
            This state, moved.

        Raises
        ------
        HbmArgumentError
            A malformed power or time.
        """
        power = self.model.power(power_w)
        seconds = check_number(seconds, "seconds", 0.0, 1e12)
        if seconds > 0.0:
            self.theta = self.model.network.decay(self.theta, power.modal, seconds)
            self.time_s += seconds
        return self

    def copy(self) -> State:
        """A state of its own with the same temperatures and time."""
        return State(self.model, self.theta.copy(), self.time_s)

    # ---- asking ----

    def temperature_c(self, layer: str | Sequence[str] | None = None) -> Array:
        """Maps of temperature.

        Returns
        -------
        ndarray
            Shape (ny, nx) for one layer, (n, ny, nx) for several; degrees Celsius.
        """
        index = self._index(layer)
        maps = self.model.network.basis.to_maps(self.theta[index]) + self.model.reference_c
        return np.asarray(maps)

    @overload
    def mean_c(self, layer: str) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def mean_c(self, layer: Sequence[str] | None = None) -> Array: ...
    def mean_c(self, layer: str | Sequence[str] | None = None) -> float | Array:
        """Mean over the cells, degrees Celsius: a number for one layer, an array for several."""
        mean = self.theta[self._index(layer), 0] / np.sqrt(self.model.n_cells) + self.model.reference_c
        return float(mean) if isinstance(layer, str) else np.asarray(mean)

    @overload
    def max_c(self, layer: str) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def max_c(self, layer: Sequence[str] | None = None) -> Array: ...
    def max_c(self, layer: str | Sequence[str] | None = None) -> float | Array:
        """Hottest cell, degrees Celsius: a number for one layer, an array for several."""
        hottest = self.temperature_c(layer).max(axis=(-2, -1))
        return float(hottest) if isinstance(layer, str) else np.asarray(hottest)

    @overload
    def min_c(self, layer: str) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def min_c(self, layer: Sequence[str] | None = None) -> Array: ...
    def min_c(self, layer: str | Sequence[str] | None = None) -> float | Array:
        """Coolest cell, degrees Celsius: a number for one layer, an array for several."""
        coolest = self.temperature_c(layer).min(axis=(-2, -1))
        return float(coolest) if isinstance(layer, str) else np.asarray(coolest)

    def stored_j(self) -> float:
        """Heat in the stack, joules, counted from ``model.reference_c``."""
        network = self.model.network
        return float((network.capacity * self.theta[:, 0]).sum() * np.sqrt(self.model.n_cells))

    def heat_out_w(self) -> tuple[float, float]:
        """Watts that leave through the top and through the bottom face; negative where heat comes in."""
        network, cells = self.model.network, self.model.n_cells
        drop_c = self.model.layers.boundary.bottom_c - self.model.reference_c
        top = network.conductance[0] * self.theta[0, 0] * np.sqrt(cells)
        above_below = self.theta[-1, 0] * np.sqrt(cells) - cells * drop_c
        return float(top), float(network.conductance[-1] * above_below)

    def _index(self, layer: str | Sequence[str] | None) -> int | npt.NDArray[np.intp]:
        layers = self.model.layers
        if isinstance(layer, str):
            return layers.find(layer)
        if layer is None:
            return np.array(layers.source_layers(), dtype=np.intp)
        return np.array([layers.find(name) for name in layer], dtype=np.intp)
