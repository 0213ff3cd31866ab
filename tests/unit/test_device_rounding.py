"""Property: whatever the numbers, clocks never undercut a minimum nor exceed a maximum, and are tight."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from hbmmodel.device import device, devices
from hbmmodel.device.derive import tck_ps, to_ck
from hbmmodel.device.model import MAXIMA
from hbmmodel.device.ticks import SYMBOLS

NS = st.decimals(min_value="0.5", max_value="30", places=4)
SAFE = ("RL", "WL", "tRCDRD", "tRCDWR", "tWR", "tRTP", "tFAW", "tRREFD", "tPPD", "tXP", "tRAS")
"""Times that may take any value of `NS` without contradicting another one."""


@given(
    name=st.sampled_from(devices()),
    times=st.dictionaries(st.sampled_from(SAFE), NS, min_size=1),
    refresh_interval_ns=st.decimals(min_value="1500", max_value="8000", places=3),
)
def test_ticks_keep_every_requirement(name: str, times: dict[str, object], refresh_interval_ns: object) -> None:
    overrides = {f"{symbol}_ns": ns for symbol, ns in times.items()}
    # Any RL and WL fit a turn-around this long.
    one = device(name, tREFI_ns=refresh_interval_ns, tRTW_ns=100, **overrides)
    ticks = one.ticks()
    for field, symbol in SYMBOLS.items():
        ns = one.timing[symbol].ns
        assert ns is not None
        applied_ns = ticks[field] * one.tick_ps / 1000
        if symbol in MAXIMA:
            assert applied_ns <= ns < applied_ns + 2 * one.tick_ps / 1000, symbol
        elif symbol in times:
            assert applied_ns - 2 * one.tick_ps / 1000 < ns <= applied_ns, symbol
        else:
            assert ns <= applied_ns, symbol
    for symbol in times:
        assert one.timing[symbol].confidence == "user"
    assert one.timing["tRC"].ck >= one.timing["tRAS"].ck + one.timing["tRP"].ck


@given(
    ns=st.fractions(min_value=0, max_value=100_000, max_denominator=10**6),
    rate=st.integers(min_value=800, max_value=20_000),
    half=st.booleans(),
    down=st.booleans(),
)
def test_rounding_is_the_tightest_on_its_grid(ns: Fraction, rate: int, half: bool, down: bool) -> None:
    tck = tck_ps(rate, 4)
    step = Fraction(1, 2) if half else Fraction(1)
    ck = to_ck(ns, tck, half=half, down=down)
    assert (ck / step).denominator == 1
    exact = ns * 1000 / tck
    if down:
        assert ck <= exact < ck + step
    else:
        assert ck - step < exact <= ck


@given(ck=st.integers(min_value=10, max_value=500), name=st.sampled_from(devices()))
def test_a_time_given_in_clocks_is_that_many_clocks_whatever_the_rate(ck: int, name: str) -> None:
    one = device(name, tRCDRD_ck=ck)
    assert one.ticks()["RCDRD"] == 2 * ck
    assert one.timing["tRCDRD"].ns == ck * one.tck_ps / 1000
    again = device(name, tRCDRD_ns=one.timing["tRCDRD"].ns)
    assert again.ticks() == one.ticks()
