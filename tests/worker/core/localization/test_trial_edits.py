"""Trial edits: score and comparisons by hand and by least squares, one edit by a plain loop."""

import numpy as np
import pytest
import torch

from tests.worker.core.localization.planted import FACTS, STORE, make_planted
from worker.contract.errors import UserError
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization._trial_statistics import (
    by_another,
    by_effect,
    by_window,
    compared,
    inside_windows,
    over_windows,
    scored,
)
from worker.core.localization.causal_tracing import Options as Tracing
from worker.core.localization.causal_tracing import localize as trace
from worker.core.localization.trial_edits import Options, localize
from worker.core.models.deltas import parameter_checksums

QUICK = {"samples": 3, "min_probability": 0.0, "steps": 4, "learning_rate": 0.02}


def found(**options):
    model = make_planted()
    return localize(model, FACTS[:4], Options(**QUICK | options), Job(0, Quiet(), pool=FACTS))


def test_a_score_is_the_harmonic_mean_of_what_was_measured():
    measured = {
        "own": np.array([[1.0, 0.5, 0.0]]),
        "reworded": np.array([[1.0, 0.25, 0.9]]),
        "kept": np.array([[0.5, np.nan, 0.9]]),
    }
    assert scored(measured)[0].tolist() == pytest.approx([3 / (1 + 1 + 2), 2 / (2 + 4), 0.0])


def test_shares_of_variance_are_those_of_least_squares():
    rng = np.random.default_rng(3)
    effect, noise = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    score = noise + np.array([0.0, 2.0, 1.0, -1.0]) + 0.8 * effect
    dummies = np.tile(np.eye(4), (6, 1))

    def explained(*columns: np.ndarray) -> float:
        design, y = np.column_stack([dummies, *columns]), score.ravel()
        fitted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
        return 1 - ((y - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum()

    assert by_window(effect, score) == pytest.approx(explained())
    added = explained(effect.ravel()) - explained()
    assert by_effect(effect, score) == pytest.approx(added)
    others = [explained(np.roll(effect, k, 0).ravel()) - explained() for k in range(1, 6)]
    assert by_another(effect, score) == pytest.approx(np.mean(others))
    assert added > 2 * np.mean(others)


def test_correlations_are_over_windows_and_inside_them():
    effect = np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]])
    score = np.array([[0.9, 0.5, 0.1], [1.0, 0.6, 0.2]])
    assert over_windows(effect, score) == pytest.approx(-1.0)
    assert inside_windows(effect, score) == pytest.approx(1.0)
    told = compared(effect, score, 0)
    assert told["trial.best.score"] == 0 and told["trial.best.effect"] == 2
    assert told["trial.score.best"] == pytest.approx(0.95)
    assert told["trial.score.traced"] == pytest.approx(0.15)
    low, high = told["trial.correlation.low"], told["trial.correlation.high"]
    assert low <= told["trial.correlation"] <= high
    assert compared(effect, np.ones((2, 3)), 0)["trial.correlation"] is None


def test_effects_are_those_of_causal_tracing_and_the_model_is_left_as_it_was():
    before = parameter_checksums(make_planted())
    tried = found()
    assert parameter_checksums(make_planted()) == before
    options = Tracing(samples=3, min_probability=0.0, sites=("mlp",), window=1)
    traced = trace(make_planted(), FACTS[:4], options, Job(0, Quiet())).arrays["components.facts"]
    mlps = [i for i, name in enumerate(traced.axes[1].labels) if name.endswith(".mlp")]
    assert np.allclose(tried.arrays["trial.effect"].values, traced.values[:, mlps], atol=1e-6)
    assert tried.summary["trial.best.effect"] == int(STORE.split(".")[1])


def test_an_edit_is_that_of_a_plain_loop_over_one_fact():
    tried = found().arrays["trial.own"].values
    model, fact, layer = make_planted(), FACTS[1], 2
    prompt, answer = fact.pair(fact.edit_target)
    ids = torch.tensor([model.tokenizer(prompt)["input_ids"]])
    wanted = torch.tensor(model.tokenizer(answer)["input_ids"][-1:])
    block = model.hf.model.layers[layer].mlp
    kept = {name: value.detach().clone() for name, value in block.named_parameters()}
    block.requires_grad_(True)
    optimizer = torch.optim.AdamW(block.parameters(), lr=0.02, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    for _ in range(4):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model.hf(ids).logits[:, -1], wanted)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(block.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    probability = model.hf(ids).logits[0, -1].softmax(-1)[wanted[0]].item()
    with torch.no_grad():
        for name, value in block.named_parameters():
            value.copy_(kept[name])
    block.requires_grad_(False)
    model.hf.zero_grad(set_to_none=True)
    assert tried[1, layer] == pytest.approx(probability, abs=1e-4)


def test_windows_lie_inside_the_model_and_a_component_has_the_mean_of_its_windows():
    tried = found(window=3, steps=1)
    score = tried.arrays["trial.score"]
    assert score.axes[1].labels == ("0–2", "1–3")
    components = dict(
        zip(tried.arrays["components"].axes[0].labels, tried.arrays["components"].values,
            strict=True)
    )  # fmt: skip
    means = score.values.mean(0)
    assert components["blocks.0.mlp"] == pytest.approx(means[0])
    assert components["blocks.1.mlp"] == pytest.approx(means.mean())
    assert components["blocks.3.mlp"] == pytest.approx(means[1])


def test_what_cannot_be_edited_is_said():
    with pytest.raises(UserError, match="4; expected at most as many"):
        found(window=5)
    bare = [FACTS[0].model_copy(update={"edit_target": ""})]
    with pytest.raises(UserError, match="has no edit target"):
        localize(make_planted(), bare, Options(**QUICK), Job(0, Quiet()))
