"""What a user may change of a preset, what follows from it, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hbmmodel.device import device, devices
from hbmmodel.errors import HbmDeviceError


def refused(name: str = "HBM4_8000", variant: str | None = None, **overrides: Any) -> str:
    with pytest.raises(HbmDeviceError) as caught:
        device(name, variant, **overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_time_in_ns_is_rounded_up_and_marked() -> None:
    value = device("HBM3_6400", tRCDRD_ns=14).timing["tRCDRD"]
    assert (value.ns, value.ck, value.confidence, value.source) == (14, 23, "user", ())
    assert device("HBM3_6400").timing["tRCDRD"].confidence == "paper"


def test_a_time_in_clocks_is_taken_as_it_is() -> None:
    value = device("HBM4_8000", tCCDL_ck=5).timing["tCCDL"]
    assert (value.ns, value.ck, value.unit, value.confidence) == (Fraction(5, 2), 5, "nCK", "user")


@pytest.mark.parametrize("number", [16.4, Decimal("16.4"), Fraction(82, 5), np.float64(16.4)])
def test_a_float_means_the_decimal_that_it_prints_as(number: Any) -> None:
    one = device("HBM4_10000", RL_ns=number)
    assert (one.timing["RL"].ns, one.timing["RL"].ck) == (Fraction(82, 5), 41)


@pytest.mark.parametrize("number", [14, np.int64(14), np.float32(14)])
def test_integers_of_any_kind(number: Any) -> None:
    assert device("HBM4_8000", tRCDRD_ns=number).timing["tRCDRD"].ck == 28


def test_half_clocks_only_where_the_standard_has_them() -> None:
    assert device("HBM3_6400", tRTP_ck=8.5).ticks()["RTP"] == 17
    assert "tRCDRD_ck = 8.5 is off the clock grid" in refused("HBM3_6400", tRCDRD_ck=8.5)
    assert "off the clock grid" in refused("HBM3_6400", tRTP_ck=8.25)
    assert "off the clock grid" in refused("HBM2E_3200", tRTP_ck=8.5)


def test_row_cycle_follows_its_parts() -> None:
    one = device("HBM3_6400", tRAS_ns=27, tRP_ns=14)
    assert (
        one.timing["tRC"].ck
        == one.timing["tRAS"].ck + one.timing["tRP"].ck
        == Fraction(87, 2) + Fraction(45, 2)
    )
    assert one.timing["tRC"].confidence == "user"
    assert one.timing["tRC"].note == "follows tRAS, tRP"
    assert device("X_RAMULATOR21_HBM3_6400", tRAS_ck=50).timing["tRC"].ck == 76
    assert device("X_RAMULATOR21_HBM3_6400").timing["tRC"].ck == 72


def test_refresh_times_that_keep_every_row_alive_are_taken() -> None:
    assert device("HBM4_8000", tREFIpb_ns=81.25).timing["tREFIpb"].ck == 162
    assert device("HBM4_8000", tREFIpb_ck=100).timing["tREFIpb"].confidence == "user"
    assert device("HBM4_8000", tREFI_ns=1950, tRASmax_ns=17550).timing["tRASmax"].ns == 17550


def test_an_explicit_row_cycle_must_be_the_sum() -> None:
    assert device("HBM3_6400", tRC_ns=45).timing["tRC"].ns == 45
    assert device("HBM3_6400", tRC_ck=72.5).timing["tRC"].ck == Fraction(145, 2)
    assert device("HBM3_6400", tRC_ns=43, tRAS_ns=29, tRP_ns=14).timing["tRC"].confidence == "user"
    assert "tRC_ns = 44 is not tRAS + tRP = 29 + 16 ns" in refused("HBM3_6400", tRC_ns=44)
    assert "tRC_ck = 73 is not tRAS + tRP = 46.5 + 26 CK" in refused("HBM3_6400", tRC_ck=73)


def test_derived_times_follow_unless_given() -> None:
    base, one = device("HBM4_8000"), device("HBM4_8000", RL_ns=12.5)
    assert base.timing["tRTW"].ck - one.timing["tRTW"].ck == 7
    assert one.timing["tRTW"].confidence == "user"
    assert device("HBM4_8000", RL_ns=12.5, tRTW_ck=27).timing["tRTW"].ck == 27
    assert device("HBM4_8000", tWDQS2DQ_spread_ns=1.6).timing["tRTW"].ck == 25
    half = device("HBM4_8000", tREFI_ns=1950)
    assert half.timing["tREFIpb"].ns == Fraction(1950, 48)
    assert half.timing["tREFIpb"].ck == 81
    refresh = device("HBM4_8000", tRFCab_ns=500).timing
    assert (refresh["tRFMab"].ns, refresh["tXS"].ns) == (500, 510)
    assert device("HBM4_8000", tRFCab_ns=500, tRFMab_ns=450).timing["tRFMab"].ns == 450


def test_strict_column_rule_of_hbm4() -> None:
    for name, loose, strict in (("HBM4_6400", 4, 4), ("HBM4_8000", 4, 5), ("HBM4_10700", 4, 7)):
        assert device(name).timing["tCCDL"].ck == loose
        one = device(name, strict_tccdl=True)
        assert (one.timing["tCCDL"].ck, one.timing["tCCDL"].name) == (strict, "tCCDL")
        assert (one.timing["tCCDL"].confidence, one.ticks()["CCDL"]) == ("spec", 2 * strict)
    assert device("HBM4_8000", strict_tccdl=False).ticks() == device("HBM4_8000").ticks()
    assert "strict_tccdl applies to HBM4" in refused("HBM3_6400", strict_tccdl=True)
    assert "both given" in refused(strict_tccdl=True, tCCDL_ck=6)
    assert "strict_tccdl = 1 is not True or False" in refused(strict_tccdl=1)


def test_refresh_management_is_off_by_default_and_estimated_on_request() -> None:
    def counts(**overrides: Any) -> tuple[int, ...]:
        ticks = device("HBM4_8000", **overrides).ticks()
        return tuple(ticks[name] for name in ("RAAIMT", "RAAMMT", "RAADEC"))

    assert counts() == counts(rfm=False) == (0, 0, 0)
    assert counts(rfm=True) == (64, 384, 64)
    assert counts(RAAIMT=32) == (32, 192, 32)
    assert counts(rfm=True, RAAIMT=32, RAAMMT=96, RAADEC=16) == (32, 96, 16)
    assert device("HBM4_8000", rfm=True).rfm.confidence == "estimate"
    assert device("HBM4_8000", RAADEC=8).rfm.confidence == "user"
    assert "defines no refresh management" in refused("HBM2E_3200", rfm=True)
    assert "RAAMMT = 10 is below RAAIMT = 64" in refused(RAAMMT=10)
    assert "rfm=False" in refused(RAAIMT=0)
    assert "RAAIMT given with rfm=False" in refused(rfm=False, RAAIMT=3)
    assert "RAAIMT = 6.5 is not an integer" in refused(RAAIMT=6.5)


def test_organisation_of_the_stack() -> None:
    one = device("HBM4_8000", channels=1, rows=1000, sids=1).organisation
    assert (one.channels, one.rows, one.sids, one.banks, one.dq_per_stack) == (1, 1000, 1, 16, 64)
    assert one.capacity_bytes == 2 * 16 * 1000 * 1024
    assert one.confidence == "user"
    assert device("HBM4_8000", channels=1).peak_gb_per_s == 64
    # per-bank refresh shares the interval among the banks that there are
    assert device("HBM4_8000", sids=1).timing["tREFIpb"].ns == Fraction(3900, 16)
    assert "rows = 0 is below 1" in refused(rows=0)
    assert "rows = 2000000 is outside 1..1048576" in refused(rows=2_000_000)
    assert "rows = True is not an integer" in refused(rows=True)
    assert "channels = '4' is not an integer" in refused(channels="4")
    assert "sids = 5 is outside 1..4" in refused(sids=5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"tRCDRD_ns": float("nan")}, "tRCDRD_ns = nan is not finite"),
        ({"tRCDRD_ns": float("inf")}, "tRCDRD_ns = inf is not finite"),
        ({"tRCDRD_ns": -1}, "tRCDRD_ns = -1 is negative"),
        ({"tRCDRD_ns": "14"}, "tRCDRD_ns = '14' is not a number"),
        ({"tRCDRD_ns": None}, "tRCDRD_ns = None is not a number"),
        ({"tRCDRD_ns": True}, "tRCDRD_ns = True is not a number"),
        ({"tRCDRD_ns": 14 + 0j}, "is not a number"),
        ({"tRCDRD_ns": np.array([14.0, 15.0])}, "is not a number"),
        ({"tRCDRD_ns": 14, "tRCDRD_ck": 20}, "given as tRCDRD_ns and as tRCDRD_ck"),
        ({"tRCDRD_ns": 1e9}, "tRCDRD = 4000000000 half CK is outside 1..65536"),
        ({"tRCDRD_ck": 0}, "tRCDRD = 0 half CK is outside 1..65536"),
        ({"tRCDRD": 14}, "write tRCDRD_ns=... or tRCDRD_ck=..."),
        ({"tRCDRDns": 14}, "did you mean 'tRCDRD_ns'?"),
        ({"trcdrd_ns": 14}, "did you mean 'tRCDRD_ns'?"),
        ({"row": 14}, "did you mean 'rows'?"),
        ({"nBL_ck": 4}, "nBL_ck cannot be overridden"),
        ({"tCK_ns": 0.5}, "tCK_ns cannot be overridden"),
        ({"tCCDL_ck": 2, "tCCDS_ck": 3}, "tCCDL = 2 CK is shorter than tCCDS = 3 CK"),
        ({"tCCDR_ck": 3, "tCCDS_ck": 4}, "tCCDR = 3 CK is shorter than tCCDS = 4 CK"),
        ({"tCCDS_ck": 1}, "tCCDS = 1 CK is shorter than nBL = 2 CK"),
        ({"tRRDL_ns": 2}, "tRRDL = 4 CK is shorter than tRRDS = 5 CK"),
        ({"tWTRL_ns": 4}, "tWTRL = 8 CK is shorter than tWTRS = 9 CK"),
        ({"tRFCpb_ns": 500}, "tRFCab = 900 CK is shorter than tRFCpb = 1000 CK"),
        ({"tREFI_ns": 450}, "tREFI = 900 CK is not longer than tRFCab = 900 CK"),
        ({"tRP_ck": 0.5}, "tRP = 0.5 CK is shorter than the ACT command itself"),
        ({"tRFCpb_ns": 10}, "tRFCpb = 20 CK is shorter than tRP = 32 CK"),
        ({"tREFIpb_ns": 82}, "tREFIpb = 82 ns is longer than tREFI / banks = 81.25 ns: a bank would be refreshed too"),
        ({"tREFIpb_ck": 163}, "tREFIpb = 81.5 ns is longer than tREFI / banks = 81.25 ns"),
        ({"tREFIpb_ns": 60, "tREFI_ns": 1950}, "tREFIpb = 60 ns is longer than tREFI / banks = 40.625 ns"),
        ({"tRASmax_ns": 35099}, "tRASmax = 35099 ns is shorter than 9 * tREFI = 35100 ns"),
    ],
)
def test_refused_overrides(overrides: dict[str, Any], message: str) -> None:
    text = refused(**overrides)
    assert message in text
    assert text.startswith("device HBM4_8000 24Gb_12H: ")


def test_unknown_device_names_the_nearest_and_all() -> None:
    message = refused("hbm4_800")
    assert "unknown device 'hbm4_800'; did you mean 'HBM4_8000'?" in message
    for name in devices():
        assert name in message
    assert "is not a string" in refused(name=None)  # type: ignore[arg-type]


def test_unknown_variant_lists_the_choices() -> None:
    message = refused("HBM3_6400", "24Gb_12H")
    assert message == "device HBM3_6400 has no variant '24Gb_12H'; variants: 16Gb_8H, 16Gb_12H, 16Gb_16H"
    assert "no variant 7" in refused("HBM3_6400", 7)  # type: ignore[arg-type]


def test_overrides_are_recorded_and_their_order_does_not_matter() -> None:
    one = device("HBM4_8000", RL_ns=14, tRP_ns=15)
    assert one.overrides == ("RL_ns=14", "tRP_ns=15")
    assert one == device("HBM4_8000", tRP_ns=15, RL_ns=14)


def test_the_message_about_the_turn_of_the_bus_names_what_is_longest() -> None:
    with pytest.raises(HbmDeviceError, match="shorter than nBL = 2 CK"):
        device("HBM4_8000", RL_ns=1)
