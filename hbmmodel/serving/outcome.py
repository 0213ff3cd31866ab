"""What serving came to: every request, every step, and their distributions; on disk as Parquet and JSON.

Owns `Serving` and `serve`, which joins arrivals, scheduler and step times; must not know how these work.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import Table
from hbmmodel.serving.arrivals import Arrivals
from hbmmodel.serving.scheduler import Policy, schedule
from hbmmodel.serving.steps import StepTimes, sample_steps
from hbmmodel.system import System
from hbmmodel.workload.inference import chosen_model, decode
from hbmmodel.workload.metrics import capacity
from hbmmodel.workload.model import ModelConfig

__all__ = ["Serving", "check_target", "serve"]

QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}


def _quantiles(name: str, values: NDArray[np.float64]) -> dict[str, float | None]:
    """Quantiles that were observed: the smallest value that at least that share does not exceed."""
    kept = values[np.isfinite(values)]
    if not len(kept):
        return {f"{name}_{label}": None for label in QUANTILES}
    found = np.quantile(kept, list(QUANTILES.values()), method="inverted_cdf")
    return {f"{name}_{label}": float(x) for label, x in zip(QUANTILES, found, strict=True)}


@dataclasses.dataclass(frozen=True)
class Serving:
    """Requests served by one replica of a model.

    Parameters
    ----------
    requests, steps : Table
        See `schedule`.
    policy : Policy
    times : StepTimes
    facts : dict
        What was served, where: ``arrivals``, ``model``, ``tensor_parallel``, ``left_out``, ``system``.
    """

    requests: Table
    steps: Table
    policy: Policy
    times: StepTimes
    facts: dict[str, Any]

    @property
    def summary(self) -> dict[str, int | float | None]:
        """Flat: counts, quantiles [s], rates, shares; None where nothing was served.

        ``makespan_s`` is from the first arrival to the last token, ``busy_share`` the part of it in which steps ran,
        ``reused_share`` the part of all served prompts' tokens that was found in the cache. ``held_share_mean`` is the
        part of the KV cache that requests held, over the time of all steps.
        """
        r, s = self.requests, self.steps
        served = np.isfinite(r["finish_s"])
        prompts, answers = int(r["input_tokens"][served].sum()), int(r["output_tokens"][served].sum())
        end = float(r["finish_s"][served].max()) if served.any() else 0.0
        time_s = s["time_s"]
        busy = float(time_s.sum())
        blocks = self.facts["kv_blocks"]
        reused = int(r["reused_tokens"][served].sum())
        return {
            "requests": len(r),
            "served": int(served.sum()),
            "refused": int((~served).sum()),
            "left_out": sum(self.facts["left_out"].values()),
            "input_tokens": prompts,
            "output_tokens": answers,
            "makespan_s": end,
            "steps": len(s),
            "output_tokens_per_s": answers / end if end else None,
            "tokens_per_s": (prompts + answers) / end if end else None,
            "busy_share": busy / end if end else None,
            **_quantiles("ttft_s", r["ttft_s"]),
            **_quantiles("tpot_s", r["tpot_s"]),
            **_quantiles("latency_s", r["finish_s"] - r["arrival_s"]),
            "reused_share": reused / prompts if prompts else None,
            "kv_tokens": self.policy.kv_tokens,
            "held_share_mean": float((time_s * s["held_blocks"]).sum() / busy / blocks) if busy and blocks else None,
            "held_share_max": int(s["held_blocks"].max()) / blocks if len(s) and blocks else None,
            "batch_mean": float((time_s * s["decoding"]).sum() / busy) if busy else None,
            "step_error_max": self.times.worst_error,
        }

    def to_dict(self) -> dict[str, Any]:
        """All but the tables, ready for JSON."""
        from hbmmodel.provenance import collect

        return {
            "format": "hbmmodel-serving",
            "format_version": 1,
            "summary": self.summary,
            "policy": dataclasses.asdict(self.policy),
            "held_out": [{**dataclasses.asdict(h), "error": h.error} for h in self.times.held_out],
            "step_times": {k: v for k, v in dataclasses.asdict(self.times).items() if k != "held_out"},
            **self.facts,
            "provenance": collect(),
        }

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write ``requests.parquet``, ``steps.parquet`` and ``serving.json`` to a new directory, or nothing.

        Raises
        ------
        HbmArgumentError
            There is something of that name, or the directory cannot be made.
        """
        target = check_target(directory)
        work = None
        try:
            work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
            self.requests.write_parquet(work / "requests.parquet")
            self.steps.write_parquet(work / "steps.parquet")
            text = json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"
            (work / "serving.json").write_text(text, encoding="utf-8")
            os.chmod(work, 0o755)
            os.rename(work, target)
        except OSError as error:
            why = error.strerror or error
            raise HbmArgumentError(f"{target} cannot be written: {why}; name another directory") from None
        finally:
            if work is not None:
                shutil.rmtree(work, ignore_errors=True)
        return target


def check_target(directory: str | os.PathLike[str]) -> Path:
    """The path of a directory that can be made, before anything is computed.

    Raises
    ------
    HbmArgumentError
        There is something of that name, or no such folder to put it in.
    """
    target = Path(os.path.normpath(Path(directory).absolute()))
    if target.exists() or target.is_symlink():
        raise HbmArgumentError(f"{directory} exists; name a new directory")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise HbmArgumentError(f"{directory} cannot be made; name a directory in a folder that can be written")
    return target


def serve(
    system: System,
    arrivals: Arrivals,
    model: str | ModelConfig,
    *,
    tensor_parallel: int = 1,
    dtype: str | None = None,
    kv_dtype: str | None = None,
    max_batch: int = 256,
    token_budget: int = 2048,
    block_tokens: int = 16,
    prefix_cache: bool = True,
    kv_tokens: int | None = None,
    points: int = 3,
    peak_tflops: float = 0.0,
    overhead_s: float = 0.0,
    threads: int | None = None,
    told: Callable[[str], None] | None = None,
) -> Serving:
    """Serve requests with one replica of a model on devices with this memory.

    Parameters
    ----------
    system : System
        Memory of one device.
    arrivals : Arrivals
        From `read_arrivals` or `poisson`.
    model, tensor_parallel, dtype, kv_dtype
        As for `hbmmodel.workload.decode`; the devices of a replica do the same.
    max_batch, token_budget, block_tokens, prefix_cache
        See `Policy`; `block_tokens` is also the page of the simulated cache.
    kv_tokens : int, optional
        Tokens that the KV cache has room for; None: what the weights leave (`hbmmodel.workload.capacity`).
    points, peak_tflops, overhead_s, threads, told
        See `sample_steps`.

    Raises
    ------
    HbmArgumentError
        An argument is out of range, or the model does not fit the memory.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> small = hbm.workload.model("llama-3.1-8b").replace(layers=2, hidden=512, intermediate=1024, vocab=1024)
    >>> found = serve(hbm.System(hbm.device("HBM4_8000")), hbm.serving.poisson(requests=50, per_second=1000.0),
    ...               small, max_batch=8, token_budget=256, kv_tokens=16_384, points=2)
    >>> found.summary["served"], found.summary["ttft_s_p50"] < found.summary["ttft_s_p99"]
    (50, True)
    """
    chosen = chosen_model(model, dtype, kv_dtype)
    room = capacity(decode(chosen, tensor_parallel=tensor_parallel).workload or {}, system.capacity_bytes)
    if kv_tokens is None:
        kv_tokens = room.kv_budget_tokens or 0
        if kv_tokens < 1:
            raise HbmArgumentError(
                f"the weights of {chosen.name} take {room.weight_bytes / 1e9:.1f} GB of a device's "
                f"{room.capacity_bytes / 1e9:.1f} GB and leave no room for a KV cache; raise tensor_parallel, or give "
                "another dtype"
            )
    policy = Policy(kv_tokens, max_batch, token_budget, block_tokens, prefix_cache)
    longest = int((arrivals.input_tokens + arrivals.output_tokens).max())
    times = sample_steps(
        system, chosen, max_batch=max_batch, token_budget=token_budget, tensor_parallel=tensor_parallel,
        cached_tokens=min(kv_tokens, max_batch * longest), page_tokens=block_tokens, points=points,
        peak_tflops=peak_tflops, overhead_s=overhead_s, threads=threads, told=told,
    )  # fmt: skip
    requests, steps = schedule(arrivals, policy, times)
    facts = {
        "arrivals": arrivals.name,
        "model": chosen.name,
        "tensor_parallel": tensor_parallel,
        "left_out": dict(arrivals.left_out),
        "kv_blocks": kv_tokens // (arrivals.block_tokens or block_tokens),
        "system": system.to_dict(),
    }
    return Serving(requests, steps, policy, times, facts)
