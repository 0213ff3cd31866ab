"""Rewrite passes: what a trace would be if the program had been another.

The public names of the room.
"""

from __future__ import annotations

from hbmmodel.trace.rewrite.base import Pass, RewrittenTrace

__all__ = ["Pass", "RewrittenTrace"]
