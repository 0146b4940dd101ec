"""Facts of other kinds that the verdict asks: which, of whom, and what is kept of each kind."""

import pytest

from worker.contract.facts import Fact
from worker.contract.selection import Selection, select
from worker.core.evaluation._other_facts import (
    ENOUGH,
    PER_KIND,
    ask_kinds,
    other_facts,
    ready,
)
from worker.core.facts import relations
from worker.core.facts.athletes import fact_set
from worker.core.models.load import load_model
from worker.core.models.model import Model

ATHLETES = select(fact_set(), "first:4")


@pytest.fixture(scope="module")
def demo() -> Model:
    return load_model("demo")


def test_the_bundled_model_is_asked_a_few_facts_of_each_relation(demo: Model) -> None:
    asked = other_facts(demo, ATHLETES)
    kinds = [fact.relation for fact in asked]
    assert set(kinds) == {fact.relation for fact in relations.fact_set().facts}
    assert max(kinds.count(kind) for kind in kinds) == PER_KIND
    assert asked == other_facts(demo, ATHLETES), "the same for every run"


def test_a_kind_that_the_selection_has_and_a_subject_that_is_edited_are_not_asked(
    demo: Model,
) -> None:
    everyone = relations.fact_set().facts
    own = [fact for fact in everyone if fact.relation == everyone[0].relation]
    asked = other_facts(demo, Selection(forget=tuple(own[:2]), retain=tuple(own[2:])))
    assert everyone[0].relation not in {fact.relation for fact in asked}
    assert not {fact.subject for fact in asked} & {fact.subject for fact in own[:2]}
    renamed = [fact.model_copy(update={"relation": "mine"}) for fact in own]
    again = other_facts(demo, Selection(forget=(renamed[0],), retain=tuple(renamed[1:])))
    assert not {fact.text for fact in again} & {fact.text for fact in own}, "by what is said"


def test_a_kind_that_is_lost_stands_out_of_the_mean(demo: Model) -> None:
    kinds = ready(demo, other_facts(demo, ATHLETES))
    assert len(kinds) > 3 and all(len(own) >= ENOUGH for own in kinds.values())
    lost = next(iter(kinds))
    wrong = tuple(f.model_copy(update={"target": f.edit_target}) for f in kinds[lost])
    told = ask_kinds(demo, kinds | {lost: wrong})
    assert told[f"others.{lost}"] < 0.1 < 0.7 < told["others"]
    assert set(told) == {"others", *(f"others.{kind}" for kind in kinds)}


def test_facts_that_cannot_be_asked_are_passed_over(model: Model) -> None:
    """The tiny model reads few tokens and has learnt nothing."""
    long = Fact(id="long", subject="x", prompt="{} is" + " red" * 600, target="red", relation="r")
    assert ready(model, (long,) * ENOUGH) == {}
    assert ask_kinds(model, {}) == {}
