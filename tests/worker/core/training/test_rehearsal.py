"""What trials are run on: retain facts that stand in, text kept back, smaller batches."""

import random
from typing import Any, ClassVar

import pytest

from tests.worker.core.localization.planted import FACTS
from worker.contract.facts import Fact
from worker.contract.progress import Quiet
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.editing.check import Objective
from worker.core.findings import Job
from worker.core.training.options import Training
from worker.core.training.rehearsal import (
    FLOOR,
    MOST,
    PASSAGES,
    WATCHED,
    Rehearsal,
    in_trials,
    rehearse_on,
)

NOTHING: Any = None
TEXT = [f"passage {i}" for i in range(40)]
RETAIN = tuple(
    Fact(id=f"r{i}", subject=f"S{i}", prompt="{} is at", target="ball", edit_target="golf")
    for i in range(60)
)


def rehearsed(
    n_forget: int = 3,
    retain: tuple[Fact, ...] = RETAIN,
    objective: Objective = "unlearn",
    seed: int = 0,
    text: list[str] = TEXT,
) -> Rehearsal | None:
    forget = tuple(FACTS[i % 12].model_copy(update={"id": f"f{i}"}) for i in range(n_forget))
    options = Training(general_text="\n".join(text))
    selection = Selection(forget=forget, retain=retain)
    return rehearse_on(NOTHING, selection, options, objective, Job(seed, Quiet()))


@pytest.mark.parametrize(("n_forget", "stand_in"), [(1, 1), (3, 3), (6, 6), (12, MOST)])
def test_as_many_facts_as_are_forgotten_stand_in_up_to_a_bound(
    n_forget: int, stand_in: int
) -> None:
    found = rehearsed(n_forget)
    parts = divide(RETAIN)
    assert found is not None and len(found.selection.forget) == stand_in
    chosen = random.Random(0).sample(list(parts.trained), stand_in)
    assert set(found.selection.forget) == set(chosen)
    order = [fact for fact in parts.trained if fact in chosen]
    assert list(found.selection.forget) == order
    rest = [fact for fact in parts.trained if fact not in chosen]
    watched = random.Random(0).sample(list(parts.watched), min(WATCHED, len(parts.watched)))
    assert list(found.selection.retain) == [*rest, *watched], "and none that is tested"


def test_the_seed_of_the_run_changes_nothing() -> None:
    assert rehearsed(seed=1) == rehearsed(seed=2)


def retain_of(n: int) -> tuple[Fact, ...]:
    """Retain facts of which just so many may be trained on."""
    trained = divide(RETAIN).trained
    found = next(RETAIN[:k] for k in range(len(RETAIN)) if len(divide(RETAIN[:k]).trained) == n)
    assert len(trained) > n
    return found


@pytest.mark.parametrize(
    ("n_forget", "n_trained", "stand_in"),
    [(5, 6, 3), (5, 4, 2), (5, 3, None), (1, 3, 1), (1, 2, 1), (1, 1, None), (2, 3, None)],
)
def test_at_most_half_of_what_may_be_trained_on_stands_in_and_at_least_two(
    n_forget: int, n_trained: int, stand_in: int | None
) -> None:
    found = rehearsed(n_forget, retain_of(n_trained))
    assert (found and len(found.selection.forget)) == stand_in


def test_nothing_to_retain_is_nothing_to_rehearse_on() -> None:
    assert rehearsed(1, ()) is None


def test_only_facts_with_another_edit_target_stand_in_for_an_edit() -> None:
    trained = [fact.id for fact in divide(RETAIN).trained]
    wrong = {trained[i]: edit for i, edit in enumerate(("", " ", "ball", " ball"))}
    retain = tuple(
        fact.model_copy(update={"edit_target": wrong.get(fact.id, "golf")}) for fact in RETAIN
    )
    usable = [fact for fact in divide(retain).trained if fact.id not in wrong]
    for n_forget in (3, 6):
        found = rehearsed(n_forget, retain, "edit")
        assert found is not None
        chosen = random.Random(0).sample(usable, n_forget)
        assert set(found.selection.forget) == set(chosen)
        assert {fact.id for fact in found.selection.retain} > set(wrong), "they are retained"
    own = rehearsed(6, retain, "unlearn")
    assert own is not None
    assert {f.id for f in own.selection.forget} == {
        f.id for f in random.Random(0).sample(list(divide(retain).trained), 6)
    }


@pytest.mark.parametrize(("n", "kept"), [(40, PASSAGES), (20, 5), (7, 1), (3, 0)])
def test_a_fourth_of_the_passages_at_most_is_kept_back_from_training(n: int, kept: int) -> None:
    found = rehearsed(text=TEXT[:n])
    assert found is not None
    assert list(found.passages) == random.Random(0).sample(TEXT[:n], kept)
    rest = [passage for passage in TEXT[:n] if passage not in found.passages]
    assert found.general_text == "\n".join(rest) and len(rest) == n - kept


class Dear(Training):
    """A method whose trials leave something out."""

    REHEARSED: ClassVar[dict[str, Any]] = {"accumulation": 2, "context": 9}


def test_a_trial_takes_smaller_batches_and_shorter_passages_and_looks_twice() -> None:
    given = Training(steps=100, learning_rate=0.5, forget_weight=3.0, retain_facts=7)
    trial = in_trials(given, "text")
    changed = {
        "forget_batch": 6, "retain_batch": 4, "general_batch": 1, "context": 32,
        "general_sentences": 10, "probe_every": 50, "retain_floor": FLOOR, "general_text": "text",
    }  # fmt: skip
    assert trial.model_dump() == given.model_dump() | changed
    small = Training(forget_batch=2, retain_batch=3, general_batch=1, context=11, probe_every=60)
    kept = in_trials(small, "")
    assert (kept.forget_batch, kept.retain_batch, kept.general_batch) == (2, 3, 1)
    assert (kept.context, kept.probe_every) == (11, 60)
    own = in_trials(Dear(accumulation=9), "")
    assert (own.accumulation, own.context, own.forget_batch) == (2, 9, 6)
    assert in_trials(small, "", 0.75).retain_floor == 0.75
    assert in_trials(small, "", FLOOR / 2).retain_floor == FLOOR
