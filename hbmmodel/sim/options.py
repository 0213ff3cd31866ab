"""Options of a run and their checks.

Owns the filter's description and the refusal of values out of range; must not know how a run uses them.
"""

from __future__ import annotations

from dataclasses import dataclass

from hbmmodel.errors import HbmArgumentError

__all__ = ["L2", "check_choice", "check_real", "check_whole"]


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Refuse what is no whole number in a range."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise HbmArgumentError(f"{name} is {value!r}; it must be a whole number in {low}..{high}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        raise HbmArgumentError(f"{name} is {value!r}; choose one of {', '.join(choices)}")


def check_real(name: str, value: object, low: float, high: float) -> float:
    """A number in a range, both ends included."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if isinstance(value, bool | str | bytes) or not low <= number <= high:
        raise HbmArgumentError(f"{name} is {value!r}; it must be a number in {low:g}..{high:g}")
    return number


@dataclass(frozen=True)
class L2:
    """An on-chip filter before the stacks: set-associative, LRU, sectored by bursts, write-back.

    Parameters
    ----------
    size_bytes : int
        Capacity; at least one set.
    line_bytes : int
        A power of two, one to 32 bursts.  A miss fetches only the bursts it touches.
    ways : int
        Lines per set, 1 to 64.

    Source
    ------
    Sectored 128-byte lines: NVIDIA GPUs since Volta (32-byte sectors); sizes are products' (H100 50 MB, B200 126 MB).
    """

    size_bytes: int
    line_bytes: int = 128
    ways: int = 16

    def __post_init__(self) -> None:
        for name, low, high in (("size_bytes", 1, 1 << 40), ("line_bytes", 1, 1 << 20), ("ways", 1, 64)):
            check_whole(f"L2 {name}", getattr(self, name), low, high)
        if self.line_bytes & (self.line_bytes - 1):
            raise HbmArgumentError(f"L2 line_bytes is {self.line_bytes}; it must be a power of two")
        if self.size_bytes < self.line_bytes * self.ways:
            raise HbmArgumentError(
                f"L2 size_bytes is {self.size_bytes}; one set of {self.ways} lines of {self.line_bytes} bytes needs "
                f"{self.line_bytes * self.ways}"
            )
