"""The memspec of recorded DRAMPower energies.

Owns what a memspec may hold; must not know files, traces or results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hbmmodel.energy.idd import Currents, Derived, Shape, Times, derived
from hbmmodel.validate.drampower_states import Timing
from hbmmodel.validate.recorded import real, refuse, short, sub_object, whole

__all__ = ["CYCLES_MAX", "Spec", "read_spec"]

CYCLES_MAX = 1 << 62
BANKS_MAX = 1 << 16
"""Of all ranks and devices together."""


@dataclass(frozen=True)
class Spec:
    """A memspec as far as core energy needs it."""

    ranks: int
    devices: int
    banks: int
    groups: int
    timing: Timing
    tck: float
    supplies: tuple[Derived, ...]


def read_spec(memspec: Mapping[str, Any], where: str) -> Spec:
    """The memspec, checked; `where` begins every message.

    Raises
    ------
    HbmTraceError
        A field is missing, of the wrong type or out of range.
    """
    kind = memspec.get("memoryType", "DDR5")
    if kind != "DDR5":
        refuse(where, f"'memoryType' is {short(kind)}; recorded energies are those of the DDR5 schema")
    architecture = sub_object(memspec, "memarchitecturespec", where)
    clocks = sub_object(memspec, "memtimingspec", where)
    power = sub_object(memspec, "mempowerspec", where)
    at = f"{where}.memarchitecturespec"
    banks = whole(architecture, "nbrOfBanks", at, 1, BANKS_MAX)
    groups = whole(architecture, "nbrOfBankGroups", at, 1, banks)
    if banks % groups:
        refuse(at, f"'nbrOfBanks' {banks} is no multiple of 'nbrOfBankGroups' {groups}")
    ranks, devices = (
        whole(architecture, name, at, 1, BANKS_MAX) if name in architecture else 1
        for name in ("nbrOfRanks", "nbrOfDevices")
    )
    if banks * ranks * devices > BANKS_MAX:
        refuse(at, f"{ranks} ranks of {devices} devices with {banks} banks are more than {BANKS_MAX} banks")
    burst = whole(architecture, "burstLength", at, 1, 1 << 20)
    rate = whole(architecture, "dataRate", at, 1, 1 << 20)
    normal = (whole(architecture, "RefMode", at, 0, 1 << 20) if "RefMode" in architecture else 1) == 1
    bankwise = memspec.get("bankwisespec")
    rho = 1.0
    if bankwise is not None:
        bankwise = sub_object(memspec, "bankwisespec", where)
        if bankwise.get("factRho") is not None:
            rho = real(bankwise, "factRho", f"{where}.bankwisespec")
        if rho > 1:
            refuse(f"{where}.bankwisespec", f"'factRho' is {rho}; it is a share, 0 to 1")

    at = f"{where}.memtimingspec"

    def cycles(*names: str) -> int:
        """The first of the names that is there."""
        name = next((n for n in names if n in clocks), names[-1])
        return whole(clocks, name, at, 0, 1 << 40)

    tck = real(clocks, "tCK", at)
    ras = cycles("RAS")
    if tck <= 0 or ras == 0:
        refuse(at, "'tCK' and 'RAS' must be above 0")
    refresh = "1" if normal else "2"
    timing = Timing(
        ras=ras,
        rcd=cycles("RCD"),
        rp=cycles("RP"),
        rfc=cycles(f"RFC{refresh}_slr", f"RFC{refresh}"),
        rfcsb=cycles("RFCsb_slr", "RFCsb"),
        rda_to_pre=cycles("RTP"),
        wra_to_pre=cycles("WL") + burst // rate + cycles("WR"),
    )
    times = Times(
        tck=tck,
        tras=timing.ras * tck,
        trp=timing.rp * tck,
        trfc=timing.rfc * tck,
        trfcsb=timing.rfcsb * tck,
    )
    shape = Shape(banks, groups, burst, rate, rho)
    letter = "b" if normal else "f"
    supplies = tuple(
        derived(_currents(power, prefix, letter, f"{where}.mempowerspec"), times, shape) for prefix in ("dd", "pp")
    )
    return Spec(ranks, devices, banks, groups, timing, tck, supplies)


def _currents(power: Mapping[str, Any], prefix: str, refresh: str, where: str) -> Currents:
    """Of the supply VDD (every value must be there) or VPP (what is missing is 0)."""

    def value(name: str) -> float:
        return 0.0 if prefix == "pp" and name not in power else real(power, name, where)

    named = {
        "i5b" if name == f"5{refresh}" else f"i{name}": value(f"i{prefix}{name}")
        for name in ("0", "2n", "3n", "4r", "4w", f"5{refresh}", "5c", "6n", "2p", "3p")
    }
    beta = f"iBeta_v{prefix}"
    known = power.get(beta) is not None
    return Currents(v=value(f"v{prefix}"), i_beta=real(power, beta, where) if known else named["i0"], **named)
