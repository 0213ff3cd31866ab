"""Rewrite passes: what a trace would be if the program, or the machines that run it, had been others.

The public names of the room: one per pass, as a user writes it, ``trace.rewritten(kv("paged"), dtype("fp8"))``.
"""

from __future__ import annotations

from hbmmodel.trace.rewrite.base import Pass, RewrittenTrace
from hbmmodel.trace.rewrite.batches import MicroBatches
from hbmmodel.trace.rewrite.caches import KvCache
from hbmmodel.trace.rewrite.experts import ExpertParallel
from hbmmodel.trace.rewrite.formats import Dtype
from hbmmodel.trace.rewrite.fuse import FuseElementwise
from hbmmodel.trace.rewrite.optimizers import Optimizer
from hbmmodel.trace.rewrite.repeats import RepeatLayer
from hbmmodel.trace.rewrite.spec import PASSES, parse, parse_all
from hbmmodel.trace.rewrite.stages import Pipeline
from hbmmodel.trace.rewrite.tensors import TensorParallel
from hbmmodel.trace.rewrite.tiles import GemmTiles

__all__ = [
    "PASSES",
    "Pass",
    "RewrittenTrace",
    "dtype",
    "expert_parallel",
    "fuse_elementwise",
    "gemm_tiles",
    "kv",
    "micro_batches",
    "optimizer",
    "parse",
    "parse_all",
    "pipeline",
    "repeat_layer",
    "tensor_parallel",
]

dtype = Dtype
expert_parallel = ExpertParallel
fuse_elementwise = FuseElementwise
gemm_tiles = GemmTiles
kv = KvCache
micro_batches = MicroBatches
optimizer = Optimizer
pipeline = Pipeline
repeat_layer = RepeatLayer
tensor_parallel = TensorParallel
