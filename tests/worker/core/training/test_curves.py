"""What trainings gave, as curves, numbers and words, of trainings made by hand."""

from dataclasses import replace
from typing import Any

import pytest

from worker.core.training.curves import describe, loss_curve, trained_findings
from worker.core.training.options import Training
from worker.core.training.trainer import Trained

FIRST = Trained(
    losses={"forget": [4.0, 2.0], "retain": [0.5, 0.25]},
    units={"forget": "nats, negated", "retain": "nats"},
    probes={
        0: {"forget_probability": 0.9, "edit_probability": 0.1, "retain_probability": 0.8},
        2: {"forget_probability": 0.4, "edit_probability": 0.6, "retain_probability": 0.7},
    },
    kept_step=2,
    steps=2,
    stopped="",
    score=1.5,
    seconds=2.0,
    probe_seconds=0.5,
)
SECOND = replace(
    FIRST,
    losses={"forget": [1.0], "retain": []},
    probes={
        0: {"forget_probability": 0.5, "retain_probability": 0.7},
        1: {"forget_probability": 0.2, "retain_probability": 0.6},
    },
    kept_step=1,
    steps=1,
    stopped="the goal was reached",
    score=2.5,
)


def labels(array: Any) -> list[str]:
    return list(array.axes[0].labels)


def test_partitions_curves_follow_one_another_in_steps() -> None:
    arrays = trained_findings([FIRST, SECOND], "edit", [[0.9, 0.1], [0.8, 0.7]]).arrays
    assert arrays["curve.forget_loss"].values.tolist() == [4.0, 2.0, 1.0]
    assert labels(arrays["curve.forget_loss"]) == ["1", "2", "3"]
    assert arrays["curve.retain_loss"].values.tolist() == [0.5, 0.25]
    assert arrays["curve.forget_probability"].values.tolist() == [0.9, 0.4, 0.5, 0.2]
    assert labels(arrays["curve.forget_probability"]) == ["0", "2", "2", "3"]
    assert arrays["curve.edit_probability"].values.tolist() == [0.1, 0.6]
    assert labels(arrays["curve.edit_probability"]) == ["0", "2"]
    between = arrays["interference"]
    assert between.values.tolist() == [[0.9, 0.1], [0.8, 0.7]]
    assert [(a.name, a.labels) for a in between.axes] == [
        ("edit", ("partition 1", "partition 2")),
        ("facts", ("partition 1", "partition 2")),
    ]


def test_one_partition_has_no_interference() -> None:
    assert "interference" not in trained_findings([FIRST], "edit", [[0.9]]).arrays


def test_the_summary_goes_from_the_first_probe_to_the_kept_one() -> None:
    summary = trained_findings([FIRST, SECOND], "forget", [[0.0] * 2] * 2).summary
    assert summary == {
        "quick.forget_probability.before": 0.9,
        "quick.forget_probability.after": 0.2,
        "quick.edit_probability.before": 0.1,
        "quick.edit_probability.after": None,
        "quick.retain_probability.before": 0.8,
        "quick.retain_probability.after": 0.6,
        "losses.forget.first": 4.0,
        "losses.forget.last": 1.0,
        "training.objective": "forget",
        "training.steps": 3,
        "training.kept_step": 1,
        "training.stopped": "the goal was reached",
        "training.score": 2.5,
        "training.seconds": 4.0,
        "training.probe_seconds": 1.0,
        "training.partitions": 2,
    }


def test_a_loss_that_is_negated_may_lie_below_zero() -> None:
    assert loss_curve([1.0], "forget", "nats, negated").signed
    plain = loss_curve([1.0, 2.0], "forget", "nats")
    assert (plain.signed, plain.title, labels(plain)) == (False, "Forget loss", ["1", "2"])


@pytest.mark.parametrize(
    ("objective", "moved"),
    [
        ("edit", "the edit target's mean probability on forget facts went from 0.10 to 0.60"),
        ("forget", "the target's mean probability on forget facts went from 0.90 to 0.40"),
    ],
)
def test_the_words_tell_the_goal_of_the_objective(objective: Any, moved: str) -> None:
    said = describe([FIRST], objective, Training(learning_rate=0.002))
    assert said.startswith("Trained 2 steps at a peak learning rate of 0.002; step 2 was kept.")
    assert f"{moved}; the target's on retain facts went from 0.80 to 0.70." in said
    assert "Stopped early" not in said


def test_the_words_tell_why_it_stopped_and_leave_out_what_was_not_probed() -> None:
    said = describe([FIRST, SECOND], "edit", Training())
    assert said.startswith("Trained 3 steps") and "edit target" not in said
    assert said.endswith("Stopped early: the goal was reached.")
