"""What energy is computed from: counts of commands and times spent in states, per bank.

Owns the frozen contract between whoever counts (the timing core, a test, a user) and the energy equations; must not
know schedulers, traces or currents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.device import Device
from hbmmodel.errors import HbmArgumentError

__all__ = ["Counts", "Geometry"]

Int = NDArray[np.int64]

ROWS_PER_WINDOW = 8192
"""REF commands in which every row is refreshed once: 32 ms / 3.9 us, to the power of two that all JEDEC DRAMs use."""


@dataclass(frozen=True)
class Geometry:
    """How the banks that are counted lie in the stacks.

    Attributes
    ----------
    stacks, channels, pseudo_channels, banks : int
        The shape of every per-bank array; channels per stack, pseudo-channels per channel, banks per pseudo-channel.
    sids : int
        Stack IDs; bank ``b`` belongs to SID ``b // (banks / sids)``.
    dies : int
        DRAM dies of a stack.
    rows, page_bytes, burst_bytes : int
        Rows of a bank; bytes of a row; bytes of a burst.

    Source
    ------
    Dies: JESD238B and JESD270-4 as quoted in device presets: a SID is four dies, each with a quarter of the channels.
    """

    stacks: int
    channels: int
    pseudo_channels: int
    banks: int
    sids: int
    dies: int
    rows: int
    page_bytes: int
    burst_bytes: int

    @classmethod
    def of(cls, device: Device, stacks: int = 1) -> Geometry:
        """The geometry of some stacks of a device."""
        org = device.organisation
        return cls(
            stacks=stacks,
            channels=org.channels,
            pseudo_channels=org.pseudo_channels,
            banks=org.banks,
            sids=org.sids,
            dies=org.stack_height,
            rows=org.rows,
            page_bytes=org.page_bytes,
            burst_bytes=org.burst_bytes,
        )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(stacks, channels, pseudo-channels, banks)."""
        return self.stacks, self.channels, self.pseudo_channels, self.banks

    @property
    def die_of(self) -> NDArray[np.int64]:
        """Die of a bank, shape (channels, banks): 0 is the one next to the base die."""
        per_sid = max(self.dies // self.sids, 1)
        channel = np.arange(self.channels) * per_sid // self.channels
        sid = np.arange(self.banks) // (self.banks // self.sids)
        die: Int = np.minimum(sid[None, :] * per_sid + channel[:, None], self.dies - 1)
        return die

    @property
    def rows_per_refresh(self) -> float:
        """Rows that one REF command refreshes in one bank, on average."""
        return self.rows / ROWS_PER_WINDOW


def _whole(name: str, value: Any, shape: tuple[int, ...]) -> Int:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise HbmArgumentError(f"{name} has dtype {array.dtype}; counts and ticks are whole numbers")
    if array.shape != shape:
        raise HbmArgumentError(f"{name} has shape {array.shape}; it must be {shape}")
    if array.size and int(array.min()) < 0:
        raise HbmArgumentError(f"{name} holds {int(array.min())}; counts and ticks are not negative")
    whole: Int = np.array(array, dtype=np.int64)
    whole.setflags(write=False)
    return whole


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts and residencies of one stretch of time.  Counts of adjacent stretches add up.

    Attributes
    ----------
    geometry : Geometry
    tick_ps : Fraction
        Length of a tick.
    elapsed_ticks : int
        Length of the stretch.
    n_act, n_rd, n_wr, n_ref_pb, n_rfm_pb, active_ticks : int64 arrays, shape ``geometry.shape``
        Commands of each bank (RDA counts as RD, WRA as WR), and how long it was open.
    n_ref_ab, n_rfm_ab : int64 arrays, shape (stacks, channels, pseudo-channels)
        Refreshes of all banks at once.
    any_active_ticks, active_down_ticks, precharged_down_ticks, self_refresh_ticks : int64 arrays, same shape
        Time up with some bank open (for the controller: an auto-precharged one is closed from its RDA or WRA on),
        in the two power-downs, in self refresh.  What remains of the elapsed time is precharged standby.

    Raises
    ------
    HbmArgumentError
        An array has the wrong shape or type, a negative value, or states add up to more than the elapsed time.
    """

    geometry: Geometry
    tick_ps: Fraction
    elapsed_ticks: int
    n_act: Int
    n_rd: Int
    n_wr: Int
    n_ref_pb: Int
    n_rfm_pb: Int
    active_ticks: Int
    n_ref_ab: Int
    n_rfm_ab: Int
    any_active_ticks: Int
    active_down_ticks: Int
    precharged_down_ticks: Int
    self_refresh_ticks: Int

    def __post_init__(self) -> None:
        shape = self.geometry.shape
        if self.elapsed_ticks < 0:
            raise HbmArgumentError(f"elapsed_ticks is {self.elapsed_ticks}; it must not be negative")
        for item in fields(self)[3:]:
            own = shape if item.name in PER_BANK else shape[:3]
            object.__setattr__(self, item.name, _whole(item.name, getattr(self, item.name), own))
        if self.active_ticks.size and int(self.active_ticks.max()) > self.elapsed_ticks:
            raise HbmArgumentError(f"active_ticks holds {int(self.active_ticks.max())}; {self.elapsed_ticks} passed")
        if self.precharged_ticks.size and int(self.precharged_ticks.min()) < 0:
            raise HbmArgumentError(f"times in states add up to more than elapsed_ticks, {self.elapsed_ticks}")

    @property
    def precharged_ticks(self) -> Int:
        """Precharged standby: what no other state took."""
        spent = self.any_active_ticks + self.active_down_ticks + self.precharged_down_ticks + self.self_refresh_ticks
        return np.asarray(self.elapsed_ticks - spent, dtype=np.int64)

    @property
    def tick_s(self) -> float:
        """Length of a tick [s]."""
        return float(self.tick_ps) * 1e-12

    @property
    def elapsed_s(self) -> float:
        """Length of the stretch [s]."""
        return float(self.elapsed_ticks * self.tick_ps) * 1e-12

    @classmethod
    def from_core(
        cls,
        geometry: Geometry,
        tick_ps: Fraction,
        elapsed_ticks: int,
        per_bank: Mapping[str, Any],
        per_pseudo_channel: Mapping[str, Any],
    ) -> Counts:
        """From what the core counted.

        Parameters
        ----------
        geometry, tick_ps, elapsed_ticks
            As the attributes.
        per_bank : mapping of str to int64 array, shape (pseudo-channels of all stacks, banks)
            ``CoreSystem.bank_counters()``.
        per_pseudo_channel : mapping of str to int64 array, shape (pseudo-channels of all stacks,)
            ``CoreSystem.counters()``.
        """
        flat = geometry.shape[:3]

        def of_pc(name: str) -> Any:
            return np.asarray(per_pseudo_channel[name]).reshape(flat)

        return cls(
            geometry,
            tick_ps,
            elapsed_ticks,
            **{name: np.asarray(per_bank[name]).reshape(geometry.shape) for name in PER_BANK},
            n_ref_ab=of_pc("n_ref_ab"),
            n_rfm_ab=of_pc("n_rfm_ab"),
            any_active_ticks=of_pc("ticks_active_standby"),
            active_down_ticks=of_pc("ticks_active_power_down"),
            precharged_down_ticks=of_pc("ticks_precharged_power_down"),
            self_refresh_ticks=of_pc("ticks_self_refresh"),
        )

    def __add__(self, other: Counts) -> Counts:
        """The two stretches together."""
        if self.geometry != other.geometry or self.tick_ps != other.tick_ps:
            raise HbmArgumentError("counts of different devices do not add up")
        names = [item.name for item in fields(self)[2:]]
        return Counts(self.geometry, self.tick_ps, *(getattr(self, name) + getattr(other, name) for name in names))

    def __sub__(self, other: Counts) -> Counts:
        """What came after another stretch that began at the same time."""
        if self.geometry != other.geometry or self.tick_ps != other.tick_ps:
            raise HbmArgumentError("counts of different devices have no difference")
        names = [item.name for item in fields(self)[2:]]
        return Counts(self.geometry, self.tick_ps, *(getattr(self, name) - getattr(other, name) for name in names))


PER_BANK = ("n_act", "n_rd", "n_wr", "n_ref_pb", "n_rfm_pb", "active_ticks")
"""Fields of `Counts` with one value per bank, in the core's order."""
