"""A small search over learning rate and λ: each trial from the same start, all of them told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from worker.contract.errors import Diverged, NotFinite
from worker.contract.result import Table
from worker.core.editing.parts import Parts
from worker.core.findings import Findings
from worker.core.training.options import Training

Outcome = TypeVar("Outcome")
Chosen = TypeVar("Chosen", bound=Training)
Share = tuple[float, float]
"""A part of the run's progress, from and to."""
RATES = (1 / 3, 1.0, 3.0)
WEIGHTS = (0.4, 2.5)


@dataclass(frozen=True)
class Trial(Generic[Outcome]):
    """How one trial went; its values are in the model."""

    outcome: Outcome
    score: float
    """Goal × retain probability by quick probes, the same for every trial."""
    retain: float | None
    """The retain facts' probability at its end."""
    ended: str


@dataclass(frozen=True)
class Searched(Generic[Outcome, Chosen]):
    """The best trial, whose values are in the model, with the options that it had."""

    outcome: Outcome
    options: Chosen
    table: Table | None
    """Every trial; None where only one was asked."""

    def tell(self, findings: Findings) -> None:
        """Report every trial in a method's findings."""
        if self.table is not None:
            findings.tables["search"] = self.table
            findings.summary["search.learning_rate"] = self.options.learning_rate
            findings.summary["search.forget_weight"] = self.options.forget_weight


def plan(options: Chosen, weights: Sequence[float] = WEIGHTS) -> list[Chosen]:
    """List the options to try: the given ones first; without `weights` only rates are searched."""
    if options.search != "small":
        return [options]
    rate, weight = options.learning_rate, options.forget_weight
    pairs = [(rate * r, weight * w) for r in RATES for w in weights or (1.0,)]
    pairs = [(rate, weight), *(pair for pair in pairs if pair != (rate, weight))]
    return [options.model_copy(update={"learning_rate": r, "forget_weight": w}) for r, w in pairs]


def try_each(
    asked: Sequence[Chosen],
    parts: Parts,
    train: Callable[[Chosen, Share], Trial[Outcome]],
    share: Share = (0.0, 1.0),
) -> Searched[Outcome, Chosen]:
    """Train once per options from the same start; leave the best trial's values in the model.

    Raises Diverged where every trial does, in the trial's own words where there is but one.
    """
    several = len(asked) > 1
    start = parts.copy() if several else []
    rows: list[tuple[float, float, float | None, float | None, str]] = []
    best: tuple[Trial[Outcome], Chosen, list[Tensor]] | None = None
    width = (share[1] - share[0]) / len(asked)
    for i, options in enumerate(asked):
        if several:
            parts.load(start)
        pair = (options.learning_rate, options.forget_weight)
        try:
            trial = train(options, (share[0] + i * width, share[0] + (i + 1) * width))
        except (Diverged, NotFinite) as error:
            if not several:
                raise
            rows.append((*pair, None, None, str(error)))
            continue
        rows.append((*pair, trial.score, trial.retain, trial.ended))
        if best is None or trial.score > best[0].score:
            best = (trial, options, parts.copy() if several else [])
    if best is None:
        raise Diverged(f"All {len(asked)} trials of the search diverged; the first: {rows[0][-1]}")
    if several:
        parts.load(best[2])
    columns = ("learning rate", "forget weight", "score", "retain probability", "how it ended")
    table = Table(title="Search", columns=columns, rows=tuple(rows)) if several else None
    return Searched(best[0].outcome, best[1], table)
