"""The stage before a trained edit: when settings are searched, on what, and what is told of it."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.worker.core.localization.planted import FACTS, make_planted
from tests.worker.core.measured import forget_all
from worker.contract.errors import Diverged, NotFinite
from worker.contract.mask import Mask
from worker.contract.progress import Event, Quiet
from worker.contract.selection import Selection
from worker.core.editing.parts import Parts, parts_of
from worker.core.findings import Findings, Job
from worker.core.models.deltas import checksum
from worker.core.training import settle as tested
from worker.core.training.auto import MOST_TRIALS, Tried
from worker.core.training.judge import Judged
from worker.core.training.options import Training
from worker.core.training.search import Trial
from worker.core.training.settle import SHARE, Settled, settle

MODEL = make_planted.__wrapped__()  # not the shared one: trainings write into it
SELECTION = Selection(forget=tuple(FACTS[:2]), retain=tuple(FACTS[2:]))
MASK = Mask(components=("blocks.1.mlp",))
TEXT = "\n".join(f"a line of {i}" for i in range(12))
FAST = {"general_text": TEXT, "steps": 6, "context": 8}


class Judges:
    """A judge that scores trials in turn, and keeps what it was made with."""

    made: list[Any]
    scores: list[float]

    def __init__(self, model: Any, material: Any, objective: str, passages: list[str]) -> None:
        self.made.append((model, material, objective, passages))

    def measure(self) -> Judged:
        return Judged(0.9, 1.0, 0.0, self.scores.pop(0))


class Stage:
    """Runs `settle` with trainings that set the parts to their number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, scores: list[float | Exception]) -> None:
        forget_all()
        self.parts = parts_of(MODEL, MASK)
        self.start = self.parts.copy()
        self.seen: list[Any] = []
        self.errors = [s if isinstance(s, Exception) else None for s in scores]
        self.events: list[Event] = []
        Judges.made, Judges.scores = [], [s for s in scores if not isinstance(s, Exception)]
        monkeypatch.setattr(tested, "Judge", Judges)

    def train(
        self, material: Any, options: Training, share: tuple[float, float], job: Job
    ) -> Trial[str]:
        at_start = all(a.equal(b) for a, b in zip(self.parts.copy(), self.start, strict=True))
        number = len(self.seen)
        self.seen.append((material, options, share, at_start))
        self.parts.load([torch.full_like(value, number + 1.0) for value in self.start])
        job.report.progress(0.5, "halfway")
        if error := self.errors[number]:
            raise error
        return Trial("", 0.0, None, f"ended {number}")

    def run(self, parts: Parts | None = None, selection: Any = SELECTION, **more: Any) -> Any:
        options = more.pop("options", Training(**FAST))
        job = Job(3, Quiet(self.events.append))
        return settle(MODEL, selection, parts or self.parts, 1, options, job, "unlearn", self.train)


def test_what_was_given_by_hand_is_taken_without_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, [])
    given = Training(learning_rate=0.5)
    found = stage.run(options=given)
    assert found == Settled(given) and found.share == (0.0, 1.0) and stage.seen == []
    findings = Findings(caption="Said.")
    found.tell(findings)
    assert findings == Findings(caption="Said.")


def test_without_facts_to_try_on_the_rate_goes_by_the_width_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch, [])
    found = stage.run(selection=Selection(forget=SELECTION.forget, retain=()))
    assert found.options.learning_rate == 2e-3, "no wider than the bundled model"
    assert found.options.search == "off" and found.tried == () and found.share == (0.0, 1.0)
    findings = Findings(caption="Said.")
    found.tell(findings)
    assert findings.caption.startswith("Said. Too few retain facts")
    assert "the rate 0.002 comes from the model's width alone" in findings.caption
    assert findings.tables == {} and findings.arrays == {} and findings.summary == {}


def test_each_trial_begins_at_the_start_and_the_best_ones_options_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch, [-2.0, -1.0, -3.0])
    before = checksum(MODEL)
    found = stage.run()
    assert [at_start for *_, at_start in stage.seen] == [True] * 3
    assert checksum(MODEL) == before
    rates = [options.learning_rate for _, options, *_ in stage.seen]
    assert rates == pytest.approx([2e-3, 6.32e-4, 2e-4])
    assert found.options.learning_rate == rates[1]
    assert found.took and found.share == (SHARE, 1.0)
    assert [one.ended for one in found.tried] == ["ended 0", "ended 1", "ended 2"]
    # Trials are trained with smaller batches than the edit will be.
    assert stage.seen[0][1].retain_batch == 4 and found.options.retain_batch == 8
    assert {share for _, _, share, _ in stage.seen} == {(0.0, 1.0)}


def test_all_trials_share_one_material_and_judge_on_facts_that_stand_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch, [-2.0, -1.0, -3.0])
    stage.run()
    materials = {id(material): material for material, *_ in stage.seen}
    assert len(materials) == 1
    [(model, material, objective, passages)] = Judges.made
    assert (model, objective) == (MODEL, "unlearn") and material is stage.seen[0][0]
    assert material.parts is stage.parts and (material.layer, material.seed) == (1, 3)
    assert len(material.facts) == 2 and not set(material.facts) & set(SELECTION.forget)
    assert len(passages) == 3, "a fourth of the text"
    assert not set(passages) & set(stage.seen[0][1].general_text.splitlines())


def test_a_trial_that_is_lost_is_told_and_leaves_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, [Diverged("too fast"), NotFinite("no numbers"), -1.0, -2.0, -3.0])
    found = stage.run()
    assert [one.ended for one in found.tried[:3]] == ["too fast", "no numbers", "ended 2"]
    assert [one.judged is None for one in found.tried[:3]] == [True, True, False]
    assert all(at_start for *_, at_start in stage.seen)
    assert found.options.learning_rate == stage.seen[2][1].learning_rate


def test_any_other_error_goes_on_and_the_start_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, [ZeroDivisionError()])
    with pytest.raises(ZeroDivisionError):
        stage.run()
    assert all(a.equal(b) for a, b in zip(stage.parts.copy(), stage.start, strict=True))


def test_progress_of_the_trials_fills_their_share_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch, [-2.0, -1.0, -3.0])
    stage.run()
    told = [event for event in stage.events if event.type == "progress"]
    width = SHARE / MOST_TRIALS
    assert [event.fraction for event in told] == pytest.approx(
        [width * (i + 0.5) for i in range(3)]
    )
    assert told[1].message == "Settings, trial 2 (rate 0.00063): halfway"
    rows = [event.data for event in stage.events if event.type == "partial"]
    assert [row[3] for row in rows] == [-2.0, -1.0, -3.0]
    assert {event.name for event in stage.events if event.type == "partial"} == {"settings"}


def test_what_was_found_is_kept_for_the_same_method_mask_and_facts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch, [-2.0, -1.0, -3.0, -1.0, -2.0, -3.0])
    first = stage.run()
    again = stage.run()
    assert again.tried == first.tried and len(stage.seen) == 3
    assert not again.took and again.share == (0.0, 1.0), "it takes no time of this run"
    assert again.options == first.options and again.words == first.words
    other = stage.run(options=Training(**FAST | {"steps": 7}))
    assert len(stage.seen) == 6 and other.took


def tried(rate: float, judged: Judged | None, ended: str = "done", **more: Any) -> Tried[Training]:
    return Tried(Training(learning_rate=rate, steps=10, **more), judged, ended)


BEST = Judged(0.75, 0.9, 0.013, -1.5)
TRIED = (
    tried(0.1, Judged(0.5, 0.8, 0.25, -3.0)),
    tried(0.01, BEST),
    tried(1.0, None, "lost"),
    tried(0.01, Judged(0.9, 0.9, 0.0, -1.0), forget_weight=2.5),
    Tried(Training(learning_rate=0.01, steps=20), BEST, "done"),
)


def test_every_trial_has_its_row_and_rates_their_curves() -> None:
    findings = Findings(caption="Said.")
    Settled(TRIED[1].options, TRIED, "How.", took=True).tell(findings)
    assert findings.caption == "Said. How."
    table = findings.tables["settings"]
    assert table.columns[:4] == ("learning rate", "forget weight", "steps", "score")
    assert len(table.columns) == len(table.rows[0]) == 8
    assert table.rows[1] == (0.01, 1.0, 10, -1.5, 0.75, 0.9, 0.013, "done")
    assert table.rows[2] == (1.0, 1.0, 10, None, None, None, None, "lost")
    assert findings.summary == {
        "settings.trials": 5,
        "settings.learning_rate": 0.01,
        "settings.forget_weight": 1.0,
        "settings.steps": 10,
    }
    assert list(findings.arrays) == ["settings.goal", "settings.retain", "settings.divergence"]
    goal, retain, divergence = findings.arrays.values()
    assert [axis.labels for axis in goal.axes] == [("0.01", "0.1", "1")], "of the first weight"
    np.testing.assert_equal(goal.values, [0.75, 0.5, np.nan])
    np.testing.assert_equal(retain.values, [0.9, 0.8, np.nan])
    np.testing.assert_equal(divergence.values, [0.013, 0.25, np.nan])
    assert [array.unit for array in (goal, retain, divergence)] == ["probability", "share", "nats"]
    assert goal.axes[0].name == "rate" and goal.gaps == "trials that were lost"


def test_words_say_what_the_best_trial_did() -> None:
    said = tested._words(TRIED[1], 5, 3)
    assert "from 5 trials on 3 other facts: at the rate 0.01, forget weight 1 and 10 steps" in said
    assert "the goal reached 0.75 there, 90% of" in said and "diverged by 0.013 nats" in said
