"""What the numbers of a device alone allow, and what simulation makes of it.

It owns closed formulas for peak, unloaded latency, activation rate, bank cycle, refresh and tCCDL, and the
traffic that should come near each; it must not know other simulators or hardware. A bound is computed from
the device description, never from a run; what is compared with it comes from `hbmmodel.simulate` alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, TypedDict

from hbmmodel.device import Device, device, devices
from hbmmodel.device.presets import load
from hbmmodel.sim import simulate
from hbmmodel.system import Controller, System
from hbmmodel.trace import Trace
from hbmmodel.validate.traffic import pieces, stream

__all__ = [
    "CCDL_CEILINGS",
    "Row",
    "activation_bound",
    "bank_bound",
    "bank_rows",
    "ccdl_rows",
    "latencies_ns",
    "latency_rows",
    "peak_rows",
    "presets",
    "random_rows",
    "refresh_rows",
    "rows",
    "stream_share",
]

PIECE_BURSTS = (1, 2, 4, 8)
STREAM_BYTES = 8 << 20
QUEUE = 256

CCDL_CEILINGS = (
    ("HBM3", 4, 1, 4, 3, Fraction(1)),
    ("HBM3", 4, 1, 5, 3, Fraction(1)),
    ("HBM3", 4, 1, 7, 3, Fraction(1)),
    ("HBM4", 2, 1, 4, 4, Fraction(1)),
    ("HBM4", 2, 1, 5, 4, Fraction(4, 5)),
    ("HBM4", 2, 1, 7, 4, Fraction(4, 7)),
    ("HBM4", 2, 3, 4, 4, Fraction(1)),
    ("HBM4", 2, 3, 5, 4, Fraction(4, 5)),
    ("HBM4", 2, 3, 7, 4, Fraction(2, 3)),
    ("HBM4", 2, 3, 4, 3, Fraction(1)),
    ("HBM4", 2, 3, 5, 3, Fraction(4, 5)),
    ("HBM4", 2, 3, 7, 3, Fraction(4, 5)),
)
"""Best share of peak of any schedule of reads: standard, bank groups, SIDs, tCCDL and tCCDR in CK, share."""

_CCDL_MAPS = (
    "row sid bank column channel pseudo_channel bank_group",
    "row bank column channel pseudo_channel sid bank_group",
)
"""Bursts of one pseudo-channel change bank group only, or bank group and then SID."""


class Row(TypedDict):
    """One comparison.

    ``kind`` says how `ours` should lie to `expected`: ``equal``, ``at most``, ``at least``. ``status`` is
    ``same`` or ``differs`` for the first, ``holds`` or ``violated`` for the others.
    """

    quantity: str
    preset: str
    expected: float
    source: str
    ours: float
    unit: str
    kind: str
    status: str


def presets() -> list[str]:
    """Names of the presets that describe real devices: all but the sets of other simulators (``X_...``).

    Examples
    --------
    >>> presets()[0], len(presets())
    ('HBM2E_3200', 13)
    """
    return [name for name in devices() if not name.startswith("X_")]


def _row(
    quantity: str,
    of: Device,
    expected: Fraction | float,
    source: str,
    ours: float,
    unit: str,
    kind: str = "equal",
    tolerance: float = 1e-9,
) -> Row:
    """A row; `tolerance` is relative and covers what a run of finite length cannot resolve."""
    want = float(expected)
    slack = abs(want) * tolerance
    if kind == "equal":
        status = "same" if abs(ours - want) <= slack else "differs"
    else:
        holds = ours <= want + slack if kind == "at most" else ours >= want - slack
        status = "holds" if holds else "violated"
    return Row(
        quantity=quantity,
        preset=f"{of.name} {of.variant}",
        expected=want,
        source=source,
        ours=float(ours),
        unit=unit,
        kind=kind,
        status=status,
    )


# ---- the formulas ----


def latencies_ns(of: Device) -> dict[str, Fraction]:
    """Unloaded read latency of the device, from the edge on which its first command is registered [ns].

    Parameters
    ----------
    of : Device

    Returns
    -------
    dict
        ``row hit``, ``closed row``, ``row conflict``; ``closed row, from the ACT's stamp`` counts from the
        first edge of the ACT, which its own timings do not.

    Source
    ------
    JESD238B.01, JESD270-4: hit RL + nBL; closed tRCDRD before it; conflict tRP before that, until the ACT
    can start on a rising edge.

    Examples
    --------
    >>> {k: float(v) for k, v in latencies_ns(device("HBM4_8000")).items()}["row conflict"]
    49.0
    """
    ck = {name: of.timing[name].ck or Fraction(0) for name in ("RL", "nBL", "tRCDRD", "tRP")}
    tck_ns = of.tck_ps / 1000
    hit = ck["RL"] + ck["nBL"]
    lead_in = Fraction(of.command_bus.act_reference, 2)
    return {
        "row hit": hit * tck_ns,
        "closed row": (ck["tRCDRD"] + hit) * tck_ns,
        "closed row, from the ACT's stamp": (lead_in + ck["tRCDRD"] + hit) * tck_ns,
        "row conflict": (math.ceil(ck["tRP"]) + ck["tRCDRD"] + hit) * tck_ns,
    }


def activation_bound(of: Device, bursts: int) -> tuple[Fraction, str]:
    """Largest share of peak when every ACT serves `bursts` bursts, and the rule that sets it.

    Parameters
    ----------
    of : Device
    bursts : int
        Bursts of one row between its ACT and its precharge.

    Source
    ------
    JESD238B.01, JESD270-4: four ACT per tFAW, one per tRRDS; the pseudo-channels share the row bus.

    Examples
    --------
    >>> bound, rule = activation_bound(device("HBM3_6400"), 1)
    >>> round(float(bound), 3), rule
    (0.308, 'tFAW')
    """
    ticks = of.ticks()
    row_bus = Fraction(of.organisation.pseudo_channels * _row_bus_ticks(of))
    spacing = {"tFAW": Fraction(ticks["FAW"], 4), "tRRDS": Fraction(ticks["RRDS"]), "row bus": row_bus}
    rule = max(spacing, key=lambda name: spacing[name])
    share = Fraction(bursts * ticks["BL"]) / spacing[rule]
    return (share, rule) if share < 1 else (Fraction(1), "pins")


def _row_bus_ticks(of: Device) -> int:
    """Ticks of the row bus that an ACT and a precharge need; the next ACT starts on a rising edge."""
    ticks = of.command_bus.act_ticks + of.command_bus.row_ticks
    return ticks + ticks % 2


def bank_bound(of: Device) -> Fraction:
    """Largest share of peak of a lone pseudo-channel when every burst needs an ACT and banks or row bus limit.

    Source
    ------
    JESD238B.01, JESD270-4: a bank is activated once per tRC; ACT and precharge share the row bus.

    Examples
    --------
    >>> round(float(bank_bound(device("HBM3_6400", "16Gb_8H"))), 2)
    0.88
    """
    ticks = of.ticks()
    banks = Fraction(of.organisation.banks * ticks["BL"], ticks["RC"])
    return min(Fraction(1), banks, Fraction(ticks["BL"], _row_bus_ticks(of)))


# ---- the runs ----


def peak_rows(of: Device) -> Iterator[Row]:
    """Pins: what the description says against what a read stream without refresh moves."""
    organisation = of.organisation
    per_pin = Fraction(of.data_rate_mbps, 8000)
    system = System(of, controller=Controller(refresh="none"))
    run = simulate(system, stream("r", 1 << 18)).summary
    peak = organisation.dq_per_stack * per_pin
    yield _row("peak of a stack", of, peak, "pins x data rate", run["peak_gb_per_s"] or 0, "GB/s")
    one = _one_channel(of)
    share = simulate(System(one, controller=Controller(refresh="none")), stream("r", STREAM_BYTES)).summary
    per_pc = peak / (organisation.channels * organisation.pseudo_channels)
    yield _row(
        "read stream without refresh, per pseudo-channel",
        of,
        per_pc,
        "pins x data rate",
        float(per_pc) * (share["fraction_of_peak"] or 0),
        "GB/s",
        "at most",
    )


def latency_rows(of: Device) -> Iterator[Row]:
    """Unloaded read latencies: one read, or a second one 10 us behind it."""
    system = System(of, controller=Controller(refresh="none"), host_latency_ns=0.0)
    first, same_row, other_row = (0, 0, 0, 0, 0, 0, 5, 3), (0, 0, 0, 0, 0, 0, 5, 9), (0, 0, 0, 0, 0, 0, 6, 9)

    def latency_ns(*places: tuple[int, ...]) -> float:
        """Of the last of these reads; those before are known to be the closed row's."""
        address = system.map.encode(places)
        times = [i * 10_000_000 for i in range(len(places))]
        run = simulate(system, Trace.from_requests(address, [False] * len(places), time_ps=times)).summary
        total = (run["read_latency_ns_mean"] or 0.0) * len(places)
        return total if len(places) == 1 else total - latency_ns(*places[:-1])

    lead_in_ns = float(of.tick_ps * of.command_bus.act_reference / 1000)
    measured = {
        "row hit": latency_ns(first, same_row),
        "closed row": latency_ns(first) - lead_in_ns,
        "closed row, from the ACT's stamp": latency_ns(first),
        "row conflict": latency_ns(first, other_row),
    }
    formulas = {
        "row hit": "RL + nBL",
        "closed row": "tRCDRD + RL + nBL",
        "closed row, from the ACT's stamp": "the same + the ACT's lead-in",
        "row conflict": "tRP to a rising edge + tRCDRD + RL + nBL",
    }
    for name, expected in latencies_ns(of).items():
        yield _row(f"latency: {name}", of, expected, formulas[name], measured[name], "ns")


def random_rows(of: Device, n: int = 3000, *, random_banks: bool = True) -> Iterator[Row]:
    """Reads of random rows, some bursts per ACT, queues of 256 entries, no refresh."""
    system = System(_one_channel(of), controller=Controller(refresh="none", read_queue=QUEUE), window_bytes=0)
    where = "random banks" if random_banks else "banks in turn"
    for bursts in PIECE_BURSTS:
        expected, rule = activation_bound(of, bursts)
        run = simulate(system, pieces(system, bursts, n, random_banks=random_banks))
        n_bytes = bursts * of.organisation.burst_bytes
        ours = float(run.channels["fraction_of_peak"].max())
        # n pieces take n - 1 spacings and an end of their own: a run of n may look faster by 4 / n at most
        yield _row(f"{n_bytes} B per ACT, {where}", of, expected, rule, ours, "of peak", "at most", 4 / n)


def bank_rows(of: Device, n: int = 20_000) -> Iterator[Row]:
    """One burst per ACT with tFAW and tRRD out of the way, one pseudo-channel, banks in turn."""
    free = device(of.name, of.variant, channels=1, tFAW_ck=2, tRRDS_ck=2, tRRDL_ck=2)
    system = System(free, controller=Controller(refresh="none", read_queue=QUEUE), window_bytes=0)
    run = simulate(system, pieces(system, 1, n, random_banks=False, pseudo_channels=(0,)))
    ours = float(run.channels["fraction_of_peak"].max())
    yield _row(
        "32 B per ACT, bound of the banks (tFAW and tRRD off)",
        of,
        bank_bound(of),
        "banks x nBL / tRC, or row bus",
        ours,
        "of peak",
        "at most",
        of.organisation.banks / n,
    )


def refresh_rows(of: Device, stream_bytes: int = STREAM_BYTES) -> Iterator[Row]:
    """A saturating read stream without refresh, with REFab, with REFpb."""
    one = _one_channel(of)
    ticks = one.ticks()
    trace = stream("r", stream_bytes)
    runs = {
        policy: simulate(System(one, controller=Controller(refresh=policy)), trace).summary
        for policy in ("none", "all_bank", "per_bank")
    }
    time = {policy: int(run["time_ticks"] or 0) for policy, run in runs.items()}
    per_pc = one.organisation.pseudo_channels
    n_all, n_one = int(runs["all_bank"]["n_ref_ab"] or 0), int(runs["per_bank"]["n_ref_pb"] or 0)
    lost = (time["all_bank"] - time["none"]) * per_pc / n_all / ticks["REFI"] if n_all else 0.0
    yield _row(
        "REFab: time lost per tREFI",
        of,
        Fraction(ticks["RFCab"], ticks["REFI"]),
        "tRFCab / tREFI",
        lost,
        "share",
        "at least",
    )
    banks = one.organisation.banks
    in_refresh = n_one / per_pc * ticks["RFCpb"] / time["per_bank"]
    # half a set may still be owed at the end (postponed); tREFIpb is rounded down to a tick
    resolution = (banks / 2 + 1) * per_pc / max(n_one, 1) + 1 / ticks["REFIpb"]
    busy = Fraction(ticks["RFCpb"], ticks["REFI"])
    yield _row(
        "share of a bank's time in REFpb",
        of,
        busy,
        "tRFCpb / tREFI",
        in_refresh / banks,
        "share",
        tolerance=resolution,
    )
    yield _row(
        "banks in REFpb at once",
        of,
        busy * banks,
        "banks x tRFCpb / tREFI",
        in_refresh,
        "banks",
        tolerance=resolution,
    )
    yield _row(
        "read stream: REFpb costs no more than REFab",
        of,
        runs["all_bank"]["fraction_of_peak"] or 0.0,
        "the same stream with REFab",
        runs["per_bank"]["fraction_of_peak"] or 0.0,
        "of peak",
        "at least",
    )


def ccdl_rows(stream_bytes: int = 4 << 20) -> Iterator[Row]:
    """Read streams with the better of two maps, under tCCDL of 4, 5 and 7 CK.

    Source
    ------
    Ceilings: exhaustive search of the states of one pseudo-channel for the best periodic schedule of reads.
    """
    base = {"HBM3": "HBM3_6400", "HBM4": "HBM4_8000"}
    for standard, groups, sids, ccdl, ccdr, ceiling in CCDL_CEILINGS:
        of = device(base[standard], channels=1, sids=sids, tCCDL_ck=ccdl, tCCDR_ck=ccdr)
        best = 0.0
        for mapping in _CCDL_MAPS:
            system = System(of, controller=Controller(refresh="none"), window_bytes=0, mapping=mapping)
            best = max(best, simulate(system, stream("r", stream_bytes)).summary["fraction_of_peak"] or 0.0)
        name = f"reads: {groups} groups, {sids} SID, tCCDL {ccdl}, tCCDR {ccdr}"
        yield _row(name, of, ceiling, "best schedule by exhaustive search", best, "of peak", "at most")


def stream_share(name: str, variant: str, **controller: Any) -> float:
    """Share of peak of one read stream on one channel.

    Parameters
    ----------
    name, variant : str
        Of `hbmmodel.device`.
    **controller
        Fields of `hbmmodel.Controller`.
    """
    system = System(device(name, variant, channels=1), controller=Controller(**controller))
    return simulate(system, stream("r", STREAM_BYTES)).summary["fraction_of_peak"] or 0.0


def _one_channel(of: Device) -> Device:
    """The same device with one channel: what one channel does does not depend on how many there are."""
    organisation = of.organisation
    pins = organisation.dq_per_stack // organisation.channels
    return replace(of, organisation=replace(organisation, channels=1, dq_per_stack=pins))


def rows(names: Iterable[str] | None = None) -> Iterator[Row]:
    """Every comparison, preset by preset; the tCCDL experiment last.

    Parameters
    ----------
    names : iterable of str, optional
        Presets; None: all of `presets`.
    """
    for name in presets() if names is None else names:
        of = device(name)
        yield from peak_rows(of)
        yield from latency_rows(of)
        yield from random_rows(of, random_banks=False)
        yield from random_rows(of, random_banks=True)
        for variant in load(name).variants:
            yield from bank_rows(device(name, variant))
            yield from refresh_rows(device(name, variant))
    yield from ccdl_rows()
