"""A folder's tokenizer: whether it is there and whole, and whether every token has an embedding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from worker.contract.errors import UserError
from worker.core.models.folder import read_object
from worker.core.models.stored import few
from worker.core.models.weightless import quiet

WHOLE = "tokenizer.json"
PARTS = (
    ("tokenizer.model",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
)
"""Older ways of keeping a tokenizer, which transformers makes one of."""
MAX_BYTES = 200 * 2**20
"""Of a tokenizer.json; the largest public ones have about 30 MB."""


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a folder's tokenizer; raise UserError where there is none that can be read."""
    _refuse_without(folder)
    try:
        with quiet():
            found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    # The tokenizers library raises bare Exception, and BaseException where it panics.
    except BaseException as error:
        raise _damaged(folder, str(error)) from error
    if not len(found):
        raise _damaged(folder, "it has no tokens")
    return found


def check_tokenizer(folder: Path, n_rows: int) -> tuple[str, ...]:
    """Check a tokenizer by its files against the rows of the embedding; return what to know of it.

    Raises UserError where there is no tokenizer, where it is damaged, and where ordinary tokens
    have no embedding. Special tokens without one are only told: no text holds them unasked.
    """
    _refuse_without(folder)
    ordinary, special = _ids(folder)
    if not ordinary:
        raise _damaged(folder, "it has no tokens")
    beyond = [
        token for token, id in sorted(ordinary.items(), key=lambda one: one[1]) if id >= n_rows
    ]
    if beyond:
        raise UserError(
            f"{folder.name!r}: its tokenizer has tokens up to id {max(ordinary.values()):,}, and "
            f"its embedding {n_rows:,} rows: {len(beyond):,} tokens have no embedding "
            f"({few([repr(token) for token in beyond])}). Take the tokenizer that the weights were "
            f"trained with, or resize the embedding with "
            f"model.resize_token_embeddings(len(tokenizer)) and save the model anew.",
            field="model",
        )
    if unused := [token for token, id in special.items() if id >= n_rows]:
        words = few(sorted(unused))
        return (f"Special tokens without an embedding, which no prompt may hold: {words}.",)
    return ()


def _ids(folder: Path) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Give the ids of the ordinary tokens and of the special ones."""
    if not (folder / WHOLE).is_file():
        # Older files are too various to read by hand.
        tokenizer = load_tokenizer(folder)
        added = {str(token): id for id, token in tokenizer.added_tokens_decoder.items()}
        every = tokenizer.get_vocab()
        return {token: id for token, id in every.items() if token not in added}, added
    made = read_object(folder / WHOLE, MAX_BYTES)
    try:
        ordinary = _vocabulary(made["model"]["vocab"])
        listed = {str(one["content"]): one for one in made["added_tokens"]}
        special = {token: int(one["id"]) for token, one in listed.items() if one.get("special")}
        more = {token: int(one["id"]) for token, one in listed.items() if not one.get("special")}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder, f"it lacks or misplaces {error}") from None
    return {t: id for t, id in ordinary.items() if t not in special} | more, special


def _vocabulary(vocab: Any) -> dict[str, int]:
    """Read tokens and ids as BPE, WordPiece and words keep them, or as Unigram lists them."""
    if isinstance(vocab, list):
        return {str(piece): id for id, (piece, _) in enumerate(vocab)}
    return {str(token): int(id) for token, id in vocab.items()}


def _refuse_without(folder: Path) -> None:
    if (folder / WHOLE).is_file():
        return
    if any(all((folder / name).is_file() for name in names) for names in PARTS):
        return
    raise UserError(
        f"{folder.name!r} has no tokenizer; expected {WHOLE} (or {PARTS[0][0]}) beside the "
        f"weights. Copy it from where the model came from, or save it with "
        f"tokenizer.save_pretrained().",
        field="model",
    )


def _damaged(folder: Path, reason: str) -> UserError:
    return UserError(
        f"{folder.name!r}: its tokenizer cannot be read ({' '.join(reason.split())[:300]}). Copy "
        f"tokenizer.json and tokenizer_config.json again from where the model came from.",
        field="model",
    )
