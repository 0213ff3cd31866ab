"""Runs every rule over a command log.

Owns `check`: it brings system, log and history together, hands each channel to the rules, and turns what they
find into violations. Must not know any rule itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hbmmodel.check.buses import command_buses, command_edges, data_bus, slot_behind_act
from hbmmodel.check.limits import Limits, limits_of
from hbmmodel.check.pairs import distances
from hbmmodel.check.power import Sleeps, extra_refreshes, power_distances, power_states, sleeps
from hbmmodel.check.refresh import Ending, activation_counts, bank_sets, refresh_account
from hbmmodel.check.state import addresses, bank_states, rows_open_too_long
from hbmmodel.check.view import WITHOUT_BANK, Finding, View
from hbmmodel.check.violation import END, Violation
from hbmmodel.commands import COLUMN_COMMANDS, Command, Log, as_command_log, command_name
from hbmmodel.errors import HbmArgumentError, HbmOverflowError

if TYPE_CHECKING:
    from hbmmodel.device import Device
    from hbmmodel.system import System

__all__ = ["check"]


def check(
    system_or_device: System | Device,
    command_log: Log,
    *,
    limit: int | None = 1000,
    initial: Log | None = None,
    end_tick: int | None = None,
) -> list[Violation]:
    """Say where a command log breaks the protocol.

    Parameters
    ----------
    system_or_device : System or Device
        Whose rules apply. A system also tells how often it refreshes: with ``refresh="none"`` neither the
        refreshes nor tRAS(max) are judged, otherwise every bank of every channel and stack has to be
        refreshed, also where the log has no command; with a bare device the refreshes are not judged,
        because nobody says how often they come.
    command_log : ndarray of COMMAND_DTYPE, shape (n,)
        The commands, sorted by (stack, channel, tick), in half-CK ticks from the start of the run.
    limit : int or None
        Return at most this many violations, those of the earliest rows; None: all.
    initial : ndarray of COMMAND_DTYPE, optional
        Commands that went before, on the same clock, e.g. the first part of a log that is checked in parts.
        They set the scene and are not judged. Without it all banks are precharged at first and nothing has
        been refreshed.
    end_tick : int, optional
        When the run ended, e.g. ``result.summary["time_ticks"]``: up to then banks have to be refreshed, or
        to the log's last command if that is later. None: to the log's last command of all channels.

    Returns
    -------
    list of Violation
        In the order of the log, then what is missing at its end; empty when the log is legal. A command that
        breaks several rules is listed for each.

    Raises
    ------
    HbmArgumentError
        `command_log` is not a command log, or `system_or_device` neither a system nor a device; or `limit`
        is below 1, or `end_tick` not a whole number from 0 on.
    HbmOverflowError
        The log is too long for exact 64-bit times of this device.

    Source
    ------
    JESD235D, JESD238B.01, JESD270-4/-4A as quoted by third parties; every rule and its source:
    ``docs/model/checker.md``.

    Examples
    --------
    >>> from hbmmodel.commands import Command, command_log
    >>> from hbmmodel.device import device
    >>> act = (0, 0, 0, 0, Command.ACT, 0, 0, 0, 7, 0)
    >>> read = (64, 0, 0, 0, Command.RD, 0, 0, 0, 7, 3)
    >>> for violation in check(device("HBM4_8000"), command_log([act, read])):
    ...     print(violation.rule, violation.actual_ps, violation.required_ps)
    tRCDRD 15500 16000
    """
    device, system = _parts(system_or_device)
    if limit is not None and limit < 1:
        raise HbmArgumentError(f"limit is {limit}; it must be at least 1, or None for all violations")
    if end_tick is not None:
        _check_end(end_tick)
    log = as_command_log(command_log)
    history = 0
    if initial is not None:
        before = as_command_log(initial)
        history = len(before)
        log = np.concatenate([before, log])
    limits = limits_of(device)
    end_tick = max(int(end_tick or 0), int(log["tick"].max(initial=0)))
    _guard_range(log, limits, end_tick)

    findings = list(_unordered(log, history))
    faults, usable = addresses(log, device.organisation, None if system is None else system.stacks)
    findings += faults
    silent = _places(device, system)
    endings: list[Ending] = []
    for rows in _channels(log, usable):
        view = View(log, rows, limits, device.organisation)
        by_bank = view.by_bank()
        findings += _judge(view, by_bank, device, system)
        place = int(log["stack"][rows[0]]), int(log["channel"][rows[0]])
        if silent.pop(place, False):
            asleep = sleeps(view, end_tick * limits.tick)
            late, waiting = _account(by_bank, place, device, system, end_tick, asleep)
            findings += late
            endings += waiting
    empty = View(log, np.empty(0, np.int64), limits, device.organisation)
    for place in silent:
        endings += _account(empty, place, device, system, end_tick)[1]
    violations = _violations(findings, log, history, limits, limit)
    endings.sort(key=lambda ending: (ending.stack, ending.channel, ending.pseudo_channel))
    violations += [_at_end(ending, history, len(log), end_tick, limits, device) for ending in endings[:limit]]
    return violations if limit is None else violations[:limit]


def _places(device: Device, system: Any) -> dict[tuple[int, int], bool]:
    """Stack and channel of all that has to be refreshed."""
    if system is None or system.controller.refresh == "none":
        return {}
    channels = device.organisation.channels
    return {(stack, channel): True for stack in range(system.stacks) for channel in range(channels)}


def _account(
    by_bank: View,
    place: tuple[int, int],
    device: Device,
    system: Any,
    end_tick: int,
    asleep: Sleeps | None = None,
) -> tuple[list[Finding], list[Ending]]:
    return refresh_account(
        by_bank,
        place=place,
        postpone_max=device.postpone_max,
        multiplier=Fraction(system.refresh_multiplier),
        end=end_tick * by_bank.limits.tick,
        asleep=asleep,
    )


def _at_end(
    ending: Ending, history: int, rows: int, end_tick: int, limits: Limits, device: Device
) -> Violation:
    org = device.organisation
    group, bank = divmod(ending.bank, org.banks_per_group)
    sid, group = divmod(group, org.bank_groups)
    return Violation(
        index=rows - history,
        rule=ending.rule,
        command=END,
        previous_index=None if ending.previous < 0 else ending.previous - history,
        time_ps=limits.ps(end_tick * limits.tick),
        required_ps=limits.ps(ending.required),
        actual_ps=limits.ps(ending.actual),
        location=f"stack {ending.stack} channel {ending.channel} pc {ending.pseudo_channel} "
        f"sid {sid} bg {group} bank {bank}",
        detail=ending.detail,
    )


def _check_end(end_tick: object) -> None:
    whole = isinstance(end_tick, int | np.integer) and not isinstance(end_tick, bool)
    if not whole or int(end_tick) < 0:  # type: ignore[call-overload]
        raise HbmArgumentError(
            f"end_tick is {end_tick!r}; it must be a whole number of half clocks from 0 on, or None"
        )


def _parts(thing: Any) -> tuple[Device, Any]:
    if hasattr(thing, "device") and hasattr(thing, "controller"):
        return thing.device, thing
    if hasattr(thing, "timing") and hasattr(thing, "organisation"):
        return thing, None
    raise HbmArgumentError(
        f"check needs a System or a Device, not {type(thing).__name__}; "
        "use hbmmodel.device(NAME) or hbmmodel.System(...)"
    )


def _guard_range(log: Log, limits: Limits, end_tick: int) -> None:
    last = max(end_tick, -int(log["tick"].min(initial=0)))
    longest = max(limits.times.values())
    if last * limits.tick + 16 * longest >= 1 << 62:
        raise HbmOverflowError(
            f"tick {last} of the command log does not fit exact 64-bit times ({limits.per_ps} units per ps); "
            "check the log in shorter parts that start near tick 0"
        )


def _place_key(log: Log) -> npt.NDArray[np.int64]:
    key: npt.NDArray[np.int64] = log["stack"].astype(np.int64) << 16 | log["channel"]
    return key


def _unordered(log: Log, history: int) -> Iterator[Finding]:
    """Rows that should stand earlier; rows are judged in order of time all the same."""
    part = log[history:]
    if len(part) < 2:
        return
    key = _place_key(part)
    backwards = (key[1:] < key[:-1]) | ((key[1:] == key[:-1]) & (part["tick"][1:] < part["tick"][:-1]))
    at = np.flatnonzero(backwards) + 1 + history
    if len(at):
        yield Finding("log.order", at, at - 1, detail="the log is not sorted by (stack, channel, tick)")


def _channels(log: Log, usable: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of each channel in order of time."""
    rows = np.flatnonzero(usable)
    key = _place_key(log)[rows]
    if not len(rows):
        return
    order = np.lexsort((log["tick"][rows], key))
    rows, key = rows[order], key[order]
    yield from np.split(rows, np.flatnonzero(key[1:] != key[:-1]) + 1)


def _judge(view: View, by_bank: View, device: Device, system: Any) -> Iterator[Finding]:
    yield from command_edges(view, precharge_on_any_edge=device.command_bus.pre_any_edge)
    yield from command_buses(view)
    yield from slot_behind_act(view)
    yield from data_bus(view)
    yield from distances(view, by_bank)
    yield from bank_states(by_bank)
    yield from power_distances(view)
    yield from power_states(view)
    yield from bank_sets(view)
    rfm = device.rfm
    yield from activation_counts(by_bank, raaimt=rfm.raaimt, raammt=rfm.raammt, raadec=rfm.raadec)
    if system is None or system.controller.refresh != "none":
        yield from rows_open_too_long(by_bank)
    if system is not None and system.controller.refresh != "none":
        yield from extra_refreshes(view)


def _violations(
    findings: list[Finding], log: Log, history: int, limits: Limits, limit: int | None
) -> list[Violation]:
    """The earliest rows' findings as violations, the worst one of each rule and row."""
    findings = [finding for finding in findings if len(finding.rows)]
    if not findings:
        return []
    rows = np.concatenate([finding.rows for finding in findings])
    source = np.repeat(np.arange(len(findings)), [len(finding.rows) for finding in findings])
    within = np.concatenate([np.arange(len(finding.rows)) for finding in findings])
    judged = np.flatnonzero(rows >= history)
    judged = judged[np.argsort(rows[judged], kind="stable")]
    violations: list[Violation] = []
    row, worst = -1, dict[tuple[str, str], tuple[int, Finding, int]]()
    for number in judged.tolist():
        if rows[number] != row:
            violations += _of_row(row, worst, log, history, limits)
            if limit is not None and len(violations) >= limit:
                return violations[:limit]
            row, worst = int(rows[number]), {}
        finding, at = findings[int(source[number])], int(within[number])
        missing = 0
        if finding.actual is not None and finding.required is not None:
            missing = int(abs(finding.required[at] - finding.actual[at]))
        key = finding.rule, finding.detail
        if key not in worst or missing > worst[key][0]:
            worst[key] = (missing, finding, at)
    violations += _of_row(row, worst, log, history, limits)
    return violations if limit is None else violations[:limit]


def _of_row(
    row: int, worst: dict[tuple[str, str], tuple[int, Finding, int]], log: Log, history: int, limits: Limits
) -> Iterator[Violation]:
    for _, finding, at in worst.values():
        previous = int(finding.previous[at])
        timed = finding.actual is not None and finding.required is not None
        yield Violation(
            index=row - history,
            rule=finding.rule,
            command=command_name(int(log["command"][row])),
            previous_index=None if previous < 0 else previous - history,
            time_ps=limits.ps(int(log["tick"][row]) * limits.tick),
            required_ps=limits.ps(finding.required[at]) if timed and finding.required is not None else None,
            actual_ps=limits.ps(finding.actual[at]) if timed and finding.actual is not None else None,
            location=_location(log[row]),
            detail=finding.detail,
        )


def _location(entry: Any) -> str:
    text = f"stack {entry['stack']} channel {entry['channel']} pc {entry['pseudo_channel']}"
    code = int(entry["command"])
    if code > Command.SRX or WITHOUT_BANK >> code & 1:
        return text
    text += f" sid {entry['sid']} bg {entry['bank_group']} bank {entry['bank']}"
    if code == Command.ACT or code in COLUMN_COMMANDS:
        text += f" row {entry['row']}"
    if code in COLUMN_COMMANDS:
        text += f" column {entry['column']}"
    return text
