"""Command logs as arrays, as text and as files, and what a malformed file is told."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbmmodel.commands import (
    COMMAND_DTYPE,
    Command,
    as_command_log,
    command_log,
    command_name,
    format_log,
    read_log,
    to_csv,
    to_parquet,
)
from hbmmodel.device import device
from hbmmodel.errors import HbmArgumentError, HbmTraceError

HEADING = "tick,stack,channel,pseudo_channel,command,sid,bank_group,bank,row,column"


def every_command() -> Any:
    return command_log(
        (
            10 * code,
            code % 3,
            31,
            1,
            code,
            2,
            1,
            7,
            12287 if code in (0, 3, 4, 5, 6) else 0,
            31 if 3 <= code <= 6 else 0,
        )
        for code in range(15)
    )


def test_layout_of_a_log_is_fixed() -> None:
    names = "tick stack channel pseudo_channel command sid bank_group bank row column".split()
    assert COMMAND_DTYPE.names == tuple(names)
    assert [COMMAND_DTYPE[name].str for name in names] == ["<i8", "<u2", "<u2", *["|u1"] * 5, "<u4", "<u2"]
    assert [command.name for command in Command][:11] == (
        "ACT PREpb PREab RD WR RDA WRA REFab REFpb RFMab RFMpb".split()
    )


def test_log_of_tuples_is_sorted_and_keeps_ties() -> None:
    log = command_log(
        [
            (9, 0, 1, 0, 0, 0, 0, 0, 1, 0),
            (9, 0, 0, 0, 3, 0, 0, 0, 2, 0),
            (9, 0, 0, 1, 1, 0, 0, 0, 0, 0),
            (1, 1, 0, 0, 0, 0, 0, 0, 3, 0),
        ]
    )
    assert log[["stack", "channel", "command"]].tolist() == [(0, 0, 3), (0, 0, 1), (0, 1, 0), (1, 0, 0)]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ((0, 0, 0), "has 3 numbers"),
        ((0, 0, 0, 0, 0, 256, 0, 0, 0, 0), "sid is 256"),
        ((-1, *[0] * 9), "tick is -1"),
    ],
)
def test_tuple_that_does_not_fit_is_refused(row: tuple[int, ...], complaint: str) -> None:
    with pytest.raises(HbmArgumentError, match=complaint):
        command_log([row])


def test_other_integer_widths_and_orders_are_accepted() -> None:
    log = every_command()
    wide = np.zeros(len(log), [(name, "i8") for name in reversed(COMMAND_DTYPE.names or ())])
    for name in COMMAND_DTYPE.names or ():
        wide[name] = log[name]
    assert (as_command_log(wide) == log).all()
    assert as_command_log(log) is log
    wide["row"][3] = 1 << 33
    with pytest.raises(HbmArgumentError, match="row 3 of the command log: row is 8589934592"):
        as_command_log(wide)


def test_missing_or_fractional_fields_are_refused() -> None:
    with pytest.raises(HbmArgumentError, match="no field column"):
        as_command_log(np.zeros(1, [(name, "i8") for name in (COMMAND_DTYPE.names or ())[:-1]]))
    with pytest.raises(HbmArgumentError, match="field tick of the command log is float64"):
        as_command_log(np.zeros(1, [(name, "f8") for name in COMMAND_DTYPE.names or ()]))
    with pytest.raises(HbmArgumentError, match="command_log=True"):
        as_command_log(None)


def test_names_of_codes() -> None:
    assert [command_name(code) for code in (0, 10, 15, 255)] == ["ACT", "RFMpb", "command 15", "command 255"]


def test_text_form_shows_time_and_only_fields_that_apply() -> None:
    text = format_log(every_command(), device("HBM4_8000")).splitlines()
    assert len(text) == 16
    by_name = {line.split()[5]: line.split() for line in text[1:]}
    assert by_name["ACT"] == ["0", "0.000", "0", "31", "1", "ACT", "2", "1", "7", "12287"]
    assert by_name["WRA"] == ["60", "15.000", "0", "31", "1", "WRA", "2", "1", "7", "12287", "31"]
    assert by_name["REFab"] == ["70", "17.500", "1", "31", "1", "REFab"]
    assert by_name["REFpb"] == ["80", "20.000", "2", "31", "1", "REFpb", "2", "1", "7"]
    assert (
        format_log(every_command(), device("HBM4_8000"), limit=4).splitlines()[-1]
        == "... 11 more of 15 commands"
    )


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.csv.xz", "log.xz"])
def test_csv_round_trip(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    to_csv(every_command(), path)
    assert (read_log(path) == every_command()).all()
    data = path.read_bytes()
    text = {"gz": gzip.decompress, "xz": lzma.decompress}.get(name.rsplit(".")[-1], bytes)(data).decode()
    assert text.splitlines()[:2] == [HEADING, "0,0,31,1,ACT,2,1,7,12287,0"]
    to_csv(every_command(), path)
    assert path.read_bytes() == data  # no date, no name: the same log gives the same file


def test_parquet_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    to_parquet(every_command(), path)
    assert (read_log(path) == every_command()).all()


def test_empty_log_round_trip(tmp_path: Path) -> None:
    empty = command_log([])
    for write, name in ((to_csv, "a.csv"), (to_parquet, "a.parquet")):
        write(empty, tmp_path / name)
        assert read_log(tmp_path / name).dtype == COMMAND_DTYPE
        assert len(read_log(tmp_path / name)) == 0


def test_columns_in_any_order_commands_by_name_or_code(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "note, command ,tick,stack,channel,pseudo_channel,sid,bank_group,bank,row,column\r\n"
        "first,REFpb, 12 ,0,0,1,0,0,3,0,0\r\n\r\nsecond,3,20,0,0,1,0,0,3,5,6\r\n"
    )
    assert read_log(path).tolist() == [(12, 0, 0, 1, 8, 0, 0, 3, 0, 0), (20, 0, 0, 1, 3, 0, 0, 3, 5, 6)]


def test_order_of_the_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"{HEADING}\n20,0,0,0,ACT,0,0,0,5,0\n10,0,0,0,ACT,0,0,0,5,0\n")
    assert read_log(path)["tick"].tolist() == [20, 10]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the file is empty"),
        ("tick,row\n", "line 1: the heading's field stack is missing"),
        (f"{HEADING},row\n", "line 1: the heading's field row stands there twice"),
        (f"{HEADING}\n0,0,0,0,ACT,0,0,0,1\n", "line 2: 9 fields, but the heading names 10"),
        (f"{HEADING}\n0,0,0,0,ACT,0,0,0,1,0\n\n1,0,0,0,ACT,0,0,x,1,0\n", "line 4: field bank: 'x'"),
        (
            f"{HEADING}\n0,0,0,0,ATC,0,0,0,1,0\n",
            "line 2: field command: 'ATC' is not a code in 0..255 or one of ACT",
        ),
        (f"{HEADING}\n-4,0,0,0,ACT,0,0,0,1,0\n", "line 2: field tick: '-4'"),
        (f"{HEADING}\n0,0,0,0,ACT,0,0,0,1.5,0\n", "line 2: field row: '1.5'"),
        (f"{HEADING}\n0,0,0,0,ACT,0,0,0,4294967296,0\n", "line 2: field row: '4294967296'"),
        (f"{HEADING}\n0,0,0,0,ACT,0,0,0,,0\n", "line 2: field row: ''"),
        (f"{HEADING}\n0,0,0,0,ACT,0,0,0,1,{'9' * 5000}\n", "line 2: field column"),
    ],
)
def test_malformed_csv_is_told_line_and_field(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(HbmTraceError) as caught:
        read_log(path)
    assert complaint in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\xff\xfe binary",
        gzip.compress(b"tick,stack\n" * 50)[:-12],
        b"\x1f\x8b but not gzip",
        lzma.compress(b"tick,stack\n" * 50)[:-12],
        b"PAR1 but not Parquet",
        b"PAR1",
        f"{HEADING}\n0,0,0,0,\x00ACT,0,0,0,1,0\n".encode(),
    ],
)
def test_damaged_file_is_refused_in_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with pytest.raises(HbmTraceError) as caught:
        read_log(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HbmTraceError, match="cannot be read"):
        read_log(tmp_path / "nowhere.csv")
    with pytest.raises(HbmTraceError, match="cannot be read"):
        read_log(tmp_path)


def test_parquet_without_a_column_or_with_text_is_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    columns = {name: [1] for name in COMMAND_DTYPE.names or ()}
    pq.write_table(pa.table({k: v for k, v in columns.items() if k != "row"}), tmp_path / "a.parquet")
    with pytest.raises(HbmTraceError, match="column row is missing"):
        read_log(tmp_path / "a.parquet")
    pq.write_table(pa.table({**columns, "bank": [None]}), tmp_path / "b.parquet")
    with pytest.raises(HbmTraceError, match="row 0: column bank: None"):
        read_log(tmp_path / "b.parquet")
    pq.write_table(pa.table({**columns, "command": ["RFMpb"]}), tmp_path / "c.parquet")
    assert read_log(tmp_path / "c.parquet")["command"].tolist() == [Command.RFMpb]
