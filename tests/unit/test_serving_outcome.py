"""Times of steps are those of simulated steps, and a result holds what its tables say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_cases import fails, told

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import Table
from hbmmodel.serving import Bend, Serving, StepTimes, Surface, poisson, sample_steps, serve
from hbmmodel.workload import Attention, Experts, LatentAttention

SYSTEM = hbm.System(hbm.device("HBM4_8000"))
SMALL = hbm.workload.model("llama-3.1-8b").replace(layers=6, hidden=512, intermediate=1024, vocab=1024)


@pytest.fixture(scope="module")
def served() -> Serving:
    requests = poisson(requests=200, per_second=2000.0, input_tokens=200, output_tokens=20)
    return serve(SYSTEM, requests, SMALL, max_batch=16, token_budget=256, kv_tokens=20_000, points=2)


def test_a_sampled_step_of_a_shallow_model_is_what_simulating_it_gives() -> None:
    shallow = SMALL.replace(layers=2)
    times = sample_steps(SYSTEM, shallow, max_batch=4, token_budget=32, cached_tokens=1024, points=2)
    run = hbm.simulate(SYSTEM, hbm.workload.decode(shallow, batch=4, context=256))
    assert times.step_s(4, 0, 1024, 0) == pytest.approx(run.summary["time_ns"] * 1e-9)
    run = hbm.simulate(SYSTEM, hbm.workload.prefill(shallow, tokens=32))
    assert times.step_s(0, 32, 0, 0) == pytest.approx(run.summary["time_ns"] * 1e-9)


def test_layers_that_are_not_simulated_are_estimated_closely(served: Serving) -> None:
    (deep,) = [h for h in served.times.held_out if "layers" in h.step]
    assert abs(deep.error) < 0.02
    assert served.summary["step_error_max"] == max(abs(h.error) for h in served.times.held_out)


def test_interpolation_is_exact_for_what_is_linear_and_stays_between_samples() -> None:
    rows, columns = (1, 4, 16), (0, 100, 1000)
    surface = Surface(rows, (columns,) * 3, tuple(tuple(2.0 + 3 * n + 5e-3 * c for c in columns) for n in rows))
    for n, c in [(1, 0), (2, 50), (16, 1000), (9, 777), (4, 100)]:
        assert surface.at(n, c) == pytest.approx(2.0 + 3 * n + 5e-3 * c)
    assert surface.at(99, 9999) == surface.at(16, 1000)


def test_between_samples_few_tokens_hit_few_experts_and_windows_end() -> None:
    bend = Bend(experts_s=8.0, miss=0.5, window_s=0.25, window_tokens=4)

    def time(n: int, c: int) -> float:
        return 1.0 + 2 * n + 8.0 * (1 - 0.5**n) + 0.25 * min(c, 4 * n) + 1e-3 * c

    rows, columns = (1, 4, 16), (0, 100)
    times = tuple(tuple(time(n, c) for c in columns) for n in rows)
    surface = Surface(rows, (columns,) * 3, times, bend, one_each=True)
    for n in (1, 2, 3, 5, 16):
        for c in (0, 2, 50, 100):
            assert surface.at(n, c) == pytest.approx(time(n, c))
    assert surface.at(99, 999) == surface.at(16, 100)


def test_the_bend_of_a_model_is_that_of_its_experts_and_windows() -> None:
    assert Bend.of(SMALL, 1, 1000.0) == Bend()
    oss = hbm.workload.model("gpt-oss-20b")
    found = Bend.of(oss, 1, 1000.0)
    counts = oss.parameter_counts()
    matrices = (counts["expert_gate_up"] + counts["expert_down"]) * 4.25 / 8
    biases = 2 * (counts["expert_gate_up_bias"] + counts["expert_down_bias"])
    assert found.experts_s == pytest.approx((matrices + biases) / 1e12, rel=1e-3)
    assert found.miss == 1 - 4 / 32 and found.window_tokens == 128
    assert found.window_s == pytest.approx(oss.kv_bytes_per_token / 2 / 1e12)


TINY_KINDS = {
    "experts": hbm.workload.model("mixtral-8x7b").replace(
        layers=2, hidden=256, vocab=1000, attention=Attention(8, 2, 32), experts=Experts(16, 2, 256)
    ),
    "latent": hbm.workload.model("deepseek-v3").replace(
        layers=3, hidden=256, vocab=1000, attention=LatentAttention(8, 64, 32, 16, 32, 32), intermediate=512,
        experts=Experts(16, 2, 128, shared=1, dense_layers=1),
    ),
    "windowed": hbm.workload.model("gpt-oss-20b").replace(
        layers=4, hidden=256, vocab=1000,
        attention=Attention(8, 2, 32, sinks=True, qkv_bias=True, output_bias=True, window_tokens=32, window_every=2),
        experts=Experts(16, 2, 256, bias=True, dtype="mxfp4"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TINY_KINDS)
def test_models_of_every_kind_are_served(kind: str) -> None:
    requests = poisson(requests=60, per_second=5000.0, input_tokens=100, output_tokens=10)
    found = serve(SYSTEM, requests, TINY_KINDS[kind], max_batch=8, token_budget=64, kv_tokens=4_000, points=3)
    s = found.summary
    assert s["served"] == 60 and 0 < s["ttft_s_p50"] < s["ttft_s_p99"] and s["step_error_max"] < 0.25
    assert (found.steps["time_s"] > 0).all()


def test_computing_takes_over_where_it_is_slower() -> None:
    flat = Surface((1, 100), ((0,), (0,)), ((1.0,), (1.0,)))
    times = StepTimes(flat, flat, flops_per_token=10.0, flops_per_pair=1.0, peak_flops_per_s=100.0, overhead_s=0.5)
    assert times.step_s(1, 0, 0, 0) == 1.5
    assert times.step_s(0, 20, 0, 100) == 3.5


def test_the_summary_is_that_of_the_tables(served: Serving) -> None:
    s, r = served.summary, served.requests
    assert (s["requests"], s["served"], s["refused"]) == (200, 200, 0)
    assert s["output_tokens_per_s"] == r["output_tokens"].sum() / r["finish_s"].max()
    for label, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
        assert (r["ttft_s"] <= s[f"ttft_s_{label}"]).mean() >= share
        assert (r["ttft_s"] < s[f"ttft_s_{label}"]).mean() < share
    held = served.steps["held_blocks"].max() / (20_000 // 16)
    assert s["held_share_max"] == pytest.approx(held) and 0 < s["busy_share"] < 1 + 1e-9


def test_a_saved_result_is_what_was_computed(served: Serving, tmp_path: Path) -> None:
    target = served.save(tmp_path / "out")
    assert sorted(p.name for p in target.iterdir()) == ["requests.parquet", "serving.json", "steps.parquet"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert Table.read_parquet(target / "requests.parquet") == served.requests
    assert Table.read_parquet(target / "steps.parquet") == served.steps
    assert json.loads((target / "serving.json").read_text())["summary"] == served.summary
    with pytest.raises(HbmArgumentError, match="exists; name a new directory"):
        served.save(target)


def test_a_model_that_does_not_fit_is_refused_before_anything_is_simulated() -> None:
    with pytest.raises(HbmArgumentError, match="raise tensor_parallel"):
        serve(SYSTEM, poisson(requests=1, per_second=1.0), "llama-3.1-405b")


CLI = ("--stacks", "1", "--max-batch", "4", "--token-budget", "64", "--kv-tokens", "4000", "--points", "2")
POISSON = "poisson:requests=20,per_second=50,input_tokens=40,output_tokens=5"


@pytest.fixture
def model_file(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(
        'schema = 1\nname = "small"\nsource = ["s"]\nlayers = 2\nhidden = 256\nvocab = 512\nintermediate = 512\n'
        '[attention]\nheads = 4\nkv_heads = 2\nhead_dim = 64\n[sources]\ns = "made up"\n'
    )
    return str(path)


def test_the_command_serves_saves_and_prints(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = json.loads(told(capsys, "serve", POISSON, "--model", model_file, *CLI, "--json"))
    assert out["summary"]["served"] == 20 and np.isfinite(out["summary"]["ttft_s_p99"])
    text = told(capsys, "serve", POISSON, "--model", model_file, *CLI, "-o", str(tmp_path / "o"))
    assert "ttft_s_p99" in text and "interpolated" in text and (tmp_path / "o" / "serving.json").is_file()


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("poisson:requests=x", "--model", "llama-3.1-8b"), "is not ARGUMENT=NUMBER"),
        (("poisson:requests=5", "--model", "llama-3.1-8b"), "needs per_second"),
        (("poisson:requests=5,per_second=nan", "--model", "llama-3.1-8b"), "per_second is nan"),
        (("no-such-file", "--model", "llama-3.1-8b"), "no-such-file"),
        ((POISSON, "--model", "llama-3.1-405b"), "leave no room"),
        ((POISSON, "--model", "llama-3.1-8b", "--max-batch", "0"), "max"),
        ((POISSON, "--model", "llama-3.1-8b", "-o", "/proc/x/y"), "cannot be made"),
    ],
)
def test_bad_input_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], expected: str
) -> None:
    assert expected in fails(capsys, "serve", *argv)
