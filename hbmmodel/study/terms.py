"""Differences as sums of terms that add up exactly, also as floats.

Owns the rounding; must not know what is added.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Term", "changes_of", "exact_terms", "magnitude", "terms", "total"]


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a difference.

    Parameters
    ----------
    name : str
        What it is of.
    before, after : float
        Its value in the first run and in the other.
    change : float
        after - before, rounded such that the changes of all terms add up exactly to that of the whole.
    """

    name: str
    before: float
    after: float
    change: float


def exact_terms(parts: Sequence[Fraction], size: Fraction | None = None) -> list[float]:
    """Numbers as floats whose sum is exact in any order of adding.

    Every float is a multiple of one power of two, small enough that none differs from its number by more than
    2**-51 of the sum of all magnitudes, and large enough that no partial sum rounds. With a common `size`, not below
    the sum of magnitudes of any of them, several ways to split one number have the same sum.

    Examples
    --------
    >>> parts = exact_terms([Fraction(1, 3), Fraction(-1, 7), Fraction(10, 3)])
    >>> sum(parts) == sum(reversed(parts)), abs(sum(parts) - 74 / 21) < 1e-15
    (True, True)
    """
    size = magnitude(parts) if size is None else size
    if not size:
        return [0.0] * len(parts)
    # the power of two at or below size / 2**51, in whole numbers: size may lie beyond the range of floats
    step = size.numerator.bit_length() - size.denominator.bit_length() - 51
    grid = Fraction(2) ** step
    marks, seen = [0], Fraction(0)
    for part in parts:
        seen += part
        marks.append(round(seen / grid))
    return [math.ldexp(high - low, step) for low, high in zip(marks[:-1], marks[1:], strict=True)]


def magnitude(parts: Iterable[Fraction]) -> Fraction:
    """The sum of all magnitudes."""
    return sum((abs(part) for part in parts), Fraction(0))


def changes_of(before: Mapping[str, Fraction], after: Mapping[str, Fraction]) -> list[Fraction]:
    """After - before by name; a name that one side lacks is 0 there."""
    return [after.get(name, Fraction(0)) - before.get(name, Fraction(0)) for name in dict.fromkeys((*before, *after))]


def terms(
    before: Mapping[str, Fraction], after: Mapping[str, Fraction], size: Fraction | None = None
) -> tuple[Term, ...]:
    """The terms of a difference by name; a name that one side lacks is 0 there. `size`: as of `exact_terms`."""
    names = list(dict.fromkeys((*before, *after)))
    pairs = [(before.get(name, Fraction(0)), after.get(name, Fraction(0))) for name in names]
    changes = exact_terms(changes_of(before, after), size)
    return tuple(
        Term(name, float(a), float(b), change) for name, (a, b), change in zip(names, pairs, changes, strict=True)
    )


def total(parts: Iterable[Term]) -> float:
    """The change of the whole."""
    return math.fsum(part.change for part in parts)
