"""The closed formulas give the published tables of bounds, as far as their two digits go."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hbmmodel.device import device
from hbmmodel.validate import bounds

# peak of a pseudo-channel and a stack [GB/s]; row hit, closed row, conflict [ns]; 32, 64, 128, 256 B per ACT [of peak];
# bound of the banks at 8H, 12H, 16H [of peak]
BOUNDS = {
    "HBM3_5200": (20.8, 665.6, (17.69, 33.85, 50.0), (0.38, 0.76, 1.0, 1.0), (1.0, 1.0)),
    "HBM3_6400": (25.6, 819.2, (17.5, 33.75, 50.0), (0.31, 0.61, 1.0, 1.0), (0.88, 1.0, 1.0)),
    "HBM3E_6400": (25.6, 819.2, (17.5, 33.75, 50.0), (0.31, 0.61, 1.0, 1.0), (0.88, 1.0)),
    "HBM3E_8000": (32.0, 1024.0, (17.0, 33.0, 49.0), (0.25, 0.5, 1.0, 1.0), (0.71, 1.0, 1.0)),
    "HBM3E_9200": (36.8, 1177.6, (16.96, 33.04, 49.13), (0.22, 0.43, 0.86, 1.0), (0.61, 0.92, 1.0)),
    "HBM3E_9600": (38.4, 1228.8, (17.08, 33.33, 49.58), (0.20, 0.41, 0.82, 1.0), (0.59, 0.89, 1.0)),
    "HBM4_6400": (25.6, 1638.4, (17.5, 33.75, 50.0), (0.31, 0.61, 1.0, 1.0), (0.88, 1.0, 1.0)),
    "HBM4_8000": (32.0, 2048.0, (17.0, 33.0, 49.0), (0.25, 0.5, 1.0, 1.0), (0.71, 1.0, 1.0)),
    "HBM4_10000": (40.0, 2560.0, (16.8, 32.8, 48.8), (0.20, 0.4, 0.8, 1.0), (0.57, 0.85, 1.0)),
    "HBM4_10700": (42.8, 2739.2, (16.82, 32.9, 48.97), (0.19, 0.37, 0.74, 1.0), (0.53, 0.79, 1.0)),
    "HBM4_11000": (44.0, 2816.0, (16.73, 32.73, 48.73), (0.18, 0.36, 0.73, 1.0), (0.52, 0.77, 1.0)),
    "HBM4E_14000_projection": (56.0, 3584.0, (16.57, 32.57, 48.57), (0.14, 0.29, 0.57, 1.0), (0.41, 0.61, 0.81)),
}

# REFab overhead [%], bank share in REFpb [%], banks in REFpb at once
REFRESH = {
    ("HBM3_6400", "16Gb_8H"): (9.0, 5.1, 1.64),
    ("HBM3_6400", "16Gb_12H"): (10.5, 5.1, 2.46),
    ("HBM3_6400", "16Gb_16H"): (11.5, 5.1, 3.28),
    ("HBM3E_8000", "24Gb_8H"): (10.5, 6.2, 1.97),
    ("HBM3E_8000", "24Gb_12H"): (11.5, 6.2, 2.95),
    ("HBM3E_8000", "24Gb_16H"): (12.6, 6.2, 3.94),
    ("HBM4_8000", "24Gb_8H"): (10.5, 6.2, 1.97),
    ("HBM4_8000", "24Gb_12H"): (11.5, 6.2, 2.95),
    ("HBM4_8000", "24Gb_16H"): (12.6, 6.2, 3.94),
    ("HBM4_8000", "32Gb_8H"): (11.5, 7.2, 2.3),
    ("HBM4_8000", "32Gb_12H"): (12.6, 7.2, 3.45),
    ("HBM4_8000", "32Gb_16H"): (13.6, 7.2, 4.59),
}


def test_every_preset_of_the_table_exists() -> None:
    assert set(BOUNDS) <= set(bounds.presets())


@pytest.mark.parametrize("name", BOUNDS)
def test_peaks_and_unloaded_latencies(name: str) -> None:
    of = device(name)
    organisation = of.organisation
    per_pc = of.peak_gb_per_s / (organisation.channels * organisation.pseudo_channels)
    latency = bounds.latencies_ns(of)
    assert (per_pc, of.peak_gb_per_s) == pytest.approx(BOUNDS[name][:2])
    found = tuple(float(latency[key]) for key in ("row hit", "closed row", "row conflict"))
    assert found == pytest.approx(BOUNDS[name][2], abs=0.0051)
    lead_in = latency["closed row, from the ACT's stamp"] - latency["closed row"]
    assert lead_in == of.tck_ps / 1000


@pytest.mark.parametrize("name", BOUNDS)
def test_activation_bounds(name: str) -> None:
    found = [float(bounds.activation_bound(device(name), n)[0]) for n in bounds.PIECE_BURSTS]
    assert found == pytest.approx(BOUNDS[name][3], abs=0.006)


@pytest.mark.parametrize("name", BOUNDS)
def test_bank_bounds(name: str) -> None:
    die = {"HBM3_5200": "16Gb", "HBM3_6400": "16Gb", "HBM4E_14000_projection": "32Gb"}.get(name, "24Gb")
    heights = ("8H", "12H", "16H")[: len(BOUNDS[name][4])]
    found = [float(bounds.bank_bound(device(name, f"{die}_{height}"))) for height in heights]
    assert found == pytest.approx(BOUNDS[name][4], abs=0.006)


@pytest.mark.parametrize(("name", "variant"), REFRESH)
def test_refresh_shares(name: str, variant: str) -> None:
    ticks = device(name, variant).ticks()
    banks = device(name, variant).organisation.banks
    overhead, share, at_once = REFRESH[name, variant]
    assert 100 * ticks["RFCab"] / ticks["REFI"] == pytest.approx(overhead, abs=0.051)
    assert 100 * ticks["RFCpb"] / ticks["REFI"] == pytest.approx(share, abs=0.051)
    assert banks * ticks["RFCpb"] / ticks["REFI"] == pytest.approx(at_once, abs=0.0051)


def test_tfaw_is_what_limits_random_traffic_except_where_trrds_is_longer() -> None:
    rules = {name: bounds.activation_bound(device(name), 1)[1] for name in bounds.presets()}
    assert rules.pop("HBM2E_3200") == "tRRDS"  # 7 CK, a quarter of tFAW is 6.5
    assert set(rules.values()) == {"tFAW"}


def test_a_bound_never_exceeds_the_pins() -> None:
    assert bounds.activation_bound(device("HBM3_6400"), 32) == (1, "pins")
    assert bounds.bank_bound(device("HBM3_5200")) == 1


def test_the_row_bus_of_hbm2e_limits_single_bursts() -> None:
    """ACT takes 2 CK and a precharge one more: a burst of 2 CK every 3 CK."""
    assert bounds.bank_bound(device("HBM2E_3200")) == Fraction(2, 3)
