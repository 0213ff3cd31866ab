"""Every recorded run of Ramulator 2.1, repeated from its inputs: the same counters, times and commands."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from hbmmodel.check import check
from hbmmodel.device import device
from hbmmodel.validate import ramulator
from hbmmodel.validate.ramulator_core import COMMANDS, RELAXED, relaxations, to_command_log
from hbmmodel.validate.ramulator_inputs import DEVICES, RunName, device_ticks, read_requests, resolved_ticks
from hbmmodel.validate.ramulator_report import is_identical

DATA = Path(__file__).parent / "data" / "ramulator"
RUNS = list(json.loads((DATA / "runs.json").read_text())["runs"])
DIGESTS = json.loads((DATA / "digests.json").read_text())


@pytest.fixture(scope="module")
def results():
    return ramulator.validate(DATA)


@pytest.fixture(scope="module")
def traces():
    return read_requests(DATA / "requests.npz")


@pytest.fixture(scope="module")
def case(traces):
    def make(run, n=None):
        name = RunName.parse(run, "test")
        requests = traces[name.trace]
        return ramulator.Case(name, device_ticks(DATA, name.device), requests.head(n) if n else requests)

    return make


def digest(values):
    return hashlib.sha256(np.ascontiguousarray(values, "<i8").tobytes()).hexdigest()


def test_all_recorded_runs_are_repeated(results):
    assert list(results) == RUNS
    assert len(RUNS) == 96


@pytest.mark.parametrize("run", RUNS)
def test_every_recorded_value_is_identical(results, run):
    recorded = json.loads((DATA / "runs.json").read_text())["runs"][run]
    assert {name: results[run][name] for name in recorded} == recorded
    assert is_identical(results[run])


@pytest.mark.parametrize("name", DIGESTS["accept_and_done"])
def test_ticks_of_acceptance_and_completion_are_identical(case, name):
    outcome = case(name.replace("__", "|")).run()
    assert digest(np.stack([outcome.accept, outcome.done])) == DIGESTS["accept_and_done"][name]


@pytest.mark.parametrize("name", DIGESTS["commands"])
def test_command_logs_are_identical(case, name):
    device_name = next(known for known in DEVICES if name.startswith(f"{known}_"))
    head = case(f"{device_name}|RoBaRaCoCh|pb|FRFCFS|{name[len(device_name) + 1 :]}", 4000)
    rows = ramulator.command_rows(head.run(log=True), head.requests, head.places, head.ticks)
    assert digest(rows) == DIGESTS["commands"][name]


def test_command_logs_in_the_directory_are_compared(results):
    logged = {run: values["command_log"] for run, values in results.items() if "command_log" in values}
    assert logged == {
        "HBM3_6400|RoBaRaCoCh|pb|FRFCFS|seq_2r1w": {
            "commands": 4424,
            "mismatches": 0,
            "first_mismatch": None,
        },
        "HBM4_8000|RoBaRaCoCh|pb|FRFCFS|rand_rw50": {
            "commands": 12157,
            "mismatches": 0,
            "first_mismatch": None,
        },
    }


@pytest.mark.parametrize(
    "run",
    [
        "HBM3_6400|RoBaRaCoCh|pb|FRFCFS|rand_rw50",
        "HBM4_8000|RoBaRaCoCh|ab|FRFCFS|poisson_low",
        "HBM4_8000|MOP4CLXOR|none|FRFCFSRowHit|seq_2r1w",
        "HBM4_16000|MOP4CLXOR|pb|FRFCFSRowHit|idle_gaps",
        "HBM3_6400|RoBaRaCoCh|pb|FRFCFSRowHit|single_bank",
    ],
)
def test_skipping_quiet_ticks_changes_nothing(case, run):
    head = case(run, 2000)
    skipped, visited = head.run(log=True), head.run(log=True, skip=False)
    assert skipped.counters == visited.counters
    for field in ("accept", "done", "commands"):
        assert np.array_equal(getattr(skipped, field), getattr(visited, field))


@pytest.mark.parametrize(
    ("run", "missing"),
    [
        ("HBM3_6400|RoBaRaCoCh|pb|FRFCFS|rand_rd", "refpb_outside_faw"),
        ("HBM3_6400|RoBaRaCoCh|pb|FRFCFS|rand_rd", "act_to_refpb_short"),
        ("HBM4_8000|RoBaRaCoCh|pb|FRFCFS|rand_rd", "refpb_outside_faw"),
    ],
)
def test_each_relaxation_is_needed(results, case, run, missing):
    names = RELAXED[DEVICES[run.partition("|")[0]][0]]
    assert set(names) <= set(relaxations())
    kept = tuple(name for name in names if name != missing)
    outcome = case(run).run(relaxed=kept)
    values = ramulator.recorded_form(outcome, case(run).requests)
    assert values["queue_len_avg"] != results[run]["queue_len_avg"]


def test_without_relaxations_total_time_stays_close(results):
    changes = {
        run: values["without_relaxations"]["cycles_difference_percent"] for run, values in results.items()
    }
    assert max(map(abs, changes.values())) < 5.2
    assert sum(abs(change) > 1 for change in changes.values()) == 12
    assert not any(change for run, change in changes.items() if "|pb|" not in run)


@pytest.mark.parametrize(
    ("run", "breaches"),
    [
        ("HBM3_6400|RoBaRaCoCh|pb|FRFCFS|rand_rw50", {"tFAW", "tRRDL"}),
        ("HBM4_8000|RoBaRaCoCh|pb|FRFCFS|rand_rw50", {"tFAW"}),
        ("HBM4_16000|MOP4CLXOR|pb|FRFCFSRowHit|seq_2r1w", {"tFAW"}),
        ("HBM4_8000|MOP4CLXOR|ab|FRFCFSRowHit|rand_rw50", set()),
    ],
)
def test_the_checker_finds_the_relaxed_rules_broken_and_no_others(case, run, breaches):
    one = case(run)
    system = device(f"X_RAMULATOR21_{one.name.device}")
    for relaxed, expected in (((), set()), (None, breaches)):
        log = to_command_log(one.run(relaxed=relaxed, log=True), one.places, one.ticks)
        assert {violation.rule for violation in check(system, log)} == expected


@pytest.mark.parametrize("name", DEVICES)
def test_our_presets_are_its_resolved_presets(name):
    standard, key = DEVICES[name]
    entry = json.loads((DATA / "presets.json").read_text())["standards"][standard]["resolved"][key]
    ours = device(f"X_RAMULATOR21_{name}").ticks()
    assert resolved_ticks(ours, entry, key) == ours


def test_the_layout_of_a_logged_command_is_that_of_the_core():
    from hbmmodel.capi import ffi

    kind = ffi.typeof("hbm_r21_command_t")
    assert ffi.sizeof(kind) == COMMANDS.itemsize
    assert {name: field.offset for name, field in kind.fields} == {
        name: COMMANDS.fields[name][1] for name, _ in kind.fields
    }
