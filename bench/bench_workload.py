"""Making every operation of a step of the largest models, without simulating them."""

from __future__ import annotations

from typing import Any

import pytest

from hbmmodel import workload

TRACES = {
    "decode 405B": lambda: workload.decode("llama-3.1-405b", batch=32, context=8192, tensor_parallel=8),
    "decode 671B experts": lambda: workload.decode("deepseek-v3", batch=32, context=8192),
    "train 405B": lambda: workload.train_step("llama-3.1-405b", tokens=8192),
}


@pytest.mark.parametrize("name", TRACES)
def test_operations_are_made(benchmark: Any, name: str) -> None:
    assert benchmark(lambda: sum(1 for _ in TRACES[name]().operations())) > 1000
