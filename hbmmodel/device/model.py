"""What a device is: organisation, times with their provenance, command bus.

This file owns the frozen classes that every other room reads. It must not know files, presets or rounding:
the values arrive resolved. Times are exact rationals, so no room ever sees a rounding error of binary floats.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction

from hbmmodel.device.ticks import TICKS_PER_CK, check, to_ticks
from hbmmodel.errors import HbmDeviceError

CONFIDENCE = {
    "spec": "quoted from the JEDEC standard by a third party; the JEDEC text itself was not read",
    "vendor": "vendor press release, data sheet or register",
    "paper": "peer-reviewed paper",
    "measured": "measured on hardware by the cited source",
    "simulator": "configuration of a simulator, or the median of several",
    "estimate": "our derivation or guess",
    "user": "given by the user, or derived from a value given by the user",
}
"""Meaning of every confidence level, best known first."""

MAXIMA = frozenset({"tREFI", "tREFIpb", "tRASmax"})
"""Symbols that bound a time from above; they are rounded down, everything else is rounded up."""

EXACT_MAX = 10**18


def exact_number(text: object) -> Fraction:
    """A number of a written device, as ``str`` of a Fraction made it.

    Exponents are refused: a short text such as ``1e999999999`` would fill the memory.

    Raises
    ------
    ValueError
        `text` is something else, or above 10^18.

    Examples
    --------
    >>> exact_number("625/2")
    Fraction(625, 2)
    """
    if isinstance(text, str) and re.fullmatch(r"[0-9]{1,2000}(/[1-9][0-9]{0,1999})?", text):
        number = Fraction(text)
        if number <= EXACT_MAX:
            return number
    raise ValueError(f"an exact number is a string such as '625/2', up to 10^18, not {reprlib.repr(text)}")


@dataclass(frozen=True, slots=True)
class Value:
    """One time of a device, with where it comes from.

    Attributes
    ----------
    name : str
        JEDEC symbol, e.g. ``"tRCDRD"``.
    ns : Fraction or None
        The exact requirement in ns: a lower bound, for the symbols in `MAXIMA` an upper bound. A value that
        the source states in clocks is converted with the device's tCK.
    ck : Fraction
        The requirement in CK as the model applies it: whole clocks, or half clocks where the standard says
        so.
    unit : str
        How the source states it: ``"ns"``, ``"nCK"`` or ``"max(nCK, ns)"``.
    confidence : str
        One of the keys of `CONFIDENCE`.
    source : tuple of str
        Labels of the source table (``presets/sources.toml``).
    low_ns, high_ns : Fraction or None
        Range over the public sources, for sweeps.
    formula, note : str or None
        Rule by which the value is derived; remark.
    """

    name: str
    ns: Fraction | None
    ck: Fraction
    unit: str
    confidence: str
    source: tuple[str, ...] = ()
    low_ns: Fraction | None = None
    high_ns: Fraction | None = None
    formula: str | None = None
    note: str | None = None


class Timing(Mapping[str, Value]):
    """Read-only, hashable mapping from JEDEC symbol to `Value`, in the order of the preset.

    Parameters
    ----------
    values : iterable of Value
        One per symbol.

    Examples
    --------
    >>> from fractions import Fraction
    >>> timing = Timing([Value("RL", Fraction(16), Fraction(32), "ns", "paper")])
    >>> int(timing["RL"].ck)
    32
    """

    __slots__ = ("_by_name",)

    def __init__(self, values: Iterable[Value]) -> None:
        self._by_name = {value.name: value for value in values}

    def __getitem__(self, name: str) -> Value:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __hash__(self) -> int:
        return hash(tuple(self._by_name.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timing) and list(self._by_name.values()) == list(other._by_name.values())

    def __repr__(self) -> str:
        return f"Timing({list(self._by_name)})"

    def __reduce__(self) -> tuple[type[Timing], tuple[list[Value]]]:
        return Timing, (list(self._by_name.values()),)


@dataclass(frozen=True, slots=True)
class Organisation:
    """How a stack is divided.

    Attributes
    ----------
    channels : int
        Channels per stack.
    pseudo_channels : int
        Pseudo-channels per channel; they share the channel's row and column bus.
    sids : int
        Stack IDs: slices of four dies that share the pseudo-channel.
    bank_groups, banks_per_group : int
        Per SID and per bank group.
    rows, columns : int
        Rows per bank; column addresses per row, one burst each.
    burst_bytes, page_bytes : int
        Bytes of one burst; of one row of one pseudo-channel.
    dq_per_stack : int
        Data pins of the stack.
    die_density_gb, stack_height : int
        Gibibit per die and number of dies of the variant that the device was made from.
    confidence, source
        As in `Value`.
    """

    channels: int
    pseudo_channels: int
    sids: int
    bank_groups: int
    banks_per_group: int
    rows: int
    columns: int
    burst_bytes: int
    page_bytes: int
    dq_per_stack: int
    die_density_gb: int
    stack_height: int
    confidence: str = "spec"
    source: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in self.numbers().items():
            if type(value) is not int or value < 1:
                raise HbmDeviceError(f"organisation.{name} = {value!r} is not a positive integer")
        if self.page_bytes != self.columns * self.burst_bytes:
            raise HbmDeviceError(
                f"organisation.page_bytes = {self.page_bytes} is not columns x burst_bytes ="
                f" {self.columns * self.burst_bytes}"
            )
        if self.dq_per_stack % (self.channels * self.pseudo_channels):
            raise HbmDeviceError(
                f"organisation.dq_per_stack = {self.dq_per_stack} does not divide among"
                f" {self.channels * self.pseudo_channels} pseudo-channels"
            )

    def numbers(self) -> dict[str, int]:
        """Every number by its name, without the provenance."""
        provenance = ("confidence", "source")
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in provenance}

    @property
    def banks(self) -> int:
        """Banks per pseudo-channel, all SIDs together."""
        return self.sids * self.bank_groups * self.banks_per_group

    @property
    def capacity_bytes(self) -> int:
        """Bytes of one stack."""
        return self.channels * self.pseudo_channels * self.banks * self.rows * self.page_bytes


@dataclass(frozen=True, slots=True)
class CommandBus:
    """How long commands occupy the row and the column bus, in ticks of half a CK.

    Attributes
    ----------
    act_ticks, row_ticks, column_ticks : int
        Length of ACT, of every other row command, of a column command.
    act_reference, column_reference : int
        Ticks from a command's first edge to the edge from which its timings count.
    pre_any_edge : bool
        Whether PREpb and PREab may start on a falling edge.
    confidence, source, note
        As in `Value`.
    """

    act_ticks: int
    act_reference: int
    row_ticks: int
    column_ticks: int
    column_reference: int
    pre_any_edge: bool
    confidence: str = "estimate"
    source: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Rfm:
    """Refresh management: activation counts per bank. All zero: the device needs none.

    Attributes
    ----------
    raaimt : int
        Activations after which an RFM is due.
    raammt : int
        Activations at which ACT becomes illegal.
    raadec : int
        Credit of one REF.
    confidence, source, note
        As in `Value`.
    """

    raaimt: int = 0
    raammt: int = 0
    raadec: int = 0
    confidence: str = "estimate"
    source: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class Device:
    """One kind of DRAM stack: organisation, times, command bus.

    Use `hbmmodel.device` to make one. Instances are immutable, hashable and validated.

    Attributes
    ----------
    name, variant : str
        Preset and stack variant, e.g. ``"HBM4_8000"``, ``"24Gb_12H"``.
    standard, family : str
        Standard whose protocol it speaks; product family.
    data_rate_mbps : int
        Mb/s per data pin.
    tck_ps : Fraction
        Period of CK in ps.
    organisation : Organisation
    timing : Mapping of str to Value
        By JEDEC symbol.
    command_bus : CommandBus
    rfm : Rfm
    postpone_max : int
        REFab that may be postponed.
    notes : str
    overrides : tuple of str
        What the user changed, e.g. ``("tRCDRD_ns=14",)``.

    Raises
    ------
    HbmDeviceError
        A value is missing, out of range, or contradicts another one.
    """

    name: str
    variant: str
    standard: str
    family: str
    data_rate_mbps: int
    tck_ps: Fraction
    organisation: Organisation
    timing: Mapping[str, Value]
    command_bus: CommandBus
    rfm: Rfm = field(default_factory=Rfm)
    postpone_max: int = 8
    notes: str = ""
    overrides: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"device({', '.join([repr(self.name), f'variant={self.variant!r}', *self.overrides])})"

    def __post_init__(self) -> None:
        if not isinstance(self.timing, Timing):
            object.__setattr__(self, "timing", Timing(self.timing.values()))
        check(self)

    @property
    def tick_ps(self) -> Fraction:
        """Length of one tick of the core, half a CK, in ps."""
        return self.tck_ps / TICKS_PER_CK

    @property
    def peak_gb_per_s(self) -> float:
        """Peak bandwidth of one stack in GB/s (1e9 bytes): data pins x data rate."""
        return float(Fraction(self.organisation.dq_per_stack * self.data_rate_mbps, 8 * 1000))

    def ticks(self) -> dict[str, int]:
        """Every device field of the C core; times in ticks of half a CK.

        Returns
        -------
        dict of str to int
            Exactly the fields of ``csrc/device_fields.def``, in its order.

        Examples
        --------
        >>> from hbmmodel.device import device
        >>> device("HBM4_8000").ticks()["RCDRD"]
        64
        """
        return to_ticks(self)

    def content_hash(self) -> str:
        """SHA-256 of everything that can influence a result, in hexadecimal.

        Sources, notes and confidence are left out: correcting a citation does not change the device.

        Returns
        -------
        str
            64 hexadecimal digits.

        Examples
        --------
        >>> from hbmmodel.device import device
        >>> device("HBM4_8000").content_hash() == device("HBM4_8000", RL_ns=12).content_hash()
        False
        """
        content = {
            "name": self.name,
            "variant": self.variant,
            "standard": self.standard,
            "data_rate_mbps": self.data_rate_mbps,
            "tck_ps": str(self.tck_ps),
            "organisation": self.organisation.numbers(),
            "timing": {name: [str(value.ns), str(value.ck)] for name, value in self.timing.items()},
            "ticks": self.ticks(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
