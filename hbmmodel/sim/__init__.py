"""Simulation: a trace, a system, and what came out.

`run` holds `simulate`; `operations` and `requests` feed the core; `dependences` says what waits for what; `progress`
keeps track.
"""

from __future__ import annotations

from hbmmodel.sim.dependences import IN_FLIGHT_MAX, Dependences
from hbmmodel.sim.run import L2, MODES, simulate

__all__ = ["IN_FLIGHT_MAX", "L2", "MODES", "Dependences", "simulate"]
