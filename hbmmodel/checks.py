"""Arguments of a user: numbers, words and truth values, refused in one line.

Must not know what they mean.
"""

from __future__ import annotations

from hbmmodel.errors import HbmArgumentError

__all__ = ["check_choice", "check_flag", "check_real", "check_whole"]


def check_whole(name: str, value: object, low: int, high: int) -> int:
    """The whole number, if it lies in low..high; HbmArgumentError otherwise.

    Examples
    --------
    >>> check_whole("batch", 16, 1, 1024)
    16
    """
    if type(value) is not int or not low <= value <= high:
        shown = repr(value) if type(value) is not int or abs(value) < 1 << 64 else "beyond 64 bits"
        raise HbmArgumentError(f"{name} is {shown[:80]}; give a whole number in {low}..{high}")
    return value


def check_flag(name: str, value: object) -> bool:
    """The truth value; HbmArgumentError if it is something else."""
    if type(value) is not bool:
        raise HbmArgumentError(f"{name} is {str(value)[:80]!r}; give true or false")
    return value


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of the words."""
    if not isinstance(value, str) or value not in choices:
        raise HbmArgumentError(f"{name} is {str(value)[:80]!r}; choose one of {', '.join(choices)}")


def check_real(name: str, value: object, low: float, high: float) -> float:
    """The number, if it lies in low..high; HbmArgumentError otherwise, for infinities and NaN too."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise HbmArgumentError(f"{name} is {str(value)[:80]}; give a number in {low:g}..{high:g}")
    return float(value)
