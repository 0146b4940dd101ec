import numpy as np
import pytest

from tests.worker.core.localization.planted import CARRY, FACTS, make_planted
from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization import direct_logit_attribution as dla
from worker.core.localization import logit_lens as lens
from worker.core.localization.direct_logit_attribution import _direction, _split
from worker.core.models.base_run import run_base
from worker.core.models.tokens import pad
from worker.core.patching.cases import prepare


def run(method, model, facts, **options):
    return method.localize(model, facts, method.Options(**options), Job(0, Quiet()))


@pytest.mark.parametrize("family", ["gpt2", "neox", "llama", "qwen3", "gemma", "gemma3", "phi"])
def test_parts_and_embeddings_add_up_to_the_logit_difference(family):
    model = make_model(family)
    cases = prepare(model, FACTS[:2], 0.0, True).cases
    base = run_base(
        model, pad(model, [c.prompt for c in cases]), sites=["attn_write", "mlp_write", "z"]
    )
    direction = _direction(base, cases)
    embeddings = (base.resid[0][:, -1] * direction).sum(-1)
    final = (base.resid[-1][:, -1] * direction).sum(-1)
    offset = 0.0
    if family in ("gpt2", "neox", "phi"):  # the last norm's bias, and the unembedding's, add too
        offset = None
    for i, traced in enumerate(_split(base, cases)):
        parts = sum(v for name, v in traced.components.items() if ".head." not in name)
        assert parts + float(embeddings[i]) == pytest.approx(float(final[i]), abs=1e-3)
        if offset is not None:
            assert float(final[i]) == pytest.approx(traced.clean, abs=1e-3)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_heads_add_up_to_their_attention(family):
    found = run(dla, make_model(family), FACTS[:1], min_probability=0).arrays["components"]
    scores = dict(zip(found.axes[0].labels, found.values, strict=True))
    for layer in range(3):
        heads = sum(scores[f"blocks.{layer}.attn.head.{h}"] for h in range(4))
        assert heads == pytest.approx(scores[f"blocks.{layer}.attn"], abs=1e-3)


def test_only_the_reader_of_the_planted_circuit_writes_the_answer():
    found = run(dla, make_planted(), FACTS)
    assert found.summary["components.top_head"] == CARRY
    share = found.summary["components.top_head_score"] / found.summary["metric.clean"]
    assert share == pytest.approx(1, abs=0.1)


def test_a_residual_stream_that_is_no_sum_cannot_be_split():
    with pytest.raises(UserError, match="not the sum"):
        run(dla, make_model("opt_post_norm"), FACTS[:1], min_probability=0)


@pytest.mark.parametrize("family", ["llama", "gemma2", "opt"])
def test_the_lens_on_the_last_layer_reads_the_models_own_prediction(family):
    model = make_model(family)
    found = run(lens, model, FACTS[:3], min_probability=0)
    for i, case in enumerate(prepare(model, FACTS[:3], 0.0, False).cases):
        read = found.arrays["grid.resid"].values[i, -1, case.length - 1]
        assert read == pytest.approx(case.probability, abs=1e-6)


def test_the_lens_sees_the_answer_from_the_readers_layer_on():
    found = run(lens, make_planted(), FACTS)
    last = found.arrays["roles.resid"].values[:, -1]
    assert (last[:2] < 0.05).all() and (last[2:] > 0.9).all()
    assert found.summary["components.top_attn"] == "blocks.2.attn"
    assert np.isfinite(found.arrays["components"].values).all()
