"""Numbers as people read them: bytes, times, rates, counts, shares.

Owns formatting only. Powers of ten throughout: GB = 10^9 bytes.
"""

from __future__ import annotations

__all__ = ["bytes_text", "count_text", "energy_text", "rate_text", "share_text", "time_text"]


def _scaled(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    for scale, unit in steps:
        if abs(value) >= scale:
            return f"{value / scale:.4g} {unit}"
    scale, unit = steps[-1]
    return f"{value / scale:.4g} {unit}"


def bytes_text(value: float) -> str:
    """Bytes in B, kB, MB, GB or TB.

    >>> bytes_text(16_083_992_848)
    '16.08 GB'
    """
    return _scaled(value, ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")))


def time_text(value_ns: float | None) -> str:
    """A time in ns, us, ms or s; a dash for None.

    >>> time_text(1_234_567.0), time_text(None)
    ('1.235 ms', '-')
    """
    return "-" if value_ns is None else _scaled(value_ns, ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1, "ns")))


def energy_text(value_pj: float) -> str:
    """An energy in pJ, nJ, uJ, mJ or J.

    >>> energy_text(828.0), energy_text(3.2e12)
    ('828 pJ', '3.2 J')
    """
    return _scaled(value_pj, ((1e12, "J"), (1e9, "mJ"), (1e6, "uJ"), (1e3, "nJ"), (1, "pJ")))


def rate_text(value_gb_per_s: float) -> str:
    """A rate in MB/s, GB/s or TB/s.

    >>> rate_text(13612.4)
    '13.61 TB/s'
    """
    return _scaled(value_gb_per_s, ((1e3, "TB/s"), (1, "GB/s"), (1e-3, "MB/s")))


def count_text(value: float) -> str:
    """A whole number with thin groups of three.

    >>> count_text(1234567)
    '1 234 567'
    """
    return f"{int(value):,}".replace(",", " ")


def share_text(value: float | None) -> str:
    """A share as percent with one digit; a dash for None, and never a rounded 0.0 for something that
    happened.

    >>> share_text(0.8312), share_text(0.0001), share_text(0.0), share_text(None)
    ('83.1 %', '< 0.1 %', '0.0 %', '-')
    """
    if value is None:
        return "-"
    return "< 0.1 %" if 0 < value < 0.0005 else f"{100 * value:.1f} %"
