"""The small search: what is tried, from where, which trial is kept, and what is told of all."""

from collections.abc import Callable
from typing import Any

import pytest

from worker.contract.errors import Diverged, NotFinite
from worker.core.findings import Findings
from worker.core.training.options import Training
from worker.core.training.search import RATES, WEIGHTS, Trial, plan, try_each

SMALL = Training(learning_rate=0.3, forget_weight=2.0, search="small")


class Parts:
    """Parameters that are one number, and how often they were copied."""

    def __init__(self) -> None:
        self.value, self.copies = 1.0, 0

    def copy(self) -> list[float]:
        self.copies += 1
        return [self.value]

    def load(self, values: list[float]) -> None:
        [self.value] = values


def trials(parts: Parts, *scores: float | Exception) -> tuple[Callable[..., Any], list[Any]]:
    """A training that sets the number to its rate and scores as said; and what it saw."""
    seen: list[Any] = []

    def train(options: Training, share: tuple[float, float]) -> Trial[str]:
        seen.append((parts.value, share))
        parts.value = options.learning_rate
        score = scores[len(seen) - 1]
        if isinstance(score, Exception):
            raise score
        return Trial(f"trial {len(seen)}", score, 0.5, "all steps")

    return train, seen


def three() -> list[Training]:
    return [SMALL.model_copy(update={"learning_rate": rate}) for rate in (0.1, 0.2, 0.3)]


def test_a_plan_begins_with_what_was_given_and_crosses_rates_with_weights() -> None:
    pairs = [(one.learning_rate, one.forget_weight) for one in plan(SMALL)]
    assert pairs[0] == (0.3, 2.0)
    crossed = {(0.3 * rate, 2.0 * weight) for rate in RATES for weight in WEIGHTS}
    assert set(pairs[1:]) == crossed and len(pairs) == 7
    rates = [(one.learning_rate, one.forget_weight) for one in plan(SMALL, weights=())]
    assert rates == [(0.3, 2.0), (pytest.approx(0.1), 2.0), (pytest.approx(0.9), 2.0)]
    none = SMALL.model_copy(update={"search": "off"})
    assert plan(none) == [none]


def test_each_trial_begins_at_the_start_and_the_best_ones_values_are_kept() -> None:
    parts: Any = Parts()
    train, seen = trials(parts, 1.0, 3.0, 2.0)
    found = try_each(three(), parts, train, (0.2, 0.8))
    assert [value for value, _ in seen] == [1.0, 1.0, 1.0]
    shares = [bound for _, share in seen for bound in share]
    assert shares == pytest.approx([0.2, 0.4, 0.4, 0.6, 0.6, 0.8])
    assert (found.outcome, found.options.learning_rate, parts.value) == ("trial 2", 0.2, 0.2)
    assert found.table is not None and found.table.rows == (
        (0.1, 2.0, 1.0, 0.5, "all steps"),
        (0.2, 2.0, 3.0, 0.5, "all steps"),
        (0.3, 2.0, 2.0, 0.5, "all steps"),
    )
    findings = Findings()
    found.tell(findings)
    assert findings.tables["search"] is found.table
    assert findings.summary == {"search.learning_rate": 0.2, "search.forget_weight": 2.0}


def test_of_equal_trials_the_first_is_kept() -> None:
    parts: Any = Parts()
    assert try_each(three(), parts, trials(parts, 1.0, 1.0, 1.0)[0]).outcome == "trial 1"


@pytest.mark.parametrize("error", [Diverged("It diverged."), NotFinite("It was NaN.")])
def test_a_trial_that_diverged_is_told_and_another_kept(error: Exception) -> None:
    parts: Any = Parts()
    found = try_each(three(), parts, trials(parts, error, 0.5, error)[0])
    assert (found.outcome, parts.value) == ("trial 2", 0.2)
    assert found.table is not None
    assert found.table.rows[0] == (0.1, 2.0, None, None, str(error))


def test_where_all_diverge_the_first_ones_words_are_said() -> None:
    parts: Any = Parts()
    errors = [Diverged("first words"), NotFinite("other"), Diverged("more")]
    with pytest.raises(Diverged, match="All 3 trials of the search diverged; the first: first"):
        try_each(three(), parts, trials(parts, *errors)[0])


def test_one_trial_is_no_search_and_diverges_in_its_own_words() -> None:
    parts: Any = Parts()
    found = try_each(three()[:1], parts, trials(parts, 1.0)[0])
    assert (found.table, parts.copies, parts.value) == (None, 0, 0.1)
    findings = Findings()
    found.tell(findings)
    assert findings.tables == {} and findings.summary == {}
    with pytest.raises(NotFinite, match="its own words"):
        try_each(three()[:1], parts, trials(parts, NotFinite("its own words"))[0])
