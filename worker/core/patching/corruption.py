"""Ways to corrupt a subject, so that the model no longer knows what it is asked about.

noise: Gaussian noise on the embeddings of the subject's tokens, `noise_level` times their standard
deviation over all traced facts (ROME's recipe: 3). random_tokens: as many random tokens.
other_subject: another fact's subject with as many tokens and another answer. mean: every subject
token's embedding becomes the mean embedding of all traced subjects' tokens.

Each fact's random numbers come from the seed and the fact's id alone, so a fact's scores do not
depend on which others are traced with it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.errors import UserError
from worker.contract.facts import Fact, fill
from worker.core.models.base_run import embed
from worker.core.models.model import Model
from worker.core.models.tokens import encode
from worker.core.patching.cases import Case, Prepared, require_cases

Corruption = Literal["noise", "random_tokens", "other_subject", "mean"]
DESCRIPTIONS = (
    "How the subject is made unrecognizable. noise: Gaussian noise on its embeddings. "
    "random_tokens: as many random tokens. other_subject: another fact's subject of as many "
    "tokens with another answer. mean: the mean embedding of all subjects."
)


@dataclass(frozen=True)
class Corrupted:
    """A case's corrupted copies: their embeddings, and their token ids where these changed."""

    case: Case
    embeds: Float[Tensor, "sample pos width"]
    how: str


def corrupt(
    model: Model,
    prepared: Prepared,
    kind: Corruption,
    *,
    samples: int,
    noise_level: float,
    seed: int,
    pool: Sequence[Fact] = (),
    or_random: bool = False,
) -> list[Corrupted]:
    """Make each case's corrupted copies; leave out cases that have none of this kind.

    Other subjects are drawn from `pool` (from the cases' own facts, where it is empty). With
    `or_random`, a case without another subject that fits gets random tokens instead.
    """
    cases, found = list(prepared.cases), []
    pool = pool or [case.fact for case in cases]
    subjects = torch.cat([_subject_embeds(model, case) for case in cases])
    for case in cases:
        try:
            if kind in ("noise", "mean"):
                embeds = _on_embeddings(model, case, kind, subjects, samples, noise_level, seed)
                found.append(Corrupted(case, embeds, kind))
            else:
                item, same = _on_tokens(model, case, pool, kind, samples, seed, or_random)
                found.append(item)
                if same:
                    prepared.unreached[case.fact.id] = _unreached(case, same)
                if item.how != kind:
                    prepared.instead[case.fact.id] = _no_other(case, pool, "Random tokens stand in")
        except UserError as error:
            prepared.leave_out(case.fact, error.message)
    prepared.cases = [item.case for item in found]
    require_cases(prepared)
    return found


def other_subjects(
    model: Model, case: Case, pool: Sequence[Fact], seed: int, most: int
) -> list[list[int]]:
    """Find prompts of this case about other subjects with as many tokens and another answer."""
    start, stop = case.prompt.subject
    others = [fact for fact in pool if fact.target.strip() != case.fact.target.strip()]
    _generator(case, seed).shuffle(others)
    found: list[list[int]] = []
    for other in others:
        if len(found) == most:
            break
        text = fill(case.fact.prompt, other.subject)
        try:
            prompt = encode(model, text, other.subject, case.fact.prompt.index("{}"))
        except UserError:  # merged with its neighbours: no subject of as many tokens
            continue
        same = (start, stop, case.prompt.ids[:start], case.prompt.ids[stop:])
        if same == (*prompt.subject, prompt.ids[:start], prompt.ids[stop:]):
            found.append(list(prompt.ids))
    return found


def _on_tokens(
    model: Model,
    case: Case,
    pool: Sequence[Fact],
    kind: Corruption,
    samples: int,
    seed: int,
    or_random: bool,
) -> tuple[Corrupted, list[int]]:
    """Make the copies, and list the subject's positions whose token every copy has as well."""
    rows: list[list[int]] = []
    if kind == "other_subject":
        rows = other_subjects(model, case, pool, seed, samples)
        if not rows and not or_random:
            raise UserError(_no_other(case, pool, "Choose the corruption random_tokens"))
    how = "other_subject" if rows else "random_tokens"
    rows = rows or [_random_row(model, case, seed, i) for i in range(samples)]
    same = [
        at
        for at in range(*case.prompt.subject)
        if all(row[at] == case.prompt.ids[at] for row in rows)
    ]
    return Corrupted(case, embed(model, torch.tensor(rows, device=model.device)), how), same


def _unreached(case: Case, same: Sequence[int]) -> str:
    start, stop = case.prompt.subject
    named = ", ".join(repr(case.prompt.tokens[at]) for at in same)
    return (
        f"{len(same)} of the {stop - start} tokens of {case.fact.subject!r} stand in its corrupted "
        f"prompt as well ({named}), so nothing is corrupted there and no effect can be seen."
    )


def _no_other(case: Case, pool: Sequence[Fact], cure: str) -> str:
    n = case.prompt.subject[1] - case.prompt.subject[0]
    return (
        f"No other subject has {n} tokens and another answer than {case.fact.target!r} among the "
        f"{len(pool)} facts, so clean and corrupted prompt would differ in length. {cure}, or take "
        f"a set with more facts."
    )


def _random_row(model: Model, case: Case, seed: int, sample: int) -> list[int]:
    start, stop = case.prompt.subject
    special = set(model.tokenizer.all_special_ids)
    choices = [i for i in range(min(len(model.tokenizer), model.d_vocab)) if i not in special]
    generator = _generator(case, seed + sample)
    drawn = generator.choices(choices, k=stop - start)
    for i, own in enumerate(case.prompt.ids[start:stop]):
        while drawn[i] == own and len(choices) > 1:
            drawn[i] = generator.choice(choices)
    return [*case.prompt.ids[:start], *drawn, *case.prompt.ids[stop:]]


def _on_embeddings(
    model: Model,
    case: Case,
    kind: Corruption,
    subjects: Tensor,
    samples: int,
    noise_level: float,
    seed: int,
) -> Tensor:
    start, stop = case.prompt.subject
    clean = embed(model, torch.tensor(case.prompt.ids, device=model.device))
    if kind == "mean":
        embeds = clean[None].clone()
        embeds[:, start:stop] = subjects.mean(0)
        return embeds
    generator = torch.Generator().manual_seed(_generator(case, seed).getrandbits(48))
    noise = torch.randn(samples, stop - start, clean.shape[-1], generator=generator)
    scale = noise_level * subjects.float().std()
    embeds = clean.repeat(samples, 1, 1)
    embeds[:, start:stop] += (scale * noise.to(scale.device)).to(embeds.dtype)
    return embeds


def _subject_embeds(model: Model, case: Case) -> Tensor:
    start, stop = case.prompt.subject
    return embed(model, torch.tensor(case.prompt.ids[start:stop], device=model.device))


def _generator(case: Case, seed: int) -> random.Random:
    return random.Random(f"{seed} {case.fact.id}")
