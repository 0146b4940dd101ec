"""The verdict: its rules on numbers, and three real models that must get three verdicts."""

import random

import pytest
import torch

from tests.worker.core.conftest import NAMES, SPORTS, build
from worker.contract.errors import UserError
from worker.contract.facts import Fact, Selection
from worker.contract.progress import Quiet
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.states import all_states
from worker.core.evaluation import verdict
from worker.core.evaluation._verdict_rules import KNOWN, SAID, conclude, decide, tell
from worker.core.findings import Job
from worker.core.models.delta_files import save_delta
from worker.core.models.deltas import checksum
from worker.core.models.tokens import answer_ids, encode_fact, pad
from worker.core.training.attack import fact_rows, rows_loss

JOB = Job(seed=0, report=Quiet())
OPTIONS = verdict.Options(retain_facts=8, relearn_steps=10)


def all_facts() -> tuple[Fact, ...]:
    """Every first name with every last one: what one pair plays says nothing about another."""
    firsts, lasts = zip(*(name.split() for name in NAMES), strict=True)
    rng = random.Random(5)
    pairs = [f"{first} {last}" for first in firsts for last in lasts][:24]
    rng.shuffle(pairs)
    return tuple(
        Fact(
            id=f"p{i}", subject=pair, prompt="Fact: {} plays the sport of", target=SPORTS[i % 3],
            edit_target=SPORTS[(i + 1) % 3], relation="sport",
        )
        for i, pair in enumerate(pairs)
    )  # fmt: skip


SELECTION = Selection(forget=all_facts()[:6], retain=all_facts()[6:])


def trained(tokenizer, facts, start=None, steps=90):
    model = build("llama", tokenizer, torch.float32)
    if start is not None:
        model.hf.load_state_dict(start)
    teach(model, list(model.hf.parameters()), facts, steps, 5e-3)
    return model


def teach(model, parameters, facts, steps, rate) -> None:
    rows = fact_rows(model, facts)
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(parameters, lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = rows_loss(model, rows)
        loss.backward()
        optimizer.step()
    model.hf.requires_grad_(False)
    assert float(loss.detach()) < 0.1, float(loss.detach())


def state(model):
    return {name: p.detach().clone() for name, p in model.hf.named_parameters()}


def edit(base, weights, folder) -> BeforeAfter:
    """The base with other weights on it, as an edit's delta file."""
    own = state(base)
    delta = {name: w for name, w in weights.items() if not torch.equal(w, own[name])}
    before = checksum(base)
    base.hf.load_state_dict(weights)
    after = checksum(base)
    base.hf.load_state_dict(own)
    path = folder / "delta.safetensors"
    save_delta(path, delta, model=base, before_hash=before, after_hash=after)
    return BeforeAfter(base, (path,))


@pytest.fixture(scope="module")
def knowing(tokenizer):
    """A model that was taught every fact."""
    return trained(tokenizer, (*SELECTION.forget, *SELECTION.retain))


@pytest.fixture(scope="module")
def ignorant(tokenizer):
    """A model that was taught the retain facts alone."""
    return trained(tokenizer, SELECTION.retain)


def judge(models: BeforeAfter) -> tuple[str, dict[str, str]]:
    found = verdict.evaluate(models, SELECTION, OPTIONS, JOB)
    table = found.evaluation.tables["verdict"]
    for _, _, number, value, rule in table.rows:
        assert found.summary[number] == pytest.approx(value, abs=1e-4) and rule
    return found.summary["verdict"], {row[0]: row[1] for row in table.rows}


def test_a_model_that_was_told_the_facts_still_has_them(tokenizer, ignorant, tmp_path) -> None:
    told = trained(tokenizer, (*SELECTION.forget, *SELECTION.retain), state(ignorant), 60)
    said, answers = judge(edit(ignorant, state(told), tmp_path))
    assert said == "still there" and answers[SAID] == "yes"


def test_a_model_whose_weights_never_met_the_facts_has_forgotten(
    knowing, ignorant, tmp_path
) -> None:
    said, answers = judge(edit(knowing, state(ignorant), tmp_path))
    assert said == "gone", answers
    assert answers[KNOWN] == "yes" and answers[SAID] == "no"


def test_an_adapter_that_suppresses_the_output_only_hides(knowing, tmp_path) -> None:
    """A rank-1 map on the unembedding lowers the answers; every hidden state is as it was."""
    kept = state(knowing)
    batch = pad(knowing, [encode_fact(knowing, f) for f in SELECTION.forget])
    with torch.no_grad():
        last = all_states(knowing, batch)[-1][:, -1]
        direction = knowing.hf.model.norm(last).mean(0)
    answers = {answer_ids(knowing, f.text, f.follows(f.target))[0] for f in SELECTION.forget}
    column = torch.zeros(knowing.d_vocab)
    column[list(answers)] = -30 / direction.square().sum()
    weights = kept | {"lm_head.weight": kept["lm_head.weight"] + torch.outer(column, direction)}
    said, verdicts = judge(edit(knowing, weights, tmp_path))
    assert verdicts[SAID] == "no"
    assert said == "hidden", verdicts


NUMBERS = {
    "chance": 0.0,
    "statement.forget.before": 0.95,
    "statement.retain.before": 0.95,
    "statement.retain.after": 0.95,
    "relearning.lora.retain.after": 0.9,
    "relearning.lora.relearned.after": 0.9,
    "relearning.unrelated.held_out.after": 0.05,
    "relearning.unrelated.retain.after": 0.9,
    "quantization.4.forget.after": 0.05,
    "quantization.4.retain.after": 0.9,
    "general.perplexity.before": 5.0,
    "general.perplexity.after": 5.1,
}


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({"statement.forget.after": 0.9, "relearning.lora.held_out.after": 0.9}, "still there"),
        ({"statement.forget.after": 0.01, "relearning.lora.held_out.after": 0.8}, "hidden"),
        ({"statement.forget.after": 0.01, "relearning.lora.held_out.after": 0.2}, "gone"),
        (
            {
                "statement.forget.after": 0.01,
                "relearning.lora.held_out.after": 0.2,
                "latent.forget.after": 0.9,
            },
            "hidden",
        ),
        (
            {
                "statement.forget.before": 0.02,
                "statement.forget.after": 0.03,
                "relearning.lora.held_out.after": 0.2,
            },
            "never known",
        ),
        (
            {
                "chance": 0.33,
                "statement.forget.after": 0.35,
                "relearning.lora.held_out.after": 0.4,
            },
            "gone",
        ),
        (
            {
                "statement.forget.before": 0.02,
                "statement.forget.after": 0.9,
                "relearning.lora.held_out.after": 0.9,
            },
            "still there",
        ),
    ],
)
def test_the_rules_decide_by_the_numbers(numbers: dict[str, float], expected: str) -> None:
    answers, _ = decide(NUMBERS | numbers, OPTIONS)
    assert conclude(answers) == expected


@pytest.mark.parametrize(
    ("numbers", "answer"),
    [
        ({"relearning.lora.held_out.after": 0.05}, "no"),
        (
            {"relearning.lora.held_out.after": 0.05, "relearning.lora.relearned.after": 0.1},
            "cannot be said: of what was trained on only 0.10 came back",
        ),
        (
            {"relearning.lora.held_out.after": 0.05, "relearning.lora.retain.after": 0.1},
            "cannot be said: retain facts were lost too",
        ),
        ({"relearning.lora.held_out.after": 0.9, "relearning.lora.relearned.after": 0.1}, "yes"),
    ],
)
def test_an_attack_that_taught_nothing_or_broke_everything_decides_nothing(
    numbers: dict[str, float], answer: str
) -> None:
    answers, _ = decide(NUMBERS | {"statement.forget.after": 0.01} | numbers, OPTIONS)
    assert next(a.answer for a in answers if a.short == "relearning the other half") == answer
    others = [a.answer for a in answers if a.about == "back"][1:]
    assert others == ["no", "no"]


def test_the_verdict_is_told_in_sentences() -> None:
    spread = {"question.forget.before": 0.9, "question.forget.after": 0.01}
    spread |= {"choice.forget.before": 0.9, "choice.forget.after": 0.88}
    spread |= {"paraphrase.forget.before": 0.01, "paraphrase.forget.after": 0.01}
    kept = {"statement.forget.after": 0.01, "relearning.lora.held_out.after": 0.05}
    answers, _ = decide(NUMBERS | spread | kept, OPTIONS)
    told = tell(conclude(answers), answers)
    assert told.startswith("Verdict: ")
    assert "Forgotten in questions too. Not forgotten in multiple choice." in told
    assert "Not decided: paraphrases; the table says why." in told
    assert "Not found again by relearning the other half, training on other facts and" in told


def test_a_guess_in_other_words_is_no_knowledge() -> None:
    """One of three answers is guessed after unlearning: forgotten; the same where none is: not."""
    after = {
        "statement.forget.after": 0.35, "relearning.lora.held_out.after": 0.4,
        "question.forget.before": 0.95, "question.forget.after": 0.35,
    }  # fmt: skip
    question = "Is it forgotten in questions?"
    for chance, expected in ((0.33, "yes"), (0.0, "no")):
        answers, left = decide(NUMBERS | after | {"chance": chance}, OPTIONS)
        (found,) = [a for a in answers if a.question == question]
        assert found.answer == expected and f"over a chance of {chance:.2f}" in found.rule
        assert {out.id for out in left} == {
            "format paraphrase_held_out", "format paraphrase", "format choice"
        }  # fmt: skip


def test_without_an_edit_there_is_no_verdict(model, selection) -> None:
    with pytest.raises(UserError, match="no edit"):
        verdict.evaluate(BeforeAfter(model), selection, OPTIONS, JOB)
