"""What every run conserves, whatever the traffic and the policies: requests, bytes, time, rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sim_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st

import hbmmodel as hbm
from hbmmodel.commands import Command
from hbmmodel.result.summary import LOST, POWER_STATES
from hbmmodel.sim import simulate
from hbmmodel.trace import Trace

CONTROLLERS = st.builds(
    hbm.Controller,
    scheduler=st.sampled_from(["frfcfs", "frfcfs_cap", "fcfs"]),
    cap=st.sampled_from([1, 2, 16]),
    page_policy=st.sampled_from(["open", "closed", "timeout"]),
    timeout_ns=st.sampled_from([1.0, 50.0, 400.0]),
    refresh=st.sampled_from(["per_bank", "all_bank", "none"]),
    read_queue=st.sampled_from([1, 3, 64]),
    write_queue=st.sampled_from([1, 4, 64]),
)


@st.composite
def systems(draw: Any) -> hbm.System:
    name, variant = draw(st.sampled_from(cases.PRESETS))
    return hbm.System(
        hbm.device(name, variant, channels=2),
        stacks=draw(st.sampled_from([1, 2])),
        controller=draw(CONTROLLERS),
        mapping=draw(st.sampled_from(["row-bank-column-channel", "channel-row-bank-column"])),
        host_latency_ns=draw(st.sampled_from([0.0, 60.0])),
        window_bytes=draw(st.sampled_from([0, 1, 1 << 12, 1 << 20])),
        refresh_multiplier=draw(st.sampled_from([1.0, 0.5, 0.25])),
    )


@st.composite
def traces(draw: Any, system: hbm.System) -> Trace:
    """Streams, strides, hammering and random traffic; with times or without."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 1200))
    bursts = {
        "stream": np.arange(n),
        "stride": np.arange(n) * 4099,
        "hammer": np.arange(n) % 2 * 131072,
        "random": rng.integers(0, system.capacity_bytes // 32, n),
        "few": rng.integers(0, 50, n),
    }[draw(st.sampled_from(["stream", "stride", "hammer", "random", "few"]))]
    gap_ps = draw(st.sampled_from([None, 0, 300, 20_000, 2_000_000]))
    times = None if gap_ps is None else np.cumsum(rng.integers(0, gap_ps + 1, n))
    is_write = rng.random(n) < draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    return Trace.from_requests(bursts * 32 % system.capacity_bytes, is_write, time_ps=times)


@given(st.data(), systems())
@settings(max_examples=200)
def test_requests_bytes_time_and_rows_are_conserved(data: Any, system: hbm.System) -> None:
    trace: Any = data.draw(traces(system))
    (chunk,) = trace.chunks()
    n, n_writes = len(chunk), int(chunk.is_write.sum())
    result = simulate(system, trace, command_log=True, threads=1, epoch_ns=10.0)
    summary, channels, log = result.summary, result.channels, result.command_log

    assert summary["requests_in"] == summary["requests_out"] == n
    assert np.array_equal(channels["requests_in"], channels["requests_out"])
    assert summary["n_wr"] == n_writes
    assert summary["n_rd"] + summary["reads_forwarded"] == n - n_writes == channels["reads_timed"].sum()
    assert summary["bytes_written"] == 32 * n_writes

    lost = np.sum([channels[counter] for counter in LOST.values()], axis=0)
    assert (lost == summary["time_ticks"]).all()
    assert all((channels[counter] >= 0).all() for counter in LOST.values())
    burst_ticks = system.device.ticks()["BL"]
    assert channels["data_ticks"].sum() == burst_ticks * (summary["n_rd"] + summary["n_wr"])
    assert sum(summary[f"lost_share_{cause}"] for cause in LOST) == 1.0

    served = summary["n_rd"] + summary["n_wr"]
    assert summary["row_hits"] + summary["row_misses"] + summary["row_conflicts"] == served
    assert min(summary[f"row_{kind}"] for kind in ("hits", "misses", "conflicts")) >= 0
    # Not the sum: a row closed for one request may be opened for another one of the same row.
    assert summary["row_misses"] <= summary["n_act"]
    assert summary["row_conflicts"] <= summary["n_pre"]

    names = {
        "n_act": "ACT", "n_pre_pb": "PREpb", "n_pre_ab": "PREab", "n_rda": "RDA", "n_wra": "WRA",
        "n_ref_ab": "REFab", "n_ref_pb": "REFpb", "n_rfm_ab": "RFMab", "n_rfm_pb": "RFMpb",
    }  # fmt: skip
    for counter, command in names.items():
        assert summary[counter] == np.count_nonzero(log["command"] == int(Command[command]))
    columns = log[np.isin(log["command"], [int(c) for c in (*cases.READS, *cases.WRITES)])]
    assert len(columns) == served
    last = {c: int(columns["tick"][np.isin(columns["command"], [int(x) for x in c])].max(initial=-(10**9))) for c in
            (cases.READS, cases.WRITES)}  # fmt: skip
    t = system.device.ticks()
    done = max(last[cases.READS] + t["RL"] + t["BL"], last[cases.WRITES] + t["WL"] + t["BL"])
    assert summary["time_ticks"] >= done
    if not summary["reads_forwarded"]:
        assert summary["time_ticks"] == done

    timeline = result.timeline
    assert timeline["bytes_read"].sum() == 32 * summary["n_rd"]
    assert timeline["bytes_written"].sum() == 32 * n_writes
    assert timeline["n_act"].sum() == summary["n_act"]
    assert timeline["n_ref"].sum() == summary["n_ref_ab"] + summary["n_ref_pb"]
    assert len(timeline) <= 512
    assert (timeline["start_ns"] <= summary["time_ns"]).all()
    power = result.power_states.take(result.power_states["kind"] == "power")
    lengths = timeline["end_ns"] - timeline["start_ns"]
    for state in POWER_STATES:
        spent_ns = power["time_ns"][power["state"] == state].mean()  # of a mean pseudo-channel, over stacks
        assert np.dot(timeline[f"share_{state}"], lengths) == pytest.approx(spent_ns, rel=1e-9, abs=1e-6)
    shares = np.sum([timeline[f"share_{state}"] for state in POWER_STATES], axis=0)
    assert shares[lengths > 0] == pytest.approx(1.0, rel=1e-12)

    banks = result.banks
    assert banks["n_act"].sum() == summary["n_act"]
    assert (banks["n_rd"].sum(), banks["n_wr"].sum()) == (summary["n_rd"], n_writes)
    assert banks["energy_pj"].sum() == pytest.approx(summary["energy_pj"], rel=1e-9)

    latencies = [summary[f"read_latency_ns_{key}"] for key in ("p50", "p99", "p999", "max")]
    if n > n_writes:
        assert latencies == sorted(latencies)
        assert 0 <= summary["read_latency_ns_mean"] <= latencies[-1]
    else:
        assert latencies == [None] * 4

    assert hbm.check(system, log) == []


@given(st.data(), systems())
@settings(max_examples=60)
def test_no_run_moves_data_faster_than_the_pins(data: Any, system: hbm.System) -> None:
    summary = simulate(system, data.draw(traces(system)), threads=1).summary
    assert summary["fraction_of_peak"] <= 1.0
    assert summary["bytes_read"] == 32 * (summary["n_rd"] + summary["reads_forwarded"])


@given(st.data(), systems(), st.booleans())
@settings(max_examples=60)
def test_command_log_changes_no_result(data: Any, system: hbm.System, operations: bool) -> None:
    trace: Any = data.draw(traces(system))
    if operations:
        (chunk,) = trace.chunks()
        trace = cases.trace_of(
            *(
                [cases.writes(int(a), 100) if w else cases.reads(int(a), 100)]
                for a, w in zip(chunk.address[:100], chunk.is_write[:100], strict=True)
            )
        )
    plain = simulate(system, trace, wrap=True, threads=1)
    logged = simulate(system, trace, wrap=True, threads=1, command_log=True)
    assert plain.command_log is None
    assert plain.summary == logged.summary
    assert np.array_equal(plain.histogram.counts, logged.histogram.counts)
    for name in plain.channels.names:
        assert np.array_equal(plain.channels[name], logged.channels[name]), name
