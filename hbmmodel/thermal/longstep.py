"""A step of any length under constant power: the exponential of the network, by a rational approximation.

It owns the poles and the elimination at them; it must not know grids, layers' names or degrees. Only element-wise
arithmetic in a fixed order: the bits do not depend on how many threads a linear-algebra library uses.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["long_step"]

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

AT_INFINITY = 1.8321743782540412751e-14
POLES: Complex = np.array(
    [
        -8.8977731864688888199 + 1.6630982619902085304e1j,
        -3.7032750494234480603 + 1.3656371871483268171e1j,
        -0.2087586382501301251 + 1.0991260561901260913e1j,
        3.9933697105785685194 + 6.0048316422350373178j,
        5.0893450605806245066 + 3.5888240290270065102j,
        5.6231425727459771248 + 1.1940690463439669766j,
        2.2697838292311127097 + 8.4617379730402214019j,
    ]
)
RESIDUES: Complex = np.array(
    [
        -7.1542880635890672853e-5 + 1.4361043349541300111e-4j,
        9.4390253107361688779e-3 - 1.7184791958483017511e-2j,
        -3.7636003878226968717e-1 + 3.3518347029450104214e-1j,
        -2.3498232091082701191e1 - 5.8083591297142074004j,
        4.6933274488831293047e1 + 4.5643649768827760791e1j,
        -2.7875161940145646468e1 - 1.0214733999056451434e2j,
        4.8071120988325088907 - 1.3209793837428723881j,
    ]
)
"""``exp(z)`` is ``AT_INFINITY + 2 Re sum(RESIDUES / (z - POLES))`` to 2e-14 for every z <= 0.

**Source**: best rational approximation of order 14 on the negative axis; Pusa, Correction to Partial Fraction
Decomposition Coefficients for Chebyshev Rational Approximation on the Negative Real Axis, arXiv:1206.2880, 2012."""

_MODES_AT_ONCE = 512


def long_step(
    conductance: Array, leak: Array, capacity: Array, heat: Array, state: Array, seconds: float
) -> Array:
    """The state after `seconds` of constant heat.

    With ``K`` the tridiagonal matrix of a mode, ``C dx/dt = -K x + p`` has the solution
    ``x(t) = exp(z) x(0) + t phi(z) C^-1 p`` with ``z = -t C^-1 K`` and ``phi(z) = (exp(z) - 1) / z``. Both have the
    same poles s, ``phi`` with residues ``a / s``, so that each pole costs one tridiagonal system,
    ``(K + s C / t) y = -a (C x(0) / t + p / s)``.

    Parameters
    ----------
    conductance : ndarray, shape (layers - 1,)
        Between layers, W/K.
    leak : ndarray, shape (layers, modes)
        From each layer to what has the temperature 0, W/K.
    capacity : ndarray, shape (layers,)
        J/K.
    heat, state : ndarray, shape (layers, modes)
        W, and K at the beginning.
    seconds : float
        Above 0.

    Returns
    -------
    ndarray
        K; to about 2e-14 of the state before and 2e-12 of what the heat adds, in the norm of stored heat.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> x = long_step(np.empty(0), one, np.ones(1), 0 * one, one, 2.0)
    >>> bool(abs(x[0, 0] - np.exp(-2.0)) < 1e-13)
    True
    """
    after = np.empty_like(state)
    for first in range(0, state.shape[1], _MODES_AT_ONCE):
        part = slice(first, first + _MODES_AT_ONCE)
        after[:, part] = _block(conductance, leak[:, part], capacity, heat[:, part], state[:, part], seconds)
    return after


def _block(conductance: Array, leak: Array, capacity: Array, heat: Array, state: Array, seconds: float) -> Array:
    """All poles and some modes: complex arrays (poles, modes), a layer at a time.

    Row by row the pivot is kept as conductance downwards plus the rest, which is a sum and loses no digits, as in
    csrc/thermal.c. Every matrix has a definite imaginary part, so elimination needs no exchange of rows.
    **Source**: Higham, Factorizing complex symmetric matrices with positive definite real and imaginary parts,
    Mathematics of Computation 67, 1998.
    """
    rate = capacity / seconds
    last = len(capacity) - 1
    pole, residue = POLES[:, None], RESIDUES[:, None]
    inverse: list[Complex] = []
    carried: list[Complex] = []
    rest = y = np.zeros((len(POLES), state.shape[1]), dtype=np.complex128)
    above = 0.0
    for layer in range(last + 1):
        if layer:
            rest = rest * inverse[-1] * above
        below = float(conductance[layer]) if layer < last else 0.0
        rest = rest + (leak[layer] + pole * rate[layer])
        inverse.append(1.0 / (rest + below))
        y = (above * y - residue * (rate[layer] * state[layer] + heat[layer] / pole)) * inverse[-1]
        carried.append(y)
        above = below
    after = np.empty_like(state)
    for layer in range(last, -1, -1):
        if layer < last:
            y = carried[layer] + conductance[layer] * inverse[layer] * y
        after[layer] = AT_INFINITY * state[layer] + 2.0 * y.real.sum(axis=0)
    return after
