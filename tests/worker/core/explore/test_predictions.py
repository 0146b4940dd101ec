import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.worker.core.explore.plain import FAMILIES, forward, ids_of, look_at, model_of, prompts_of
from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError
from worker.core.models.model import Model


@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_are_those_of_a_plain_forward(family):
    model, prompts = model_of(family), prompts_of(family)
    view = look_at("predictions", model, **prompts, n_new=0).view
    for name, text in (("clean", prompts["prompt"]), ("corrupted", prompts["corrupted"])):
        logits = forward(model, ids_of(model, text)).logits[0, -1]
        rows = [row for row in view["top"] if row["prompt"] == name]
        assert [row["id"] for row in rows] == logits.topk(10).indices.tolist()
        for row in rows:
            assert row["probability"] == pytest.approx(
                float(logits.softmax(-1)[row["id"]]), abs=1e-4
            )
            assert row["logit"] == pytest.approx(float(logits[row["id"]]), abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_goes_on_as_plain_greedy_search_does(family):
    model, prompts = model_of(family), prompts_of(family)
    view = look_at("predictions", model, **prompts, n_new=6).view
    for said, text in zip(view["continuation"], prompts.values(), strict=True):
        ids = ids_of(model, text)
        out = model.hf.generate(
            ids, max_new_tokens=6, do_sample=False, attention_mask=torch.ones_like(ids)
        )
        new = [token for token in out[0, ids.shape[1] :].tolist() if token != model.end_id]
        assert said["text"] == model.tokenizer.decode(new)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_an_answer_of_several_tokens_is_scored_whole(family):
    model = model_of(family)
    view = look_at("predictions", model, prompt="ab cd is at", target="xyz", distractor="ball").view
    whole = view["answers"][0]
    ids = model.tokenizer("ab cd is at xyz")["input_ids"]
    logits = forward(model, torch.tensor([ids])).logits[0].log_softmax(-1)
    n = len(whole["tokens"])
    assert n == 4 and view["target"]["text"] == " xyz"
    expected = sum(float(logits[len(ids) - n - 1 + i, ids[len(ids) - n + i]]) for i in range(n))
    assert whole["log_probability"] == pytest.approx(expected, abs=1e-4)


def test_answers_are_proposed_from_what_both_prompts_say():
    model = model_of("demo")
    view = look_at("predictions", model, **prompts_of("demo"), n_new=0).view
    assert (view["target"]["text"], view["distractor"]["text"]) == (" basketball", " baseball")
    assert view["target"]["proposed"] and view["distractor"]["proposed"]
    alone = look_at("predictions", model, prompt=prompts_of("demo")["prompt"], n_new=0).view
    assert alone["distractor"]["ids"] == [alone["top"][1]["id"]]


def test_an_answer_is_chosen_among_the_predictions_by_its_token():
    model = model_of("llama")
    first = look_at("predictions", model, **prompts_of("llama"), n_new=0).view
    third = first["top"][2]
    view = look_at(
        "predictions", model, **prompts_of("llama"), target_ids=(third["id"],), n_new=0
    ).view
    assert view["answers"][0]["probability"] == pytest.approx(third["probability"])
    assert not view["target"]["proposed"]


def test_noise_goes_onto_the_subject_alone():
    model = model_of("llama")
    asked = {"prompt": "ab cd is at", "noise": True, "subject": "cd"}
    view = look_at("predictions", model, **asked).view
    clean, corrupted = view["prompts"]
    assert [t["text"] for t in clean["tokens"] if t["subject"]] == ["c", "d"]
    assert corrupted["noise"] and corrupted["tokens"] == clean["tokens"]
    tops = {row["prompt"]: row["logit"] for row in view["top"]}
    assert tops["clean"] != tops["corrupted"]
    with pytest.raises(UserError, match="no subject is marked"):
        look_at("predictions", model, prompt="ab cd is at", noise=True)


def test_prompts_of_unequal_length_are_shown_with_the_mend():
    view = look_at("predictions", model_of("llama"), prompt="ab cd", corrupted="ab cde").view
    assert view["problems"] == [
        "The clean prompt has 6 tokens and the corrupted one 7; expected as many, because patches "
        "go from position to position. Take 1 token from the corrupted prompt, or choose a subject "
        "of as many tokens."
    ]


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({"prompt": ""}, "options.prompt", "prompt is empty"),
        ({"prompt": " \n "}, "options.prompt", "prompt is empty"),
        ({"prompt": "a" * 3000}, "options.prompt", "has 3001 tokens"),
        ({"prompt": "ab", "subject": "zz"}, "options.subject", "not in the prompt"),
        ({"prompt": "ab", "target_ids": (99_999,)}, "options.target_ids", "expected ids"),
        ({"prompt": "ab", "target": "x", "distractor": "x"}, "options.distractor", "always zero"),
        ({"prompt": "ab", "target": "xy" * 100}, "options.prompt", "at most 128"),
    ],
)
def test_what_cannot_be_looked_at_is_said_in_a_sentence(asked, field, words):
    with pytest.raises(UserError, match=words) as refused:
        look_at("predictions", model_of("llama"), **asked)
    assert refused.value.problems[0][0] == field


@pytest.mark.parametrize(
    "prompt", ["a", "שלום עולם", "🙂👍🏽 is", "<script>alert(1)</script>", "ab "]
)
def test_any_text_is_shown_as_it_was_typed(prompt):
    for family in ("llama", "demo"):
        model = model_of(family)
        view = look_at("predictions", model, prompt=prompt, n_new=2).view
        assert view["prompts"][0]["text"] == prompt.rstrip(" ")
        assert len(view["top"]) == 10
        assert all(row["token"] for row in view["top"])


def test_a_word_outside_the_vocabulary_is_named():
    words = {"<unk>": 0, "the": 1, "cat": 2}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    known = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")
    model = Model("words", make_model("llama").hf, known)
    with pytest.raises(UserError, match="'zebra' is not in the vocabulary of 'words'"):
        look_at("predictions", model, prompt="the cat", target="zebra")
    view = look_at("predictions", model, prompt="the zebra", n_new=0).view
    assert "1 piece of the clean prompt is not in the model's vocabulary" in view["problems"][0]
