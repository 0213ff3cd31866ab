"""Which pictures stand in which section of the page, what is written under them, and their numbers as tables.

Owns the choice; must not know markup (the template) or how a picture is drawn (`hbmmodel.report.figures`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hbmmodel.report import series
from hbmmodel.report.content import STATES, Grid, Section
from hbmmodel.report.figures import (
    Figure,
    account_figure,
    bandwidth_figure,
    bank_figure,
    channel_figure,
    cross_section_figure,
    energy_figure,
    latency_figure,
    operations_figure,
    shares_figure,
    states_figure,
    temperature_figure,
)
from hbmmodel.report.units import bytes_text, share_text

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["Chart", "Pictures", "pictures"]


@dataclass(frozen=True)
class Chart:
    """A picture: the name on its button where it stands beside others, what it shows, and the figure."""

    key: str
    name: str
    alt: str
    figure: Figure


@dataclass(frozen=True)
class Pictures:
    """The pictures of a section, of which one is shown at a time, and what is written under them."""

    charts: tuple[Chart, ...] = ()
    caption: str = ""


def pictures(result: Result) -> tuple[dict[str, Pictures], tuple[Section, ...]]:
    """Pictures by the key of their section, and sections that only pictures ask for: ``bandwidth`` and ``states``."""
    layers = _layers(result)
    found = {
        "bandwidth": _bandwidth(result, layers),
        "account": _account(result),
        "latency": _latency(result),
        "spread": _maps(result),
        "energy": _energy(result),
        "temperature": _temperature(result),
        "states": _states(result),
        "names": _operations(result),
    }
    return found, (_bandwidth_section(layers), *_states_section(result))


@dataclass(frozen=True)
class _Stacked:
    """Bandwidth by something: the name on its button, its key, and the layers."""

    name: str
    key: str
    layers: series.Layers


def _layers(result: Result) -> tuple[_Stacked, ...]:
    makers: tuple[tuple[str, str, Callable[[Result], series.Layers | None]], ...] = (
        ("by phase", "phase", series.bandwidth_by_phase),
        ("by tensor class", "class", series.bandwidth_by_class),
        ("by operation", "name", series.bandwidth_by_name),
        ("reads and writes", "direction", series.bandwidth_by_direction),
    )
    made = (_Stacked(name, key, layers) for name, key, make in makers if (layers := make(result)) is not None)
    return tuple(found for found in made if found.layers.names)


def _bandwidth(result: Result, layers: tuple[_Stacked, ...]) -> Pictures:
    peak = float(result.summary["peak_gb_per_s"] or 0.0)
    charts = tuple(
        Chart(
            f"bandwidth-{found.key}",
            found.name,
            f"Bandwidth over time, {found.name}: {', '.join(found.layers.names)}, under the peak of {peak:.6g} GB/s.",
            bandwidth_figure(found.layers, peak),
        )
        for found in layers
    )
    dealt = (
        "An operation's bytes are dealt evenly over its time, which ends when its last read is done and its last write "
        "is in a queue. They did not move that evenly, so the layers of operations that overlap, or that are short and "
        "write, may stand above the peak. Reads and writes are as they were counted, and never do."
    )
    return Pictures(charts, dealt if len(charts) > 1 else "")


def _bandwidth_section(layers: tuple[_Stacked, ...]) -> Section:
    shown = [found.layers for found in layers if found.key != "name"]  # names have a section of their own
    if not shown:
        return Section("Bandwidth over time", ("No time passed.",), key="bandwidth")
    rows = tuple(
        (made.what, name, bytes_text(amount), share_text(amount / max(float(made.amounts.sum()), 1e-300)))
        for made in shown
        for name, amount in zip(made.names, made.amounts.tolist(), strict=True)
    )
    grid = Grid(("by", "", "bytes", "share"), rows, left=(0, 1))
    return Section("Bandwidth over time", (), grid=grid, key="bandwidth")


def _account(result: Result) -> Pictures:
    found = series.account(result)
    if found is None:
        return Pictures()
    data = float(found.shares[0, 0])
    alt = "Shares of the time of the data buses by what they did."
    charts = [Chart("account", "all of the time", alt, account_figure(found))]
    if len(found.causes) > 1:
        charts.append(Chart("account-lost", "what was lost", alt, account_figure(found, lost_only=True)))
    return Pictures(
        tuple(charts),
        f"The data buses moved data {share_text(data)} of the time. This is where the other {share_text(1 - data)} "
        "went: every tick of every pseudo-channel is charged to data or to one cause.",
    )


def _latency(result: Result) -> Pictures:
    tail = series.latency_tail(result)
    if tail is None:
        return Pictures()
    alt = "Share of the reads that took longer than a latency, on logarithmic axes, with median, 99 % and 99.9 %."
    caption = "How many reads took longer than so long. A straight fall is a short tail; a shelf is reads that waited."
    return Pictures((Chart("latency", "", alt, latency_figure(tail)),), caption)


def _maps(result: Result) -> Pictures:
    charts = []
    channels = series.channel_map(result)
    if channels is not None:
        alt = "Share of its peak bandwidth that every pseudo-channel carried."
        charts.append(Chart("channels", "pseudo-channels", alt, channel_figure(channels)))
    charts += [
        Chart(f"banks-{m.what}", f"banks: {m.what}", f"{m.what.capitalize()} of every bank.", bank_figure(m))
        for m in series.bank_maps(result)
    ]
    return Pictures(tuple(charts), "Even colour is even work; a line that stands out is a hot spot of the address map.")


def _energy(result: Result) -> Pictures:
    flow = series.energy_flow(result)
    if flow is None:
        return Pictures()
    alt = "Energy from the components over what they serve to the total; the table has the same numbers."
    return Pictures((Chart("energy", "", alt, energy_figure(flow)),))


def _temperature(result: Result) -> Pictures:
    charts = []
    dies, cut = series.die_temperatures(result), series.cross_section(result)
    if dies is not None:
        several = len(dies.time_s) > 1
        alt = f"Hottest cell of every die of stack {dies.stack}" + (" over time." if several else ".")
        charts.append(Chart("temperature", "over time" if several else "dies", alt, temperature_figure(dies)))
    if cut is not None:
        alt = f"Last temperatures of stack {cut.stack} in the plane through its hottest cell, row {cut.y}."
        charts.append(Chart("cross-section", "cross-section", alt, cross_section_figure(cut)))
    stack = f"Stack {dies.stack}, the hottest." if dies is not None else ""
    where = f" The cross-section lies in row {cut.y} of its cells, through the hottest." if cut is not None else ""
    return Pictures(tuple(charts), stack + where)


def _states(result: Result) -> Pictures:
    charts = []
    layers, shares = series.state_layers(result), series.state_shares(result)
    if layers is not None:
        alt = "Share of the pseudo-channels in every power state over time."
        charts.append(Chart("states", "over time", alt, states_figure(layers)))
    if shares is not None:
        alt = "Share of the time of every stack in every power state."
        charts.append(Chart("states-stacks", "by stack", alt, shares_figure(shares)))
    return Pictures(tuple(charts))


def _states_section(result: Result) -> tuple[Section, ...]:
    shares = series.state_shares(result)
    if shares is None:
        return ()
    mean = shares.shares.mean(axis=0).tolist()
    asleep = sum(share for state, share in zip(shares.states, mean, strict=True) if not state.endswith("standby"))
    told = "No channel ever slept." if asleep == 0 else f"The pseudo-channels slept {share_text(asleep)} of the time."
    pairs = zip(shares.states, mean, strict=True)
    rows = tuple((STATES.get(state, state), share_text(share)) for state, share in pairs)
    return (Section("Power states", (told,), grid=Grid(("state", "share of the time"), rows), key="states"),)


def _operations(result: Result) -> Pictures:
    top = series.top_operations(result)
    if top is None or not top.time_ns[0]:
        return Pictures()
    alt = "Time of the longest operations by name."
    n = f"{len(top.names)} of {top.n_names} names" if top.n_names > len(top.names) else "all names"
    caption = f"Time by name, {n}. Operations that overlap each count their whole time."
    return Pictures((Chart("operations", "", alt, operations_figure(top)),), caption)
