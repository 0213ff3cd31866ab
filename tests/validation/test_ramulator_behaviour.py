"""The policy set on small streams made by hand: what no recorded run shows, and the address maps."""

from dataclasses import replace

import numpy as np
import pytest

from hbmmodel.check import check
from hbmmodel.commands import Command
from hbmmodel.device import device
from hbmmodel.errors import HbmPolicyError, HbmTraceError
from hbmmodel.validate.ramulator_core import RELAXED, core_device, run, to_command_log
from hbmmodel.validate.ramulator_inputs import DEVICES, REFRESHES, SCHEDULERS, Requests, decode

ROW = 1 << 16  # bytes from row to row of a bank in RoBaRaCoCh of these devices


def stream(*requests):
    """Requests (address, is_write, tick)."""
    address, is_write, tick = zip(*requests, strict=True) if requests else ((), (), ())
    return Requests(np.array(address, np.uint64), np.array(is_write, np.uint8), np.array(tick, np.int64))


def outcome_of(requests, name="HBM4_8000", scheduler="FRFCFS", refresh="none"):
    ticks = device(f"X_RAMULATOR21_{name}").ticks()
    places = decode("RoBaRaCoCh", requests.address, ticks)
    return run(
        core_device(ticks),
        requests,
        places,
        scheduler=scheduler,
        refresh=refresh,
        relaxed=RELAXED[DEVICES[name][0]],
        log=True,
    )


def names(outcome):
    return [Command(code).name for code in outcome.commands["command"]]


def test_no_requests_take_no_time():
    outcome = outcome_of(stream())
    assert outcome.counters["cycles"] == 0
    assert outcome.counters["n_commands"] == 0


def test_a_read_of_a_closed_bank_takes_act_rd_and_the_read_latency():
    ticks = device("X_RAMULATOR21_HBM4_8000").ticks()
    outcome = outcome_of(stream((0, 0, 10)))
    assert names(outcome) == ["ACT", "RD"]
    assert outcome.commands["tick"].tolist() == [10, 10 + 2 + ticks["RCDRD"]]
    assert outcome.accept.tolist() == [10]
    assert outcome.done.tolist() == [outcome.commands["tick"][1] + ticks["RL"] + ticks["BL"]]
    assert outcome.counters["cycles"] == outcome.done[0] + 1


def test_a_read_of_a_buffered_write_is_forwarded():
    """The older read of another row keeps the write buffered: it is in no hurry while reads wait."""
    reads = [(ROW * 5 * i, 0, 0) for i in range(8)]
    outcome = outcome_of(stream(*reads, (32, 1, 8), (32, 0, 9)))
    assert outcome.counters["num_read_reqs_forwarded"] == 1
    assert outcome.counters["num_read_reqs"] == 9
    assert outcome.counters["num_read_reqs_served"] == 8
    assert outcome.done[9] == outcome.accept[9] == 9
    assert (outcome.commands["request"] != 9).all()


def test_a_forwarded_read_is_handed_back_after_reads_whose_data_is_on_the_way():
    ticks = device("X_RAMULATOR21_HBM4_8000").ticks()
    first_rd = 2 + ticks["RCDRD"]
    busy = [(ROW * 5 * (1 + i), 0, first_rd - 20) for i in range(4)]
    outcome = outcome_of(stream((0, 0, 0), *busy, (32, 1, first_rd - 2), (32, 0, first_rd + 4)))
    assert outcome.counters["num_read_reqs_forwarded"] == 1
    assert outcome.accept[6] == first_rd + 4
    assert outcome.done[6] == outcome.done[0] == first_rd + ticks["RL"] + ticks["BL"]


def test_a_write_to_a_buffered_write_is_absorbed():
    reads = [(ROW * 5 * i, 0, 0) for i in range(8)]
    outcome = outcome_of(stream(*reads, (32, 1, 8), (32, 1, 9)))
    assert outcome.counters["num_write_reqs_coalesced"] == 1
    assert outcome.counters["num_write_reqs"] == 2
    assert outcome.counters["num_write_reqs_served"] == 1
    assert outcome.done[9] == outcome.accept[9] == 9


def test_a_full_buffer_blocks_everything_behind_it():
    """33 reads of one bank: one becomes active and makes room; the write behind them waits."""
    reads = [(ROW * i, 0, 0) for i in range(34)]
    outcome = outcome_of(stream(*reads, (64, 1, 0)))
    first, second = outcome.commands["tick"][outcome.commands["command"] == Command.ACT][:2]
    assert first == 0
    assert outcome.accept[32:].tolist() == [32, second + 1, second + 2]


def test_hits_misses_and_conflicts_are_counted_by_the_first_command():
    outcome = outcome_of(stream((0, 0, 0), (32, 0, 1), (ROW, 0, 2)))
    counters = outcome.counters
    assert (counters["row_hits"], counters["row_misses"], counters["row_conflicts"]) == (1, 1, 1)


def test_row_hit_scheduler_holds_a_precharge_back_for_an_older_hit():
    """Two hits wait for the write-to-read turnaround, while a younger conflict could precharge at once."""
    group = 1 << 12
    requests = stream((0, 0, 0), (group, 1, 200), (32, 0, 242), (64, 0, 242), (ROW, 0, 242))
    plain, held = (outcome_of(requests, scheduler=name) for name in ("FRFCFS", "FRFCFSRowHit"))
    assert names(plain)[2:6] == ["ACT", "WR", "PREpb", "ACT"]
    assert plain.counters["row_hits"] == 1
    assert names(held)[2:] == ["ACT", "WR", "RD", "RD", "PREpb", "ACT", "RD"]
    assert held.counters["row_hits"] == 2


def test_all_bank_refresh_precharges_first_and_visits_both_pseudo_channels():
    ticks = device("X_RAMULATOR21_HBM4_8000").ticks()
    outcome = outcome_of(stream((0, 0, 0), (64, 0, 2 * ticks["REFI"] - 2000)), refresh="ab")
    refreshes = outcome.commands[outcome.commands["request"] < 0]
    assert [Command(code).name for code in refreshes["command"]] == ["PREab", "REFab", "REFab"]
    assert refreshes["pc"].tolist() == [0, 0, 1]
    assert refreshes["tick"][0] == ticks["REFI"] - 1
    assert outcome.counters["num_maintenance_reqs"] == 2


def test_per_bank_refresh_order():
    ticks = device("X_RAMULATOR21_HBM3_6400").ticks()
    n = 40
    outcome = outcome_of(stream((0, 0, n * ticks["REFIpb"])), "HBM3_6400", refresh="pb")
    refreshes = outcome.commands[outcome.commands["command"] == Command.REFpb]
    banks = refreshes["bank"][refreshes["pc"] == 0]
    assert banks.tolist() == [i % 32 for i in range(n)]
    due = np.arange(1, n + 1) * ticks["REFIpb"] - 1
    assert (refreshes["tick"][refreshes["pc"] == 0] == due + due % 2).all()
    assert outcome.counters["num_maintenance_reqs"] == 2 * n


def test_a_set_of_banks_waits_after_it_was_full():
    """With one SID and a short interval the second set begins tRFCpb after the first was full."""
    base = device("X_RAMULATOR21_HBM3_6400").ticks()
    ticks = {**base, "sids": 1, "REFIpb": 300}
    requests = stream((0, 0, 300 * 20))
    outcome = run(
        core_device(ticks),
        requests,
        decode("RoBaRaCoCh", requests.address, ticks),
        scheduler="FRFCFS",
        refresh="pb",
        log=True,
    )
    refreshes = outcome.commands[
        (outcome.commands["command"] == Command.REFpb) & (outcome.commands["pc"] == 1)
    ]
    steps = np.diff(refreshes["tick"])
    assert refreshes["bank"].tolist()[:17] == [*range(16), 0]
    assert steps[:15].tolist() == [300] * 15
    assert steps[15] == base["RFCpb"]


def test_unknown_relaxation_is_refused():
    requests = stream((0, 0, 0))
    ticks = device("X_RAMULATOR21_HBM4_8000").ticks()
    places = decode("RoBaRaCoCh", requests.address, ticks)
    with pytest.raises(HbmPolicyError, match="relaxation 'tfaw' is unknown"):
        run(core_device(ticks), requests, places, scheduler="FRFCFS", refresh="pb", relaxed=("tfaw",))


@pytest.mark.parametrize("field", ["pseudo_channel", "bank", "row"])
@pytest.mark.parametrize("value", [-1, 64])
def test_a_place_outside_the_channel_is_refused_by_the_core(field, value):
    if field == "row" and value > 0:
        value = -(2**31)  # any other row is one: that simulator does not bound them
    requests = stream((0, 0, 0))
    ticks = device("X_RAMULATOR21_HBM4_8000").ticks()
    places = replace(decode("RoBaRaCoCh", requests.address, ticks), **{field: np.array([value], np.int32)})
    with pytest.raises(HbmTraceError, match="run of 1 requests: a trace record is malformed"):
        run(core_device(ticks), requests, places, scheduler="FRFCFS", refresh="none")


def random_stream(rng, n, spread):
    """Reads and writes to few addresses, with gaps: forwarding, absorbing, full and empty buffers."""
    address = rng.integers(0, spread, n) * 32
    tick = np.cumsum(rng.integers(0, 30, n) * (rng.random(n) < 0.3))
    return Requests(address.astype(np.uint64), (rng.random(n) < 0.5).astype(np.uint8), tick)


@pytest.mark.parametrize("refresh", REFRESHES)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("seed", range(4))
def test_any_stream_is_served_legally_and_alike_with_and_without_skipping(seed, scheduler, refresh):
    rng = np.random.default_rng(seed)
    requests = random_stream(rng, 3000, (40, 3000, 200_000, 1 << 24)[seed])
    name, mapping = (list(DEVICES)[seed % 3], ("RoBaRaCoCh", "MOP4CLXOR")[seed % 2])
    ticks = device(f"X_RAMULATOR21_{name}").ticks()
    places = decode(mapping, requests.address, ticks)
    options = {"scheduler": scheduler, "refresh": refresh, "log": True}
    quick, slow = (run(core_device(ticks), requests, places, skip=skip, **options) for skip in (True, False))
    assert quick.counters == slow.counters
    assert np.array_equal(quick.commands, slow.commands)
    assert np.array_equal(quick.done, slow.done)
    counters = quick.counters
    writes = int(requests.is_write.sum())
    assert counters["num_read_reqs_served"] + counters["num_read_reqs_forwarded"] == 3000 - writes
    assert counters["num_write_reqs_served"] + counters["num_write_reqs_coalesced"] == writes
    if seed == 0:
        assert counters["num_read_reqs_forwarded"] > 0
        assert counters["num_write_reqs_coalesced"] > 0
    assert (quick.done >= quick.accept).all()
    assert (quick.accept >= requests.tick).all()
    assert (np.diff(quick.accept) > 0).all()
    assert check(device(f"X_RAMULATOR21_{name}"), to_command_log(quick, places, ticks)) == []


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("mapping", ["RoBaRaCoCh", "MOP4CLXOR"])
def test_address_maps_give_every_burst_a_place_of_its_own(name, mapping):
    ticks = device(f"X_RAMULATOR21_{name}").ticks()
    address = np.arange(0, 1 << 20, 32, dtype=np.uint64)
    places = decode(mapping, address, ticks)
    stacked = np.stack([places.pseudo_channel, places.bank, places.row, places.column])
    assert np.unique(stacked, axis=1).shape[1] == address.size
    assert stacked.min() == 0
    assert stacked.max(axis=1).tolist() == [1, 31, (1 << 20) // 65536 - 1, 31]


def test_mop_map_by_hand():
    """HBM3: row 3, upper column 0b101, bank 2, group 1, SID 1, pc 0, low column 0b10; then the XOR."""
    ticks = device("X_RAMULATOR21_HBM3_6400").ticks()
    address = np.array([((((((3 << 3 | 5) << 2 | 2) << 2 | 1) << 1 | 1) << 1 | 0) << 2 | 2) << 5], np.uint64)
    places = decode("MOP4CLXOR", address, ticks)
    column = 5 << 2 | 2
    pc, sid, group, bank = 0 ^ column & 1, 1 ^ column >> 1 & 1, 1 ^ column >> 2 & 3, 2 ^ column >> 4 & 3
    assert places.column.tolist() == [column]
    assert places.row.tolist() == [3]
    assert places.pseudo_channel.tolist() == [pc]
    assert places.bank.tolist() == [(sid * 4 + group) * 4 + bank]


def test_map_over_a_size_that_is_no_power_of_two_is_refused():
    ticks = {**device("X_RAMULATOR21_HBM3_6400").ticks(), "sids": 3}
    with pytest.raises(HbmTraceError, match="sids = 3 is not a power of two"):
        decode("RoBaRaCoCh", np.zeros(1, np.uint64), ticks)
