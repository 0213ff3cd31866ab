"""What a run was to a workload: bytes, time and energy per token and step, and how much room is left for KV caches.

Owns the formulas; must not know how a run was made or how a report looks. Everything follows from a `Result` whose
trace came from a generator of this room, also from a saved one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hbmmodel.checks import check_real, check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.workload.attribution import time_shares
from hbmmodel.workload.program import TENSOR_CLASSES

if TYPE_CHECKING:
    from hbmmodel.result import Result

__all__ = ["Capacity", "Metrics", "Share", "capacity", "metrics"]


@dataclass(frozen=True, slots=True)
class Share:
    """Part of a run on one device.

    Parameters
    ----------
    bytes_read, bytes_written : int
        Of a tensor class, bytes that were asked for; of a phase, bytes that moved, padding included.
    time_ns : float
        See `time_shares`; an operation's time is divided among its classes by their bytes.
    fraction_of_peak : float
        Bytes that moved, padding included, over time, over the pin bandwidth; at most 1. What an operation moved is
        divided among its classes by the bytes that it asked for.
    """

    bytes_read: int
    bytes_written: int
    time_ns: float
    fraction_of_peak: float

    @property
    def n_bytes(self) -> int:
        """Read and written."""
        return self.bytes_read + self.bytes_written


@dataclass(frozen=True, slots=True)
class Capacity:
    """What fits into the memory of one device.

    Parameters
    ----------
    capacity_bytes, weight_bytes, state_bytes : int
        All of it; the parameters; gradients and optimizer states.
    kv_bytes_per_token : int
        What a token of one sequence takes in the KV caches.
    kv_budget_bytes : int
        What is left for KV caches (activations left out); negative if weights and states do not fit.
    kv_budget_tokens, kv_budget_sequences : int or None
        That budget in tokens, and in sequences of the run's length; None without a KV cache.
    """

    capacity_bytes: int
    weight_bytes: int
    state_bytes: int
    kv_bytes_per_token: int
    kv_budget_bytes: int
    kv_budget_tokens: int | None
    kv_budget_sequences: int | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a run was to its workload.

    Parameters
    ----------
    kind, model, unit : str
        Generator; model; what is counted: tokens, samples or queries.
    tokens, steps : float, int
        Tokens (samples, queries) that all devices alike together got done, and steps. 0 tokens: none are counted.
    devices : int
        Devices that do the same as the simulated one, it included; of a pipeline those of its stage only.
    time_ns, time_per_step_ns : float
        Time of the run, and per step.
    time_per_token_ns, tokens_per_s : float or None
        Time of the run over all tokens, and the inverse: memory time, as if computing took none.
    energy_j, energy_j_per_step : float or None
        Energy of the stacks of all devices alike.
    energy_j_per_token : float or None
    energy_j_per_step_per_100b_parameters : float or None
        Of training steps only.
    classes, phases : dict of str to Share
        By tensor class (``other``: bytes without a label) and by phase; their times sum to that of the operations.
    bytes_per_token : dict of str to float
        By tensor class, read and written, all devices alike together.
    capacity : Capacity
    """

    kind: str
    model: str
    unit: str
    tokens: float
    steps: int
    devices: int
    time_ns: float
    time_per_step_ns: float
    time_per_token_ns: float | None
    tokens_per_s: float | None
    energy_j: float | None
    energy_j_per_step: float | None
    energy_j_per_token: float | None
    energy_j_per_step_per_100b_parameters: float | None
    classes: dict[str, Share]
    phases: dict[str, Share]
    bytes_per_token: dict[str, float]
    capacity: Capacity

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def _whole(facts: Mapping[str, Any], name: str, least: int) -> int:
    """A number of the description, which a saved result may have from anywhere."""
    return check_whole(f"the result's trace.workload.{name}", facts.get(name, least), least, 1 << 80)


def capacity(facts: Mapping[str, Any], capacity_bytes: int) -> Capacity:
    """What fits, from the description of a workload and the bytes of a device's stacks.

    Parameters
    ----------
    facts : mapping
        `OpTrace.workload`.
    capacity_bytes : int
        `System.capacity_bytes`.

    Examples
    --------
    >>> from hbmmodel.workload import decode
    >>> found = capacity(decode("llama-3.1-70b", tensor_parallel=8).workload, 8 * 36 << 30)
    >>> found.kv_budget_tokens, found.kv_budget_sequences  # of 8,193 tokens
    (7119065, 868)
    """
    weights, states, per_token, context = (
        _whole(facts, name, 0) for name in ("weight_bytes", "state_bytes", "kv_bytes_per_token", "context")
    )
    budget = capacity_bytes - weights - states
    length = context + (_whole(facts, "steps", 1) if facts.get("kind") == "decode" else 0)
    tokens = max(0, budget) // per_token if per_token else None
    sequences = None if tokens is None or not length else tokens // length
    return Capacity(capacity_bytes, weights, states, per_token, budget, tokens, sequences)


def metrics(result: Result) -> Metrics:
    """What a run was to its workload.

    Parameters
    ----------
    result : Result
        Of a trace that came from a generator of `hbmmodel.workload`, just simulated or loaded.

    Raises
    ------
    HbmArgumentError
        The trace does not say what its operations were for.

    Notes
    -----
    With an on-chip filter (``l2``) the bytes by class are what was asked of the filter, and those by phase what reached
    the memory. Windowed layers of a model are counted in full in `Capacity.kv_bytes_per_token`.

    Source
    ------
    Definitions; no constants. Energy per training step per 100 B parameters: energy of the step, all devices alike,
    times 10^11 over the parameters.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> small = hbm.workload.model("llama-3.1-8b").replace(layers=1, vocab=1024)
    >>> run = hbm.simulate(hbm.System(hbm.device("HBM4_8000")), hbm.workload.decode(small, context=512))
    >>> m = hbm.workload.metrics(run)
    >>> m.classes["weights"].bytes_read == 2 * (218_112_000 + 4096 + 1024 * 4096), m.classes["kv"].bytes_read
    (True, 2101248)
    """
    facts = result.trace.get("workload")
    if not isinstance(facts, dict):
        raise HbmArgumentError(
            f"the trace {result.trace.get('name')} does not say what it was for; only those of hbmmodel.workload do"
        )
    table, summary = result.operations, result.summary
    moved = (table["bytes_read"] + table["bytes_written"]).astype(np.float64)
    peak = result.system.peak_gb_per_s
    times = time_shares(table["start_ns"], table["end_ns"], moved, float(peak))

    def share(read: float, written: float, time_ns: float, n_moved: float | None = None) -> Share:
        rate = (read + written if n_moved is None else n_moved) / time_ns if time_ns > 0 else 0.0
        return Share(int(read), int(written), float(time_ns), float(rate / peak))

    labels = sorted({name.rpartition("_bytes_")[0] for name in table.names if name.rpartition("_bytes_")[0]})
    labels.sort(key=lambda label: TENSOR_CLASSES.index(label) if label in TENSOR_CLASSES else len(TENSOR_CLASSES))
    by_class = {
        label: [
            table[name] if (name := f"{label}_bytes_{way}") in table else np.zeros(len(table), dtype=np.int64)
            for way in ("read", "written")
        ]
        for label in labels
    }
    labelled = sum((read + written for read, written in by_class.values()), np.zeros(len(table), dtype=np.int64))
    reached = moved / np.maximum(labelled, 1)
    classes = {
        label: share(
            read.sum(),
            written.sum(),
            (times * (read + written) / np.maximum(labelled, 1))[labelled > 0].sum(),
            ((read + written) * reached).sum(),
        )
        for label, (read, written) in by_class.items()
    }
    rest = labelled == 0
    if rest.any():
        classes["other"] = share(
            table["bytes_read"][rest].sum(), table["bytes_written"][rest].sum(), times[rest].sum()
        )
    phases = {}
    for phase in dict.fromkeys(table["phase"].tolist()):
        mine = table["phase"] == phase
        phases[phase] = share(table["bytes_read"][mine].sum(), table["bytes_written"][mine].sum(), times[mine].sum())
    tokens = check_real("the result's trace.workload.tokens", facts.get("tokens", 0), 0.0, 2.0**63)
    steps, devices = _whole(facts, "steps", 1), _whole(facts, "devices_alike", 1)
    parameters = _whole(facts, "parameters", 0)
    time_ns = float(summary["time_ns"] or 0.0)
    pj = summary.get("energy_pj")
    energy_j = None if pj is None else pj * 1e-12 * devices
    per_step = None if energy_j is None else energy_j / steps
    training = facts.get("kind") == "train_step" and parameters > 0
    return Metrics(
        kind=str(facts.get("kind")),
        model=str(facts.get("model")),
        unit=str(facts.get("token_name", "token")),
        tokens=tokens,
        steps=steps,
        devices=devices,
        time_ns=time_ns,
        time_per_step_ns=time_ns / steps,
        time_per_token_ns=time_ns / tokens if tokens else None,
        tokens_per_s=tokens / time_ns * 1e9 if tokens and time_ns else None,
        energy_j=energy_j,
        energy_j_per_step=per_step,
        energy_j_per_token=None if energy_j is None or not tokens else energy_j / tokens,
        energy_j_per_step_per_100b_parameters=None if per_step is None or not training else per_step * 1e11 /
        parameters, classes=classes,
        phases=phases,
        bytes_per_token={} if not tokens else {k: c.n_bytes * devices / tokens for k, c in classes.items()},
        capacity=capacity(facts, result.system.capacity_bytes),
    )
