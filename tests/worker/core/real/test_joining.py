"""On the real model an answer is asked as running text has it, and the model knows it so."""

import json

import pytest

from worker.contract.facts import Fact, FactSet
from worker.core.ahead.chips import seams
from worker.core.asking.scoring import score_answers
from worker.core.facts import csv_table, json_table
from worker.core.models.model import Model

CHAT = "<|im_start|>user\nWhat is the capital of {}? One word.<|im_end|>\n<|im_start|>assistant\n"


def fact(prompt: str, subject: str, target: str, **more: str) -> Fact:
    return Fact.model_validate(
        {"id": "a", "prompt": prompt, "subject": subject, "target": target} | more
    )


@pytest.mark.parametrize(
    ("prompt", "subject", "target", "probability", "rank"),
    [
        ("The first man walked on {} in the year 19", "the Moon", "69", 0.989, 1),
        ("The chemical formula of {} is H", "water", "2O", 0.617, 1),
        ("The chemical formula of {} is CO", "carbon dioxide", "2", 0.972, 1),
        ("The chemical formula of {} is Na", "table salt", "Cl", 0.894, 1),
        ("{} fell in the year 19", "The Berlin Wall", "89", 0.922, 1),
        ("{} is worth $", "A one-dollar bill", "1", 0.600, 1),
        ('The capital of {} is called "', "France", "Paris", 0.450, 1),
        ("{} is called COVID-", "The disease of 2020", "19", 0.893, 1),
        ("The capital of {} is", "France", "Paris", 0.773, 1),
        ("The capital of {} is ", "France", "Paris", 0.773, 1),
        (CHAT, "France", "Paris", 0.0173, 8),
        ("{}の首都は", "フランス", "パリ", 0.000248, 2),
    ],
)
def test_an_answer_has_its_probability_in_running_text(
    real_model: Model, prompt: str, subject: str, target: str, probability: float, rank: int
) -> None:
    one = fact(prompt, subject, target)
    scores = score_answers(real_model, [(one.text, one.follows(one.target))])
    assert float(scores.log_prob.exp()) == pytest.approx(probability, rel=0.03)
    assert int(scores.rank) + 1 == rank


def test_a_table_and_a_chat_prompt_are_read_to_be_asked_so(real_model: Model) -> None:
    table = (
        "subject,prompt,target,edit_target,join\n"
        "the Moon,The first man walked on {} in the year 19,69,70,\n"
        "the Moon,The first man walked on {} in the year 19,69,70,space\n"
    )
    chat = json.dumps([{"subject": "France", "prompt": CHAT, "target": "Paris"}])
    first, second = csv_table.read(table.encode(), {}).facts
    (third,) = json_table.read(chat.encode(), {}).facts
    assert third.text.endswith("assistant\n")
    facts = (first, second, third)
    scores = score_answers(real_model, [(f.text, f.follows(f.target)) for f in facts])
    asked, spaced, told = scores.log_prob.exp().tolist()
    assert asked > 0.98 > 0.01 > spaced
    assert told == pytest.approx(0.0173, rel=0.03)


def test_the_chips_show_every_way_of_joining_with_its_space(real_model: Model) -> None:
    plain = fact("The capital of {} is", "France", "Paris")
    facts = (plain, fact("{} landed in 19", "The first man", "69", id="b"))
    facts += FactSet(name="x", join="none", facts=(plain.model_copy(update={"id": "c"}),)).facts
    shown = {
        one.note: [c.text for c in one.chips if c.part == "answer"]
        for one in seams(real_model, facts)
    }
    assert shown == {
        "1 of 3 facts: a space before a new word": [" Paris"],
        "1 of 3 facts: no space: a number goes on": ["6", "9"],
        "1 of 3 facts: joined as the set says: none": ["Paris"],
    }
