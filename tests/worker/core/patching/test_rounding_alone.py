"""A difference that rounding alone can make is none, in every method that divides by one."""

import importlib

import pytest
import torch

from tests.worker.core.models.families import FAMILIES, make_model
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.selection import Selection
from worker.core.ahead.corruptible import look_ahead
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.logistic import standardize
from worker.core.evaluation import faithfulness
from worker.core.findings import Job
from worker.core.localization import _probe
from worker.core.localization.activation_patching import Options
from worker.core.models.model import Model
from worker.core.models.prompts import encode_fact
from worker.core.models.tokens import pad
from worker.core.patching.bench import make_bench
from worker.core.patching.cases import prepare
from worker.core.patching.corruption import corrupt
from worker.core.patching.pairing import make_pairs
from worker.core.rounding import rounding_at

FACTS = (
    Fact(id="a", subject="Ann Lee", prompt="So {} is at", target="ball", edit_target="golf"),
    Fact(id="b", subject="Bo", prompt="On {} is at", target="golf", edit_target="ball"),
)
NEXT_TO_NOTHING = {"corruption": "noise", "noise_level": 1e-9}
"""Noise that is lost when it is added to an embedding: clean and corrupted prompt are one."""
METHODS = (
    "causal_tracing",
    "activation_patching",
    "attribution_patching",
    "atp_star",
    "eap",
    "eap_ig",
    "eap_ig_activations",
    "path_patching",
)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_out_what_changes_by_rounding_alone(method: str) -> None:
    module = importlib.import_module(f"worker.core.localization.{method}")
    options = module.Options(
        metric="logit_diff", min_probability=0, keep_raised=True, samples=2, **NEXT_TO_NOTHING
    )
    with pytest.raises(UserError, match="nothing to attribute"):
        module.localize(make_model("llama"), FACTS, options, Job(0, Quiet()))


RAISED = {"metric": "logit_diff", "corruption": "random_tokens", "min_probability": 0}
SEVERAL = tuple(f.model_copy(update={"id": f"{f.id}{i}"}) for f in FACTS for i in range(2))
"""Each fact's random tokens are its own: some raise its metric, some do not."""


@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_out_what_the_corruption_raises(method: str) -> None:
    module = importlib.import_module(f"worker.core.localization.{method}")
    own = {"samples": 1} | ({"steps": 1} if "steps" in module.Options.model_fields else {})
    job = Job(0, Quiet(), pool=FACTS)
    every = module.localize(
        make_model("llama"), SEVERAL, module.Options(keep_raised=True, **RAISED, **own), job
    )
    assert every.attribution is not None and len(every.attribution.facts) == len(SEVERAL)
    raised = {one.id for one in every.attribution.facts if one.corrupted > one.clean}
    assert raised and len(raised) < len(SEVERAL)
    some = module.localize(make_model("llama"), SEVERAL, module.Options(**RAISED, **own), job)
    assert some.attribution is not None
    assert {out.id for out in some.left_out} == raised
    assert {one.id for one in some.attribution.facts} == {f.id for f in SEVERAL} - raised
    assert all("raises it" in out.reason for out in some.left_out)


def test_faithfulness_leaves_out_what_the_corruption_raises() -> None:
    job = Job(0, Quiet(), mask=Mask(components=("blocks.0.mlp",)))
    asked = {"min_difference": 0, "draws": 2} | RAISED
    model, selection = make_model("llama"), Selection(forget=SEVERAL, retain=())
    every, prepared = faithfulness._patch(
        model, selection, faithfulness.Options(keep_raised=True, **asked), job
    )
    assert not prepared.left_out and every.used.all()
    raised = {
        item.case.fact.id
        for item, change in zip(every.items, every.changes, strict=True)
        if change.corrupted > change.clean
    }
    found = faithfulness.evaluate(BeforeAfter(model), selection, faithfulness.Options(**asked), job)
    assert {out.id for out in found.left_out} == raised and 0 < len(raised) < len(SEVERAL)
    assert all("raises it" in out.reason for out in found.left_out)


def test_faithfulness_is_not_a_share_of_rounding() -> None:
    job = Job(0, Quiet(), mask=Mask(components=("blocks.0.mlp",)))
    options = faithfulness.Options(min_probability=0, keep_raised=True, draws=2, **NEXT_TO_NOTHING)
    with pytest.raises(UserError, match="the same with every component corrupted"):
        faithfulness.evaluate(
            BeforeAfter(make_model("llama")), Selection(forget=FACTS, retain=()), options, job
        )


def test_what_a_run_leaves_out_the_preflight_leaves_out() -> None:
    prepared = prepare(make_model("llama"), FACTS, 0.0, True)
    look_ahead(
        make_model("llama"), prepared, Options(**NEXT_TO_NOTHING), method="activation_patching",
        seed=0, pool=FACTS,
    )  # fmt: skip
    assert sorted(out.id for out in prepared.left_out) == ["a", "b"]


@pytest.mark.parametrize("metric", ["probability", "logit_diff", "kl"])
def test_a_small_but_real_change_is_one_and_both_ways_of_measuring_agree(metric) -> None:
    model = make_model("llama")
    items = corrupt(
        model, prepare(model, FACTS, 0.0, True), "noise", samples=2, noise_level=1e-2, seed=0
    )
    bench, pairs = make_bench(model, items, metric), make_pairs(model, items)
    rows = len(items), torch.arange(4)
    logits = bench.base.logits[bench.pairs.clean], bench.base.logits[bench.pairs.corrupted]
    found = pairs.changes(metric, *logits, model.dtype)
    assert rows[0] == 2 and not any(change.is_none for change in found)
    for one, other in zip(found, bench.changes, strict=True):
        assert one.difference == pytest.approx(other.difference, abs=one.rounding)
        assert one.rounding == pytest.approx(other.rounding, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_asked_alone_and_in_a_batch_differs_by_rounding_at_most(family, dtype) -> None:
    made = make_model.__wrapped__(family)  # not the shared one: its dtype is changed
    model = Model(family, made.hf.to(dtype), made.tokenizer)
    prompts = [encode_fact(model, fact) for fact in FACTS]
    alone = [pad(model, [prompt]) for prompt in prompts]
    with torch.no_grad():
        one = torch.cat([model.logits(b.ids, b.mask, b.position_ids)[:, -1] for b in alone])
        batch = pad(model, prompts)
        other = model.logits(batch.ids, batch.mask, batch.position_ids)[:, -1]
    change = (one - other).abs().amax(-1)
    assert (change <= rounding_at(one.abs().amax(-1), dtype)).all()


def test_a_feature_that_varies_by_rounding_alone_is_not_scaled_up() -> None:
    steps = torch.tensor([0.0, 1.0, -1.0, 0.0]) * torch.finfo(torch.float32).eps
    feature = 3.0 * (1 + steps)  # the same number from four kernels
    real = torch.tensor([1.0, 2.0, 3.0, 4.0])
    x = torch.stack([feature, real], -1)[None]
    (scaled,) = standardize(x)
    assert scaled[..., 0].abs().max() < 1e-5
    assert scaled[..., 1].std() == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_probes_kernel_leaves_out_what_varies_by_rounding_alone(dtype: torch.dtype) -> None:
    steps = torch.tensor([0.0, 1.0, -1.0, 0.0]) * torch.finfo(dtype).eps
    real = torch.tensor([1.0, 2.0, 3.0, 4.0])
    x = torch.stack([3.0 * (1 + steps), real], -1)[None].to(dtype)
    (kernel,) = _probe.kernels(x)
    scaled = (real - real.mean()) / real.std()
    torch.testing.assert_close(kernel, scaled[:, None] * scaled / 2)
