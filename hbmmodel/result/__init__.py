"""One shape of result, always: summary, channels, operations, timeline, histogram, command log; saved and
loaded.

The package owns what a run left behind. It must not know how the run was made (`sim`), nor how it is shown
(`report`).
"""

from __future__ import annotations

from hbmmodel.result.histogram import Histogram
from hbmmodel.result.result import Result
from hbmmodel.result.summary import COUNTERS, KEYS, LOST, POWER_STATES
from hbmmodel.result.table import Table

__all__ = ["COUNTERS", "KEYS", "LOST", "POWER_STATES", "Histogram", "Result", "Table"]
