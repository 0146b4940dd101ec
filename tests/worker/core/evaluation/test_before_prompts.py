"""Free vectors before prompts give what one unpadded run of each prompt by itself gives."""

import pytest
import torch

from worker.core.evaluation import _before_prompts
from worker.core.evaluation._before_prompts import log_probs
from worker.core.training.pool import Row, fact_rows


def by_hand(model, row: Row, vectors: torch.Tensor) -> torch.Tensor:
    """One forward of the vectors and the whole prompt, nothing padded and nothing shared."""
    embedded = model.hf.get_input_embeddings()(torch.tensor([row.ids])).detach()
    logits = model.hf(inputs_embeds=torch.cat([vectors[None], embedded], 1), use_cache=False).logits
    found = logits[0, vectors.shape[0] :].float().log_softmax(-1)
    return sum(found[i, label] for i, label in enumerate(row.labels) if label != -100)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_every_start_scores_every_prompt_as_if_alone(build_model, facts, family) -> None:
    model = build_model(family)
    twice = facts[1].model_copy(update={"subject": f"{facts[1].subject} {facts[1].subject}"})
    rows = fact_rows(model, [facts[0], twice, *facts[2:4]])
    assert len({len(row.ids) for row in rows}) > 1, "some row must be padded"
    drawn = torch.randn(2, 3, model.d_model, generator=torch.Generator().manual_seed(0))
    vectors = drawn.clone().requires_grad_(True)
    found = log_probs(model, rows, vectors)
    alone = drawn.clone().requires_grad_(True)
    wanted = torch.stack([torch.stack([by_hand(model, row, one) for row in rows]) for one in alone])
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    found.sum().backward(), wanted.sum().backward()
    torch.testing.assert_close(vectors.grad, alone.grad, atol=1e-4, rtol=1e-3)


def test_without_vectors_the_prompts_are_scored_as_they_are(model, facts) -> None:
    rows = fact_rows(model, facts[:3])
    nothing = torch.zeros(1, 0, model.d_model)
    wanted = torch.stack([by_hand(model, row, nothing[0]) for row in rows])
    torch.testing.assert_close(log_probs(model, rows, nothing)[0], wanted, atol=1e-4, rtol=1e-4)
    other = [Row(row.ids[1:], row.labels[1:]) for row in rows[:1]] + rows[1:]
    assert _before_prompts._begun_alike(other) == 0
    assert log_probs(model, other, nothing).shape == (1, 3)


def test_what_prompts_begin_with_ends_before_their_answers(model, facts) -> None:
    row = fact_rows(model, facts[:1])[0]
    n_labels = sum(label != -100 for label in row.labels)
    assert _before_prompts._begun_alike([row, row]) == len(row.ids) - n_labels
