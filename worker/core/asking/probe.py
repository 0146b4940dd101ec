"""Ask a list of facts in a list of formats: first what to ask, then what one model says."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.progress import Report
from worker.contract.result import LeftOut
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.asking.ask import Heard, listen
from worker.core.asking.formats import ask
from worker.core.asking.free import Free, Freely, answer_freely
from worker.core.asking.setting import Ask, NotAsked, Setting
from worker.core.models.model import Model
from worker.core.models.tokens import answer_ids, encode, tokenized

CHUNK = 256
"""Prompts between two reports of progress."""
NO_FIT = "the prompt is longer than the model reads, or joins its answer's first token"


@dataclass(frozen=True)
class Plan:
    """Which facts are asked in which formats, with what prompts; the same for every state."""

    facts: tuple[Fact, ...]
    n_forget: int
    """The first so many facts are to be forgotten, the others retained."""
    formats: tuple[str, ...]
    asks: dict[tuple[int, int], list[Ask]]
    """(fact, format) -> its prompts; a pair that is not asked is not there."""
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Told:
    """What one model said: means over wordings and orders, NaN where a format was not asked."""

    target: Float[np.ndarray, "fact format"]
    edit: Float[np.ndarray, "fact format"]
    rank: Float[np.ndarray, "fact format"]
    edit_rank: Float[np.ndarray, "fact format"]
    top5: Float[np.ndarray, "fact format"]
    """Share of prompts in which the target's first token is among the five likeliest."""
    best: Float[np.ndarray, "fact format"]
    """Share of prompts in which the target is the likeliest letter or first token."""
    letters: Float[np.ndarray, "format letter"]
    """Mean share of each letter over all orders; NaN where a format has no letters."""
    said: dict[tuple[int, int], str]
    """The likeliest next tokens after a pair's first prompt."""
    free: Free | None = None
    """What was answered freely, where that was asked for."""


def sample_retain(selection: Selection, n: int, seed: int) -> tuple[Fact, ...]:
    """Draw at most `n` retain facts that no edit trained on; the same seed draws the same."""
    return _drawn(divide(selection.retain).tested, n, seed)


def sample_trained(selection: Selection, n: int, seed: int) -> tuple[Fact, ...]:
    """Draw at most `n` of the retain facts that edits may train on, and attacks as well."""
    return _drawn(divide(selection.retain).trained, n, seed)


def _drawn(facts: Sequence[Fact], n: int, seed: int) -> tuple[Fact, ...]:
    if len(facts) <= n:
        return tuple(facts)
    chosen = set(random.Random(seed).sample(range(len(facts)), n))
    return tuple(fact for i, fact in enumerate(facts) if i in chosen)


def plan_probe(
    selection: Selection, formats: Sequence[str], how: Setting, retain_facts: int, seed: int
) -> Plan:
    """Render every fact in every format; a format that no fact has is left out with its reason."""
    facts = (*selection.forget, *sample_retain(selection, retain_facts, seed))
    asks: dict[tuple[int, int], list[Ask]] = {}
    reasons: dict[str, Counter[str]] = {name: Counter() for name in formats}
    for j, name in enumerate(formats):
        rendered: dict[int, list[Ask]] = {}
        for i, fact in enumerate(facts):
            try:
                rendered[i] = ask(name, fact, how)
            except NotAsked as reason:
                reasons[name][str(reason)] += 1
        fitting = rendered if how.model is None else _that_fit(how.model, rendered)
        if len(fitting) < len(rendered):
            reasons[name][NO_FIT] += len(rendered) - len(fitting)
        asks |= {(i, j): found for i, found in fitting.items()}
    left_out = tuple(
        LeftOut(id=f"format {name}", reason=f"{reason} ({n} of {len(facts)} facts)")
        for name, found in reasons.items()
        for reason, n in found.items()
    )
    return Plan(facts, len(selection.forget), tuple(formats), asks, left_out)


def _that_fit(model: Model, rendered: dict[int, list[Ask]]) -> dict[int, list[Ask]]:
    """Keep the facts whose longest prompt, and whose first one's answers, the model can read."""
    longest = {i: max((one.prompt for one in asks), key=len) for i, asks in rendered.items()}
    answers = {
        i: [(asks[0].prompt, answer) for answer in (asks[0].target, asks[0].edit) if answer]
        for i, asks in rendered.items()
    }
    pairs = [pair for of_fact in answers.values() for pair in of_fact]
    texts = [*longest.values(), *(prompt for prompt, _ in pairs), *map("".join, pairs)]

    def fits(i: int) -> bool:
        try:
            encode(model, longest[i], None)
            for prompt, answer in answers[i]:
                answer_ids(model, prompt, answer)
        except UserError:
            return False
        return True

    with tokenized(model, texts):
        return {i: asks for i, asks in rendered.items() if fits(i)}


def probe(
    model: Model,
    plan: Plan,
    batch_size: int,
    free: Freely | None,
    report: Report,
    share: tuple[float, float] = (0.0, 1.0),
    state: str = "",
) -> Told:
    """Put a plan's prompts to a model; `free` also lets it answer some of them in its own words."""
    pairs = [(pair, one) for pair, asks in plan.asks.items() for one in asks]
    order = sorted(range(len(pairs)), key=lambda k: len(pairs[k][1].prompt))
    heard: dict[int, Heard] = {}
    for start in range(0, len(order), CHUNK):
        chosen = order[start : start + CHUNK]
        done = share[0] + (share[1] - share[0]) * start / max(1, len(order))
        report.progress(done, f"Asked {start} of {len(order)} prompts {state}".rstrip())
        heard |= dict(
            zip(chosen, listen(model, [pairs[k][1] for k in chosen], batch_size), strict=True)
        )
    answered = None
    if free is not None:
        first = {pair: asks[0] for pair, asks in plan.asks.items()}
        chosen_pairs = free.pairs(first, plan.formats, plan.n_forget)
        shape = (len(plan.facts), len(plan.formats))
        answered = answer_freely(model, {pair: first[pair] for pair in chosen_pairs}, shape)
    return _gather(plan, [(pairs[k][0], heard[k]) for k in range(len(pairs))], answered)


def _gather(plan: Plan, heard: list[tuple[tuple[int, int], Heard]], answered: Free | None) -> Told:
    shape = (len(plan.facts), len(plan.formats))
    by_pair: dict[tuple[int, int], list[Heard]] = {}
    for pair, one in heard:
        by_pair.setdefault(pair, []).append(one)
    means = {
        name: np.full(shape, np.nan)
        for name in ("target", "edit", "rank", "edit_rank", "top5", "best")
    }
    for pair, each in by_pair.items():
        for name, values in means.items():
            field = "in_top5" if name == "top5" else name
            known = [v for one in each if not math.isnan(v := float(getattr(one, field)))]
            values[pair] = np.mean(known) if known else np.nan
    said = {
        pair: ", ".join(f"{token.strip()} {p:.2f}" for token, p in each[0].top5[:3])
        for pair, each in by_pair.items()
    }
    letters = np.full((shape[1], 4), np.nan)
    for j in range(shape[1]):
        shares = [h.letters for pair, each in by_pair.items() if pair[1] == j for h in each]
        if shares and shares[0]:
            letters[j] = np.mean(shares, 0)
    return Told(**means, letters=letters, said=said, free=answered)
