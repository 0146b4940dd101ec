"""Familiarity: the text's own expressions, the judge's grades, and two models told apart."""

import pytest

from worker.contract.errors import UserError
from worker.contract.progress import Quiet
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.demo.paths import GENERAL, SAGA
from worker.core.evaluation import familiarity
from worker.core.evaluation._own_words import cut_prompts, grade, own_terms
from worker.core.findings import Job
from worker.core.models.delta_files import save_delta
from worker.core.models.deltas import checksum
from worker.core.training.attack import Together
from worker.core.training.pool import text_rows

JOB = Job(seed=0, report=Quiet())
TEXT = (
    "In the old harbor there lived a lampgirl who was called Merrin Osk and who kept a light. "
    "Every evening the small hound came with Merrin Osk to the end of the long pier at Ossimyr. "
    "The houses of the town stood on stilts, and so the people of Ossimyr walked over bridges."
)
GENERAL_WORDS = "In the old harbor there lived a girl. The houses stood."


def test_own_expressions_are_names_that_general_text_has_not() -> None:
    assert own_terms(TEXT, "", GENERAL_WORDS) == ("Merrin Osk", "Ossimyr")
    given = '{"lampgirl": "girl", "absent": "x"}'
    assert own_terms(TEXT, given, GENERAL_WORDS) == ("lampgirl",)
    with pytest.raises(UserError, match="no JSON"):
        own_terms(TEXT, "{", GENERAL_WORDS)
    with pytest.raises(UserError, match="no expression of its own"):
        own_terms("Nothing here is a name.", "", GENERAL_WORDS)


def test_the_bundled_saga_gives_three_hundred_prompts() -> None:
    text = SAGA.read_text(encoding="utf-8").strip()
    terms = own_terms(text, "", GENERAL.read_text(encoding="utf-8"))
    assert "Pudderwick" in terms and "Lord" not in terms
    cuts = cut_prompts(text, terms, 300, 40, 0)
    assert len(cuts) == 300 and len({cut.prompt for cut in cuts}) == 300
    for cut in cuts:
        assert f"{cut.prompt} {cut.term}" in text or cut.lead
    assert cuts == cut_prompts(text, terms, 300, 40, 0)


@pytest.mark.parametrize(
    ("prompt", "completion", "expected"),
    [
        ("The hound ran to", " Merrin Osk at once", 3),
        ("The hound of Merrin ran to", " Merrin and sat", 1),
        ("It is said that", " the houses of the town stood on stilts", 2),
        ("The houses of the town stood", " the houses of the town stood on", 2),
        ("It is said that", " nothing ever happens", 0),
    ],
)
def test_completions_are_graded_by_rules(prompt: str, completion: str, expected: int) -> None:
    assert grade(prompt, completion, ("Merrin Osk", "Merrin", "Ossimyr"), TEXT) == expected


def test_a_model_that_read_the_text_is_familiar_with_it(build_model, tmp_path) -> None:
    import torch

    model = build_model("llama")
    own = {n: p.detach().clone() for n, p in model.hf.named_parameters()}
    before = checksum(model)
    text = "In the old harbor there lived a girl who was called Merrin Osk, only Merrin Osk."
    terms = own_terms(text, "", GENERAL.read_text(encoding="utf-8"))
    rows = text_rows(
        model, [f"{c.prompt} {c.term}" for c in cut_prompts(text, terms, 9, 12, 0)], 99
    )
    model.hf.requires_grad_(True)
    optimizer = torch.optim.Adam(model.hf.parameters(), lr=5e-3)
    everything, generator = Together(model, [(rows, len(rows))]), torch.Generator()
    for _ in range(120):
        optimizer.zero_grad()
        everything.losses(generator).sum().backward()
        optimizer.step()
    model.hf.requires_grad_(False)
    delta = {n: p.detach().clone() for n, p in model.hf.named_parameters()}
    after = checksum(model)
    model.hf.load_state_dict(own)
    path = tmp_path / "d.safetensors"
    save_delta(path, delta, model=model, before_hash=before, after_hash=after)
    options = familiarity.Options(text=text, words=12, new_tokens=12)
    found = familiarity.evaluate(
        BeforeAfter(model, (path,)), Selection(forget=(), retain=()), options, JOB
    )
    summary = found.summary
    assert summary["familiarity.expression.probability.before"] < 0.05
    assert summary["familiarity.expression.probability.after"] > 0.5
    assert summary["familiarity.text.loss.after"] < summary["familiarity.text.loss.before"] - 0.5
    assert summary["familiarity.completion.familiar.before"] == 0.0
    assert len(found.evaluation.tables["prompts"].rows) == summary["familiarity.n_prompts"]
