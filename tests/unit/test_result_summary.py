"""The summary: stable keys, exact sums, and numbers that follow from the counters by arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbmmodel.device import device
from hbmmodel.errors import HbmInternalError
from hbmmodel.result import COUNTERS, KEYS, LOST, Result
from hbmmodel.result.summary import exact_shares
from hbmmodel.system import System

FACE = """time_ns bytes_read bytes_written bandwidth_gb_per_s fraction_of_peak read_latency_ns_mean
read_latency_ns_p50 read_latency_ns_p99 read_latency_ns_p999 read_latency_ns_max row_hits row_misses
row_conflicts n_act n_pre n_rd n_wr n_ref_ab n_ref_pb energy_pj energy_pj_per_bit power_w_mean
temperature_c_max requests_in requests_out"""

Make = Callable[..., Any]


def test_the_keys_are_the_same_for_one_channel_and_for_512(
    one_channel: System, eight_stacks: System, make_result: Make
) -> None:
    one, many = make_result(one_channel), make_result(eight_stacks)
    assert list(one.summary) == list(many.summary) == list(KEYS)
    assert set(FACE.split()) <= set(KEYS)
    for name in ("channels", "operations", "timeline"):
        assert getattr(one, name).names == getattr(many, name).names
    assert (len(one.channels), len(many.channels)) == (2, 512)


def test_all_values_are_plain_python_numbers(eight_stacks: System, make_result: Make) -> None:
    summary = make_result(eight_stacks).summary
    assert {type(value) for value in summary.values()} <= {int, float, type(None)}
    for key in ("energy_pj", "energy_pj_per_bit", "power_w_mean", "temperature_c_max"):
        assert summary[key] is None


@given(st.lists(st.integers(0, 2**50), min_size=1, max_size=12).filter(any), st.randoms())
def test_shares_sum_to_one_exactly_in_any_order(parts: list[int], random: Any) -> None:
    shares = exact_shares(parts)
    random.shuffle(order := list(shares))
    assert sum(shares) == 1.0 == sum(order)
    for part, share in zip(parts, shares, strict=True):
        assert 0.0 <= share <= 1.0
        assert abs(share - part / sum(parts)) <= 2**-51
        assert part or share == 0.0


def test_the_lost_shares_of_a_result_sum_to_one_and_match_their_ticks(
    eight_stacks: System, make_result: Make
) -> None:
    s = make_result(eight_stacks).summary
    assert sum(s[f"lost_share_{cause}"] for cause in LOST) == 1.0
    ticks = [s[f"lost_ticks_{cause}"] for cause in LOST]
    assert sum(ticks) == s["time_ticks"] * 512
    assert s["lost_share_refresh"] == pytest.approx(s["lost_ticks_refresh"] / sum(ticks), abs=1e-15)


def test_totals_and_rates_follow_from_the_counters(one_channel: System, make_raw: Make) -> None:
    raw = make_raw(one_channel, seed=3)
    result = Result.from_raw(one_channel, {}, raw, {})
    s, c = result.summary, raw["counters"]
    tick_ns = 0.25
    assert s["time_ns"] == raw["end_tick"] * tick_ns
    for name in ("bytes_read", "bytes_written", "row_hits", "n_act", "n_ref_ab", "requests_in"):
        assert s[name] == c[name].sum()
    assert s["n_pre"] == c["n_pre_pb"].sum() + c["n_pre_ab"].sum()
    assert s["n_rd"] == c["n_rd"].sum() + c["n_rda"].sum()
    assert s["n_wr"] == c["n_wr"].sum() + c["n_wra"].sum()
    moved = s["bytes_read"] + s["bytes_written"] - 32 * s["reads_forwarded"]  # over the data buses
    assert s["bandwidth_gb_per_s"] == pytest.approx(moved / s["time_ns"])
    assert s["peak_gb_per_s"] == one_channel.peak_gb_per_s == 64.0
    assert s["fraction_of_peak"] == pytest.approx(moved / s["time_ns"] / 64.0)
    assert s["read_latency_ns_mean"] == pytest.approx(
        c["read_latency_ticks_sum"].sum() / c["reads_timed"].sum() * tick_ns
    )
    assert s["read_latency_ns_max"] == c["read_latency_ticks_max"].max() * tick_ns
    assert s["load_to_use_ns_mean"] == s["read_latency_ns_mean"] + 60.0
    p50, p99, p999, top = (s[f"read_latency_ns_{k}"] for k in ("p50", "p99", "p999", "max"))
    assert p50 <= p99 <= p999 <= top
    assert s["row_hit_rate"] == c["row_hits"].sum() / sum(
        c[f"row_{k}"].sum() for k in ("hits", "misses", "conflicts")
    )
    assert (s["padding_bytes"], s["random_gathers"], s["l2_hits"], s["l2_hit_rate"]) == (
        None,
        None,
        None,
        None,
    )


def test_a_run_without_reads_has_no_latency(one_channel: System, make_result: Make) -> None:
    s = make_result(one_channel, reads=False).summary
    for key in KEYS:
        if key.startswith("read_latency") or key == "load_to_use_ns_mean":
            assert s[key] is None
    assert s["bandwidth_gb_per_s"] > 0


def test_a_run_without_requests_is_a_result_too(one_channel: System, make_raw: Make) -> None:
    raw = make_raw(one_channel, reads=False)
    raw.update(
        end_tick=0, operations=None, epochs=None, counters={name: np.zeros(2, np.int64) for name in COUNTERS}
    )
    result = Result.from_raw(one_channel, {}, raw, {})
    s = result.summary
    assert (s["time_ns"], s["bandwidth_gb_per_s"], s["fraction_of_peak"]) == (0.0, 0.0, 0.0)
    assert s["lost_share_data"] is None and s["row_hit_rate"] is None and s["read_fraction"] is None
    assert (len(result.operations), len(result.timeline)) == (0, 0)
    assert "0 ns" in repr(result)


def test_an_on_chip_filter_enters_the_summary(one_channel: System, make_raw: Make) -> None:
    raw = make_raw(one_channel)
    raw["l2"] = {"hits": 30, "misses": 10, "writebacks": 4}
    s = Result.from_raw(one_channel, {}, raw, {}).summary
    assert (s["l2_hits"], s["l2_misses"], s["l2_writebacks"], s["l2_hit_rate"]) == (30, 10, 4, 0.75)


def test_rows_of_the_channel_table_are_numbered_stack_by_stack(make_result: Make) -> None:
    system = System(device("HBM4_8000", channels=3), stacks=2)
    c = make_result(system).channels
    place = list(zip(c["stack"].tolist(), c["channel"].tolist(), c["pseudo_channel"].tolist(), strict=True))
    assert place == [(s, ch, pc) for s in range(2) for ch in range(3) for pc in range(2)]
    assert c["fraction_of_peak"] == pytest.approx(
        (c["bytes_read"] + c["bytes_written"] - 32 * c["reads_forwarded"]) / (100_003 * 0.25) / (2048 / 64)
    )


def test_operations_and_epochs_carry_their_times(one_channel: System, make_result: Make) -> None:
    result = make_result(one_channel)
    assert result.operations["duration_ns"].tolist() == [125.0, 14875.0, 0.0]
    assert result.operations["bandwidth_gb_per_s"][1] == pytest.approx(3520 / 14875)
    assert result.operations["bandwidth_gb_per_s"][2] == 0.0
    assert result.timeline["end_ns"].tolist() == [10000.0, 20000.0, 100_003 * 0.25]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda raw: raw["counters"]["lost_refresh"].__iadd__(1),
            "account of the data bus of stack 0 channel 0",
        ),
        (
            lambda raw: raw["counters"]["ticks_self_refresh"].__iadd__(1),
            "time in all power states of stack 0 channel 0",
        ),
        (
            lambda raw: raw["counters"]["requests_out"].__setitem__(1, 0),
            "requests completed .* pseudo-channel 1 is 0",
        ),
        (lambda raw: raw["histogram"].__setitem__(0, 5), "histogram holds"),
        (lambda raw: raw["counters"].pop("n_act"), "no counter n_act"),
        (lambda raw: raw["counters"].update(n_act=np.zeros(3)), r"shape \(3,\)"),
        (lambda raw: raw.update(tick_ps=1), "ticks of 1 ps"),
    ],
)
def test_a_broken_conservation_law_is_an_internal_fault(
    one_channel: System, make_raw: Make, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    raw = make_raw(one_channel)
    change(raw)
    with pytest.raises(HbmInternalError, match=message):
        Result.from_raw(one_channel, {}, raw, {})
