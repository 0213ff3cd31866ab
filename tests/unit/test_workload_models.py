"""Models agree with what is published about them, and a file that does not is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.workload import Attention, Experts, ModelConfig, model, model_file, models
from hbmmodel.workload.parameters import Parallel, all_parameters

# Parameters, of which one token uses, KV bytes per token (bf16), checkpoint in GB: arithmetic done once outside this
# code, from the makers' configurations.
REFERENCE = {
    "llama-3.1-8b": (8_030_261_248, 8_030_261_248, 131_072, 16.06),
    "llama-3.1-70b": (70_553_706_496, 70_553_706_496, 327_680, 141.11),
    "llama-3.1-405b": (405_853_388_800, 405_853_388_800, 516_096, 811.71),
    "qwen2.5-72b": (72_706_203_648, 72_706_203_648, 327_680, 145.41),
    "qwen3-8b": (8_190_735_360, 8_190_735_360, 147_456, 16.38),
    "qwen3-32b": (32_762_123_264, 32_762_123_264, 262_144, 65.52),
    "qwen3-30b-a3b": (30_532_122_624, 3_353_032_704, 98_304, 61.06),
    "qwen3-235b-a22b": (235_093_634_560, 22_190_763_520, 192_512, 470.19),
    "mixtral-8x7b": (46_702_792_704, 12_879_925_248, 131_072, 93.41),
    "mixtral-8x22b": (140_630_071_296, 39_161_468_928, 229_376, 281.26),
    "deepseek-v3": (671_026_419_200, 37_552_297_472, 70_272, 671.03),
    "gpt-oss-20b": (20_914_757_184, 4_187_440_704, 49_152, 13.75),
    "gpt-oss-120b": (116_829_156_672, 5_711_982_912, 73_728, 65.19),
}


def test_the_shipped_models_are_those_of_the_reference() -> None:
    assert set(models()) == set(REFERENCE)


@pytest.mark.parametrize("name", REFERENCE)
def test_parameters_and_cache_equal_the_reference(name: str) -> None:
    parameters, active, kv_bytes, checkpoint_gb = REFERENCE[name]
    m = model(name)
    assert (m.parameters, m.active_parameters, m.kv_bytes_per_token) == (parameters, active, kv_bytes)
    # the reference stores the biases of gpt-oss's experts in 4.25 bits; here they are bf16, as in the checkpoint
    assert m.weight_bytes / 1e9 == pytest.approx(checkpoint_gb, rel=1e-3)


@pytest.mark.parametrize("name", REFERENCE)
def test_every_figure_has_a_source_and_every_model_a_published_count(name: str) -> None:
    found = model_file(name)
    assert found.source and found.published is not None and found.published.source
    assert model(name).parameters == pytest.approx(found.published.parameters, rel=0.003)


def test_the_checkpoint_of_gpt_oss_has_its_published_size() -> None:
    """openai/gpt-oss: 60.8 GiB and 12.8 GiB."""
    assert model("gpt-oss-120b").weight_bytes / 2**30 == pytest.approx(60.8, abs=0.06)
    assert model("gpt-oss-20b").weight_bytes / 2**30 == pytest.approx(12.8, abs=0.06)


OWN = """
schema = 1
name = "own"
source = ["ME"]
layers = 2
hidden = 64
vocab = 100
intermediate = 128

[attention]
heads = 4
kv_heads = 2
head_dim = 16

[sources]
ME = "this test"
"""


def write(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_an_own_file_is_read(tmp_path: Path) -> None:
    m = model(write(tmp_path, OWN))
    per_layer = 64 * 16 * (4 + 2 * 2) + 4 * 16 * 64 + 3 * 64 * 128 + 2 * 64
    assert m.parameters == 2 * per_layer + 64 + 2 * 100 * 64


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("layers = 2", "layers = -2"), "own.toml: layers is -2"),
        (("layers = 2", "layers = 2.0"), "layers: expected `int`"),
        (("layers = 2", "layerz = 2"), "layerz"),
        (("layers = 2", 'layers = "2"'), "layers: expected `int`"),
        (("layers = 2", "layers = " + "9" * 400), "own.toml"),
        (("hidden = 64", ""), "hidden"),
        (("kv_heads = 2", "kv_heads = 3"), "attention.heads is 4; give a multiple of kv_heads, 3"),
        (("head_dim = 16", "head_dim = nan"), "head_dim"),
        (("intermediate = 128", ""), "intermediate is 0, but 2 layers have no experts"),
        (("[attention]", "[latent_attention]"), "latent_attention"),
        (('source = ["ME"]', 'source = ["YOU"]'), "source: label 'YOU' is not in sources.toml"),
        (('source = ["ME"]', "source = []"), "source: is empty"),
        (("schema = 1", "schema = 2"), "schema: 2 is not 1"),
        (("schema = 1", 'schema = 1\ndtype = "bf61"'), "did you mean 'bf16'"),
        (("[sources]", '[published]\nparameters = 1e6\nsource = ["ME"]\n[sources]'), "published.parameters: 1e+06"),
        (("[sources]", '[published]\nparameters = nan\nsource = ["ME"]\n[sources]'), "published.parameters: nan"),
        (("schema = 1", "schema = 1\nx = " + "[" * 50_000), "own.toml: not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(change: tuple[str, str], told: str, tmp_path: Path) -> None:
    with pytest.raises(HbmArgumentError) as error:
        model(write(tmp_path, OWN.replace(*change)))
    assert told in str(error.value) and "\n" not in str(error.value) and "own.toml" in str(error.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "big.toml").write_bytes(b"#" * (2 << 20))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    for name, told in (("big.toml", "larger"), ("binary.toml", "UTF-8"), ("none.toml", "No such file")):
        with pytest.raises(HbmArgumentError, match=told):
            model(str(tmp_path / name))
    with pytest.raises(HbmArgumentError, match="did you mean 'llama-3.1-70b'"):
        model("llama-3.1-70")
    with pytest.raises(HbmArgumentError, match="null byte"):
        model("a\0b.toml")
    with pytest.raises(HbmArgumentError, match="model is 3"):
        model(3)  # type: ignore[arg-type]


def test_other_dimensions_are_validated_too() -> None:
    m = model("mixtral-8x7b")
    assert m.replace(layers=1).parameters < m.parameters
    with pytest.raises(HbmArgumentError, match="no 'layer'"):
        m.replace(layer=1)
    with pytest.raises(HbmArgumentError, match="experts.top_k is 9"):
        Experts(count=8, top_k=9, intermediate=64)
    with pytest.raises(HbmArgumentError, match="attention must be"):
        ModelConfig("x", 1, 1, 1, attention=None, intermediate=1)  # type: ignore[arg-type]
    with pytest.raises(HbmArgumentError, match="qk_norm is"):
        Attention(1, 1, 1, qk_norm=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("devices", [2, 4])
def test_devices_together_hold_the_model(name: str, devices: int) -> None:
    """Divided tensors add up; what every device has whole is counted once."""
    m = model(name)
    one = {(p.layer, p.name): p.elements for p in all_parameters(m)}
    for p in all_parameters(m, Parallel(tensor=devices)):
        whole = one[p.layer, p.name]
        assert p.elements in (whole, whole // devices), p
    # the big ones are divided
    held = sum(p.n_bytes for p in all_parameters(m, Parallel(tensor=devices)))
    assert held < m.weight_bytes / devices * 1.25


def test_stages_of_a_pipeline_hold_the_model_once() -> None:
    m = model("llama-3.1-70b")
    stages = [Parallel(pipeline=3, stage=i) for i in range(3)]
    assert [len(s.layers(m)) for s in stages] == [27, 27, 26]
    assert sum(p.elements for s in stages for p in all_parameters(m, s)) == m.parameters


def test_devices_that_do_not_divide_are_refused() -> None:
    for options, told in (
        ({"tensor_parallel": 3}, "tensor_parallel is 3"),
        ({"tensor_parallel": 0}, "tensor_parallel is 0"),
        ({"expert_parallel": 2}, "has no experts"),
        ({"pipeline_parallel": 99}, "has 80 layers"),
        ({"pipeline_parallel": 2, "pipeline_stage": 2}, "pipeline_stage is 2"),
        ({"tensor_parallel": 2, "expert_parallel": 3}, "a multiple of tensor_parallel"),
    ):
        with pytest.raises(HbmArgumentError, match=told):
            hbm.workload.decode("llama-3.1-70b", **options)
    with pytest.raises(HbmArgumentError, match="has 8 experts"):
        hbm.workload.decode("mixtral-8x7b", expert_parallel=3)


def test_models_that_can_be_captured_have_the_parameters_of_their_files() -> None:
    from hbmmodel.trace.capture.models import captured_model, captured_models

    both = [name for name in captured_models() if name in models()]
    assert len(both) == 5
    assert {n: captured_model(n).parameters for n in both} == {n: model(n).parameters for n in both}
