import pytest

from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.core.models.prompts import encode_fact
from worker.core.models.tokens import answer_ids, encode, pad


def test_a_subject_is_found_by_its_characters():
    model = make_model("llama")
    prompt = encode(model, "So Ann Lee is at", "Ann Lee")
    assert "".join(prompt.tokens[slice(*prompt.subject)]) == "Ann Lee"
    assert prompt.tokens[0] == "<bos>" and len(prompt.ids) == len(prompt.tokens)


def test_the_subject_that_the_template_means_is_taken_when_it_stands_twice():
    fact = Fact(id="a", subject="Ann", prompt="{} knows Ann and", target="ball")
    prompt = encode_fact(make_model("llama"), fact)
    assert prompt.subject == (1, 4)
    assert encode(make_model("llama"), fact.text, "Ann").subject[0] > 4


def test_a_space_before_the_subject_may_belong_to_its_first_token():
    prompt = encode(make_model("llama"), "We play golf now", "golf")
    assert prompt.tokens[slice(*prompt.subject)] == (" golf",)


@pytest.mark.parametrize(
    ("text", "subject", "words"),
    [
        ("We play golf", "gol", "shares a token"),
        ("We play golf", "olf", "shares a token"),
        ("We play", "Ann", "is not in the prompt"),
        ("x" * 200, "x", "reads at most 128"),
    ],
)
def test_a_subject_without_tokens_of_its_own_is_refused(text, subject, words):
    with pytest.raises(UserError, match=words):
        encode(make_model("llama"), text, subject)


def test_an_answers_tokens_are_those_it_has_after_the_prompt():
    model = make_model("llama")
    golf = model.tokenizer.get_vocab()["Ġgolf"]
    assert answer_ids(model, "Ann plays", " golf") == (golf,)
    assert len(answer_ids(model, "Ann plays", " rugby")) == 6
    assert golf not in answer_ids(model, "Ann plays (", "golf")
    with pytest.raises(UserError, match="no tokens after"):
        answer_ids(model, "Ann plays", " ")


@pytest.mark.parametrize(
    ("prompt", "answer", "words"),
    [
        ("Ann plays ", "golf", "' ' becomes ' golf' when it follows"),
        ("Ann plays go", "lf", "becomes ' golf' when it follows"),
    ],
)
def test_an_answer_that_changes_the_prompts_tokens_is_refused_with_the_cure(prompt, answer, words):
    with pytest.raises(UserError, match=f"no tokens of its own.*{words}.*join to 'space'"):
        answer_ids(make_model("llama"), prompt, answer)


def test_padding_leaves_positions_as_they_are_alone():
    model = make_model("llama")
    prompts = [encode(model, text, None) for text in ("Ann", "Ann Lee")]
    left, right = pad(model, prompts, "left"), pad(model, prompts, "right")
    assert left.mask.tolist()[0] == [0] * 4 + [1] * 4
    assert left.position_ids.tolist()[0][4:] == [0, 1, 2, 3]
    assert right.mask.tolist()[0] == [1] * 4 + [0] * 4
    assert right.position_ids.tolist()[0][:4] == [0, 1, 2, 3]
    assert left.ids[0, 4:].tolist() == right.ids[0, :4].tolist() == list(prompts[0].ids)
