"""A saved result comes back as it was, is never half there, and tells clearly what is wrong with it."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import POWER_STATES, Result, Table, store
from hbmmodel.system import System

Make = Callable[..., Any]


@pytest.fixture
def saved(one_channel: System, make_result: Make, tmp_path: Path) -> Path:
    path: Path = make_result(one_channel, log=True).save(tmp_path / "run")
    return path


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("which", ["one_channel", "eight_stacks"])
def test_a_result_survives_the_disk(
    which: str, log: bool, make_result: Make, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    result = make_result(request.getfixturevalue(which), log=log)
    again = Result.load(result.save(tmp_path / "run"))
    assert again.summary == result.summary
    assert list(again.summary) == list(result.summary)
    assert [type(v) for v in again.summary.values()] == [type(v) for v in result.summary.values()]
    assert again.system == result.system
    for name in ("channels", "operations", "timeline", "power_states", "banks"):
        assert getattr(again, name) == getattr(result, name)
    assert again.histogram.to_table() == result.histogram.to_table()
    assert again.trace == result.trace and again.provenance == result.provenance
    if log:
        assert again.command_log is not None and again.command_log.dtype == result.command_log.dtype
        assert np.array_equal(again.command_log, result.command_log)
    else:
        assert again.command_log is None


def test_a_result_saved_before_there_were_power_states_is_read_and_reported(
    one_channel: System, make_raw: Make, tmp_path: Path
) -> None:
    raw = make_raw(one_channel)
    moved = raw["counters"]["lost_power_state"]
    raw["counters"]["lost_no_request"] += moved
    raw["counters"]["lost_power_state"] = np.zeros_like(moved)
    for name in ("n_pde", "n_sre", *POWER_STATES.values()):
        del raw["counters"][name]
    result = Result.from_raw(one_channel, {}, raw, {})
    newer = ("n_pde", "n_sre", "lost_share_power_state", "lost_ticks_power_state")
    summary = {name: value for name, value in result.summary.items() if name not in newer}
    columns = {name: result.channels[name] for name in result.channels.names if name != "lost_power_state"}
    folder = replace(result, summary=summary, channels=Table(columns)).save(tmp_path / "run")
    (folder / "power_states.parquet").unlink()
    manifest = json.loads((folder / "result.json").read_text())
    del manifest["files"]["power_states.parquet"]
    (folder / "result.json").write_text(json.dumps(manifest))
    again = Result.load(folder)
    assert again.summary == summary
    assert len(again.power_states) == 0 and again.power_states.names == result.power_states.names
    (difference,) = hbm.compare([again, result]).differences
    assert difference.time_ns == 0 and all(term.change == 0 for term in difference.by_cause)
    for suffix in ("txt", "md", "html"):
        assert again.report(tmp_path / f"report.{suffix}").stat().st_size > 0


def test_empty_tables_survive_the_disk(one_channel: System, make_raw: Make, tmp_path: Path) -> None:
    raw = make_raw(one_channel, reads=False)
    raw.update(operations=None, epochs=None)
    result = Result.from_raw(one_channel, {}, raw, {})
    again = Result.load(result.save(tmp_path / "run"))
    assert again.summary == result.summary
    assert again.operations == result.operations and again.timeline == result.timeline


def test_the_manifest_says_what_was_run(saved: Path, one_channel: System) -> None:
    manifest = json.loads((saved / "result.json").read_text())
    assert manifest["device_hash"] == one_channel.device.content_hash()
    assert manifest["system_hash"] == one_channel.content_hash()
    assert manifest["provenance"]["command_line"] == ["hbmmodel", "run"]
    assert {p.name for p in saved.iterdir()} == {*manifest["files"], "result.json"}


def test_saving_again_replaces_the_result_and_keeps_other_files(
    saved: Path, eight_stacks: System, make_result: Make
) -> None:
    (saved / "notes.txt").write_text("mine")
    result = make_result(eight_stacks)
    result.save(saved)
    assert Result.load(saved).summary == result.summary
    assert (saved / "notes.txt").read_text() == "mine"
    assert not (saved / "commands.parquet").exists()
    assert [p.name for p in saved.parent.iterdir()] == ["run"]


def test_a_directory_that_is_not_a_result_is_left_alone(
    one_channel: System, make_result: Make, tmp_path: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(HbmArgumentError, match="not a saved result"):
        make_result(one_channel).save(tmp_path / "thesis")
    (tmp_path / "file").write_text("x")
    with pytest.raises(HbmArgumentError, match="not a directory"):
        make_result(one_channel).save(tmp_path / "file")
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter1.tex"]
    make_result(one_channel).save(tmp_path / "thesis" / "run")


def test_an_empty_directory_is_a_fine_place(one_channel: System, make_result: Make, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    make_result(one_channel).save(tmp_path / "run")
    Result.load(tmp_path / "run")


def test_a_missing_parent_is_named(one_channel: System, make_result: Make, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        make_result(one_channel).save(tmp_path / "nowhere" / "run")


def save_often(result: Any, target: Path, barrier: Any, errors: Any) -> None:
    """In a process of its own; slow renames let savers meet that do not keep apart."""
    rename = os.rename

    def slowly(source: Path, to: Path) -> None:
        rename(source, to)
        time.sleep(0.01)

    store.os.rename = slowly  # type: ignore[assignment]
    barrier.wait()
    for _ in range(10):
        try:
            result.save(target)
        except BaseException as error:
            errors.put(repr(error))


def test_results_saved_at_once_are_each_complete(
    one_channel: System, make_result: Make, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    barrier, errors = context.Barrier(2), context.Queue()
    results = [make_result(one_channel, log=log) for log in (False, True)]
    (tmp_path / "run").mkdir()
    savers = [
        context.Process(target=save_often, args=(result, tmp_path / "run", barrier, errors)) for result in results
    ]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join(120)
    assert [saver.exitcode for saver in savers] == [0, 0]
    assert errors.empty(), errors.get()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    last = Result.load(tmp_path / "run")
    names = {*json.loads((tmp_path / "run" / "result.json").read_text())["files"], "result.json"}
    assert {p.name for p in (tmp_path / "run").iterdir()} == names
    assert last.summary == results[0].summary


def test_a_saver_waits_for_the_other(saved: Path, one_channel: System, make_result: Make) -> None:
    done = threading.Event()

    def save() -> None:
        make_result(one_channel).save(saved)
        done.set()

    with store._alone(saved):
        saver = threading.Thread(target=save)
        saver.start()
        assert not done.wait(0.3)
    saver.join(60)
    assert done.is_set()
    assert [p.name for p in saved.parent.iterdir()] == ["run"]


def test_a_lock_left_behind_does_no_harm(saved: Path, one_channel: System, make_result: Make) -> None:
    (saved.parent / ".run.lock").touch()
    make_result(one_channel).save(saved)
    assert [p.name for p in saved.parent.iterdir()] == ["run"]


def test_a_place_that_cannot_be_locked_is_refused_in_one_line(
    saved: Path, one_channel: System, make_result: Make
) -> None:
    (saved.parent / ".run.lock").symlink_to("elsewhere")
    with pytest.raises(HbmArgumentError, match="run cannot be locked for saving: [^\\n]*; name another place$"):
        make_result(one_channel).save(saved)


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_old_result_and_no_litter(
    saved: Path,
    eight_stacks: System,
    make_result: Make,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
) -> None:
    before = Result.load(saved).summary

    def fail(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(store, "_write_summary", fail)
    with pytest.raises(type(failure)):
        make_result(eight_stacks).save(saved)
    assert Result.load(saved).summary == before
    assert [p.name for p in saved.parent.iterdir()] == ["run"]


def test_a_disk_that_is_full_is_told_with_the_name_of_the_result(
    saved: Path, one_channel: System, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("Error writing bytes to file")

    monkeypatch.setattr(store, "_write_summary", fail)
    with pytest.raises(OSError, match="/run cannot be written: Error writing bytes to file; make room, or name"):
        make_result(one_channel).save(saved)


def test_a_rename_that_fails_puts_the_old_result_back(
    saved: Path, eight_stacks: System, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Result.load(saved).summary
    rename = os.rename

    def fail_into_place(source: Path, target: Path) -> None:
        if str(source).endswith(".part"):
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(store.os, "rename", fail_into_place)
    with pytest.raises(HbmArgumentError, match="cannot be replaced by the new result: no; name another"):
        make_result(eight_stacks).save(saved)
    assert Result.load(saved).summary == before
    assert [p.name for p in saved.parent.iterdir()] == ["run"]


@pytest.mark.parametrize("name", ["summary", "channels", "operations", "timeline", "histogram", "commands"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / f"{name}.parquet").unlink()
    with pytest.raises(HbmArgumentError, match=rf"{name}\.parquet is missing"):
        Result.load(saved)


def test_a_damaged_file_is_named(saved: Path) -> None:
    path = saved / "channels.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(HbmArgumentError, match=r"channels\.parquet is damaged.*SHA-256"):
        Result.load(saved)
    path.write_bytes(content[:-5])
    with pytest.raises(HbmArgumentError, match=r"channels\.parquet is damaged.*bytes"):
        Result.load(saved)


def edit(saved: Path, **changes: Any) -> None:
    manifest = json.loads((saved / "result.json").read_text())
    for key, value in changes.items():
        if value is None:
            del manifest[key]
        else:
            manifest[key] = value
    (saved / "result.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2, written by hbmmodel 0.1.0.*upgrade"),
        ({"format_version": "1"}, "'format_version' is '1'"),
        ({"format": "other"}, "'format' is not 'hbmmodel-result'"),
        ({"files": None}, "'files' is missing"),
        ({"files": {}}, "does not list summary.parquet"),
        ({"system": None}, "'system' is missing"),
        ({"system": {"stacks": 1}}, "device"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_told_apart(
    saved: Path, changes: dict[str, Any], message: str
) -> None:
    edit(saved, **changes)
    with pytest.raises(HbmArgumentError, match=message) as error:
        Result.load(saved)
    assert "\n" not in str(error.value) and "run" in str(error.value)


def test_a_file_name_that_leaves_the_directory_is_refused(saved: Path) -> None:
    manifest = json.loads((saved / "result.json").read_text())
    edit(saved, files={**manifest["files"], "../secret": {"bytes": 1, "sha256": ""}})
    with pytest.raises(HbmArgumentError, match="malformed entry"):
        Result.load(saved)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\x00"])
def test_a_manifest_that_is_not_ours_is_refused(saved: Path, content: str) -> None:
    (saved / "result.json").write_text(content)
    with pytest.raises(HbmArgumentError, match=r"result\.json"):
        Result.load(saved)


def test_a_place_without_a_result_is_told(tmp_path: Path) -> None:
    with pytest.raises(HbmArgumentError, match="no such directory"):
        Result.load(tmp_path / "nothing")
    with pytest.raises(HbmArgumentError, match=r"has no result\.json"):
        Result.load(tmp_path)


def change(saved: Path, name: str, make: Callable[[Any], Any]) -> None:
    """Another table in place of the one that was written, with the checksums that it then has."""
    import hashlib

    import pyarrow.parquet as pq

    path = saved / f"{name}.parquet"
    pq.write_table(make(pq.read_table(path)), path)
    manifest = json.loads((saved / "result.json").read_text())
    content = path.read_bytes()
    manifest["files"][path.name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (saved / "result.json").write_text(json.dumps(manifest))


def column(table: Any, name: str, value: Any) -> Any:
    import pyarrow as pa

    return table.set_column(table.column_names.index(name), name, pa.array([value] * table.num_rows))


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("channels", lambda t: t.slice(1), "rows; this system has"),
        ("channels", lambda t: t.drop_columns(["data_ticks"]), "channels.parquet has no column 'data_ticks'"),
        ("channels", lambda t: column(t, "n_rd", "x"), "'n_rd' does not hold numbers"),
        ("channels", lambda t: column(t, "n_rd", -1), "'n_rd' holds values below 0"),
        ("channels", lambda t: column(t, "stack", 1), "does not number the system's stacks"),
        ("operations", lambda t: column(t, "name", 1.5), "'name' does not hold text"),
        ("operations", lambda t: column(t, "end_ns", float("nan")), "'end_ns' holds values that are not finite"),
        ("timeline", lambda t: column(t, "start_ns", 1e9), "lies before 'start_ns'"),
        ("energy", lambda t: t.select(["stack"]), "energy.parquet has no column 'component'"),
        ("power_states", lambda t: t.slice(1), "every power state of every stack once"),
        ("summary", lambda t: t.drop_columns(["time_ns"]), "summary.parquet has no column 'time_ns'"),
        ("summary", lambda t: column(t, "time_ns", "x"), "'time_ns' holds 'x', which is no number"),
        ("summary", lambda t: column(t, "read_latency_ns_p99", None), "'read_latency_ns_p99' is empty"),
    ],
)
def test_tables_that_no_run_has_are_refused_by_table_and_column(
    saved: Path, name: str, make: Callable[[Any], Any], message: str
) -> None:
    change(saved, name, make)
    with pytest.raises(HbmArgumentError, match=message):
        Result.load(saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [("[" * 100_000, "nested too deeply"), ('{"a": NaN}', "NaN is not a finite number"), ('{"a": 1e999}', "finite")],
)
def test_a_manifest_of_hostile_json_is_told_in_one_line(saved: Path, content: str, message: str) -> None:
    (saved / "result.json").write_text(content)
    with pytest.raises(HbmArgumentError, match=message):
        Result.load(saved)
    assert not store.is_result(saved)


@pytest.mark.parametrize("told", [5, [1], {"share_of_bytes": "x"}, {"last": [1]}, {"share_of_bytes": 0.5, "last": 7}])
def test_a_record_of_an_interruption_that_is_none_is_refused(saved: Path, told: Any) -> None:
    edit(saved, provenance={"interrupted": told})
    with pytest.raises(HbmArgumentError, match=r"provenance\.interrupted"):
        Result.load(saved)


def test_a_name_that_is_no_utf_8_survives_the_disk_and_is_reported(
    make_result: Make, one_channel: System, tmp_path: Path
) -> None:
    result = make_result(one_channel)
    name = os.fsdecode(b"a\xff.trace")
    again = Result.load(replace(result, trace={**result.trace, "name": name}).save(tmp_path / "run"))
    assert again.trace["name"] == name
    for suffix in ("txt", "md", "html"):
        assert "udcff.trace" in again.report(tmp_path / f"report.{suffix}").read_text(encoding="utf-8")
