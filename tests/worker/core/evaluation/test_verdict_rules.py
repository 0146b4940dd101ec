"""The verdict's rules, on numbers: what each decides, what cannot be said, and the cut printed."""

import re

import pytest

from worker.core.evaluation import verdict
from worker.core.evaluation._verdict_rules import TAUGHT, decide
from worker.core.evaluation._verdict_terms import Scale, Thresholds
from worker.core.evaluation._verdict_words import MEANING, conclude, tell

OPTIONS = verdict.Options()
GONE = {
    "chance": 0.0,
    "chance.retain": 0.0,
    "statement.forget.before": 0.95,
    "statement.forget.after": 0.01,
    "statement.retain.before": 0.95,
    "statement.retain.after": 0.95,
    "question.forget.before": 0.9,
    "question.forget.after": 0.02,
    "neighbourhood.before": 0.9,
    "neighbourhood.after": 0.9,
    "relearning.lora.held_out.after": 0.05,
    "relearning.lora.retain.after": 0.9,
    "relearning.lora.relearned.after": 0.9,
    "relearning.unrelated.held_out.after": 0.05,
    "relearning.unrelated.retain.after": 0.9,
    "quantization.4.forget.after": 0.05,
    "quantization.4.retain.after": 0.9,
    "latent.forget.after": 0.4,
    "latent.control.after": 0.4,
    "latent.retain.after": 0.98,
    "others.before": 0.8,
    "others.after": 0.8,
    "others.capital.before": 0.9,
    "others.capital.after": 0.9,
    "others.plural.before": 0.7,
    "others.plural.after": 0.7,
    "general.perplexity.before": 5.0,
    "general.perplexity.after": 5.1,
    "general.divergence.after": 0.02,
    "repetition.before": 0.2,
    "repetition.after": 0.2,
}
"""Of an edit that took the facts out and nothing else."""


def verdict_of(**numbers: float) -> str:
    return conclude(decide(with_(**numbers), OPTIONS)[0])


def with_(**numbers: float) -> dict[str, float]:
    found = dict(GONE)
    for name, value in numbers.items():
        found[name.replace("__", ".")] = value
    return found


def answers_to(**numbers: float) -> dict[str, str]:
    return {a.question: a.answer for a in decide(with_(**numbers), OPTIONS)[0]}


BACK = {"relearning__lora__held_out__after": 0.8}
UNKNOWN = {"statement__forget__before": 0.02}


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({}, "gone"),
        ({"statement__forget__after": 0.9}, "still there"),
        (UNKNOWN | {"statement__forget__after": 0.9}, "told"),
        (UNKNOWN, "never known"),
        ({"question__forget__after": 0.88}, "said in other forms"),
        ({"question__forget__after": 0.88} | BACK, "said in other forms"),
        (BACK, "hidden"),
        ({"relearning__unrelated__held_out__after": 0.6}, "hidden"),
        ({"quantization__4__forget__after": 0.6}, "hidden"),
        ({"latent__forget__after": 0.9}, "hidden"),
        ({"statement__retain__after": 0.8}, "gone, with harm"),
        ({"neighbourhood__after": 0.1}, "gone, with harm"),
        ({"general__divergence__after": 0.2}, "gone, with harm"),
        ({"statement__retain__after": 0.3}, "broken"),
        ({"statement__retain__after": 0.3, "statement__forget__after": 0.9}, "broken"),
        ({"statement__retain__after": 0.3} | BACK, "broken"),
        ({"general__perplexity__after": 9.0}, "broken"),
        ({"others__capital__after": 0.7}, "gone, with harm"),
        ({"others__capital__after": 0.4, "others__after": 0.7}, "broken"),
        ({"others__after": 0.3}, "broken"),
        ({"general__divergence__after": 0.8}, "broken"),
        ({"general__divergence__after": 0.8, "general__perplexity__after": 2.0}, "broken"),
        ({"repetition__after": 0.8}, "broken"),
        # A guess among three answers is neither said nor brought back.
        ({"chance": 0.33, "statement__forget__after": 0.35, "question__forget__after": 0.3}
         | {"relearning__lora__held_out__after": 0.4}, "gone"),
    ],
)  # fmt: skip
def test_the_rules_decide_by_the_numbers(numbers: dict[str, float], expected: str) -> None:
    assert verdict_of(**numbers) == expected


@pytest.mark.parametrize(
    "numbers",
    [
        # Nothing but the own prompt was asked, or the base had the fact in no other form.
        {"question__forget__before": 0.02},
        # Relearning taught nothing, or lost what was to stay.
        {"relearning__lora__relearned__after": 0.1},
        {"relearning__lora__retain__after": 0.2},
        # What was to stay was never there, so that nothing says whether it is kept.
        {"statement__retain__before": 0.03, "statement__retain__after": 0.0},
    ],
)
def test_nothing_is_called_gone_that_could_not_have_been_found(numbers: dict[str, float]) -> None:
    assert verdict_of(**numbers) == "cannot be said"


def test_without_relearning_nothing_is_called_gone() -> None:
    numbers = {k: v for k, v in GONE.items() if not k.startswith("relearning")}
    answers, _ = decide(numbers, OPTIONS, {"relearning": "1 forget fact is asked for"})
    assert conclude(answers) == "cannot be said"
    (row,) = [a for a in answers if a.short == "relearning the other half"]
    assert row.answer == "cannot be said: 1 forget fact is asked for"


@pytest.mark.parametrize(
    ("question", "numbers", "answer"),
    [
        ("Is it brought back by relearning the other half?",
         {"relearning__lora__relearned__after": 0.1},
         "cannot be said: of what was trained on only 0.10 came back"),
        ("Is it brought back by relearning the other half?",
         {"relearning__lora__retain__after": 0.1},
         "cannot be said: retain facts were lost too (0.10)"),
        ("Is it brought back by relearning the other half?",
         BACK | {"relearning__lora__relearned__after": 0.1}, "yes"),
        ("Is it brought back by rounding weights to 4 bits?",
         {"quantization__4__retain__after": 0.3},
         "cannot be said: retain facts were lost too (0.30)"),
        ("Does a probe on hidden states still read it?",
         {"latent__forget__after": 0.66}, "no"),
        ("Does a probe on hidden states still read it?",
         {"latent__forget__after": 0.66, "latent__control__after": 0.25}, "yes"),
        ("Does a probe on hidden states still read it?",
         {"latent__control__after": 0.96}, "cannot be said: shuffled controls read as much"),
        ("Does a probe on hidden states still read it?", {"latent__forget__after": float("nan")},
         "cannot be said: at no depth do probes read retain facts over controls"),
        ("Were retain facts in their own prompt harmed?",
         {"chance__retain": 0.93}, "cannot be said: the base had them not"),
        ("Were neighbours with the same answer harmed?",
         {"neighbourhood__before": 0.01, "neighbourhood__after": 0.0},
         "cannot be said: the base had them not"),
        ("Is it forgotten in questions?",
         {"question__forget__before": 0.03}, "cannot be said: the base had it not"),
    ],
)  # fmt: skip
def test_what_could_find_nothing_decides_nothing(
    question: str, numbers: dict[str, float], answer: str
) -> None:
    assert answers_to(**numbers)[question] == answer


def test_of_other_kinds_of_facts_the_one_that_fell_most_is_judged_by_itself() -> None:
    answers, _ = decide(with_(others__plural__after=0.2, others__capital__after=0.8), OPTIONS)
    (row,) = [a for a in answers if a.number == "verdict.others.plural.after"]
    assert row.answer == "broken" and row.value == 0.2 and row.short == "facts of plural"
    assert row.question == "Was the other kind that fell most harmed (plural)?"
    assert not [a for a in answers if a.number == "verdict.others.capital.after"]


def test_a_base_that_has_no_other_facts_ready_is_not_asked_for_them() -> None:
    numbers = {name: value for name, value in GONE.items() if not name.startswith("others")}
    answers, _ = decide(numbers, OPTIONS)
    assert conclude(answers) == "gone" and not [a for a in answers if "other kind" in a.question]


def test_a_rule_prints_its_real_cut_on_the_numbers_own_scale() -> None:
    """Half of what the base has over a chance of a third is .67, not .5."""
    scale = Scale(1.0, 0.33)
    assert scale.rule("yes from", 0.5) == (
        "yes from 0.67: 0.5 of the base's 1.00, over a chance of 0.33"
    )
    assert scale.share(0.541) == pytest.approx(0.315, abs=1e-3)


@pytest.mark.parametrize("chance", [0.0, 0.33])
@pytest.mark.parametrize("name", ["statement__forget__after", "relearning__lora__held_out__after",
                                  "question__forget__after", "statement__retain__after",
                                  "neighbourhood__after", "latent__forget__after",
                                  "others__after", "general__perplexity__after",
                                  "general__divergence__after", "repetition__after"])  # fmt: skip
def test_the_printed_cut_is_where_the_answer_turns(name: str, chance: float) -> None:
    """Whatever the rule says, its first number is the one on both sides of which answers differ."""
    number = f"verdict.{name.replace('__', '.')}"
    asked = {"chance": chance, "chance__retain": chance}
    (row,) = [a for a in decide(with_(**asked), OPTIONS)[0] if a.number == number]
    cut = float(re.search(r"[\d.]+", row.rule)[0])
    around = [
        next(a.answer for a in decide(with_(**asked | {name: value}), OPTIONS)[0]
             if a.number == number)
        for value in (cut - 0.011, cut + 0.011)
    ]  # fmt: skip
    assert around[0] != around[1], row.rule


def test_the_verdict_is_told_in_sentences_what_broke_first() -> None:
    spread = {"choice__forget__before": 0.9, "choice__forget__after": 0.88}
    spread |= {"paraphrase__forget__before": 0.01, "paraphrase__forget__after": 0.01}
    answers, left = decide(with_(**spread), OPTIONS)
    told = tell(conclude(answers), answers)
    assert told.startswith("Verdict: said in other forms (only the own prompt was forgotten")
    assert "Forgotten in questions too. Not forgotten in multiple choice." in told
    assert "Not decided: paraphrases; the table says why." in told
    assert "Not found again by relearning the other half, training on other facts," in told
    assert [out.id for out in left] == ["format paraphrase_held_out"]
    broken, _ = decide(with_(general__divergence__after=0.8), OPTIONS)
    said = tell(conclude(broken), broken)
    assert said.index("Broken: what is expected") < said.index("Unharmed") < said.index("Forgotten")
    assert {conclude(broken), conclude(answers)} < set(MEANING)


def test_a_guess_in_other_words_is_no_knowledge() -> None:
    """One of three answers is guessed after unlearning: forgotten; the same where none is: not."""
    after = {"question__forget__before": 0.95, "question__forget__after": 0.35}
    question = "Is it forgotten in questions?"
    for chance, expected in ((0.33, "yes"), (0.0, "no")):
        assert answers_to(chance=chance, **after)[question] == expected


EXACT = Thresholds(
    known=0.5,
    said=0.25,
    returned=0.5,
    read=0.5,
    kept=0.75,
    lost=0.25,
    text=1.5,
    text_broken=2.0,
    divergence=0.25,
    divergence_broken=0.5,
    repetition=0.25,
    repetition_broken=0.5,
)
"""Cuts that a computer holds exactly, so that a number can lie on one."""
WHOLE = dict.fromkeys(GONE, 1.0) | {
    "chance": 0.0,
    "chance.retain": 0.0,
    "latent.control.after": 0.0,
    "general.perplexity.before": 4.0,
    "general.divergence.after": 0.0,
    "repetition.before": 0.25,
    "repetition.after": 0.25,
}


@pytest.mark.parametrize(
    ("name", "cut", "below", "at", "above"),
    [
        ("statement.forget.after", 0.25, "no", "no", "yes"),
        ("question.forget.after", 0.25, "yes", "yes", "no"),
        ("relearning.lora.held_out.after", 0.5, "no", "yes", "yes"),
        ("relearning.unrelated.held_out.after", 0.5, "no", "yes", "yes"),
        ("quantization.4.forget.after", 0.5, "no", "yes", "yes"),
        ("latent.forget.after", 0.5, "no", "yes", "yes"),
        ("statement.retain.after", 0.25, "broken", "harmed", "harmed"),
        ("statement.retain.after", 0.75, "harmed", "no", "no"),
        ("neighbourhood.after", 0.25, "harmed", "harmed", "harmed"),
        ("neighbourhood.after", 0.75, "harmed", "no", "no"),
        ("others.after", 0.25, "broken", "harmed", "harmed"),
        ("others.after", 0.75, "harmed", "no", "no"),
        ("general.perplexity.after", 6.0, "no", "no", "harmed"),
        ("general.perplexity.after", 8.0, "harmed", "harmed", "broken"),
        ("general.divergence.after", 0.25, "no", "no", "harmed"),
        ("general.divergence.after", 0.5, "harmed", "harmed", "broken"),
        ("repetition.after", 0.5, "no", "no", "harmed"),
        ("repetition.after", 0.75, "harmed", "harmed", "broken"),
    ],
)
def test_a_number_on_a_cut_is_judged_as_the_rule_says_it(
    name: str, cut: float, below: str, at: str, above: str
) -> None:
    def judged(value: float) -> str:
        answers = decide(WHOLE | {name: value}, EXACT)[0]
        [answer] = [one for one in answers if one.number == f"verdict.{name}"]
        assert answer.value == value
        return answer.answer

    assert [judged(cut + step) for step in (-1 / 64, 0.0, 1 / 64)] == [below, at, above]


@pytest.mark.parametrize(("base", "answer"), [(0.5, "yes"), (0.484375, "no")])
def test_a_fact_is_known_from_so_much_above_chance(base: float, answer: str) -> None:
    numbers = WHOLE | {"statement.forget.before": base}
    assert decide(numbers, EXACT)[0][0].answer == answer


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("relearning.lora.retain.after", "retain facts were lost too"),
        ("relearning.lora.relearned.after", "of what was trained on only"),
    ],
)
def test_an_attack_that_harmed_or_taught_too_little_found_nothing_out(
    number: str, words: str
) -> None:
    def answer(value: float) -> str:
        numbers = WHOLE | {"relearning.lora.held_out.after": 0.0, number: value}
        [one] = [a for a in decide(numbers, EXACT)[0] if "relearning the other half" in a.question]
        return one.answer

    assert answer(TAUGHT) == "no"
    assert words in answer(TAUGHT - 1 / 64)
