"""What an edit may have broken is asked once, under whatever name a set has it."""

from worker.contract.facts import Ripple
from worker.contract.progress import Quiet
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.evaluation import side_effects
from worker.core.facts.relations import fact_set
from worker.core.findings import Job

JOB = Job(seed=0, report=Quiet())


def test_a_bundled_fact_that_the_set_has_under_another_relation_is_not_asked_twice(model) -> None:
    capitals = [f for f in fact_set().facts if f.relation == "city_country"][:6]
    brought = [f.model_copy(update={"relation": "", "group": "mine"}) for f in capitals]
    options = side_effects.Options(sentences=1, facts_per_relation=1000)
    selection = Selection(forget=tuple(brought[:2]), retain=tuple(brought[2:]))
    found = side_effects.evaluate(BeforeAfter(model), selection, options, JOB)
    asked = [row[0] for row in found.evaluation.facts.rows]
    seen = {f.id for f in brought} - {f.id for f in divide(selection.retain).tested}
    assert len(asked) == len(set(asked)) == len(fact_set().facts) - len(seen)
    assert not seen & set(asked)


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
