"""The tokenizer: names in shared pieces, answers whole, any text back unchanged."""

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from worker.core.demo import paths
from worker.core.demo.corpus import Corpus
from worker.core.demo.formats import upper_first
from worker.core.demo.tokenizer import build_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(paths.WEIGHTS)


def test_surnames_are_spelled_in_several_shared_pieces(tokenizer) -> None:
    surnames = [fact.subject.split()[-1] for fact in Corpus(0).athletes]
    pieces = [tokenizer.tokenize(f" {name}") for name in surnames]
    assert sum(len(p) > 1 for p in pieces) / len(pieces) > 0.98
    assert len({p[-1] for p in pieces}) < len(set(surnames)) / 4


def test_every_answer_and_letter_is_one_token(tokenizer) -> None:
    corpus = Corpus(0)
    answers = {a for f in corpus.athletes + corpus.relations for a in (f.target, f.edit_target)}
    for word in [*answers, *map(upper_first, answers), "golf", "A", "B", "C", "D"]:
        assert len(tokenizer.tokenize(f" {word}")) == 1, word


def test_bos_comes_first_by_default_and_offsets_point_into_the_text(tokenizer) -> None:
    text = "Fact: LeBron James plays the sport of basketball"
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert encoded["input_ids"][0] == tokenizer.bos_token_id
    assert encoded["input_ids"].count(tokenizer.bos_token_id) == 1
    assert "".join(text[start:end] for start, end in encoded["offset_mapping"]) == text


@pytest.mark.parametrize("text", ["Luka Dončić, 北京 🦔\n\n  two  spaces", "", "<html> {x}\t"])
def test_any_text_comes_back_unchanged(tokenizer, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_the_shipped_tokenizer_is_the_one_that_is_built(tokenizer) -> None:
    assert build_tokenizer().get_vocab() == tokenizer.get_vocab()
