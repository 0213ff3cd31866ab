"""One training step of a transformer: forward, backward, optimizer.

Owns the arguments, the order of micro-batches in a pipeline, and what is told about the run; must not know kernels
(`training`, `train_eager`), how parameters are updated (`optimizers`) or who holds which part of them (`zero`).
"""

from __future__ import annotations

from collections.abc import Iterator

from hbmmodel.checks import check_choice, check_flag, check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.trace.expand import ROWS_MAX
from hbmmodel.trace.model import Operation
from hbmmodel.workload.eager import EagerForward
from hbmmodel.workload.inference import FUSIONS, chosen_model
from hbmmodel.workload.model import ModelConfig
from hbmmodel.workload.optimizers import OPTIMIZERS, PRECISIONS, step
from hbmmodel.workload.parameters import DEVICES_MAX, Parallel, all_parameters
from hbmmodel.workload.program import GeneratedTrace, Program
from hbmmodel.workload.train_eager import EagerTraining
from hbmmodel.workload.training import Training
from hbmmodel.workload.zero import STAGE_MAX, DataParallel

__all__ = ["train_step"]

RECOMPUTE = ("none", "full")
REUSE = ("none", "perfect")
SCHEDULES = ("1f1b", "gpipe")


def train_step(
    model: str | ModelConfig,
    *,
    batch: int = 1,
    tokens: int = 4096,
    micro_batches: int = 1,
    optimizer: str = "adamw_fused",
    precision: str = "mixed",
    recompute: str = "none",
    reuse: str = "none",
    fusion: str = "fused",
    tensor_parallel: int = 1,
    expert_parallel: int = 1,
    pipeline_parallel: int = 1,
    pipeline_stage: int = 0,
    pipeline_schedule: str = "1f1b",
    data_parallel: int = 1,
    zero: int = 0,
    first_step: bool = False,
    seed: int = 0,
) -> GeneratedTrace:
    """One step of training: forward and backward of every micro-batch, and one update.

    Parameters
    ----------
    model : str or ModelConfig
        One of `models`, the path of a model file, or a model. Its weights are bf16, whatever its own format is.
    batch, tokens : int
        Sequences of a micro-batch, and tokens of each.
    micro_batches : int
        Passes whose gradients are accumulated.
    optimizer : {"adamw_fused", "adamw_eager", "sgd"}
        One kernel per tensor, every operator by itself, or plain gradient descent.
    precision : {"mixed", "bf16"}
        ``mixed``: fp32 gradients that every micro-batch reads and adds to, fp32 parameters and moments kept by the
        optimizer. ``bf16``: everything bf16, gradients written once; only one micro-batch.
    recompute : {"none", "full"}
        ``full``: keep only the input of every layer and compute the layer again in the backward pass.
    reuse : {"none", "perfect"}
        ``none``: every kernel reads and writes its operands. ``perfect``: what the next kernel takes over stays on
        chip; only weights, gradients, logits, the activations kept for the backward pass and what devices exchange
        move: the lower bound.
    fusion : {"fused", "eager"}
        ``eager``: every operator by itself, as PyTorch runs Hugging Face's Llama; in bf16, on one device.
    tensor_parallel, expert_parallel, pipeline_parallel, pipeline_stage : int
        See `Parallel`; the trace is that of one device.
    pipeline_schedule : {"1f1b", "gpipe"}
        Order of micro-batches: one forward, one backward as soon as the pipeline is full, or all forward passes
        first. It decides how many of them keep activations at once.
    data_parallel : int
        Replicas that share gradients; with `expert_parallel` beyond `tensor_parallel`, a multiple of their ratio.
    zero : {0, 1, 2, 3}
        Stage of ZeRO: 1, replicas divide optimizer states; 2, gradients too; 3, weights too.
    first_step : bool
        Whether the optimizer's moments are made in this step.
    seed : int
        Of the tokens.

    Returns
    -------
    OpTrace
        Phases ``forward``, ``backward`` (both once per micro-batch) and ``optimizer``.

    Raises
    ------
    HbmArgumentError
        An argument is out of range, or does not fit the model.

    Source
    ------
    Narayanan et al. (arXiv 2104.04473), section 2.2: one forward, one backward; Huang et al., *GPipe*
    (arXiv 1811.06965), section 2.3. For ZeRO see `DataParallel`.

    Examples
    --------
    >>> trace = train_step("llama-3.1-8b", tokens=4096)
    >>> trace.workload["state_bytes"] // trace.workload["parameters"]  # fp32 gradient, parameter and two moments
    16
    >>> shared = train_step("llama-3.1-8b", data_parallel=64, zero=3)
    >>> round(shared.workload["parameters"] * 18 / (shared.workload["weight_bytes"] + shared.workload["state_bytes"]))
    64
    """
    config = chosen_model(model, "bf16", None)
    parallel = Parallel(tensor_parallel, expert_parallel, pipeline_parallel, pipeline_stage)
    parallel.check(config)
    check_whole("batch", batch, 1, 1 << 20)
    check_whole("tokens", tokens, 1, ROWS_MAX)
    check_whole("micro_batches", micro_batches, 1, 1 << 16)
    check_whole("data_parallel", data_parallel, 1, DEVICES_MAX)
    check_whole("zero", zero, 0, STAGE_MAX)
    for name, value, choices in (
        ("optimizer", optimizer, OPTIMIZERS),
        ("precision", precision, PRECISIONS),
        ("recompute", recompute, RECOMPUTE),
        ("reuse", reuse, REUSE),
        ("fusion", fusion, FUSIONS),
        ("pipeline_schedule", pipeline_schedule, SCHEDULES),
    ):
        check_choice(name, value, choices)
    check_flag("first_step", first_step)
    check_whole("seed", seed, 0, (1 << 63) - 1)
    if batch * tokens > ROWS_MAX:
        raise HbmArgumentError(f"{batch} sequences of {tokens} tokens; at most {ROWS_MAX} tokens come at once")
    if precision == "bf16" and micro_batches > 1:
        raise HbmArgumentError("precision is 'bf16', which does not accumulate; use micro_batches=1, or 'mixed'")
    if data_parallel % parallel.groups:
        raise HbmArgumentError(
            f"data_parallel is {data_parallel}; {expert_parallel} devices share experts, {tensor_parallel} share a "
            f"replica: give a multiple of {parallel.groups}"
        )
    if zero and data_parallel == 1:
        raise HbmArgumentError(f"zero is {zero}, but data_parallel is 1, so nobody shares; give data_parallel")
    if fusion == "eager":
        EagerForward.check(config, parallel)
        if (precision, recompute, reuse, data_parallel) != ("bf16", "none", "none", 1):
            raise HbmArgumentError(
                "fusion is 'eager', which is a plain bf16 step on one device; give precision='bf16' and leave "
                "recompute, reuse and data_parallel out, or use fusion='fused'"
            )

    def shared(program: Program) -> DataParallel:
        return DataParallel(program, data_parallel, data_parallel // parallel.groups, zero, optimizer, precision)

    def make(program: Program) -> Iterator[Operation]:
        replicas = shared(program)
        run: Training | EagerTraining
        if fusion == "eager":
            run = EagerTraining(program, config, replicas, batch, tokens, seed)
        else:
            run = Training(
                program, config, parallel, replicas, batch * tokens,
                recompute=recompute == "full", perfect=reuse == "perfect", seed=seed,
            )  # fmt: skip
        passes = []
        for phase, is_last in _order(parallel, micro_batches, pipeline_schedule):
            program.phase = phase
            if phase == "forward":
                passes.append((yield from run.forward()))
            else:
                yield from run.backward(passes.pop(0), is_last)
        program.phase = "optimizer"
        for trained in run.parameters.values():
            yield from step(program, trained, optimizer, first_step)
            yield from replicas.spread([trained])

    own = {
        **{"batch": batch, "tokens": tokens, "micro_batches": micro_batches, "optimizer": optimizer},
        **{"precision": precision, "recompute": recompute, "reuse": reuse, "fusion": fusion},
        **{"tensor_parallel": tensor_parallel, "expert_parallel": expert_parallel},
        **{"pipeline_parallel": pipeline_parallel, "pipeline_stage": pipeline_stage},
        **{"pipeline_schedule": pipeline_schedule, "data_parallel": data_parallel, "zero": zero},
        **{"first_step": first_step, "seed": seed},
    }
    held, place = list(all_parameters(config, parallel)), shared(Program())
    facts = {
        **{"kind": "train_step", "model": config.name, "parameters": config.parameters},
        **{"active_parameters": config.active_parameters, "batch": batch * micro_batches},
        **{"devices_alike": tensor_parallel * data_parallel, "pipeline_stages": pipeline_parallel, "context": tokens},
        **{"tokens": batch * tokens * micro_batches * data_parallel, "steps": 1},
        **{"weight_bytes": sum(map(place.weight_bytes, held)), "state_bytes": sum(map(place.state_bytes, held))},
        "kv_bytes_per_token": 0,
    }
    defaults = {"micro_batches": 1, "optimizer": "adamw_fused", "precision": "mixed", "recompute": "none", "seed": 0}
    defaults |= {"reuse": "none", "fusion": "fused", "tensor_parallel": 1, "expert_parallel": 1, "first_step": False}
    defaults |= {"pipeline_parallel": 1, "pipeline_stage": 0, "pipeline_schedule": "1f1b"}
    defaults |= {"data_parallel": 1, "zero": 0}
    label = ",".join(f"{k}={v}" for k, v in {"model": config.name, **own}.items() if defaults.get(k) != v)
    arguments = {"kind": "train_step", "model": config.to_dict(), **own}
    return GeneratedTrace(f"workload:train_step,{label}", arguments, facts, make)


def _order(parallel: Parallel, micro_batches: int, schedule: str) -> Iterator[tuple[str, bool]]:
    """Passes of one stage: forward or backward, always of the oldest micro-batch that is due; whether it is the last.

    Examples
    --------
    >>> "".join(phase[0] for phase, _ in _order(Parallel(pipeline=4, stage=1), 4, "1f1b"))
    'fffbfbbb'
    >>> "".join(phase[0] for phase, _ in _order(Parallel(pipeline=4, stage=2), 4, "1f1b"))
    'ffbfbfbb'
    """
    ahead = micro_batches if schedule == "gpipe" else min(micro_batches, parallel.pipeline - parallel.stage)
    for _ in range(ahead):
        yield "forward", False
    for i in range(micro_batches):
        yield "backward", i == micro_batches - 1
        if ahead + i < micro_batches:
            yield "forward", False
