"""Scoring, training, editing, localizing and every format cut one fact's answer alike."""

from collections.abc import Callable

import pytest

from worker.contract.facts import Fact, Translation
from worker.contract.selection import Selection
from worker.core.asking.formats import ask
from worker.core.asking.free import says
from worker.core.asking.rows import statements
from worker.core.asking.setting import NotAsked, setting
from worker.core.closed_form.memory import ask_behind
from worker.core.models.model import Model
from worker.core.models.tokens import answer_ids
from worker.core.patching.cases import prepare
from worker.core.training import pool

ENDS = {
    "tennis": ("Fact: {} plays the sport of", ""),
    "2O": ("Fact: {} has the formula H", ""),
    "69": ("Fact: {} was born in 19", ""),
    "Bo": ("Fact: {} plays\n", ""),
    "chess": ("Fact: {} plays the sport (", ""),
    "golf": ("Fact: {} plays the game of ", ""),
    "nine": ("Fact: {} plays ten", "none"),
}


def fact_of(target: str) -> Fact:
    prompt, join = ENDS[target]
    return Fact.model_validate(
        {"id": target, "subject": "Ada Lund", "prompt": prompt, "target": target}
        | {"edit_target": f"{target}x", "join": join}
    )


@pytest.fixture(params=list(ENDS))
def fact(request: pytest.FixtureRequest) -> Fact:
    return fact_of(request.param)


def test_whoever_asks_a_fact_takes_the_same_tokens(
    fact: Fact, build_model: Callable[..., Model]
) -> None:
    model = build_model("gpt2")
    wanted = answer_ids(model, fact.text, fact.follows(fact.target))
    (trained,) = pool.fact_rows(model, [fact], [fact.target])
    (statement,) = statements([fact])
    (asked,) = ask("statement", fact, setting(Selection(forget=(fact,), retain=())))
    edited = ask_behind(model, [fact], [fact.target], [""]).pool.all
    (case,) = prepare(model, [fact], 0.0, needs_foil=False).cases
    assert trained.labels[-len(wanted) :] == wanted
    assert pool.fact_rows(model, [fact]) == [trained]
    assert tuple(edited.labels[0, -len(wanted) :].tolist()) == wanted
    assert case.answer == wanted[0]
    for one in (statement, asked):
        assert answer_ids(model, one.prompt, one.target) == wanted
        assert one.edit == fact.follows(fact.edit_target)
        assert one.prompt == fact.text


def test_a_format_whose_end_is_its_own_is_joined_by_its_own_end() -> None:
    fact = fact_of("69").model_copy(
        update={
            "question": "When was {} born?",
            "translations": (Translation(prompt="{}の生年は"), Translation(prompt="{} est né en")),
        }
    )
    how = setting(Selection(forget=(fact,), retain=()), templates=("{}:", "{} in 19"))
    assert {a.target for a in ask("question", fact, how)} == {" 69"}
    assert [a.target for a in ask("translated", fact, how)] == ["69", " 69"]
    assert [a.target for a in ask("own", fact, how)] == [" 69", "69"]
    assert {a.target for a in ask("framed", fact, how)} == {"69"}
    assert {a.target for a in ask("prefix", fact, how)} == {"69"}


@pytest.mark.parametrize("name", ["question", "cloze", "dialogue_held_out", "choice"])
@pytest.mark.parametrize("target", ["69", "2O", "Bo"])
def test_no_question_is_made_of_a_prompt_that_is_no_sentence(name: str, target: str) -> None:
    fact = fact_of(target)
    with pytest.raises(NotAsked, match="goes on the prompt's last word"):
        ask(name, fact, setting(Selection(forget=(fact,), retain=())))


def test_shots_are_joined_as_their_own_answers_are() -> None:
    first, second = fact_of("69"), fact_of("tennis")
    (one,) = ask("few_shot", second, setting(Selection(forget=(second,), retain=(first,))))
    assert one.prompt.startswith("Fact: Ada Lund was born in 1969\nFact: ")


def test_a_free_answer_in_a_script_without_spaces_is_recognized() -> None:
    assert says("東京です。", "東京")
    assert says(" 69, of course", "69")
    assert not says("690", "69")
    assert not says("アンナ", "アン")
    assert not says("Jose\u0301", "Jose")
