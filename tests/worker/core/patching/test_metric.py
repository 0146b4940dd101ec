"""What is measured of the next token, against numbers worked out by hand."""

import math
from typing import Any

import pytest
import torch

from worker.core.patching.cases import Case
from worker.core.patching.metric import Metric, answer_tensor, foil_tensor, measure, rounding
from worker.core.rounding import rounding_at

LOGITS = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])
"""Probabilities 1/4, 3/4 and 4/5, 1/5."""
NOTHING: Any = None
FIRST, SECOND = torch.tensor([0, 0]), torch.tensor([1, 1])


def test_a_probability_is_the_answers_own() -> None:
    assert measure("probability", LOGITS, FIRST).tolist() == pytest.approx([0.25, 0.8])
    assert measure("probability", LOGITS, SECOND).tolist() == pytest.approx([0.75, 0.2])


def test_a_logit_difference_is_the_answers_logit_less_the_foils() -> None:
    found = measure("logit_diff", LOGITS, FIRST, SECOND).tolist()
    assert found == pytest.approx([-math.log(3), math.log(4)])


def test_a_divergence_is_from_the_clean_prediction_and_negated() -> None:
    clean = torch.zeros(2, 2)
    expected = [0.5 * math.log(0.25 / 0.5) + 0.5 * math.log(0.75 / 0.5)]
    expected += [0.5 * math.log(0.8 / 0.5) + 0.5 * math.log(0.2 / 0.5)]
    assert measure("kl", LOGITS, FIRST, clean=clean).tolist() == pytest.approx(expected)
    assert measure("kl", LOGITS, FIRST, clean=LOGITS).tolist() == pytest.approx([0, 0])
    assert max(expected) < 0


def test_half_precision_is_measured_in_single() -> None:
    found = measure("probability", LOGITS.to(torch.bfloat16), FIRST)
    assert found.dtype == torch.float32


def test_rounding_is_bounded_by_the_largest_logit_and_by_the_metric() -> None:
    logits = torch.tensor([[-8.0, 2.0], [1.0, 0.5]])
    measured = torch.tensor([0.5, 0.25])
    step = rounding_at(torch.tensor([8.0, 1.0]), torch.bfloat16)
    assert step[0] > step[1] > 0

    def bound(metric: Metric) -> list[float]:
        found: list[float] = rounding(metric, logits, measured, torch.bfloat16).tolist()
        return found

    assert bound("probability") == pytest.approx([0.5 * step[0].item(), 0.25 * step[1].item()])
    assert bound("logit_diff") == pytest.approx(step.tolist())
    own = rounding_at(torch.tensor([8.0, 1.0]), torch.float32)
    assert bound("kl") == pytest.approx((step.square() / 2 + own).tolist())


def test_answers_and_foils_are_those_of_the_cases_or_none_where_one_is_missing() -> None:
    def case(answer: int, foil: int | None) -> Case:
        return Case(NOTHING, NOTHING, answer, foil)

    cases, device = [case(3, 5), case(4, 6)], torch.device("cpu")
    assert answer_tensor(cases, device).tolist() == [3, 4]
    found = foil_tensor(cases, device)
    assert found is not None and found.tolist() == [5, 6]
    assert foil_tensor([*cases, case(1, None)], device) is None
