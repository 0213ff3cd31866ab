"""``hbmmodel capture``, and the options that change a capture on its way into a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hbmmodel
from hbmmodel.cli import run_cli
from hbmmodel.trace import read_trace

LLAMA = str(hbmmodel.demo_capture("llama_tiny_b1_p128_d8"))
ONE_CHANNEL = ("--device", "HBM4_8000", "--set", "channels=1", "--wrap", "--threads", "1")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_cli(arguments) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_cli(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


def test_models_are_listed_with_their_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert "llama-3.1-70b      70,553,706,496 parameters" in told(capsys, "capture", "--list")
    listed = json.loads(told(capsys, "capture", "--list", "--json"))
    assert {"name": "gpt2", "parameters": 124439808, "config": "GPT2Config"} in listed


def test_without_pytorch_one_line_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = refused(capsys, "capture", "--model", "gpt2", "--context", "8", "-o", str(tmp_path / "x.hbmop"))
    assert "torch, which recording needs, is not installed; pip install 'hbmmodel[capture]'" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --model NAME and -o FILE, or --list"),
        (("--model", "gpt2"), "give --model NAME and -o FILE, or --list"),
        (("--model", "gpt9", "-o", "x"), "no model 'gpt9'; those that can be captured: llama-3.1-8b"),
        (("--model", "gpt2", "-o", "x"), "context is 8192; give a whole number in 1..1023"),
        (("--model", "gpt2", "--context", "8", "--batch", "0", "-o", "x"), "batch is 0"),
        (("--model", "gpt2", "--mode", "encode", "-o", "x"), "'encode' is not one of"),
    ],
)
def test_other_requests_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused(capsys, "capture", *arguments)


def test_a_run_is_rewritten_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("run", LLAMA, *ONE_CHANNEL, "--phase", "decode0", "--json")
    plain = json.loads(told(capsys, *arguments))
    paged = json.loads(told(capsys, *arguments, "--rewrite", "kv=paged", "--rewrite", "fuse_elementwise"))
    assert plain["trace"]["rewrites"] == []
    assert paged["trace"]["rewrites"] == [
        "kv(layout='paged', block=16, seed=0)",
        "fuse_elementwise(reductions=False)",
    ]
    assert paged["summary"]["bytes_written"] < plain["summary"]["bytes_written"] / 2
    text = told(capsys, *arguments[:-1], "--rewrite", "kv=static", "--pages", "shuffled:4096")
    said = " ".join(text.split())
    assert "The trace was rewritten: kv(layout='static', block=16, seed=0)." in said
    assert "Pages of the memory: shuffled(page_bytes=4096, seed=0)." in said


def test_a_converted_capture_can_be_rewritten(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "x.dramsim3.trace"
    told(capsys, "convert", LLAMA, str(target), "--phase", "decode0", "--rewrite", "kv=static")
    requests = read_trace(target)
    written = sum(int(chunk.is_write.sum()) for chunk in requests.chunks())  # type: ignore[union-attr]
    assert written * 32 == pytest.approx(105_344, rel=0.05)


def test_the_passes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    listed = told(capsys, "run", "--rewrite", "list")
    assert "tensor_parallel" in listed and "layout, block, seed" in listed


def test_bad_passes_and_pages_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    requests = tmp_path / "a.trace"
    requests.write_text("0x40 READ 0\n")
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((LLAMA, "--rewrite", "kvv"), "no pass is called 'kvv'"),
        ((LLAMA, "--rewrite", "optimizer"), "no step of eager Adam or AdamW"),
        ((str(requests), "--rewrite", "kv"), "--rewrite changes the operations of a capture;"),
        ((LLAMA, "--pages", "random"), "pages are 'random'; choose one of sequential, shuffled"),
        ((LLAMA, "--pages", "shuffled:4k"), "--pages 'shuffled:4k' is not ORDER or ORDER:BYTES"),
        ((LLAMA, "--pages", "shuffled:5000"), "page_bytes is 5000; give a power of two"),
        ((str(requests), "--pages", "shuffled"), "has no meaning in dramsim3"),
    ]
    for arguments, message in cases:
        assert message in refused(capsys, "run", *arguments, *ONE_CHANNEL)
