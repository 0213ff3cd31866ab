"""What banks, addresses and buses allow, one broken log for each."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import check_logs as logs
import numpy as np
import pytest

import hbmmodel  # noqa: E402
from hbmmodel.check import Violation, check  # noqa: E402
from hbmmodel.commands import COMMAND_DTYPE, Command, command_log  # noqa: E402
from hbmmodel.errors import HbmArgumentError, HbmOverflowError  # noqa: E402
from hbmmodel.system import Controller, System  # noqa: E402

ACT, PREpb, PREab, RD, WR, RDA, WRA, REFab, REFpb, RFMab, RFMpb = (Command(code) for code in range(11))
at, up = logs.at, logs.up
LATE = 400
LATER = 1000


# ---- state of the banks ----


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
@pytest.mark.parametrize(
    ("expected", "rows"),
    [
        ("state.ACT_open_bank", [at(0, ACT), at(LATER, ACT)]),
        ("state.column_closed_bank", [at(0, RD)]),
        ("state.column_closed_bank", [at(0, ACT), at(LATE, PREpb), at(LATER, WR)]),
        ("state.column_closed_bank", [at(0, ACT), at(LATE, PREab), at(LATER, RD)]),
        ("state.column_closed_bank", [at(0, ACT), at(LATE, RDA), at(LATER, RD)]),
        ("state.column_closed_bank", [at(0, ACT), at(LATE, WRA), at(LATER, WR)]),
        ("state.column_closed_bank", [at(0, ACT), at(LATE, RD, (0, 0, 1))]),
        ("state.column_closed_bank", [at(0, ACT), at(LATE, RD, pc=1)]),
        ("state.column_closed_bank", [at(0, ACT), at(LATE, RD, channel=1)]),
        ("state.column_wrong_row", [at(0, ACT), at(LATE, RD, row=8)]),
        ("state.REFpb_open_bank", [at(0, ACT), at(LATE, REFpb)]),
        ("state.RFMpb_open_bank", [at(0, ACT), at(LATE, RFMpb)]),
        ("state.REFab_open_bank", [at(0, ACT, (1, 1, 3)), at(LATE, REFab)]),
        ("state.RFMab_open_bank", [at(0, ACT, (1, 1, 3)), at(LATE, RFMab)]),
    ],
)
def test_forbidden_by_the_state_of_the_bank(expected: str, rows: list[Any], spec: tuple[str, str]) -> None:
    violations = check(logs.Made(*spec).device, command_log(rows))
    assert [v.rule for v in violations] == [expected]
    assert violations[0].index == len(rows) - 1
    assert violations[0].required_ps is None


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
@pytest.mark.parametrize(
    "rows",
    [
        [at(0, ACT), at(LATE, RD), at(LATER, PREpb), at(1400, ACT, row=9), at(1800, WR, row=9)],
        [at(0, ACT), at(LATE, PREab), at(LATER, REFab)],
        [at(0, ACT), at(LATE, RDA), at(LATER, REFpb)],
        [at(0, ACT, pc=1), at(LATE, REFab)],
        [at(0, ACT, (0, 0, 1)), at(LATE, REFpb)],
        [at(0, PREab), at(LATE, PREpb)],
        [at(0, ACT), at(100, ACT, (0, 0, 1), row=9), at(LATE, RD), at(LATE + 20, RD, (0, 0, 1), row=9)],
    ],
)
def test_allowed_by_the_state_of_the_bank(rows: list[Any], spec: tuple[str, str]) -> None:
    assert logs.rules(logs.Made(*spec).device, rows) == []


def test_every_open_bank_does_not_repeat_the_same_breach() -> None:
    rows = [at(n * 20, ACT, (0, n % 2, n)) for n in range(4)]
    violations = check(logs.Made(*logs.HBM4_12H).device, command_log([*rows, at(LATER, REFab)]))
    assert [v.rule for v in violations] == ["state.REFab_open_bank"]


# ---- addresses ----


@pytest.mark.parametrize(
    ("spec", "field", "highest"),
    [
        (logs.HBM3, "row", 16383),
        (logs.HBM3E, "row", 24575),
        (logs.HBM4_12H, "row", 12287),
        (logs.HBM2E, "row", 32767),
        (logs.HBM3, "sid", 1),
        (logs.HBM4_12H, "sid", 2),
        (logs.HBM4_16H, "sid", 3),
        (logs.HBM3E, "bank_group", 3),
        (logs.HBM4_12H, "bank_group", 1),
        (logs.HBM3E, "bank", 3),
        (logs.HBM4_12H, "bank", 7),
        (logs.HBM3, "column", 31),
        (logs.HBM3, "channel", 15),
        (logs.HBM4_16H, "channel", 31),
        (logs.HBM2E, "channel", 7),
        (logs.HBM3, "pseudo_channel", 1),
    ],
)
def test_highest_address_exists_and_the_next_does_not(
    spec: tuple[str, str], field: str, highest: int
) -> None:
    made = logs.Made(*spec)
    log = command_log([at(0, ACT), at(LATE, RD)])
    log[field] = highest
    assert check(made.device, log) == []
    log[field] = highest + 1
    found = check(made.device, log)
    assert {v.rule for v in found} == {f"address.{field}"}
    assert {v.index for v in found} == ({1} if field == "column" else {0, 1})
    assert f"{field} must be below {highest + 1}" in str(found[0])


def test_stacks_beyond_the_system_do_not_exist() -> None:
    device = logs.Made(*logs.HBM3).device
    rows = [at(0, ACT, stack=2)]
    assert logs.rules(System(device, stacks=3), rows) == []
    assert logs.rules(System(device, stacks=2), rows) == ["address.stack"]
    assert logs.rules(device, rows) == []


def test_location_fields_of_all_bank_commands_are_ignored() -> None:
    device = logs.Made(*logs.HBM4_12H).device
    assert logs.rules(device, [at(0, REFab, (9, 9, 9)), at(2000, PREab, (9, 9, 9))]) == []


def test_codes_without_a_command_are_reported() -> None:
    log = command_log([at(0, ACT)])
    log["command"] = 15
    assert [v.rule for v in check(logs.Made(*logs.HBM3).device, log)] == ["command.unknown"]


# ---- buses ----


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
def test_pseudo_channels_share_the_row_bus(spec: tuple[str, str]) -> None:
    made = logs.Made(*spec)
    assert logs.rules(made.device, [at(0, ACT), at(4, ACT, pc=1)]) == []
    assert logs.rules(made.device, [at(0, ACT), at(2, ACT, pc=1)]) == ["bus.row"]
    assert logs.rules(made.device, [at(0, ACT), at(0, REFpb, pc=1)]) == ["bus.row"]
    assert logs.rules(made.device, [at(0, REFpb), at(2, ACT, pc=1)]) == []
    assert logs.rules(made.device, [at(0, ACT), at(2, ACT, channel=1)]) == []
    assert logs.rules(made.device, [at(0, ACT), at(2, ACT, stack=1)]) == []


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
def test_pseudo_channels_share_the_column_bus(spec: tuple[str, str]) -> None:
    made = logs.Made(*spec)
    opened = [at(0, ACT), at(4, ACT, pc=1)]
    assert logs.rules(made.device, [*opened, at(LATE, RD), at(LATE + 2, WR, pc=1)]) == []
    assert logs.rules(made.device, [*opened, at(LATE, RD), at(LATE, WR, pc=1)]) == ["bus.column"]


def test_row_and_column_command_may_start_together() -> None:
    made = logs.Made(*logs.HBM4_12H)
    assert logs.rules(made.device, [at(0, ACT), at(LATE, RD), at(LATE, ACT, (0, 1, 0))]) == []


def test_bus_stays_taken_under_a_shorter_command() -> None:
    """A precharge inside an ACT does not free the bus for what comes next."""
    made = logs.Made(*logs.HBM4_12H)
    rows = [at(0, ACT), at(1, PREpb, (0, 0, 1)), at(2, PREpb, (0, 0, 1), pc=1)]
    assert logs.rules(made.device, rows) == ["bus.row", "bus.row"]


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
@pytest.mark.parametrize("command", [ACT, REFpb, REFab, RFMpb, RFMab])
def test_row_commands_start_on_a_rising_edge(command: Command, spec: tuple[str, str]) -> None:
    made = logs.Made(*spec)
    assert logs.rules(made.device, [at(1, command)]) == ["bus.edge"]
    assert logs.rules(made.device, [at(2, command)]) == []


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
def test_column_commands_start_on_a_rising_edge(spec: tuple[str, str]) -> None:
    made = logs.Made(*spec)
    assert logs.rules(made.device, [at(0, ACT), at(LATE + 1, RD)]) == ["bus.edge"]


@pytest.mark.parametrize("spec", logs.DEVICES, ids="_".join)
@pytest.mark.parametrize("command", [PREpb, PREab])
def test_precharges_may_use_either_edge_since_hbm3(command: Command, spec: tuple[str, str]) -> None:
    expected = ["bus.edge"] if spec == logs.HBM2E else []
    assert logs.rules(logs.Made(*spec).device, [at(1, command)]) == expected


@pytest.mark.parametrize("spec", logs.DEVICES[:-1], ids="_".join)
def test_slot_behind_an_act_holds_only_other_precharges(spec: tuple[str, str]) -> None:
    made = logs.Made(*spec)
    for behind in (
        at(3, PREpb, (0, 0, 1)),
        at(3, PREpb, (1, 0, 0)),
        at(3, PREpb, pc=1),
        at(3, PREab, pc=1),
    ):
        assert logs.rules(made.device, [at(0, ACT), behind]) == []
    for behind in (at(3, PREpb), at(3, PREab)):
        assert set(logs.rules(made.device, [at(0, ACT), behind])) == {"bus.pairing", "tRAS"}


def test_bursts_of_a_read_and_a_write_may_not_collide() -> None:
    """With a short tRTW the write's data would meet the read's, though every command distance is kept.

    A device refuses such a tRTW, so it is put past its checks.
    """
    made = logs.Made(*logs.HBM4_12H)
    short = replace(made.device.timing["tRTW"], ns=Fraction(5), ck=Fraction(10))
    object.__setattr__(made.device, "timing", {**made.device.timing, "tRTW": short})
    shift = made.rl - made.wl
    before = [at(0, ACT), at(LATE, RD)]
    assert logs.rules(made.device, [*before, at(LATE + shift + 4, WR)]) == []
    for tick in (LATE + shift - 2, LATE + shift, LATE + shift + 2):
        assert logs.rules(made.device, [*before, at(tick, WR)]) == ["bus.data"]
    assert logs.rules(made.device, [*before, at(LATE + shift - 4, WR)]) == []


# ---- the report ----


def test_violation_says_what_where_and_by_how_much() -> None:
    made = logs.Made(*logs.HBM3E)
    log = command_log([at(0, ACT, (2, 1, 3)), at(64, RD, (2, 1, 3))])
    (violation,) = check(made.device, log)
    assert violation == Violation(
        index=1,
        rule="tRCDRD",
        command="RD",
        previous_index=0,
        time_ps=Fraction(16000),
        required_ps=Fraction(16000),
        actual_ps=Fraction(15500),
        location="stack 0 channel 0 pc 0 sid 2 bg 1 bank 3 row 7 column 3",
    )
    assert str(violation) == (
        "row 1: RD at 16 ns, stack 0 channel 0 pc 0 sid 2 bg 1 bank 3 row 7 column 3: "
        "tRCDRD: 15.5 ns after row 0, at least 16 ns needed"
    )
    assert violation.as_dict()["actual_ps"] == 15500.0
    assert violation.as_dict()["message"] == str(violation)


def test_times_are_exact_where_a_clock_is_no_whole_picosecond() -> None:
    made = logs.Made("HBM3E_9600", "24Gb_12H")  # half a CK = 625/3 ps
    (violation,) = check(made.device, command_log([at(2, ACT), at(50, RD)]))
    assert violation.time_ps == Fraction(50 * 625, 3)
    assert violation.actual_ps == Fraction(46 * 625, 3)


def test_rows_out_of_order_are_reported_and_judged_in_order_of_time() -> None:
    log = command_log([at(0, ACT), at(LATE, RD)])[::-1]
    violations = check(logs.Made(*logs.HBM3).device, log)
    assert [(v.rule, v.index) for v in violations] == [("log.order", 1)]
    wrong_channels = np.concatenate([command_log([at(0, ACT, channel=1)]), command_log([at(0, ACT)])])
    assert [v.rule for v in check(logs.Made(*logs.HBM3).device, wrong_channels)] == ["log.order"]


def test_limit_keeps_the_earliest_rows() -> None:
    log = command_log([at(4 * n, RD, channel=n % 3) for n in range(60)])
    device = logs.Made(*logs.HBM3).device
    everything = check(device, log, limit=None)
    assert len(everything) >= 60
    assert [v.index for v in everything] == sorted(v.index for v in everything)
    assert check(device, log, limit=7) == everything[:7]
    assert check(device, log, limit=1000) == everything
    with pytest.raises(HbmArgumentError, match="limit is 0"):
        check(device, log, limit=0)


def test_log_checked_in_parts_gives_the_same_violations() -> None:
    made = logs.Made(*logs.HBM4_12H)
    log = command_log([at(0, ACT), at(60, RD), at(64, RD), at(200, PREpb), at(260, ACT), at(260, RD, pc=1)])
    whole = check(made.device, log)
    assert len({v.rule for v in whole}) >= 3
    for cut in range(len(log) + 1):
        first = check(made.device, log[:cut])
        second = check(made.device, log[cut:], initial=log[:cut])
        merged = first + second
        assert [(v.rule, v.time_ps) for v in merged] == [(v.rule, v.time_ps) for v in whole]
        for part, full in zip(second, whole[len(first) :], strict=True):
            assert part.index == full.index - cut
            assert part.previous_index is None or part.previous_index == (full.previous_index or 0) - cut


def test_previous_row_in_the_history_is_named_as_such() -> None:
    made = logs.Made(*logs.HBM4_12H)
    log = command_log([at(0, ACT), at(60, RD)])
    (violation,) = check(made.device, log[1:], initial=log[:1])
    assert (violation.index, violation.previous_index) == (0, -1)
    assert "row -1 of initial" in str(violation)


def test_empty_log_is_legal() -> None:
    device = logs.Made(*logs.HBM3).device
    empty = np.empty(0, COMMAND_DTYPE)
    assert check(device, empty) == []
    assert check(System(device), empty) == []
    assert check(device, empty, initial=command_log([at(0, ACT)])) == []


def test_check_is_the_public_function() -> None:
    device = hbmmodel.device("HBM3_6400")
    assert [v.rule for v in hbmmodel.check(device, command_log([at(0, RD)]))] == ["state.column_closed_bank"]


def test_log_is_not_changed() -> None:
    log = command_log([at(0, RD), at(1, REFab, (3, 3, 3))])
    before = log.copy()
    log.flags.writeable = False
    check(logs.Made(*logs.HBM3).device, log)
    assert (log == before).all()


@pytest.mark.parametrize("log", [None, [], np.zeros(3), np.zeros((2, 2), COMMAND_DTYPE)])
def test_what_is_no_log_is_refused_in_one_line(log: Any) -> None:
    with pytest.raises(HbmArgumentError) as caught:
        check(logs.Made(*logs.HBM3).device, log)
    assert "\n" not in str(caught.value)


def test_what_is_no_system_is_refused() -> None:
    with pytest.raises(HbmArgumentError, match="System or a Device, not str"):
        check("HBM3_6400", command_log([]))  # type: ignore[arg-type]


def test_ticks_beyond_exact_integers_are_refused() -> None:
    log = command_log([at(0, ACT)])
    log["tick"] = 1 << 62
    with pytest.raises(HbmOverflowError, match="shorter parts"):
        check(logs.Made("HBM4_10700", "24Gb_12H").device, log)


def test_system_and_its_device_agree() -> None:
    device = logs.Made(*logs.HBM4_12H).device
    rows = [at(0, ACT), at(60, RD)]
    assert logs.rules(System(device, controller=Controller(refresh="none")), rows) == logs.rules(device, rows)
