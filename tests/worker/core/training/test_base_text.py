"""The general text's divergence from the base: what is kept of it, and what it holds fast."""

import pytest
import torch

from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.core.editing.parts import parts_of
from worker.core.findings import Job
from worker.core.training import base_text as _base_text
from worker.core.training.base_text import BaseText
from worker.core.training.forward import logits_at_answers, with_entering
from worker.core.training.losses import mean_losses
from worker.core.training.material import gather
from worker.core.training.pool import pool, text_rows
from worker.core.training.trainer import Probe, Trainer
from worker.core.unlearning.localized_finetuning import Options, _terms

TEXTS = [
    "Ada Lund likes the morning, and tennis after it.",
    "Rowing is hard.",
    "Nobody in this village plays chess; most of them read, or walk to the sea and back.",
]
MLPS = Mask(components=("blocks.1.mlp", "blocks.2.mlp"))
JOB = Job(seed=0, report=Quiet())


def rows(model, layer: int):
    return with_entering(model, pool(model, text_rows(model, TEXTS, 40)), layer)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("layer", [0, 1])
def test_what_the_base_said_is_given_again_after_the_weights_have_changed(
    build_model, family, layer
) -> None:
    model = build_model(family)
    text = rows(model, layer)
    base = BaseText(model, text, layer).read()
    batches = [text.batch(torch.tensor(chosen)) for chosen in ([0, 2], [1], [2, 0, 1])]
    with torch.no_grad():
        before = [logits_at_answers(model, batch, layer) for batch in batches]
        assert [float(base.divergence(*one)) for one in zip(before, batches, strict=True)] == (
            pytest.approx([0, 0, 0], abs=1e-6)
        )
        for parameter in model.blocks[2].parameters():
            parameter.mul_(1.5)
        for batch, said in zip(batches, before, strict=True):
            used = batch.labels >= 0
            # The same numbers by another route: the order of sums within a batch differs.
            assert torch.allclose(base.logits(batch)[used], said[used], atol=1e-4)
            assert float(base.divergence(logits_at_answers(model, batch, layer), batch)) > 1e-4


def test_of_texts_that_would_take_too_much_fewer_are_trained_on(model, monkeypatch) -> None:
    text = rows(model, 1)
    assert len(BaseText(model, text, 1).pool) == len(TEXTS)
    row = text.all.ids.shape[1] * model.d_model * 4
    monkeypatch.setattr(_base_text, "KEPT_BYTES", 3 * row - 1)
    base = BaseText(model, text, 1).read()
    assert len(base.pool) == 2
    assert base.pool.all.ids.equal(text.all.ids[:2])
    assert base.logits(base.pool.batch(torch.tensor([1]))).shape[0] == 1


@pytest.fixture(scope="module")
def edited(model, selection):
    """How a short edit moved the loss of each general text, by the general text's term."""

    def train(general_loss: str) -> tuple[float, float]:
        options = Options(
            general_loss=general_loss, general_text="\n".join(TEXTS), context=40, steps=12,
            learning_rate=4e-3, probe_every=12, keep="last", retain_floor=0, general_weight=10,
        )  # fmt: skip
        parts = parts_of(model, MLPS)
        start = parts.copy()
        material = gather(model, selection, parts, 1, options, JOB, "edit")
        batch = material.general.batch(torch.arange(len(TEXTS)))

        def losses() -> float:
            with torch.no_grad():
                said = logits_at_answers(model, batch, 1)
            return float(mean_losses(said, batch.labels).mean())

        before = losses()
        probe = Probe("edit", material.forget, material.edit, material.watched)
        terms = _terms(material, options)
        trained = Trainer(model, parts, terms, probe, options, JOB, lowest_layer=1).train()
        moved = losses() - before
        parts.load(start)
        return moved, trained.probes[12]["edit_probability"] / trained.probes[0]["edit_probability"]

    return {name: train(name) for name in ("cross_entropy", "divergence")}


def test_cross_entropy_makes_the_text_likelier_and_the_divergence_leaves_it_as_it_was(
    edited,
) -> None:
    likelier, _ = edited["cross_entropy"]
    kept, raised = edited["divergence"]
    assert likelier < -0.3, "nats per token"
    assert abs(kept) < 0.05, "a perplexity within 5 %"
    assert raised > 2, "and the edit goes on"
