"""Static pictures of a result, by matplotlib: ``result.plot.bandwidth()`` and its like.

Owns the methods, their arguments and what is said when there is nothing to draw; must not know how the numbers are made
(`hbmmodel.report.series`) or the marks on the axes (`draw`). matplotlib is optional, and loaded with the first picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from hbmmodel.errors import HbmArgumentError
from hbmmodel.report import series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hbmmodel.report.series import Layers
    from hbmmodel.result import Result

__all__ = ["Plots"]

T = TypeVar("T")

BY = {
    "phase": series.bandwidth_by_phase,
    "class": series.bandwidth_by_class,
    "name": series.bandwidth_by_name,
    "direction": series.bandwidth_by_direction,
}
BANKS = ("bursts", "activations", "energy")


class Plots:
    """Pictures of one result, each drawn on axes of its own or on those that are given.

    Every method takes ``ax`` (matplotlib axes, or None for new ones), returns the axes, and shows the same numbers as
    the HTML report.

    Parameters
    ----------
    result : Result

    Raises
    ------
    HbmArgumentError
        matplotlib is not installed, or the result holds nothing of that kind.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> system = hbm.System(hbm.device("HBM4_8000", channels=2))
    >>> result = hbm.simulate(system, hbm.Trace.from_requests(range(0, 1 << 16, 32), [False] * 2048))
    >>> result.plot.lost_cycles().get_xlabel()
    'share of the time'
    >>> result.plot.temperature()
    Traceback (most recent call last):
    hbmmodel.errors.HbmArgumentError: the run computed no temperatures; run it with thermal=...
    """

    def __init__(self, result: Result) -> None:
        self._result = result

    def __repr__(self) -> str:
        names = [name for name in vars(type(self)) if not name.startswith("_")]
        return f"<Plots of {self._result!r}: {', '.join(names)}>"

    def bandwidth(self, by: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Bandwidth over time under the peak, stacked.

        Parameters
        ----------
        by : {"phase", "class", "name", "direction"}, optional
            What tells the layers apart; None: the first of these that the run has several of.
        ax : matplotlib.axes.Axes, optional
        """
        if by is not None and by not in BY:
            raise HbmArgumentError(f"by is {by!r}; choose one of {', '.join(BY)}")
        layers: Layers | None = None
        for make in BY.values() if by is None else (BY[by],):
            layers = layers or make(self._result)
        what = "took no time" if by in (None, "direction") else f"does not have several of {by!r}; leave out by"
        found = _some(layers, f"the run {what}")
        return _drawn("bandwidth", found, float(self._result.summary["peak_gb_per_s"] or 0.0), ax)

    def latency(self, *, ax: Axes | None = None) -> Axes:
        """Share of the reads that took longer, over the read latency, on logarithmic axes."""
        return _drawn("latency", _some(series.latency_tail(self._result), "no read reached a bank"), ax)

    def lost_cycles(self, *, lost_only: bool = False, ax: Axes | None = None) -> Axes:
        """What the data buses did, of all stacks and of every stack; with `lost_only`, what was lost alone."""
        return _drawn("account", _some(series.account(self._result), "the run took no time"), lost_only, ax)

    def channels(self, *, ax: Axes | None = None) -> Axes:
        """Map of the pseudo-channels: what share of its peak bandwidth each carried."""
        return _drawn("heat", _some(series.channel_map(self._result), "one pseudo-channel is no map"), "seq", ax)

    def banks(self, what: str = "bursts", *, ax: Axes | None = None) -> Axes:
        """Map of the banks.

        Parameters
        ----------
        what : {"bursts", "activations", "energy"}
        ax : matplotlib.axes.Axes, optional
        """
        if what not in BANKS:
            raise HbmArgumentError(f"what is {what!r}; choose one of {', '.join(BANKS)}")
        maps = {found.what: found for found in series.bank_maps(self._result)}
        return _drawn("heat", _some(maps.get(what), "the result kept no counts of banks"), "seq", ax)

    def energy(self, *, ax: Axes | None = None) -> Axes:
        """Energy of every component, with its span."""
        return _drawn("energy", self._result, _some(series.energy_flow(self._result), "the run has no energy"), ax)

    def temperature(self, *, ax: Axes | None = None) -> Axes:
        """Hottest cell of every die of the hottest stack, over time; of a steady state, by die."""
        return _drawn("temperature", _some(series.die_temperatures(self._result), NO_TEMPERATURE), ax)

    def cross_section(self, *, ax: Axes | None = None) -> Axes:
        """Last temperatures of the hottest stack, in the plane through its hottest cell."""
        return _drawn("cross_section", _some(series.cross_section(self._result), NO_TEMPERATURE), ax)

    def power_states(self, *, ax: Axes | None = None) -> Axes:
        """Share of the pseudo-channels in every power state, over time."""
        told = "the result is of a version that did not count power states over time"
        return _drawn("states", _some(series.state_layers(self._result), told), ax)

    def operations(self, *, ax: Axes | None = None) -> Axes:
        """Time of the longest operations, by name."""
        return _drawn("operations", _some(series.top_operations(self._result), "the trace has no operations"), ax)


NO_TEMPERATURE = "the run computed no temperatures; run it with thermal=..."


def _some(found: T | None, otherwise: str) -> T:
    if found is None:
        raise HbmArgumentError(otherwise)
    return found


def _drawn(name: str, *arguments: Any) -> Axes:
    """The axes that a function of `draw` returns."""
    try:
        from hbmmodel.plot import draw
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise HbmArgumentError("plots need matplotlib: pip install 'hbmmodel[plot]'; reports do without it") from None
    axes: Axes = getattr(draw, name)(*arguments)
    return axes
