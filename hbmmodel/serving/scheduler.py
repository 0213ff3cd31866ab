"""Continuous batching: which tokens of which requests every step computes, and when each request gets its tokens.

Owns the event loop and its rules; must not know what a step costs (`StepCost` says), files or reports.
"""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hbmmodel.checks import check_flag, check_whole
from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import Table
from hbmmodel.serving.arrivals import Arrivals
from hbmmodel.serving.blocks import BlockPool

__all__ = ["Policy", "StepCost", "schedule"]

STEPS_MAX = 50_000_000


class StepCost(Protocol):
    """How long a step takes."""

    def step_s(self, decoding: int, prompt_tokens: int, cached_tokens: int, attended: int) -> float:
        """Time of one step [s].

        Parameters
        ----------
        decoding : int
            Sequences that decode one token each.
        prompt_tokens : int
            Prompt tokens that are taken in.
        cached_tokens : int
            Tokens in the caches of all sequences of the step before it; their keys and values are read.
        attended : int
            Pairs of a new token and a token that it attends to, itself included.
        """


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules of the scheduler.

    Parameters
    ----------
    kv_tokens : int
        Tokens that the KV cache has room for.
    max_batch : int
        Sequences that are served at once.
    token_budget : int
        Tokens that one step computes at most: one per decoding sequence, the rest is for prompts, which are cut into
        chunks (chunked prefill).
    block_tokens : int
        Tokens of a KV block; arrivals with hashes bring their own.
    prefix_cache : bool
        Whether blocks with equal hashes are reused.

    Source
    ------
    Yu et al., *Orca* (OSDI 2022), section 3: scheduling by iteration; Agrawal et al., *Sarathi-Serve*
    (arXiv 2403.02310), section 4: decodes first, then chunks of prompts up to a token budget.

    Examples
    --------
    >>> Policy(kv_tokens=100_000).token_budget
    2048
    """

    kv_tokens: int
    max_batch: int = 256
    token_budget: int = 2048
    block_tokens: int = 16
    prefix_cache: bool = True

    def __post_init__(self) -> None:
        check_whole("kv_tokens", self.kv_tokens, 1, 1 << 50)
        check_whole("max_batch", self.max_batch, 1, 1 << 20)
        check_whole("token_budget", self.token_budget, 1, 1 << 24)
        check_whole("block_tokens", self.block_tokens, 1, 1 << 16)
        check_flag("prefix_cache", self.prefix_cache)
        if self.token_budget < self.max_batch:
            raise HbmArgumentError(
                f"token_budget is {self.token_budget}, less than max_batch, {self.max_batch}: every sequence of a "
                "batch decodes a token per step; raise token_budget or lower max_batch"
            )


class _Prompt:
    """A request whose prompt is being taken in."""

    __slots__ = ("blocks", "done", "found", "hashes", "row")

    def __init__(self, row: int, done: int, hashes: list[int], found: int, blocks: int) -> None:
        self.row, self.done, self.hashes, self.found, self.blocks = row, done, hashes, found, blocks


def schedule(arrivals: Arrivals, policy: Policy, cost: StepCost) -> tuple[Table, Table]:
    """Serve all requests on one replica.

    First come, first served: a request is admitted when its turn has come, a place in the batch is free and the cache
    has room for its whole length. A request that is longer than the whole cache is refused. Steps follow each other
    without a gap as long as anything is admitted or waits.

    Parameters
    ----------
    arrivals : Arrivals
    policy : Policy
    cost : StepCost

    Returns
    -------
    requests : Table
        One row per request in the order of `arrivals`: ``arrival_s, input_tokens, output_tokens, reused_tokens,
        start_s`` (admission), ``first_token_s, finish_s, ttft_s, tpot_s``. The times of a refused request are NaN;
        ``tpot_s`` is NaN for a request of one token.
    steps : Table
        One row per step: ``start_s, time_s, decoding, prompt_tokens, cached_tokens, held_blocks, idle_blocks,
        waiting``; blocks as they are during the step, and the requests that had arrived before its end was known and
        were not admitted.

    Raises
    ------
    HbmArgumentError
        More than 50 million steps are needed.
    """
    arrival, prompt, output = (c.tolist() for c in (arrivals.time_s, arrivals.input_tokens, arrivals.output_tokens))
    n, size = len(arrival), arrivals.block_tokens or policy.block_tokens
    pool = BlockPool(policy.kv_tokens // size)
    reuse = policy.prefix_cache and arrivals.block_tokens is not None
    start, first, finish = (np.full(n, np.nan) for _ in range(3))
    reused = np.zeros(n, np.int64)
    columns: dict[str, array[Any]] = {"start_s": array("d"), "time_s": array("d")}
    names = ("decoding", "prompt_tokens", "cached_tokens", "held_blocks", "idle_blocks", "waiting")
    columns |= {name: array("q") for name in names}
    (add_start, add_time, add_decoding, add_prompt, add_cached, add_held, add_idle, add_waiting) = (
        column.append for column in columns.values()
    )
    waiting: deque[int] = deque()
    prompts: deque[_Prompt] = deque()
    ends: list[tuple[int, int]] = []  # (step whose end is the request's, row) of what decodes
    holds: dict[int, tuple[list[int], int]] = {}
    now, step, next_row, decoding, context = 0.0, 0, 0, 0, 0
    while True:
        if not (decoding or prompts or waiting):
            if next_row == n:
                break
            now = max(now, arrival[next_row])
        while next_row < n and arrival[next_row] <= now:
            if -(-(prompt[next_row] + output[next_row] - 1) // size) <= pool.capacity_blocks:
                waiting.append(next_row)
            next_row += 1
        left = policy.token_budget - decoding
        planned = sum(prompt[p.row] - p.done for p in prompts) if prompts else 0
        while waiting and planned < left and decoding + len(prompts) < policy.max_batch:
            row = waiting[0]
            # The last token is always computed: its logits are the first output.
            hashes = arrivals.hashes(row)[: prompt[row] // size] if reuse else []
            blocks = -(-(prompt[row] + output[row] - 1) // size)
            found = pool.admit(hashes[: (prompt[row] - 1) // size], blocks)
            if found is None:
                break
            waiting.popleft()
            start[row], reused[row] = now, found * size
            prompts.append(_Prompt(row, found * size, hashes, found, blocks))
            planned += prompt[row] - found * size
        if not (decoding or prompts):
            continue  # only refused requests had come
        taken, cached, attended, complete = 0, context, context + decoding, 0
        for p in prompts:
            chunk = min(left - taken, prompt[p.row] - p.done)
            if chunk <= 0:
                break
            taken += chunk
            cached += p.done
            attended += chunk * p.done + chunk * (chunk + 1) // 2
            p.done += chunk
            complete += p.done == prompt[p.row]
        time_s = cost.step_s(decoding, taken, cached, attended)
        add_start(now)
        add_time(time_s)
        add_decoding(decoding)
        add_prompt(taken)
        add_cached(cached)
        add_held(pool.held_blocks)
        add_idle(pool.idle_blocks)
        add_waiting(len(waiting))
        now += time_s
        context += decoding
        while ends and ends[0][0] == step:
            _, row = heapq.heappop(ends)
            finish[row] = now
            pool.release(*holds.pop(row))
            decoding -= 1
            context -= prompt[row] + output[row] - 1
        for _ in range(complete):
            p = prompts.popleft()
            first[p.row] = now
            held = pool.publish(p.hashes, p.found)
            if output[p.row] == 1:
                finish[p.row] = now
                pool.release(held, p.blocks - len(held))
                continue
            holds[p.row] = held, p.blocks - len(held)
            heapq.heappush(ends, (step + output[p.row] - 1, p.row))
            decoding += 1
            context += prompt[p.row]
        step += 1
        if step > STEPS_MAX:
            raise HbmArgumentError(f"more than {STEPS_MAX} steps are needed; serve fewer requests at a time")
    requests = {
        "arrival_s": arrivals.time_s, "input_tokens": arrivals.input_tokens, "output_tokens": arrivals.output_tokens,
        "reused_tokens": reused, "start_s": start, "first_token_s": first, "finish_s": finish,
        "ttft_s": first - arrivals.time_s,
    }  # fmt: skip
    rest = arrivals.output_tokens - 1
    requests["tpot_s"] = np.where(rest > 0, (finish - first) / np.maximum(rest, 1), np.nan)
    return Table(requests), Table({name: np.asarray(column) for name, column in columns.items()})
