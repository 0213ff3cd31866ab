"""One exception class per error of the C core.

This file owns the names under which errors reach a user; it mirrors ``csrc/errors.def`` line by line (a test
compares the two). It must not know when or why an error is raised. Python code raises the same classes, so
that bad input looks the same whether it was found in Python or in C.

Examples
--------
>>> from hbmmodel.errors import BY_CODE, HbmDeviceError
>>> BY_CODE[-3] is HbmDeviceError
True
>>> issubclass(HbmDeviceError, ValueError)
True
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BY_CODE",
    "HbmAddressError",
    "HbmArgumentError",
    "HbmBusyError",
    "HbmDeviceError",
    "HbmError",
    "HbmIllegalCommandError",
    "HbmInternalError",
    "HbmInterruptedError",
    "HbmMapError",
    "HbmMemoryError",
    "HbmOverflowError",
    "HbmPolicyError",
    "HbmTraceError",
]


class HbmError(Exception):
    """Base of every error that hbmmodel raises on purpose.

    Attributes
    ----------
    code : int
        Code of the error in the C core (negative); 0 for the base class.
    summary : str
        What the error means, in the words of the C core.
    """

    code: ClassVar[int] = 0
    summary: ClassVar[str] = "an error of hbmmodel"


class HbmMemoryError(HbmError, MemoryError):
    """Memory could not be allocated."""

    code = -1
    summary = "memory could not be allocated"


class HbmArgumentError(HbmError, ValueError):
    """An argument of a function is out of range or of the wrong kind."""

    code = -2
    summary = "an argument is out of range"


class HbmDeviceError(HbmError, ValueError):
    """A device description is unknown, malformed or inconsistent."""

    code = -3
    summary = "the device description is inconsistent"


class HbmMapError(HbmError, ValueError):
    """An address map is not a bijection of the device's address space."""

    code = -4
    summary = "the address map is not a bijection of the device's address space"


class HbmAddressError(HbmError, ValueError):
    """An address lies outside the stacks."""

    code = -5
    summary = "an address lies outside the stacks"


class HbmTraceError(HbmError, ValueError):
    """A trace record is malformed."""

    code = -6
    summary = "a trace record is malformed"


class HbmIllegalCommandError(HbmError, RuntimeError):
    """A DRAM command was issued before it is legal."""

    code = -7
    summary = "a command was issued before it is legal"


class HbmPolicyError(HbmError, ValueError):
    """A controller policy is unknown or inconsistent."""

    code = -8
    summary = "unknown or inconsistent controller policy"


class HbmOverflowError(HbmError, OverflowError):
    """A counter or a time would overflow."""

    code = -9
    summary = "a counter or time would overflow"


class HbmBusyError(HbmError, RuntimeError):
    """The object is in use by another thread."""

    code = -10
    summary = "the object is in use by another thread"


class HbmInternalError(HbmError, RuntimeError):
    """An internal invariant is broken; please report this."""

    code = -11
    summary = "internal invariant broken; please report this"


class HbmInterruptedError(HbmError, RuntimeError):
    """The caller of the C library asked to stop; Python raises what asked, KeyboardInterrupt for one."""

    code = -12
    summary = "the caller asked to stop"


BY_CODE: dict[int, type[HbmError]] = {
    cls.code: cls
    for cls in (
        HbmMemoryError,
        HbmArgumentError,
        HbmDeviceError,
        HbmMapError,
        HbmAddressError,
        HbmTraceError,
        HbmIllegalCommandError,
        HbmPolicyError,
        HbmOverflowError,
        HbmBusyError,
        HbmInternalError,
        HbmInterruptedError,
    )
}
"""Exception class of each error code of the C core."""
