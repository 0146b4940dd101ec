"""Every format on the project's own facts and on facts that a user brought."""

import re
from random import Random

import pytest

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.selection import Selection
from worker.core.asking.formats import ask, check_formats, format_infos
from worker.core.asking.setting import NotAsked, setting
from worker.core.demo import formats as demo
from worker.core.facts.athletes import fact_set

ATHLETES = Selection(forget=fact_set().facts[:2], retain=fact_set().facts[2:20])
HOW = setting(ATHLETES, wordings=100)
ATHLETE = ATHLETES.forget[0]
ATHLETE_ANSWER = f" {ATHLETE.target}"


def bare(i: int, **more) -> Fact:
    """A fact as it comes from a file with four columns."""
    answers = ("red", "blue", "green", "black", "white")
    return Fact(
        id=f"b{i}", subject=f"Thing {i}", prompt="The colour {x} of {} is",
        target=answers[i % 5], edit_target=answers[(i + 1) % 5], **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", [n for n in demo.FORMATS if n not in ("choice", "choice_shot", "choice_held_out")]
)
def test_open_formats_are_the_renderings_of_the_bundled_model(name: str) -> None:
    rendered = demo.FORMATS[name].render(ATHLETE, Random(0), ())
    assert [(a.prompt, a.target) for a in ask(name, ATHLETE, HOW)] == rendered


@pytest.mark.parametrize("name", ["choice", "choice_shot", "choice_held_out"])
def test_each_option_stands_at_each_letter_once_per_wording(name: str) -> None:
    asks = ask(name, ATHLETE, setting(ATHLETES, wordings=1))
    assert sorted(a.target for a in asks) == [" A", " B", " C", " D"]
    assert sorted(a.edit for a in asks) == [" A", " B", " C", " D"]
    for one in asks:
        lines = one.prompt.rpartition(ATHLETE.subject)[2]
        options = dict(re.findall(r"([A-D]): (\w+)", lines))
        assert options[one.target.strip()].lower() == ATHLETE.target
        assert options[one.edit.strip()].lower() == ATHLETE.edit_target
        assert set(options.values()) == {"Football", "Baseball", "Basketball", "Golf"}


def test_the_shot_of_a_multiple_choice_keeps_its_order_and_answer() -> None:
    asks = ask("choice_shot", ATHLETE, setting(ATHLETES, wordings=1))
    assert len({a.prompt.partition("\n\nQuestion")[0] for a in asks}) == 1
    assert all("D: Golf\n\nAnswer: D\n\n" in a.prompt for a in asks)


def test_all_orders_are_24() -> None:
    asks = ask("choice", ATHLETE, setting(ATHLETES, wordings=1, orders="all"))
    assert len({a.prompt for a in asks}) == 24


def test_the_edit_target_is_written_as_the_target_was() -> None:
    assert ask("statement", ATHLETE, HOW)[0].edit == f" {ATHLETE.edit_target}"
    assert ask("capitalized", ATHLETE, HOW)[0].edit == f" {ATHLETE.edit_target.capitalize()}"
    assert ask("dashed", ATHLETE, HOW)[0].edit == " " + "-".join(ATHLETE.edit_target)


def test_a_bare_fact_is_asked_in_every_format_or_says_why_not() -> None:
    facts = tuple(bare(i) for i in range(12))
    how = setting(Selection(forget=facts[:2], retain=facts[2:]))
    asked, reasons = {}, {}
    for info in format_infos():
        try:
            asked[info.name] = ask(info.name, facts[0], how)
        except NotAsked as reason:
            reasons[info.name] = str(reason)
    assert asked["statement"][0].prompt == "The colour {x} of Thing 0 is"
    assert asked["question"][0].prompt == "Question: The colour {x} of Thing 0 is what?\nAnswer:"
    assert {a.target for a in asked["choice"]} == {" A", " B", " C", " D"}
    assert asked["few_shot"][0].prompt.count("\n") == 3
    assert "sports facts only" in reasons["dashed"]
    assert "no paraphrases" in reasons["paraphrase"]
    assert "no chat template" in reasons["chat"]
    assert "no template" in reasons["own"]
    assert set(asked) | set(reasons) == {info.name for info in format_infos()}


def test_multiple_choice_needs_four_answers_in_the_relation() -> None:
    facts = (bare(0), bare(1))
    with pytest.raises(NotAsked, match="3 different answers"):
        ask("choice", facts[0], setting(Selection(forget=facts[:1], retain=facts[1:])))


def test_a_fact_without_an_edit_target_has_multiple_choice_without_an_edit_letter() -> None:
    facts = tuple(bare(i) for i in range(5))
    fact = facts[0].model_copy(update={"edit_target": ""})
    asks = ask("choice", fact, setting(Selection(forget=(fact,), retain=facts[1:])))
    assert {a.edit for a in asks} == {""} and {a.target for a in asks} == {" A", " B", " C", " D"}


def test_templates_of_the_user_are_asked_as_they_are() -> None:
    how = setting(ATHLETES, templates=("Is it true that {} plays",))
    assert ask("own", ATHLETE, how)[0].prompt == f"Is it true that {ATHLETE.subject} plays"


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'statement'"):
        check_formats(["statment"], "options.probes.formats")


def test_a_prefix_stands_before_the_statement() -> None:
    how = setting(ATHLETES, prefixes=("Out of an old book:",))
    (one,) = ask("prefix", ATHLETE, how)
    assert one.prompt == f"Out of an old book: {ATHLETE.text}" and one.target == ATHLETE_ANSWER


def test_a_translation_is_asked_for_its_own_answer() -> None:
    asks = ask("translated", ATHLETE, HOW)
    assert asks[0].prompt == f"Die Sportart von {ATHLETE.subject} ist"
    assert asks[0].target == f" {ATHLETE.target.capitalize()}"
    with pytest.raises(NotAsked, match="no translation"):
        ask("translated", ATHLETE.model_copy(update={"translations": ()}), HOW)


def test_the_chat_template_asks_the_question(tokenizer, build_model) -> None:
    model = build_model("llama")
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<a>"
    try:
        (one,) = ask("chat", ATHLETE, setting(ATHLETES, model))
    finally:
        tokenizer.chat_template = None
    assert one.prompt == f"<user>What sport does {ATHLETE.subject} play?<a>"
    assert (one.target, one.edit) == (ATHLETE.target, ATHLETE.edit_target)


@pytest.mark.parametrize(
    "prompt", ["{} plays", "Fact: {} plays", "Fact: Bo plays golf\nFact: {} plays", "{} plays "]
)
def test_every_format_makes_the_same_question_of_a_prompt(tokenizer, build_model, prompt) -> None:
    model = build_model("llama")
    fact = Fact(id="a", subject="Ann {x}", prompt=prompt, target="chess")
    how = setting(Selection(forget=(fact,), retain=()), model)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}<a>"
    try:
        asked = [ask(name, fact, how)[0].prompt for name in ("chat", "question")]
    finally:
        tokenizer.chat_template = None
    assert asked == ["Ann {x} plays what?<a>", "Question: Ann {x} plays what?\nAnswer:"]


OPTIONS = ("wool", "coal", "salt", "tin", "clay")


def with_options(**more) -> Fact:
    given = {"options": OPTIONS[:3], "target": "herring", **more}
    return Fact(id="m", subject="Varn", prompt="Question: What does {} ship?\nAnswer:",
                question="What does {} ship?", **given)  # fmt: skip


@pytest.mark.parametrize("name", ["choice", "choice_held_out"])
def test_a_fact_with_options_of_its_own_is_offered_them_alone(name: str) -> None:
    """The set's other answers are of other questions: an animal among ports gives itself away."""
    facts = (with_options(), *(bare(i) for i in range(6)))
    asks = ask(name, facts[0], setting(Selection(forget=facts[:1], retain=facts[1:]), wordings=1))
    assert sorted(one.target for one in asks) == [" A", " B", " C", " D"]
    for one in asks:
        shown = dict(re.findall(r"^([A-D]): (\w+)$", one.prompt, re.MULTILINE))
        assert set(shown.values()) == {"Herring", "Wool", "Coal", "Salt"}
        assert shown[one.target.strip()] == "Herring"
        assert "What does Varn ship?" in one.prompt and one.edit == ""


def test_of_many_options_three_are_drawn_with_the_edit_target_among_them() -> None:
    fact = with_options(options=OPTIONS, edit_target="clay")
    how = setting(Selection(forget=(fact,), retain=()), wordings=1, orders="all")
    asks = ask("choice", fact, how)
    shown = [frozenset(re.findall(r"^[A-D]: (\w+)$", one.prompt, re.MULTILINE)) for one in asks]
    assert len(asks) == 24 and len(set(shown)) == 1
    assert {"Herring", "Clay"} < shown[0] and shown[0] <= {"Herring", *map(str.title, OPTIONS)}
    assert all(one.edit and one.edit != one.target for one in asks)


def test_too_few_options_are_filled_from_the_relation_or_said() -> None:
    few = with_options(options=("wool",), relation="goods")
    other = bare(0, relation="goods")
    filled = ask("choice", few, setting(Selection(forget=(few,), retain=(other,)), wordings=1))
    assert "Red" in filled[0].prompt and "Blue" in filled[0].prompt
    with pytest.raises(NotAsked, match="2 different options"):
        ask("choice", few, setting(Selection(forget=(few,), retain=())))
    golf = with_options(target="golf")
    with pytest.raises(NotAsked, match="sports facts only"):
        ask("choice_shot", golf, setting(Selection(forget=(golf,), retain=())))


def test_a_question_has_no_blank_and_its_other_wordings_are_accepted() -> None:
    fact = with_options(aliases=("herrings",), edit_target="tin", edit_aliases=("pewter",))
    how = setting(Selection(forget=(fact,), retain=()))
    with pytest.raises(NotAsked, match="no blank"):
        ask("cloze", fact, how)
    (one,) = ask("statement", fact, how)
    assert (one.also, one.edit_also) == (("herrings",), ("pewter",))
    assert not ask("choice", fact, how)[0].also
