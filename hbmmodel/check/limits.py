"""The device description as exact integers, in a unit of time of its own.

Owns the conversion: the unit is the largest fraction of a picosecond in which half a CK and every time of the
device are whole numbers, so that the checker compares integers and never rounds. Must not know the device in
ticks: a time stated in ns is compared as that time, however anyone else rounds it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from hbmmodel.errors import HbmDeviceError

if TYPE_CHECKING:
    from hbmmodel.device import Device, Value

__all__ = ["Limits", "limits_of"]


@dataclass(frozen=True)
class Limits:
    """Times of one device in units of 1 / `per_ps` ps.

    Attributes
    ----------
    per_ps : int
        Units in a picosecond.
    tick : int
        Units in half a CK.
    times : Mapping of str to int
        Every time of the device by JEDEC symbol.
    read_latency, write_latency, burst : int
        RL, WL and the burst on the data bus: whole clocks, because mode registers hold clocks.
    act_length, row_length, column_length : int
        How long ACT, another row command and a column command occupy their bus.
    act_edge, column_edge : int
        From the first edge of ACT (of a column command) to the edge from which its (row-side) timings count.
    """

    per_ps: int
    tick: int
    times: Mapping[str, int]
    read_latency: int
    write_latency: int
    burst: int
    act_length: int
    row_length: int
    column_length: int
    act_edge: int
    column_edge: int

    def ps(self, units: int) -> Fraction:
        """A time in units as picoseconds, exact."""
        return Fraction(int(units), self.per_ps)


def _required_ps(value: Value, tck_ps: Fraction) -> Fraction:
    """What the description asks for, before anybody's rounding: the ns, or the clocks where only clocks are
    defined.
    """
    if value.ns is not None:
        return value.ns * 1000
    if value.ck is not None:
        return value.ck * tck_ps
    raise HbmDeviceError(f"timing {value.name} has neither ns nor clocks")


def limits_of(device: Device) -> Limits:
    """Convert a device.

    Parameters
    ----------
    device : Device
        The description.

    Returns
    -------
    Limits

    Raises
    ------
    HbmDeviceError
        A time that every device has is missing.

    Source
    ------
    RL and WL are programmed in whole clocks: nCK = ceil(t / tCK) (JESD270-4, mode registers). The burst is
    whole clocks on every HBM (BL8 at 4 UI per CK, BL4 at 2 UI per CK: 2 nCK; JESD238B.01, JESD270-4,
    JESD235D).

    Examples
    --------
    >>> from hbmmodel.device import device
    >>> limits = limits_of(device("HBM4_8000"))
    >>> limits.ps(limits.times["tRRDL"]), limits.ps(limits.tick)
    (Fraction(3125, 1), Fraction(250, 1))
    """
    tck_ps = device.tck_ps
    half_ps = tck_ps / 2
    times_ps = {name: _required_ps(value, tck_ps) for name, value in device.timing.items()}
    for name in ("RL", "WL", "nBL"):
        if name not in times_ps:
            raise HbmDeviceError(f"device {device.name}: timing {name} is missing")
    # a quarter of tREFI too: refresh may run at a multiple of tREFI of 0.5 or 0.25
    quarter_ps = times_ps.get("tREFI", Fraction(0)) / 4
    per_ps = math.lcm(
        half_ps.denominator, quarter_ps.denominator, *(time.denominator for time in times_ps.values())
    )
    tick = int(half_ps * per_ps)

    def clocks(name: str) -> int:
        return math.ceil(times_ps[name] / tck_ps) * 2 * tick

    bus = device.command_bus
    return Limits(
        per_ps=per_ps,
        tick=tick,
        times={name: int(time * per_ps) for name, time in times_ps.items()},
        read_latency=clocks("RL"),
        write_latency=clocks("WL"),
        burst=clocks("nBL"),
        act_length=bus.act_ticks * tick,
        row_length=bus.row_ticks * tick,
        column_length=bus.column_ticks * tick,
        act_edge=bus.act_reference * tick,
        column_edge=bus.column_reference * tick,
    )
