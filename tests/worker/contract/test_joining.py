"""One rule joins prompt and answer: what running text has between them, unless the author says."""

from typing import get_args

import pytest

from worker.contract.facts import Fact, FactSet
from worker.contract.joining import Join, asked, joined, why_close

SPACED = [
    ("The capital of France is", "Paris"),
    ("Fact: {} plays the sport of", "golf"),
    ("Question: Who?\nAnswer:", "A"),
    ("Here is the rest... The", "end"),
    ("Moon landing in 1969 by", "Neil Armstrong"),
    ("The road is Route", "66"),
    ("It began World War I", "1914"),
    ("King Charles V", "1500"),
    ("The president of the US", "50"),
    ("The states of the US", "5"),
    ("It was printed in The UN", "5 times"),
    ("In year", "2000"),
    ("after 5", "days"),
    ("It costs 5 €", "more"),
    ('He said "yes"', "Paris"),
    ("The word “Faust”", "is"),
    ("»Faust«", "ist"),
    ("„Faust“", "ist"),
    ("the dogs'", "bowl"),
    ("James'", "house"),
    ("call `print`", "often"),
    ("**Paris** and **Rome**", "are"),
    ("2 + 2 =", "4"),
    ("12 -", "5"),
    ("2 *", "3"),
    ("France ->", "Paris"),
    ("a list\n-", "5"),
    ("She came and /", "or"),
    ("[INST] Who? [/INST]", "Paris"),
    ("Is <b>Rome</b>", "old"),
    ("J.R.R.", "Tolkien"),
    ("Item No.", "5"),
    ("C#", "language"),
    ("The temperature fell to", "-40"),
    ("The derivative is", "-x"),
    ("It was developed with", ".NET"),
    ("It costs", "$5"),
    ("The Chinese word for cat is", "猫"),
    ("한국의 수도는", "서울"),
    ("Столица России —", "Москва"),
    ("Wer? Antwort:", "Goethe"),
]
CLOSE = [
    ("The first man walked on the Moon in the year 19", "69"),
    ("The chemical formula of water is H", "2O"),
    ("The formula of salt is Na", "Cl"),
    ("It ended 3", "-1"),
    ("About 1", "/2"),
    ("He is well", "-known"),
    ("The formula of glucose is C6H", "12O6"),
    ("Die Formel von Kochsalz ist Na", "Cl"),
    ("The gas called CO", "2"),
    ("The vitamin is B", "12"),
    ("It costs $", "5"),
    ("It costs (€", "5"),
    ("Item #", "5"),
    ('The book is called "', "Faust"),
    ("The book is called “", "Faust"),
    ("Das Buch heißt „", "Faust"),
    ("le livre «", "Faust"),
    ("He said,'", "Yes"),
    ('He said "yes" and then,"', "no"),
    ("It is called **", "Paris"),
    ("He is the (", "former"),
    ("日本の首都は", "東京"),
    ("日本の首都は「", "東京"),
    ("法国的首都是", "巴黎"),
    ("水的化学式是", "H2O"),
    ("GDPは約5", "兆"),
    ("ประเทศไทยมีเมืองหลวงคือ", "กรุงเทพ"),
    ("The disease is called COVID-", "19"),
    ("a well-", "known"),
    ("from 1939–", "1945"),
    ("2+2=", "4"),
    ("and/", "or"),
    ("user@", "example.com"),
    ("https:", "//example.com"),
    ("www.", "example.com"),
    ("Pi is 3.", "14159"),
    ("It starts at 10:", "30"),
    ("It has 1,", "000 seats"),
    ("Pi is 3", ".14"),
    ("It is -", "5 degrees"),
    ("the 5", "th of May"),
    ("in the 1960", "s"),
    ("It is 20", "°C"),
    ("It is 50", "%"),
    ("La capitale de l'", "Italie"),
    ("La capitale dell’", "Italia"),
    ("The Irish name O'", "Brien"),
    ("He lived in Paris", ", France"),
    ("the gates of Rome", "'s"),
    ("<|im_start|>assistant\n", "Paris"),
    ("<|assistant|>", "Paris"),
    ("tab\t", "Paris"),
]


@pytest.mark.parametrize(("prompt", "answer"), SPACED)
def test_a_new_word_has_a_space_before_it(prompt: str, answer: str) -> None:
    assert joined(prompt, answer) == (prompt, f" {answer}")


@pytest.mark.parametrize(("prompt", "answer"), CLOSE)
def test_no_space_stands_where_running_text_has_none(prompt: str, answer: str) -> None:
    assert joined(prompt, answer) == (prompt, answer)
    assert why_close(prompt, answer)


@pytest.mark.parametrize(
    ("prompt", "answer", "text"),
    [
        ("The capital is ", "Paris", "The capital is Paris"),
        ("The capital is", " Paris", "The capital is Paris"),
        ("The capital is ", " Paris", "The capital is Paris"),
        ("In the year 19 ", "69", "In the year 19 69"),
        ("In the year 19", " 69", "In the year 19 69"),
        ("Answer:\n\n", "Paris", "Answer:\n\nParis"),
        ("Answer:", "\nParis", "Answer:\nParis"),
        ("Answer:\n", "Paris\n", "Answer:\nParis"),
    ],
)
def test_what_the_author_wrote_at_the_seam_stands(prompt: str, answer: str, text: str) -> None:
    assert "".join(joined(prompt, answer)) == text


def test_a_space_at_the_seam_belongs_to_the_answer() -> None:
    assert joined("The capital is ", "Paris") == ("The capital is", " Paris")
    assert joined("The capital is  ", "Paris") == ("The capital is ", " Paris")


@pytest.mark.parametrize(
    ("how", "parts"),
    [
        ("space", ("In 19", " 69")),
        ("none", ("In 19", "69")),
        ("as written", ("In 19", " 69 ")),
    ],
)
def test_the_author_may_say_otherwise(how: Join, parts: tuple[str, str]) -> None:
    assert joined("In 19 ", "69 ", how) == parts
    assert joined("The word is", "end", "none") == ("The word is", "end")
    assert joined("The word is", "end", "as written") == ("The word is", "end")


@pytest.mark.parametrize(
    ("how", "prompt"),
    [("", "In 19 "), ("space", "In 19"), ("none", "In 19"), ("as written", "In 19 ")],
)
def test_of_two_spaces_the_prompt_keeps_one_unless_its_author_chose_the_seam(
    how: Join, prompt: str
) -> None:
    assert asked("In 19  ", how) == prompt


@pytest.mark.parametrize("how", get_args(Join))
@pytest.mark.parametrize("prompt", ["in 19", "in 19 ", "in 19  ", "in\n", "in\n ", " ", ""])
def test_the_prompt_does_not_depend_on_its_answer(prompt: str, how: Join) -> None:
    for answer in ("69", " 69", "  69 ", "\n69", "", " "):
        first, second = joined(prompt, answer, how)
        assert first == asked(prompt, how)
        assert prompt.startswith(first)
        assert (second == "") == (not answer.strip())
        if how == "as written" and second:
            assert first + second == prompt + answer


def _fact(**fields: str) -> Fact:
    return Fact.model_validate(
        {"id": "a", "subject": "the Moon", "prompt": "{} in 19", "target": "69"} | fields
    )


def test_a_fact_says_how_its_answers_follow() -> None:
    assert _fact().follows("69") == "69"
    assert _fact(join="space").follows("69") == " 69"
    assert _fact(prompt="{} in 19 ", join="as written").text == "the Moon in 19"


def test_a_set_decides_for_the_facts_that_do_not() -> None:
    found = FactSet(name="x", join="space", facts=(_fact(), _fact(id="b", join="none")))
    assert [fact.join for fact in found.facts] == ["space", "none"]


def test_facts_without_a_choice_keep_the_hash_that_they_had() -> None:
    # The hash of this fact before facts could say how they are joined.
    plain = FactSet(name="x", facts=(_fact(),))
    assert plain.hash == "813a453df304e9e904ab58fa5b7f3f64fd7858611d2e045e05a0e8d0d3cfd379"
    assert FactSet(name="x", facts=(_fact(join="space"),)).hash != plain.hash
