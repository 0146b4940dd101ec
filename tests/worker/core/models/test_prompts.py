"""Facts as prompts and answers: what follows, what is cut, and what cannot be asked."""

from collections.abc import Callable

import pytest

from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.core.models import prompts, tokens
from worker.core.models.model import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model("gpt2")


def fact(prompt: str, target: str, **more: str) -> Fact:
    return Fact(id=target, subject="Ann", prompt=prompt, target=target, **more)


FACTS = (
    fact("{} plays ", "golf", edit_target="go"),
    fact("{} was born in 19", "69"),
    fact("{} is", "tall", join="none"),
)


def test_answers_follow_their_prompts_as_the_facts_say() -> None:
    assert prompts.pairs(FACTS) == [
        ("Ann plays", " golf"),
        ("Ann was born in 19", "69"),
        ("Ann is", "tall"),
    ]
    assert prompts.pairs(FACTS[:2], ["go", "70"])[0] == ("Ann plays", " go")
    assert [one.said() for one in FACTS] == ["".join(pair) for pair in prompts.pairs(FACTS)]
    assert (FACTS[0].filled, FACTS[0].said("go")) == ("Ann plays ", "Ann plays go")
    assert [one.is_apart for one in FACTS] == [True, False, False]
    with pytest.raises(ValueError, match="shorter"):
        prompts.pairs(FACTS, ["one"])


def test_answers_in_tokens_are_those_of_their_pairs(model: Model) -> None:
    assert prompts.answer_of(model, FACTS[0]) == tokens.answer_ids(model, "Ann plays", " golf")
    assert prompts.answer_of(model, FACTS[0], "go") == tokens.answer_ids(model, "Ann plays", " go")
    firsts = prompts.first_tokens(model, FACTS[:2])
    assert firsts == [prompts.answer_of(model, one)[0] for one in FACTS[:2]]


def test_what_is_cut_at_once_is_not_cut_again(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: list[list[str]] = []
    own: Callable[..., list[object]] = tokens._encodings
    monkeypatch.setattr(tokens, "_encodings", lambda m, texts: cut.append(texts) or own(m, texts))
    with prompts.cut_at_once(model, FACTS):
        for one in FACTS:
            prompts.encode_fact(model, one)
            prompts.answer_of(model, one)
        prompts.answer_of(model, FACTS[0], "go")
    assert len(cut) == 1 and "Ann plays go" in cut[0]
    with prompts.cut_at_once(model, FACTS, edits=False):
        pass
    assert "Ann plays go" not in cut[1]


def test_a_fact_that_is_too_long_with_its_answer_cannot_be_asked(model: Model) -> None:
    assert all(prompts.can_be_asked(model, one) for one in FACTS)
    width = model.max_positions - len(tokens.encode(model, "Ann", None).ids)
    long = fact("{}" + "x" * width, "golf")
    tokens.encode(model, long.text, None)
    assert not prompts.can_be_asked(model, long)
    with pytest.raises(UserError, match="reads at most 128"):
        prompts.check_asked(model, long)
