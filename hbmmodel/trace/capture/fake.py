"""Full-size captures without weights and without a GPU: real modelling code on shapes alone.

Owns what is run for a decode step, a prompt and a training step; must not know how operators are recorded. Needs
PyTorch and ``transformers``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.capture import capture, need
from hbmmodel.trace.capture.models import CapturedModel, captured_model

__all__ = ["DTYPES", "MODES", "capture_model"]

MODES = ("decode", "prefill", "train")
DTYPES = {"bf16": "bfloat16", "f16": "float16", "f32": "float32"}


def capture_model(
    path: str | os.PathLike[str],
    name: str,
    mode: str = "decode",
    *,
    batch: int = 1,
    context: int = 8192,
    dtype: str = "bf16",
    layers: int | None = None,
) -> dict[str, Any]:
    """Capture one step of a full-size language model on fake tensors.

    Parameters
    ----------
    path : path
        The capture, as in `capture`.
    name : str
        One of `captured_models`.
    mode : {"decode", "prefill", "train"}
        ``decode``: one token for each sequence, with `context` tokens in the cache before it. ``prefill``: prompts of
        `context` tokens. ``train``: forward, backward and fused AdamW, whose states exist already, on sequences of
        `context` tokens; no recomputation.
    batch : int
        Sequences.
    context : int
        Tokens of each.
    dtype : {"bf16", "f16", "f32"}
        Of parameters, activations, gradients and optimizer states.
    layers : int, optional
        Another number of layers than the model has.

    Returns
    -------
    dict
        ``path``, ``model``, ``parameters``, ``operations``, ``file_bytes``.

    Raises
    ------
    HbmArgumentError
        PyTorch or transformers is not installed, or an argument is out of range.

    Notes
    -----
    Gathers have no recorded rows; a replay draws them (``random_gathers``). Of a mixture of experts that means every
    expert is read. Times in the capture are meaningless.
    """
    chosen = captured_model(name)
    if mode not in MODES:
        raise HbmArgumentError(f"mode is {mode!r}; choose one of {', '.join(MODES)}")
    if dtype not in DTYPES:
        raise HbmArgumentError(f"dtype is {dtype!r}; choose one of {', '.join(DTYPES)}")
    longest = chosen.positions - (mode == "decode")
    limits = (("batch", batch, 1 << 16), ("context", context, longest), ("layers", layers, 1 << 10))
    for what, value, most in limits:
        if (what, value) != ("layers", None) and (type(value) is not int or not 1 <= value <= most):
            raise HbmArgumentError(f"{what} is {value!r}; give a whole number in 1..{most}")
    need("torch", "transformers")
    with _quiet():
        recorded = _run(path, chosen, mode, batch, context, dtype, layers)
    return recorded | {"file_bytes": os.path.getsize(path)}


@contextmanager
def _quiet() -> Iterator[None]:
    """No advice of the libraries on how to make a model faster that never runs."""
    import logging

    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _run(
    path: str | os.PathLike[str],
    chosen: CapturedModel,
    mode: str,
    batch: int,
    context: int,
    dtype: str,
    layers: int | None,
) -> dict[str, Any]:
    import torch
    import transformers
    from torch._subclasses.fake_tensor import FakeTensorMode

    arguments = dict(chosen.arguments) | ({} if layers is None else {chosen.layers: layers})
    config = getattr(transformers, chosen.config)(**arguments)
    before = torch.get_default_dtype()
    with FakeTensorMode(allow_non_fake_inputs=True):
        torch.set_default_dtype(getattr(torch, DTYPES[dtype]))
        try:
            model = getattr(transformers, chosen.model)(config)
        finally:
            torch.set_default_dtype(before)
        parameters = sum(p.numel() for p in model.parameters())
        metadata = {
            "model": chosen.name,
            "parameters": parameters,
            "mode": mode,
            "batch": batch,
            "context": context,
            "dtype": dtype,
            "layers": arguments[chosen.layers],
            "fake": True,
            "transformers": transformers.__version__,
        }
        steps = {"decode": _decode, "prefill": _prefill, "train": _train}
        n_operations = steps[mode](path, metadata, model, config, batch, context)
    return {
        "path": os.fspath(path),
        "model": chosen.name,
        "parameters": parameters,
        "operations": n_operations,
    }


def _decode(path: Any, metadata: dict[str, Any], model: Any, config: Any, batch: int, context: int) -> int:
    import torch
    from transformers import DynamicCache

    model.eval()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dtype = next(model.parameters()).dtype
    cache = DynamicCache(config=config)
    for layer in range(config.num_hidden_layers):
        keys, values = (torch.empty(batch, heads, context, head_dim, dtype=dtype) for _ in range(2))
        cache.update(keys, values, layer)
        del keys, values
    token = torch.zeros(batch, 1, dtype=torch.int64)
    position = torch.full((batch, 1), context, dtype=torch.int64)
    with capture(path, metadata=metadata) as recorder, torch.no_grad():
        recorder.phase("decode")
        model(token, past_key_values=cache, position_ids=position, use_cache=True, logits_to_keep=1)
    return recorder.n_operations


def _prefill(path: Any, metadata: dict[str, Any], model: Any, config: Any, batch: int, context: int) -> int:
    import torch

    model.eval()
    prompt = torch.zeros(batch, context, dtype=torch.int64)
    with capture(path, metadata=metadata) as recorder, torch.no_grad():
        recorder.phase("prefill")
        model(prompt, use_cache=True, logits_to_keep=1)
    return recorder.n_operations


def _train(path: Any, metadata: dict[str, Any], model: Any, config: Any, batch: int, context: int) -> int:
    import torch

    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()  # states are made in the first step, which is not the one to be captured
    optimizer.zero_grad(set_to_none=True)
    tokens = torch.zeros(batch, context, dtype=torch.int64)
    with capture(path, phases=True, metadata=metadata) as recorder:
        model(tokens, labels=tokens, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return recorder.n_operations
