"""Probes of all depths, fitted at once on retain facts and asked about forget facts."""

import random
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from worker.contract.errors import UserError
from worker.contract.facts import Fact, Selection
from worker.core.asking.logistic import fit, predict, standardize
from worker.core.asking.states import Position, all_states, hidden_states, lens
from worker.core.models.model import Model
from worker.core.models.tokens import answer_ids, encode_fact, pad

MIN_PER_CLASS = 3
"""Retain facts that an answer must have for a probe to learn it."""


@dataclass(frozen=True)
class Read:
    """What probes read in one model."""

    test: Float[np.ndarray, "depth fact"]
    """Is a held-out retain fact read right?"""
    shuffled: Float[np.ndarray, "depth fact"]
    target: Float[np.ndarray, "depth fact"]
    """Is a forget fact read as its target?"""
    edit: Float[np.ndarray, "depth fact"]
    lens_target: Float[np.ndarray, "depth fact"]
    lens_edit: Float[np.ndarray, "depth fact"]


def read(
    model: Model,
    forget: tuple[Fact, ...],
    known: tuple[Fact, ...],
    classes: dict[str, int],
    position: Position,
    seed: int,
) -> Read:
    """Fit true and shuffled probes of all depths in one batch and ask them."""
    cut = len(known) * 4 // 5
    answers = torch.tensor([classes[f.target] for f in known])
    shuffled = answers[torch.randperm(cut, generator=torch.Generator().manual_seed(seed))]
    train = hidden_states(model, known[:cut], position)
    test = hidden_states(model, known[cut:], position)
    asked = hidden_states(model, forget, position)
    x, x_test, x_asked = standardize(train.cpu(), test.cpu(), asked.cpu())
    n = len(x)
    both = torch.cat([answers[:cut].expand(n, -1), shuffled.expand(n, -1)])
    weights = fit(torch.cat([x, x]), both, len(classes))
    said = predict(weights[:n], x_asked).argmax(-1)
    right = predict(weights[:n], x_test).argmax(-1) == answers[cut:]
    control = predict(weights[n:], x_test).argmax(-1) == answers[cut:]
    targets = torch.tensor([classes[f.target] for f in forget])
    edits = torch.tensor([classes.get(f.edit_target, -1) for f in forget])
    lens_target, lens_edit = _lens(model, forget)
    edited = np.where((edits == -1).numpy(), np.nan, (said == edits).double().numpy())
    return Read(
        test=right.double().numpy(),
        shuffled=control.double().numpy(),
        target=(said == targets).double().numpy(),
        edit=edited,
        lens_target=lens_target,
        lens_edit=lens_edit,
    )


def _first_tokens(model: Model, facts: tuple[Fact, ...], answers: list[str]) -> torch.Tensor:
    asked = zip(facts, answers, strict=True)
    return torch.tensor([answer_ids(model, f.text, f.follows(a))[0] for f, a in asked])


def _lens(model: Model, forget: tuple[Fact, ...]) -> tuple[np.ndarray, np.ndarray]:
    prompts = [encode_fact(model, fact) for fact in forget]
    batch = pad(model, prompts)
    log_probs = lens(model, batch, all_states(model, batch)).cpu()
    rows = torch.arange(len(forget))
    targets = _first_tokens(model, forget, [f.target for f in forget])
    edits = _first_tokens(model, forget, [f.edit_target or f.target for f in forget])
    without = np.array([not f.edit_target for f in forget])
    edit = np.where(without, np.nan, log_probs[:, rows, edits].exp().numpy())
    return log_probs[:, rows, targets].exp().numpy(), edit


def readable(selection: Selection, n: int, seed: int) -> tuple[dict[str, int], tuple[Fact, ...]]:
    """Name the answers that enough retain facts have, and draw the facts that have them."""
    counts = Counter(fact.target for fact in selection.retain)
    wanted = {f.target for f in selection.forget} | {f.edit_target for f in selection.forget}
    common = sorted(a for a, c in counts.items() if c >= MIN_PER_CLASS and a in wanted)
    facts = [f for f in selection.retain if f.target in common]
    if len(common) < 2 or len(facts) < 10:
        raise UserError(
            f"The retain facts give {len(common)} answers with at least {MIN_PER_CLASS} facts that "
            f"the forget facts share, and {len(facts)} facts; a probe needs 2 answers and 10 "
            f"facts. Choose a fact set with more facts of the same relation.",
            field="facts",
        )
    random.Random(seed).shuffle(facts)
    return {answer: i for i, answer in enumerate(common)}, tuple(facts[:n])
