"""Serving: requests as they arrive, batched step by step, on simulated memory; what each of them has to wait for.

The public names of the room: arrivals, the scheduler's rules, times of steps, and the result. It must not know how
memory is simulated or which bytes a step moves: `hbmmodel.workload` and `hbmmodel.sim` do.

Examples
--------
>>> import hbmmodel as hbm
>>> arrivals = hbm.serving.poisson(requests=100, per_second=10.0)
>>> len(arrivals)
100
"""

from __future__ import annotations

from hbmmodel.serving.arrivals import Arrivals, poisson
from hbmmodel.serving.outcome import Serving, serve
from hbmmodel.serving.readers import MOONCAKE_BLOCK_TOKENS, read_arrivals
from hbmmodel.serving.scheduler import Policy, StepCost, schedule
from hbmmodel.serving.steps import Bend, HeldOut, StepTimes, Surface, sample_steps

__all__ = [
    "MOONCAKE_BLOCK_TOKENS",
    "Arrivals",
    "Bend",
    "HeldOut",
    "Policy",
    "Serving",
    "StepCost",
    "StepTimes",
    "Surface",
    "poisson",
    "read_arrivals",
    "sample_steps",
    "schedule",
    "serve",
]
