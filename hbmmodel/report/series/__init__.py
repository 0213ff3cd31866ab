"""The numbers behind every picture, as plain arrays: made once from a result, drawn by whoever draws.

Owns the selection, binning and thinning of what is drawn, so that a page and a static plot show the same; must not
know colours, axes or file formats. What is bounded here bounds the size of a report.
"""

from __future__ import annotations

from hbmmodel.report.series.account import Account, account
from hbmmodel.report.series.bandwidth import (
    bandwidth_by_class,
    bandwidth_by_direction,
    bandwidth_by_name,
    bandwidth_by_phase,
)
from hbmmodel.report.series.energy import GROUPS, Flow, energy_flow
from hbmmodel.report.series.latency import LatencyTail, latency_tail
from hbmmodel.report.series.layers import OTHERS, Layers, spread
from hbmmodel.report.series.maps import Map, bank_maps, channel_map
from hbmmodel.report.series.operations import TopOperations, top_operations
from hbmmodel.report.series.states import StateShares, state_layers, state_shares
from hbmmodel.report.series.temperature import CrossSection, DieTemperatures, cross_section, die_temperatures

__all__ = [
    "Account",
    "CrossSection",
    "DieTemperatures",
    "GROUPS",
    "Flow",
    "LatencyTail",
    "Layers",
    "Map",
    "OTHERS",
    "StateShares",
    "TopOperations",
    "account",
    "bandwidth_by_class",
    "bandwidth_by_direction",
    "bandwidth_by_name",
    "bandwidth_by_phase",
    "bank_maps",
    "channel_map",
    "cross_section",
    "die_temperatures",
    "energy_flow",
    "latency_tail",
    "spread",
    "state_layers",
    "state_shares",
    "top_operations",
]
