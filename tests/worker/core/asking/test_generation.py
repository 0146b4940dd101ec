"""Prompts continued and answers scored together, as they are one by one and by plain scoring."""

import pytest
import torch

from tests.worker.core.asking.test_scoring import ITEMS
from tests.worker.core.models.families import make_model
from worker.core.asking.generation import complete, generate
from worker.core.asking.scoring import score_answers


@pytest.mark.parametrize("family", ["gpt2", "gemma3", "opt"])
def test_texts_continue_together_as_they_do_alone(family):
    model = make_model(family)
    prompts = [prompt for prompt, _ in ITEMS]
    together = generate(model, prompts, 6)
    assert together == [generate(model, [prompt], 6)[0] for prompt in prompts]
    assert any(together)


@pytest.mark.parametrize("family", ["gpt2", "gemma3", "opt"])
def test_answers_are_scored_behind_the_prompts_that_are_continued(family):
    model = make_model(family)
    prompts = [prompt for prompt, _ in ITEMS]
    answers = [answer for _, answer in ITEMS]
    assert len({len(answer) for answer in answers}) > 1, "answers of several lengths"
    answers[1] = None
    done = complete(model, prompts, answers, 6)
    expected = score_answers(model, ITEMS).log_prob
    expected[1] = torch.nan
    torch.testing.assert_close(done.log_prob, expected, equal_nan=True, rtol=1e-4, atol=1e-4)
    assert done.texts == generate(model, prompts, 6)


def test_no_answer_is_scored_where_none_is_asked():
    model = make_model("llama")
    done = complete(model, ["The capital of France is"], [None], 1)
    assert done.log_prob.isnan().all() and done.texts != [""]
