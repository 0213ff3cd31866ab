"""The slow, plain twin of the timing core: ``docs/model/controller.md`` in pure Python, half a CK at a time.

It exists to be read beside that document and to be compared with the core, never to be fast.  It must not
know the core: it imports the standard library only.
"""

from __future__ import annotations

from hbmmodel.reference.channel import (
    ChannelOutcome,
    Completion,
    DeadlockError,
    Issued,
    RowStatistics,
    simulate_channel,
)
from hbmmodel.reference.gate import ClassQuota, GatedPseudoChannel
from hbmmodel.reference.policy import ChannelPolicy
from hbmmodel.reference.queues import Request
from hbmmodel.reference.timing import Command

__all__ = [
    "ChannelOutcome",
    "ChannelPolicy",
    "ClassQuota",
    "Command",
    "Completion",
    "DeadlockError",
    "GatedPseudoChannel",
    "Issued",
    "Request",
    "RowStatistics",
    "simulate_channel",
]
