"""The tokenizer of a folder, in the forms that publishers keep one in."""

import json
from pathlib import Path

import pytest
import sentencepiece

from worker.contract.errors import UserError
from worker.core.models.vocabulary import check_tokenizer, load_tokenizer

TEXT = "The capital of France is Paris.\nThe capital of Japan is Tokyo.\n" * 40
PROMPT = "The capital of Japan"


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A Llama's folder from before tokenizer.json: SentencePiece's own model and nothing else."""
    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(tmp_path / "tokenizer"),
        vocab_size=60,
        model_type="bpe",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}), encoding="utf-8")
    said = json.dumps({"tokenizer_class": "LlamaTokenizer"})
    (tmp_path / "tokenizer_config.json").write_text(said, encoding="utf-8")
    return tmp_path


def test_a_model_of_sentencepiece_alone_gives_its_own_tokens(older: Path) -> None:
    own = sentencepiece.SentencePieceProcessor(model_file=str(older / "tokenizer.model"))
    found = load_tokenizer(older)
    ids = found(PROMPT, add_special_tokens=False).input_ids
    assert ids == own.encode(PROMPT)
    assert found.decode(ids) == PROMPT


def test_a_cut_model_of_sentencepiece_is_refused_in_words(older: Path) -> None:
    file = older / "tokenizer.model"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match="tokenizer"):
        load_tokenizer(older)


def test_tokens_without_an_embedding_are_refused_with_both_numbers(older: Path) -> None:
    n_tokens = len(load_tokenizer(older))
    assert check_tokenizer(older, n_tokens) == ()
    with pytest.raises(UserError, match=str(n_tokens - 5)):
        check_tokenizer(older, n_tokens - 5)
