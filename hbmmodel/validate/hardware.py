"""Published measurements of products, and the same loads on our presets.

It owns the measured numbers with their sources and the loads that imitate them; it must not know bounds or
other simulators. Nothing here is fitted: the systems are presets with default policies, and where a setting is
varied the variation is a row of its own.

One channel is simulated with its share of the traffic. The channels of a stack are independent, and these loads
give all of them the same, so more of them would only repeat it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np

from hbmmodel.device import device
from hbmmodel.sim import simulate
from hbmmodel.system import Controller, System
from hbmmodel.validate.traffic import bank_rotation_bytes, lone_reads, many_streams, stream

__all__ = [
    "CURVES",
    "IDLE",
    "MIXES",
    "PLATFORMS",
    "SETTINGS",
    "TARGETS",
    "EfficiencyRow",
    "Platform",
    "Target",
    "efficiency",
    "idle_latency",
    "load_curve",
    "unlike",
]

MIXES = {"read only": "r", "triad 2R:1W": "rrw", "copy 1R:1W": "rw", "write only": "w"}
"""Operands of each load, as `hbmmodel.validate.traffic.stream` takes them."""

OPERAND_BYTES = 4 << 20
"""Per channel and operand: 320 MB or more per operand on the platforms below."""

PLACEMENTS = 8
"""Distances between operands that are tried: eighths of the way back to the same bank."""


@dataclass(frozen=True)
class Platform:
    """A product and the preset that stands for its memory.

    Parameters
    ----------
    name : str
        As the sources call it.
    preset, variant : str
        Of `hbmmodel.device`.
    stacks : int
        How many the product has.
    """

    name: str
    preset: str
    variant: str
    stacks: int

    def system(self, *, controller: Controller | None = None, **fields: Any) -> System:
        """One channel of it."""
        one = device(self.preset, self.variant, channels=1)
        fields.setdefault("window_bytes", (1 << 20) // device(self.preset, self.variant).organisation.channels)
        return System(one, controller=controller or Controller(), **fields)


PLATFORMS = (
    Platform("H100 SXM", "HBM3_5200", "16Gb_8H", 5),
    Platform("H200", "HBM3E_6400", "24Gb_8H", 6),
    Platform("H100 PCIe", "HBM2E_3200", "16Gb_8H", 5),
    Platform("A100-80", "HBM2E_3200", "16Gb_8H", 5),
)


@dataclass(frozen=True)
class Target:
    """A measured share of pin bandwidth.

    Parameters
    ----------
    platform, mix : str
        A name of `PLATFORMS`, a key of `MIXES`.
    low, high : float
        Range of the measurements [share of peak].
    source : str
        Who measured.
    """

    platform: str
    mix: str
    low: float
    high: float
    source: str


_AZURE, _RRZE = "Azure, BabelStream", "RRZE gpu-benches"

TARGETS = (
    Target("H100 SXM", "read only", 0.949, 0.949, _AZURE),
    Target("H100 SXM", "triad 2R:1W", 0.886, 0.886, _AZURE),
    Target("H100 SXM", "copy 1R:1W", 0.865, 0.865, _AZURE),
    Target("H200", "read only", 0.911, 0.911, f"{_AZURE}, of 4.917 TB/s"),
    Target("H200", "triad 2R:1W", 0.844, 0.844, f"{_AZURE}, of 4.917 TB/s"),
    Target("H200", "copy 1R:1W", 0.816, 0.874, f"{_AZURE}; copy in device memory, of 4.917 TB/s"),
    Target("H100 PCIe", "read only", 0.952, 0.952, _RRZE),
    Target("H100 PCIe", "triad 2R:1W", 0.898, 0.898, _RRZE),
    Target("H100 PCIe", "copy 1R:1W", 0.836, 0.836, _RRZE),
    Target("H100 PCIe", "write only", 0.989, 0.989, _RRZE),
    Target("A100-80", "read only", 0.858, 0.868, f"{_AZURE}; {_RRZE}"),
    Target("A100-80", "triad 2R:1W", 0.83, 0.86, f"{_AZURE}; {_RRZE}"),
    Target("A100-80", "copy 1R:1W", 0.79, 0.85, f"{_AZURE}; {_RRZE}"),
    Target("A100-80", "write only", 0.928, 0.928, _RRZE),
)
"""Measured streams. Peaks: H100 SXM 3.352 TB/s, H200 4.917 TB/s (by its clock), the others 2.039 TB/s."""

IDLE = (
    ("H100 PCIe", 86.0, 104.0, "RRZE gpu-benches, pointer chase: DRAM minus far L2"),
    ("A100-80", 86.0, 104.0, "RRZE gpu-benches, pointer chase: DRAM minus far L2"),
)
"""Unloaded latency beyond the far L2 [ns]: platform, low, high, source."""

CURVES: Mapping[float, tuple[tuple[float, float], ...]] = {
    0.98: ((93, 134), (627, 153), (753, 165), (837, 178), (887, 223), (892, 321), (901, 330)),
    0.48: ((463, 159), (839, 273), (866, 361)),
}
"""A64FX, 4 stacks of HBM2, 1024 GB/s: share of reads to (GB/s, load-to-use latency in ns).

From Mess (MICRO'24); that the number of its files is the share of reads is likely, not confirmed."""

_A64FX_PEAK_GB_PER_S, _A64FX_UNLOADED_NS = 1024.0, 129.0
_A64FX_LINE_BYTES, _A64FX_CORES = 256, 48
_LINE_IN_ONE_BANK = "row sid bank column[4:3] bank_group channel pseudo_channel column[2:0]"

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "as it is": {},
    "write queue 256": {"write_queue": 256},
    "tile 4 KiB": {"tile_bytes": 4096},
    "REFab": {"refresh": "all_bank"},
}
"""What is varied: fields of `Controller`, or ``tile_bytes`` of `simulate`."""


class EfficiencyRow(TypedDict):
    """One measured stream and ours: shares of peak, and the largest losses of ours [share of time]."""

    platform: str
    mix: str
    measured_low: float
    measured_high: float
    source: str
    ours: float
    ours_min: float
    ours_max: float
    lost: dict[str, float]


def _stream_shares(system: System, operands: str, **run: Any) -> tuple[list[float], dict[str, float]]:
    """Share of peak for every placement, and the mean of where the rest of the time went."""
    rotation = bank_rotation_bytes(system)
    rows_of_one = OPERAND_BYTES // rotation + 1
    placements = PLACEMENTS if len(operands) > 1 else 1
    shares, lost = [], []
    for k in range(placements):
        # a multiple of the granule, so that every operand begins with a whole one
        shift = k * rotation // placements // system.granule_bytes * system.granule_bytes
        bases = [i * (rows_of_one * rotation + shift) for i in range(len(operands))]
        summary = simulate(system, stream(operands, OPERAND_BYTES, bases=bases), **run).summary
        shares.append(float(summary["fraction_of_peak"] or 0))
        lost.append({key[11:]: value for key, value in summary.items() if key.startswith("lost_share_")})
    causes = [cause for cause in lost[0] if cause != "data"]
    return shares, {cause: float(np.mean([one[cause] for one in lost])) for cause in causes}


def efficiency(setting: str = "as it is", *, targets: tuple[Target, ...] = TARGETS) -> Iterator[EfficiencyRow]:
    """Streams in closed loop beside the measured ones.

    The operands of a load lie at `PLACEMENTS` distances from each other, because hardware hashes its banks and
    the map here does not: the mean over the placements is what to compare, the range shows what placing can do.

    Parameters
    ----------
    setting : str
        A key of `SETTINGS`.
    targets : tuple of Target
        Which.
    """
    fields = dict(SETTINGS[setting])
    run = {name: fields.pop(name) for name in ("tile_bytes",) if name in fields}
    known: dict[tuple[str, str], tuple[list[float], dict[str, float]]] = {}
    for target in targets:
        platform = next(p for p in PLATFORMS if p.name == target.platform)
        key = (platform.preset, target.mix)
        if key not in known:
            system = platform.system(controller=replace(Controller(), **fields))
            known[key] = _stream_shares(system, MIXES[target.mix], **run)
        shares, lost = known[key]
        yield EfficiencyRow(
            platform=target.platform,
            mix=target.mix,
            measured_low=target.low,
            measured_high=target.high,
            source=target.source,
            ours=float(np.mean(shares)),
            ours_min=min(shares),
            ours_max=max(shares),
            lost={c: s for c, s in sorted(lost.items(), key=lambda item: -item[1]) if s >= 0.01},
        )


def unlike(row: EfficiencyRow, tolerance: float = 0.03) -> str:
    """``above``, ``below`` or ``""``: whether ours lies outside the measured range by more than `tolerance`.

    Parameters
    ----------
    row : EfficiencyRow
    tolerance : float
        Share of peak; 0.03 is about what one GPU differs from the next and a datasheet's peak from the clock's.
    """
    if row["ours"] > row["measured_high"] + tolerance:
        return "above"
    return "below" if row["ours"] < row["measured_low"] - tolerance else ""


def idle_latency(n: int = 2000) -> Iterator[dict[str, Any]]:
    """Lone random reads every 400 ns: the device's part, and with the default host path of 60 ns.

    Parameters
    ----------
    n : int
        Reads.
    """
    for name, low, high, source in IDLE:
        platform = next(p for p in PLATFORMS if p.name == name)
        system = platform.system()
        summary = simulate(system, lone_reads(system, n, 400)).summary
        yield {
            "platform": name,
            "measured_low": low,
            "measured_high": high,
            "source": source,
            "device_p50_ns": summary["read_latency_ns_p50"],
            "device_mean_ns": summary["read_latency_ns_mean"],
            "host_ns": summary["host_latency_ns"],
            "ours_mean_ns": summary["load_to_use_ns_mean"],
        }


def load_curve(
    read_share: float, *, mapping: str = _LINE_IN_ONE_BANK, write_queue: int = 64, n: int = 24_000
) -> list[dict[str, Any]]:
    """Latency against load, with ever more reads in flight, beside the A64FX.

    48 cores each follow their own streams of 256-byte lines. The host path is chosen such that the unloaded
    latency is the measured one, so only the shape is compared; and the preset is HBM2E at 3.2 Gb/s per pin,
    the A64FX has HBM2 at 2 Gb/s.

    Parameters
    ----------
    read_share : float
        A key of `CURVES`.
    mapping : str
        The A64FX's own is not public. The default keeps a line in one bank.
    write_queue : int
        Entries per pseudo-channel.
    n : int
        Lines.

    Returns
    -------
    list of dict
        Per measured point ``share_of_peak``, ``measured_ns`` and ``ours_ns``, each latency beyond the unloaded
        one; ``ours_ns`` is None where ours does not get that far. ``reached`` is the largest share of ours.
    """
    of = device("HBM2E_3200")
    organisation = of.organisation
    unloaded_ns = 0.0
    host_ns = 0.0
    points: list[tuple[float, float]] = []
    for in_flight in (1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 96, 128, 192, 256):
        window = in_flight * organisation.burst_bytes * organisation.channels * organisation.pseudo_channels
        if not points:
            probe = System(of, mapping=mapping, host_latency_ns=0.0, window_bytes=window)
            unloaded_ns = float(simulate(probe, lone_reads(probe, 500, 400)).summary["read_latency_ns_p50"] or 0.0)
            host_ns = round(_A64FX_UNLOADED_NS - unloaded_ns, 1)
        system = System(
            of,
            mapping=mapping,
            controller=Controller(write_queue=write_queue),
            host_latency_ns=host_ns,
            window_bytes=window,
        )
        trace = many_streams(system, _A64FX_CORES, _A64FX_LINE_BYTES, read_share, n)
        summary = simulate(system, trace).summary
        added = float(summary["load_to_use_ns_mean"] or 0) - (host_ns + unloaded_ns)
        points.append((float(summary["fraction_of_peak"] or 0), added))
    reached = max(share for share, _ in points)
    rising = points[: 1 + max(range(len(points)), key=lambda i: points[i][0])]
    shares, latencies = [share for share, _ in rising], [latency for _, latency in rising]
    rows = []
    for gb_per_s, latency_ns in CURVES[read_share]:
        share = gb_per_s / _A64FX_PEAK_GB_PER_S
        ours = float(np.interp(share, shares, latencies)) if share <= reached else None
        rows.append(
            {
                "share_of_peak": share,
                "measured_ns": latency_ns - _A64FX_UNLOADED_NS,
                "ours_ns": ours,
                "reached": reached,
            }
        )
    return rows
