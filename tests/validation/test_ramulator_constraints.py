"""The table of timing constraints of Ramulator 2.1 against our timing tables, row by row."""

import copy
import json
import lzma
from pathlib import Path

import pytest

from hbmmodel.errors import HbmTraceError
from hbmmodel.validate.constraints import compare, read_tables
from hbmmodel.validate.ramulator_report import constraint_tables

FILE = Path(__file__).parent / "data" / "ramulator" / "timing_constraints.json.xz"
TABLES = read_tables(FILE)


@pytest.fixture(scope="module")
def rows():
    return compare(TABLES)


def test_every_row_of_the_simulator_holds_in_our_tables(rows):
    theirs = [row for row in rows if row["expr"] is not None]
    assert len(theirs) == sum(len(table["constraints"]) for table in TABLES) == 462
    assert [row for row in theirs if row["status"] != "same"] == []


def test_numbers_differ_only_by_the_edge_or_where_nothing_can_be_seen(rows):
    differing = [row for row in rows if row["expr"] is not None and row["expected"] != row["ours"]]
    hidden = [row for row in differing if row["reason"].startswith("never seen")]
    rounded = [row for row in differing if row["reason"].startswith("the command can start on rising edges")]
    assert len(hidden) + len(rounded) == len(differing)
    assert {(row["preceding"], row["following"], row["expr"]) for row in hidden} == {
        ("REFpb", "ACT", "nRRDL"),
        ("RFMpb", "ACT", "nRRDL"),
    }
    assert all(row["ours"] == row["expected"] + 1 for row in rounded)
    assert {row["expr"] for row in rounded} == {"nRCDRD", "nRCDWR", "command bus occupancy"}


def test_every_rule_that_only_we_have_is_explained(rows):
    ours = [row for row in rows if row["expr"] is None]
    assert ours
    assert all(row["status"] == "deviation" for row in ours)
    assert [row for row in ours if row["reason"] in ("", "unexplained")] == []


def test_the_rules_behind_the_relaxations_are_among_them(rows):
    hbm3 = [row for row in rows if row["expr"] is None and row["table"].startswith("HBM3_16Gb_8hi")]
    found = {
        (row["level"], row["preceding"], row["following"]): (row["expected"], row["ours"]) for row in hbm3
    }
    assert found["window of 4", "ACT, ACT, ACT, ACT", "REFpb"] == (34, 50)
    assert found["window of 4", "REFpb, ACT, ACT, ACT", "ACT"] == (38, 46)
    assert found["same bank group", "ACT", "REFpb"] == (10, 12)
    assert found["same bank", "REFpb", "REFpb"] == (16, 640)
    assert found["same bank", "REFpb", "REFab"] == (None, 640)
    hbm4 = {(row["level"], row["preceding"], row["following"]) for row in rows if row["table"][:4] == "HBM4"}
    assert ("same bank group", "ACT", "REFpb") not in hbm4


@pytest.mark.parametrize("change", [-4, 4])
@pytest.mark.parametrize(
    ("preceding", "following", "expr"),
    [
        ("ACT", "ACT", "nFAW"),
        ("ACT", "RD", "nRCDRD"),
        ("WR", "RD", "nCWL + nBL + nWTRS"),
        ("PREpb", "PREpb", "nPPD"),
        ("REFpb", "ACT", "nRFCpb"),
        ("WRA", "REFab", "nCWL + nBL + nWR + nRP"),
        ("ACT", "PREpb", "command bus occupancy"),
    ],
)
def test_a_wrong_number_is_a_deviation(preceding, following, expr, change):
    table = copy.deepcopy(TABLES[0])
    (row,) = (
        row
        for row in table["constraints"]
        if (row["preceding"], row["following"], row["expr"]) == (preceding, following, expr)
    )
    row["effective_ticks"] += change
    found = compare([table])
    marked = [each for each in found if each["status"] == "deviation" and each["reason"] == "unexplained"]
    assert marked
    assert {(each["preceding"], each["following"]) for each in marked} <= {
        (preceding, following),
        ("ACT, ACT, ACT, ACT", following),
    }


def test_plain_files_are_read_too(tmp_path):
    plain = tmp_path / "timing_constraints.json"
    plain.write_bytes(lzma.decompress(FILE.read_bytes()))
    assert read_tables(plain) == TABLES


def test_the_report_names_every_reason(rows):
    text = constraint_tables(rows)
    assert "| HBM4_32Gb_8Hi + HBM4_8000Mbps | 121 | 121 | 110 | 0 |" in text
    assert text.count("four-activate window") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "expected an object with a list 'tables'"),
        (b'{"tables": [3]}', "expected an object with a list 'tables'"),
        (b"{", "line 1: not JSON"),
        (b"\xff", "not readable as JSON"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, content, message):
    path = tmp_path / "timing_constraints.json"
    path.write_bytes(content)
    with pytest.raises(HbmTraceError, match=message):
        read_tables(path)
    with pytest.raises(HbmTraceError, match="cannot be read"):
        read_tables(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("timing_preset", "LPDDR6", "timing_preset must start with one of HBM3, HBM4"),
        ("constraints", [], "holds no constraints"),
        ("constraints", [{"level": "Bank"}], "not a constraint"),
        ("timing_CK", {}, "timing_CK: nCL = None"),
        ("org", None, "object org is missing"),
    ],
)
def test_bad_tables_are_one_clear_line(field, value, message):
    table = {**json.loads(json.dumps(TABLES[0])), field: value}
    with pytest.raises(HbmTraceError, match=message):
        compare([table])
