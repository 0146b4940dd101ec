"""Probes of all depths, fitted at once on retain facts and asked about forget facts.

Beside each stand controls, fitted to shuffled answers: what they read of the forget facts is what a
probe reads of nothing.
"""

import random
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.asking.logistic import fit, predict, standardize
from worker.core.asking.states import Position, all_states, hidden_states, lens
from worker.core.models.model import Model
from worker.core.models.prompts import encode_fact, first_tokens
from worker.core.models.tokens import pad

MIN_PER_CLASS = 3
"""Retain facts that an answer must have for a probe to learn it."""
CONTROLS = 4
"""Shuffles of the answers."""
WORKS = 0.5
"""Share of what its controls leave to read that a probe must read of facts it was not fitted to."""


@dataclass(frozen=True)
class Readable:
    """What probes can be fitted to and tested on."""

    classes: dict[str, int]
    """Answer -> its class."""
    taught: tuple[Fact, ...]
    tested: tuple[Fact, ...]
    """Facts that neither the probes nor any edit were trained on."""


@dataclass(frozen=True)
class Read:
    """What probes read in one model."""

    test: Float[np.ndarray, "depth fact"]
    """Is a retain fact read right that the probes were not fitted to?"""
    shuffled: Float[np.ndarray, "depth fact"]
    """In what share of the controls is it?"""
    target: Float[np.ndarray, "depth fact"]
    """Is a forget fact read as its target?"""
    control: Float[np.ndarray, "control depth fact"]
    """Does a control read it as its target?"""
    edit: Float[np.ndarray, "depth fact"]
    lens_target: Float[np.ndarray, "depth fact"]
    lens_edit: Float[np.ndarray, "depth fact"]

    @property
    def works(self) -> Bool[np.ndarray, " depth"]:
        """Say at which depths a probe reads retain facts: over its controls by enough."""
        chance = self.shuffled.mean(1)
        return np.asarray(self.test.mean(1) - chance >= WORKS * (1 - chance))

    @property
    def best(self) -> tuple[float, float, float]:
        """Give the largest share of forget facts read as their target at a depth that works, what
        controls reach in the same way (the mean of each one's largest), and the largest share of
        retain facts read; NaN where no depth works."""
        if not self.works.any():
            return np.nan, np.nan, np.nan
        controls = float(self._largest(self.control).mean())
        return float(self._largest(self.target)), controls, float(self._largest(self.test))

    def _largest(
        self, right: Float[np.ndarray, "*control depth fact"]
    ) -> Float[np.ndarray, "*control"]:
        """Give the largest share of facts that are right at a depth that works."""
        return np.asarray(right[..., self.works, :].mean(-1).max(-1))


def read(
    model: Model, forget: tuple[Fact, ...], known: Readable, position: Position, seed: int
) -> Read:
    """Fit probes of all depths and their controls, and ask them."""
    classes = known.classes
    answers = torch.tensor([classes[f.target] for f in known.taught])
    right = torch.tensor([classes[f.target] for f in known.tested])
    targets = torch.tensor([classes[f.target] for f in forget])
    states = [hidden_states(model, facts, position).cpu() for facts in (known.taught, known.tested)]
    x, x_test, x_asked = standardize(*states, hidden_states(model, forget, position).cpu())

    def ask(y: Int[Tensor, " fact"]) -> list[Int[Tensor, "depth fact"]]:
        weights = fit(x, y.expand(len(x), -1), len(classes))
        return [predict(weights, asked).argmax(-1) for asked in (x_test, x_asked)]

    test, said = ask(answers)
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(answers), generator=generator) for _ in range(CONTROLS)]
    controls = [ask(answers[order]) for order in orders]
    edits = torch.tensor([classes.get(f.edit_target, -1) for f in forget])
    lens_target, lens_edit = _lens(model, forget)
    edited = np.where((edits == -1).numpy(), np.nan, (said == edits).double().numpy())
    return Read(
        test=(test == right).double().numpy(),
        shuffled=np.mean([(of == right).double().numpy() for of, _ in controls], 0),
        target=(said == targets).double().numpy(),
        control=np.stack([(of == targets).double().numpy() for _, of in controls]),
        edit=edited,
        lens_target=lens_target,
        lens_edit=lens_edit,
    )


def _first_tokens(model: Model, facts: tuple[Fact, ...], answers: list[str]) -> torch.Tensor:
    return torch.tensor(first_tokens(model, facts, answers))


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


def readable(selection: Selection, n: int, seed: int) -> Readable:
    """Name the answers that enough retain facts have, and draw at most `n` facts that have them.

    Raises UserError where there are too few to fit or to test a probe.
    """
    parts = divide(selection.retain)
    wanted = {f.target for f in selection.forget} | {f.edit_target for f in selection.forget}
    counts = Counter(fact.target for fact in (*parts.trained, *parts.watched))
    common = sorted(a for a, c in counts.items() if c >= MIN_PER_CLASS and a in wanted)
    taught = [f for f in (*parts.trained, *parts.watched) if f.target in common]
    tested = [f for f in parts.tested if f.target in common]
    if len(common) < 2 or len(taught) + len(tested) < 10 or not tested:
        raise UserError(
            f"The retain facts give {len(common)} answers with at least {MIN_PER_CLASS} facts that "
            f"the forget facts share, {len(taught)} facts to fit a probe to and {len(tested)} to "
            f"test it on; it needs 2 answers, and 10 facts with one to test on. Choose a fact set "
            f"with more facts of the same relation.",
            field="facts",
        )
    rng = random.Random(seed)
    rng.shuffle(taught)
    rng.shuffle(tested)
    classes = {answer: i for i, answer in enumerate(common)}
    return Readable(classes, tuple(taught[: n * 4 // 5]), tuple(tested[: max(1, n // 5)]))
