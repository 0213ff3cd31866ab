"""Directories of recorded runs: stripped, incomplete, malformed."""

import json
import lzma
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hbmmodel.errors import HbmTraceError
from hbmmodel.validate import ramulator
from hbmmodel.validate.ramulator_inputs import DEVICES, MAPS, REFRESHES, SCHEDULERS
from hbmmodel.validate.ramulator_report import main, phase_table

DATA = Path(__file__).parent / "data" / "ramulator"
RUN = "HBM4_8000|RoBaRaCoCh|pb|FRFCFS|rand_rw50"
LOG = "commands_HBM4_8000_rand_rw50.csv.xz"


@pytest.fixture
def folder(tmp_path):
    for name in ("requests.npz", "presets.json"):
        shutil.copy(DATA / name, tmp_path)
    (tmp_path / "runs.json").write_text(json.dumps({"runs": {RUN: None}}))
    return tmp_path


def small(path, **changes):
    arrays = {
        "t__address": np.arange(50) * 32,
        "t__is_write": np.zeros(50, np.uint8),
        "t__tick": np.zeros(50, np.int64),
    }
    np.savez(path / "requests.npz", **{**arrays, **changes})


@pytest.mark.parametrize(
    "runs", [{"runs": {RUN: None}}, {"runs": {RUN: {}}}, {RUN: {}}, {"runs": [RUN]}, [RUN]]
)
def test_stripped_values_give_the_same_result_without_differences(folder, runs):
    (folder / "runs.json").write_text(json.dumps(runs))
    (values,) = ramulator.validate(folder).values()
    recorded = json.loads((DATA / "runs.json").read_text())["runs"][RUN]
    assert {name: values[name] for name in recorded} == recorded
    assert "difference" not in values


def test_presets_are_optional(folder):
    with_file = ramulator.validate(folder)
    (folder / "presets.json").unlink()
    assert ramulator.validate(folder) == with_file


def test_presets_are_used(folder):
    presets = json.loads((folder / "presets.json").read_text())
    before = ramulator.validate(folder)[RUN]["cycles"]
    presets["standards"]["HBM4"]["resolved"][DEVICES["HBM4_8000"][1]]["timing_CK"]["nRCDRD"] += 10
    (folder / "presets.json").write_text(json.dumps(presets))
    assert ramulator.validate(folder)[RUN]["cycles"] > before


def test_without_runs_every_combination_is_computed(tmp_path):
    small(tmp_path)
    seen = []
    results = ramulator.validate(tmp_path, progress=lambda *call: seen.append(call))
    assert len(results) == len(DEVICES) * len(MAPS) * len(REFRESHES) * len(SCHEDULERS)
    assert all(values["num_read_reqs_served"] == 50 for values in results.values())
    assert seen == [(name, i, len(results)) for i, name in enumerate(results)]


def test_runs_can_be_chosen(tmp_path):
    small(tmp_path)
    run = "HBM3_6400|MOP4CLXOR|none|FRFCFS|t"
    assert list(ramulator.validate(tmp_path, runs=[run])) == [run]


def test_a_wrong_recorded_value_shows_as_a_difference(folder):
    recorded = json.loads((DATA / "runs.json").read_text())["runs"][RUN]
    recorded["cycles"] += 7
    recorded["read_latency_ticks"]["p99"] -= 1
    (folder / "runs.json").write_text(json.dumps({"runs": {RUN: recorded}}))
    difference = ramulator.validate(folder)[RUN]["difference"]
    assert difference["cycles"] == -7
    assert difference["read_latency_ticks"] == {"mean": 0.0, "p50": 0, "p99": 1, "max": 0}
    assert difference["row_hits"] == 0


def test_wrong_ticks_and_commands_are_counted(folder):
    case_values = ramulator.validate(folder)[RUN]
    n = case_values["num_read_reqs"] + case_values["num_write_reqs"]
    np.savez(folder / "accept_and_done_ticks.npz", **{RUN.replace("|", "__"): np.zeros((2, n), np.int32)})
    lines = lzma.decompress((DATA / LOG).read_bytes()).splitlines()
    lines[3] = lines[3].replace(b"ACT", b"PREpb")
    (folder / LOG).write_bytes(lzma.compress(b"\n".join(lines[:-1])))
    values = ramulator.validate(folder)[RUN]
    assert values["accept_and_done"]["mismatches"] == n
    assert values["accept_and_done"]["first_mismatch"] == 0
    assert values["command_log"] == {"commands": 12156, "mismatches": 2, "first_mismatch": 2}


def no_requests(folder):
    (folder / "requests.npz").unlink()


def broken_requests(folder):
    (folder / "requests.npz").write_bytes(b"PK\x03\x04 no archive")


def endless_header(folder):
    with zipfile.ZipFile(folder / "requests.npz", "w") as archive:
        archive.writestr("rand_rw50__tick.npy", b"\x93NUMPY\x01\x00\x10\x00{'shape': ((2,), ")


def empty_requests(folder):
    np.savez(folder / "requests.npz")


def one_array(folder):
    np.save(folder / "requests.npy", np.zeros(3))
    (folder / "requests.npy").rename(folder / "requests.npz")


def text_runs(folder):
    (folder / "runs.json").write_text("{\n\n runs")


def number_runs(folder):
    (folder / "runs.json").write_text("3")


def no_runs(folder):
    (folder / "runs.json").write_text(json.dumps({"runs": {}}))


def wrong_run(folder):
    (folder / "runs.json").write_text(json.dumps({"runs": {RUN: 3}}))


def wrong_value(folder):
    (folder / "runs.json").write_text(json.dumps({"runs": {RUN: {"cycles": "many"}}}))


def short_name(folder):
    (folder / "runs.json").write_text(json.dumps({"HBM4_8000|pb": {}}))


def unknown_device(folder):
    (folder / "runs.json").write_text(json.dumps([RUN.replace("HBM4_8000", "HBM9")]))


def unknown_trace(folder):
    (folder / "runs.json").write_text(json.dumps([RUN.replace("rand_rw50", "nothing")]))


def preset_missing(folder):
    (folder / "presets.json").write_text(json.dumps({"standards": {"HBM4": {"resolved": {}}}}))


def preset_number(folder):
    presets = json.loads((folder / "presets.json").read_text())
    presets["standards"]["HBM4"]["resolved"][DEVICES["HBM4_8000"][1]]["timing_CK"]["nFAW"] = "16"
    (folder / "presets.json").write_text(json.dumps(presets))


def preset_impossible(folder):
    presets = json.loads((folder / "presets.json").read_text())
    presets["standards"]["HBM4"]["resolved"][DEVICES["HBM4_8000"][1]]["timing_CK"]["nRC"] = 1
    (folder / "presets.json").write_text(json.dumps(presets))


def ticks_shape(folder):
    np.savez(folder / "accept_and_done_ticks.npz", **{RUN.replace("|", "__"): np.zeros((2, 5), np.int64)})


def log_text(folder):
    (folder / LOG).write_bytes(b"clock")


def log_header(folder):
    (folder / LOG).write_bytes(lzma.compress(b"clock,command\n"))


def log_command(folder):
    head = ",".join(ramulator.LOG_COLUMNS)
    text = f"{head}\n1,ACT,0,0,0,0,0,0,0,0,0\n2,NOP,0,0,0,0,0,0,0,0,0\n"
    (folder / LOG).write_bytes(lzma.compress(text.encode()))


def log_number(folder):
    head = ",".join(ramulator.LOG_COLUMNS)
    text = f"{head}\n1,ACT,0,0,0,0,x,0,0,0,0\n"
    (folder / LOG).write_bytes(lzma.compress(text.encode()))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_requests, r"requests\.npz: not found"),
        (broken_requests, r"requests\.npz: not a readable \.npz"),
        (empty_requests, r"requests\.npz: holds no trace"),
        (endless_header, r"requests\.npz: not a readable \.npz"),
        (one_array, r"requests\.npz: not a readable \.npz"),
        (text_runs, r"runs\.json: line 3: not JSON"),
        (number_runs, r"runs\.json: expected an object of runs"),
        (no_runs, "runs.json: holds no runs; name some, or remove the file"),
        (wrong_run, r"runs\.json: run HBM4_8000.*: expected an object of values"),
        (wrong_value, r"runs\.json: run HBM4_8000.*: cycles = 'many' is not a number"),
        (short_name, r"runs\.json: run 'HBM4_8000\|pb': expected device\|map"),
        (unknown_device, r"device 'HBM9' is unknown; use HBM3_6400, HBM4_8000, HBM4_16000"),
        (unknown_trace, r"requests\.npz: trace 'nothing' of run .* is missing"),
        (
            preset_missing,
            r"presets\.json: standards\.HBM4\.resolved\['HBM4_32Gb_8Hi\|HBM4_8000Mbps'\] is missing",
        ),
        (preset_number, r"presets\.json: .*timing_CK: nFAW = '16' is not a"),
        (
            preset_impossible,
            r"presets\.json: device HBM4_8000: RC = 2: the device description is inconsistent",
        ),
        (ticks_shape, r"accept_and_done_ticks\.npz: .* expected integers of shape \(2, 20000\)"),
        (log_text, r"commands_.*\.csv\.xz: not a readable \.xz file"),
        (log_header, r"commands_.*\.csv\.xz: line 1: expected the header"),
        (log_command, r"commands_.*\.csv\.xz: line 3: not a command: 2,NOP"),
        (log_number, r"commands_.*\.csv\.xz: line 2: invalid literal"),
    ],
)
def test_bad_input_is_one_clear_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(HbmTraceError, match=message) as caught:
        ramulator.validate(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t__tick": np.zeros(49, np.int64)}, "trace t: address, is_write and tick differ in length"),
        ({"t__tick": np.zeros(50)}, "trace t: tick must be a list of integers, not float64"),
        ({"t__tick": np.full(50, -1)}, "trace t: request 0: tick -1 is outside"),
        ({"t__address": np.zeros((5, 10), np.int64)}, "trace t: address must be a list of integers"),
        ({"t__address": np.arange(50) << 45}, "trace t: request 2: address 70368744177664 is outside"),
        ({"t__is_write": np.arange(50)}, "trace t: request 2: is_write 2 is outside 0..1"),
        ({"u__address": np.zeros(1, np.int64)}, "trace u: array u__is_write is missing"),
        ({"t__tick": np.array([None] * 50)}, "requests.npz: not a readable"),
    ],
)
def test_bad_requests_are_one_clear_line(tmp_path, changes, message):
    small(tmp_path, **changes)
    with pytest.raises(HbmTraceError, match=message):
        ramulator.validate(tmp_path)


def test_a_missing_directory_is_one_clear_line(tmp_path):
    with pytest.raises(HbmTraceError, match="nowhere: not a directory"):
        ramulator.validate(tmp_path / "nowhere")


def test_the_report_counts_identical_runs(folder, capsys):
    recorded = json.loads((DATA / "runs.json").read_text())["runs"][RUN]
    other = RUN.replace("rand_rw50", "rand_rd")
    (folder / "runs.json").write_text(json.dumps({"runs": {RUN: recorded, other: recorded}}))
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "| HBM4_8000 RoBaRaCoCh pb FRFCFS | 2 | 1 |" in out
    assert main([str(folder / "nowhere")]) == 2
    assert "error: " in capsys.readouterr().err
    assert main([]) == 2
    assert main([str(folder), "--faces"]) == 2


def test_changes_of_cycles_are_systematic_only_where_the_activate_window_is_the_limit(folder):
    """A refresh in the window costs time when ACTs fill the window; elsewhere it only shifts chance."""
    dense, mixed = (f"HBM3_6400|RoBaRaCoCh|pb|FRFCFS|{trace}" for trace in ("stride4k_rd", "rand_rw50"))
    table = phase_table(str(folder), [dense, mixed]).splitlines()
    means = [float(line.split("|")[-2].removesuffix("% ")) for line in table[2:]]
    assert 4 < means[0] < 6
    assert abs(means[1]) < 1
