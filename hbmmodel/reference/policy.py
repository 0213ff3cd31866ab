"""What may be chosen about a channel controller, as a validated, frozen description.

Owns: the names and ranges of the policy fields.  Must not know what a policy does.
"""

from __future__ import annotations

from dataclasses import dataclass

SCHEDULERS = ("frfcfs", "frfcfs_cap", "fcfs")
PAGE_POLICIES = ("open", "closed", "timeout")
REFRESHES = ("per_bank", "all_bank", "none")
POWERS = ("never", "power_down_idle", "self_refresh_idle", "aggressive")


@dataclass(frozen=True)
class ChannelPolicy:
    """Policies of one channel's controller, times in ticks of half a CK.

    Parameters
    ----------
    scheduler
        ``"frfcfs"``, ``"frfcfs_cap"`` or ``"fcfs"``.
    cap
        Column commands after an ACT beyond which ``frfcfs_cap`` no longer lets hits overtake.
    page_policy
        ``"open"``, ``"closed"`` or ``"timeout"``.
    timeout_ticks
        Idle time after which ``timeout`` closes a bank.
    refresh
        ``"per_bank"``, ``"all_bank"`` or ``"none"``.
    postpone, pull_in
        Refreshes that may be owed before they are forced, and issued before they are due.
    refresh_scale_num, refresh_scale_den
        Temperature multiplier of the refresh interval: 1/1, 1/2 or 1/4.
    read_queue, write_queue
        Entries of the queues of each pseudo-channel.
    write_high, write_low
        Drain watermarks of the write queue.
    power
        ``"never"``, ``"power_down_idle"``, ``"self_refresh_idle"`` or ``"aggressive"``.
    power_down_ticks, self_refresh_ticks
        Idle times before power-down and before self-refresh.

    Raises
    ------
    ValueError
        When a name is unknown or a number is out of range.

    Examples
    --------
    >>> ChannelPolicy(scheduler="fcfs").scheduler
    'fcfs'
    """

    scheduler: str = "frfcfs"
    cap: int = 16
    page_policy: str = "open"
    timeout_ticks: int = 800
    refresh: str = "per_bank"
    postpone: int = 0
    pull_in: int = 0
    refresh_scale_num: int = 1
    refresh_scale_den: int = 1
    read_queue: int = 64
    write_queue: int = 64
    write_high: int = 48
    write_low: int = 16
    power: str = "never"
    power_down_ticks: int = 400
    self_refresh_ticks: int = 80_000

    def __post_init__(self) -> None:
        """Check every field."""
        for field, allowed in (
            ("scheduler", SCHEDULERS),
            ("page_policy", PAGE_POLICIES),
            ("refresh", REFRESHES),
            ("power", POWERS),
        ):
            value = getattr(self, field)
            if value not in allowed:
                raise ValueError(f"ChannelPolicy.{field} is {value!r}; use one of {', '.join(allowed)}")
        for field, least in (
            ("cap", 1),
            ("timeout_ticks", 0),
            ("postpone", 0),
            ("pull_in", 0),
            ("read_queue", 1),
            ("write_queue", 1),
            ("write_low", 0),
            ("power_down_ticks", 0),
            ("self_refresh_ticks", 0),
        ):
            value = getattr(self, field)
            if value < least:
                raise ValueError(f"ChannelPolicy.{field} is {value}; use at least {least}")
        if (self.refresh_scale_num, self.refresh_scale_den) not in ((1, 1), (1, 2), (1, 4)):
            raise ValueError(
                f"ChannelPolicy.refresh_scale_num/den is {self.refresh_scale_num}/{self.refresh_scale_den}; "
                "use 1/1, 1/2 or 1/4"
            )
        if not self.write_low < self.write_high <= self.write_queue:
            raise ValueError(
                f"ChannelPolicy.write_high is {self.write_high}; it must lie above write_low "
                f"({self.write_low}) and within write_queue ({self.write_queue})"
            )
