"""How often data wires change: toggle rate and data bus inversion.

Owns the expected transitions of a byte; must not know what a transition costs.
"""

from __future__ import annotations

from math import comb

from hbmmodel.errors import HbmArgumentError

__all__ = ["TOGGLE_RATE", "transitions"]

TOGGLE_RATE = 0.5
"""Probability that a data wire changes from one beat to the next, of random data."""


def transitions(rate: float, dbi: bool = False) -> float:
    """Expected transitions of eight wires per beat, those of the DBI wire included.

    Parameters
    ----------
    rate : float
        Probability that a wire changes, each wire by itself; 0.5 for random data.
    dbi : bool
        DBIac: the byte is inverted when that changes fewer of the nine wires.  With ``n`` wires to change, ``n`` or
        ``9 - n`` change, whether the last byte was inverted or not.

    Returns
    -------
    float
        ``8 rate``, or the mean of ``min(n, 9 - n)`` over the binomial distribution of ``n``.

    Raises
    ------
    HbmArgumentError
        `rate` is not within 0 and 1.

    Source
    ------
    DBIac as JESD238 and JESD270-4 name it; the mean is arithmetic.  DreamRAM's constant for random data, 0.818, is the
    same number.

    Examples
    --------
    >>> transitions(0.5), round(transitions(0.5, dbi=True) / transitions(0.5), 4)
    (4.0, 0.8174)
    """
    if not 0 <= rate <= 1:
        raise HbmArgumentError(f"toggle_rate is {rate!r}; it must be a number in 0..1")
    if not dbi:
        return 8.0 * rate
    return sum(comb(8, n) * rate**n * (1 - rate) ** (8 - n) * min(n, 9 - n) for n in range(9))
