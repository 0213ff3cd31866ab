"""The pytest plugin: `hbm_benchmark`, a fixture that keeps the numbers of simulated runs from moving unnoticed.

Owns the fixture, its option and where baselines lie; must not know how a run is made or compared.  pytest loads this
file in every session of an environment that has hbmmodel, so it imports nothing of the model before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hbmmodel.baselines import Tolerance
    from hbmmodel.result import Result
    from hbmmodel.system import System
    from hbmmodel.trace import OpTrace, RequestTrace

__all__ = ["HbmBenchmark"]

SUFFIX = ".hbm.json"
RECORDED = pytest.StashKey[set[Path]]()
"""Baseline files that this session has written."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--hbm-update``."""
    parser.getgroup("hbmmodel").addoption(
        "--hbm-update",
        action="store_true",
        help="Record the numbers of hbm_benchmark as the new baselines instead of comparing with them.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the fixture: one that also times the simulation where pytest-benchmark is at work."""
    if config.getoption("hbm_update") and hasattr(config, "workerinput"):
        raise pytest.UsageError("--hbm-update writes one file from many tests; run it in one process, without -n")
    config.stash[RECORDED] = set()
    timed = config.pluginmanager.hasplugin("benchmark")
    config.pluginmanager.register(_Timed() if timed else _Plain(), "hbmmodel-fixtures")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which files were written: they are to be looked at and committed."""
    recorded = config.stash[RECORDED]
    for path in sorted(recorded):
        terminalreporter.write_line(f"hbm_benchmark: recorded baselines in {path}")


class HbmBenchmark:
    """What the fixture `hbm_benchmark` gives to a test: call it to simulate, record and compare.

    The baselines lie beside the test: ``test_decode.py`` has ``test_decode.hbm.json``.  ``pytest --hbm-update`` writes
    those of the tests that run and leaves the others.  With pytest-benchmark the first simulation of a test is
    timed too, by default once, and its numbers are in ``extra_info``.

    Parameters
    ----------
    request : pytest.FixtureRequest
        Of the test.
    timer : object, optional
        The fixture ``benchmark`` of pytest-benchmark.

    Examples
    --------
    ::

        def test_decode(hbm_benchmark):
            trace = hbm.read_trace("decode.hbmop.zst")
            result = hbm_benchmark(hbm.System(hbm.device("HBM4_8000")), trace)
            assert result.summary["row_hit_rate"] > 0.8
    """

    def __init__(self, request: pytest.FixtureRequest, timer: Any = None) -> None:
        self.path = request.path.with_name(f"{request.path.stem}{SUFFIX}")
        self._test = request.node.nodeid.partition("::")[2]
        self._config = request.config
        self._timer = timer
        self._seen: set[str] = set()

    def __call__(
        self,
        system: System,
        trace: RequestTrace | OpTrace,
        *,
        name: str | None = None,
        keys: Sequence[str] | None = None,
        tolerance: Tolerance = 0.0,
        rounds: int = 1,
        **options: Any,
    ) -> Result:
        """Simulate and compare with the baseline; the test fails where a number moved.

        Parameters
        ----------
        system, trace
            As of `hbmmodel.simulate`.
        name : str, optional
            Of this run, where a test makes several.
        keys : sequence of str, optional
            Which keys of the summary are compared; default `hbmmodel.baselines.DEFAULT_KEYS`.
        tolerance : float or mapping of str to float
            By how much of its baseline a number may move; 0, exact, unless given: runs are deterministic.
        rounds : int
            How often pytest-benchmark times the simulation.
        **options
            Of `hbmmodel.simulate`.

        Returns
        -------
        Result
        """
        from hbmmodel.baselines import DEFAULT_KEYS, Baseline, compare, read, table, write

        run = self._test if name is None else f"{self._test} {name}"
        if run in self._seen:
            raise _bad(f"{run} is simulated twice in one test; give each run a name=...")
        self._seen.add(run)
        result = self._simulate(system, trace, rounds, options)
        now = Baseline.of(result, DEFAULT_KEYS if keys is None else tuple(keys))
        known = read(self.path)
        if self._config.getoption("hbm_update"):
            compare(now, now, tolerance)  # a bad tolerance is told at once
            write(self.path, {**known, run: now})
            self._config.stash[RECORDED].add(self.path)
            return result
        if run not in known:
            pytest.fail(f"{self.path.name} has no baseline of {run}; record it with --hbm-update", pytrace=False)
        moved = compare(known[run], now, tolerance)
        if moved:
            remedy = f"If this is meant, record it with --hbm-update and commit {self.path.name}."
            pytest.fail(f"{table(run, known[run], now, moved)}\n{remedy}", pytrace=False)
        return result

    def _simulate(
        self, system: System, trace: RequestTrace | OpTrace, rounds: int, options: dict[str, Any]
    ) -> Result:
        from hbmmodel.checks import check_whole
        from hbmmodel.sim import simulate

        check_whole("rounds", rounds, 1, 1_000_000)
        timer, self._timer = self._timer, None
        if timer is None:
            return simulate(system, trace, **options)
        result: Result = timer.pedantic(simulate, (system, trace), options, rounds=rounds, iterations=1)
        timer.extra_info.update(result.summary)
        return result


def _bad(message: str) -> Exception:
    from hbmmodel.errors import HbmArgumentError

    return HbmArgumentError(message)


class _Plain:
    """The fixture where there is no pytest-benchmark."""

    @pytest.fixture
    def hbm_benchmark(self, request: pytest.FixtureRequest) -> HbmBenchmark:
        """Simulate, and compare with the baseline beside the test (`hbmmodel.pytest_plugin.HbmBenchmark`)."""
        return HbmBenchmark(request)


class _Timed:
    """The fixture with pytest-benchmark: it asks for ``benchmark``, so that its options choose these tests too."""

    @pytest.fixture
    def hbm_benchmark(self, request: pytest.FixtureRequest, benchmark: Any) -> HbmBenchmark:
        """Simulate, time, and compare with the baseline beside the test (`hbmmodel.pytest_plugin.HbmBenchmark`)."""
        return HbmBenchmark(request, benchmark)
