"""Published figures of energy and heat beside ours: what must agree, what may miss, and that a miss is told."""

from __future__ import annotations

import math

import pytest

from hbmmodel.validate.published import NOT_COMPARED, Figure, energy_figures, thermal_figures


@pytest.fixture(scope="module")
def figures() -> list[Figure]:
    return [*energy_figures(), *thermal_figures()]


def test_what_a_set_was_made_from_comes_out_of_it(figures: list[Figure]) -> None:
    made = [figure for figure in figures if figure.made_from]
    assert len(made) >= 8
    assert [figure.quantity for figure in made if not figure.holds] == []


def test_the_figures_that_decide_are_met(figures: list[Figure]) -> None:
    """A change that loses one of them is a change of the model, not of this test."""
    met = {figure.quantity for figure in figures if figure.holds and not figure.made_from}
    assert met >= {"FGDRAM, a row of 256 B", "HBM, conductivity across the stack", "HBM3E"}


def test_misses_are_told_with_their_size(figures: list[Figure]) -> None:
    missed = {figure.quantity: figure.verdict for figure in figures if not figure.holds}
    assert missed["HBM4 at 2 TB/s"].startswith("miss: -")
    assert missed["HBM4E over HBM4"].endswith("points")


def test_every_figure_is_finite_in_order_and_has_a_source(figures: list[Figure]) -> None:
    for figure in figures:
        assert all(map(math.isfinite, (*figure.published, *figure.ours))), figure
        assert figure.published[0] <= figure.published[1], figure
        assert figure.ours[0] <= figure.ours[1] <= figure.ours[2], figure
        assert figure.source and figure.how and figure.unit
    assert all(len(row) == 3 and all(row) for row in NOT_COMPARED)


@pytest.mark.parametrize(
    ("published", "ours", "holds"),
    [((10, 10), (8, 9, 9.9), True), ((10, 10), (8, 9, 9.7), False), ((-17, -17), (-17.2,) * 3, True),
     ((-17, -17), (-18,) * 3, False), ((1, 3), (2, 2, 2), True), ((1, 3), (3.2, 4, 5), False)],
)  # fmt: skip
def test_spans_meet_or_miss(published: tuple[float, float], ours: tuple[float, float, float], holds: bool) -> None:
    figure = Figure("q", "W", published, ours, "s", "h")
    assert figure.holds is holds
    assert figure.verdict.startswith("within" if holds else "miss")
