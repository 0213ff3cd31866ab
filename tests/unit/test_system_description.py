"""A system description refuses what cannot be, and derives what follows from it."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hbmmodel.device import device
from hbmmodel.errors import HbmArgumentError, HbmDeviceError, HbmPolicyError
from hbmmodel.system import PAGE_POLICIES, POWER_POLICIES, REFRESH_POLICIES, SCHEDULERS, Controller, System

HBM4 = device("HBM4_8000", variant="24Gb_12H")


@pytest.mark.parametrize(
    ("field", "choices"),
    [
        ("scheduler", SCHEDULERS),
        ("page_policy", PAGE_POLICIES),
        ("refresh", REFRESH_POLICIES),
        ("power", POWER_POLICIES),
    ],
)
def test_an_unknown_policy_lists_the_choices(field: str, choices: tuple[str, ...]) -> None:
    with pytest.raises(HbmPolicyError) as error:
        Controller(**{field: "fifo"})
    assert field in str(error.value) and "'fifo'" in str(error.value)
    assert all(choice in str(error.value) for choice in choices)
    for choice in choices:
        assert getattr(Controller(**{field: choice}), field) == choice


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"read_queue": 0}, "read_queue"),
        ({"read_queue": 1025}, "read_queue"),
        ({"write_queue": 0}, "write_queue"),
        ({"write_queue": 1025}, "write_queue"),
        ({"read_queue": 8.5}, "read_queue"),
        ({"read_queue": True}, "read_queue"),
        ({"read_queue": "64"}, "read_queue"),
        ({"cap": 0}, "cap"),
        ({"timeout_ns": 0.0}, "timeout_ns"),
        ({"timeout_ns": -1.0}, "timeout_ns"),
        ({"timeout_ns": math.nan}, "timeout_ns"),
        ({"timeout_ns": math.inf}, "timeout_ns"),
        ({"timeout_ns": "200"}, "timeout_ns"),
        ({"timeout_ns": None}, "timeout_ns"),
        ({"write_high": 65}, "write_high"),
        ({"write_high": 0}, "write_high"),
        ({"write_low": -1}, "write_low"),
        ({"write_low": 64}, "write_low"),
        ({"write_high": 10, "write_low": 10}, "write_low"),
        ({"write_low": 60}, "write_low"),
        ({"refresh_postpone": -1}, "refresh_postpone"),
        ({"refresh_pull_in": -1}, "refresh_pull_in"),
        ({"power_down_after_ns": -1.0}, "power_down_after_ns"),
        ({"power_down_after_ns": "soon"}, "power_down_after_ns"),
        ({"self_refresh_after_ns": math.inf}, "self_refresh_after_ns"),
        ({"self_refresh_after_ns": 2e12}, "self_refresh_after_ns"),
    ],
)
def test_a_controller_field_out_of_range_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(HbmPolicyError, match=named) as error:
        Controller(**fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"stacks": 0}, "stacks"),
        ({"stacks": 65}, "stacks"),
        ({"stacks": 1.0}, "stacks"),
        ({"granule_bytes": 16}, "granule_bytes"),
        ({"granule_bytes": 96}, "granule_bytes"),
        ({"granule_bytes": 8192}, "granule_bytes"),
        ({"host_latency_ns": -1}, "host_latency_ns"),
        ({"host_latency_ns": math.inf}, "host_latency_ns"),
        ({"host_latency_ns": math.nan}, "host_latency_ns"),
        ({"window_bytes": -1}, "window_bytes"),
        ({"window_bytes": 0.5}, "window_bytes"),
        ({"refresh_multiplier": 2.0}, "refresh_multiplier"),
        ({"refresh_multiplier": 0}, "refresh_multiplier"),
        ({"mapping": ""}, "mapping"),
        ({"mapping": None}, "mapping"),
        ({"controller": "frfcfs"}, "controller"),
    ],
)
def test_a_system_field_out_of_range_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(HbmArgumentError, match=named) as error:
        System(HBM4, **fields)
    assert "\n" not in str(error.value)


def test_a_device_given_by_name_only_is_refused_with_the_remedy() -> None:
    with pytest.raises(HbmArgumentError, match=r"hbmmodel\.device\(NAME\)"):
        System("HBM4_8000")  # type: ignore[arg-type]


def test_the_limits_themselves_are_allowed() -> None:
    Controller(read_queue=1, write_queue=1)
    Controller(read_queue=1024, write_queue=1024, write_high=1024, write_low=1023)
    System(HBM4, stacks=64, granule_bytes=32, window_bytes=0, host_latency_ns=0)
    System(HBM4, stacks=np.int64(2), granule_bytes=4096)


@pytest.mark.parametrize("write_queue", [1, 2, 3, 7, 8, 64, 1024])
def test_default_watermarks_are_seven_eighths_and_one_eighth_and_always_apart(write_queue: int) -> None:
    high, low = Controller(write_queue=write_queue).watermarks
    assert high == max(1, write_queue * 7 // 8)
    assert 0 <= low < high <= write_queue
    assert low == write_queue // 8 or write_queue < 8


def test_a_low_write_high_pulls_the_default_of_write_low_below_it() -> None:
    assert Controller(write_queue=64, write_high=4).watermarks == (4, 3)


@pytest.mark.parametrize(
    ("refresh", "postpone", "pull_in", "expected"),
    [
        ("per_bank", None, 0, (24, 0)),
        ("all_bank", None, 0, (0, 0)),
        ("none", None, 5, (0, 0)),
        ("per_bank", 7 * 48, 0, (336, 0)),
        ("per_bank", 3 * 48, 4 * 48, (144, 192)),
        ("all_bank", 8, 0, (8, 0)),
        ("all_bank", 3, 5, (3, 5)),
    ],
)
def test_refresh_limits_follow_the_policy(
    refresh: str, postpone: int | None, pull_in: int, expected: tuple[int, int]
) -> None:
    controller = Controller(refresh=refresh, refresh_postpone=postpone, refresh_pull_in=pull_in)
    policy = System(HBM4, controller=controller).policy()
    assert (policy["postpone"], policy["pull_in"]) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"refresh": "per_bank", "refresh_postpone": 7 * 48 + 1},
        {"refresh": "per_bank", "refresh_postpone": 4 * 48, "refresh_pull_in": 3 * 48 + 1},
        {"refresh": "all_bank", "refresh_postpone": 9},
        {"refresh": "all_bank", "refresh_postpone": 4, "refresh_pull_in": 5},
    ],
)
def test_more_late_or_early_refreshes_than_the_standard_allows_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(HbmPolicyError, match=r"refresh_postpone is \d+ .*may add up to (8|336); lower"):
        System(HBM4, controller=Controller(**fields))


def test_counts_of_a_whole_machine() -> None:
    system = System(HBM4, stacks=8)
    assert (system.n_channels, system.n_pseudo_channels) == (256, 512)
    assert system.capacity_bytes == 8 * 36 * 2**30
    assert system.peak_gb_per_s == 8 * 2048.0
    assert system.tick_ps == Fraction(250)


@pytest.mark.parametrize(("window_bytes", "bursts"), [(0, 0), (1, 1), (2047, 1), (4096, 2), (1 << 20, 512)])
def test_the_window_is_shared_by_the_pseudo_channels_of_a_stack(window_bytes: int, bursts: int) -> None:
    for stacks in (1, 8):
        assert System(HBM4, stacks=stacks, window_bytes=window_bytes).window_bursts == bursts


@pytest.mark.parametrize(("time_ns", "ticks"), [(60.0, 240), (60.1, 241), (0.25, 1), (0.3, 2), (0.1, 1), (7.5, 30)])
def test_times_are_rounded_up_to_ticks_as_they_are_written(time_ns: float, ticks: int) -> None:
    system = System(HBM4, host_latency_ns=time_ns, controller=Controller(timeout_ns=time_ns))
    assert (system.host_ticks, system.timeout_ticks) == (ticks, ticks)
    assert System(HBM4, host_latency_ns=0).host_ticks == 0


@pytest.mark.parametrize(("multiplier", "scale"), [(1.0, 1), (0.5, 2), (0.25, 4), (1, 1)])
def test_the_policy_of_the_core_holds_no_open_defaults(multiplier: float, scale: int) -> None:
    policy = System(HBM4, refresh_multiplier=multiplier).policy()
    assert policy == {
        "scheduler": "frfcfs",
        "cap": 16,
        "page_policy": "open",
        "timeout_ticks": 800,
        "refresh": "per_bank",
        "postpone": 24,
        "pull_in": 0,
        "refresh_scale": scale,
        "read_queue": 64,
        "write_queue": 64,
        "write_high": 56,
        "write_low": 8,
    }


def test_systems_are_frozen_hashable_and_picklable() -> None:
    system = System(HBM4, stacks=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        system.stacks = 3  # type: ignore[misc]
    assert len({system, System(HBM4, stacks=2), System(HBM4)}) == 2
    assert pickle.loads(pickle.dumps(system)) == system


@pytest.mark.parametrize(
    "system",
    [
        System(HBM4),
        System(
            device("HBM3_6400", tRCDRD_ns=14, rfm=True),
            stacks=8,
            controller=Controller("frfcfs_cap", 4, "timeout", 0.1, "all_bank", 3, 2, 32, 48, 40, 2),
            granule_bytes=1024,
            host_latency_ns=0.1,
            window_bytes=0,
            refresh_multiplier=0.25,
        ),
    ],
    ids=["defaults", "everything set"],
)
def test_a_system_survives_json(system: System) -> None:
    again = System.from_dict(json.loads(json.dumps(system.to_dict())))
    assert again == system
    assert again.content_hash() == system.content_hash()
    assert again.device.content_hash() == system.device.content_hash()
    assert again.device.tck_ps == system.device.tck_ps


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("stacks",), "two", "stacks"),
        (("stacks",), 0, "stacks"),
        (("controller", "scheduler"), "fifo", "scheduler"),
        (("device", "organisation", "rows"), -1, "rows"),
        (("device", "tck_ps"), "1/0", "system"),
        (("device", "tck_ps"), None, "tck_ps"),
        (("device", "timing", "tRP", "ck"), "x", "system"),
        (("device",), None, "device"),
    ],
)
def test_a_damaged_description_is_refused_with_its_path(path: tuple[str, ...], value: Any, named: str) -> None:
    content = json.loads(json.dumps(System(HBM4).to_dict()))
    part = content
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises((HbmArgumentError, HbmPolicyError, HbmDeviceError), match=named):
        System.from_dict(content)


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "9" * 19, "-1", "1/0", "nan", "", "0x10", "9" * 5000])
def test_exact_times_of_a_saved_system_are_plain_and_bounded(text: str) -> None:
    content = System(HBM4).to_dict()
    content["device"]["timing"]["RL"]["ns"] = text
    with pytest.raises(HbmArgumentError, match="an exact number is a string such as") as error:
        System.from_dict(content)
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


def test_a_time_of_many_digits_is_kept() -> None:
    system = System(device("HBM4_8000", tRRDS_ns=5e-324))
    assert System.from_dict(json.loads(json.dumps(system.to_dict()))) == system


def test_a_description_without_a_device_is_refused() -> None:
    content = System(HBM4).to_dict()
    del content["device"]
    with pytest.raises(HbmArgumentError, match="device"):
        System.from_dict(content)


@pytest.mark.parametrize(
    "other",
    [
        System(HBM4, stacks=2),
        System(HBM4, mapping="row-column-bank-channel"),
        System(HBM4, granule_bytes=512),
        System(HBM4, host_latency_ns=61),
        System(HBM4, window_bytes=0),
        System(HBM4, refresh_multiplier=0.5),
        System(HBM4, controller=Controller(cap=15)),
        System(HBM4, controller=Controller(power="power_down_idle")),
        System(device("HBM4_8000", variant="24Gb_8H")),
    ],
)
def test_the_content_hash_sees_every_field(other: System) -> None:
    assert other.content_hash() != System(HBM4).content_hash()


def test_the_content_hash_does_not_see_how_a_default_was_spelled() -> None:
    spelled = Controller(write_high=56, write_low=8, refresh_postpone=24)
    assert System(HBM4, controller=spelled).content_hash() == System(HBM4).content_hash()


def test_the_content_hash_sees_the_idle_times_of_power_states_and_only_of_those() -> None:
    hashes = {
        System(HBM4, controller=Controller(power=power, power_down_after_ns=after)).content_hash()
        for power in ("never", "power_down_idle")
        for after in (100, 200)
    }
    assert len(hashes) == 3


@pytest.mark.parametrize("power", POWER_POLICIES[1:])
def test_a_device_without_power_states_goes_with_never_only(power: str) -> None:
    bare = device("X_RAMULATOR21_HBM4_8000")
    System(bare)
    with pytest.raises(HbmPolicyError, match=r"no power states.*power='never'"):
        System(bare, controller=Controller(power=power))


def test_a_description_saved_before_there_were_power_states_is_read() -> None:
    content = System(HBM4).to_dict()
    for name in ("power", "power_down_after_ns", "self_refresh_after_ns"):
        del content["controller"][name]
    assert System.from_dict(content) == System(HBM4)


def test_the_policies_are_those_that_the_core_describes() -> None:
    core = pytest.importorskip("hbmmodel._core", exc_type=ImportError)
    names = {kind: tuple(entry["name"] for entry in entries) for kind, entries in core.policies().items()}
    assert names == {
        "scheduler": SCHEDULERS, "page_policy": PAGE_POLICIES, "refresh": REFRESH_POLICIES, "power": POWER_POLICIES
    }  # fmt: skip


@pytest.mark.parametrize(
    "controller",
    [
        Controller(),
        Controller("fcfs", 1, "timeout", 1e9, "all_bank", 4, 4, 1, 1, 1, 0),
        Controller("frfcfs_cap", 1_000_000, "closed", 0.1, "per_bank", 168, 168, 1024, 1024, 1024, 1023),
        Controller(refresh="none", refresh_postpone=5000),
        Controller(power="aggressive", power_down_after_ns=0, self_refresh_after_ns=1e12),
    ],
)
def test_the_core_takes_every_controller_that_is_valid_here(controller: Controller) -> None:
    core = pytest.importorskip("hbmmodel._core", exc_type=ImportError)
    system = System(HBM4, controller=controller, host_latency_ns=1e6, window_bytes=1 << 50)
    core.CoreSystem(
        system.map.core,
        system.policy(),
        host_ticks=system.host_ticks,
        window=system.window_bursts,
        threads=1,
        command_log=False,
        epoch_ticks=1000,
    )
