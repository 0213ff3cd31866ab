"""Static pictures: the numbers of the report, on the axes that one gives, and one clear error where there are none."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.plot import BY
from hbmmodel.report import series
from hbmmodel.result import Result
from hbmmodel.result.sparkline import HEIGHT, POINTS_MAX, WIDTH, sparkline
from hbmmodel.system import System

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
Make = Callable[..., Any]

METHODS = (
    *("bandwidth", "latency", "lost_cycles", "channels", "banks", "energy", "temperature", "cross_section"),
    *("power_states", "operations"),
)


@pytest.fixture(scope="module")
def everything() -> Result:
    controller = hbm.Controller(power="aggressive", page_policy="timeout")
    system = cases.small(channels=4, stacks=2, controller=controller)
    trace = hbm.workload.dlrm(batch=8, tables=2, rows=10_000, training=True, seed=1)
    return hbm.simulate(system, trace, thermal="coupled")


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


@pytest.mark.parametrize("name", METHODS)
def test_every_picture_is_drawn_and_on_the_axes_that_are_given(everything: Result, name: str) -> None:
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    assert getattr(everything.plot, name)(ax=ax) is ax
    own = getattr(everything.plot, name)()
    assert own.figure is not ax.figure
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        own.figure.canvas.draw()
    assert own.patches or own.lines or own.images
    assert own.get_xlabel()


def test_repr_names_every_picture(everything: Result) -> None:
    assert all(name in repr(everything.plot) for name in METHODS)


@pytest.mark.parametrize("by", list(BY))
def test_areas_of_bandwidth_are_those_of_the_series(everything: Result, by: str) -> None:
    from matplotlib.patches import StepPatch

    layers = BY[by](everything)
    ax = everything.plot.bandwidth(by)
    drawn = [p for p in ax.patches if isinstance(p, StepPatch)]
    assert [p.get_label() for p in drawn] == list(layers.names)
    for patch, row in zip(drawn, layers.values, strict=True):
        data = patch.get_data()
        height = data.values - data.baseline
        assert height / height.sum() == pytest.approx(row / row.sum(), rel=1e-9, abs=1e-12)
    assert len(ax.lines) == 1  # the peak


def test_bars_of_the_account_end_at_one(everything: Result) -> None:
    ax = everything.plot.lost_cycles()
    found = series.account(everything)
    assert found is not None
    ends = {round(p.get_y() + p.get_height() / 2): p.get_x() + p.get_width() for p in ax.patches}
    assert list(ends.values()) == pytest.approx([1.0] * len(found.rows))
    lost = everything.plot.lost_cycles(lost_only=True)
    assert len(lost.patches) == len(ax.patches) - len(found.rows)


def test_bars_of_energy_sum_to_the_energy(everything: Result) -> None:
    ax = everything.plot.energy()
    assert sum(p.get_width() for p in ax.patches) == pytest.approx(everything.summary["energy_pj"] * 1e-12)


def test_a_map_is_the_table(everything: Result) -> None:
    (image,) = everything.plot.banks("activations").images
    assert int(image.get_array().sum()) == everything.summary["n_act"]
    (cut,) = everything.plot.cross_section().images
    assert cut.get_array().max() == everything.temperature_cells["temperature_c"].max()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda plot: plot.bandwidth("bank"), "by is 'bank'; choose one of phase, class, name, direction"),
        (lambda plot: plot.bandwidth("phase"), "does not have several of 'phase'"),
        (lambda plot: plot.banks("heat"), "what is 'heat'; choose one of bursts, activations, energy"),
        (lambda plot: plot.temperature(), "run it with thermal="),
        (lambda plot: plot.cross_section(), "run it with thermal="),
        (lambda plot: plot.operations(), "the trace has no operations"),
    ],
)
def test_what_is_not_there_is_said(call: Callable[[Any], Any], told: str) -> None:
    system = System(hbm.device("HBM4_8000", channels=1))
    result = hbm.simulate(system, hbm.Trace.from_requests([0, 64], [False, True]))
    with pytest.raises(HbmArgumentError, match=told):
        call(result.plot)


def test_the_smallest_run_draws_what_it_has() -> None:
    result = hbm.simulate(System(hbm.device("HBM4_8000", channels=1)), hbm.Trace.from_requests([0], [False]))
    for name in ("bandwidth", "latency", "lost_cycles", "channels", "banks", "energy", "power_states"):
        getattr(result.plot, name)().figure.canvas.draw()


def test_names_that_would_be_formulas_stay_text(one_channel: System, make_raw: Make) -> None:
    raw = make_raw(one_channel)
    raw["operations"]["name"] = ["$\\frac{", "_hidden$", "a\nb" + "x" * 500]
    result = Result.from_raw(one_channel, {}, raw, {})
    result.plot.operations().figure.canvas.draw()
    result.plot.bandwidth("name").figure.canvas.draw()


def test_without_matplotlib_one_line_says_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import hbmmodel as hbm\n"
        "system = hbm.System(hbm.device('HBM4_8000', channels=1))\n"
        "result = hbm.simulate(system, hbm.Trace.from_requests([0], [False]))\n"
        "result._repr_html_()\n"
        "try: result.plot.latency()\n"
        "except hbm.errors.HbmArgumentError as error: print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "plots need matplotlib: pip install 'hbmmodel[plot]'; reports do without it"


def test_a_notebook_shows_a_picture_and_a_short_table(everything: Result) -> None:
    text = everything._repr_html_()
    assert text.count("<svg") == 1 and "bandwidth_gb_per_s" in text and "<details>" in text
    assert text.index("<svg") < text.index("<table>")


def test_the_small_picture_is_as_high_as_the_rate(one_channel: System) -> None:
    import re

    n = 5 * POINTS_MAX
    edges = np.linspace(0.0, 10.0, n + 1)
    values = np.where(edges[:-1] < 5.0, 2.0, 4.0)
    text = sparkline(edges, values, 4.0, "<rate>")
    steps = [(float(y), float(x)) for y, x in re.findall(r"V([\d.]+)H([\d.]+)", text)]
    assert len(steps) == POINTS_MAX and steps[-1][1] == WIDTH
    assert steps[0][0] == HEIGHT / 2 and steps[-1][0] == 0.0
    assert "&lt;rate&gt;" in text and sparkline(np.zeros(1), np.zeros(0), 4.0, "") == ""
    assert sparkline(np.array([0.0, 0.0]), np.array([1.0]), 4.0, "") == ""
