"""Trip points: what a stack and its host do at which temperature.

Owns the table of thresholds and the steps between its levels, with hysteresis; it must not know how warm anything is
or how a controller refreshes.
"""

from __future__ import annotations

from dataclasses import dataclass

from hbmmodel.errors import HbmArgumentError
from hbmmodel.shown import Shown
from hbmmodel.thermal.layers import check_number

__all__ = ["Level", "Trips"]

RATES = (1, 2, 4)
TEMP_CODES = {1: 0b011, 2: 0b010, 4: 0b110}


@dataclass(frozen=True, slots=True, order=True)
class Level:
    """How a stack runs: steps taken of the refresh table and of the throttle table.

    Attributes
    ----------
    refresh, throttle : int
        Trip points that are in force, 0 when none is.
    """

    refresh: int = 0
    throttle: int = 0


@dataclass(frozen=True, repr=False)
class Trips(Shown):
    """Thresholds of a stack and of the host that drives it.

    Parameters
    ----------
    refresh : tuple of (float, int)
        (temperature [deg C], factor on the refresh rate: 2 or 4), both ascending: at this temperature of the hottest
        DRAM cell the stack asks for that rate.
    throttle : tuple of (float, float)
        (temperature [deg C] of the hottest cell of any die, share of the peak bandwidth that the host still uses, below
        1 and above 0), temperatures ascending, shares descending.
    hysteresis_c : float
        A level is left again this far below the temperature at which it was entered [K].
    cattrip_c : float
        Catastrophic trip [deg C]: CATTRIP is raised and stays so.
    poll_s : float
        Time from one look of the host at the temperature to the next [s].

    Raises
    ------
    HbmArgumentError
        A table is out of order or a number out of range.

    Source
    ------
    Refresh: JESD235/JESD238 let the host poll a temperature code; Intel UG 683189 (table 29) and AMD PG276 give twice
    the rate above 85 and four times above 95 deg C for HBM2; HBM3 and HBM4 trip points are vendor-private, the same are
    taken (estimate).  CATTRIP: 120 deg C for HBM2 hosts (AMD PG313); HBM3 and HBM4 not public, the same is taken
    (estimate). Throttle: no host publishes its table; 105 deg C, at which HBM3 is reported to be stable (Ryu et al.,
    VLSI 2023), and half the bandwidth are estimates, as are hysteresis and polling.

    Examples
    --------
    >>> trips = Trips()
    >>> trips.rise(Level(), dram_c=90.0, any_c=92.0)
    Level(refresh=1, throttle=0)
    >>> trips.refresh_rate(Level(refresh=1)), trips.temp_code(Level(refresh=1))
    (2, 2)
    >>> Trips(refresh=((95.0, 2), (85.0, 4)))
    Traceback (most recent call last):
    hbmmodel.errors.HbmArgumentError: trips.refresh: 85 degC comes after 95; temperatures must ascend
    """

    refresh: tuple[tuple[float, int], ...] = ((85.0, 2), (95.0, 4))
    throttle: tuple[tuple[float, float], ...] = ((105.0, 0.5),)
    hysteresis_c: float = 5.0
    cattrip_c: float = 120.0
    poll_s: float = 0.01

    def __post_init__(self) -> None:
        check_number(self.hysteresis_c, "trips.hysteresis_c", 0.0, 100.0)
        check_number(self.cattrip_c, "trips.cattrip_c", -55.0, 300.0)
        check_number(self.poll_s, "trips.poll_s", 1e-6, 10.0)
        for name in ("refresh", "throttle"):
            rows: object = getattr(self, name)
            if not isinstance(rows, tuple | list) or len(rows) > 16:
                raise HbmArgumentError(f"trips.{name} must be a tuple of at most 16 pairs, not {rows!r}")
            object.__setattr__(self, name, tuple(self._row(name, row) for row in rows))
            self._check_order(name)

    @staticmethod
    def _row(name: str, row: object) -> tuple[float, float]:
        if not isinstance(row, tuple | list) or len(row) != 2:
            raise HbmArgumentError(f"trips.{name}: {row!r} is not a pair (temperature, value)")
        at_c = check_number(row[0], f"trips.{name} temperature", -55.0, 300.0)
        if name == "throttle":
            share = check_number(row[1], f"trips.throttle at {at_c:g} degC", 0.01, 1.0)
            if share == 1.0:
                raise HbmArgumentError(f"trips.throttle at {at_c:g} degC: a share of 1 throttles nothing; leave it out")
            return at_c, share
        if isinstance(row[1], bool) or row[1] not in RATES[1:]:
            raise HbmArgumentError(f"trips.refresh at {at_c:g} degC: {row[1]!r} is no factor; choose 2 or 4")
        return at_c, int(row[1])

    def _check_order(self, name: str) -> None:
        rows = getattr(self, name)
        for (a, before), (b, after) in zip(rows, rows[1:], strict=False):
            if b <= a:
                raise HbmArgumentError(f"trips.{name}: {b:g} degC comes after {a:g}; temperatures must ascend")
            if (after <= before) if name == "refresh" else (after >= before):
                way = "ascend" if name == "refresh" else "descend"
                raise HbmArgumentError(f"trips.{name}: {after:g} comes after {before:g}; values must {way}")

    # ---- what a level means ----

    def refresh_rate(self, level: Level) -> int:
        """Factor on the refresh rate: 1, 2 or 4."""
        return self.refresh[level.refresh - 1][1] if level.refresh else 1

    def bandwidth_share(self, level: Level) -> float:
        """Share of the peak bandwidth that the host uses; 1.0 when it does not throttle."""
        return self.throttle[level.throttle - 1][1] if level.throttle else 1.0

    def temp_code(self, level: Level) -> int:
        """The temperature code that the stack reports, in the coding of HBM2's TEMP[2:0].

        Source
        ------
        Intel UG 683189, table 29: 011 = tREFI, 010 = tREFI / 2, 110 = tREFI / 4.
        """
        return TEMP_CODES[self.refresh_rate(level)]

    # ---- from one level to the next ----

    def rise(self, level: Level, dram_c: float, any_c: float) -> Level:
        """The level after warming up to these temperatures of the hottest DRAM cell and of the hottest cell at all."""
        return Level(
            max(level.refresh, sum(dram_c >= at_c for at_c, _ in self.refresh)),
            max(level.throttle, sum(any_c >= at_c for at_c, _ in self.throttle)),
        )

    def fall(self, level: Level, dram_c: float, any_c: float) -> Level:
        """The level after cooling down to these temperatures."""
        down = self.hysteresis_c
        return Level(
            min(level.refresh, sum(dram_c > at_c - down for at_c, _ in self.refresh)),
            min(level.throttle, sum(any_c > at_c - down for at_c, _ in self.throttle)),
        )

    def step(self, level: Level, dram_c: float, any_c: float) -> Level:
        """The level at these temperatures, coming from `level`."""
        return self.rise(self.fall(level, dram_c, any_c), dram_c, any_c)
