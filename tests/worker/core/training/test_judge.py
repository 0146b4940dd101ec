"""How a tried edit is judged: goal, retain and text, each worked out from probabilities."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from worker.core.training import judge as tested
from worker.core.training.judge import CONTEXT, Judge, Judged, least_retained

MODEL: Any = SimpleNamespace(id="m")


class Said:
    """What the model says of each pool, as log probabilities, and of ordinary text."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log_probs: dict[str, list[float]] = {}
        self.divergences: list[float] = []
        self.read: list[Any] = []
        monkeypatch.setattr(tested, "reference_log_probs", self._probs)
        monkeypatch.setattr(tested, "read_lines", self._lines)

    def set(self, divergences: list[float] | None = None, **probabilities: list[float]) -> None:
        for name, values in probabilities.items():
            self.log_probs[name] = [math.log(p) if p else -math.inf for p in values]
        self.divergences = divergences or []

    def _probs(self, material: Any, pool: str) -> torch.Tensor:
        return torch.tensor(self.log_probs[pool], dtype=torch.float64)

    def _lines(
        self, model: Any, lines: list[str], context: int, reference: list[Any]
    ) -> dict[str, np.ndarray]:
        self.read.append((model, lines, context, len(reference)))
        if not reference:
            reference += [torch.zeros(1)] * len(lines)
        return {"divergence": np.array(self.divergences)}


def material(watched: str | None = "watched") -> Any:
    return SimpleNamespace(forget="forget", edit="edit", watched=watched)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    found = Said(monkeypatch)
    found.set(forget=[0.5], edit=[0.5], watched=[0.8, 0.4])
    return found


def test_an_edit_is_judged_by_its_target_what_fell_and_how_text_moved(said: Said) -> None:
    judge = Judge(MODEL, material(), "edit", ["one", "two"])
    said.set([0.02, 0.04], edit=[0.5, 0.25], watched=[0.4, 0.5])
    found = judge.measure()
    assert found.goal == pytest.approx(0.375)
    assert found.retain == pytest.approx(0.9 / 1.2)
    assert found.divergence == pytest.approx(0.03)
    goal = (math.log(0.5) + math.log(0.25)) / 2
    fell = math.log(2) / 2  # one fell by half, the other rose, which counts as nothing
    assert found.score == pytest.approx(goal - 3.0 * fell - 10.0 * 0.03)


def test_unlearning_is_judged_by_what_is_not_said(said: Said) -> None:
    judge = Judge(MODEL, material(), "unlearn", [])
    said.set([0.0], forget=[0.75, 0.5], watched=[0.8, 0.4])
    found = judge.measure()
    assert found.goal == pytest.approx(0.375) and found.retain == pytest.approx(1.0)
    assert found.score == pytest.approx((math.log(0.25) + math.log(0.5)) / 2)


def test_no_single_fact_decides_by_how_far_it_is_gone(said: Said) -> None:
    judge = Judge(MODEL, material(), "edit", [])
    said.set(edit=[0.0, 1.0], watched=[0.8, 1e-30])
    found = judge.measure()
    # A goal of nought counts as −10 nats and a fall counts as 5 at most.
    assert found.score == pytest.approx(-10 / 2 - 3 * 5 / 2)
    said.set(edit=[math.exp(-12), 1.0], watched=[0.8, 0.4])
    assert judge.measure().score == pytest.approx(-5.0)
    said.set(edit=[1.0], watched=[0.8, 0.4 * math.exp(-4)])
    assert judge.measure().score == pytest.approx(-3 * 4 / 2)


def test_without_watched_facts_or_text_neither_counts(said: Said) -> None:
    judge = Judge(MODEL, material(watched=None), "edit", [])
    said.set(edit=[0.5])
    found = judge.measure()
    assert (found.retain, found.divergence) == (1.0, 0.0)
    assert (found.goal, found.score) == pytest.approx((0.5, math.log(0.5)))


def test_watched_facts_that_were_never_known_leave_no_share_by_nought(said: Said) -> None:
    said.set(watched=[0.0, 0.0])
    judge = Judge(MODEL, material(), "edit", [])
    said.set(edit=[1.0], watched=[1e-6, 3e-6])
    assert judge.measure().retain == pytest.approx(2.0)


def test_text_is_read_once_before_and_compared_with_that_afterwards(said: Said) -> None:
    judge = Judge(MODEL, material(), "edit", ["one", "two"])
    said.set([0.0, 0.0], edit=[0.5], watched=[0.8, 0.4])
    judge.measure()
    judge.measure()
    assert said.read == [(MODEL, ["one", "two"], CONTEXT, n) for n in (0, 2, 2)]


@pytest.mark.parametrize(
    ("goal", "retain", "divergence", "fits"),
    [
        (0.8, 0.95, 0.03, True),
        (0.79, 0.95, 0.03, False),
        (0.8, 0.94, 0.03, False),
        (0.8, 0.95, 0.031, False),
    ],
)
def test_an_edit_fits_from_its_bounds_on(
    goal: float, retain: float, divergence: float, fits: bool
) -> None:
    assert Judged(goal, retain, divergence, 0.0).fits == fits


def test_the_best_score_says_what_a_trial_must_keep_of_the_watched_facts() -> None:
    # A score of 3 ln(1/2) is that of losing half of each and nothing else; .8 of that half may do.
    assert least_retained(3 * math.log(0.5)) == pytest.approx(0.4)
    assert least_retained(0.0) == pytest.approx(0.8)
