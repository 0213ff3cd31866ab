"""Colours of pictures, in light and in dark: which thing has which, so that one thing looks the same everywhere.

Owns colours and their names; must not know what draws with them. A name is `@` and a key of `LIGHT` and `DARK`, with
`/0.4` behind it for an opacity, or `@seq:0.3` for a place on a ramp.

Source: eight hues that stay apart with every common colour deficiency when their neighbours in this order touch; ramps
of one hue, whose lightness alone says how much.
"""

from __future__ import annotations

__all__ = ["CAUSE", "COMPONENT", "DARK", "LIGHT", "SERIES", "STATE", "resolve"]

LIGHT = {
    "surface": "#ffffff",
    "ink": "#1c2430",
    "muted": "#5b6675",
    "grid": "#e3e7ec",
    "c1": "#2a78d6",
    "c2": "#1baf7a",
    "c3": "#eda100",
    "c4": "#008300",
    "c5": "#4a3aa7",
    "c6": "#e34948",
    "c7": "#e87ba4",
    "c8": "#eb6834",
    "other": "#b9c1cb",
    "other2": "#7d8894",
}
DARK = {
    "surface": "#14181e",
    "ink": "#e6eaf0",
    "muted": "#9aa6b5",
    "grid": "#2b323c",
    "c1": "#3987e5",
    "c2": "#199e70",
    "c3": "#c98500",
    "c4": "#2f9a2f",
    "c5": "#9085e9",
    "c6": "#e66767",
    "c7": "#d55181",
    "c8": "#d95926",
    "other": "#4b5563",
    "other2": "#7d8894",
}
RAMPS = {
    "seq": ("#e4eefb", "#b7d3f6", "#86b6ef", "#5598e7", "#2a78d6", "#1c5cab", "#104281", "#0d2f5c"),
    "heat": ("#fdeadd", "#fac9ab", "#f5a378", "#ee7c48", "#d95926", "#ad3f13", "#7c2b0c", "#541c07"),
}
"""From little to much on a light page; a dark page turns them round, so that much stands out on both."""

SERIES = tuple(f"@c{i}" for i in range(1, 9))
"""Of things without a colour of their own, in order."""

CAUSE = {
    "data": "@c1",
    "no_request": "@other",
    "refresh": "@c2",
    "activate_precharge": "@c8",
    "activate_window": "@c3",
    "turnaround": "@c5",
    "bank_group": "@c7",
    "sid": "@c4",
    "command_bus": "@c6",
    "power_state": "@other2",
}
STATE = {
    "active_standby": "@c1",
    "precharged_standby": "@c2",
    "active_power_down": "@c3",
    "precharged_power_down": "@c8",
    "self_refresh": "@c5",
}
COMPONENT = {
    "activate": "@c8",
    "column": "@c1",
    "die_bus": "@c1",
    "tsv": "@c1",
    "base_die": "@c1",
    "phy": "@c1",
    "refresh": "@c2",
    "background": "@other2",
    "leakage": "@other2",
}


def resolve(name: str, dark: bool = False) -> str | list[list[float | str]]:
    """The colour of a name, or the colour scale of the name of a ramp.

    Examples
    --------
    >>> resolve("@c1"), resolve("@c1/0.5"), resolve("@seq:1"), resolve("@seq:1", dark=True)
    ('#2a78d6', 'rgba(42, 120, 214, 0.5)', '#0d2f5c', '#e4eefb')
    """
    key, _, opacity = name.removeprefix("@").partition("/")
    key, _, place = key.partition(":")
    if key in RAMPS:
        ramp = RAMPS[key][::-1] if dark else RAMPS[key]
        if place:
            return _between(ramp, float(place))
        return [[i / (len(ramp) - 1), colour] for i, colour in enumerate(ramp)]
    colour = (DARK if dark else LIGHT)[key]
    if opacity:
        red, green, blue = _parts(colour)
        return f"rgba({red}, {green}, {blue}, {opacity})"
    return colour


def _parts(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _between(ramp: tuple[str, ...], place: float) -> str:
    at = min(max(place, 0.0), 1.0) * (len(ramp) - 1)
    low = min(int(at), len(ramp) - 2)
    ends = zip(_parts(ramp[low]), _parts(ramp[low + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (at - low)):02x}" for a, b in ends)
