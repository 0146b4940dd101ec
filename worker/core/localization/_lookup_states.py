"""What fact lookup's probes read: states at subjects' last tokens, and the model's answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.core.findings import Job
from worker.core.localization._probe import shuffled
from worker.core.localization._rise import tail
from worker.core.models.base_run import embed
from worker.core.models.batches import in_batches
from worker.core.models.gradients import activations
from worker.core.models.model import Model
from worker.core.models.prompts import encode_fact, first_tokens
from worker.core.models.tokens import Prompt, encode, pad
from worker.core.patching.cases import Case, Prepared

_BATCH = 64
_SHUFFLES = 1000


@dataclass(frozen=True)
class Knowledge:
    """How often the model's own answer, among the set's, is right; and what guessing would give."""

    right: float
    guessed: float
    """Mean over shuffles of the answers among the facts."""
    p_value: float
    """Share of shuffles under which as many are right."""


def sample(facts: list[Fact], n: int, seed: int) -> list[Fact]:
    return facts if len(facts) <= n else random.Random(seed).sample(facts, n)


def encode_probed(
    model: Model, facts: Sequence[Fact], classes: list[str], prepared: Prepared
) -> tuple[list[Case], Int[Tensor, " fact"]]:
    """Encode the probed facts; one whose subject has no token of its own is left out, and said."""
    cases, labels = [], []
    known = {out.id for out in prepared.left_out}
    for fact in facts:
        try:
            prompt = encode_fact(model, fact)
        except UserError as error:
            if fact.id not in known:
                prepared.leave_out(fact, f"Not among the probed: {error.message}")
            continue
        cases.append(Case(fact, prompt, answer=0))
        labels.append(classes.index(fact.target.strip()))
    return cases, torch.tensor(labels)


def bare(model: Model, case: Case) -> Prompt:
    """The name alone, cut as in its prompt, after the tokenizer's own first token if any."""
    start, stop = case.prompt.subject
    alone = encode(model, case.fact.subject, case.fact.subject)
    ids = (*alone.ids[: alone.subject[0]], *case.prompt.ids[start:stop])
    return Prompt(case.fact.subject, ids, (), (alone.subject[0], len(ids)))


def residuals(
    model: Model, prompts: Sequence[Prompt], job: Job, done: tuple[float, float]
) -> Float[Tensor, "depth fact d_model"]:
    """Residual stream at the subject's last token: embeddings first, then after every layer.

    `done` is the part of the run's progress that this takes, from and to.
    """
    found: list[Tensor | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].ids))

    def run(chosen: list[int]) -> None:
        # What comes after the subject cannot reach it, so it is cut off.
        cut = [prompts[i].ids[: prompts[i].subject[1]] for i in chosen]
        batch = pad(model, cut)
        with torch.no_grad():
            kept = activations(
                model, batch, embed(model, batch.ids), ["resid_pre", "resid_post"]
            ).sites
        last = [kept["resid_pre"][0], *kept["resid_post"]]
        rows = torch.stack([activation[:, -1].float() for activation in last], dim=1).cpu()
        for i, row in zip(chosen, rows, strict=True):
            found[i] = row
        n = sum(item is not None for item in found)
        share = done[0] + (done[1] - done[0]) * n / len(prompts)
        job.report.progress(share, f"{n} of {len(prompts)} subjects read")

    in_batches(model, "probe", order, _BATCH, run)
    return torch.stack([row for row in found if row is not None], dim=1)


@torch.no_grad()
def knowledge(
    model: Model, cases: Sequence[Case], labels: Int[Tensor, " fact"], classes: list[str]
) -> Knowledge:
    """Ask the model for every probed fact, and take the likeliest of the set's answers.

    Answers are compared by their first tokens; of two that begin alike neither counts as wrong.
    """
    firsts = torch.tensor(
        [first_tokens(model, [case.fact] * len(classes), classes) for case in cases]
    )
    said = torch.zeros(len(cases), dtype=torch.long)
    order = sorted(range(len(cases)), key=lambda i: cases[i].length)

    def run(chosen: list[int]) -> None:
        batch = pad(model, [cases[i].prompt for i in chosen])
        logits = model.logits(batch.ids, batch.mask, batch.position_ids)[:, -1].cpu()
        best = logits.gather(1, firsts[chosen]).argmax(1)
        said[chosen] = firsts[chosen].gather(1, best[:, None])[:, 0]

    in_batches(model, "score", order, _BATCH, run)
    every = torch.arange(len(cases))
    fits: Bool[Tensor, "fact class"] = firsts == said[:, None]
    others = shuffled(labels, _SHUFFLES, seed=0)
    guessed = np.array([fits[every, other].float().mean().item() for other in others])
    right = fits[every, labels].float().mean().item()
    return Knowledge(right, float(guessed.mean()), tail(right, guessed))
