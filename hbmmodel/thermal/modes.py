"""Lateral modes of a stack: the cosine transform, the network per mode, its factorisations.

With adiabatic sides and layers that are uniform in their plane, the finite-volume operator of a layer is the same
number of times the grid's Laplacian, whose eigenvectors are the columns of the DCT-II. In that basis the
three-dimensional system falls apart into one tridiagonal system per mode.

This file owns that algebra; it must not know dies, power maps or degrees.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from hbmmodel._core import CoreThermal
from hbmmodel.thermal.layers import LayerStack
from hbmmodel.thermal.longstep import long_step

__all__ = ["Basis", "Network"]

Array = npt.NDArray[np.float64]

MAX_CELLS_PER_SIDE = 256
_KEPT_STEPS = 8


def _cosines(n: int) -> Array:
    """The orthonormal DCT-II matrix: row k is mode k.

    **Source**: Strang, The Discrete Cosine Transform, SIAM Review 41(1), 1999: eigenvectors of the second difference
    with a reflecting end at both half cells.
    """
    k, x = np.arange(n)[:, None], np.arange(n)[None, :]
    matrix = np.cos(np.pi * k * (2 * x + 1) / (2 * n)) * np.sqrt(2.0 / n)
    matrix[0] = np.sqrt(1.0 / n)
    return np.asarray(matrix, dtype=np.float64)


def _along_both(maps: Array, x: Array, y: Array) -> Array:
    """``y maps x^T`` of every map.

    By `einsum` without its optimisation, because the bits of a product by BLAS depend on how many threads BLAS uses.
    """
    return np.asarray(np.einsum("qy,...yp->...qp", y, np.einsum("...yx,px->...yp", maps, x)))


class Basis:
    """Cosine modes of a grid of `ny` x `nx` equal cells.

    Parameters
    ----------
    nx, ny : int
        Cells in x (columns) and y (rows).

    Examples
    --------
    >>> import numpy as np
    >>> basis = Basis(3, 2)
    >>> maps = np.arange(6.0).reshape(2, 3)
    >>> bool(np.allclose(basis.to_maps(basis.to_modes(maps)), maps))
    True
    """

    def __init__(self, nx: int, ny: int) -> None:
        self.nx, self.ny = nx, ny
        self._x, self._y = _cosines(nx), _cosines(ny)

    @property
    def n_modes(self) -> int:
        """Modes, as many as cells."""
        return self.nx * self.ny

    def to_modes(self, maps: Array) -> Array:
        """Coefficients, shape ``(..., n_modes)``, of maps of shape ``(..., ny, nx)``."""
        modes = _along_both(maps, self._x, self._y)
        return np.ascontiguousarray(modes.reshape(*maps.shape[:-2], self.n_modes))

    def to_maps(self, modes: Array) -> Array:
        """The inverse of `to_modes`."""
        return _along_both(modes.reshape(*modes.shape[:-1], self.ny, self.nx), self._x.T, self._y.T)

    def eigenvalues(self, dx: float, dy: float) -> Array:
        """Of the lateral operator for a sheet of conductance 1 W/K, with cells of dx by dy.

        ``dy/dx (2 - 2 cos(pi p/nx)) + dx/dy (2 - 2 cos(pi q/ny))``, written as squares of sines, which keep their
        digits for small arguments.
        """
        p = 4.0 * np.sin(np.pi * np.arange(self.nx) / (2 * self.nx)) ** 2
        q = 4.0 * np.sin(np.pi * np.arange(self.ny) / (2 * self.ny)) ** 2
        return np.ascontiguousarray((dy / dx * p[None, :] + dx / dy * q[:, None]).ravel())


class Network:
    """Conductances and capacities of one stack on one grid, and what has been factorised of them.

    One node per layer and cell, in the middle of both. Between neighbours above each other the two half thicknesses
    conduct in series; at a cooled face half a layer and the heat transfer coefficient do.

    Parameters
    ----------
    layers : LayerStack
        What to compute.
    nx, ny : int
        Grid.

    Notes
    -----
    **Source** of the discretisation: Patankar, Numerical Heat Transfer and Fluid Flow, 1980, 4.2 (harmonic mean of
    conductivities); Sridhar et al., 3D-ICE, ICCAD 2010 (one node per layer and cell).
    """

    def __init__(self, layers: LayerStack, nx: int, ny: int) -> None:
        self.layers = layers
        self.basis = Basis(nx, ny)
        dx, dy = layers.width_m / nx, layers.depth_m / ny
        area = dx * dy
        thickness = np.array([layer.thickness_um * 1e-6 for layer in layers.layers])
        k = np.array([layer.material.k_w_mk for layer in layers.layers])
        lateral = np.array([layer.material.lateral_w_mk for layer in layers.layers])
        cv = np.array([layer.material.cv_j_m3k for layer in layers.layers])
        half = thickness / (2.0 * k)  # m2 K/W
        boundary = layers.boundary
        self.conductance = np.empty(len(k) + 1)
        self.conductance[1:-1] = area / (half[:-1] + half[1:])
        self.conductance[0] = _to_face(area, half[0], boundary.h_top_w_m2k)
        self.conductance[-1] = _to_face(area, half[-1], boundary.h_bottom_w_m2k)
        self.capacity = cv * thickness * area
        self.sheet = lateral * thickness
        self.eigenvalue = self.basis.eigenvalues(dx, dy)
        # Heat enters these layers: sources, heat inputs, and the bottom layer where it meets another temperature.
        rows = list(layers.source_layers())
        if self.has_bottom_path:
            rows.append(len(k) - 1)
        self.rows = np.array(sorted(set(rows)), dtype=np.int32)
        self._factors: OrderedDict[float, CoreThermal] = OrderedDict()

    @property
    def has_bottom_path(self) -> bool:
        """Whether heat can pass the bottom face."""
        return bool(self.conductance[-1] > 0.0)

    @property
    def has_way_out(self) -> bool:
        """Whether a steady state exists."""
        return bool(self.conductance[0] > 0.0) or self.has_bottom_path

    def factor(self, dt_s: float) -> CoreThermal:
        """The factorisation for steps of `dt_s`; 0: for the steady state. The last few are kept."""
        found = self._factors.get(dt_s)
        if found is None:
            found = self._create(self.eigenvalue, dt_s)
            self._factors[dt_s] = found
            while len(self._factors) > _KEPT_STEPS:
                self._factors.popitem(last=False)
        else:
            self._factors.move_to_end(dt_s)
        return found

    def mean_response(self) -> Array:
        """Steady mean temperature of every layer, K, per watt spread over each of `rows`: shape (layers, rows).

        Only mode 0 has a mean; the "modes" of this system are its right-hand sides.
        """
        n = len(self.rows)
        state, power = np.zeros((len(self.capacity), n)), np.eye(n) / self.basis.n_modes
        self._create(np.zeros(n), 0.0).step(state, power)
        return state

    def decay(self, state: Array, power: Array, seconds: float) -> Array:
        """The state after `seconds` of constant power, without a time step."""
        leak = self.sheet[:, None] * self.eigenvalue
        leak[0] += self.conductance[0]
        leak[-1] += self.conductance[-1]
        heat = np.zeros_like(state)
        heat[self.rows] = power
        return long_step(self.conductance[1:-1], leak, self.capacity, heat, state, seconds)

    def _create(self, eigenvalue: Array, dt_s: float) -> CoreThermal:
        return CoreThermal(self.conductance, self.capacity, self.sheet, eigenvalue, self.rows, dt_s)


def _to_face(area: float, half: float, h_w_m2k: float) -> float:
    return area / (half + 1.0 / h_w_m2k) if h_w_m2k > 0.0 else 0.0
