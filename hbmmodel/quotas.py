"""Quotas: which part of every data bus a class of traffic is given, as a validated description.

Owns `Quota`, the names of classes and the numbers of the core that follow from shares; must not know traces, systems or
how a quota is kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction

from hbmmodel.errors import HbmArgumentError, HbmPolicyError

__all__ = ["CLASSES_MAX", "Quota", "as_core", "check_class_name", "check_quotas", "parse_quota"]

#: Classes of traffic that the core tells apart (HBM_MAX_CLASSES in csrc/core.h).
CLASSES_MAX = 8
SHARE_MIN = 0.001
PRIORITY_MAX = 15


@dataclass(frozen=True)
class Quota:
    """What a class of traffic is given of the data bus of every pseudo-channel.

    Parameters
    ----------
    reserved_share : float
        While the class has had less than this share of the bus it goes before classes that have had theirs, whatever
        their priority; 0, or 0.001 to 1.
    cap_share : float
        The class gets no more than this share, even where nobody else wants the bus (0.001 to 1; 1: no cap).
    priority : int
        Among classes that are alike in that, the higher goes first, and the bus turns to its reads or writes (0 to 15).
    queue_share : float
        Entries of the read queue and of the write queue that the class may fill, as a share of each (above 0 to 1;
        at least one entry).

    Raises
    ------
    HbmPolicyError
        A number is out of range, or more is reserved than the cap allows.

    Source
    ------
    ``docs/model/quotas.md``; after the minimum, maximum and priority partitioning of memory bandwidth in Arm MPAM
    (Arm IHI 0099), and the reservations of MemGuard (Yun et al., RTAS 2013).

    Examples
    --------
    >>> Quota(reserved_share=0.6, priority=1).cap_share
    1.0
    >>> Quota(reserved_share=0.6, cap_share=0.4)
    Traceback (most recent call last):
    hbmmodel.errors.HbmPolicyError: quota: reserved_share is 0.6 and cap_share 0.4; a class cannot use more than its cap
    """

    reserved_share: float = 0.0
    cap_share: float = 1.0
    priority: int = 0
    queue_share: float = 1.0

    def __post_init__(self) -> None:
        for name, low in (("reserved_share", 0.0), ("cap_share", SHARE_MIN), ("queue_share", 0.0)):
            value = getattr(self, name)
            number = math.nan
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
                number = float(value)
            if not low <= number <= 1 or (name == "reserved_share" and 0 < number < SHARE_MIN):
                told = {"reserved_share": f"0 or {SHARE_MIN}..1", "cap_share": f"{SHARE_MIN}..1"}.get(name, "0..1")
                raise HbmPolicyError(f"quota: {name} is {str(value)[:80]}; give a share in {told}")
            object.__setattr__(self, name, number)
        if self.queue_share == 0:
            raise HbmPolicyError("quota: queue_share is 0; a class without a place in the queues would never be served")
        if type(self.priority) is not int or not 0 <= self.priority <= PRIORITY_MAX:
            raise HbmPolicyError(f"quota: priority must be a whole number in 0..{PRIORITY_MAX}{_shown(self.priority)}")
        if self.reserved_share > self.cap_share:
            raise HbmPolicyError(
                f"quota: reserved_share is {self.reserved_share:g} and cap_share {self.cap_share:g}; a class cannot "
                "use more than its cap"
            )

    def to_core(self, burst_ticks: int, read_queue: int, write_queue: int) -> tuple[int, int, int, int, int]:
        """(reserved_gap_256, cap_gap_256, priority, read_entries, write_entries) of the core.

        Parameters
        ----------
        burst_ticks : int
            Data-bus time of a burst [ticks].
        read_queue, write_queue : int
            Entries of the queues.

        Examples
        --------
        >>> Quota(reserved_share=0.5, cap_share=0.8, queue_share=0.25).to_core(4, 64, 32)
        (2048, 1280, 0, 16, 8)
        """
        share = _exact(self.queue_share)
        return (
            0 if self.reserved_share == 0 else _gap_256(self.reserved_share, burst_ticks),
            0 if self.cap_share == 1 else _gap_256(self.cap_share, burst_ticks),
            self.priority,
            max(1, math.floor(share * read_queue)),
            max(1, math.floor(share * write_queue)),
        )


def _shown(value: object) -> str:
    return "" if type(value) is int and value.bit_length() > 64 else f", not {str(value)[:80]!r}"


def _exact(share: float) -> Fraction:
    """A float is read as the decimal number that it prints as: 0.1 is 1/10."""
    return Fraction(repr(share))


def _gap_256(share: float, burst_ticks: int) -> int:
    return round(256 * burst_ticks / _exact(share))


def check_class_name(name: object) -> str:
    """The name of a class of traffic; HbmArgumentError if it is none.

    Examples
    --------
    >>> check_class_name("bulk")
    'bulk'
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise HbmArgumentError(
            f"a class of traffic is called {str(name)[:80]!r}; use 1 to 64 letters, digits, '_', '.' and '-'"
        )
    return name


def check_quotas(quotas: object) -> dict[str, Quota]:
    """Quotas by the names of their classes; HbmPolicyError if they are none, or cannot be kept together.

    Examples
    --------
    >>> check_quotas({"a": Quota(reserved_share=0.7), "b": Quota(reserved_share=0.4)})
    Traceback (most recent call last):
    hbmmodel.errors.HbmPolicyError: quotas: the reserved shares add up to 1.1; they may add up to 1
    """
    if not isinstance(quotas, Mapping):
        raise HbmPolicyError(f"quotas is {str(quotas)[:80]!r}; give a dict from names of classes to Quota")
    if len(quotas) > CLASSES_MAX:
        raise HbmPolicyError(f"there are {len(quotas)} quotas; a controller tells {CLASSES_MAX} classes apart")
    for name, quota in quotas.items():
        try:
            check_class_name(name)
        except HbmArgumentError as error:
            raise HbmPolicyError(f"quotas: {error}") from None
        if not isinstance(quota, Quota):
            raise HbmPolicyError(f"quotas: that of {name} is {str(quota)[:80]!r}; give a Quota")
    reserved = sum((_exact(quota.reserved_share) for quota in quotas.values()), Fraction(0))
    if reserved > 1:
        raise HbmPolicyError(f"quotas: the reserved shares add up to {float(reserved):g}; they may add up to 1")
    return dict(quotas)


def as_core(
    quotas: Mapping[str, Quota], classes: Sequence[str], burst_ticks: int, read_queue: int, write_queue: int
) -> list[tuple[int, int, int, int, int]]:
    """Quotas of the classes in their order, as the core takes them; a class without one has the default `Quota`."""
    return [quotas.get(name, Quota()).to_core(burst_ticks, read_queue, write_queue) for name in classes]


def parse_quota(text: str) -> tuple[str, Quota]:
    """``CLASS:FIELD=VALUE,...`` as the command line writes it; a field may drop its ``_share``.

    Raises
    ------
    HbmPolicyError
        The text is malformed, or a value out of range.

    Examples
    --------
    >>> parse_quota("bulk:cap=0.4,queue=0.25")
    ('bulk', Quota(reserved_share=0.0, cap_share=0.4, priority=0, queue_share=0.25))
    """
    name, colon, settings = text.partition(":")
    known = {field.name.removesuffix("_share"): field.name for field in fields(Quota)}
    known |= {full: full for full in known.values()}
    given: dict[str, float] = {}
    for setting in settings.split(",") if colon else ():
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or key not in known or known[key] in given:
            raise _malformed(text)
        try:
            given[known[key]] = int(value) if key == "priority" else float(value)
        except ValueError:
            raise _malformed(text) from None
    if not given:
        raise _malformed(text)
    try:
        return check_class_name(name.strip()), Quota(**given)  # type: ignore[arg-type]
    except (HbmArgumentError, HbmPolicyError) as error:
        raise HbmPolicyError(f"{text[:80]}: {error}") from None


def _malformed(text: str) -> HbmPolicyError:
    return HbmPolicyError(
        f"quota {text[:80]!r} is not CLASS:FIELD=VALUE,... with reserved, cap, queue and priority, each once, as "
        "in bulk:cap=0.4,priority=1"
    )
