"""The command line: exit codes, one clear line per fault, JSON everywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from cli_cases import fails, told

from hbmmodel.cli import run_cli
from hbmmodel.cli.commands import COMMANDS
from hbmmodel.cli.common import build_system, parse_settings
from hbmmodel.errors import HbmArgumentError, HbmInternalError, HbmTraceError
from hbmmodel.result import KEYS, Result
from hbmmodel.system import System
from hbmmodel.trace.shipped import demo_capture, shipped

Make = Callable[..., Any]
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def saved(one_channel: System, make_result: Make, tmp_path: Path) -> Path:
    path: Path = make_result(one_channel, log=True).save(tmp_path / "run")
    return path


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch, make_result: Make) -> dict[str, Any]:
    """Replace reader and simulator: the command is tested, not the core. Returns what was called."""
    calls: dict[str, Any] = {}

    def read_trace(path: str, **options: Any) -> str:
        calls["read"] = (path, options)
        if "bad" in path:
            raise HbmTraceError(f"{path}: record 3: field 'addr': 'zz' is not a hexadecimal number")
        if "boom" in path:
            raise ZeroDivisionError("1/0")
        if "broken" in path:
            raise HbmInternalError("a law is broken")
        if "slow" in path:
            raise KeyboardInterrupt
        if "huge" in path:
            raise MemoryError
        if "missing" in path:
            open(path)
        return path

    def simulate(system: System, trace: str, **options: Any) -> Result:
        calls.update(system=system, options=options)
        result: Result = make_result(system)
        return result

    for name, attributes in (("trace", {"read_trace": read_trace}), ("sim", {"simulate": simulate})):
        module = ModuleType(f"hbmmodel.{name}")
        module.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, f"hbmmodel.{name}", module)
    return calls


# ---- the program as a whole ----


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "--help")
    assert all(f"  {name} " in text for name in COMMANDS)
    assert told(capsys) == text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, name, "--help")
    assert "--json" in text or name in ("validate", "completion")
    assert COMMANDS[name][1].split(":")[0].split(",")[0].split()[0] in text


def test_usage_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "No such command 'fly'" in fails(capsys, "fly")
    assert "No such command 'device'; did you mean 'devices'?" in fails(capsys, "device")
    assert "--wings" in fails(capsys, "devices", "list", "--wings")
    assert "hbmmodel explain --help" in fails(capsys, "explain")
    assert "--stacks" in fails(capsys, "explain", "0", "--stacks", "two")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import hbmmodel

    assert hbmmodel.__version__ in told(capsys, "--version")


def test_python_m_runs_the_same_program() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "hbmmodel", "devices", "show", "NOPE"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith("hbmmodel: ") and run.stderr.count("\n") == 1 and "NOPE" in run.stderr


def test_a_reader_that_closes_the_pipe_gets_no_traceback() -> None:
    run = subprocess.run(
        f"{sys.executable} -m hbmmodel info --keys | head -n 1",
        shell=True,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.startswith("time_ns") and run.stderr == ""


# ---- devices ----


def test_devices_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "devices")
    assert text == told(capsys, "devices", "list")
    assert "HBM4_8000" in text and "24Gb_12H*" in text
    listed = json.loads(told(capsys, "devices", "--json"))
    assert listed == json.loads(told(capsys, "devices", "list", "--json"))
    (hbm4,) = [d for d in listed if d["name"] == "HBM4_8000"]
    assert hbm4["peak_gb_per_s"] == 2048.0 and hbm4["default_variant"] in hbm4["variants"]


def test_a_device_is_shown_with_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert "tRCDRD" in told(capsys, "devices", "show", "HBM4_8000", "--variant", "24Gb_8H", "--sources")
    shown = json.loads(told(capsys, "devices", "show", "HBM4_8000", "--json"))
    assert shown["timing"]["tRCDRD"]["confidence"] and shown["sources"]
    assert "HBM9" in fails(capsys, "devices", "show", "HBM9")
    assert "99Gb" in fails(capsys, "devices", "show", "HBM4_8000", "--variant", "99Gb")


# ---- the options of a system ----


def options(*settings: str, **chosen: Any) -> dict[str, Any]:
    return {"device": None, "variant": None, "settings": settings, **chosen}


def test_settings_reach_the_system_the_controller_and_the_device() -> None:
    system = build_system(
        **options(
            *("host_latency_ns=80", "cap=8", "write_high=none", "tRCDRD_ns=14", "system.window_bytes=0x1000"),
            *("controller.scheduler=frfcfs_cap", "device.rows=1024"),
            stacks=2,
            read_queue=32,
        )
    )
    assert (system.stacks, system.host_latency_ns, system.window_bytes) == (2, 80.0, 4096)
    assert (system.controller.cap, system.controller.scheduler, system.controller.read_queue) == (
        8,
        "frfcfs_cap",
        32,
    )
    assert float(system.device.timing["tRCDRD"].ns or 0) == 14.0 and system.device.organisation.rows == 1024


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--set", "cap"], "not KEY=VALUE"),
        (["--set", "=8"], "not KEY=VALUE"),
        (["--set", "cap="], "not KEY=VALUE"),
        (["--set", "cap=8", "--set", "cap=9"], "cap is given twice"),
        (["--set", "engine.cap=8"], "begins with system., controller., cooling., trips., device."),
        (["--set", "controller.wings=2"], "the controller has no 'wings'; it has cap,"),
        (["--set", "stacks=2", "--stacks", "2"], "also given as --stacks"),
        (["--set", "wings=2"], "is called 'wings'; system, controller, cooling: bottom_c, cap,"),
        (["--set", "host_latency=80"], "did you mean 'host_latency_ns'?"),
        (["--set", "capp=8"], "did you mean 'cap'?"),
        (["--set", "tRCD_ns=14"], "did you mean 'tRCDRD_ns' or 'tRCDWR_ns'?"),
        (["--set", "tFAWns=14"], "did you mean 'tFAW_ns'?"),
        (["--set", "tFAW=14"], "override 'tFAW' lacks its unit"),
        (["--set", "tCK_ns=14"], "tCK follows from the data rate"),
        (["--set", "tFAW_ns=-12"], "tFAW_ns = -12 is negative; give 0 or more"),
        (["--mapping", "foo"], "unknown field 'foo'; choose from stack, channel"),
        (["--mapping", "foo"], "or name a map: row-bank-column-channel, row-bank-column-channel-hashed"),
        (["--device", "FOO"], "unknown device 'FOO'; devices: HBM2E_3200"),
        (["--device", "none.toml"], "none.toml: No such file or directory; give the path of a preset file"),
        (["--set", "cap=many"], "cap must be a whole number"),
        (["--set", "timeout_ns=nan"], "timeout_ns"),
        (["--scheduler", "fifo"], "choose one of frfcfs"),
        (["--refresh", "never"], "choose one of per_bank"),
        (["--page-policy", "ajar"], "choose one of open"),
        (["--stacks", "65"], "1..64"),
        (["--device", "HBM9"], "HBM9"),
        (["--device", "HBM4_8000", "--variant", "1Gb_1H"], "1Gb_1H"),
    ],
)
def test_a_system_that_cannot_be_is_refused(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in fails(capsys, "explain", "0", *argv)


def test_values_of_settings_are_numbers_where_they_can_be() -> None:
    assert parse_settings(["a=1", "b=1.5", "c=1e3", "d=None", "e=x=y", "f=true"]) == {
        "a": 1,
        "b": 1.5,
        "c": 1000.0,
        "d": None,
        "e": "x=y",
        "f": True,
    }
    assert float(build_system(**options("strict_tccdl=true")).device.timing["tCCDL"].ck) == 5


# ---- run ----


def test_run_passes_everything_on_and_saves(
    fake_run: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    text = told(
        capsys,
        *(
            "run",
            "step.trace",
            "--format",
            "hbmop",
            "--device",
            "HBM4_8000",
            "--set",
            "channels=1",
            "--mode",
            "closed",
        ),
        *(
            "--order",
            "stream",
            "--l2-bytes",
            "1048576",
            "--request-bytes",
            "64",
            "--phase",
            "decode0",
            "--threads",
            "2",
            "--command-log",
            "--wrap",
            *("--thermal", "transient", "--thermal-seconds", "3", "--thermal-start-c", "50"),
        ),
        *("-o", str(target)),
    )
    read = {"format": "hbmop", "with_": None, "phase": ("decode0",), "clock_ns": None, "pages": None}
    assert fake_run["read"] == ("step.trace", read)
    assert fake_run["options"] == {
        "mode": "closed",
        "order": "stream",
        "l2": 1048576,
        "threads": 2,
        "progress": False,
        "command_log": True,
        "command_log_window_ns": None,
        "wrap": True,
        "request_bytes": 64,
        "thermal": "transient",
        "thermal_seconds": 3.0,
        "thermal_start_c": 50.0,
        "thermal_epoch_ns": 10_000.0,
        "on_interrupt": "raise",
    }
    assert fake_run["system"].n_pseudo_channels == 2
    assert "of the 64 GB/s peak" in text and text.endswith(f"Saved in {target}\n")
    assert list(Result.load(target).summary) == list(KEYS)


def test_run_prints_json_or_nothing(fake_run: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(told(capsys, "run", "t", "--set", "channels=1", "--json"))
    assert list(shown["summary"]) == list(KEYS) and shown["system"]["device"]["name"] == "HBM4_8000"
    assert told(capsys, "run", "t", "--set", "channels=1", "--quiet") == ""


def test_run_wants_a_trace_or_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--demo" in fails(capsys, "run")
    assert "--demo" in fails(capsys, "run", "t", "--demo")


def test_the_demo_is_eight_stacks_unless_told_otherwise(
    fake_run: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    told(capsys, "run", "--demo", "--quiet")
    assert fake_run["read"][0] == str(demo_capture())
    system = fake_run["system"]
    assert (system.device.name, system.device.variant, system.stacks) == ("HBM4_8000", "24Gb_12H", 8)
    told(capsys, "run", "--demo", "--quiet", "--device", "HBM3_6400", "--stacks", "1")
    assert (fake_run["system"].device.name, fake_run["system"].stacks) == ("HBM3_6400", 1)


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("bad.trace", 2, "hbmmodel: bad.trace: record 3: field 'addr'"),
        ("missing.trace", 2, "missing.trace: No such file or directory"),
        ("huge.trace", 2, "memory"),
        ("boom.trace", 1, "internal error: ZeroDivisionError: 1/0"),
        ("broken.trace", 1, "internal error: a law is broken"),
        ("slow.trace", 130, "interrupted: nothing written"),
    ],
)
def test_faults_while_running_have_their_exit_code(
    fake_run: dict[str, Any],
    path: str,
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_cli(["run", path, "-o", str(tmp_path / "out")]) == code
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_must_not_be_overwritten_is_refused_before_the_run(
    fake_run: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("x")
    assert "not a saved result" in fails(capsys, "run", "t", "-o", str(tmp_path))
    assert "does not exist" in fails(capsys, "run", "t", "-o", str(tmp_path / "no" / "where"))
    assert fake_run == {}


def test_the_traceback_is_there_for_those_who_ask(
    fake_run: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HBMMODEL_TRACEBACK", "1")
    assert run_cli(["run", "boom.trace"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_place_where_nothing_can_be_made_is_refused_before_the_run(
    fake_run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def mkdir(path: str, mode: int = 0o777) -> None:
        raise OSError(30, "Read-only file system", path)

    monkeypatch.setattr(os, "mkdir", mkdir)
    line = fails(capsys, "run", "t", "-o", str(tmp_path / "x"))
    assert line.endswith(f"{tmp_path / 'x'} cannot be written: Read-only file system; name another directory with -o")
    assert fake_run == {} and list(tmp_path.iterdir()) == []


# ---- messages in the words of the command line ----


def test_messages_name_options_not_arguments_of_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "t.trace"
    trace.write_text("0xfffffffff00 READ 0\n")
    assert "a larger variant, or --wrap" in fails(capsys, "run", str(trace), "--set", "channels=1")
    assert "give --format one of dramsim3" in fails(capsys, "convert", str(trace), str(tmp_path / "x.unknown"))
    trace.write_text("hello\n")
    assert "; give --format one of hbmop" in fails(capsys, "info", str(trace))
    assert "; give --from one of hbmop" in fails(capsys, "convert", str(trace), str(tmp_path / "t.stl"))
    trace.write_text("5: read 0x40\n5: read 0x80\n")
    assert "; give --format 'dramsys-stl' or 'dramsys-rstl'" in fails(capsys, "info", str(trace))
    trace.write_text("# nothing\n")
    assert "only comments, no record; this is no trace" in fails(capsys, "info", str(trace))


def test_an_address_below_zero_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "address -5 is negative" in fails(capsys, "explain", "--", "-5")


# ---- captures that ship, provenance, progress ----


def test_shipped_captures_are_found_by_name() -> None:
    assert shipped() == ["llama31_8b_decode_b1_ctx8192", "llama_tiny_b1_p128_d8"]
    assert all(demo_capture(name).is_file() for name in shipped())
    with pytest.raises(HbmArgumentError, match="no capture 'opt' ships .*: llama31_8b.*, llama_tiny_b1_p128_d8"):
        demo_capture("opt")


def test_provenance_tells_builds_apart() -> None:
    import hashlib

    from hbmmodel import _core
    from hbmmodel.provenance import collect

    assert collect()["core_sha256"] == hashlib.sha256(Path(_core.__file__).read_bytes()).hexdigest()[:16]


def test_the_progress_label_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    from hbmmodel.sim.progress import Bar

    with Bar(True, 10, "llama31_8b_decode_b1_ctx8192.hbmop.jsonl.gz", 32) as bar:
        bar.add(10)
    assert "llama31_8b_decode_b1_ct~:" in capsys.readouterr().err


# ---- info, report, check ----


def test_info_describes_a_saved_result(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "info", str(saved))
    assert "50 commands" in text and "provenance.command_line: hbmmodel run" in text
    assert all(key in text for key in KEYS)
    assert not [line for line in text.splitlines() if line.rstrip(" -").endswith(":") and not line.endswith(": -")]
    assert json.loads(told(capsys, "info", str(saved), "--json"))["summary"] == Result.load(saved).summary


def test_info_wants_exactly_one_subject(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "give one of" in fails(capsys, "info")
    assert "give one of" in fails(capsys, "info", str(saved), "--keys")
    assert json.loads(told(capsys, "info", "--keys", "--json")) == KEYS


def test_report_prints_and_writes(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "report", str(saved)).startswith("1 x HBM4_8000")
    target = tmp_path / "r.md"
    assert told(capsys, "report", str(saved), "-o", str(target)) == f"Report written to {target}\n"
    assert (tmp_path / "r.md").read_text(encoding="utf-8").startswith("# 1 x HBM4")
    assert json.loads(told(capsys, "report", str(saved), "--json"))["summary"]["requests_in"] > 0
    assert "choose one of .txt, .md" in fails(capsys, "report", str(saved), "-o", "r.pdf")
    (saved / "summary.parquet").unlink()
    assert "summary.parquet is missing" in fails(capsys, "report", str(saved))
    assert "no such directory" in fails(capsys, "report", str(tmp_path / "none"))


DRAMSIM3 = "0x40 READ 0\n0x80 WRITE 3\n0x40 READ 9\n"


def test_info_describes_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.trace"
    path.write_text(DRAMSIM3)
    shown = json.loads(told(capsys, "info", str(path), "--json"))
    assert (shown["kind"], shown["format"], shown["requests"], shown["writes"]) == (
        *("requests", "dramsim3", 3, 1),
    )
    text = told(capsys, "info", str(path))
    assert "format: dramsim3" in text and "duration_ns: 9.0" in text
    path.write_text(DRAMSIM3 + "0xzz READ 10\n")
    assert f"{path}" in (line := fails(capsys, "info", str(path))) and "0xzz" in line and "4" in line
    assert "none.trace" in fails(capsys, "info", str(tmp_path / "none.trace"))
    assert "choose one of" in fails(capsys, "info", str(path), "--format", "papyrus")


def test_info_lists_phases_of_a_capture_one_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hbmmodel.trace import Trace

    described = {
        "name": "t",
        "span_bytes": None,
        "phases": {"": {"operations": 1}, "decode0": {"operations": 9}},
    }
    monkeypatch.setattr(Trace, "info", lambda self: described)
    path = tmp_path / "t.trace"
    path.write_text(DRAMSIM3)
    assert told(capsys, "info", str(path)).splitlines() == [
        *("name: t", "span_bytes: -", "phases:", "  (none): operations 1", "  decode0: operations 9")
    ]


def test_convert_writes_the_target_and_says_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "t.trace", tmp_path / "t.stl"
    source.write_text(DRAMSIM3)
    assert "3 requests as dramsys-stl" in told(capsys, "convert", str(source), str(target))
    assert target.read_text().splitlines()[1] == "3:\twrite\t0x80"
    argv = ["convert", str(source), str(tmp_path / "u"), "--format", "dramsim3", "--json"]
    assert json.loads(told(capsys, *argv))["requests"] == 3
    assert "choose another format" not in fails(capsys, "convert", str(source), str(tmp_path / "x.unknown"))
    assert "phase" in fails(capsys, "convert", str(source), str(target), "--phase", "decode0")
    before = source.read_bytes()
    alias = tmp_path / "alias.dramsim3.trace"
    alias.symlink_to(source)
    assert "is read and would be replaced" in fails(capsys, "convert", str(source), str(alias))
    alias.unlink()
    assert source.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.stl", "t.trace", "u"]


LEGAL = """tick,stack,channel,pseudo_channel,command,sid,bank_group,bank,row,column
0,0,0,0,ACT,0,0,0,5,0
200,0,0,0,RD,0,0,0,5,3
"""


@pytest.mark.parametrize(("tick", "code"), [(200, 0), (10, 3)])
def test_check_tells_legal_from_illegal_by_exit_code(
    tick: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hbmmodel.check.inspect_log")
    log = tmp_path / "log.csv"
    log.write_text(LEGAL.replace("200", str(tick)))
    argv = ["check", str(log), "--device", "HBM4_8000", "--refresh", "none"]
    assert run_cli(argv) == code
    text = capsys.readouterr().out
    assert ("tRCDRD" in text) == (code == 3) and ("legal" in text) == (code == 0)
    assert run_cli([*argv, "--json"]) == code
    shown = json.loads(capsys.readouterr().out)
    assert shown["legal"] == (code == 0) and shown["commands"] == 2
    assert {v["rule"] for v in shown["violations"]} == (set() if code == 0 else {"tRCDRD"})


def test_check_tells_what_it_needs(
    saved: Path, tmp_path: Path, one_channel: System, make_result: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hbmmodel.check.inspect_log")
    (tmp_path / "log.csv").write_text(LEGAL)
    assert "--device" in fails(capsys, "check", str(tmp_path / "log.csv"))
    assert "none.csv: no such file or directory" in fails(capsys, "check", str(tmp_path / "none.csv"))
    assert "need --device" in fails(capsys, "check", str(saved), "--stacks", "2")
    assert "[default: HBM4_8000]" not in told(capsys, "check", "--help")
    bare = make_result(one_channel).save(tmp_path / "bare")
    assert "--command-log" in fails(capsys, "check", str(bare))


def test_validate_prints_what_was_computed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"cycles": np.int64(7), "row_hits": 4, "row_misses": 2, "row_conflicts": 1}
    same, other = {"cycles": 0, "latency": {"p50": 0.0}}, {"cycles": -3, "latency": {"p50": 1.5}}
    computed = {
        "stripped": counts,
        "same": {**counts, "difference": same, "command_log": {"mismatches": 0}},
        "other": {**counts, "difference": other, "accept_and_done": {"mismatches": 9}},
    }
    package, module = ModuleType("hbmmodel.validate"), ModuleType("hbmmodel.validate.ramulator")
    module.__dict__["validate"] = lambda directory, progress: computed
    package.__dict__["ramulator"] = module
    monkeypatch.setitem(sys.modules, "hbmmodel.validate", package)
    monkeypatch.setitem(sys.modules, "hbmmodel.validate.ramulator", module)
    shown = json.loads(told(capsys, "validate", "ramulator", "d", "--json"))
    assert list(shown) == list(computed) and shown["other"]["difference"] == other
    lines = told(capsys, "validate", "ramulator", "d").splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["stripped", "same", "other"]
    assert lines[1].endswith("  not recorded") and lines[2].endswith("  none")
    assert lines[3].endswith("  cycles -3, latency p50 +1.5, accept_and_done 9 entries")
    assert lines[4] == "3 runs, 2 recorded, 1 of them identical in every number"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_without_permission_is_named(
    fake_run: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o500)
    assert "cannot be written" in fails(capsys, "run", "t", "-o", str(tmp_path / "out"))


@pytest.mark.parametrize("sized", [(), ("--request-bytes", "64")])
def test_a_trace_without_sizes_raises_the_doubt_beside_the_numbers(
    sized: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "app.trace"
    path.write_text("".join(f"0x{64 * i:X} READ {i}\n" for i in range(64)), encoding="utf-8")
    assert run_cli(["run", str(path), *sized]) == 0
    doubted = capsys.readouterr().err
    assert ("hbmmodel: note: Every address is a multiple of 64" in doubted) == (not sized)
    assert ("--request-bytes" in doubted) == (not sized)


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name != "posix", reason="signals of POSIX")
def test_a_terminated_command_leaves_no_partial_file(tmp_path: Path) -> None:
    source, folder = tmp_path / "long.txt", tmp_path / "out"
    folder.mkdir()
    source.write_text("".join(f"0x{32 * i:x} READ {i}\n" for i in range(400_000)))
    command = [sys.executable, "-m", "hbmmodel", "convert", str(source), str(folder / "x.parquet")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        while not any(folder.iterdir()) and run.poll() is None:
            time.sleep(0.005)
        run.send_signal(signal.SIGTERM)
        assert run.wait() == 143, run.stderr.read() if run.stderr else ""
    assert not any(folder.iterdir())
