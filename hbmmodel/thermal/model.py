"""`Model`: a stack on a grid. Power in, temperature out; steady or as a `State` that moves in time.

This file owns shapes, units and names at the face of the thermal room. It must not know how modes are solved
(`modes`) or where power comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hbmmodel.errors import HbmArgumentError
from hbmmodel.thermal.layers import LayerStack
from hbmmodel.thermal.modes import MAX_CELLS_PER_SIDE, Network
from hbmmodel.thermal.stack import Stack
from hbmmodel.thermal.state import State

__all__ = ["Model", "Power"]

Array = npt.NDArray[np.float64]

MAX_UNKNOWNS = 1 << 23


@dataclass(frozen=True, slots=True, eq=False)
class Power:
    """Power maps in the space of modes, made once for many steps by `Model.power`.

    Attributes
    ----------
    modal : ndarray
        For the solver.
    total_w : float
        Watts in all.
    model : Model
        The model that made it; no other takes it.
    """

    modal: Array
    total_w: float
    model: Model


class Model:
    """Temperatures of a stack on a grid of `ny` x `nx` cells.

    Parameters
    ----------
    stack : Stack or LayerStack
        What to compute.
    nx, ny : int
        Cells in x (columns of a map) and in y (rows), 1 to 256.

    Attributes
    ----------
    sources : tuple of str
        What can dissipate, in the order of powers and temperatures: dies from the base die upwards, then heat
        inputs.

    Raises
    ------
    HbmArgumentError
        The grid is no grid, or too large.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> model = hbm.thermal.Model(hbm.thermal.stack("HBM3E_12H"), nx=11, ny=11)
    >>> steady = model.steady({"BASE": 8.0} | {f"DRAM{i}": 1.5 for i in range(12)})
    >>> round(steady.mean_c("BASE"), 2)
    66.79
    >>> state = model.state()
    >>> _ = state.step({"BASE": 8.0}, dt_s=1e-3, n=100)
    >>> round(state.mean_c("BASE"), 1), round(state.time_s, 3)
    (46.0, 0.1)
    """

    def __init__(self, stack: Stack | LayerStack, nx: int = 22, ny: int = 22) -> None:
        layers = stack.layer_stack() if isinstance(stack, Stack) else stack
        if not isinstance(layers, LayerStack):
            raise HbmArgumentError(f"a model needs a Stack or a LayerStack, not {type(stack).__name__}")
        sides: tuple[tuple[str, object], ...] = (("nx", nx), ("ny", ny))
        for name, cells in sides:
            if isinstance(cells, bool) or not isinstance(cells, int) or not 1 <= cells <= MAX_CELLS_PER_SIDE:
                raise HbmArgumentError(f"{name} = {cells!r} is not a whole number from 1 to {MAX_CELLS_PER_SIDE}")
        if nx * ny * len(layers.layers) > MAX_UNKNOWNS:
            raise HbmArgumentError(
                f"{ny} x {nx} cells of {len(layers.layers)} layers are more than {MAX_UNKNOWNS} unknowns; "
                "take fewer cells"
            )
        self.layers = layers
        self.nx, self.ny = nx, ny
        self.sources = layers.source_names
        self.network = Network(layers, nx, ny)
        self._row = np.searchsorted(self.network.rows, np.array(layers.source_layers()))
        # What the body below would impose on the bottom layer if that were at the reference.
        drop_c = layers.boundary.bottom_c - self.reference_c if self.network.has_bottom_path else 0.0
        self._from_below = float(self.network.conductance[-1]) * drop_c * np.sqrt(nx * ny)

    @property
    def reference_c(self) -> float:
        """Temperature from which the solver counts: that of the coolant, or below a lid that lets no heat pass, that of
        the body at the bottom.
        """
        boundary = self.layers.boundary
        above = boundary.h_top_w_m2k > 0.0 or not boundary.h_bottom_w_m2k > 0.0
        return boundary.top_c if above else boundary.bottom_c

    @property
    def n_cells(self) -> int:
        """Cells of a map."""
        return self.nx * self.ny

    def power(self, power_w: Power | Mapping[str, Any] | npt.ArrayLike) -> Power:
        """Power maps, checked and transformed; worth keeping when the same power drives many steps.

        Parameters
        ----------
        power_w : array_like or mapping
            Watts per source and cell, shape ``(n_sources, ny, nx)``; or watts per source, shape ``(n_sources,)``,
            spread evenly; or a mapping from source to a number or a map ``(ny, nx)``, where a source that is missing
            has none.

        Raises
        ------
        HbmArgumentError
            Wrong shape; not finite; negative; unknown source.
        """
        if isinstance(power_w, Power):
            if power_w.model is not self:
                raise HbmArgumentError("the power was made by another model; make it with this model's power()")
            return power_w
        maps = self._maps(power_w)
        network = self.network
        modal = np.zeros((len(network.rows), self.n_cells))
        np.add.at(modal, self._row, network.basis.to_modes(maps))
        if network.has_bottom_path:
            modal[-1, 0] += self._from_below  # the bottom layer is the last row
        modal.setflags(write=False)
        return Power(modal, float(maps.sum()), self)

    def _maps(self, power_w: Mapping[str, Any] | npt.ArrayLike) -> Array:
        shape: tuple[int, ...] = (len(self.sources), self.ny, self.nx)
        if isinstance(power_w, Mapping):
            maps = np.zeros(shape)
            for name, value in power_w.items():
                if name not in self.sources:
                    raise HbmArgumentError(f"power of {name!r}: no such source; sources: {', '.join(self.sources)}")
                one = _floats(value, f"power of {name}")
                if one.shape not in ((), shape[1:]):
                    raise HbmArgumentError(
                        f"power of {name} has the shape {one.shape}; give a number of watts or a map "
                        f"of {shape[1:]} cells"
                    )
                maps[self.sources.index(name)] = one / self.n_cells if one.shape == () else one
        else:
            maps = _floats(power_w, "power_w")
            if maps.shape == shape[:1]:
                maps = np.broadcast_to(maps[:, None, None] / self.n_cells, shape)
            elif maps.shape != shape:
                raise HbmArgumentError(
                    f"power_w has the shape {maps.shape}; give {shape} (sources, ny, nx) or {shape[:1]} (sources)"
                )
        wrong = ~((maps >= 0.0) & (maps <= 1e9))
        if wrong.any():
            source, y, x = (int(i) for i in np.argwhere(wrong)[0])
            raise HbmArgumentError(
                f"power of {self.sources[source]} in cell (y {y}, x {x}) is {maps[source, y, x]:g} W;"
                " give finite watts, zero or more"
            )
        return maps

    def steady(self, power_w: Power | Mapping[str, Any] | npt.ArrayLike) -> State:
        """The state in which as much heat leaves as is dissipated.

        Parameters
        ----------
        power_w : array_like, mapping or Power
            As for `power`.

        Returns
        -------
        State
            Ready to be asked, or to be stepped on.

        Raises
        ------
        HbmArgumentError
            Both faces are adiabatic; the power is malformed.
        """
        if not self.network.has_way_out:
            raise HbmArgumentError("no steady state: both faces are adiabatic; give h_top_w_m2k or h_bottom_w_m2k")
        power = self.power(power_w)
        theta = np.zeros((len(self.layers.layers), self.n_cells))
        self.network.factor(0.0).step(theta, power.modal)
        return State(self, theta)

    def state(self, initial_c: float | None = None) -> State:
        """A stack of one temperature at time 0.

        Parameters
        ----------
        initial_c : float, optional
            None: `reference_c`, the coolant's temperature.
        """
        from hbmmodel.thermal.layers import check_number

        theta = np.zeros((len(self.layers.layers), self.n_cells))
        if initial_c is not None:
            start = check_number(initial_c, "initial_c", -273.15, 2000.0)
            theta[:, 0] = (start - self.reference_c) * np.sqrt(self.n_cells)
        return State(self, theta)

    def resistance_k_per_w(self) -> Array:
        """Mean temperature rise of every source per watt spread over every source.

        Returns
        -------
        ndarray
            Shape (sources, sources), K/W; row: what warms, column: what heats. Symmetric.

        Notes
        -----
        It also bounds every cell. All responses are positive, so if the power of source j grows by at most ``b[j]``
        W/K in all, evenly over its cells, no cell of source i responds to a change of temperature everywhere by at
        most 1 K with more than ``sum_j R[i, j] b[j]``. A feedback of temperature on power therefore converges when
        the largest of these sums is below 1 (Banach's fixed-point theorem in the maximum norm).

        **Source**: the inverse of a symmetric M-matrix is positive and symmetric (Berman and Plemmons, Nonnegative
        Matrices in the Mathematical Sciences, 1979, ch. 6).
        """
        if not self.network.has_way_out:
            raise HbmArgumentError("no resistance: both faces are adiabatic; give h_top_w_m2k or h_bottom_w_m2k")
        response = self.network.mean_response()
        return np.ascontiguousarray(response[np.array(self.layers.source_layers())][:, self._row])


def _floats(value: object, what: str) -> Array:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise HbmArgumentError(f"{what} is not an array of numbers of one shape") from None
