"""One run of the policy set of Ramulator 2.1 in the C core, seen from Python.

It owns the passing of arrays to ``hbm_r21_run`` and back; it must not know files or recorded results.
The policy set itself is described in ``docs/model/ramulator_policies.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hbmmodel.commands import COLUMN_COMMANDS, COMMAND_DTYPE, Command
from hbmmodel.errors import BY_CODE, HbmDeviceError, HbmPolicyError
from hbmmodel.validate.ramulator_inputs import REFRESHES, SCHEDULERS, Places, Requests

__all__ = ["BUFFER", "COMMANDS", "RELAXED", "Outcome", "core_device", "relaxations", "run", "to_command_log"]

BUFFER = 32
"""Reads that the simulator buffers in one channel, and writes."""

COMMANDS = np.dtype(
    [("tick", "<i8"), ("request", "<i8"), ("pc", "<i4"), ("command", "<i4"), ("bank", "<i4"), ("_pad", "<i4")]
)
"""One command of a log; ``request`` is -1 for maintenance, ``bank`` flat within the pseudo-channel ``pc``."""

RELAXED: Mapping[str, tuple[str, ...]] = {
    "HBM3": ("refpb_outside_faw", "act_to_refpb_short"),
    "HBM4": ("refpb_outside_faw",),
}
"""Rules of our timing tables that the simulator lacks, by standard."""


@dataclass(frozen=True)
class Outcome:
    """What a run gives.

    Attributes
    ----------
    counters : dict of str to int
        Fields of ``hbm_r21_result_t``; times in ticks.
    accept, done : int64 array, (n,)
        Tick at which each request was accepted and completed.
    commands : structured array of `COMMANDS`
        The command log; empty unless asked for.
    """

    counters: dict[str, int]
    accept: npt.NDArray[np.int64]
    done: npt.NDArray[np.int64]
    commands: npt.NDArray[np.void]


def relaxations() -> dict[str, tuple[int, str]]:
    """Flag and meaning of every relaxation, by name, as the core describes them.

    Examples
    --------
    >>> sorted(relaxations())
    ['act_to_refpb_short', 'refpb_outside_faw']
    """
    from hbmmodel.capi import ffi, lib

    found: dict[str, tuple[int, str]] = {}
    while (flag := int(lib.hbm_r21_relaxation_flag(len(found)))) != 0:
        i = len(found)
        name = ffi.string(lib.hbm_r21_relaxation_name(i)).decode()
        found[name] = flag, ffi.string(lib.hbm_r21_relaxation_text(i)).decode()
    return found


def core_device(ticks: Mapping[str, int]) -> Any:
    """A device of the C core (freed with the last reference).

    Parameters
    ----------
    ticks : mapping of str to int
        Every field of ``csrc/device_fields.def``.

    Raises
    ------
    HbmDeviceError
        The core refuses a number.
    """
    from hbmmodel.capi import ffi, lib

    names = [ffi.string(lib.hbm_device_field_name(i)).decode() for i in range(lib.hbm_device_n_fields())]
    values = ffi.new("int64_t[]", [ticks[name] for name in names])
    out, bad = ffi.new("hbm_device_t **"), ffi.new("int32_t *")
    code = lib.hbm_device_create(values, len(names), out, bad)
    if code != 0:
        field = f"{names[bad[0]]} = {ticks[names[bad[0]]]}: " if bad[0] >= 0 else ""
        raise BY_CODE.get(code, HbmDeviceError)(f"{field}{ffi.string(lib.hbm_strerror(code)).decode()}")
    return ffi.gc(out[0], lib.hbm_device_free)


def run(
    device: Any,
    requests: Requests,
    places: Places,
    *,
    scheduler: str,
    refresh: str,
    relaxed: tuple[str, ...] = (),
    log: bool = False,
    skip: bool = True,
) -> Outcome:
    """Run one stream of requests through one channel.

    Parameters
    ----------
    device : cffi handle
        From `core_device`.
    requests : Requests
        The stream.
    places : Places
        Where each request goes.
    scheduler, refresh : str
        Names as in a run's name.
    relaxed : tuple of str
        Names of the relaxations in force; none: our timing tables as they are.
    log : bool
        Keep the command log.
    skip : bool
        Leave out ticks at which nothing can happen; the result is the same.

    Raises
    ------
    HbmPolicyError
        A relaxation is unknown.
    HbmError
        As the core reports it.
    """
    from hbmmodel.capi import ffi, lib

    known = relaxations()
    for name in relaxed:
        if name not in known:
            raise HbmPolicyError(f"relaxation {name!r} is unknown; use {', '.join(known)}")
    n = requests.address.size
    policy = ffi.new(
        "hbm_r21_policy_t *",
        {
            "scheduler": SCHEDULERS.index(scheduler),
            "refresh": REFRESHES.index(refresh),
            "relaxations": sum(known[name][0] for name in relaxed),
            "read_buffer": BUFFER,
            "write_buffer": BUFFER,
            "skip": skip,
        },
    )
    inputs = {
        "address": ("uint64_t", np.ascontiguousarray(requests.address)),
        "is_write": ("uint8_t", np.ascontiguousarray(requests.is_write)),
        "tick": ("int64_t", np.ascontiguousarray(requests.tick)),
        "pc": ("int32_t", places.pseudo_channel),
        "bank": ("int32_t", places.bank),
        "row": ("int32_t", places.row),
    }
    stream = ffi.new("hbm_r21_requests_t *", {"n": n})
    for field, (kind, array) in inputs.items():
        setattr(stream, field, ffi.from_buffer(f"{kind}[]", array))
    accept, done = np.zeros(n, np.int64), np.zeros(n, np.int64)
    result = ffi.new("hbm_r21_result_t *")
    capacity = 4 * n + 1024 if log else 0
    while True:
        commands = np.zeros(capacity, COMMANDS)
        code = lib.hbm_r21_run(
            device,
            policy,
            stream,
            ffi.from_buffer("int64_t[]", accept, require_writable=True),
            ffi.from_buffer("int64_t[]", done, require_writable=True),
            ffi.from_buffer("hbm_r21_command_t[]", commands, require_writable=True),
            capacity,
            result,
        )
        if code != 0:
            raise BY_CODE[code](f"run of {n} requests: {ffi.string(lib.hbm_strerror(code)).decode()}")
        if not log or result.n_commands <= capacity:
            break
        capacity = int(result.n_commands)
    counters = {name: int(getattr(result, name)) for name, _ in ffi.typeof("hbm_r21_result_t").fields}
    return Outcome(counters, accept, done, commands[: counters["n_commands"]])


def to_command_log(outcome: Outcome, places: Places, ticks: Mapping[str, int]) -> npt.NDArray[np.void]:
    """The log of a run in the form of `hbmmodel.commands`, for the protocol checker.

    Parameters
    ----------
    outcome : Outcome
        Of a run with its log.
    places : Places
        Of the run's requests.
    ticks : mapping of str to int
        The device.
    """
    commands = outcome.commands
    log = np.zeros(commands.size, COMMAND_DTYPE)
    log["tick"], log["pseudo_channel"], log["command"] = commands["tick"], commands["pc"], commands["command"]
    one_bank = ~np.isin(commands["command"], (Command.PREab, Command.REFab))
    group, bank = np.divmod(commands["bank"], ticks["banks_per_group"])
    sid, bank_group = np.divmod(group, ticks["bank_groups"])
    log["sid"], log["bank_group"], log["bank"] = sid * one_bank, bank_group * one_bank, bank * one_bank
    column = np.isin(commands["command"], list(COLUMN_COMMANDS))
    row = column | (commands["command"] == Command.ACT)
    log["row"][row] = places.row[commands["request"][row]]
    log["column"][column] = places.column[commands["request"][column]]
    return log
