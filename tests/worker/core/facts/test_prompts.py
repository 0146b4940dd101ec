"""Whole prompts of a file: the subject as a whole word, the blank at its place, the row told."""

import json

import pytest

from worker.contract.errors import UserError
from worker.contract.menu import ReadFacts
from worker.core.facts import csv_table, json_table

HEADER = "id,subject,prompt,target,edit_target\n"
GOOD = "g,Bo,Bo plays,chess,golf\n"


def read(text: str, **mapping: str) -> ReadFacts:
    return csv_table.read(text.encode(), mapping)


def test_a_subject_inside_another_word_is_not_taken_and_the_row_says_which_was() -> None:
    found = read(
        HEADER + 'w1,Rome,"Romeo lives in Rome. Romeo loves",Juliet,Ann\n'
        "w2,Art,The Artist of the Party was called,Bob,Ann\n"
        "w3,Ann,Anna says that Ann lives with Annabel in,Oslo,Rome\n"
    )
    assert [fact.prompt for fact in found.facts] == [
        "Romeo lives in {}. Romeo loves",
        "Anna says that {} lives with Annabel in",
    ]
    (refused,) = found.refused
    assert (refused.row, refused.text.split(" · ")[0]) == (3, "w2")
    assert "'Art' stands nowhere as a word in its prompt, only inside 'Artist'" in refused.reason
    assert [row.row for row in found.told] == [2, 4]
    assert "Romeo lives in ‹Rome›. Romeo loves" in found.told[0].note


def test_a_subject_that_stands_twice_is_asked_about_and_the_answer_taken() -> None:
    rows = HEADER + GOOD + "a,Ann,Ann knows Ann and,Bo,Cy\n"
    found = read(rows)
    assert "2 times in its prompt" in found.refused[0].reason
    assert any("In 1 of the refused rows" in note for note in found.notes)
    taken = read(rows, occurrence="=first")
    assert [fact.prompt for fact in taken.facts] == ["{} plays", "{} knows Ann and"]
    assert "‹Ann› knows Ann and" in taken.told[0].note
    column = read(
        "subject,prompt,target,occurrence\nAnn,Ann knows Ann and,Bo,2\nAnn,Ann knows Ann and,Bo,1\n"
    )
    assert [f.prompt for f in column.facts] == ["Ann knows {} and", "{} knows Ann and"]


def test_a_template_with_a_place_is_taken_as_it_is() -> None:
    found = read(HEADER + "a,Rome,{}o lives in Rome,Bo,Cy\n")
    assert (found.facts[0].prompt, found.told) == ("{}o lives in Rome", ())


@pytest.mark.parametrize(
    ("prompt", "asked", "answer"),
    [
        ("{} was born in ___, Maine.", "Stefan Muster was born in", " Portland"),
        ("{} was born in ___.", "Stefan Muster was born in", " Portland"),
        ("{} was born in ___", "Stefan Muster was born in", " Portland"),
        ("{} was born in____", "Stefan Muster was born in", " Portland"),
        ("{} was born in …", "Stefan Muster was born in", " Portland"),
        ("{} was born in ...", "Stefan Muster was born in", " Portland"),
        ("{} lives (in [MASK]) and works there.", "Stefan Muster lives (in", " Portland"),
        ('{} is called "___" by all.', 'Stefan Muster is called "', "Portland"),
        ("{}の故郷は＿＿です。", "Stefan Musterの故郷は", "Portland"),
        ("Stefan Muster was born in ___, Maine.", "Stefan Muster was born in", " Portland"),
    ],
)
def test_a_blank_in_the_middle_is_asked_at_the_blank(prompt: str, asked: str, answer: str) -> None:
    text = json.dumps([{"subject": "Stefan Muster", "prompt": prompt, "target": "Portland"}])
    (fact,) = json_table.read(text.encode(), {}).facts
    assert (fact.text, fact.follows(fact.target)) == (asked, answer)


def test_what_stands_after_a_blank_is_said_to_be_unseen() -> None:
    found = read('subject,prompt,target\nStefan Muster,"{} was born in ___, Maine.",Portland\n')
    assert found.told[0].row == 2
    assert "asked at its blank; what follows, ', Maine.', no model sees" in found.told[0].note


@pytest.mark.parametrize(
    "prompt",
    [
        "{} was born in ___. The missing word is",
        "Fill in the blank. {} was born in ___.\nAnswer:",
        "<|user|>\n{} was born in ___, Maine.\n<|assistant|>\n",
        "{} was born in ___ and died in ___. The words are:",
    ],
)
def test_a_prompt_that_asks_for_its_blank_itself_is_asked_at_its_end(prompt: str) -> None:
    text = json.dumps([{"subject": "Bo", "prompt": prompt, "target": "Portland"}])
    found = json_table.read(text.encode(), {})
    assert found.facts[0].prompt == prompt
    assert "asks for its blank at its end" in found.told[0].note


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("___ is the home of {}.", "nothing stands before the blank"),
        ("The town ___ is the home of {}.", "'Bo' stands after the blank"),
        ("The town ___ is the home of Bo.", "'Bo' stands after the blank"),
        ("{} was born in ___ and lives in ___.", "has 2 blanks"),
        ("{} was born in ___. He died in", "another sentence begins"),
    ],
)
def test_a_blank_that_cannot_be_asked_is_refused_with_the_reason(prompt: str, words: str) -> None:
    found = read(HEADER + GOOD + f'a,Bo,"{prompt}",Oslo,Rome\n')
    assert words in found.refused[0].reason
    with pytest.raises(UserError, match=words):
        read(HEADER + f'a,Bo,"{prompt}",Oslo,Rome\n')


def test_a_paraphrase_with_a_blank_is_cut_there_or_left_out_with_the_reason() -> None:
    record = {"subject": "Bo", "prompt": "{} lives in", "target": "Oslo"}
    record |= {"paraphrases": ["{} is from ___, Norway.", "___ is the home of {}."]}
    found = json_table.read(json.dumps([record]).encode(), {})
    assert found.facts[0].paraphrases == ("{} is from ",)
    assert "paraphrases: '___ is the home of {}.' is left out" in found.told[0].note
