"""What the command line says of itself: examples that parse, one reference, completion, colours, quiet, doctor."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cli_cases import told

import hbmmodel as hbm
from hbmmodel import doctor
from hbmmodel.cli import reference, run_cli
from hbmmodel.cli.commands import COMMANDS, cli
from hbmmodel.cli.examples import EXAMPLES

EXIT_CODES = ("0", "1", "2", "3", "130")


def every_command() -> Iterator[tuple[str, click.Command]]:
    """All commands and subcommands by the words that call them."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        yield from ((f"{name} {below}", sub) for below, sub in getattr(command, "commands", {}).items())


ALL = dict(every_command())


@pytest.mark.parametrize("name", ALL)
def test_help_ends_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, *name.split(), "--help")
    wants = not name.endswith(" list") and name != "validate"
    assert ("Examples:" in text) == wants == (name in EXAMPLES)
    for line in EXAMPLES.get(name, ()):
        assert f"  {line}\n" in text or f"  hbmmodel {line}\n" in text


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines if '"' not in line])
def test_an_example_has_arguments_and_options_that_exist(line: str) -> None:
    words = shlex.split(line.split(" > ")[0])
    name = " ".join(words[:2]) if " ".join(words[:2]) in ALL else words[0]
    ALL[name].make_context(name, words[len(name.split()) :])


def test_every_example_belongs_to_a_command() -> None:
    assert set(EXAMPLES) <= set(ALL)


def test_exit_codes_are_told_in_the_help_the_readme_and_the_reference(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = told(capsys, "--help").split("Exit codes:")[1].split("Environment:")[0]
    assert [line.split()[0] for line in shown.splitlines() if line.strip()] == list(EXIT_CODES)
    readme = (checkout / "README.md").read_text(encoding="utf-8").split("Exit codes: ")[1].split("\n\n")[0]
    assert [part.split()[0] for part in readme.replace("\n", " ").split("; ")] == list(EXIT_CODES)
    assert all(f"| {code} |" in reference.HEAD for code in EXIT_CODES)


def test_the_reference_is_that_of_the_commands(checkout: Path) -> None:
    written = (checkout / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == reference.render(), "write it anew: python -m hbmmodel.cli.reference > docs/cli.md"


def test_the_reference_has_every_option() -> None:
    page = reference.render()
    parts = page.replace("### ", "## ").split("\n## ")
    sections = {part.split("\n")[0].removeprefix("hbmmodel "): part for part in parts}
    for name, command in ALL.items():
        for option in (o for p in command.params if isinstance(p, click.Option) for o in p.opts):
            assert f"`{option}`" in sections[name]


# ---- completion ----


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_asks_this_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "completion", shell)
    assert f"_HBMMODEL_COMPLETE={shell}_complete" in text and "hbmmodel" in text


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_takes_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    script = told(capsys, "completion", "bash")
    run = subprocess.run(["bash", "-c", f"{script}\ncomplete -p hbmmodel"], capture_output=True, text=True, check=False)
    assert run.returncode == 0 and run.stderr == "" and "hbmmodel" in run.stdout


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("hbmmodel dev", ["devices"]),
        ("hbmmodel devices s", ["show"]),
        ("hbmmodel run --device HBM4_8", ["HBM4_8000"]),
        ("hbmmodel run --system B3", ["b300"]),
        ("hbmmodel devices show HBM2", ["HBM2E_3200"]),
        ("hbmmodel systems show mi30", ["mi300x"]),
        ("hbmmodel run --thermal-e", ["--thermal-epoch-ns"]),
    ],
)
def test_the_shell_is_given_commands_options_and_names(words: str, found: list[str]) -> None:
    environment = {
        **os.environ,
        "_HBMMODEL_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    run = subprocess.run(
        [sys.executable, "-m", "hbmmodel"], env=environment, capture_output=True, text=True, check=False
    )
    assert [line.split(",")[1] for line in run.stdout.splitlines()] == found and run.returncode == 0


# ---- colours and quiet ----


def colors_of(capsys: pytest.CaptureFixture[str], *argv: str) -> bool:
    return "\x1b[" in told(capsys, *argv)


def test_colours_are_for_terminals_unless_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("test", "x", "ok", "y")])
    saved = hbm.simulate(hbm.System(hbm.device("HBM4_8000", channels=1)), hbm.Trace.from_requests([0], [0]))
    commands = (["doctor"], ["report", str(saved.save(tmp_path / "run"))])
    assert not any(colors_of(capsys, *argv) for argv in commands)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert all(colors_of(capsys, *argv) for argv in commands)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not any(colors_of(capsys, *argv) for argv in commands)
    monkeypatch.setenv("NO_COLOR", "")
    assert all(colors_of(capsys, *argv) for argv in commands)
    monkeypatch.delenv("FORCE_COLOR")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert all(colors_of(capsys, *argv) for argv in commands)
    monkeypatch.setenv("TERM", "dumb")
    assert not any(colors_of(capsys, *argv) for argv in commands)


def test_a_quiet_command_prints_nothing_and_still_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.trace").write_text("0x40 READ 0\n0x80 WRITE 3\n")
    trace, run, report, other = (str(tmp_path / name) for name in ("t.trace", "run", "r.md", "t.stl"))
    assert told(capsys, "run", trace, "--set", "channels=1", "-o", run, "--quiet") == ""
    assert told(capsys, "report", run, "-o", report, "-q") == ""
    assert told(capsys, "convert", trace, other, "-q") == ""
    assert Path(report).exists() and Path(other).exists()
    assert told(capsys, "report", run, "-o", report, "--json", "-q").startswith("{")
    quiet = {name for name, command in ALL.items() if any("--quiet" in p.opts for p in command.params)}
    assert {"run", "report", "convert", "capture", "bandwidth", "serve", "perfetto", "vcd", "doctor"} <= quiet


# ---- devices ----


def test_the_command_and_the_function_list_the_same_devices(capsys: pytest.CaptureFixture[str]) -> None:
    listed = [entry["name"] for entry in json.loads(told(capsys, "devices", "--json"))]
    assert listed == hbm.devices() == [line.split()[0] for line in told(capsys, "devices").splitlines()[1:]]
    assert [name for name in listed if name.startswith("X_")] == listed[-3:]


# ---- doctor ----


def test_a_sound_installation_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(told(capsys, "doctor", "--json"))
    assert found["ok"] is True
    by_name = {finding["name"]: finding for finding in found["findings"]}
    assert by_name["core equals its twin"]["state"] == by_name["any number of threads"]["state"] == "ok"
    assert by_name["numpy"]["part"] == "package" and by_name["simd"]["text"] in ("avx512", "avx2", "plain")
    assert hbm.__version__ in by_name["hbmmodel"]["text"] and "cores usable" in by_name["cpu"]["text"]
    optional = [finding for finding in found["findings"] if finding["part"] == "optional"]
    assert optional and all(f["state"] == "ok" or "pip install 'hbmmodel[" in f["text"] for f in optional)


def test_a_core_that_differs_from_its_twin_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor._equals_twin() == ""
    told_ = doctor._equals_twin(lambda ticks: ticks.update(RP=ticks["RP"] + 2))
    assert told_.startswith("command ") and "the twin's is" in told_
    monkeypatch.setattr(doctor, "_equals_twin", lambda: told_)
    assert run_cli(["doctor"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("hbmmodel: core equals its twin is broken: command ")
    assert captured.err.count("\n") == 1 and "broken" in captured.out and "works" not in captured.out


def test_whatever_an_examination_meets_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str | None:
        return None

    def torn() -> Iterator[doctor.Finding]:
        raise ImportError("no such symbol")

    monkeypatch.setattr(doctor, "_core", torn)
    monkeypatch.setattr(doctor, "_version", missing)
    monkeypatch.setattr(doctor, "_test", lambda: [])
    assert run_cli(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    broken = {f["name"]: f["text"] for f in found["findings"] if f["state"] == "broken"}
    assert found["ok"] is False and "pip install 'numpy'" in broken["numpy"]
    assert "ImportError: no such symbol; install hbmmodel anew" in broken["torn"]
