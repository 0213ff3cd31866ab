"""Workloads without a program that runs them: transformers from their dimensions, recommenders, searches, patterns.

The public names of the room: models, generators of traces, what a run was to its workload, and bandwidths for other
simulators. It must not know how memory is simulated, and `hbmmodel.sim` does not know it.

Examples
--------
>>> import hbmmodel as hbm
>>> trace = hbm.workload.decode("llama-3.1-405b", batch=32, context=8192, tensor_parallel=8)
>>> trace.info()["operations"]
1390
"""

from __future__ import annotations

from hbmmodel.workload.arithmetic import decode_bytes, train_bytes
from hbmmodel.workload.bandwidth import EffectiveBandwidth, effective_bandwidth
from hbmmodel.workload.configs import model, model_file, models
from hbmmodel.workload.inference import decode, prefill, speculative
from hbmmodel.workload.metrics import Capacity, Metrics, Share, capacity, metrics
from hbmmodel.workload.model import Attention, Experts, LatentAttention, ModelConfig
from hbmmodel.workload.program import TENSOR_CLASSES
from hbmmodel.workload.recommender import dlrm
from hbmmodel.workload.routing import expected_distinct
from hbmmodel.workload.search import vector_search
from hbmmodel.workload.spec import from_spec
from hbmmodel.workload.synthetic import synthetic
from hbmmodel.workload.train import train_step

__all__ = [
    "TENSOR_CLASSES",
    "Attention",
    "Capacity",
    "EffectiveBandwidth",
    "Experts",
    "LatentAttention",
    "Metrics",
    "ModelConfig",
    "Share",
    "capacity",
    "decode",
    "decode_bytes",
    "dlrm",
    "effective_bandwidth",
    "expected_distinct",
    "from_spec",
    "metrics",
    "model",
    "model_file",
    "models",
    "prefill",
    "speculative",
    "synthetic",
    "train_bytes",
    "train_step",
    "vector_search",
]
