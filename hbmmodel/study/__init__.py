"""Studies: runs compared, settings swept, latency under load, rooflines.

The public names of the room. It uses simulation, results, workloads and the words of reports; nothing of them knows it.

Examples
--------
>>> import hbmmodel as hbm
>>> trace = hbm.Trace.from_requests(range(0, 4096, 32), [False] * 128)
>>> runs = [hbm.simulate(hbm.System(hbm.device("HBM4_8000"), host_latency_ns=x), trace) for x in (60, 80)]
>>> [change.field for change in hbm.compare(runs).changes]
['system.host_latency_ns']
"""

from __future__ import annotations

from hbmmodel.study.comparison import Change, Comparison, Difference, compare
from hbmmodel.study.latency import Curves, curve
from hbmmodel.study.point import Point
from hbmmodel.study.rooflines import Roofline, roofline
from hbmmodel.study.study import Study
from hbmmodel.study.sweeping import sweep
from hbmmodel.study.terms import Term
from hbmmodel.vary import vary

__all__ = [
    "Change",
    "Comparison",
    "Curves",
    "Difference",
    "Point",
    "Roofline",
    "Study",
    "Term",
    "compare",
    "curve",
    "roofline",
    "sweep",
    "vary",
]
