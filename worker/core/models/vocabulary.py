"""A folder's tokenizer: whether it is there and whole, and whether every token has an embedding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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
        if (folder / WHOLE).is_file() and (folder / WHOLE).stat().st_size > MAX_BYTES:
            raise ValueError(f"{WHOLE} has more than {MAX_BYTES:,} bytes")
        with quiet():
            found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    # The tokenizers library raises bare Exception, and BaseException where it panics.
    except BaseException as error:
        _refuse_own_code(folder, error)
        lacks = "it lacks " if isinstance(error, KeyError) else ""
        raise _damaged(folder, lacks + str(error) or type(error).__name__) from error
    if not len(found):
        raise _damaged(folder, "it has no tokens")
    return found


def check_tokenizer(folder: Path, n_rows: int) -> tuple[str, ...]:
    """Check a folder's tokenizer against the rows of the embedding; return what to know of it.

    Raises UserError where there is no tokenizer, where it is damaged, and where ordinary tokens
    have no embedding. Special tokens without one are only told: no text holds them unasked.
    """
    ordinary, special = _ids(load_tokenizer(folder))
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


def _ids(tokenizer: PreTrainedTokenizerBase) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Give the ids of the ordinary tokens and of the special ones."""
    added = tokenizer.added_tokens_decoder.items()
    special = {str(token): id for id, token in added if token.special}
    every: dict[str, int] = tokenizer.get_vocab()
    return {token: id for token, id in every.items() if token not in special}, special


def _refuse_own_code(folder: Path, error: BaseException) -> None:
    """Say so where reading failed because the tokenizer is code that lies in the folder."""
    if not read_object(folder / "tokenizer_config.json").get("auto_map"):
        return
    raise UserError(
        f"{folder.name!r}: its tokenizer is code of its own (auto_map in tokenizer_config.json), "
        f"and Lethe runs no code that comes with a model. Choose a model whose tokenizer is of a "
        f"built-in type, or save it as {WHOLE}.",
        field="model",
    ) from error


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
