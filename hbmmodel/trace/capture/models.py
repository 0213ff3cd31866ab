"""Models that can be captured without their weights: which class of ``transformers`` with which arguments.

Owns the table ``models.toml``; must not know PyTorch.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hbmmodel.errors import HbmArgumentError

__all__ = ["CapturedModel", "captured_model", "captured_models"]

_FILE = Path(__file__).with_name("models.toml")


@dataclass(frozen=True)
class CapturedModel:
    """One model.

    Parameters
    ----------
    name : str
        What it is called here.
    config, model : str
        Classes of ``transformers``.
    parameters : int
        Parameters that the model must have.
    arguments : mapping
        Arguments of the configuration class.
    """

    name: str
    config: str
    model: str
    parameters: int
    arguments: Mapping[str, Any]

    @property
    def positions(self) -> int:
        """Longest context [tokens]."""
        return int(self.arguments.get("max_position_embeddings") or self.arguments["n_positions"])

    @property
    def layers(self) -> str:
        """Name of the argument that counts layers."""
        return "n_layer" if "n_layer" in self.arguments else "num_hidden_layers"


@functools.cache
def _table() -> dict[str, CapturedModel]:
    with _FILE.open("rb") as file:
        return {name: CapturedModel(name, **entry) for name, entry in tomllib.load(file).items()}


def captured_models() -> list[str]:
    """Names of the models.

    Examples
    --------
    >>> captured_models()[0]
    'llama-3.1-8b'
    """
    return list(_table())


def captured_model(name: str) -> CapturedModel:
    """The model of a name.

    Raises
    ------
    HbmArgumentError
        There is none.

    Examples
    --------
    >>> captured_model("gpt2").parameters
    124439808
    """
    found = _table().get(name)
    if found is None:
        raise HbmArgumentError(f"no model {name!r}; those that can be captured: {', '.join(_table())}")
    return found
