"""What an edit may have broken is asked once, under whatever name a set has it."""

import numpy as np
import pytest

from tests.worker.core.models.test_deltas import write
from worker.contract.facts import Ripple
from worker.contract.progress import Quiet
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.evaluation import _other_facts, side_effects
from worker.core.facts import general_facts
from worker.core.facts.relations import fact_set
from worker.core.findings import Job

JOB = Job(seed=0, report=Quiet())


@pytest.fixture
def everything_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that has every answer ready and is asked what the bundled model is."""
    monkeypatch.setattr(side_effects, "known", lambda model, facts: list(facts))
    monkeypatch.setattr(_other_facts, "is_bundled", lambda model: True)


def test_a_bundled_fact_that_the_set_has_under_another_relation_is_not_asked_twice(
    model, everything_known
) -> None:
    capitals = [f for f in fact_set().facts if f.relation == "city_country"][:6]
    brought = [f.model_copy(update={"relation": "", "group": "mine"}) for f in capitals]
    options = side_effects.Options(sentences=1, facts_per_relation=1000)
    selection = Selection(forget=tuple(brought[:2]), retain=tuple(brought[2:]))
    found = side_effects.evaluate(BeforeAfter(model), selection, options, JOB)
    asked = [row[0] for row in found.evaluation.facts.rows]
    seen = {f.id for f in brought} - {f.id for f in divide(selection.retain).tested}
    about = {f.id for f in fact_set().facts if f.subject in {one.subject for one in brought[:2]}}
    assert len(asked) == len(set(asked)) == len(fact_set().facts) - len(seen | about)
    assert not seen & set(asked)


def test_of_other_relations_only_what_the_base_knows_is_asked(model, facts, monkeypatch) -> None:
    monkeypatch.setattr(_other_facts, "can_be_asked", lambda model, fact: True)
    drawn = []

    def tell(model, asked) -> tuple[np.ndarray, np.ndarray]:
        drawn.extend(asked)
        return np.array([0.9 if f.relation == "opposite" else 0.1 for f in asked]), np.zeros(0)

    monkeypatch.setattr(_other_facts, "statement_probabilities", tell)
    options = side_effects.Options(sentences=1, facts_per_relation=3)
    selection = Selection(forget=facts[:2], retain=facts[2:])
    found = side_effects.evaluate(BeforeAfter(model), selection, options, JOB)
    assert {f.relation for f in drawn} == {f.relation for f in general_facts.fact_set().facts}
    groups = [row[4] for row in found.evaluation.facts.rows]
    assert groups.count("opposite") == 3 and set(groups) == {"opposite", facts[2].relation}
    assert f"Of {len(drawn)} bundled facts" in found.caption and "of 3 ready" in found.caption


def test_a_base_that_knows_none_of_the_others_is_asked_none(model, facts) -> None:
    options = side_effects.Options(sentences=1, facts_per_relation=1)
    found = side_effects.evaluate(
        BeforeAfter(model), Selection(forget=facts[:2], retain=facts[2:]), options, JOB
    )
    assert {row[4] for row in found.evaluation.facts.rows} == {facts[2].relation}
    assert "the answers of none ready." in found.caption


def test_what_must_be_kept_beside_a_fact_is_a_group_of_its_own(model, facts) -> None:
    (untrained,) = divide(facts[5:7]).tested
    beside = Ripple(kind="kept", prompt=untrained.text, target=untrained.target)
    brought = facts[0].model_copy(update={"ripples": (beside,)})
    options = side_effects.Options(sentences=1, other_relations=False)
    selection = Selection(forget=(brought,), retain=facts[5:7])
    found = side_effects.evaluate(BeforeAfter(model), selection, options, JOB)
    name = "side_effects.{}.target_probability.before"
    by_group = [found.summary[name.format(group)] for group in ("locality", untrained.relation)]
    assert by_group[0] == by_group[1]


def test_what_the_base_has_ready_is_never_asked_of_an_edit_however_often_it_was_measured(
    model, facts, tmp_path, monkeypatch
) -> None:
    """The second edit of a base finds the base's measurement kept, and has lost what is asked."""
    others = [f.model_copy(update={"relation": "other", "group": ""}) for f in facts[4:]]
    monkeypatch.setattr(side_effects, "other_facts", lambda *given: others)
    selection = Selection(forget=facts[:2], retain=facts[2:4])
    options = side_effects.Options(sentences=2)
    name = "model.embed_tokens.weight"
    weights = dict(model.hf.named_parameters())[name].detach()
    edits = []
    for i, factor in enumerate((1e-4, -2.0)):
        path = tmp_path / f"{i}.safetensors"
        write(path, model, name, factor * weights)
        edits.append(BeforeAfter(model, (path,)))
    first, second = (side_effects.evaluate(one, selection, options, JOB) for one in edits)
    told = "side_effects.other.target_probability"
    n_asked = sum(row[4] == "other" for row in first.evaluation.facts.rows)
    assert n_asked == sum(row[4] == "other" for row in second.evaluation.facts.rows) > 0
    assert first.summary[f"{told}.before"] == second.summary[f"{told}.before"]
    assert second.summary[f"{told}.after"] < 0.5 < first.summary[f"{told}.after"]
