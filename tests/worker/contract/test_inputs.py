"""What compute is given beside a spec, and the quick questions, as they cross the pipe."""

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from worker.contract.inputs import Inputs, Question, StackedEdit

QUESTION: TypeAdapter[object] = TypeAdapter(Question)
SPEC = {"kind": "localize", "facts": {"set": "athletes"}, "method": "causal_tracing"}
ASKED = {"kind": "evaluate", "facts": {"set": "athletes"}, "evaluations": ["probes"]}
VIEWED = {"kind": "explore", "view": "rewrite"}
INPUTS = {"out": "/o"}


def test_inputs_of_a_run_without_facts_are_empty() -> None:
    assert json.loads(Inputs(out="/o").model_dump_json()) == {
        "out": "/o",
        "fact_set": None,
        "mask": None,
        "scores": {},
        "deltas": [],
        "results": [],
        "texts": {},
        "edited": [],
        "stacked": {},
        "recalled": {},
        "paces": {},
        "batch_scale": 1.0,
        "brought": {},
        "kept": None,
    }
    assert StackedEdit(deltas=("a",)).facts == ()


@pytest.mark.parametrize("scale", [0, -0.5, 1.01])
def test_a_batch_is_never_larger_than_usual_and_never_nothing(scale: float) -> None:
    with pytest.raises(ValidationError):
        Inputs(out="/o", batch_scale=scale)
    assert Inputs(out="/o", batch_scale=1).batch_scale == 1


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"ask": "preflight", "spec": SPEC, "inputs": INPUTS}, "AskPreflight"),
        ({"ask": "read_facts", "path": "uploads/a/file", "filename": "f.csv"}, "AskReadFacts"),
        ({"ask": "fact_tokens", "spec": ASKED, "inputs": INPUTS}, "AskFactTokens"),
        ({"ask": "explore", "spec": VIEWED, "inputs": INPUTS}, "AskExplore"),
    ],
)
def test_a_question_is_known_by_what_it_asks_and_says_so_itself(
    asked: dict[str, object], kind: str
) -> None:
    question = QUESTION.validate_python(asked)
    assert type(question).__name__ == kind
    shorter = {key: value for key, value in asked.items() if key != "ask"}
    assert type(question)(**shorter) == question


def test_a_question_asks_for_no_less_than_all_unless_it_says_so() -> None:
    full = QUESTION.validate_python({"ask": "preflight", "spec": SPEC, "inputs": INPUTS})
    assert full.brief is False
    tokens = {"ask": "fact_tokens", "spec": ASKED, "inputs": INPUTS}
    assert QUESTION.validate_python(tokens).first == 0
    with pytest.raises(ValidationError):
        QUESTION.validate_python({**tokens, "first": -1})
    read = QUESTION.validate_python({"ask": "read_facts", "path": "p", "filename": "f"})
    assert read.mapping == {}


def test_a_tokens_question_may_be_about_one_fact_and_a_readers_name_has_200_letters() -> None:
    tokens = {"ask": "fact_tokens", "spec": ASKED, "inputs": INPUTS}
    for first in (0, 1):
        assert QUESTION.validate_python({**tokens, "first": first}).first == first
    assert QUESTION.validate_python({**tokens, "reader": "a" * 200}).reader == "a" * 200
    with pytest.raises(ValidationError):
        QUESTION.validate_python({**tokens, "reader": "a" * 201})
