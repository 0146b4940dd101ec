"""Prompts and answers as they are typed, cut into tokens; what cannot be looked at is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.errors import UserError
from worker.contract.joining import asked, following
from worker.core.explore._options import SubjectOptions
from worker.core.explore._words import token_text
from worker.core.models.base_run import embed
from worker.core.models.model import Model
from worker.core.models.tokens import Prompt, answer_ids, encode

MOST_TOKENS = 2048
"""Of a prompt; every view keeps each layer's activations of all of them."""


@dataclass(frozen=True)
class Answer:
    """An answer in tokens; `proposed` where the model's prediction chose it."""

    text: str
    ids: tuple[int, ...]
    proposed: bool = False

    def as_json(self, model: Model) -> dict[str, Any]:
        words = [token_text(model, token) for token in self.ids]
        return {
            "text": self.text,
            "ids": list(self.ids),
            "tokens": words,
            "proposed": self.proposed,
        }


def cut_prompt(model: Model, text: str, subject: str | None, name: str) -> Prompt:
    """Cut a prompt, without a space or an end token after which nothing would be continued."""
    if not text.strip():
        raise UserError(
            "The prompt is empty; expected text that the model goes on from.",
            field=f"options.{name}",
        )
    found = _encode(model, asked(text), None, name)
    if subject:
        found = _encode(model, asked(text), subject, "subject")
    n = len(found.ids)
    while n > 1 and found.ids[n - 1] == model.end_id:
        n -= 1
    if not n:
        raise UserError(
            f"The prompt {text!r} has no tokens; expected text.", field=f"options.{name}"
        )
    if n > MOST_TOKENS:
        raise UserError(
            f"The prompt has {n:,} tokens; expected at most {MOST_TOKENS:,}, which can be looked "
            f"at token by token. Shorten it.",
            field=f"options.{name}",
        )
    return Prompt(found.text, found.ids[:n], found.tokens[:n], found.subject)


def _encode(model: Model, text: str, subject: str | None, name: str) -> Prompt:
    try:
        return encode(model, text, subject)
    except UserError as error:
        raise UserError(error.message, field=f"options.{name}") from None


def draw_noise(
    model: Model, prompt: Prompt, options: SubjectOptions, seed: int
) -> Float[Tensor, "pos width"]:
    """Draw noise for the subject's tokens, `noise_level` of their standard deviations."""
    start, stop = prompt.subject
    if stop <= start:
        raise UserError(
            "Noise goes onto the subject's tokens, and no subject is marked; expected the words of "
            "the prompt that are its subject.",
            field="options.subject",
        )
    ids = torch.tensor([prompt.ids], device=model.device)
    embeds = embed(model, ids)[0]
    drawn = torch.randn(embeds.shape, generator=torch.Generator().manual_seed(seed))
    noise = torch.zeros_like(embeds)
    scale = options.noise_level * float(embeds[start:stop].float().std())
    noise[start:stop] = (scale * drawn[start:stop]).to(noise)
    return noise


def propose(model: Model, token: int) -> Answer:
    """The answer of one token that the model names."""
    return Answer(token_text(model, token), (token,), proposed=True)


def cut_answer(
    model: Model, prompt: str, typed: str, ids: tuple[int, ...], name: str
) -> Answer | None:
    """The answer that was typed or chosen; None where it is to be proposed."""
    where = f"options.{name}"
    if ids:
        wrong = [token for token in ids if not 0 <= token < min(model.n_rows, model.d_vocab)]
        if wrong:
            raise UserError(
                f"{name}_ids has {wrong[0]}; expected ids of {model.id!r}'s tokens, 0 to "
                f"{min(model.n_rows, model.d_vocab) - 1}.",
                field=f"{where}_ids",
            )
        return Answer("".join(token_text(model, token) for token in ids), ids)
    if not typed:
        return None
    text = following(prompt, typed)
    try:
        found = answer_ids(model, prompt, text or typed)
    except UserError as error:
        raise UserError(error.message, field=where) from None
    if model.tokenizer.unk_token_id in found:
        raise UserError(
            f"The {name} {typed!r} is not in the vocabulary of {model.id!r}; expected words that "
            f"its tokenizer has.",
            field=where,
        )
    return Answer(text, found)
