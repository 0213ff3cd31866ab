"""Simulation: a trace, a system, and what came out.

`run` holds `simulate`; `operations` and `requests` feed the core; `progress` keeps track.
"""

from __future__ import annotations

from hbmmodel.sim.operations import WAVE_MAX, waves
from hbmmodel.sim.run import L2, MODES, simulate

__all__ = ["L2", "MODES", "WAVE_MAX", "simulate", "waves"]
