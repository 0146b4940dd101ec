"""Localization in bfloat16 finds what it finds in float32: sums and scores are float32 in both."""

import numpy as np
import pytest
import torch

from worker.contract.progress import Quiet
from worker.core.facts.athletes import fact_set
from worker.core.findings import Job
from worker.core.models.load import load_model
from worker.core.registry import methods

FEW = {"causal_tracing": {"samples": 2}, "eap_ig": {"steps": 2}}
METHODS = ("causal_tracing", "activation_patching", "attribution_patching", "atp_star", "eap_ig")


@pytest.fixture(scope="module")
def models():
    return {dtype: load_model("demo", dtype=dtype) for dtype in ("float32", "bfloat16")}


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_component_scores_in_bfloat16_rank_as_in_float32(models, name) -> None:
    method = methods("localization")[name]
    options = method.options(**FEW.get(name, {}))
    scores = []
    for dtype, model in models.items():
        assert model.dtype == getattr(torch, dtype)
        found = method.function(model, fact_set().facts[:4], options, Job(0, Quiet()))
        scores.append(found.arrays["components"].values)
        assert scores[-1].dtype in (np.float32, np.float64)
    ranks = [np.argsort(np.argsort(one)) for one in scores]
    assert np.corrcoef(*ranks)[0, 1] > 0.9
    # Two that are nearer than bfloat16's eight bits, added up over a prompt, may change places.
    assert scores[0][scores[1].argmax()] > 0.99 * scores[0].max()
