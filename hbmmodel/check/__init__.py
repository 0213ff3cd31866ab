"""The independent protocol checker: does a command log keep the rules of the standard?

Owns `check` and `Violation`. It works in exact fractions of a picosecond from the device description and from
the rules as the standards state them. It must not know the timing core, the reference twin, the controller's
policies, or the device in ticks: what they get wrong, it has to see (``docs/model/checker.md``).
"""

from __future__ import annotations

from hbmmodel.check.inspect_log import check
from hbmmodel.check.violation import Violation

__all__ = ["Violation", "check"]
