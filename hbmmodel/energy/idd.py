"""The IDD equations: currents of a data sheet and counts of commands to energies.

Owns currents, their checks and the equations; must not know where counts come from.  Units are SI: volts, amperes,
seconds, joules.

**Source**: the equations of DRAMPower 6.2 (github.com/tukl-msd/DRAMPower), as its published results state them; written
anew here, with the order of the arithmetic kept so that results agree to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from hbmmodel.errors import HbmArgumentError

__all__ = ["Currents", "Shape", "Times", "derived"]


@dataclass(frozen=True)
class Currents:
    """One supply of a device: its voltage and its currents, as JEDEC names them.

    Attributes
    ----------
    v : float
        Volts.
    i0, i2n, i3n, i4r, i4w : float
        One bank activated and precharged; all banks precharged; banks open; reading; writing [A].
    i5b, i5c : float
        All-bank refresh; same-bank (or per-bank) refresh [A].
    i6n, i2p, i3p : float
        Self refresh; precharge power-down; active power-down [A].
    i_beta : float
        While a row is precharged [A]; DRAMPower takes IDD0 where nothing else is known.
    """

    v: float
    i0: float
    i2n: float
    i3n: float
    i4r: float
    i4w: float
    i5b: float
    i5c: float
    i6n: float
    i2p: float
    i3p: float
    i_beta: float

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not math.isfinite(value) or value < 0:
                raise HbmArgumentError(f"{item.name} is {value!r}; a current or voltage is finite and not negative")


@dataclass(frozen=True)
class Times:
    """Times of one device [s]."""

    tck: float
    tras: float
    trp: float
    trfc: float
    trfcsb: float


@dataclass(frozen=True)
class Shape:
    """Banks, bank groups, burst length in beats, beats per clock, and the share `rho` of the standby current of
    open banks that the first one brings.
    """

    banks: int
    bank_groups: int
    burst_length: int
    data_rate: int
    rho: float = 1.0


@dataclass(frozen=True)
class Derived:
    """Energies of one supply: per command [J], and powers of states [W].

    Attributes
    ----------
    act, pre, rd, wr : float
        One command.
    ref_ab_per_bank : float
        One all-bank refresh, the share of one bank.
    ref_sb_per_bank : float
        One same-bank refresh, per bank that it refreshes.
    bg_act_bank : float
        Power of one open bank beyond the shared part.
    bg_act_shared, bg_pre_per_bank : float
        Power while any bank is open; while none is, the share of one bank.
    self_refresh, power_down_active, power_down_precharged : float
        Powers of the whole device.
    """

    act: float
    pre: float
    rd: float
    wr: float
    ref_ab_per_bank: float
    ref_sb_per_bank: float
    bg_act_bank: float
    bg_act_shared: float
    bg_pre_per_bank: float
    self_refresh: float
    power_down_active: float
    power_down_precharged: float

    def negative(self) -> list[str]:
        """Names of the values below zero, beyond rounding: such currents contradict each other."""
        return [item.name for item in fields(self) if getattr(self, item.name) < -1e-18]


def derived(i: Currents, t: Times, shape: Shape) -> Derived:
    """Energies and powers of one supply.

    With ``B`` banks in ``G`` groups, ``I_rho = rho (I3N - I2N) + I2N``,
    ``I_theta = (I0 (tRP + tRAS) - Ibeta tRP) / tRAS``, ``I_1 = (I3N + (B - 1) I_rho) / B`` and
    ``I_BG = I_rho + (I_1 - I_rho) G``:

    ===================  =======================================
    ACT                  V (I_theta - I_1) tRAS
    PRE                  V (Ibeta - I2N) tRP
    RD                   V (I4R - I3N) (BL / DR) tCK
    WR                   V (I4W - I3N) floor(BL / DR) tCK
    REFab, per bank      V (I5B - I3N) tRFC / B
    REFsb, per bank      V (I5C - I_BG) tRFCsb / G
    one open bank        V (I_1 - I_rho)
    any open bank        V I_rho
    no open bank         V I2N / B, per bank
    ===================  =======================================

    Parameters
    ----------
    i : Currents
    t : Times
    shape : Shape

    Returns
    -------
    Derived

    Source
    ------
    DRAMPower 6.2; the whole-number division in WR is its own.

    Examples
    --------
    The 828 pJ of a row, 804 pJ of a read and 1068 pJ of a write that DRAMsim3's HBM2 values give:

    >>> hbm2 = Currents(1.2, 0.065, 0.040, 0.055, 0.39, 0.5, 0.25, 0.13, 0.031, 0.028, 0.040, 0.065)
    >>> e = derived(hbm2, Times(1e-9, 34e-9, 14e-9, 260e-9, 96e-9), Shape(16, 4, 4, 2))
    >>> [round(1e12 * x, 6) for x in (e.act + e.pre, e.rd, e.wr, 16 * e.ref_ab_per_bank)]
    [828.0, 804.0, 1068.0, 60840.0]
    """
    banks, groups = shape.banks, shape.bank_groups
    i_rho = shape.rho * (i.i3n - i.i2n) + i.i2n
    i_theta = (i.i0 * (t.trp + t.tras) - i.i_beta * t.trp) * (1 / t.tras)
    i_1 = (1.0 / banks) * (i.i3n + (banks - 1) * i_rho)
    i_bg = i_rho + (i_1 - i_rho) * groups
    return Derived(
        act=i.v * (i_theta - i_1) * t.tras,
        pre=i.v * (i.i_beta - i.i2n) * t.trp,
        rd=i.v * (i.i4r - i.i3n) * (shape.burst_length / shape.data_rate) * t.tck,
        wr=i.v * (i.i4w - i.i3n) * (shape.burst_length // shape.data_rate) * t.tck,
        ref_ab_per_bank=(1.0 / banks) * i.v * (i.i5b - i.i3n) * t.trfc,
        ref_sb_per_bank=i.v * (i.i5c - i_bg) * t.trfcsb * (1.0 / groups),
        bg_act_bank=i.v * (i_1 - i_rho),
        bg_act_shared=i.v * i_rho,
        bg_pre_per_bank=(1.0 / banks) * i.v * i.i2n,
        self_refresh=i.v * i.i6n,
        power_down_active=i.v * i.i3p,
        power_down_precharged=i.v * i.i2p,
    )


def check_derived(name: str, energies: Derived, unused: tuple[str, ...] = ()) -> None:
    """Refuse currents that would give a negative energy.

    Raises
    ------
    HbmArgumentError
        Names the energies, and what to look at.
    """
    wrong = [item for item in energies.negative() if item not in unused]
    if wrong:
        advice = {
            "act": "IDD0 must exceed the standby current",
            "pre": "Ibeta must be at least IDD2N",
            "rd": "IDD4R must be at least IDD3N",
            "wr": "IDD4W must be at least IDD3N",
            "ref_ab_per_bank": "IDD5B must be at least IDD3N",
            "ref_sb_per_bank": "IDD5C (IDD5PB) must exceed the background current",
            "bg_act_bank": "IDD3N must be at least IDD2N",
        }
        told = "; ".join(f"{item} is {1e12 * getattr(energies, item):g} pJ ({advice.get(item, '')})" for item in wrong)
        raise HbmArgumentError(f"{name}: negative energy: {told}")
