"""Model files: ``models/*.toml``, or a file of the user's own, to `ModelConfig`.

Owns the form of a model file and what it must agree with; must not know traffic. The published figures of a file are
checked whenever it is read: a configuration whose parameters do not add up to what its makers publish is refused,
because configurations on the web are often wrong.
"""

from __future__ import annotations

import functools
from importlib import resources

import msgspec

from hbmmodel.errors import HbmArgumentError
from hbmmodel.shelf import Shelf
from hbmmodel.workload.model import Attention, Experts, LatentAttention, ModelConfig

__all__ = ["ModelFile", "Published", "model", "model_file", "models"]

_SHELF = Shelf(resources.files("hbmmodel.workload").joinpath("models"), "model", HbmArgumentError)
_SOURCES = "sources.toml"


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the makers of a model, or others, publish about it; the configuration must agree."""

    parameters: float
    source: tuple[str, ...]
    tolerance: float = 0.003
    active_parameters: float | None = None
    active_tolerance: float = 0.03
    kv_bytes_per_token: int | None = None


class _Attention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    heads: int
    kv_heads: int
    head_dim: int
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    sinks: bool = False
    window_tokens: int = 0
    window_every: int = 1


class _Latent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    heads: int
    q_rank: int
    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int


class _Experts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    count: int
    top_k: int
    intermediate: int
    shared: int = 0
    dense_layers: int = 0
    bias: bool = False
    router_bias: bool = False
    dtype: str | None = None


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model file as it is written; `source` names labels of ``sources.toml`` or of the file's own ``sources``."""

    schema: int
    name: str
    source: tuple[str, ...]
    layers: int
    hidden: int
    vocab: int
    attention: _Attention | None = None
    latent_attention: _Latent | None = None
    intermediate: int = 0
    experts: _Experts | None = None
    dtype: str = "bf16"
    kv_dtype: str = "bf16"
    tied_embedding: bool = False
    notes: str = ""
    published: Published | None = None
    sources: dict[str, str] = {}


def models() -> tuple[str, ...]:
    """Names of the models that come with hbmmodel.

    Examples
    --------
    >>> len(models()), "llama-3.1-70b" in models()
    (13, True)
    """
    return _SHELF.names()


def model(name: str | ModelConfig) -> ModelConfig:
    """A model by its name, or from a file of your own.

    Parameters
    ----------
    name : str or ModelConfig
        One of `models`, or the path of a ``.toml`` file of the same form; a model is returned as it is.

    Returns
    -------
    ModelConfig

    Raises
    ------
    HbmArgumentError
        Unknown name; a file that cannot be read, is malformed, or contradicts the figures it quotes. One line that
        names file and field.

    Examples
    --------
    >>> model("deepseek-v3").kv_bytes_per_token
    70272
    """
    if isinstance(name, ModelConfig):
        return name
    asked: object = name
    if isinstance(asked, str) and not asked.endswith(".toml"):
        return _shipped(asked)[0]
    return _parse(*_text(asked))[0]


def model_file(name: str) -> ModelFile:
    """The file behind a model: its sources, notes and published figures.

    Examples
    --------
    >>> model_file("mixtral-8x7b").published.parameters
    46700000000.0
    """
    return _parse(*_text(name))[1]


@functools.cache
def _shipped(name: str) -> tuple[ModelConfig, ModelFile]:
    return _parse(*_text(name))


def _text(name: object) -> tuple[str, str]:
    if not isinstance(name, str):
        raise HbmArgumentError(f"model is {name!r}; give a model's name, the path of a .toml file, or a ModelConfig")
    return _SHELF.text(name[:1024])


@functools.cache
def _shared_sources() -> dict[str, str]:
    return _SHELF.convert(_SHELF.decode(_SHELF.shipped(_SOURCES), _SOURCES), dict[str, str], _SOURCES)


def _parse(text: str, file: str) -> tuple[ModelConfig, ModelFile]:
    record = _SHELF.convert(_SHELF.decode(text, file), ModelFile, file)
    if record.schema != 1:
        raise HbmArgumentError(f"{file}: schema: {record.schema} is not 1, the one this version reads")
    if (record.attention is None) == (record.latent_attention is None):
        raise HbmArgumentError(f"{file}: give one of the tables attention and latent_attention")
    labels = {"source": record.source}
    if record.published is not None:
        labels["published.source"] = record.published.source
    for path, names in labels.items():
        if not names:
            raise HbmArgumentError(f"{file}: {path}: is empty; say where the figures are from")
        for label in names:
            if label not in record.sources and label not in _shared_sources():
                raise HbmArgumentError(f"{file}: {path}: label {label!r} is not in sources.toml or [sources]")
    try:
        attention: Attention | LatentAttention
        if record.attention is not None:
            attention = Attention(**msgspec.structs.asdict(record.attention))
        else:
            assert record.latent_attention is not None
            attention = LatentAttention(**msgspec.structs.asdict(record.latent_attention))
        found = ModelConfig(
            name=record.name,
            layers=record.layers,
            hidden=record.hidden,
            vocab=record.vocab,
            attention=attention,
            intermediate=record.intermediate,
            experts=None if record.experts is None else Experts(**msgspec.structs.asdict(record.experts)),
            dtype=record.dtype,
            kv_dtype=record.kv_dtype,
            tied_embedding=record.tied_embedding,
        )
    except HbmArgumentError as error:
        raise HbmArgumentError(f"{file}: {error}") from None
    if record.published is not None:
        _check_published(found, record.published, file)
    return found, record


def _check_published(found: ModelConfig, published: Published, file: str) -> None:
    pairs = [("parameters", found.parameters, published.parameters, published.tolerance)]
    if published.active_parameters is not None:
        active = published.active_parameters
        pairs.append(("active_parameters", found.active_parameters, active, published.active_tolerance))
    if published.kv_bytes_per_token is not None:
        pairs.append(("kv_bytes_per_token", found.kv_bytes_per_token, published.kv_bytes_per_token, 0.0))
    for name, ours, theirs, tolerance in pairs:
        if not theirs > 0 or not 0 <= tolerance < 1:
            raise HbmArgumentError(f"{file}: published.{name}: {theirs} with tolerance {tolerance} is no figure")
        if not abs(ours - theirs) <= tolerance * theirs:
            raise HbmArgumentError(
                f"{file}: published.{name}: {theirs:g}, but the dimensions give {ours}; correct the one that is wrong"
            )
