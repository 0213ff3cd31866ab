"""A memory system described: device, stacks, controller policies, address map, host path.

Owns the frozen, validated `System` and `Controller` and the numbers that follow from them; must not know traces,
results or how anything is simulated. Every field is checked where it is set: one line names it and what is allowed.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hbmmodel.device import Device
from hbmmodel.device.model import exact_number
from hbmmodel.errors import HbmArgumentError, HbmPolicyError
from hbmmodel.quotas import Quota, check_quotas
from hbmmodel.shown import Shown
from hbmmodel.thermal.cooling import Cooling

if TYPE_CHECKING:
    from hbmmodel.energy import EnergySet
    from hbmmodel.mapping import AddressMap
    from hbmmodel.thermal import Stack

__all__ = ["PAGE_POLICIES", "POWER_POLICIES", "REFRESH_POLICIES", "SCHEDULERS", "Controller", "System"]

SCHEDULERS = ("frfcfs", "frfcfs_cap", "fcfs")
PAGE_POLICIES = ("open", "closed", "timeout")
REFRESH_POLICIES = ("per_bank", "all_bank", "none")
POWER_POLICIES = ("never", "power_down_idle", "self_refresh_idle", "aggressive")

QUEUE_MAX = 1024
STACKS_MAX = 64
GRANULE_MAX_BYTES = 4096
CAP_MAX = 1_000_000
TIMEOUT_MAX_NS = 1e9
IDLE_MAX_NS = 1e12
SLACK_MAX_NS = 1e6
HOST_LATENCY_MAX_NS = 1e6
WINDOW_MAX_BYTES = 1 << 50


def _choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise HbmPolicyError(f"{name} is {value!r}; choose one of {', '.join(choices)}")


def _integer(name: str, value: object, low: int, high: int, error: type[ValueError]) -> int:
    if isinstance(value, bool):
        raise error(f"{name} must be a whole number, not {value!r}")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise error(f"{name} must be a whole number, not {value!r}") from None
    if not low <= number <= high:
        raise error(f"{name} is {number}; it must be in {low}..{high}")
    return number


def _real(name: str, value: object, error: type[ValueError]) -> float:
    if isinstance(value, bool | str | bytes):
        raise error(f"{name} must be a number, not {value!r}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise error(f"{name} must be a number, not {value!r}") from None
    if not math.isfinite(number):
        raise error(f"{name} is {number}; it must be finite")
    return number


def _ticks(time_ns: float, tick_ps: Fraction) -> int:
    """Ticks that cover a time. A float is read as the decimal number that it prints as: 0.1 is 1/10."""
    return math.ceil(Fraction(repr(time_ns)) * 1000 / tick_ps)


@dataclass(frozen=True, repr=False)
class Controller(Shown):
    """Policies of the memory controller, the same in every channel.

    Parameters
    ----------
    scheduler : {"frfcfs", "frfcfs_cap", "fcfs"}
        Which waiting request is served next; ``frfcfs_cap`` lets row hits overtake only `cap` times per
        activation.
    cap : int
        Column commands per activation while an older request waits for another row (1..1000000;
        ``frfcfs_cap`` only).
    page_policy : {"open", "closed", "timeout"}
        When an idle open row is closed; `timeout_ns` (> 0) belongs to ``timeout``.
    timeout_ns : float
        Idle time after which an open row is closed [ns].
    refresh : {"per_bank", "all_bank", "none"}
        REFpb, REFab, or no refresh at all (for comparison only: a real device loses its data).
    refresh_postpone, refresh_pull_in : int, optional
        Refreshes that may be late, and early when idle: together at most the device's ``postpone_max`` (8)
        REFab, or one full set of REFpb fewer than that. `refresh_postpone` None: half the banks of a
        pseudo-channel in REFpb, 0 in REFab.
    read_queue, write_queue : int
        Entries per pseudo-channel (1..1024).
    write_high, write_low : int, optional
        Writes at which the drain begins and ends, ``0 <= write_low < write_high <= write_queue``. None: 7/8
        and 1/8 of `write_queue`.
    power : {"never", "power_down_idle", "self_refresh_idle", "aggressive"}
        When an idle channel, both pseudo-channels together, goes to sleep: never; into power-down after
        `power_down_after_ns`; besides into self-refresh after `self_refresh_after_ns`; into power-down at once and
        into self-refresh after that time (``docs/model/power_states.md``).
    power_down_after_ns, self_refresh_after_ns : float
        Idle times before power-down and self-refresh [ns], 0 to 1e12.
    quotas : mapping of str to Quota
        Parts of the data buses by class of traffic (see `hbmmodel.side_by_side`, ``docs/model/quotas.md``).
    quota_slack_ns : float
        What a class left unused of its share in the last so many ns it may make up for, 0 to 1e6.

    Raises
    ------
    HbmPolicyError
        A field is unknown or out of range.

    Source
    ------
    ``docs/model/controller.md``; the limits of postponing: JESD238B, JESD270-4 (refresh).

    Examples
    --------
    >>> Controller(write_queue=32).watermarks
    (28, 4)
    >>> Controller(scheduler="fifo")
    Traceback (most recent call last):
    hbmmodel.errors.HbmPolicyError: scheduler is 'fifo'; choose one of frfcfs, frfcfs_cap, fcfs
    """

    scheduler: str = "frfcfs"
    cap: int = 16
    page_policy: str = "open"
    timeout_ns: float = 200.0
    refresh: str = "per_bank"
    refresh_postpone: int | None = None
    refresh_pull_in: int = 0
    read_queue: int = 64
    write_queue: int = 64
    write_high: int | None = None
    write_low: int | None = None
    power: str = "never"
    power_down_after_ns: float = 100.0
    self_refresh_after_ns: float = 20_000.0
    quotas: Mapping[str, Quota] = field(default_factory=dict, hash=False)
    quota_slack_ns: float = 1000.0

    def __post_init__(self) -> None:
        _choice("scheduler", self.scheduler, SCHEDULERS)
        _choice("page_policy", self.page_policy, PAGE_POLICIES)
        _choice("refresh", self.refresh, REFRESH_POLICIES)
        _choice("power", self.power, POWER_POLICIES)
        for name, low, high in (
            ("cap", 1, CAP_MAX),
            ("read_queue", 1, QUEUE_MAX),
            ("write_queue", 1, QUEUE_MAX),
            ("refresh_pull_in", 0, 1 << 20),
        ):
            object.__setattr__(self, name, _integer(name, getattr(self, name), low, high, HbmPolicyError))
        for name, low, high in (
            ("refresh_postpone", 0, 1 << 20),
            ("write_high", 1, self.write_queue),
            ("write_low", 0, self.write_queue - 1),
        ):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _integer(name, getattr(self, name), low, high, HbmPolicyError))
        timeout_ns = _real("timeout_ns", self.timeout_ns, HbmPolicyError)
        if not 0 < timeout_ns <= TIMEOUT_MAX_NS:
            raise HbmPolicyError(f"timeout_ns is {timeout_ns}; it must be above 0 and at most {TIMEOUT_MAX_NS:g} ns")
        object.__setattr__(self, "timeout_ns", timeout_ns)
        for name, most_ns in (
            ("power_down_after_ns", IDLE_MAX_NS),
            ("self_refresh_after_ns", IDLE_MAX_NS),
            ("quota_slack_ns", SLACK_MAX_NS),
        ):
            after_ns = _real(name, getattr(self, name), HbmPolicyError)
            if not 0 <= after_ns <= most_ns:
                raise HbmPolicyError(f"{name} is {after_ns}; it must be in 0..{most_ns:g} ns")
            object.__setattr__(self, name, after_ns)
        object.__setattr__(self, "quotas", check_quotas(self.quotas))
        high, low = self.watermarks
        if low >= high:
            raise HbmPolicyError(f"write_low is {low} and write_high is {high}; write_low must be below write_high")

    @property
    def watermarks(self) -> tuple[int, int]:
        """(write_high, write_low) in entries, with the defaults filled in."""
        high = self.write_high if self.write_high is not None else max(1, self.write_queue * 7 // 8)
        low = self.write_low if self.write_low is not None else min(self.write_queue // 8, high - 1)
        return high, low

    def refresh_limits(self, device: Device) -> tuple[int, int]:
        """(postpone, pull_in) in refresh commands of one pseudo-channel, with the defaults filled in.

        Raises
        ------
        HbmPolicyError
            More refreshes would be postponed or pulled in than the standard allows.
        """
        if self.refresh == "none":
            return 0, 0
        banks = device.organisation.banks
        per_set = banks if self.refresh == "per_bank" else 1
        # Of the 9 x tREFI between two refreshes of a bank the order within a set of REFpb may take one.
        limit = (device.postpone_max - 1) * banks if self.refresh == "per_bank" else device.postpone_max
        postpone = self.refresh_postpone
        if postpone is None:
            postpone = min(per_set // 2, limit)
        if postpone + self.refresh_pull_in > limit:
            raise HbmPolicyError(
                f"refresh_postpone is {postpone} and refresh_pull_in {self.refresh_pull_in}; with "
                f"refresh={self.refresh!r} and {banks} banks per pseudo-channel they may add up to {limit}; "
                "lower one of them"
            )
        return postpone, self.refresh_pull_in


def least_refresh_interval(ticks: Mapping[str, int], banks: int, per_bank: bool) -> int:
    """Ticks between two REFpb (or REFab) that leave time for one row between two refreshes of its bank.

    Repeats ``hbm_device_least_refresh_interval`` of the core, so that a system can be described without loading it.

    Source: ``docs/model/controller.md``, section *Refresh*.
    """
    t = ticks
    read = t["RCDRD"] + t["column_reference"] + t["RTP"]
    write = t["RCDWR"] + t["column_reference"] + t["WL"] + t["BL"] + t["WR"]
    row = max(t["RC"], max(t["RAS"], read, write) + t["RP"])
    if not per_bank:
        return t["RFCab"] + row
    return max(t["RREFD"] + t["RREFD"] % 2 + 1, -(-t["FAW"] // 4) + 1, -(-(t["RFCpb"] + row) // banks))


@dataclass(frozen=True, repr=False)
class System(Shown):
    """One or more stacks of a device behind one kind of controller.

    Parameters
    ----------
    device : Device
        From `hbmmodel.device`.
    stacks : int
        Stacks of the device (1..64).
    controller : Controller
        Policies of every channel's controller.
    mapping : str
        Physical address to bank: the name of a map, or an expression (see `AddressMap`).
    granule_bytes : int
        Consecutive bytes that stay in one pseudo-channel: a power of two, from one burst to 4096.
    host_latency_ns : float
        Round trip between the requester and the controller [ns], finite and >= 0. It is part of how long a
        read holds its place in the window and of the load-to-use latency.
    window_bytes : int
        Bytes of reads that the host keeps in flight **per stack**, shared evenly by its pseudo-channels; 0
        = unlimited.
    refresh_multiplier : {1.0, 0.5, 0.25}
        Factor on tREFI, as a hot device asks for.
    energy : str
        Energy set: a name of `hbmmodel.energy_sets`, the path of a TOML file, or ``auto``, the one recommended for the
        device. It and the next three change no timing.
    toggle_rate : float
        Probability that a data wire changes from one beat to the next (0..1); 0.5 is random data.
    dbi : bool
        DBIac on the data pins.
    temperature_c : float
        Temperature of all dies [deg C] for leakage (-55..150), where a run computes none of its own. 85: the end of the
        normal range of refresh.
    cooling : Cooling
        What surrounds every stack, and its trip points; used by ``simulate(thermal=...)`` alone.

    Raises
    ------
    HbmArgumentError, HbmPolicyError
        A field is out of range.

    Source
    ------
    Refresh multiplier: JEDEC temperature-compensated refresh, tREFI x 0.5 and x 0.25 above the trip points.

    Examples
    --------
    >>> from hbmmodel.device import device
    >>> system = System(device("HBM4_8000", variant="24Gb_12H"), stacks=8)
    >>> system.n_channels, system.n_pseudo_channels, system.window_bursts
    (256, 512, 512)
    """

    device: Device
    stacks: int = 1
    controller: Controller = field(default_factory=Controller)
    mapping: str = "row-bank-column-channel"
    granule_bytes: int = 256
    host_latency_ns: float = 60.0
    window_bytes: int = 1 << 20
    refresh_multiplier: float = 1.0
    energy: str = "auto"
    toggle_rate: float = 0.5
    dbi: bool = False
    temperature_c: float = 85.0
    cooling: Cooling = field(default_factory=Cooling)

    def __post_init__(self) -> None:
        if not isinstance(self.device, Device):
            raise HbmArgumentError(f"device must be a Device, as hbmmodel.device(NAME) gives, not {self.device!r}")
        if not isinstance(self.controller, Controller):
            raise HbmArgumentError(f"controller must be a Controller, not {self.controller!r}")
        mapping: object = self.mapping
        if not isinstance(mapping, str) or not mapping.strip():
            raise HbmArgumentError(f"mapping must be the name of a map or an expression, not {self.mapping!r}")

        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("stacks", _integer("stacks", self.stacks, 1, STACKS_MAX, HbmArgumentError))
        burst_bytes = self.device.organisation.burst_bytes
        granule_bytes = _integer("granule_bytes", self.granule_bytes, 1, 1 << 40, HbmArgumentError)
        if granule_bytes & (granule_bytes - 1) or not burst_bytes <= granule_bytes <= GRANULE_MAX_BYTES:
            raise HbmArgumentError(
                f"granule_bytes is {granule_bytes}; it must be a power of two from one burst "
                f"({burst_bytes}) to {GRANULE_MAX_BYTES}"
            )
        put("granule_bytes", granule_bytes)
        host_latency_ns = _real("host_latency_ns", self.host_latency_ns, HbmArgumentError)
        if not 0 <= host_latency_ns <= HOST_LATENCY_MAX_NS:
            raise HbmArgumentError(f"host_latency_ns is {host_latency_ns}; it must be in 0..{HOST_LATENCY_MAX_NS:g} ns")
        put("host_latency_ns", host_latency_ns)
        put("window_bytes", _integer("window_bytes", self.window_bytes, 0, WINDOW_MAX_BYTES, HbmArgumentError))
        multiplier = _real("refresh_multiplier", self.refresh_multiplier, HbmArgumentError)
        if multiplier not in (1.0, 0.5, 0.25):
            raise HbmArgumentError(f"refresh_multiplier is {multiplier}; choose one of 1.0, 0.5, 0.25 (times tREFI)")
        put("refresh_multiplier", multiplier)
        if not isinstance(self.cooling, Cooling):
            raise HbmArgumentError(f"cooling must be a Cooling, not {self.cooling!r}")
        self._check_energy()
        self.controller.refresh_limits(self.device)
        self.check_refresh_leaves_time(round(1 / multiplier))
        self._check_power_states()

    def _check_energy(self) -> None:
        energy: object = self.energy
        if not isinstance(energy, str) or not energy.strip():
            raise HbmArgumentError(f"energy must be the name of an energy set, a .toml file or 'auto', not {energy!r}")
        if energy != "auto" and not energy.endswith(".toml"):
            self.energies()  # a file is read when it is used
        dbi: object = self.dbi
        if not isinstance(dbi, bool):
            raise HbmArgumentError(f"dbi must be True or False, not {dbi!r}")
        for name, low, high in (("toggle_rate", 0, 1), ("temperature_c", -55, 150)):
            number = _real(name, getattr(self, name), HbmArgumentError)
            if not low <= number <= high:
                raise HbmArgumentError(f"{name} is {number}; it must be in {low}..{high}")
            object.__setattr__(self, name, number)

    def check_refresh_leaves_time(self, scale: int) -> None:
        """Refuse a refresh rate, as a factor on that of tREFI, at which the device would do nothing else.

        Raises
        ------
        HbmPolicyError
            The interval is no longer than what a refresh takes of it.
        """
        ticks = self.device.ticks()
        if self.controller.refresh == "none":
            if ticks["RAAIMT"] > 0:
                raise HbmPolicyError(
                    "refresh='none' on a device that needs RFM: it would stop taking ACTs; set rfm=False"
                )
            return
        per_bank = self.controller.refresh == "per_bank"
        name = "tREFIpb" if per_bank else "tREFI"
        interval = ticks[name.removeprefix("t")] // scale
        least = least_refresh_interval(ticks, self.device.organisation.banks, per_bank)
        if interval < least:
            raise HbmPolicyError(
                f"{name} x {1 / scale:g} is {float(interval * self.tick_ps / 1000):g} ns, and "
                f"a refresh and the use of one row take {float(least * self.tick_ps / 1000):g} ns: the device would "
                "only refresh; refresh less often (refresh_multiplier, cooler stacks), or change its refresh times"
            )

    def _check_power_states(self) -> None:
        ticks = self.device.ticks()
        stay = max(ticks["CPDED"], ticks["PDmin"])
        if self.controller.power != "never" and min(ticks["XP"], ticks["XS"], stay) < 2:
            raise HbmPolicyError(
                f"power is {self.controller.power!r}, and {self.device.name} has no power states (tXP, tXS and tCPDED "
                "of one CK or more); use power='never' or another device"
            )

    @property
    def capacity_bytes(self) -> int:
        """Bytes of all stacks."""
        return self.stacks * self.device.organisation.capacity_bytes

    @property
    def peak_gb_per_s(self) -> float:
        """Pin bandwidth of all stacks [GB/s]."""
        return self.stacks * self.device.peak_gb_per_s

    @property
    def n_channels(self) -> int:
        """Channels of all stacks."""
        return self.stacks * self.device.organisation.channels

    @property
    def n_pseudo_channels(self) -> int:
        """Pseudo-channels of all stacks."""
        return self.n_channels * self.device.organisation.pseudo_channels

    @property
    def tick_ps(self) -> Fraction:
        """Half a CK [ps], the unit of time of the core."""
        return self.device.tick_ps

    @property
    def window_bursts(self) -> int:
        """Reads that one pseudo-channel may have in flight; 0 = unlimited."""
        if self.window_bytes == 0:
            return 0
        org = self.device.organisation
        return max(1, self.window_bytes // (org.channels * org.pseudo_channels * org.burst_bytes))

    @property
    def host_ticks(self) -> int:
        """Host round trip in ticks, rounded up."""
        return _ticks(self.host_latency_ns, self.tick_ps)

    @property
    def quota_slack_ticks(self) -> int:
        """What classes of traffic may make up for, in ticks, rounded up; at least one CK."""
        return max(2, _ticks(self.controller.quota_slack_ns, self.tick_ps))

    @property
    def timeout_ticks(self) -> int:
        """Idle time of the page policy ``timeout`` in ticks, rounded up."""
        return _ticks(self.controller.timeout_ns, self.tick_ps)

    @functools.cached_property
    def map(self) -> AddressMap:
        """The address map of this system, parsed and checked on first use.

        Raises
        ------
        HbmMapError
            The expression of `mapping` is malformed or not a bijection.
        """
        from hbmmodel.mapping import AddressMap

        return AddressMap(self)

    def energies(self) -> tuple[EnergySet, str]:
        """The energy set of this system, and in what words it was chosen.

        Raises
        ------
        HbmArgumentError
            There is no such set, or its file is malformed.

        Examples
        --------
        >>> from hbmmodel.device import device
        >>> System(device("HBM4_8000")).energies()[1]
        'HBM4_RECOMMENDED, recommended for HBM4'
        """
        from hbmmodel.energy import choose, energy_set

        if self.energy == "auto":
            return choose(self.device)
        return energy_set(self.energy), f"{self.energy}, as asked for"

    def thermal_stack(self) -> Stack:
        """The thermal stack of one stack of this system, with its cooling.

        Raises
        ------
        HbmArgumentError
            There is no such stack, or its height is not the device's.

        Examples
        --------
        >>> from hbmmodel.device import device
        >>> System(device("HBM4_8000", variant="24Gb_12H")).thermal_stack().name
        'HBM4_12H'
        """
        return self.cooling.stack_of(self.device.family, self.device.organisation.stack_height)

    def to_dict(self) -> dict[str, Any]:
        """Everything in JSON types, the device included, so that it can be rebuilt without its preset.

        Returns
        -------
        dict
            Field names to values; exact times as strings ``"numerator/denominator"``.
        """
        import msgspec

        def plain(value: object) -> object:
            return str(value) if isinstance(value, Fraction) else dict(value)  # type: ignore[call-overload]

        result: dict[str, Any] = msgspec.to_builtins(self, enc_hook=plain)
        return result

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> System:
        """Inverse of `to_dict`; fields that a dict of an older version lacks have their defaults.

        Raises
        ------
        HbmArgumentError
            A field is missing, of the wrong type or out of range; the message holds its path.
        """
        import msgspec

        try:
            made = msgspec.convert(dict(content), cls, dec_hook=lambda _, value: exact_number(value))
        except msgspec.ValidationError as error:
            raise HbmArgumentError(f"system: {error}") from None
        return dataclasses.replace(made, controller=dataclasses.replace(made.controller))

    def content_hash(self) -> str:
        """SHA-256 of everything that can influence a result, in hexadecimal; defaults and their values are the same.

        Examples
        --------
        >>> from hbmmodel.device import device
        >>> a = System(device("HBM4_8000"))
        >>> b = System(device("HBM4_8000"), controller=Controller(write_high=56))
        >>> a.content_hash() == b.content_hash()
        True
        """
        content = {
            "device": self.device.content_hash(),
            "stacks": self.stacks,
            "mapping": self.mapping,
            "granule_bytes": self.granule_bytes,
            "host_latency_ns": self.host_latency_ns,
            "window_bytes": self.window_bytes,
            "policy": self.policy(),
            "energy": self.energies()[0].name if self.energy == "auto" else self.energy,
            "toggle_rate": self.toggle_rate,
            "dbi": self.dbi,
            "temperature_c": self.temperature_c,
            "cooling": dataclasses.asdict(self.cooling),
        }
        if self.controller.quotas:
            content["quotas"] = {name: dataclasses.asdict(quota) for name, quota in self.controller.quotas.items()}
            content["quota_slack_ticks"] = self.quota_slack_ticks
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def explain(self, address: int) -> str:
        """Say where one byte lies and how the map got there (see `AddressMap.explain`)."""
        return self.map.explain(address)

    def policy(self) -> dict[str, int | str]:
        """The controller's settings as the core takes them: names of policies, times in ticks, no defaults
        left open.

        Returns
        -------
        dict
            ``scheduler, cap, page_policy, timeout_ticks, refresh, postpone, pull_in, refresh_scale`` (1, 2
            or 4: the divisor of the refresh interval), ``read_queue, write_queue, write_high, write_low``;
            with power states also ``power, power_down_ticks, self_refresh_ticks``.
        """
        postpone, pull_in = self.controller.refresh_limits(self.device)
        write_high, write_low = self.controller.watermarks
        power: dict[str, int | str] = {}
        if self.controller.power != "never":
            power = {
                "power": self.controller.power,
                "power_down_ticks": _ticks(self.controller.power_down_after_ns, self.tick_ps),
                "self_refresh_ticks": _ticks(self.controller.self_refresh_after_ns, self.tick_ps),
            }
        return {
            "scheduler": self.controller.scheduler,
            "cap": self.controller.cap,
            "page_policy": self.controller.page_policy,
            "timeout_ticks": self.timeout_ticks,
            "refresh": self.controller.refresh,
            "postpone": postpone,
            "pull_in": pull_in,
            "refresh_scale": round(1 / self.refresh_multiplier),
            "read_queue": self.controller.read_queue,
            "write_queue": self.controller.write_queue,
            "write_high": write_high,
            "write_low": write_low,
            **power,
        }
