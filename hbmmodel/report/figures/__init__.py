"""Pictures of the page: series as Plotly figures, in plain dicts.

Owns axes, marks and hover texts; must not know how series are made (`hbmmodel.report.series`) or where a figure stands.
Colours are names of `hbmmodel.report.palette`, which the page turns into those of its theme.
"""

from __future__ import annotations

from hbmmodel.report.figures.base import Figure
from hbmmodel.report.figures.maps import bank_figure, channel_figure, cross_section_figure
from hbmmodel.report.figures.shares import account_figure, energy_figure, operations_figure, shares_figure
from hbmmodel.report.figures.time import bandwidth_figure, latency_figure, states_figure, temperature_figure

__all__ = [
    "Figure",
    "account_figure",
    "bandwidth_figure",
    "bank_figure",
    "channel_figure",
    "cross_section_figure",
    "energy_figure",
    "latency_figure",
    "operations_figure",
    "shares_figure",
    "states_figure",
    "temperature_figure",
]
