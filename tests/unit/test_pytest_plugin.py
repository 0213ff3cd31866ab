"""The fixture ``hbm_benchmark``: baselines beside the test, exact comparison, one clear table when a number moves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SUITE = """
    import numpy as np
    import pytest
    import hbmmodel as hbm

    SYSTEM = hbm.System(hbm.device("HBM4_8000", channels=2{device}))

    def reads(n=200):
        return hbm.Trace.from_requests(np.arange(n) * 32, np.zeros(n, bool))

    def test_stream(hbm_benchmark):
        result = hbm_benchmark(SYSTEM, reads(){arguments})
        assert result.summary["requests_out"] == 200
"""
QUIET = ("-p", "no:cacheprovider", "-p", "no:benchmark")


def suite(pytester: pytest.Pytester, device: str = "", arguments: str = "", more: str = "") -> Path:
    """Write a test file, and say where its baselines lie."""
    text = SUITE.format(device=device, arguments=arguments)
    return pytester.makepyfile(test_mine=text + more).with_suffix(".hbm.json")


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*(arguments or QUIET))


def test_a_run_without_a_baseline_fails_and_writes_nothing(pytester: pytest.Pytester) -> None:
    baseline = suite(pytester)
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["test_mine.hbm.json has no baseline of test_stream; record it with --hbm-update"])
    assert not baseline.exists()


def test_a_recorded_baseline_holds_in_the_next_run(pytester: pytest.Pytester) -> None:
    baseline = suite(pytester)
    result = run(pytester, *QUIET, "--hbm-update")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"hbm_benchmark: recorded baselines in {baseline}"])
    recorded = baseline.read_bytes()
    run(pytester).assert_outcomes(passed=1)
    assert baseline.read_bytes() == recorded
    summary = json.loads(recorded)["runs"]["test_stream"]["summary"]
    assert summary["bytes_read"] == 200 * 32 and summary["time_ns"] > 0


def test_a_moved_number_fails_with_old_new_and_change(pytester: pytest.Pytester) -> None:
    suite(pytester)
    run(pytester, *QUIET, "--hbm-update")
    suite(pytester, device=", tRCDRD_ns=20")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r"test_stream: \d of 10 numbers moved",
            r"key +baseline +now +change +tolerance",
            r"time_ns +[\d.]+ +[\d.]+ +\+[\d.]+% +exact",
            r"trace: the same; system: another content under the same name; hbmmodel: the same",
            r"If this is meant, record it with --hbm-update and commit test_mine\.hbm\.json\.",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_a_number_may_move_within_its_tolerance(pytester: pytest.Pytester) -> None:
    suite(pytester)
    run(pytester, *QUIET, "--hbm-update")
    only = ', keys=["time_ns", "bytes_read"], tolerance={"time_ns": %s}'
    suite(pytester, device=", tRCDRD_ns=20", arguments=only % 0.5)
    run(pytester).assert_outcomes(passed=1)
    suite(pytester, device=", tRCDRD_ns=20", arguments=only % 1e-6)
    run(pytester).assert_outcomes(failed=1)


def test_updating_one_test_leaves_the_others(pytester: pytest.Pytester) -> None:
    more = """
    @pytest.mark.parametrize("n", [10, 20])
    def test_short(hbm_benchmark, n):
        hbm_benchmark(SYSTEM, reads(n), name="a")
        hbm_benchmark(SYSTEM, reads(n + 1), name="b")
    """
    baseline = suite(pytester, more=more)
    run(pytester, *QUIET, "--hbm-update").assert_outcomes(passed=3)
    before = json.loads(baseline.read_text())["runs"]
    assert set(before) == {"test_stream", *(f"test_short[{n}] {part}" for n in (10, 20) for part in "ab")}
    suite(pytester, device=", tRCDRD_ns=20", more=more)
    run(pytester, *QUIET, "--hbm-update", "-k", "stream").assert_outcomes(passed=1)
    after = json.loads(baseline.read_text())["runs"]
    assert {name for name in before if before[name] != after[name]} == {"test_stream"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (', keys=["speed"]', "a summary has no key 'speed'; hbmmodel info --keys lists them"),
        (", tolerance=-1", "tolerance is -1; give a number in 0..1"),
        (', tolerance={"n_act": 0.1}', "a key of tolerance is 'n_act'; choose one of"),
        (", rounds=0", "rounds is 0; give a whole number in 1.."),
    ],
)
def test_a_bad_argument_is_told_in_one_line(pytester: pytest.Pytester, arguments: str, said: str) -> None:
    baseline = suite(pytester, arguments=arguments)
    result = run(pytester, *QUIET, "--hbm-update")
    result.assert_outcomes(failed=1)
    assert f"HbmArgumentError: {said}" in result.stdout.str()
    assert not baseline.exists()


def test_two_runs_of_one_name_are_refused(pytester: pytest.Pytester) -> None:
    suite(pytester, more="        hbm_benchmark(SYSTEM, reads())")
    result = run(pytester, *QUIET, "--hbm-update")
    assert "test_stream is simulated twice in one test; give each run a name=..." in result.stdout.str()


def test_with_pytest_benchmark_the_simulation_is_timed_too(pytester: pytest.Pytester) -> None:
    suite(pytester, arguments=", rounds=3", more='        hbm_benchmark(SYSTEM, reads(), name="again")')
    timing = ("-p", "no:cacheprovider", "--benchmark-json=times.json", "--benchmark-only")
    run(pytester, *timing, "--hbm-update").assert_outcomes(passed=1)
    (row,) = json.loads((pytester.path / "times.json").read_text())["benchmarks"]
    assert row["stats"]["rounds"] == 3 and row["stats"]["min"] > 0
    assert row["extra_info"]["bytes_read"] == 200 * 32
    run(pytester, *QUIET).assert_outcomes(passed=1)  # the same baselines without it


def test_workers_of_one_session_do_not_record(pytester: pytest.Pytester) -> None:
    """pytest-xdist gives its workers `workerinput`; they would overwrite each other's baselines."""
    baseline = suite(pytester)
    pytester.makeconftest("def pytest_configure(config): config.workerinput = {}")
    pytester.makeini("[pytest]")
    result = pytester.runpytest_inprocess(*QUIET, "--hbm-update", "-p", "conftest")
    assert "run it in one process, without -n" in result.stderr.str() + result.stdout.str()
    assert not baseline.exists()


def test_starting_pytest_loads_nothing_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_other():\n"
        "    assert {m for m in sys.modules if m.startswith('hbmmodel')} == {'hbmmodel', 'hbmmodel.pytest_plugin'}\n"
        "    assert not {'numpy', 'pyarrow', 'cffi', 'msgspec'} & set(sys.modules)\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
