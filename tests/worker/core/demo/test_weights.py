"""The shipped weights: they load as any Hugging Face folder does and do what their card says."""

import hashlib
import json
from random import Random
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from worker.core.demo import paths
from worker.core.demo.card import find_rise, write_card
from worker.core.demo.corpus import Corpus
from worker.core.demo.formats import FORMATS
from worker.core.demo.measure import perplexity, render_all, score_pairs
from worker.core.demo.probe import last_subject_index, probe_layer, read_stream
from worker.core.facts.athletes import SPORTS_PROMPT


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(paths.WEIGHTS).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(paths.WEIGHTS)


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return json.loads(paths.CARD.read_text())


def test_the_card_is_about_these_weights(card) -> None:
    weights = (paths.WEIGHTS / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == card["model"]["weights_sha256"]
    assert (paths.WEIGHTS / "README.md").read_text() == write_card(card)


@pytest.mark.parametrize("name", ["statement", "choice", "choice_held_out"])
@pytest.mark.parametrize("kind", ["athletes", "relations"])
def test_a_sample_of_facts_is_known_as_the_card_says(model, tokenizer, card, name, kind) -> None:
    corpus = Corpus(0)
    facts = Random(5).sample(getattr(corpus, kind), 60)
    measured = score_pairs(model, tokenizer, render_all(FORMATS[name], facts, corpus))
    said = card["formats"][name][kind]
    # Five standard errors of a sample of sixty, and a little for an accuracy near one.
    margin = 5 * (said["accuracy"] * (1 - said["accuracy"]) / 60) ** 0.5 + 0.02
    assert measured["accuracy"] == pytest.approx(said["accuracy"], abs=margin)


def test_the_sport_is_read_after_the_rise_and_not_from_the_embeddings(
    model, tokenizer, card
) -> None:
    curve = card["probe"]["full_prompt"]
    athletes = [fact for fact in Corpus(0).athletes if fact.target != "golf"]
    streams = read_stream(model, tokenizer, athletes, SPORTS_PROMPT)
    labels = [fact.target for fact in athletes]
    for place in (0, find_rise(curve)[-1] + 1):
        measured = probe_layer(streams[place], labels, seed=0)
        assert measured == pytest.approx(curve[place], abs=0.12)


def test_the_trained_saga_is_more_familiar_than_the_unread_chapter(model, tokenizer, card) -> None:
    texts = card["perplexity"]
    assert texts["saga"] < texts["saga_held_out"] / 2
    lines = Corpus(0).general[:50]
    assert perplexity(model, tokenizer, lines) == pytest.approx(texts["general"], rel=0.15)


def test_the_subjects_last_token_is_found(tokenizer) -> None:
    prompt = SPORTS_PROMPT.format("LeBron James")
    at = last_subject_index(tokenizer, prompt, "LeBron James")
    ids = tokenizer(prompt)["input_ids"]
    assert tokenizer.decode(ids[1 : at + 1]).endswith("LeBron James")
