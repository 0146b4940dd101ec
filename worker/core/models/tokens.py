"""Prompts as tokens: the subject's and the answer's tokens found by character offsets.

Offsets, never re-joined or re-tokenized pieces: a piece alone is often cut otherwise than in its
sentence, and SentencePiece adds a space to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from tokenizers import Encoding
from torch import Tensor

from worker.contract.errors import UserError
from worker.contract.subjects import find_subject
from worker.core.models.model import Model

_ready: ContextVar[tuple[int, Mapping[str, Encoding]]]
_ready = ContextVar("tokenized", default=(0, {}))


@dataclass(frozen=True)
class Prompt:
    """A prompt cut into tokens; `subject` is the subject's first and one past its last token."""

    text: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    subject: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Batch:
    """Padded prompts; positions count from each prompt's first token, so that padding is inert."""

    ids: Int[Tensor, "batch pos"]
    mask: Int[Tensor, "batch pos"]
    position_ids: Int[Tensor, "batch pos"]


def encode(model: Model, text: str, subject: str | None, start: int | None = None) -> Prompt:
    """Cut `text` into tokens and find its subject.

    `start` is the character where the subject begins; without it the last place is meant where it
    stands as a whole word. Raises UserError where the subject is absent, or where one of its tokens
    also holds other text. With subject None the span is (0, 0).
    """
    ids, offsets = _cut_prompt(model, text)
    tokens = tuple(
        _token_text(model, text, i, offset) for i, offset in zip(ids, offsets, strict=True)
    )
    span = (0, 0) if subject is None else _find_span(text, subject, start, offsets)
    return Prompt(text, tuple(ids), tokens, span)


def check_span(model: Model, text: str, subject: str, start: int) -> None:
    """Raise the UserError that `encode` would, without making the prompt."""
    _, offsets = _cut_prompt(model, text)
    _find_span(text, subject, start, offsets)


def answer_ids(model: Model, prompt_text: str, answer: str) -> tuple[int, ...]:
    """Find the answer's tokens by the offsets of the running text, which is prompt + answer.

    `answer` begins with what stands between the two (`Fact.follows`, `contract.joining`); nothing
    is added and nothing taken away. Raises UserError where the tokenizer cuts the prompt's end
    otherwise when the answer follows: what is asked then is not what the answer goes on from.
    """
    found = tokenize(model, prompt_text + answer)
    ids, offsets, special = found.ids, found.offsets, found.special_tokens_mask
    end = len(prompt_text)
    answers = [k for k, (a, b) in enumerate(offsets) if b > end and b > a and not special[k]]
    first = answers[0] if answers else len(ids)
    alone = tokenize(model, prompt_text)
    n_alone = _bare(model, alone.ids)
    if not answer.strip() or not answers:
        raise UserError(
            f"The answer {answer!r} has no tokens after {_short(prompt_text)}; expected text.",
            field="facts",
        )
    if offsets[first][0] < end or first != n_alone or ids[:first] != alone.ids[:first]:
        raise UserError(_merged(prompt_text, answer, alone, found), field="facts")
    return tuple(ids[k] for k in answers)


def pad(
    model: Model, prompts: Sequence[Prompt | Sequence[int]], side: Literal["left", "right"] = "left"
) -> Batch:
    """Pad prompts to one length."""
    rows = [list(p.ids if isinstance(p, Prompt) else p) for p in prompts]
    longest = max(map(len, rows))
    ids, mask = [], []
    for row in rows:
        gap = longest - len(row)
        filler, holes = [model.pad_id] * gap, [0] * gap
        ids.append(filler + row if side == "left" else row + filler)
        ones = [1] * len(row)
        mask.append(holes + ones if side == "left" else ones + holes)
    masks = torch.tensor(mask, device=model.device)
    return Batch(
        ids=torch.tensor(ids, device=model.device),
        mask=masks,
        position_ids=(masks.cumsum(-1) - 1).clamp(min=0),
    )


@contextmanager
def tokenized(model: Model, texts: Sequence[str]) -> Iterator[None]:
    """Cut many texts at once; inside this block `encode` and `answer_ids` find them ready.

    A text cut by itself costs ten times as much, which matters where a set has 22,000 facts.
    """
    different = list(dict.fromkeys(texts))
    ready = dict(zip(different, _encodings(model, different), strict=True))
    token = _ready.set((id(model), ready))
    try:
        yield
    finally:
        _ready.reset(token)


def tokenize(model: Model, text: str) -> Encoding:
    """Cut one text into tokens with the characters of each; refuse tokens without an embedding."""
    of, ready = _ready.get()
    known = of == id(model) and text in ready
    found = ready[text] if known else _encodings(model, [text])[0]
    if model.has_bare_tokens and max(found.ids, default=0) >= model.n_rows:
        _refuse_bare(model, text, found)
    return found


def _refuse_bare(model: Model, text: str, found: Encoding) -> None:
    bare = next(t for t, id in zip(found.tokens, found.ids, strict=True) if id >= model.n_rows)
    raise UserError(
        f"{_short(text)} holds the token {bare!r}, which has no embedding in {model.id!r}: its "
        f"embedding has {model.n_rows:,} rows. Take it out.",
        field="facts",
    )


def _encodings(model: Model, texts: list[str]) -> list[Encoding]:
    """Cut texts; what each is made of is only turned into lists where it is asked for."""
    if not texts:
        return []
    # Through transformers once, which sets how its tokenizer pads and cuts off: not at all. Its own
    # lists of every text would take as long as the cutting.
    if not model.tokenizer.is_fast or model.tokenizer(texts[:1]).encodings is None:
        raise UserError(
            f"{model.id!r} has a tokenizer without character offsets; expected a fast tokenizer "
            f"(tokenizer.json). Save one with AutoTokenizer(..., use_fast=True).",
            field="model",
        )
    found: list[Encoding] = model.tokenizer.backend_tokenizer.encode_batch(texts)
    return found


def passage_ids(model: Model, text: str, limit: int) -> tuple[int, ...]:
    """Cut running text into its first tokens: at most `limit`, and no more than the model reads."""
    return tuple(tokenize(model, text).ids[: min(limit, model.max_positions)])


def _cut_prompt(model: Model, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """A prompt's ids and offsets; UserError for one that is longer than the model reads."""
    found = tokenize(model, text)
    ids = found.ids
    if len(ids) > model.max_positions:
        raise UserError(
            f"The prompt {_short(text)} has {len(ids)} tokens; {model.id!r} reads at most "
            f"{model.max_positions}. Shorten it.",
            field="facts",
        )
    return ids, found.offsets


def _merged(prompt: str, answer: str, alone: Encoding, joint: Encoding) -> str:
    """Say which tokens of a prompt become others when its answer follows, and the cure."""
    pairs = enumerate(zip(alone.ids, joint.ids, strict=False))
    same = next((k for k, (a, b) in pairs if a != b), len(alone.ids) - 1)
    begins = alone.offsets[same][0]
    ends = next((b for _, b in joint.offsets[same:] if b > len(prompt)), len(prompt + answer))
    before, after = prompt[begins:], (prompt + answer)[begins:ends]
    return (
        f"The answer {answer!r} has no tokens of its own after {_short(prompt)}: {before!r} "
        f"becomes {after!r} when it follows. End the prompt before the word or number that goes "
        f"on and put all of it into the answer, or set its join to 'space'."
    )


def _bare(model: Model, ids: Sequence[int]) -> int:
    """Count a prompt's tokens without those that the tokenizer adds at the end."""
    n, end = len(ids), model.end_id
    while n and ids[n - 1] == end:
        n -= 1
    return n


def _token_text(model: Model, text: str, token: int, offset: tuple[int, int]) -> str:
    start, stop = offset
    return text[start:stop] if stop > start else str(model.tokenizer.convert_ids_to_tokens(token))


def _find_span(
    text: str, subject: str, start: int | None, offsets: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    start = _last_place(text, subject) if start is None else start
    stop = start + len(subject)
    if start < 0 or not subject or text[start:stop] != subject:
        raise UserError(
            f"The subject {subject!r} is not in the prompt {_short(text)}; expected the prompt to "
            f"contain it word for word.",
            field="facts",
        )
    inside = [k for k, (a, b) in enumerate(offsets) if b > a and a < stop and b > start]
    if not inside:
        raise UserError(f"The subject {subject!r} has no token in {_short(text)}.", field="facts")
    outside = [text[offsets[k][0] : start] for k in inside[:1]]
    outside += [text[stop : offsets[k][1]] for k in inside[-1:]]
    if "".join(outside).strip():
        merged = [text[offsets[k][0] : offsets[k][1]] for k in (inside[0], inside[-1])]
        raise UserError(
            f"The subject {subject!r} shares a token with its neighbours in {_short(text)} "
            f"({' … '.join(map(repr, merged))}); expected tokens of its own. Put a space around "
            f"it, or reword the prompt.",
            field="facts",
        )
    return inside[0], inside[-1] + 1


def _last_place(text: str, subject: str) -> int:
    """Where a subject stands last, as a whole word if it ever does; -1 where it does not stand."""
    try:
        found = find_subject(text, subject, "last")
    except ValueError:
        return text.rfind(subject)
    return found.start if found.subject == subject else -1


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else "…" + text[-79:])
