"""Published figures of energy and heat, and what ours says of the same quantity.

It owns the published numbers with their sources and how ours is asked; it must not know how the page looks.
Nothing here is fitted: energy sets, stacks and systems are the shipped ones. Where a set was made from the figure it
says so, since agreement is then no evidence.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hbmmodel.device import device
from hbmmodel.energy import LEVELS, Geometry, energy_set, per_event_pj
from hbmmodel.sim import simulate
from hbmmodel.system import System
from hbmmodel.thermal import Model, Stack, stack
from hbmmodel.trace import OpTrace, RequestTrace, Trace
from hbmmodel.validate.traffic import stream

__all__ = ["NOT_COMPARED", "Figure", "energy_figures", "thermal_figures"]

TOLERANCE = 0.02
"""Of a published figure, which is rarely given with more than two digits."""

PAIRS = "row sid bank column[4:1] bank_group channel pseudo_channel column[0:0]"
"""A map that keeps 64 bytes in one row, as a burst of DRAMsim3's HBM2 is; the default one alternates bank groups."""

Span = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One published figure and ours.

    Attributes
    ----------
    quantity, unit : str
        What, and in what.
    published : tuple of float
        Lowest and highest figure; the same where there is one.
    ours : tuple of float
        Low, typical, high.
    source, how : str
        Where the figure stands, and how ours was asked.
    made_from : bool
        Whether our value was taken or derived from this figure.
    """

    quantity: str
    unit: str
    published: tuple[float, float]
    ours: Span
    source: str
    how: str
    made_from: bool = False

    @property
    def holds(self) -> bool:
        """Whether our span and the published figures meet, to 2 % of these."""
        low, high = (end * (1 + sign * TOLERANCE) for end, sign in zip(self.published, (-1, 1), strict=True))
        low, high = min(low, high), max(low, high)
        return self.ours[0] <= high and self.ours[2] >= low

    @property
    def verdict(self) -> str:
        """In words: how far our typical value is from the nearest figure where the spans do not meet."""
        if self.holds:
            return "made from it" if self.made_from else "within the spans"
        nearest = min(self.published, key=lambda end: abs(end - self.ours[1]))
        off = self.ours[1] - nearest
        return f"miss: {off:+.0f} points" if self.unit.startswith("%") else f"miss: {100 * off / nearest:+.0f} %"


# ---- energy ----


def _event_pj(name: str, geometry: Geometry, bursts_per_row: float = 0.0) -> Span:
    """One read burst and its share of a row (none: 0) [pJ], at every end of the spans."""
    found = []
    for level in LEVELS:
        event = per_event_pj(energy_set(name), geometry, level=level)
        data = sum(event[part] for part in ("column", "die_bus", "tsv", "base_die", "phy"))
        found.append(data + (event["activate"] / bursts_per_row if bursts_per_row else 0.0))
    return found[0], found[1], found[2]


def _scaled(span: Span, factor: float) -> Span:
    return span[0] * factor, span[1] * factor, span[2] * factor


def _constant(value: float) -> Span:
    return value, value, value


@functools.lru_cache(maxsize=32)
def _run(preset: str, energy: str = "auto", random_bytes: int = 0) -> tuple[Span, Span, float]:
    """(pJ/bit, W, GB/s) of one stack: 64 MiB read in order, or pieces of two bursts, each in a row of its own."""
    system = System(device(preset), energy=energy)
    trace: OpTrace | RequestTrace = stream("r", 64 << 20)
    if random_bytes:
        system = System(device(preset), energy=energy, mapping=PAIRS)
        rng = np.random.default_rng(1)
        address = rng.integers(system.capacity_bytes // random_bytes, size=100_000).astype(np.uint64) * random_bytes
        sizes = np.full(len(address), random_bytes)
        trace = Trace.from_requests(address, np.zeros(len(address), bool), size=sizes)
    result = simulate(system, trace)
    summary, table = result.summary, result.energy
    low, typical, high = (float(table[name].sum()) for name in ("pj_low", "pj", "pj_high"))
    total: Span = (low, typical, high)
    bandwidth_gb_per_s = float(summary["bandwidth_gb_per_s"] or 0.0)
    n_bits, time_ns = 8 * float(summary["bytes_read"] or 0), float(summary["time_ns"] or 0)
    return _scaled(total, 1 / n_bits), _scaled(total, 1e-3 / time_ns), bandwidth_gb_per_s


def energy_figures() -> Iterator[Figure]:
    """Picojoules per bit and watts.

    Source
    ------
    Each row names its own.
    """
    dreamram = "DreamRAM HBM3 baseline, 8-high, 8 Gb/s (simulator, run for this project)"
    hbm3 = Geometry(1, 16, 2, 16, 1, 8, 16384, 2048, 32)
    by_set = "set HBM3_DREAMRAM, its geometry"
    burst = _event_pj("HBM3_DREAMRAM", hbm3)
    closed = _event_pj("HBM3_DREAMRAM", hbm3, 1)
    yield Figure("HBM3, a read burst", "pJ/bit", (2.62, 2.62), _scaled(burst, 1 / 256), dreamram, by_set, True)
    in_order = _scaled(_event_pj("HBM3_DREAMRAM", hbm3, 64), 1 / 256)
    yield Figure("HBM3, in order", "pJ/bit", (2.64, 2.64), in_order, dreamram, by_set, True)
    yield Figure("HBM3, a row per burst", "pJ/bit", (4.34, 4.34), _scaled(closed, 1 / 256), dreamram, by_set, True)
    watts = _scaled(closed, 8 * 1.024 / 256)
    yield Figure("HBM3, that at 1024 GB/s", "W", (35.5, 35.5), watts, dreamram, by_set, True)

    micro = "O'Connor et al., MICRO 2017 (recalled)"
    hbm2 = Geometry(1, 8, 2, 16, 1, 8, 16384, 1024, 32)
    data = _scaled(_event_pj("HBM2_OCONNOR", hbm2), 1 / 256)
    yield Figure("HBM2, data", "pJ/bit", (3.48, 3.48), data, micro, "set HBM2_OCONNOR", True)
    grain = Geometry(1, 8, 2, 16, 1, 8, 65536, 256, 32)
    row = per_event_pj(energy_set("HBM2_OCONNOR"), grain)["activate"]
    yield Figure("FGDRAM, a row of 256 B", "pJ", (227, 227), _constant(row), micro, "set HBM2_OCONNOR, rows of 256 B")
    per_bit, _, _ = _run("HBM2E_3200", "HBM2_OCONNOR")
    yield Figure(
        "HBM2, mean of GPU workloads", "pJ/bit", (3.92, 3.92), per_bit, micro,
        "HBM2E_3200 in order: with standby and refresh, but fewer rows than those workloads open: it agrees by chance",
    )  # fmt: skip
    dramsim3 = "DRAMsim3, HBM2 (simulator, run for this project)"
    for words, theirs, random_bytes in (("in order", 2.30, 0), ("random", 4.69, 64)):
        per_bit, _, _ = _run("HBM2E_3200", "HBM2_DRAMSIM3_IDD", random_bytes)
        how = "set HBM2_DRAMSIM3_IDD, but HBM2E_3200, 1.6 times as fast: standby is spread over more bits"
        yield Figure(f"HBM2 without pins, {words}", "pJ/bit", (theirs, theirs), per_bit, dramsim3, how)

    hynix = "SK hynix, IEDM 2023"
    hbm2e, _, _ = _run("HBM2E_3200")
    hbm3e, _, _ = _run("HBM3E_9200")
    hbm4, watts4, bandwidth4 = _run("HBM4_8000")
    _, watts4e, bandwidth4e = _run("HBM4_10000")
    order = "reading in order, recommended set"
    yield Figure("HBM2E", "pJ/bit", (4.3, 4.3), hbm2e, hynix, f"HBM2E_3200 {order}")
    yield Figure("HBM3E", "pJ/bit", (3.44, 3.44), hbm3e, hynix, f"HBM3E_9200 {order}")
    yield Figure("HBM3E", "pJ/bit", (3.9, 3.9), hbm3e, "secondary essay, weak", f"HBM3E_9200 {order}")
    gain = _constant(100 * (1 - hbm4[1] / hbm3e[1]))
    yield Figure(
        "HBM4 over HBM3E", "% less per bit", (20, 40), gain, "Micron > 20, SK hynix > 40, Samsung about 40",
        "HBM4_8000 and HBM3E_9200 in order; typical values", True,
    )  # fmt: skip
    kaist = "KAIST TERA lab roadmap, 2025"
    at = f"HBM4_8000 {order}, {bandwidth4:.0f} GB/s"
    yield Figure("HBM4 at 2 TB/s", "W", (75, 75), watts4, kaist, at)
    yield Figure("HBM4, 75 W / 2 TB/s", "pJ/bit", (4.6, 4.6), hbm4, kaist, at)
    at = f"HBM4_10000 {order}, {bandwidth4e:.0f} GB/s"
    yield Figure("HBM4E at 2.5 TB/s", "W", (80, 80), watts4e, kaist, at)
    hbm4e, _, _ = _run("HBM4E_14000_projection")
    yield Figure(
        "HBM4E over HBM4", "% less per bit", (16, 20), _constant(100 * (1 - hbm4e[1] / hbm4[1])),
        "Samsung 16 (4 nm base die), SK hynix > 20",
        "HBM4E_14000_projection and HBM4_8000 in order: the set is the same, only the clock differs",
    )  # fmt: skip


# ---- heat ----


def _stack_resistance(made: Stack, part: str = "") -> float:
    """Across all layers from base die to top die, or those of one kind of element [m2 K/W]."""
    layers = [layer for layer in made.layer_stack().layers if layer.element not in ("LID", "TIM")]
    return sum(
        layer.thickness_um * 1e-6 / layer.material.k_w_mk for layer in layers if layer.element.startswith(part)
    )


def _base_to_coolant(made: Stack) -> float:
    """Rise of the base die per watt in it, spread evenly [K/W]."""
    return float(Model(made, 1, 1).resistance_k_per_w()[0, 0])


def _lateral_w_mk(made: Stack, elements: tuple[str, ...]) -> float:
    layers = [layer for layer in made.layer_stack().layers if layer.element.startswith(elements)]
    height = sum(layer.thickness_um for layer in layers)
    return sum(layer.thickness_um * layer.material.lateral_w_mk for layer in layers) / height


def _spread(values: list[float]) -> Span:
    return min(values), float(np.median(values)), max(values)


def thermal_figures() -> Iterator[Figure]:
    """Conductivities and resistances.

    Source
    ------
    Each row names its own.
    """
    names = ("HBM3E_8H", "HBM3E_12H", "HBM3E_16H", "HBM4_8H", "HBM4_12H", "HBM4_16H")
    made = [stack(name) for name in names]
    chalise = "Chalise and Cahill, arXiv:2303.06785 (measured; withdrawn since)"
    across = _spread([s.height_um * 1e-6 / _stack_resistance(s) for s in made])
    all_of_them = "the stacks with bumps, 8 to 16 high"
    yield Figure("HBM, conductivity across the stack", "W/(m K)", (7, 7), across, chalise, all_of_them)
    lateral = _spread([_lateral_w_mk(s, ("DRAM", "BOND", "BASE")) for s in made])
    yield Figure("HBM, in the plane", "W/(m K)", (100, 100), lateral, chalise, all_of_them)
    dies = _spread([_lateral_w_mk(s, ("DRAM",)) for s in made])
    yield Figure("memory layers, in the plane", "W/(m K)", (140, 140), dies, chalise, "the same, DRAM dies alone")
    bond = stack("HBM4_12H").bond.k_w_mk
    yield Figure("solder and polymer layer", "W/(m K)", (2, 2), _constant(bond), chalise, "material of the bonds", True)
    colgan = "Colgan et al., IBM: 8.0 to 19.0 K mm2/W, 16.1 um high, 100 to 50 um pitch (division ours)"
    yield Figure("bumps with underfill", "W/(m K)", (0.85, 2.0), _constant(bond), colgan, "material of the bonds", True)
    share = _spread([100 * _stack_resistance(s, "BOND") / _stack_resistance(s) for s in made])
    xylem = "Xylem, MICRO 2017: the layers between dies dominate"
    yield Figure("bonds in the resistance of a stack", "%", (50, 100), share, xylem, all_of_them)
    sk = "SK hynix, 18 June 2026, 12-high; by what means, and between which points, is not said"
    before = stack("HBM4_12H")
    for what, after in (
        ("bumps 7 um high instead of 10", before.replace(bond_um=7.0)),
        ("hybrid bonds", stack("HBM4_12H_HYBRID")),
    ):
        for where, resistance in (("stack alone", _stack_resistance), ("base die to coolant", _base_to_coolant)):
            change = 100 * (resistance(after) / resistance(before) - 1)
            yield Figure("HBM4E over HBM4, resistance", "%", (-17, -17), _constant(change), sk, f"{what}, {where}")


NOT_COMPARED = (
    ("3D HBM on a GPU, 12 hybrid-bonded dies: 141.7 degC, 2.5D 69.1 degC", "imec, IEDM 2025", "neither geometry nor"
     " power maps nor cooling are given"),
    ("HBM SiP model fitted to a measured resistance, 97 %", "2.5D Si-interposer systems, 2022", "the resistance itself"
     " is not in what is public"),
    ("differences between the dies of one HBM2, as 2 K at the base die", "Kwon et al., Electronics 12(1), 2023",
     "the power is not given"),
    ("HBM with NCF and TSVs, simplified model", "SNU, JSTS", "geometry not at hand"),
    ("custom HBM on logic, 12 dies, hot spots at the edge", "ECTC 2024", "power maps are not public"),
    ("HBM4 75 W to HBM8 180 W as heat", "KAIST TERA lab, 2025", "no temperature is given with them"),
    ("HBM2 subchannels save 35 %", "Chatterjee et al., HPCA 2017", "another architecture"),
    ("HBM5 3.1, HBM6 1.9 pJ/bit", "KAIST TERA lab, 2025", "no device to simulate"),
)  # fmt: skip
"""(figure, source, why not)."""
