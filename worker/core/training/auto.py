"""Settings for the model and mask at hand, found by a short search before the run's own training.

1. Start at the method's own rate, scaled by the models' widths (Yang et al. 2022, μP: Adam's rate
   goes as 1 / width), and at fewer steps for more parameters (100 for the bundled model's two
   million, 20 from a hundred million on, between them by the logarithm): a step costs as the
   parameters do, and what fewer steps lack the rate makes up for. A step takes fewer rows too: two
   passages of ordinary text are as many tokens as eight of the bundled model's sentences.
2. Train on facts that stand in for the forget facts (`rehearsal.py`), at the start and a half order
   of magnitude below, and on in the better direction until the best rate has a worse neighbour on
   either side. A trial whose watched facts fall below half is stopped.
3. While the best is not yet as meant (`Judged.fits`): another forget weight in the direction of
   what is lacking, and twice the steps where the goal is. A trial that becomes the best by this is
   asked anew what it lacks: twice the steps may reach the goal and take of the retain facts what a
   smaller weight leaves them.
4. Keep the trial of the best score (`judge.py`).

The model is left as it was. An option given by hand is never changed; a rate given by hand switches
the search off. Source of none: the procedure is the project's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from worker.contract.errors import Diverged, NotFinite
from worker.core.asking.passages import is_bundled
from worker.core.models.model import Model
from worker.core.training.judge import Judged
from worker.core.training.options import Training

Chosen = TypeVar("Chosen", bound=Training)
WIDTH, PARAMETERS, STEPS = 128, 2e6, 100
"""Of the bundled model, which the defaults suit."""
MANY_PARAMETERS, MANY_STEPS = 1e8, 20
ROWS = {"general_batch": 2, "retain_batch": 8, "context": 64}
"""Of a step, at most."""
FACTOR = math.sqrt(10)
WEIGHT_FACTOR = 2.5
MOST_RATES, FEWEST_TRIALS, USUAL_TRIALS, MOST_TRIALS = 5, 3, 4, 7
MOST_STEPS = 4
"""Times the starting point's steps."""


@dataclass(frozen=True)
class Tried(Generic[Chosen]):
    """One trial: its options, and how it ended."""

    options: Chosen
    judged: Judged | None
    """None where it was lost."""
    ended: str

    @property
    def score(self) -> float:
        return -math.inf if self.judged is None else self.judged.score


Attempt = Callable[[Chosen, int], Tried[Chosen]]
"""Trains with these options, from where the model was, as trial number so-and-so."""


def is_asked(model: Model, options: Training) -> bool:
    """Whether settings are to be searched: where no rate is given, on all but the bundled model."""
    given = options.model_fields_set
    return options.search == "auto" and "learning_rate" not in given and not is_bundled(model)


def starting_point(model: Model, options: Chosen) -> Chosen:
    """Scale what goes by the width, the steps by the parameter count, what goes by the steps, and
    the rows of a step, each where it is not given."""
    narrower = min(1.0, WIDTH / model.d_model)
    scaled = {name: float(f"{getattr(options, name) * narrower:.3g}") for name in options.BY_WIDTH}
    scaled["steps"] = max(1, round(options.steps * _step_share(model)))
    scaled |= {name: min(getattr(options, name), n) for name, n in ROWS.items()}
    steps = options.steps if "steps" in options.model_fields_set else scaled["steps"]
    fewer = type(options).model_fields["steps"].default / steps
    scaled |= {name: getattr(options, name) * fewer for name in options.BY_STEPS}
    own = {name: value for name, value in scaled.items() if name not in options.model_fields_set}
    return options.model_copy(update=own | {"search": "off"})


def _step_share(model: Model) -> float:
    n = sum(parameter.numel() for parameter in model.hf.parameters())
    way = math.log(max(n, PARAMETERS) / PARAMETERS) / math.log(MANY_PARAMETERS / PARAMETERS)
    return (1 - min(way, 1.0)) + min(way, 1.0) * MANY_STEPS / STEPS


def search(start: Chosen, attempt: Attempt[Chosen], given: set[str]) -> list[Tried[Chosen]]:
    """Try rates until the best lies inside, then what is lacking; list every trial in order.

    `given` are the options that were given by hand.
    """
    tried = _rates(start, attempt)
    while len(tried) < MOST_TRIALS:
        known = {_place(one.options) for one in tried}
        wanted = _more(best_of(tried), given, MOST_STEPS * start.steps)
        untried = next((options for options in wanted if _place(options) not in known), None)
        if untried is None:
            break
        tried.append(attempt(untried, len(tried)))
    return tried


def best_of(tried: list[Tried[Chosen]]) -> Tried[Chosen]:
    """The trial of the highest score; raise Diverged where all were lost."""
    best = max(tried, key=lambda one: one.score)
    if best.judged is None:
        raise Diverged(
            f"All {len(tried)} trials of the search for settings were lost; the first: "
            f"{tried[0].ended} Give a learning rate by hand."
        )
    return best


def _rates(start: Chosen, attempt: Attempt[Chosen]) -> list[Tried[Chosen]]:
    """Try the start and its neighbours, and walk on where the best is at an end."""
    by_place: dict[int, Tried[Chosen]] = {}

    def go(place: int) -> None:
        rate = float(f"{start.learning_rate * FACTOR**place:.3g}")
        options = start.model_copy(update={"learning_rate": rate})
        by_place[place] = attempt(options, len(by_place))

    for place in (0, -1):
        go(place)
    while len(by_place) < MOST_RATES:
        best = max(by_place, key=lambda place: by_place[place].score)
        if by_place[best].judged is None or best == min(by_place):
            go(min(by_place) - 1)
        elif best == max(by_place):  # nothing above it was lost or worse
            go(best + 1)
        else:
            break
    return list(by_place.values())


def _more(best: Tried[Chosen], given: set[str], most_steps: int) -> Iterator[Chosen]:
    """Options for what the best trial lacks, the likelier cure first."""
    judged, options = best.judged, best.options
    assert judged is not None
    if judged.fits:
        return
    weak = 1 - judged.goal > 1 - judged.retain + judged.divergence  # lacks more than it harms
    if "forget_weight" not in given and options.forget_weight > 0:
        factor = WEIGHT_FACTOR if weak else 1 / WEIGHT_FACTOR
        weight = float(f"{options.forget_weight * factor:.3g}")
        yield options.model_copy(update={"forget_weight": weight})
    if "steps" not in given and weak and 2 * options.steps <= most_steps:
        yield options.model_copy(update={"steps": 2 * options.steps})


def _place(options: Training) -> tuple[float, float, int]:
    """What a search varies."""
    return options.learning_rate, options.forget_weight, options.steps


def lost(options: Chosen, error: Diverged | NotFinite) -> Tried[Chosen]:
    """A trial that diverged."""
    return Tried(options, None, str(error))
